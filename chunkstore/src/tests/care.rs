//! Placement, handoff, and what the store does by itself.

use std::path::Path;

use node_base::{ClusterMap, Duration, Epoch, Profile, Timestamp};

use super::{NODE, noise, on, open, put, simulate};

#[test]
fn the_profile_follows_the_number_of_drives() {
    for (drives, profile) in [(1, "1+0"), (2, "1+1"), (3, "2+1"), (4, "2+2"), (5, "3+2")] {
        simulate(1, async |sim| {
            let world = sim.world(NODE);
            let here = world.clone();
            on(&world, async move {
                let store = open(&here, drives).await;
                let plain = noise(1, 1 << 20);
                let generation = node_base::Generation(1);
                let stored = store.put(super::tenant(), generation, plain.clone(), None).await;
                let stored = stored.expect("the drives take it");
                assert_eq!(stored.profile.to_string(), profile);
                let each = (1_usize << 20).div_ceil(usize::from(stored.profile.data));
                assert_eq!(stored.stored_size, (each * stored.profile.shards()) as u64);
                let key =
                    crate::ChunkKey { tenant: super::tenant(), hash: stored.hash, generation };
                let verdict = store.verify(&key).await;
                assert_eq!(verdict.sound.len(), stored.profile.shards());
                assert_eq!(store.get(&key).await.expect("kept"), plain);
            })
            .await;
        });
    }
}

#[test]
fn shards_written_before_a_drive_came_are_brought_to_it() {
    simulate(2, async |sim| {
        let world = sim.world(NODE);
        let here = world.clone();
        let keys = on(&world, async move {
            let store = open(&here, 2).await;
            // A map that asks for more shards than there are drives.
            let profile = Some(Profile { data: 2, parity: 1 });
            let drives = store.drives();
            store.set_map(ClusterMap { epoch: Epoch(1), drives, profile });
            let mut keys = Vec::new();
            for n in 0..20 {
                keys.push(put(&store, n, 200_000).await);
            }
            assert_eq!(store.verify(&keys[0]).await.sound.len(), 3, "two share a drive");
            keys
        })
        .await;
        let world = sim.world(NODE);
        let here = world.clone();
        on(&world, async move {
            let store = open(&here, 3).await;
            let task = here.spawn({
                let store = store.clone();
                async move { store.care().await }
            });
            here.sleep(Duration::from_secs(300)).await;
            drop(task);
            for (n, key) in keys.iter().enumerate() {
                let verdict = store.verify(key).await;
                let drives: std::collections::BTreeSet<_> =
                    verdict.sound.iter().map(|(_, drive)| *drive).collect();
                assert_eq!((drives.len(), verdict.sound.len()), (3, 3), "chunk {n}");
                assert_eq!(store.get(key).await.expect("kept"), noise(n as u64, 200_000));
            }
        })
        .await;
    });
}

#[test]
fn a_scrub_goes_on_where_it_was_and_is_round_within_its_period() {
    simulate(4, async |sim| {
        let world = sim.world(NODE);
        let here = world.clone();
        let half = on(&world, async move {
            let store = open(&here, 1).await;
            for n in 0..100 {
                put(&store, n, 20_000).await;
            }
            here.sleep(Duration::from_secs(6 * 3600)).await;
            store.scrub_due().await;
            store.stats().drives[0].clone()
        })
        .await;
        assert!(half.scrubbed_bytes > 0 && half.scrubbed_bytes < half.live_bytes / 10);
        let world = sim.world(NODE);
        let here = world.clone();
        on(&world, async move {
            let store = open(&here, 1).await;
            assert_eq!(store.stats().drives[0].scrubbed_bytes, half.scrubbed_bytes);
            assert_eq!(store.stats().drives[0].scrub_cycles, 0);
            let report = store.scrub_all().await;
            assert_eq!(report.read_bytes, half.live_bytes - half.scrubbed_bytes);
            assert_eq!(store.stats().drives[0].scrub_cycles, 1);
        })
        .await;
    });
}

#[test]
fn care_gives_back_what_was_purged() {
    simulate(6, async |sim| {
        let world = sim.world(NODE);
        let here = world.clone();
        on(&world, async move {
            let store = open(&here, 1).await;
            let mut keys = Vec::new();
            for n in 0..40 {
                keys.push(put(&store, n, 60_000).await);
            }
            store.delete(keys[..30].to_vec(), Timestamp::from_millis(1)).await.expect("noted");
            store.purge(keys[..30].to_vec()).await.expect("noted");
            let before = store.stats().drives[0].pack_bytes;
            let task = here.spawn({
                let store = store.clone();
                async move { store.care().await }
            });
            here.sleep(Duration::from_secs(600)).await;
            drop(task);
            let stats = store.stats();
            assert!(stats.drives[0].pack_bytes < before / 2, "{stats:?}");
            assert_eq!(stats.drives[0].shards, 10);
            let packs = here.disk().list(Path::new("/drive-0/packs")).expect("a drive");
            let on_disk: u64 = packs.iter().map(|entry| entry.len).sum();
            assert!(on_disk < before / 2);
            for (n, key) in keys.iter().enumerate().skip(30) {
                assert_eq!(store.get(key).await.expect("kept"), noise(n as u64, 60_000));
            }
        })
        .await;
    });
}

#[test]
fn shards_of_a_drive_that_failed_go_to_the_next_in_rank_and_home_once_it_is_back() {
    simulate(7, async |sim| {
        let world = sim.world(NODE);
        let here = world.clone();
        on(&world, async move {
            let store = open(&here, 4).await;
            let drives = store.drives();
            let profile = Some(Profile { data: 2, parity: 1 });
            store.set_map(ClusterMap { epoch: Epoch(1), drives, profile });
            let failed = std::sync::Arc::clone(&store.0.drives[0]);
            failed.suspect();
            let mut keys = Vec::new();
            for n in 0..30 {
                keys.push(put(&store, n, 100_000).await);
            }
            assert_eq!(store.stats().drives[0].shards, 0);
            assert!(store.stats().drives[0].is_suspect);
            for key in &keys {
                assert_eq!(distinct_drives(&store, key).await, 3, "a spare stands in");
            }
            here.sleep(Duration::from_secs(31)).await;
            assert!(store.survey().await.mended_chunks > 10);
            let share = store.stats().drives[0].shards;
            assert!((12..=30).contains(&share), "three of four drives hold each: {share}");
            assert_eq!(store.survey().await.mended_chunks, 0, "all are home");
            for key in &keys {
                assert_eq!(distinct_drives(&store, key).await, 3);
            }
        })
        .await;
    });
}

#[test]
fn three_drives_of_which_one_failed_lately_take_chunks() {
    simulate(8, async |sim| {
        let world = sim.world(NODE);
        let here = world.clone();
        on(&world, async move {
            let store = open(&here, 3).await;
            store.0.drives[0].suspect();
            let key = put(&store, 1, 100_000).await;
            assert_eq!(distinct_drives(&store, &key).await, 2, "two share a drive");
            here.sleep(Duration::from_secs(31)).await;
            store.survey().await;
            assert_eq!(distinct_drives(&store, &key).await, 3);
        })
        .await;
    });
}

async fn distinct_drives(store: &crate::Store, key: &crate::ChunkKey) -> usize {
    let sound = store.verify(key).await.sound;
    assert_eq!(sound.len(), 3);
    sound.iter().map(|(_, drive)| *drive).collect::<std::collections::BTreeSet<_>>().len()
}
