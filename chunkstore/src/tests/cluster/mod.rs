//! Stories of several nodes: each title tells cluster, fault and outcome.

mod lasting;
mod mending;
mod reading;
mod strangers;
mod writing;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use node_base::{ClusterMap, DriveId, Epoch, Generation, NodeId};
use node_world::{Peer, World};
use simulator_world::Sim;

use super::{noise, on, tenant};
use crate::{CareReport, ChunkKey, GetError, PutError, Settings, Store};

const CLUSTER: u128 = 77;

fn settings(node: NodeId) -> Settings {
    Settings { cluster: CLUSTER, node, ..super::settings() }
}

/// The stores of a cluster and the map they agreed on.
struct Cluster {
    sim: Sim,
    drives: usize,
    nodes: BTreeMap<NodeId, (World, Store)>,
    map: ClusterMap,
}

impl Cluster {
    /// So many nodes with so many drives each.
    async fn start(sim: &Sim, nodes: u64, drives: usize) -> Self {
        let mut cluster =
            Self { sim: sim.clone(), drives, nodes: BTreeMap::new(), map: ClusterMap::default() };
        for node in 1..=nodes {
            cluster.open(NodeId(node)).await;
        }
        cluster.agree(|_| {});
        cluster
    }

    /// Starts a node, or starts it again.
    async fn open(&mut self, node: NodeId) {
        let world = self.sim.world(node);
        let (here, drives) = (world.clone(), self.drives);
        let store = on(&world, async move {
            let store = Store::open(&here, super::folders(drives), settings(node)).await;
            store.expect("the drives are ours")
        })
        .await;
        self.nodes.insert(node, (world, store));
        self.tell();
    }

    fn stop(&mut self, node: NodeId) {
        self.sim.crash(node);
        self.nodes.remove(&node);
    }

    /// Makes the next map of the drives of all nodes that are up, changed by `change`.
    fn agree(&mut self, change: impl FnOnce(&mut ClusterMap)) {
        let drives = self.nodes.values().flat_map(|(_, store)| store.drives()).collect();
        let epoch = Epoch(self.map.epoch.0 + 1);
        self.map = ClusterMap { epoch, drives, profile: self.map.profile };
        change(&mut self.map);
        self.tell();
    }

    fn tell(&self) {
        let mut known: BTreeSet<NodeId> = self.map.drives.iter().map(|drive| drive.node).collect();
        known.extend(self.nodes.keys());
        for (_, store) in self.nodes.values() {
            if self.map.epoch > Epoch(0) {
                store.set_map(self.map.clone());
            }
            store.set_peers(known.iter().map(|node| self.sim.peer(*node)));
        }
    }

    fn store(&self, node: u64) -> Store {
        self.nodes[&NodeId(node)].1.clone()
    }

    /// Runs part of a story on a node.
    async fn on<T, F>(&self, node: u64, part: impl FnOnce(Store) -> F) -> T
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let (world, store) = &self.nodes[&NodeId(node)];
        on(world, part(store.clone())).await
    }

    async fn try_put(&self, node: u64, n: u64, len: usize) -> Result<ChunkKey, PutError> {
        let put = |store: Store| async move {
            store.put(tenant(), Generation(n), noise(n, len), None).await
        };
        let hash = self.on(node, put).await?.hash;
        Ok(ChunkKey { tenant: tenant(), hash, generation: Generation(n) })
    }

    async fn put(&self, node: u64, n: u64, len: usize) -> ChunkKey {
        self.try_put(node, n, len).await.expect("enough nodes take it")
    }

    async fn get(&self, node: u64, key: ChunkKey) -> Result<Bytes, GetError> {
        self.on(node, |store| async move { store.get(&key).await }).await
    }

    async fn survey(&self, node: u64) -> CareReport {
        self.on(node, |store| async move { store.survey().await }).await
    }

    /// Surveys on all nodes in turn, until none finds anything.
    async fn settle(&self) {
        for round in 0.. {
            assert!(round < 8, "surveys come to an end");
            let mut mended = 0;
            for node in self.nodes.keys() {
                let report = self.survey(node.0).await;
                mended += report.mended_chunks + report.postponed_chunks;
            }
            let is_settled =
                |(_, store): &(World, Store)| store.stats().settled == Some(self.map.epoch);
            if mended == 0 && self.nodes.values().all(is_settled) {
                return;
            }
        }
    }

    /// The sound shards of a chunk on all nodes that are up.
    async fn places(&self, key: ChunkKey) -> Vec<(u8, DriveId)> {
        let mut places = Vec::new();
        for node in self.nodes.keys() {
            let verdict = self.on(node.0, |store| async move { store.verify(&key).await }).await;
            assert!(verdict.rotten.is_empty(), "{key:?}");
            places.extend(verdict.sound);
        }
        places.sort_unstable();
        places
    }

    /// The chunk has each of its shards once, on drives and, where there are enough, nodes apart.
    async fn assert_home(&self, key: ChunkKey, shards: usize) {
        let places = self.places(key).await;
        let indexes: Vec<u8> = places.iter().map(|(index, _)| *index).collect();
        let all: Vec<u8> = (0..shards as u8).collect();
        assert_eq!(indexes, all, "{key:?}: {places:?}");
        let rank = chunkstore_core::place::rank(&self.map, key.tenant, key.hash, shards);
        let homes: BTreeSet<DriveId> = rank.into_iter().collect();
        let drives: BTreeSet<DriveId> = places.iter().map(|(_, drive)| *drive).collect();
        assert_eq!(drives, homes, "{key:?}");
    }

    fn peer(&self, node: u64) -> Peer {
        self.sim.peer(NodeId(node))
    }
}
