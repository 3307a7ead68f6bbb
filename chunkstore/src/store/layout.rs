//! The cluster maps in force: the newest says where shards belong, those before it where they may
//! still be.

use std::collections::{BTreeMap, BTreeSet};

use chunkstore_core::place::{candidates, rank};
use chunkstore_core::shard::ChunkKey;
use node_base::{ClusterMap, DriveId, Epoch, NodeId};

/// Earlier maps that are kept by themselves; what lies elsewhere yet is found by asking everybody.
const EARLIER_MAX: usize = 4;

/// The maps in force.
#[derive(Clone, Debug, Default)]
pub(crate) struct Layout {
    current: ClusterMap,
    /// The newest first.
    earlier: Vec<ClusterMap>,
    nodes: BTreeMap<DriveId, NodeId>,
}

impl Layout {
    /// From all maps in force, in any order.
    pub(crate) fn new(mut maps: Vec<ClusterMap>) -> Self {
        maps.sort_by_key(|map| map.epoch);
        let drives = maps.iter().flat_map(|map| &map.drives);
        // A later map overrules an earlier one.
        let nodes = drives.map(|drive| (drive.id, drive.node)).collect();
        let current = maps.pop().unwrap_or_default();
        maps.reverse();
        Self { current, earlier: maps, nodes }
    }

    /// The same with a newer map before the others.
    pub(crate) fn followed_by(&self, map: ClusterMap) -> Self {
        let known = std::iter::once(&self.current).chain(&self.earlier);
        let earlier = known.filter(|known| known.epoch < map.epoch).take(EARLIER_MAX).cloned();
        let earlier: Vec<ClusterMap> = earlier.collect();
        Self::new([vec![map], earlier].concat())
    }

    pub(crate) const fn current(&self) -> &ClusterMap {
        &self.current
    }

    pub(crate) const fn epoch(&self) -> Epoch {
        self.current.epoch
    }

    /// The node that has a drive.
    pub(crate) fn node_of(&self, drive: DriveId) -> Option<NodeId> {
        self.nodes.get(&drive).copied()
    }

    /// Drives of this node.
    pub(crate) fn drives_of(&self, node: NodeId) -> impl Iterator<Item = DriveId> {
        self.nodes.iter().filter(move |(_, on)| **on == node).map(|(drive, _)| *drive)
    }

    /// All nodes that any map names.
    pub(crate) fn nodes(&self) -> BTreeSet<NodeId> {
        self.nodes.values().copied().collect()
    }

    /// Whether any drive is another node's.
    pub(crate) fn is_shared(&self, own: NodeId) -> bool {
        self.nodes.values().any(|node| *node != own)
    }

    /// The first drives of the chunk's rank.
    pub(crate) fn ranked(&self, key: &ChunkKey, count: usize) -> Vec<DriveId> {
        rank(&self.current, key.tenant, key.hash, count)
    }

    /// All nodes, those first on which a chunk of so many shards belongs or belonged.
    pub(crate) fn nodes_of(&self, key: &ChunkKey, shards: usize) -> Vec<NodeId> {
        let maps: Vec<ClusterMap> =
            std::iter::once(&self.current).chain(&self.earlier).cloned().collect();
        let drives = candidates(&maps, key.tenant, key.hash, shards);
        let first = drives.into_iter().filter_map(|drive| self.node_of(drive));
        let mut seen = BTreeSet::new();
        first.chain(self.nodes()).filter(|node| seen.insert(*node)).collect()
    }

    /// The zone a node's drives are in.
    pub(crate) fn zone_of(&self, node: NodeId) -> Option<&str> {
        let drive = self.current.drives.iter().find(|drive| drive.node == node)?;
        Some(&drive.zone)
    }
}

#[cfg(test)]
mod tests {
    use chunkstore_core::shard::ChunkKey;
    use node_base::{ClusterMap, Drive, DriveId, Epoch, Generation, NodeId, TenantId, sha256};

    use super::Layout;

    fn map(epoch: u64, nodes: &[u64]) -> ClusterMap {
        let drive = |node: &u64| Drive {
            id: DriveId(u128::from(*node)),
            node: NodeId(*node),
            zone: "z".to_owned(),
            weight: 1,
        };
        let drives = nodes.iter().map(drive).collect();
        ClusterMap { epoch: Epoch(epoch), drives, profile: None }
    }

    #[test]
    fn earlier_maps_are_looked_through_after_the_newest_and_then_all_nodes() {
        let key =
            ChunkKey { tenant: TenantId::from(1), hash: sha256(b"x"), generation: Generation(1) };
        let layout = Layout::new(vec![map(1, &[7]), map(3, &[1, 2, 3]), map(2, &[8, 9])]);
        assert_eq!(layout.epoch(), Epoch(3));
        let order = layout.nodes_of(&key, 2);
        assert_eq!(
            order[..2],
            layout.ranked(&key, 2).iter().map(|d| NodeId(d.0 as u64)).collect::<Vec<_>>()
        );
        assert!([[8, 9], [9, 8]].contains(&[order[2].0, order[3].0]));
        assert_eq!((order[4], order.len()), (NodeId(7), 6));
        let next = layout.followed_by(map(5, &[4]));
        assert_eq!(next.nodes().len(), 7);
        assert!(next.is_shared(NodeId(4)) && !Layout::new(vec![map(1, &[4])]).is_shared(NodeId(4)));
    }
}
