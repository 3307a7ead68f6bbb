//! Finding out where a chunk's shards are, here and on other nodes, and what is amiss with it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chunkstore_core::home::{Plan, Seen, View, plan, responsible};
use chunkstore_core::shard::ChunkKey;
use chunkstore_core::stripe::Shape;
use node_base::{DriveId, NodeId};

use super::Inner;
use super::layout::Layout;
use crate::peer::{Found, KEYS_MAX, Key, Reply, Request};

/// What is known of one chunk.
#[derive(Clone, Debug)]
pub(super) struct Looked {
    pub(super) key: ChunkKey,
    pub(super) shape: Shape,
    pub(super) homes: Vec<DriveId>,
    pub(super) found: Vec<Found>,
    /// Drives of the homes' nodes that gave no answer.
    pub(super) silent: BTreeSet<DriveId>,
}

/// What there is to do about a chunk.
#[derive(Clone, Debug)]
pub(super) struct Amiss {
    pub(super) plan: Plan,
    /// The node that makes missing shards anew.
    pub(super) is_responsible: bool,
}

impl Looked {
    pub(super) fn is_trashed(&self) -> bool {
        self.found.iter().any(|found| found.is_trashed)
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        let seen = |found: &Found| {
            let Found { index, drive, is_sound, .. } = *found;
            Seen { index, drive, is_sound }
        };
        self.found.iter().map(seen).collect()
    }

    /// How many more shards could be lost before the chunk is: the fewer, the more urgent.
    pub(super) fn margin(&self) -> usize {
        let sound = self.found.iter().filter(|found| found.is_sound);
        let sound: BTreeSet<u8> = sound.map(|found| found.index).collect();
        sound.len().saturating_sub(self.shape.needed())
    }
}

impl Inner {
    /// Where these chunks' shards are, as far as the nodes know on which they belong.
    pub(super) async fn look_up(self: &Arc<Self>, chunks: &[(ChunkKey, Shape)]) -> Vec<Looked> {
        let layout = self.layout();
        let mut looked = Vec::with_capacity(chunks.len());
        let mut asked: BTreeMap<NodeId, Vec<usize>> = BTreeMap::new();
        for (at, (key, shape)) in chunks.iter().enumerate() {
            let homes = layout.ranked(key, shape.shards());
            let nodes: BTreeSet<NodeId> =
                homes.iter().filter_map(|home| layout.node_of(*home)).collect();
            for node in nodes.into_iter().filter(|node| *node != self.settings.node) {
                asked.entry(node).or_default().push(at);
            }
            // A drive that should be here and is not may come back.
            let own = |home: &&DriveId| layout.node_of(**home) == Some(self.settings.node);
            let silent = homes.iter().filter(own).filter(|home| self.drive(**home).is_none());
            let silent = silent.copied().collect();
            let (key, shape) = (*key, *shape);
            looked.push(Looked { key, shape, homes, found: self.found(&key), silent });
        }
        self.ask_about(&layout, &mut looked, asked).await;
        looked
    }

    /// Asks all nodes that were not asked yet about a chunk.
    pub(super) async fn look_further(self: &Arc<Self>, looked: &mut Looked) {
        let layout = self.layout();
        let asked: BTreeSet<NodeId> =
            looked.homes.iter().filter_map(|home| layout.node_of(*home)).collect();
        let others = self.others().into_iter().filter(|node| !asked.contains(node));
        let asked = others.map(|node| (node, vec![0])).collect();
        self.ask_about(&layout, std::slice::from_mut(looked), asked).await;
    }

    async fn ask_about(
        self: &Arc<Self>,
        layout: &Layout,
        looked: &mut [Looked],
        asked: BTreeMap<NodeId, Vec<usize>>,
    ) {
        let (mut requests, mut which) = (Vec::new(), Vec::new());
        for (node, places) in asked {
            for places in places.chunks(KEYS_MAX) {
                let keys = places.iter().map(|at| Key::from(looked[*at].key)).collect();
                requests.push((node, Request::Find { keys }));
                which.push(places.to_vec());
            }
        }
        let replies = self.ask_all(requests).await;
        for ((node, reply), places) in replies.into_iter().zip(which) {
            let Some(Reply::Find(found)) = reply else {
                for at in places {
                    let homes = looked[at].homes.clone().into_iter();
                    let there = homes.filter(|home| layout.node_of(*home) == Some(node));
                    looked[at].silent.extend(there);
                }
                continue;
            };
            for (at, found) in places.into_iter().zip(found) {
                looked[at].found.extend(found);
            }
        }
    }

    /// What there is for this node to do about a chunk.
    pub(super) fn judge(&self, looked: &Looked) -> Amiss {
        let Looked { homes, shape, silent, .. } = looked;
        let seen = looked.seen();
        let (shards, needed) = (shape.shards(), shape.needed());
        let plan = plan(&View { homes, shards, needed, seen: &seen, silent });
        let drive = responsible(homes, &seen);
        Amiss { plan, is_responsible: drive.is_some_and(|drive| self.drive(drive).is_some()) }
    }

    /// Whether it is this node that should act on it, by what it has and what it is responsible
    /// for.
    pub(super) fn is_to_act(&self, looked: &Looked, amiss: &Amiss) -> bool {
        let own: Vec<&Found> =
            looked.found.iter().filter(|found| self.drive(found.drive).is_some()).collect();
        let is_superfluous = |found: &&Found| amiss.plan.is_superfluous(found.index, found.drive);
        let is_rotten = |found: &&Found| !found.is_sound;
        own.iter().copied().any(|found| is_superfluous(&found) || is_rotten(&found))
            || (amiss.is_responsible && amiss.plan.missing() > 0)
    }
}
