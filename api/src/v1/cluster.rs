//! Section 20: the cluster, for administrators of all.
//!
//! What the private socket lets the command line do, by the same operations. A node is not made
//! from here: it comes by itself, with a token that is.

use api_ops::meta::command::ClusterCommand;
use api_ops::meta::outcome::Noun;
use api_ops::meta::query::people;
use api_ops::meta::table::cluster::{Maps, Seat};
use api_ops::meta::{Command, Reader, Refusal, table};
use api_ops::{Call, ClusterStatus as Told, OpError};
use api_types::v1::PageQuery;
use api_types::v1::cluster::{
    AdmitNodes, ClusterHealth, ClusterLayout, ClusterStatus, GarbageStatus, JoinTicket, Node,
    NodeList, NodeState, RemoveNodeQuery, RepairStatus, ScrubStatus,
};
use axum::Json;
use axum::extract::{Path, State};
use node_base::{NodeId, limits};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::answer::{CreatedAs, Done};
use crate::error::ApiError;
use crate::extract::{Asked, Asking, Asks, bounds, part};
use crate::present::cluster as present;
use crate::socket::cluster::{SECONDS, USES};
use crate::state::ApiState;

pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(get_status))
        .routes(routes!(list_nodes, admit_nodes))
        .routes(routes!(remove_node))
        .routes(routes!(drain_node))
        .routes(routes!(get_layout))
        .routes(routes!(get_repair))
        .routes(routes!(get_scrub))
        .routes(routes!(get_garbage))
}

/// The cluster, for who may see it.
async fn look(state: &ApiState, call: &Call) -> Result<Told, OpError> {
    let judged = state.ops.ask(call, |tables, viewer| {
        people::require_partner_admin(tables, viewer, None)??;
        Ok(())
    });
    judged.await?;
    state.ops.cluster_status().await
}

fn nodes(state: &ApiState, told: &Told) -> Vec<Node> {
    let last = state.ops.raft.status().last_entry;
    present::members(told).map(|node| present::node(node, last)).collect()
}

fn node_id(text: &str) -> Result<NodeId, ApiError> {
    text.parse().map(NodeId).map_err(|_| ApiError::not_found(Noun::Node))
}

/// What is refused of a node is said of the address, which named it.
fn of_path(error: OpError) -> ApiError {
    match error {
        OpError::Refused(Refusal::Invalid { reason, .. }) => {
            ApiError::invalid("path", &["id"], reason.to_string())
        }
        error => error.into(),
    }
}

/// Look at the cluster
///
/// As the node sees it that is asked. With `consistency=stale` it answers without a quorum, too.
#[utoipa::path(get, path = "/cluster/status", operation_id = "get_cluster_status", tag = "cluster",
    responses((status = 200, description = "As it is now.", body = ClusterStatus)))]
async fn get_status(
    State(state): State<ApiState>,
    Asking(call): Asking,
) -> Result<Json<ClusterStatus>, ApiError> {
    let told = look(&state, &call).await?;
    let committed = state.ops.raft.committed_entry().await;
    let raft = state.ops.raft.status();
    let nodes = nodes(&state, &told);
    let up = nodes.iter().filter(|node| node.state == NodeState::Up).count();
    let repair = present::repair(&told);
    let sum = |of: fn(&api_types::v1::cluster::NodeDrives) -> u64| {
        nodes.iter().filter_map(|node| node.drives.as_ref()).map(of).sum()
    };
    let is_whole = up == nodes.len()
        && [repair.shards_to_repair, repair.lost_chunks, repair.chunks_to_recode] == [0; 3];
    Ok(Json(ClusterStatus {
        status: match (raft.leader, is_whole) {
            (None, _) => ClusterHealth::Unavailable,
            (_, true) => ClusterHealth::Healthy,
            (_, false) => ClusterHealth::Degraded,
        },
        node_id: raft.node.0,
        version: state.version.to_owned(),
        leader_id: raft.leader.map(|leader| leader.0),
        term: raft.term,
        commit_index: committed,
        apply_index: raft.applied_entry,
        log_bytes: raft.log_bytes,
        nodes: nodes.len() as u64,
        nodes_up: up as u64,
        voters: raft.voters.len() as u64,
        epoch: told.epoch(),
        layouts: told.maps.len() as u64,
        profile: told.profile.map(|profile| profile.to_string()),
        total_bytes: sum(|drives| drives.total_bytes),
        free_bytes: sum(|drives| drives.free_bytes),
        live_bytes: sum(|drives| drives.live_bytes),
        shards_to_repair: repair.shards_to_repair,
        lost_chunks: repair.lost_chunks,
    }))
}

/// List nodes
///
/// Those that were removed apart.
#[utoipa::path(get, path = "/cluster/nodes", operation_id = "list_nodes", tag = "cluster",
    params(PageQuery),
    responses((status = 200, description = "A page of nodes.", body = NodeList)))]
async fn list_nodes(
    State(state): State<ApiState>,
    Asking(call): Asking,
    Asks(query): Asks<PageQuery>,
) -> Result<Json<NodeList>, ApiError> {
    let bounds = bounds(query.limit, query.offset, limits::PAGE_MAX)?;
    let told = look(&state, &call).await?;
    let (nodes, total) = part(nodes(&state, &told), bounds);
    Ok(Json(NodeList { nodes, total }))
}

/// Let nodes join
///
/// Answers the token that a new node joins with, and where: `scaidrived join --via ADDRESS --token
/// TOKEN` on its own machine. The cluster keeps the token's hash alone.
#[utoipa::path(post, path = "/cluster/nodes", operation_id = "admit_nodes", tag = "cluster",
    request_body = AdmitNodes,
    responses((status = 201, description = "What to join with.", body = JoinTicket)))]
async fn admit_nodes(
    State(state): State<ApiState>,
    Asked(call, wish): Asked<AdmitNodes>,
) -> Result<CreatedAs<Json<JoinTicket>>, ApiError> {
    let (seconds, uses) = (wish.expires_in_seconds.unwrap_or(SECONDS), wish.uses.unwrap_or(USES));
    let token = state.ops.invite_for(&call, seconds, uses).await.map_err(|error| match error {
        OpError::Refused(Refusal::Invalid { field, reason }) if field == ["seconds"] => {
            ApiError::invalid("body", &["expires_in_seconds"], reason.to_string())
        }
        error => error.into(),
    })?;
    let via = state.ops.addresses().await?;
    Ok(CreatedAs(Json(JoinTicket { token, expires_in_seconds: seconds, uses, via })))
}

/// Drain a node
///
/// What its drives hold moves to the others; it may be removed once `is_needed` is false.
#[utoipa::path(post, path = "/cluster/nodes/{id}/drain", operation_id = "drain_node",
    tag = "cluster", params(("id" = u64, Path)),
    responses((status = 200, description = "The node as it is now.", body = Node)))]
async fn drain_node(
    State(state): State<ApiState>,
    Path(id): Path<String>,
    Asking(call): Asking,
) -> Result<Json<Node>, ApiError> {
    let node = node_id(&id)?;
    let drain = ClusterCommand::SetSeat { node, seat: Seat::Drains };
    state.ops.agree::<()>(&call, Command::Cluster(drain)).await.map_err(of_path)?;
    let told = look(&state, &call).await?;
    let mut nodes = nodes(&state, &told).into_iter();
    let node = nodes.find(|shown| shown.id == node.0);
    Ok(Json(node.ok_or_else(|| ApiError::not_found(Noun::Node))?))
}

/// Remove a node
///
/// For good: it is refused by the others from now on, and its number is never given again. While
/// it may hold what others lack this is 422, unless it is forced.
#[utoipa::path(delete, path = "/cluster/nodes/{id}", operation_id = "remove_node",
    tag = "cluster", params(("id" = u64, Path), RemoveNodeQuery),
    responses((status = 204, description = "It is of the cluster no more.")))]
async fn remove_node(
    State(state): State<ApiState>,
    Path(id): Path<String>,
    Asking(call): Asking,
    Asks(query): Asks<RemoveNodeQuery>,
) -> Result<Done, ApiError> {
    let node = node_id(&id)?;
    let remove = if query.force {
        ClusterCommand::SetSeat { node, seat: Seat::Removed }
    } else {
        ClusterCommand::RemoveDrained { node }
    };
    state.ops.agree::<()>(&call, Command::Cluster(remove)).await.map_err(of_path)?;
    state.ops.wait_until_unseated(node).await?;
    Ok(Done)
}

/// Look at the layout
///
/// Which drives hold data, by all layouts in force.
#[utoipa::path(get, path = "/cluster/layout", operation_id = "get_layout", tag = "cluster",
    responses((status = 200, description = "As it is now.", body = ClusterLayout)))]
async fn get_layout(
    State(state): State<ApiState>,
    Asking(call): Asking,
) -> Result<Json<ClusterLayout>, ApiError> {
    let asked = state.ops.ask(&call, |tables: &dyn Reader, viewer| {
        people::require_partner_admin(tables, viewer, None)??;
        Ok(table::all::<Maps>(tables, &())?)
    });
    let maps = asked.await?;
    let layouts: Vec<_> = maps.iter().rev().map(|(_, map)| present::layout(map)).collect();
    let epoch = layouts.first().map_or(0, |newest| newest.epoch);
    Ok(Json(ClusterLayout { epoch, layouts }))
}

/// Look at repair
#[utoipa::path(get, path = "/cluster/repair", operation_id = "get_repair", tag = "cluster",
    responses((status = 200, description = "As it is now.", body = RepairStatus)))]
async fn get_repair(
    State(state): State<ApiState>,
    Asking(call): Asking,
) -> Result<Json<RepairStatus>, ApiError> {
    Ok(Json(present::repair(&look(&state, &call).await?)))
}

/// Look at scrubbing
#[utoipa::path(get, path = "/cluster/scrub", operation_id = "get_scrub", tag = "cluster",
    responses((status = 200, description = "As it is now.", body = ScrubStatus)))]
async fn get_scrub(
    State(state): State<ApiState>,
    Asking(call): Asking,
) -> Result<Json<ScrubStatus>, ApiError> {
    Ok(Json(present::scrub(&look(&state, &call).await?)))
}

/// Look at the collection of garbage
#[utoipa::path(get, path = "/cluster/gc", operation_id = "get_garbage", tag = "cluster",
    responses((status = 200, description = "As it is now.", body = GarbageStatus)))]
async fn get_garbage(
    State(state): State<ApiState>,
    Asking(call): Asking,
) -> Result<Json<GarbageStatus>, ApiError> {
    Ok(Json(present::garbage(&look(&state, &call).await?)))
}
