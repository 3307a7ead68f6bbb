use std::sync::Arc;

use api_ops::meta::table::cluster::{Maps, Nodes, Seat};
use api_ops::meta::table::{self};
use axum::http::StatusCode;
use node_base::{Duration, NodeId};
use raft::Consistency;

use super::{Cluster, long, on, run, start, text};
use crate::StartError;

/// The names in the root of a share, as a node tells them.
async fn names(cluster: &Cluster, number: usize, share: &str) -> Vec<String> {
    const FOLDER: &str = "root";
    let path = format!("/folders/{FOLDER}/children?share_id={share}");
    let body = cluster.ask(number, "GET", &path, "").await;
    let name = |part: &str| part.split('"').next().expect("split gives something").to_owned();
    body.split("\"name\":\"").skip(1).map(name).collect()
}

#[test]
fn three_nodes_answer_alike_and_go_on_when_one_is_gone() {
    run(1, async |sim| {
        let mut cluster = Cluster::of(sim, 3).await;
        cluster.voters(&[1, 2, 3]).await;
        let share = cluster.share(2).await;
        let folder = |name: &str| format!(r#"{{"name":"{name}","share_id":"{share}"}}"#);
        cluster.ask(2, "POST", "/folders", &folder("first")).await;
        assert_eq!(names(&cluster, 3, &share).await, ["first"]);
        let (small, large) = (long(1000, 1), long(300_000, 2));
        let one = cluster.upload(2, &share, "one", &small).await;
        let two = cluster.upload(2, &share, "two", &large).await;
        assert!(cluster.content(3, &one).await == small);
        assert!(cluster.content(1, &two).await == large);
        cluster.crash(1);
        cluster.ask(2, "POST", "/folders", &folder("second")).await;
        let (again, body) = cluster.call(3, "POST", "/folders", &folder("second")).await;
        assert_eq!(again, StatusCode::CONFLICT, "{body}");
        assert!(cluster.content(3, &two).await == large);
        let three = cluster.upload(3, &share, "three", &small.repeat(200)).await;
        cluster.restart(1).await;
        for number in 1..=3 {
            let found = names(&cluster, number, &share).await;
            assert_eq!(found, ["first", "one", "second", "three", "two"]);
            assert!(cluster.content(number, &one).await == small);
            assert!(cluster.content(number, &two).await == large);
            assert!(cluster.content(number, &three).await == small.repeat(200));
        }
    });
}

#[test]
fn an_upload_that_one_node_began_is_continued_and_completed_on_others() {
    run(2, async |sim| {
        let cluster = Cluster::of(sim, 3).await;
        cluster.voters(&[1, 2, 3]).await;
        let share = cluster.share(1).await;
        let content = long(200_000, 3);
        let (first, second) = content.split_at(1 << 17);
        let session = format!(
            r#"{{"share_id":"{share}","file_name":"f","file_size":{},"chunk_size":{}}}"#,
            content.len(),
            1 << 17
        );
        let session = cluster.ask(1, "POST", "/uploads", &session).await;
        let upload = format!("/uploads/{}", text(&session, "session_id"));
        cluster.ask(2, "PUT", &format!("{upload}/chunks/0"), first).await;
        let (early, body) = cluster.call(3, "POST", &format!("{upload}/complete"), "{}").await;
        assert_eq!(early, StatusCode::UNPROCESSABLE_ENTITY, "{body}");
        cluster.ask(3, "PUT", &format!("{upload}/chunks/1"), second).await;
        let state = cluster.ask(1, "GET", &upload, "").await;
        assert!(state.contains("\"missing\":[]"), "{state}");
        let done = cluster.ask(1, "POST", &format!("{upload}/complete"), "{}").await;
        let file = text(&done, "file_id");
        for number in 1..=3 {
            assert!(cluster.content(number, file).await == content);
        }
    });
}

#[test]
fn who_waits_for_changes_at_one_node_hears_what_another_agreed() {
    run(3, async |sim| {
        let cluster = Cluster::of(sim.clone(), 3).await;
        cluster.voters(&[1, 2, 3]).await;
        let share = cluster.share(1).await;
        let path = |cursor: &str| format!("/sync/changes?share_id={share}&cursor={cursor}&wait=50");
        let first = cluster.ask(3, "GET", &path("latest"), "").await;
        let cursor = text(&first, "cursor").to_owned();
        let before = sim.elapsed();
        let folder = format!(r#"{{"name":"told","share_id":"{share}"}}"#);
        let path = path(&cursor);
        let (told, ()) = tokio::join!(cluster.ask(3, "GET", &path, ""), async {
            sim.sleep(Duration::from_secs(5)).await;
            cluster.ask(2, "POST", "/folders", &folder).await;
        });
        assert!(told.contains("told"), "{told}");
        assert!(sim.elapsed() - before < Duration::from_secs(10), "it did not wait to the end");
    });
}

#[test]
fn a_node_that_is_removed_ends_and_does_not_come_back_and_its_bytes_are_elsewhere() {
    run(4, async |sim| {
        let mut cluster = Cluster::of(sim.clone(), 4).await;
        cluster.voters(&[1, 2, 3]).await;
        let share = cluster.share(1).await;
        let content = long(300_000, 4);
        let file = cluster.upload(2, &share, "kept", &content).await;
        let (world, node) = cluster.node(3);
        let dead = world.spawn(node.dead());
        let (first, ops) = (cluster.node(1).0.clone(), cluster.node(1).1.ops().clone());
        let removed = on(&first, async move { ops.set_seat(NodeId(3), Seat::Removed).await });
        removed.await.expect("others can vote");
        let why = dead.await.expect("it ends").to_string();
        assert!(why.contains("removed from the cluster"), "{why}");
        cluster.crash(3);
        match start(&sim, 3, None).await.err() {
            Some(StartError::Dead(_) | StartError::Refused(_)) => {}
            other => panic!("it is not of the cluster any more: {other:?}"),
        }
        sim.crash(NodeId(3));
        cluster.voters(&[1, 2, 4]).await;
        for number in [1, 2, 4] {
            assert!(cluster.content(number, &file).await == content);
        }
        // Its number is gone with it, and so is its folder.
        let join = cluster.invitation().await;
        let joined = start(&sim, 5, Some(join)).await.expect("it may join");
        cluster.nodes.push(Some(joined));
        assert!(cluster.content(5, &file).await == content);
    });
}

#[test]
fn older_maps_are_retired_when_all_shards_are_at_home() {
    run(5, async |sim| {
        let mut cluster = Cluster::of(sim.clone(), 2).await;
        let share = cluster.share(1).await;
        let content = long(300_000, 5);
        let file = cluster.upload(1, &share, "f", &content).await;
        let join = cluster.invitation().await;
        let joined = start(&sim, 3, Some(join)).await.expect("it may join");
        cluster.nodes.push(Some(joined));
        let (world, node) = cluster.node(1);
        let raft = Arc::clone(&node.ops().raft);
        let maps = async move {
            loop {
                let maps = |tables: &dyn raft_meta::Reader| table::all::<Maps>(tables, &());
                let maps = raft.query(Consistency::Stale, maps).await.expect("it asks nobody");
                if let [((epoch,), map)] = &maps[..] {
                    return (*epoch, map.drives.len());
                }
                raft.applied_after(raft.applied()).await;
            }
        };
        assert_eq!(on(world, maps).await, (3, 3));
        for number in 1..=3 {
            assert!(cluster.content(number, &file).await == content);
        }
    });
}

#[test]
fn what_was_reaped_is_deleted_by_every_node_and_then_forgotten() {
    run(6, async |sim| {
        let cluster = Cluster::of(sim.clone(), 3).await;
        cluster.voters(&[1, 2, 3]).await;
        let share = cluster.share(1).await;
        let file = cluster.upload(1, &share, "f", &long(300_000, 6)).await;
        let (status, body) =
            cluster.call(2, "DELETE", &format!("/files/{file}?permanent=true"), "").await;
        assert!(status.is_success(), "{body}");
        let deleted = async |number: usize| {
            let (world, node) = cluster.node(number);
            let raft = Arc::clone(&node.ops().raft);
            let look = |tables: &dyn raft_meta::Reader| {
                let reaped = table::all::<table::chunk::Reaped>(tables, &())?.len();
                let chunks = table::all::<table::chunk::Chunks>(tables, &())?.len();
                let nodes = table::all::<Nodes>(tables, &())?;
                let least = nodes.iter().map(|(_, node)| node.deleted_up_to).min();
                Ok((chunks, reaped, least))
            };
            let asked = async move { raft.query(Consistency::Stale, look).await };
            on(world, asked).await.expect("it asks nobody")
        };
        let before = deleted(1).await.2;
        while !matches!(deleted(3).await, (0, 0, least) if least > before) {
            sim.sleep(Duration::from_millis(500)).await;
        }
        for number in 1..=3 {
            let store = cluster.node(number).1.ops().store.clone();
            let listed = on(&cluster.node(number).0, async move { store.list(None, 100).await });
            let listed = listed.await.expect("a drive");
            assert!(listed.items.iter().all(|item| item.is_trashed), "{:?}", listed.items.len());
        }
    });
}

/// How many chunks there are of each profile, as a node knows it.
async fn coded(cluster: &Cluster, number: usize) -> Vec<(String, u64)> {
    let (world, node) = cluster.node(number);
    let ops = node.ops().clone();
    let status = on(world, async move { ops.cluster_status().await }).await.expect("tables");
    status.coded.into_iter().map(|(profile, count)| (profile.to_string(), count)).collect()
}

#[test]
fn chunks_of_one_node_are_coded_anew_when_two_more_join_and_outlive_the_first() {
    run(7, async |sim| {
        let mut cluster = Cluster::of(sim.clone(), 1).await;
        let share = cluster.share(1).await;
        let contents = [long(1_000, 7), long(300_000, 8), long(900_000, 9)];
        let mut files = Vec::new();
        for (at, content) in contents.iter().enumerate() {
            files.push(cluster.upload(1, &share, &format!("f{at}"), content).await);
        }
        let before = coded(&cluster, 1).await;
        let [(profile, count)] = &before[..] else { panic!("one profile: {before:?}") };
        assert!(profile == "1+0" && *count >= 3, "{before:?}");
        for node in [2, 3] {
            let join = cluster.invitation().await;
            let joined = start(&sim, node, Some(join)).await.expect("it may join");
            cluster.nodes.push(Some(joined));
        }
        cluster.voters(&[1, 2, 3]).await;
        // Somebody reads all the while.
        while coded(&cluster, 3).await != [("2+1".to_owned(), *count)] {
            for (file, content) in files.iter().zip(&contents) {
                assert!(cluster.content(2, file).await == *content);
            }
            sim.sleep(Duration::from_millis(200)).await;
        }
        cluster.crash(1);
        for (file, content) in files.iter().zip(&contents) {
            assert!(cluster.content(2, file).await == *content);
            assert!(cluster.content(3, file).await == *content);
        }
    });
}
