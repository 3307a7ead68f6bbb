//! Section 20: the cluster, for who looks after it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// What part a node may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum NodeSeat {
    MayVote,
    /// It follows and serves, and never votes.
    Learns,
    /// What its drives hold moves to others: it is about to be removed.
    Drains,
    Removed,
}

/// What a node is in the agreement just now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum NodeRole {
    Leader,
    Voter,
    Learner,
    Removed,
}

/// Whether a node answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum NodeState {
    Up,
    Down,
    /// It was silent for so long that its drives are not counted on any more.
    Out,
}

/// A node of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Node {
    /// Its number, which is never given twice.
    pub id: u64,
    /// Where other nodes reach it.
    pub address: String,
    pub zone: String,
    pub seat: NodeSeat,
    pub role: NodeRole,
    pub state: NodeState,
    /// Entries that it has not applied yet; null while it does not answer.
    pub lag_entries: Option<u64>,
    /// Whether it may hold what others lack: it is not to be removed while that is so.
    pub is_needed: bool,
    /// Null while it does not answer.
    pub drives: Option<NodeDrives>,
}

/// A node's drives in sum, as the node says it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NodeDrives {
    pub drives: u64,
    pub suspect_drives: u64,
    pub total_bytes: u64,
    pub free_bytes: u64,
    pub shards: u64,
    pub live_bytes: u64,
    pub pack_bytes: u64,
    pub rotten_shards: u64,
    pub shards_to_repair: u64,
    pub misplaced_shards: u64,
    pub mended_shards: u64,
    pub lost_chunks: u64,
    pub scrubbed_bytes: u64,
    pub scrub_cycles: u64,
    pub settled_epoch: Option<u64>,
}

/// Nodes, in the order of their numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NodeList {
    pub nodes: Vec<Node>,
    pub total: u64,
}

/// How a cluster is, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClusterHealth {
    /// All nodes answer, and nothing is to be made anew.
    Healthy,
    /// It serves, with less to spare than it should have.
    Degraded,
    /// Nobody leads: nothing can be changed.
    Unavailable,
}

/// The cluster, as the node that is asked sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ClusterStatus {
    pub status: ClusterHealth,
    /// Of the node that answers.
    pub node_id: u64,
    pub version: String,
    pub leader_id: Option<u64>,
    pub term: u64,
    pub commit_index: Option<u64>,
    pub apply_index: Option<u64>,
    pub log_bytes: u64,
    /// Nodes that are of the cluster, and those of them that answer, and that vote.
    pub nodes: u64,
    pub nodes_up: u64,
    pub voters: u64,
    /// The newest layout, and how many are in force: more than one while shards move.
    pub epoch: u64,
    pub layouts: u64,
    /// How new chunks are coded, such as `2+1`.
    pub profile: Option<String>,
    /// Of the drives of all nodes that answer.
    pub total_bytes: u64,
    pub free_bytes: u64,
    pub live_bytes: u64,
    pub shards_to_repair: u64,
    pub lost_chunks: u64,
}

/// A drive, in a layout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LayoutDrive {
    pub id: String,
    pub node_id: u64,
    pub zone: String,
    /// Its share of the data, in GiB of capacity; zero takes no new data.
    pub weight: u32,
}

/// The drives that hold data, from some time on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Layout {
    pub epoch: u64,
    /// How chunks are coded that are new by this layout.
    pub profile: String,
    pub drives: Vec<LayoutDrive>,
}

/// The layouts in force. Shards are looked for by all of them, and move to where the newest says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ClusterLayout {
    /// Of the newest.
    pub epoch: u64,
    /// The newest first.
    pub layouts: Vec<Layout>,
}

/// What a join token is to be good for. Nodes come by themselves: `scaidrived join` with the token,
/// on the machine that is to be a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AdmitNodes {
    /// How long it is good for; an hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 2_592_000, default = 3600)]
    pub expires_in_seconds: Option<u32>,
    /// How many nodes may join with it; one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 1000, default = 1)]
    pub uses: Option<u32>,
}

/// What a node joins with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JoinTicket {
    /// A secret: whoever has it can become a node.
    pub token: String,
    pub expires_in_seconds: u32,
    pub uses: u32,
    /// Where nodes of the cluster listen for it; any of them will do.
    pub via: Vec<String>,
}

/// How a node is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct RemoveNodeQuery {
    /// Even while it may hold what others lack: for a node that never comes back.
    #[serde(default)]
    pub force: bool,
}

/// What one node does about shards that are missing, rotten or astray.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NodeRepair {
    pub node_id: u64,
    /// By its last survey: those it has to make anew, and its own that lie elsewhere.
    pub shards_to_repair: u64,
    pub misplaced_shards: u64,
    /// Since it started: shards made anew, chunks found without enough sound shards, chunks coded
    /// with another profile.
    pub mended_shards: u64,
    pub lost_chunks: u64,
    pub recoded_chunks: u64,
    /// The newest layout by which it found everything whole and at home.
    pub settled_epoch: Option<u64>,
}

/// Redundancy, and what is being done about it: sums over the nodes that answer, and each of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RepairStatus {
    pub shards_to_repair: u64,
    pub misplaced_shards: u64,
    pub mended_shards: u64,
    pub lost_chunks: u64,
    /// Chunks by how they are coded, and those that are to be coded as new ones are.
    pub chunks: BTreeMap<String, u64>,
    pub chunks_to_recode: u64,
    pub recoded_chunks: u64,
    pub nodes: Vec<NodeRepair>,
    /// Nodes that do not answer: what they would say is not in the sums.
    pub silent_node_ids: Vec<u64>,
}

/// How far a node has come with reading all it holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NodeScrub {
    pub node_id: u64,
    /// Of the round under way, and all there is to read.
    pub scrubbed_bytes: u64,
    pub pack_bytes: u64,
    /// How long the oldest round under way has been going on.
    pub scrub_seconds: u64,
    /// Rounds that all its drives have been through.
    pub scrub_cycles: u64,
    /// Found unreadable, and not mended yet.
    pub rotten_shards: u64,
}

/// Scrubbing: sums over the nodes that answer, and each of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ScrubStatus {
    pub scrubbed_bytes: u64,
    pub pack_bytes: u64,
    /// Of the node that has been through the fewest.
    pub scrub_cycles: u64,
    pub rotten_shards: u64,
    pub nodes: Vec<NodeScrub>,
    pub silent_node_ids: Vec<u64>,
}

/// What a node has yet to give back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NodeGarbage {
    pub node_id: u64,
    /// Deleted, and kept in the trash for a day.
    pub trashed_shards: u64,
    /// In packs, and of no live shard.
    pub garbage_bytes: u64,
    /// Given back by compaction since it started.
    pub compacted_bytes: u64,
}

/// Collecting what nobody needs: what is agreed, sums over the nodes that answer, and each of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GarbageStatus {
    /// Chunks without a reference, which are looked at once more before they go; counted up to
    /// 100,000.
    pub condemned_chunks: u64,
    /// Chunks that are gone from the tables, and not yet from the drives of all nodes; counted up
    /// to 100,000.
    pub reaped_chunks: u64,
    /// Backups under way, which hold what they name.
    pub holds: u64,
    pub trashed_shards: u64,
    pub garbage_bytes: u64,
    pub compacted_bytes: u64,
    pub nodes: Vec<NodeGarbage>,
    pub silent_node_ids: Vec<u64>,
}
