//! The cluster, looked after from one of its nodes.

use std::collections::BTreeMap;

use api_types::v1::cluster::{Node, NodeSeat};
use axum::Json;
use axum::extract::State;
use node_base::NodeId;
use serde::{Deserialize, Serialize};

use crate::error::ApiError;
use crate::extract::Told;
use crate::present;
use crate::state::ApiState;

/// How long a join token is good, and how many nodes may join with it, unless somebody says.
pub(crate) const SECONDS: u32 = 3_600;
pub(crate) const USES: u32 = 1;

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

/// A node and the seat it is to have. A removal is refused while the node may hold what others
/// lack, unless it is forced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeatOrder {
    pub node: u64,
    pub seat: NodeSeat,
    #[serde(default)]
    pub force: bool,
}

/// A node of the cluster, as the public API shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeLine {
    pub node: u64,
    #[serde(flatten)]
    pub shown: Node,
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

/// All nodes that are of the cluster.
pub(super) async fn look(state: &ApiState) -> Result<ClusterLine, ApiError> {
    let status = state.ops.cluster_status().await?;
    let last = state.ops.raft.status().last_entry;
    let nodes = present::cluster::members(&status).map(|node| present::cluster::node(node, last));
    let nodes = nodes.map(|shown| NodeLine { node: shown.id, shown }).collect();
    let epoch = status.epoch();
    let coded = status.coded.into_iter();
    Ok(ClusterLine {
        nodes,
        epoch,
        maps: status.maps.len() as u64,
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
        NodeSeat::Removed if !order.force => state.ops.remove_drained(node).await?,
        seat => state.ops.set_seat(node, present::cluster::seat_row(seat)).await?,
    }
    Ok(Json(order))
}
