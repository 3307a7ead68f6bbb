//! Short stories about whole stores on pretend drives. A failing run names its seed.

mod care;
mod cluster;
mod crash;
mod open;
mod rot;
mod space;

use std::path::PathBuf;

use bytes::Bytes;
use chunkstore_core::shard::ChunkKey;
use node_base::{Generation, NodeId, TenantId};
use node_world::World;
use simulator_world::{Options, Sim, Simulation};

use crate::{Settings, Store};

const NODE: NodeId = NodeId(1);

fn tenant() -> TenantId {
    TenantId::from(42)
}

/// Small packs, so that a few chunks fill many.
fn settings() -> Settings {
    Settings { pack_bytes: 512 << 10, reserve_bytes: 1 << 20, ..Settings::default() }
}

fn folders(drives: usize) -> Vec<PathBuf> {
    (0..drives).map(|n| PathBuf::from(format!("/drive-{n}"))).collect()
}

async fn open(world: &World, drives: usize) -> Store {
    Store::open(world, folders(drives), settings()).await.expect("the drives are ours")
}

/// Bytes that do not compress, told by a number.
fn noise(n: u64, len: usize) -> Bytes {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().update(&n.to_le_bytes()).finalize_xof().fill(&mut bytes);
    Bytes::from(bytes)
}

/// Stores a chunk of noise; its number is its generation.
async fn put(store: &Store, n: u64, len: usize) -> ChunkKey {
    let stored = store.put(tenant(), Generation(n), noise(n, len), None).await;
    let hash = stored.expect("the drives take it").hash;
    ChunkKey { tenant: tenant(), hash, generation: Generation(n) }
}

fn simulate<T: Send>(seed: u64, scenario: impl AsyncFnOnce(Sim) -> T + Send) -> T {
    // Captured unless the test fails.
    Simulation::new(seed, Options::default()).run(scenario)
}

/// Runs part of a story on the node, as a task of the incarnation whose world is given.
async fn on<T: Send + 'static>(world: &World, part: impl Future<Output = T> + Send + 'static) -> T {
    world.spawn(part).await.expect("the incarnation lives through this part")
}
