//! Anything at random, as long as no more is broken than the profile bears: what was acknowledged
//! is never lost.

use std::collections::{BTreeMap, BTreeSet};

use node_base::{ClusterMap, Duration, Generation, NodeId};
use simulator_world::{NetFaults, Sim};

use super::{Cluster, noise};
use crate::ChunkKey;
use crate::tests::simulate;

struct Story {
    sim: Sim,
    cluster: Cluster,
    kept: BTreeMap<ChunkKey, (u64, usize)>,
    next: u64,
    /// Nodes that are down or cut off.
    broken: BTreeSet<NodeId>,
    nodes: u64,
}

impl Story {
    fn draw(&self, most: u64) -> u64 {
        self.sim.draw(0..most)
    }

    /// A node that works.
    fn sound(&self) -> u64 {
        let sound: Vec<u64> =
            (1..=self.nodes).filter(|node| !self.broken.contains(&NodeId(*node))).collect();
        sound[self.draw(sound.len() as u64) as usize]
    }

    async fn step(&mut self) {
        match self.draw(13) {
            0..4 => self.put().await,
            4..6 => self.read().await,
            6 => self.break_one(),
            7 => self.mend_one().await,
            8 => drop(self.cluster.survey(self.sound()).await),
            9 => self.survey_meanwhile(),
            10 => self.black_out().await,
            11 => self.sim.sleep(Duration::from_millis(self.draw(40))).await,
            _ => self.change_map(),
        }
    }

    /// Some nodes survey, and whatever comes next comes in the middle of it.
    fn survey_meanwhile(&self) {
        for (world, store) in self.cluster.nodes.values() {
            let store = store.clone();
            drop(world.spawn(async move { store.survey().await }));
        }
    }

    /// All lose power at once, perhaps while a chunk is being written, and start again.
    async fn black_out(&mut self) {
        if self.draw(2) == 0 {
            let store = self.cluster.store(self.sound());
            let n = self.next;
            self.next += 1;
            let world = &self.cluster.nodes[&NodeId(self.sound())].0;
            drop(world.spawn(async move {
                store.put(super::tenant(), Generation(n), noise(n, 150_000), None).await
            }));
            self.sim.sleep(Duration::from_millis(self.draw(12))).await;
        }
        let up: Vec<NodeId> = self.cluster.nodes.keys().copied().collect();
        up.iter().for_each(|node| self.cluster.stop(*node));
        for node in up {
            self.cluster.open(node).await;
        }
        // The first were opened before the last could be asked.
        self.sim.sleep(Duration::from_secs(20)).await;
    }

    async fn put(&mut self) {
        let (n, len) = (self.next, 1 + self.draw([400, 70_000, 200_000][self.next as usize % 3]));
        self.next += 1;
        let put = self.cluster.try_put(self.sound(), n, len as usize).await;
        // A refusal is an answer too.
        if let Ok(key) = put {
            self.kept.insert(key, (n, len as usize));
        }
    }

    async fn read(&mut self) {
        let keys: Vec<ChunkKey> = self.kept.keys().copied().collect();
        if keys.is_empty() {
            return;
        }
        let key = keys[self.draw(keys.len() as u64) as usize];
        let (n, len) = self.kept[&key];
        let found = self.cluster.get(self.sound(), key).await;
        assert_eq!(found.expect("no more is broken than it bears"), noise(n, len));
    }

    /// Only once all is whole, so that what is broken at the same time stays within bounds.
    fn break_one(&mut self) {
        let parity = u64::from(self.cluster.map.profile().parity);
        if self.broken.len() as u64 >= parity {
            return;
        }
        let node = NodeId(self.sound());
        self.broken.insert(node);
        match self.draw(3) {
            0 => self.cluster.stop(node),
            // It goes a little later, in the middle of something.
            1 => self.sim.crash_instead_of_change(node, self.draw(30)),
            _ => {
                for other in (1..=self.nodes).map(NodeId).filter(|other| *other != node) {
                    self.sim.partition(node, other);
                }
            }
        }
    }

    /// Everything works again, and what was handed to others goes home.
    async fn mend_one(&mut self) {
        self.sim.heal();
        for node in std::mem::take(&mut self.broken) {
            self.cluster.stop(node);
            self.cluster.open(node).await;
        }
        self.cluster.tell();
        // Calls under way end, and nobody is a suspect any more.
        self.sim.sleep(Duration::from_secs(60)).await;
        self.cluster.settle().await;
        for key in self.kept.keys() {
            let places = self.cluster.places(*key).await;
            let indexes: BTreeSet<u8> = places.iter().map(|(index, _)| *index).collect();
            assert_eq!(indexes.len(), places.len(), "none is there twice");
        }
    }

    /// Weights change on some nodes; those cut off learn of it later.
    fn change_map(&mut self) {
        if !self.broken.is_empty() {
            return;
        }
        let (node, weight) = (NodeId(1 + self.draw(self.nodes)), 1 + self.draw(2000) as u32);
        self.cluster.agree(|map: &mut ClusterMap| {
            let drives = map.drives.iter_mut().filter(|drive| drive.node == node);
            drives.for_each(|drive| drive.weight = weight);
        });
    }
}

#[test]
fn what_was_acknowledged_is_never_lost_while_no_more_is_broken_than_the_profile_bears() {
    for seed in 0..32 {
        simulate(seed, async |sim| {
            let nodes = [2, 3, 4, 5][sim.draw(0..4) as usize];
            let cluster = Cluster::start(&sim, nodes, 1 + sim.draw(0..2) as usize).await;
            sim.set_net_faults(NetFaults { duplicate: 0.05, ..NetFaults::default() });
            let (kept, broken) = (BTreeMap::new(), BTreeSet::new());
            let mut story = Story { sim, cluster, kept, next: 0, broken, nodes };
            for _ in 0..60 {
                story.step().await;
            }
            story.mend_one().await;
            for (key, (n, len)) in &story.kept {
                let found = story.cluster.get(1, *key).await;
                assert_eq!(found.expect("kept"), noise(*n, *len), "seed {seed}");
            }
            assert!(!story.kept.is_empty());
        });
    }
}
