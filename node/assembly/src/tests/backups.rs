//! Backups in pretend worlds: made, damaged, restored.

use std::path::{Path, PathBuf};

use axum::http::StatusCode;
use node_base::{Duration, NodeId};
use node_world::{OpenMode, World};
use simulator_world::Sim;

use super::{Cluster, long, on, run, settings, start, text};
use crate::backup::{BackupError, Report, RestoreError, Writing, restore};

/// Makes a backup of what a node has, in its own world.
async fn back_up(cluster: &Cluster, number: usize, to: &str, keep: u32) -> Report {
    let (world, node) = cluster.node(number);
    let (inner, ops, to) = (world.clone(), node.ops().clone(), PathBuf::from(to));
    let back_up = async move {
        let hold = ops.hold(None, 60).await.expect("a leader");
        let mut writing = Writing::begin(&inner, &to).expect("an empty folder");
        let mut moment = ops.copy_tables().await.expect("tables");
        while let Some(part) = moment.next().await.expect("tables") {
            writing.tables(&part).expect("a copy");
        }
        for chunk in writing.tables_done().expect("a whole copy") {
            let bytes = ops.copy_chunk(chunk.tenant, chunk.hash).await.expect("it is held");
            writing.chunk(chunk.hash, &bytes.expect("it is held")).expect("it is the chunk");
        }
        ops.hold(Some(hold), 0).await.expect("a leader");
        writing.finish(keep).expect("a drive")
    };
    on(world, back_up).await
}

/// Restores the newest backup of a world's folder into that world's data directory.
async fn restore_in(sim: &Sim, node: u64, world: &World) -> Result<(), RestoreError> {
    let (inner, address) = (world.clone(), sim.peer(NodeId(node)).address);
    let restoring = async move {
        let (settings, from) = (settings(None), Path::new("/backup"));
        let as_whom = (NodeId(node), address.as_str());
        restore(&inner, &settings, from, None, as_whom, |_, _| {}).await.map(|_| ())
    };
    on(world, restoring).await
}

/// Copies all files of one world's folder to another world.
fn carry(from: &World, to: &World, folder: &Path) {
    to.disk().create_folder(folder).expect("a drive");
    for entry in from.disk().list(folder).expect("it is there") {
        let path = folder.join(&entry.name);
        if entry.is_folder {
            carry(from, to, &path);
            continue;
        }
        let mut bytes = vec![0; entry.len as usize];
        let file = from.disk().open(&path, OpenMode::Read).expect("it is there");
        file.read_at(&mut bytes, 0).expect("it is that long");
        let copy = to.disk().open(&path, OpenMode::Create).expect("a drive");
        copy.write_at(&bytes, 0).expect("a drive");
        copy.sync_data().expect("a drive");
    }
}

/// A world that no node is in yet, with the backups of another.
fn elsewhere(sim: &Sim, from: &World, node: u64) -> World {
    let world = sim.world(NodeId(node));
    carry(from, &world, Path::new("/backup"));
    world
}

#[test]
fn a_backup_of_three_nodes_is_restored_into_one_and_a_second_joins() {
    run(8, async |sim| {
        let cluster = Cluster::of(sim.clone(), 3).await;
        cluster.voters(&[1, 2, 3]).await;
        let share = cluster.share(1).await;
        let contents = [long(1_000, 1), long(300_000, 2), long(400_000, 3)];
        let one = cluster.upload(1, &share, "one", &contents[0]).await;
        let two = cluster.upload(2, &share, "two", &contents[1]).await;
        let path = format!("/sync/changes?share_id={share}&cursor=latest");
        let cursor = text(&cluster.ask(1, "GET", &path, "").await, "cursor").to_owned();
        let first = back_up(&cluster, 2, "/backup", 2).await;
        assert_eq!((first.number, first.copied_chunks), (1, first.chunks));
        let three = cluster.upload(3, &share, "three", &contents[2]).await;
        let second = back_up(&cluster, 2, "/backup", 2).await;
        assert_eq!((second.number, second.kept, second.removed), (2, 2, 0));
        assert_eq!(second.copied_chunks, second.chunks - first.chunks, "only what is new");
        // Nothing new, and the first one goes: what the second needs of its packs stays.
        let third = back_up(&cluster, 2, "/backup", 2).await;
        assert_eq!((third.copied_chunks, third.kept, third.removed), (0, 2, 1));

        let from = cluster.node(2).0.clone();
        let world = elsewhere(&sim, &from, 11);
        restore_in(&sim, 11, &world).await.expect("it is whole");
        let old = text(&cluster.ask(1, "GET", &path, "").await, "cursor").to_owned();
        let contents = [(&one, &contents[0]), (&two, &contents[1]), (&three, &contents[2])];

        // The restored cluster has keys and people of the old one.
        let joined = start(&sim, 11, None).await.expect("it was restored");
        let Cluster { token, user, .. } = cluster;
        let mut restored = Cluster { sim: sim.clone(), nodes: vec![Some(joined)], token, user };
        for (file, content) in contents {
            assert!(restored.content(1, file).await == *content);
        }
        for cursor in [cursor, old] {
            let path = format!("/sync/changes?share_id={share}&cursor={cursor}");
            let (status, body) = restored.call(1, "GET", &path, "").await;
            assert_eq!(status, StatusCode::GONE, "{body}");
            assert!(body.contains("CURSOR_EXPIRED"), "{body}");
        }
        let four = restored.upload(1, &share, "four", &long(100_000, 4)).await;
        let join = restored.invitation_of(11).await;
        let second = start(&sim, 12, Some(join)).await.expect("it may join");
        restored.nodes.push(Some(second));
        for (file, content) in contents {
            assert!(restored.content(2, file).await == *content);
        }
        assert!(restored.content(2, &four).await == long(100_000, 4));
        // It is spread over both, and outlives the restored node's drives.
        let ops = restored.node(2).1.ops().clone();
        while on(&restored.node(2).0, {
            let ops = ops.clone();
            async move { ops.coding().await }
        })
        .await
        .expect("tables")
        .1 > 0
        {
            sim.sleep(Duration::from_millis(500)).await;
        }
    });
}

#[test]
fn a_damaged_backup_is_refused_and_says_what_is_damaged() {
    run(9, async |sim| {
        let cluster = Cluster::of(sim.clone(), 1).await;
        let share = cluster.share(1).await;
        cluster.upload(1, &share, "one", &long(300_000, 1)).await;
        back_up(&cluster, 1, "/backup", 1).await;
        let from = cluster.node(1).0.clone();
        let files = [
            "/backup/00000001.backup",
            "/backup/tables/00000001.tables",
            "/backup/packs/00000001.pack",
        ];
        let mut node = 20;
        for file in files {
            for part in [0, 300, 500, 800, 999] {
                node += 1;
                let world = elsewhere(&sim, &from, node);
                let damage = world.disk().open(Path::new(file), OpenMode::Write).expect("there");
                let at = damage.len().expect("a drive") * part / 1_000;
                let mut byte = [0];
                damage.read_at(&mut byte, at).expect("within");
                damage.write_at(&[byte[0] ^ 0x40], at).expect("a drive");
                let refused = restore_in(&sim, node, &world).await.expect_err("it is damaged");
                let name = Path::new(file).file_name().expect("a file").to_string_lossy();
                assert!(refused.to_string().contains(&*name), "{file} at {at}: {refused}");
                assert!(matches!(
                    refused,
                    RestoreError::Backup(BackupError::Damaged { .. } | BackupError::Newer { .. })
                ));
            }
        }
        // What is missing altogether.
        for file in files {
            node += 1;
            let world = elsewhere(&sim, &from, node);
            world.disk().remove(Path::new(file)).expect("there");
            restore_in(&sim, node, &world).await.expect_err("it is not whole");
        }
    });
}
