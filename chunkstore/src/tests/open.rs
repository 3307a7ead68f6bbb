//! Starting on what is there.

use std::path::{Path, PathBuf};

use node_world::{OpenMode, World};

use super::{NODE, folders, noise, on, open, put, settings, simulate};
use crate::drive::{Drive, DriveSettings};
use crate::{Settings, Store};

fn write(world: &World, path: &str, bytes: &[u8], at: u64) {
    let file = world.disk().open(Path::new(path), OpenMode::Create).expect("a folder");
    file.write_at(bytes, at).expect("room");
    file.sync_data().expect("a drive");
}

async fn refused(world: &World, paths: Vec<PathBuf>, settings: Settings) -> String {
    let error = Store::open(world, paths, settings).await.err().expect("it is refused");
    error.to_string()
}

#[test]
fn what_is_not_our_drive_is_refused_and_told_why() {
    simulate(1, async |sim| {
        let world = sim.world(NODE);
        let here = world.clone();
        on(&world, async move {
            assert_eq!(refused(&here, vec![], settings()).await, "no drives are given");
            let store = open(&here, 1).await;
            assert_eq!(
                refused(&here, folders(1), settings()).await,
                "the drive at /drive-0 is in use by another process"
            );
            drop(store);
            let other = Settings { cluster: 9, ..settings() };
            assert_eq!(
                refused(&here, folders(1), other).await,
                "the drive at /drive-0 belongs to another cluster"
            );
            here.disk().create_folder(Path::new("/photos")).expect("room");
            write(&here, "/photos/cat.jpg", b"meow", 0);
            assert_eq!(
                refused(&here, vec!["/photos".into()], settings()).await,
                "the folder /photos holds cat.jpg, which is not a drive's"
            );
            let small = Settings { pack_bytes: 1, ..settings() };
            assert!(refused(&here, folders(1), small).await.starts_with("pack_bytes is from"));
            write(&here, "/drive-0/drive", &[2], 4);
            assert_eq!(
                refused(&here, folders(1), settings()).await,
                "the drive at /drive-0 was written by a newer version (format 2)"
            );
            write(&here, "/drive-0/drive", &[1, 0, 0, 0, 77], 4);
            let damaged = "the drive at /drive-0 has packs but its identity is missing or damaged";
            assert_eq!(refused(&here, folders(1), settings()).await, damaged);
            here.disk().remove(Path::new("/drive-0/drive")).expect("it is there");
            assert_eq!(refused(&here, folders(1), settings()).await, damaged);
        })
        .await;
    });
}

#[test]
fn a_drive_that_cannot_tell_which_one_it_is_is_left_out_and_the_others_serve() {
    simulate(2, async |sim| {
        let world = sim.world(NODE);
        let here = world.clone();
        let key = on(&world, async move { put(&open(&here, 3).await, 1, 100_000).await }).await;
        sim.crash(NODE);
        assert!(sim.rot(NODE, Path::new("/drive-1/drive"), 9, 1));
        let world = sim.world(NODE);
        let here = world.clone();
        on(&world, async move {
            let store = open(&here, 3).await;
            assert_eq!(store.drives().len(), 2);
            assert_eq!(store.get(&key).await.expect("two of three"), noise(1, 100_000));
            store.survey().await;
            store.survey().await;
            assert!(store.verify(&key).await.missing.is_empty());
        })
        .await;
    });
}

#[test]
fn an_index_made_from_hints_or_from_the_packs_alone_is_the_one_that_was() {
    for seed in 0..10 {
        simulate(seed, async |sim| {
            let world = sim.world(NODE);
            let here = world.clone();
            on(&world, async move {
                let store = open(&here, 1).await;
                let mut keys = Vec::new();
                for n in 0..80 {
                    keys.push(put(&store, n, 10_000 + (n as usize * 997) % 50_000).await);
                }
                let time = node_base::Timestamp::from_millis(7);
                store.delete(keys[10..30].to_vec(), time).await.expect("noted");
                store.restore(keys[10..15].to_vec()).await.expect("noted");
                store.purge(keys[15..25].to_vec()).await.expect("noted");
                if seed % 2 == 0 {
                    store.purge(keys[40..60].to_vec()).await.expect("noted");
                    assert!(store.compact().await.compacted_packs > 0);
                }
                let settings = DriveSettings { cluster: 0, pack_bytes: 1 << 19, reserve_bytes: 0 };
                // The live store is left open: what it has in memory is compared.
                let old = std::sync::Arc::clone(&store.0.drives[0]);
                drop(store);
                let reopen = |folder: &str| {
                    let drive = Drive::open(&here, Path::new(folder), settings);
                    drive.expect("the drive is ours")
                };
                copy_drive(&here, "/drive-0", "/with-hints", true);
                copy_drive(&here, "/drive-0", "/without", false);
                // Once more, now that the second one has made its hints anew.
                for folder in ["/with-hints", "/without", "/without"] {
                    let new = reopen(folder);
                    old.with_index(|old| {
                        new.with_index(|new| assert_eq!(old, new, "seed {seed} {folder}"));
                    });
                }
            })
            .await;
        });
    }
}

fn copy_drive(world: &World, from: &str, to: &str, hints: bool) {
    let disk = world.disk();
    disk.create_folder(&Path::new(to).join("packs")).expect("room");
    let packs = disk.list(&Path::new(from).join("packs")).expect("a drive");
    let names = packs.into_iter().map(|entry| format!("packs/{}", entry.name));
    for name in names.chain(["drive".to_owned()]) {
        if name.ends_with(".hint") && !hints {
            continue;
        }
        let source = disk.open(&Path::new(from).join(&name), OpenMode::Read).expect("there");
        let mut bytes = vec![0; source.len().expect("a length") as usize];
        source.read_at(&mut bytes, 0).expect("readable");
        write(world, &format!("{to}/{name}"), &bytes, 0);
    }
}

#[test]
fn a_rotten_head_in_the_open_pack_costs_its_own_shard_and_no_other() {
    simulate(5, async |sim| {
        let world = sim.world(NODE);
        let here = world.clone();
        let keys = on(&world, async move {
            let store = open(&here, 1).await;
            // The second chunk is full of what looks like records.
            let first = put(&store, 1, 30_000).await;
            let fake = bytes::Bytes::from(b"SDrc\x01\x01\0\0".repeat(5_000));
            let stored = store.put(super::tenant(), node_base::Generation(2), fake, None).await;
            stored.expect("bytes like any other");
            [first, put(&store, 3, 30_000).await, put(&store, 4, 30_000).await]
        })
        .await;
        sim.crash(NODE);
        assert!(sim.rot(NODE, Path::new("/drive-0/packs/00000000.pack"), 20, 1));
        let world = sim.world(NODE);
        let here = world.clone();
        on(&world, async move {
            let store = open(&here, 1).await;
            assert!(store.get(&keys[0]).await.is_err());
            assert_eq!(store.get(&keys[1]).await.expect("behind the rot"), noise(3, 30_000));
            assert_eq!(store.get(&keys[2]).await.expect("behind the rot"), noise(4, 30_000));
            assert_eq!(store.stats().drives[0].shards, 3);
        })
        .await;
    });
}

#[test]
fn a_store_that_was_closed_starts_without_reading_what_its_last_pack_holds() {
    for is_closed in [false, true] {
        simulate(6, async |sim| {
            let world = sim.world(NODE);
            let here = world.clone();
            on(&world, async move {
                let store = open(&here, 1).await;
                put(&store, 1, 30_000).await;
                put(&store, 2, 30_000).await;
                if is_closed {
                    store.close().await;
                    store.close().await;
                }
            })
            .await;
            sim.crash(NODE);
            // A start that reads the pack finds out; one that does not leaves it to the scrub.
            assert!(sim.rot(NODE, Path::new("/drive-0/packs/00000000.pack"), 20_000, 1));
            let world = sim.world(NODE);
            let here = world.clone();
            on(&world, async move {
                let store = open(&here, 1).await;
                assert_eq!(store.stats().drives[0].shards, if is_closed { 2 } else { 1 });
                put(&store, 3, 1_000).await;
                store.close().await;
            })
            .await;
        });
    }
}
