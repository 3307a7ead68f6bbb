//! Power losses at any change of the drives.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use chunkstore_core::shard::ChunkKey;
use futures_util::future::join_all;
use node_base::{Generation, Timestamp};
use simulator_world::Sim;

use super::{NODE, noise, open, simulate, tenant};
use crate::{GetError, NewChunk, Store};

/// What the store promised.
#[derive(Default)]
struct Promises {
    next: u64,
    kept: BTreeMap<ChunkKey, Bytes>,
    /// Chunks whose purge was begun: they may be there or not.
    leaving: BTreeMap<ChunkKey, Bytes>,
    gone: Vec<ChunkKey>,
}

type Shared = Arc<Mutex<Promises>>;

fn take<T>(promises: &Shared, what: impl FnOnce(&mut Promises) -> T) -> T {
    what(&mut promises.lock().expect("no panic while it was held"))
}

async fn put_some(store: &Store, promises: &Shared, sizes: Vec<usize>) {
    let from = take(promises, |p| {
        p.next += sizes.len() as u64;
        p.next - sizes.len() as u64
    });
    let chunks: Vec<NewChunk> = (from..)
        .zip(sizes)
        .map(|(n, len)| NewChunk {
            tenant: tenant(),
            generation: Generation(n),
            plain: noise(n, len),
            expected: None,
        })
        .collect();
    let results = store.put_many(chunks.clone()).await;
    for (chunk, result) in chunks.into_iter().zip(results) {
        let hash = result.expect("a drive that loses power answers nothing").hash;
        let key = ChunkKey { tenant: chunk.tenant, hash, generation: chunk.generation };
        take(promises, |p| p.kept.insert(key, chunk.plain));
    }
}

async fn purge_some(store: &Store, promises: &Shared, every: usize) {
    let keys: Vec<ChunkKey> = take(promises, |p| {
        let keys: Vec<ChunkKey> = p.kept.keys().step_by(every).copied().collect();
        for key in &keys {
            let plain = p.kept.remove(key).expect("it was there");
            p.leaving.insert(*key, plain);
        }
        keys
    });
    let at = Timestamp::from_millis(1000);
    store.delete(keys.clone(), at).await.expect("noted");
    let due = store.trashed_by(at, usize::MAX).await.expect("read");
    assert!(keys.iter().all(|key| due.contains(key)));
    store.purge(keys.clone()).await.expect("noted");
    take(promises, |p| {
        for key in keys {
            p.leaving.remove(&key);
            p.gone.push(key);
        }
    });
}

async fn work(sim: Sim, store: Store, promises: Shared) {
    loop {
        let sizes = |sim: &Sim| -> Vec<usize> {
            let most = [300, 5_000, 70_000, 200_000][sim.draw(0..4) as usize];
            (0..sim.draw(1..6)).map(|_| sim.draw(1..most) as usize).collect()
        };
        let puts = (0..sim.draw(1..4)).map(|_| put_some(&store, &promises, sizes(&sim)));
        let puts: Vec<_> = puts.collect();
        join_all(puts).await;
        match sim.draw(0..4) {
            0 => purge_some(&store, &promises, sim.draw(1..4) as usize).await,
            1 => drop(store.compact().await),
            2 => drop(store.scrub_all().await),
            _ => {}
        }
    }
}

async fn check(store: &Store, promises: &Shared, seed: u64) {
    let (kept, gone) = take(promises, |p| (p.kept.clone(), p.gone.clone()));
    for (key, plain) in kept {
        let found = store.get(&key).await;
        assert!(found.is_ok_and(|found| found == plain), "seed {seed}: {key:?} was promised");
        let verdict = store.verify(&key).await;
        assert!(verdict.missing.is_empty(), "seed {seed}: {key:?} lacks {:?}", verdict.missing);
    }
    for key in gone {
        let found = store.get(&key).await;
        assert!(matches!(found, Err(GetError::NotFound)), "seed {seed}: {key:?} came back");
    }
    let leaving = take(promises, |p| p.leaving.clone());
    for (key, plain) in leaving {
        match store.get(&key).await {
            Ok(found) => assert_eq!(found, plain, "seed {seed}"),
            // With several drives a purge that was cut short may leave too few.
            Err(GetError::NotFound | GetError::Damaged { .. }) => {}
            Err(error) => panic!("seed {seed}: {key:?}: {error}"),
        }
    }
}

fn crash_and_look(seed: u64) {
    simulate(seed, async |sim| {
        let drives = [1, 1, 2, 3, 4][sim.draw(0..5) as usize];
        let promises = Shared::default();
        for _ in 0..5 {
            let world = sim.world(NODE);
            sim.crash_instead_of_change(NODE, sim.draw(1..400));
            let (sim_here, promises_here) = (sim.clone(), Arc::clone(&promises));
            let here = world.clone();
            let task = world.spawn(async move {
                let store =
                    crate::Store::open(&here, super::folders(drives), super::settings()).await;
                // Opening may be what the crash interrupts.
                if let Ok(store) = store {
                    work(sim_here, store, promises_here).await;
                }
            });
            drop(task);
            sim.down(NODE).await;
            let world = sim.world(NODE);
            let here = world.clone();
            let promises = Arc::clone(&promises);
            super::on(&world, async move {
                let store = open(&here, drives).await;
                check(&store, &promises, seed).await;
            })
            .await;
        }
    });
}

#[test]
fn what_was_acknowledged_survives_power_losses_at_any_moment() {
    for seed in 0..24 {
        crash_and_look(seed);
    }
}
