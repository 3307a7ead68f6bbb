//! The cluster, looked after from one of its nodes.

use std::collections::BTreeMap;

use api_ops::NodeStatus;
use api_ops::meta::table::cluster::Seat;
use axum::Json;
use axum::extract::State;
use node_base::NodeId;
use serde::{Deserialize, Serialize};

use crate::error::ApiError;
use crate::extract::Told;
use crate::state::ApiState;

/// How long a join token is good, and how many nodes may join with it, unless somebody says.
const SECONDS: u32 = 3_600;
const USES: u32 = 1;

/// What a join token may be used for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TokenWish {
    pub seconds: Option<u32>,
    pub uses: Option<u32>,
}

/// A join token, which is told this once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinToken {
    pub token: String,
    pub expires_in: u32,
    pub uses: u32,
}

/// What part a node may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SeatName {
    MayVote,
    Learns,
    Drains,
    Removed,
}

impl From<Seat> for SeatName {
    fn from(seat: Seat) -> Self {
        match seat {
            Seat::MayVote => Self::MayVote,
            Seat::Learns => Self::Learns,
            Seat::Drains => Self::Drains,
            Seat::Removed => Self::Removed,
        }
    }
}

impl From<SeatName> for Seat {
    fn from(seat: SeatName) -> Self {
        match seat {
            SeatName::MayVote => Self::MayVote,
            SeatName::Learns => Self::Learns,
            SeatName::Drains => Self::Drains,
            SeatName::Removed => Self::Removed,
        }
    }
}

/// A node and the seat it is to have. A removal is refused while the node may hold what others
/// lack, unless it is forced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeatOrder {
    pub node: u64,
    pub seat: SeatName,
    #[serde(default)]
    pub force: bool,
}

/// A node of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeLine {
    pub node: u64,
    pub address: String,
    pub zone: String,
    pub seat: SeatName,
    /// `leader`, `voter`, `learner` or `removed`.
    pub role: String,
    /// `up`, `down`, or `out` when its drives are not counted on any more.
    pub state: String,
    /// Entries that it has not applied yet.
    pub lag_entries: Option<u64>,
    /// Whether it may hold what others lack: it is not to be removed while that is so.
    pub is_needed: bool,
    /// Nothing while it does not answer.
    pub drives: Option<DrivesLine>,
}

/// A node's drives in sum.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrivesLine {
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

/// The cluster, as this node sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterLine {
    pub nodes: Vec<NodeLine>,
    /// The newest map's epoch, and how many maps are in force: more than one while shards move.
    pub epoch: u64,
    pub maps: u64,
    /// How new chunks are coded, such as `2+1`.
    pub profile: Option<String>,
    /// Chunks by how they are coded, and those that are to be coded as new ones are.
    pub chunks: BTreeMap<String, u64>,
    pub chunks_to_recode: u64,
}

fn line(node: NodeStatus, last: Option<u64>) -> NodeLine {
    let row = node.row;
    let role = match (row.seat, node.leads, node.votes) {
        (Seat::Removed, ..) => "removed",
        (_, true, _) => "leader",
        (_, _, true) => "voter",
        _ => "learner",
    };
    let state = match (row.is_out, node.is_up) {
        (true, _) => "out",
        (_, true) => "up",
        _ => "down",
    };
    let applied = node.applied_entry;
    NodeLine {
        node: row.id.0,
        address: row.address,
        zone: row.zone,
        seat: row.seat.into(),
        role: role.to_owned(),
        state: state.to_owned(),
        lag_entries: applied.and_then(|entry| Some(last?.saturating_sub(entry))),
        is_needed: node.is_needed,
        drives: node.drives.map(|told| DrivesLine {
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

/// All nodes that are of the cluster.
pub(super) async fn look(state: &ApiState) -> Result<ClusterLine, ApiError> {
    let status = state.ops.cluster_status().await?;
    let last = state.ops.raft.status().last_entry;
    let nodes = status.nodes.into_iter().filter(|node| node.row.seat != Seat::Removed);
    let nodes = nodes.map(|node| line(node, last)).collect();
    let coded = status.coded.into_iter();
    Ok(ClusterLine {
        nodes,
        epoch: status.epoch,
        maps: status.maps,
        profile: status.profile.map(|profile| profile.to_string()),
        chunks: coded.map(|(profile, count)| (profile.to_string(), count)).collect(),
        chunks_to_recode: status.chunks_to_recode,
    })
}

pub(super) async fn join_token(
    State(state): State<ApiState>,
    Told(wish): Told<TokenWish>,
) -> Result<Json<JoinToken>, ApiError> {
    let (seconds, uses) = (wish.seconds.unwrap_or(SECONDS), wish.uses.unwrap_or(USES));
    let token = state.ops.invite(seconds, uses).await?;
    Ok(Json(JoinToken { token, expires_in: seconds, uses }))
}

pub(super) async fn set_seat(
    State(state): State<ApiState>,
    Told(order): Told<SeatOrder>,
) -> Result<Json<SeatOrder>, ApiError> {
    let node = NodeId(order.node);
    match order.seat {
        SeatName::Removed if !order.force => state.ops.remove_drained(node).await?,
        seat => state.ops.set_seat(node, seat.into()).await?,
    }
    Ok(Json(order))
}
