//! Full drives, deletion, compaction.

use std::collections::BTreeSet;

use node_base::{Generation, Timestamp};
use simulator_world::{DiskFaults, Options, Simulation};

use super::{NODE, noise, on, open, put, simulate, tenant};
use crate::{GetError, ListCursor, NewChunk, PutError, Store};

async fn all_listed(store: &Store, limit: usize) -> Vec<crate::Listed> {
    let (mut all, mut cursor): (Vec<_>, Option<ListCursor>) = (Vec::new(), None);
    loop {
        let page = store.list(cursor, limit).await.expect("the drives answer");
        assert!(page.items.len() <= limit);
        all.extend(page.items);
        match page.next {
            Some(next) => cursor = Some(next),
            None => return all,
        }
    }
}

#[test]
fn a_full_drive_says_so_serves_on_and_takes_chunks_again_once_some_are_deleted() {
    for seed in 0..10 {
        simulate(seed, async |sim| {
            let world = sim.world(NODE);
            let faults = DiskFaults { capacity: Some(20 << 20), ..DiskFaults::default() };
            sim.set_disk_faults(NODE, faults);
            let here = world.clone();
            on(&world, async move {
                let store = open(&here, 1).await;
                let mut kept = Vec::new();
                let error = loop {
                    let n = kept.len() as u64;
                    let plain = noise(n, 150_000);
                    match store.put(tenant(), Generation(n), plain, None).await {
                        Ok(stored) => kept.push(crate::ChunkKey {
                            tenant: tenant(),
                            hash: stored.hash,
                            generation: Generation(n),
                        }),
                        Err(error) => break error,
                    }
                };
                assert!(matches!(error, PutError::Full), "{error}");
                assert!(kept.len() > 100);
                for (n, key) in kept.iter().enumerate() {
                    assert_eq!(store.get(key).await.expect("kept"), noise(n as u64, 150_000));
                }
                let (gone, left) = kept.split_at(kept.len() / 2);
                store.delete(gone.to_vec(), Timestamp::from_millis(1)).await.expect("the reserve");
                store.purge(gone.to_vec()).await.expect("the reserve");
                assert!(store.compact().await.compacted_packs > 0);
                for n in 1000..1020 {
                    put(&store, n, 150_000).await;
                }
                for (n, key) in (gone.len() as u64..).zip(left) {
                    assert_eq!(store.get(key).await.expect("kept"), noise(n, 150_000));
                }
            })
            .await;
        });
    }
}

#[test]
fn a_drive_that_fills_in_the_middle_of_a_write_is_left_as_it_was() {
    // Without a reserve the write itself meets the end of the drive.
    simulate(3, async |sim| {
        let world = sim.world(NODE);
        let here = world.clone();
        let settings = crate::Settings { reserve_bytes: 0, ..super::settings() };
        let wanted = settings.clone();
        let (store, first) = on(&world, async move {
            let store = Store::open(&here, super::folders(1), wanted).await.expect("a drive");
            let first = put(&store, 1, 100_000).await;
            (store, first)
        })
        .await;
        let here = store.clone();
        for capacity in [150_000, 200_000, 250_000] {
            let faults = DiskFaults { capacity: Some(capacity), ..DiskFaults::default() };
            sim.set_disk_faults(NODE, faults);
            let store = here.clone();
            on(&world, async move {
                let full = store.put(tenant(), Generation(2), noise(2, 180_000), None).await;
                assert!(matches!(full, Err(PutError::Full)), "{full:?}");
            })
            .await;
        }
        sim.set_disk_faults(NODE, DiskFaults::default());
        let second = on(&world, async move { put(&store, 2, 180_000).await }).await;
        let world = sim.world(NODE);
        let here = world.clone();
        on(&world, async move {
            let store = Store::open(&here, super::folders(1), settings).await.expect("a drive");
            assert_eq!(store.get(&first).await.expect("kept"), noise(1, 100_000));
            assert_eq!(store.get(&second).await.expect("kept"), noise(2, 180_000));
        })
        .await;
    });
}

#[test]
fn trash_can_be_read_and_taken_back_until_it_is_purged() {
    simulate(1, async |sim| {
        let world = sim.world(NODE);
        let here = world.clone();
        let keys = on(&world, async move {
            let store = open(&here, 2).await;
            let keys = [put(&store, 1, 1000).await, put(&store, 2, 100_000).await];
            store.delete(keys.to_vec(), Timestamp::from_millis(500)).await.expect("noted");
            let due = |by| store.trashed_by(Timestamp::from_millis(by), 10);
            assert_eq!(due(499).await.expect("read"), []);
            assert_eq!(due(500).await.expect("read").len(), 2);
            assert_eq!(store.get(&keys[0]).await.expect("in the trash"), noise(1, 1000));
            store.restore(vec![keys[0]]).await.expect("noted");
            assert_eq!(due(9999).await.expect("read"), [keys[1]]);
            keys
        })
        .await;
        let world = sim.world(NODE);
        let here = world.clone();
        on(&world, async move {
            let store = open(&here, 2).await;
            let due = store.trashed_by(Timestamp::from_millis(500), 10).await.expect("read");
            assert_eq!(due, [keys[1]], "the trash outlives a restart");
            store.purge(due).await.expect("noted");
            assert!(matches!(store.get(&keys[1]).await, Err(GetError::NotFound)));
            assert_eq!(store.get(&keys[0]).await.expect("taken back"), noise(1, 1000));
            assert_eq!(all_listed(&store, 1).await.len(), 2, "two copies of one chunk");
        })
        .await;
    });
}

#[test]
fn a_listing_goes_on_over_compaction_and_restart_and_names_each_shard_once() {
    for seed in 0..5 {
        simulate(seed, async |sim| {
            let world = sim.world(NODE);
            let here = world.clone();
            let (keys, first) = on(&world, async move {
                let store = open(&here, 3).await;
                let mut keys = Vec::new();
                for n in 0..60 {
                    keys.push(put(&store, n, 40_000).await);
                }
                let first = store.list(None, 25).await.expect("read");
                let gone: Vec<_> = keys.iter().copied().skip(1).step_by(2).collect();
                store.purge(gone.clone()).await.expect("noted");
                assert!(store.compact().await.compacted_packs > 0);
                keys.retain(|key| !gone.contains(key));
                (keys, first)
            })
            .await;
            let world = sim.world(NODE);
            let here = world.clone();
            on(&world, async move {
                let store = open(&here, 3).await;
                let (mut listed, mut cursor) = (first.items, first.next);
                while cursor.is_some() {
                    let page = store.list(cursor, 7).await.expect("read");
                    listed.extend(page.items);
                    cursor = page.next;
                }
                let places: BTreeSet<_> =
                    listed.iter().map(|item| (item.drive, item.key, item.index)).collect();
                assert_eq!(places.len(), listed.len(), "seed {seed}: none twice");
                for key in keys {
                    let found = listed.iter().filter(|item| item.key == key).count();
                    assert_eq!(found, 2, "seed {seed}: both copies of {key:?}");
                }
            })
            .await;
        });
    }
}

#[test]
fn what_is_no_chunk_is_refused_and_the_others_of_its_batch_are_stored() {
    simulate(1, async |sim| {
        let world = sim.world(NODE);
        let here = world.clone();
        on(&world, async move {
            let store = open(&here, 1).await;
            let chunk = |n, plain: bytes::Bytes, expected| NewChunk {
                tenant: tenant(),
                generation: Generation(n),
                plain,
                expected,
            };
            let other = node_base::sha256(b"other");
            let results = store
                .put_many(vec![
                    chunk(1, bytes::Bytes::new(), None),
                    chunk(2, noise(2, (8 << 20) + 1), None),
                    chunk(3, noise(3, 50), Some(other)),
                    chunk(4, noise(4, 50), Some(node_base::sha256(&noise(4, 50)))),
                    chunk(5, noise(5, 8 << 20), None),
                    chunk(6, bytes::Bytes::from(vec![1; 3 << 20]), None),
                ])
                .await;
            assert!(matches!(results[0], Err(PutError::Size { size: 0 })));
            assert!(matches!(results[1], Err(PutError::Size { size: 8_388_609 })));
            assert!(
                matches!(results[2], Err(PutError::Checksum { expected, .. }) if expected == other)
            );
            let stored = results[3].as_ref().expect("a chunk");
            assert_eq!((stored.size, stored.stored_size), (50, 50));
            assert_eq!(results[4].as_ref().expect("the largest chunk").size, 8 << 20);
            assert!(results[5].as_ref().expect("zeros").stored_size < 2000);
            let hash = results[5].as_ref().expect("zeros").hash;
            let key = crate::ChunkKey { tenant: tenant(), hash, generation: Generation(6) };
            assert_eq!(store.get(&key).await.expect("kept"), vec![1; 3 << 20]);
            let other = crate::ChunkKey { generation: Generation(7), ..key };
            assert!(matches!(store.get(&other).await, Err(GetError::NotFound)));
        })
        .await;
    });
}

#[test]
fn a_batch_of_small_chunks_is_one_write_and_one_sync() {
    let options = simulator_world::Options { trace_kept: 10_000, ..Default::default() };
    simulator_world::Simulation::new(1, options).run(async |sim| {
        let world = sim.world(NODE);
        let here = world.clone();
        let store = on(&world, async move { open(&here, 1).await }).await;
        let lines = |what: &str| {
            let trace = sim.trace().lines();
            trace.iter().filter(|line| line.contains(".pack") && line.contains(what)).count()
        };
        let (writes, syncs) = (lines(" write "), lines(" sync"));
        let here = store.clone();
        on(&world, async move {
            let chunks = (0..100).map(|n| NewChunk {
                tenant: tenant(),
                generation: Generation(n),
                plain: noise(n, 4096),
                expected: None,
            });
            let results = here.put_many(chunks.collect()).await;
            assert!(results.iter().all(Result::is_ok));
        })
        .await;
        assert_eq!((lines(" write ") - writes, lines(" sync") - syncs), (1, 1));
    });
}

/// A shard of the store's one drive, as it was written.
fn shard(store: &Store, key: &crate::ChunkKey) -> (chunkstore_core::shard::ShardHeader, Vec<u8>) {
    let (at, held) = store.0.sources(key)[0];
    let mut body = Vec::new();
    let out = &mut body;
    let header = store.0.drives[at].read(held.print, move |header| {
        out.resize(header.shape.shard_len(), 0);
        Some(&mut out[..])
    });
    (header.expect("readable"), body)
}

#[test]
fn a_pack_goes_only_when_what_took_its_shards_places_is_durable() {
    for seed in 0..12 {
        // Copied by compaction, or written again by somebody who has not synced yet.
        for is_written_again in [false, true] {
            let at_once = Simulation::new(
                seed,
                Options { blocking_max: node_base::Duration::ZERO, ..Options::default() },
            );
            at_once.run(async |sim| {
                let world = sim.world(NODE);
                let here = world.clone();
                let kept = on(&world, async move {
                    let store = open(&here, 1).await;
                    let kept = put(&store, 0, 100_000).await;
                    let mut gone = Vec::new();
                    for n in 1..6 {
                        gone.push(put(&store, n, 100_000).await);
                    }
                    store.purge(gone).await.expect("noted");
                    if is_written_again {
                        let (header, body) = shard(&store, &kept);
                        let record = crate::drive::shard_record(header, body.into());
                        // Nobody waits for it.
                        drop(store.0.drives[0].append(&[record], false).expect("room"));
                    }
                    assert_eq!(store.compact().await.compacted_packs, 1);
                    kept
                })
                .await;
                let world = sim.world(NODE);
                let here = world.clone();
                on(&world, async move {
                    let found = open(&here, 1).await.get(&kept).await;
                    let told = format!("seed {seed}, written again: {is_written_again}");
                    assert_eq!(found.expect(&told), noise(0, 100_000));
                })
                .await;
            });
        }
    }
}
