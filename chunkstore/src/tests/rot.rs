//! Bits that turn, drives that die.

use std::path::Path;

use node_world::World;
use simulator_world::{DiskFaults, Sim};

use super::{NODE, noise, on, open, put, simulate};
use crate::{ChunkKey, GetError, Store};

/// Stores chunks of many sizes.
async fn fill(store: &Store) -> Vec<(u64, usize, ChunkKey)> {
    let mut all = Vec::new();
    for (n, len) in [10, 300_000, 70_000, 4_000, 65_536, 1_000_000, 1].into_iter().enumerate() {
        all.push((n as u64, len, put(store, n as u64, len).await));
    }
    all
}

/// Turns one bit in every so many bytes of a drive's packs.
async fn rot_packs(sim: &Sim, world: &World, drive: &str, every: u64) {
    let packs = Path::new(drive).join("packs");
    let here = world.clone();
    let folder = packs.clone();
    let entries = on(world, async move { here.disk().list(&folder) }).await.expect("a drive");
    for entry in entries.iter().filter(|entry| entry.name.ends_with(".pack")) {
        let mut at = sim.draw(0..every);
        while at < entry.len {
            sim.rot(NODE, &packs.join(&entry.name), at, sim.draw(0..8) as u8);
            at += every;
        }
    }
}

#[test]
fn one_drive_whose_packs_rot_is_never_served_from_and_scrub_counts_what_is_lost() {
    for seed in 0..10 {
        simulate(seed, async |sim| {
            let world = sim.world(NODE);
            let here = world.clone();
            let (store, all) = on(&world, async move {
                let store = open(&here, 1).await;
                let all = fill(&store).await;
                (store, all)
            })
            .await;
            rot_packs(&sim, &world, "/drive-0", 50_000).await;
            on(&world, async move {
                let mut lost = 0;
                for (n, len, key) in all {
                    match store.get(&key).await {
                        Ok(plain) => assert_eq!(plain, noise(n, len), "seed {seed}"),
                        Err(GetError::Damaged { .. } | GetError::Checksum) => lost += 1,
                        Err(error) => panic!("seed {seed}: {error}"),
                    }
                }
                assert!(lost >= 3, "seed {seed}: large chunks cannot be whole");
                assert!(store.scrub_all().await.lost_chunks > 0, "seed {seed}");
            })
            .await;
        });
    }
}

#[test]
fn three_drives_of_which_one_rots_serve_everything_and_are_mended_by_a_scrub() {
    for seed in 0..10 {
        simulate(seed, async |sim| {
            let world = sim.world(NODE);
            let here = world.clone();
            let (store, all) = on(&world, async move {
                let store = open(&here, 3).await;
                let all = fill(&store).await;
                (store, all)
            })
            .await;
            rot_packs(&sim, &world, "/drive-1", 20_000).await;
            on(&world, async move {
                for (n, len, key) in &all {
                    let plain = store.get(key).await.expect("two drives are sound");
                    assert_eq!(plain, noise(*n, *len), "seed {seed}");
                }
                store.scrub_all().await;
                let again = store.scrub_all().await;
                assert_eq!((again.mended_chunks, again.lost_chunks), (0, 0), "seed {seed}");
                for (_, _, key) in &all {
                    let verdict = store.verify(key).await;
                    assert!(verdict.is_readable && verdict.missing.is_empty(), "seed {seed}");
                    assert!(verdict.rotten.is_empty(), "seed {seed}");
                    let mut drives: Vec<_> = verdict.sound.iter().map(|(_, at)| *at).collect();
                    drives.dedup();
                    assert_eq!(drives.len(), verdict.sound.len(), "one drive each");
                }
                assert!(store.stats().mended_shards > 0);
            })
            .await;
        });
    }
}

#[test]
fn a_read_that_meets_rot_has_it_mended_in_the_background() {
    simulate(1, async |sim| {
        let world = sim.world(NODE);
        let here = world.clone();
        let (store, key) = on(&world, async move {
            let store = open(&here, 2).await;
            let key = put(&store, 1, 100_000).await;
            (store, key)
        })
        .await;
        for drive in ["/drive-0", "/drive-1"] {
            assert!(sim.rot(NODE, &Path::new(drive).join("packs/00000000.pack"), 90_000, 3));
            let (here, store) = (world.clone(), store.clone());
            on(&world, async move {
                assert_eq!(store.get(&key).await.expect("the other copy"), noise(1, 100_000));
                here.sleep(std::time::Duration::from_secs(1)).await;
                // Either this copy was not the one asked for, or it is sound again.
                store.get(&key).await.expect("a copy");
                here.sleep(std::time::Duration::from_secs(1)).await;
                store.scrub_all().await;
                assert_eq!(store.verify(&key).await.sound.len(), 2);
            })
            .await;
        }
        assert_eq!(store.stats().mended_shards, 2);
    });
}

#[test]
fn a_drive_that_died_is_replaced_by_an_empty_one_and_filled_again() {
    for seed in 0..5 {
        simulate(seed, async |sim| {
            let world = sim.world(NODE);
            let here = world.clone();
            let all = on(&world, async move { fill(&open(&here, 3).await).await }).await;
            sim.crash(NODE);
            sim.lose(NODE, Path::new("/drive-2")).expect("a path");
            let world = sim.world(NODE);
            let here = world.clone();
            on(&world, async move {
                let store = open(&here, 3).await;
                for (n, len, key) in &all {
                    let plain = store.get(key).await.expect("two drives are left");
                    assert_eq!(plain, noise(*n, *len), "seed {seed}");
                }
                store.survey().await;
                for (_, _, key) in &all {
                    let verdict = store.verify(key).await;
                    assert!(verdict.missing.is_empty(), "seed {seed}: {verdict:?}");
                }
                assert_eq!(store.survey().await.mended_chunks, 0, "seed {seed}");
            })
            .await;
        });
    }
}

#[test]
fn drives_that_fail_reads_and_misdirect_writes_never_make_the_store_lie() {
    for seed in 0..30 {
        simulate(seed, async |sim| {
            let world = sim.world(NODE);
            let here = world.clone();
            let store = on(&world, async move { open(&here, 3).await }).await;
            let faults = DiskFaults {
                read_error: 0.05,
                rot: 0.02,
                misdirected: 0.02,
                ..DiskFaults::default()
            };
            sim.set_disk_faults(NODE, faults);
            let here = store.clone();
            let all = on(&world, async move { fill(&here).await }).await;
            on(&world, async move {
                for round in 0..4 {
                    for (n, len, key) in &all {
                        if let Ok(plain) = store.get(key).await {
                            assert_eq!(plain, noise(*n, *len), "seed {seed} round {round}");
                        }
                    }
                    store.scrub_all().await;
                    store.compact().await;
                }
            })
            .await;
        });
    }
}

#[test]
fn what_is_known_to_be_rotten_is_so_too_where_compaction_has_brought_it() {
    simulate(3, async |sim| {
        let world = sim.world(NODE);
        let here = world.clone();
        let (store, keys) = on(&world, async move {
            let store = open(&here, 1).await;
            let mut keys = Vec::new();
            for n in 0..4 {
                keys.push(put(&store, n, 200_000).await);
            }
            (store, keys)
        })
        .await;
        // Two chunks fill a pack: of the first pack one rots, and the other is deleted.
        assert!(sim.rot(NODE, Path::new("/drive-0/packs/00000000.pack"), 300_000, 1));
        on(&world, async move {
            store.purge(vec![keys[0]]).await.expect("noted");
            assert_eq!(store.compact().await.compacted_packs, 1);
            assert_eq!(store.stats().drives[0].rotten_shards, 1);
            assert!(store.get(&keys[1]).await.is_err());
        })
        .await;
    });
}

#[test]
fn a_shard_whose_head_is_in_a_bad_sector_is_made_anew() {
    simulate(4, async |sim| {
        let world = sim.world(NODE);
        let here = world.clone();
        let (store, key) = on(&world, async move {
            let store = open(&here, 2).await;
            let key = put(&store, 1, 3_000).await;
            (store, key)
        })
        .await;
        let pack = Path::new("/drive-1/packs/00000000.pack");
        let bad = DiskFaults { read_error: 1.0, ..DiskFaults::default() };
        sim.set_disk_faults_below(NODE, pack, bad).expect("a path");
        let tried = store.clone();
        on(&world, async move { tried.survey().await }).await;
        assert_eq!(store.stats().drives.iter().map(|drive| drive.rotten_shards).sum::<u64>(), 1);
        sim.set_disk_faults_below(NODE, pack, DiskFaults::default()).expect("a path");
        on(&world, async move {
            store.survey().await;
            store.survey().await;
            assert_eq!(store.verify(&key).await.sound.len(), 2);
            assert_eq!(
                store.stats().drives.iter().map(|drive| drive.rotten_shards).sum::<u64>(),
                0
            );
        })
        .await;
    });
}
