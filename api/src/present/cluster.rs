//! The cluster and its nodes.

use api_ops::meta::table::cluster::Seat;
use api_ops::{ClusterStatus as Status, NodeDrives as Told, NodeStatus};
use api_types::v1::cluster::{
    GarbageStatus, Layout, LayoutDrive, Node, NodeDrives, NodeGarbage, NodeRepair, NodeRole,
    NodeScrub, NodeSeat, NodeState, RepairStatus, ScrubStatus,
};
use node_base::ClusterMap;

pub const fn seat(row: Seat) -> NodeSeat {
    match row {
        Seat::MayVote => NodeSeat::MayVote,
        Seat::Learns => NodeSeat::Learns,
        Seat::Drains => NodeSeat::Drains,
        Seat::Removed => NodeSeat::Removed,
    }
}

pub const fn seat_row(seat: NodeSeat) -> Seat {
    match seat {
        NodeSeat::MayVote => Seat::MayVote,
        NodeSeat::Learns => Seat::Learns,
        NodeSeat::Drains => Seat::Drains,
        NodeSeat::Removed => Seat::Removed,
    }
}

/// The nodes that are of the cluster.
pub fn members(status: &Status) -> impl Iterator<Item = &NodeStatus> {
    status.nodes.iter().filter(|node| node.row.seat != Seat::Removed)
}

/// A node; `last` is the last entry that the node which is asked knows.
pub fn node(node: &NodeStatus, last: Option<u64>) -> Node {
    let role = match (node.row.seat, node.leads, node.votes) {
        (Seat::Removed, ..) => NodeRole::Removed,
        (_, true, _) => NodeRole::Leader,
        (_, _, true) => NodeRole::Voter,
        _ => NodeRole::Learner,
    };
    let applied = node.applied_entry;
    Node {
        id: node.row.id.0,
        address: node.row.address.clone(),
        zone: node.row.zone.clone(),
        seat: seat(node.row.seat),
        role,
        state: match (node.row.is_out, node.is_up) {
            (true, _) => NodeState::Out,
            (_, true) => NodeState::Up,
            _ => NodeState::Down,
        },
        lag_entries: applied.and_then(|entry| Some(last?.saturating_sub(entry))),
        is_needed: node.is_needed,
        drives: node.drives.map(|told| NodeDrives {
            drives: told.drives,
            suspect_drives: told.suspect_drives,
            total_bytes: told.total_bytes,
            free_bytes: told.free_bytes,
            shards: told.shards,
            live_bytes: told.live_bytes,
            pack_bytes: told.pack_bytes,
            rotten_shards: told.rotten_shards,
            shards_to_repair: told.shards_to_repair,
            misplaced_shards: told.misplaced_shards,
            mended_shards: told.mended_shards,
            lost_chunks: told.lost_chunks,
            scrubbed_bytes: told.scrubbed_bytes,
            scrub_cycles: told.scrub_cycles,
            settled_epoch: told.settled_epoch,
        }),
    }
}

pub fn layout(map: &ClusterMap) -> Layout {
    let drives = map.drives.iter().map(|drive| LayoutDrive {
        id: drive.id.to_string(),
        node_id: drive.node.0,
        zone: drive.zone.clone(),
        weight: drive.weight,
    });
    let profile = map.profile().to_string();
    Layout { epoch: map.epoch.0, profile, drives: drives.collect() }
}

/// What members say of their drives, and the numbers of those that say nothing.
fn told(status: &Status) -> (Vec<(u64, Told)>, Vec<u64>) {
    let (mut told, mut silent) = (Vec::new(), Vec::new());
    for node in members(status) {
        match node.drives {
            Some(drives) => told.push((node.row.id.0, drives)),
            None => silent.push(node.row.id.0),
        }
    }
    (told, silent)
}

pub fn sum(told: &[(u64, Told)], of: fn(&Told) -> u64) -> u64 {
    told.iter().map(|(_, drives)| of(drives)).fold(0, u64::saturating_add)
}

pub fn repair(status: &Status) -> RepairStatus {
    let (told, silent_node_ids) = told(status);
    let nodes = told.iter().map(|(node_id, drives)| NodeRepair {
        node_id: *node_id,
        shards_to_repair: drives.shards_to_repair,
        misplaced_shards: drives.misplaced_shards,
        mended_shards: drives.mended_shards,
        lost_chunks: drives.lost_chunks,
        recoded_chunks: drives.recoded_chunks,
        settled_epoch: drives.settled_epoch,
    });
    let coded = status.coded.iter().map(|(profile, count)| (profile.to_string(), *count));
    RepairStatus {
        shards_to_repair: sum(&told, |drives| drives.shards_to_repair),
        misplaced_shards: sum(&told, |drives| drives.misplaced_shards),
        mended_shards: sum(&told, |drives| drives.mended_shards),
        lost_chunks: sum(&told, |drives| drives.lost_chunks),
        chunks: coded.collect(),
        chunks_to_recode: status.chunks_to_recode,
        recoded_chunks: sum(&told, |drives| drives.recoded_chunks),
        nodes: nodes.collect(),
        silent_node_ids,
    }
}

pub fn scrub(status: &Status) -> ScrubStatus {
    let (told, silent_node_ids) = told(status);
    let nodes = told.iter().map(|(node_id, drives)| NodeScrub {
        node_id: *node_id,
        scrubbed_bytes: drives.scrubbed_bytes,
        pack_bytes: drives.pack_bytes,
        scrub_seconds: drives.scrub_seconds,
        scrub_cycles: drives.scrub_cycles,
        rotten_shards: drives.rotten_shards,
    });
    ScrubStatus {
        scrubbed_bytes: sum(&told, |drives| drives.scrubbed_bytes),
        pack_bytes: sum(&told, |drives| drives.pack_bytes),
        scrub_cycles: told.iter().map(|(_, drives)| drives.scrub_cycles).min().unwrap_or(0),
        rotten_shards: sum(&told, |drives| drives.rotten_shards),
        nodes: nodes.collect(),
        silent_node_ids,
    }
}

pub fn garbage(status: &Status) -> GarbageStatus {
    let (told, silent_node_ids) = told(status);
    let garbage = |drives: &Told| drives.pack_bytes.saturating_sub(drives.live_bytes);
    let nodes = told.iter().map(|(node_id, drives)| NodeGarbage {
        node_id: *node_id,
        trashed_shards: drives.trashed_shards,
        garbage_bytes: garbage(drives),
        compacted_bytes: drives.compacted_bytes,
    });
    GarbageStatus {
        condemned_chunks: status.collecting.condemned,
        reaped_chunks: status.collecting.reaped,
        holds: status.collecting.holds,
        trashed_shards: sum(&told, |drives| drives.trashed_shards),
        garbage_bytes: sum(&told, garbage),
        compacted_bytes: sum(&told, |drives| drives.compacted_bytes),
        nodes: nodes.collect(),
        silent_node_ids,
    }
}
