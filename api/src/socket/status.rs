//! How this node stands, and the cluster as it sees it.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};

use super::cluster::{self, ClusterLine};
use crate::error::ApiError;
use crate::state::ApiState;

/// A node, its place in the agreement, and its drives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    pub version: String,
    pub node: u64,
    pub is_member: bool,
    pub leads: bool,
    pub leader: Option<u64>,
    pub term: u64,
    pub last_entry: Option<u64>,
    pub applied_entry: Option<u64>,
    pub log_bytes: u64,
    pub members: Vec<Member>,
    pub drives: Vec<DriveLine>,
    pub mended_shards: u64,
    pub lost_chunks: u64,
    pub compacted_bytes: u64,
    pub cluster: ClusterLine,
}

/// A node of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    pub node: u64,
    pub address: String,
}

/// A drive of this node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DriveLine {
    pub id: String,
    pub folder: String,
    pub total_bytes: Option<u64>,
    pub free_bytes: Option<u64>,
    pub shards: u64,
    pub live_bytes: u64,
    pub pack_bytes: u64,
    pub trashed_shards: u64,
    pub rotten_shards: u64,
    pub is_suspect: bool,
    pub scrubbed_bytes: u64,
    pub scrub_cycles: u64,
}

pub(super) async fn status(State(state): State<ApiState>) -> Result<Json<Status>, ApiError> {
    let cluster = cluster::look(&state).await?;
    let raft = state.ops.raft.status();
    let stats = state.ops.store.stats();
    let members = raft.members.into_iter();
    let drives = stats.drives.into_iter().map(|drive| DriveLine {
        id: drive.id.to_string(),
        folder: drive.folder.display().to_string(),
        total_bytes: drive.total_bytes,
        free_bytes: drive.free_bytes,
        shards: drive.shards,
        live_bytes: drive.live_bytes,
        pack_bytes: drive.pack_bytes,
        trashed_shards: drive.trashed_shards,
        rotten_shards: drive.rotten_shards,
        is_suspect: drive.is_suspect,
        scrubbed_bytes: drive.scrubbed_bytes,
        scrub_cycles: drive.scrub_cycles,
    });
    Ok(Json(Status {
        version: state.version.to_owned(),
        node: raft.node.0,
        is_member: raft.is_member,
        leads: raft.leads,
        leader: raft.leader.map(|leader| leader.0),
        term: raft.term,
        last_entry: raft.last_entry,
        applied_entry: raft.applied_entry,
        log_bytes: raft.log_bytes,
        members: members.map(|peer| Member { node: peer.node.0, address: peer.address }).collect(),
        drives: drives.collect(),
        mended_shards: stats.mended_shards,
        lost_chunks: stats.lost_chunks,
        compacted_bytes: stats.compacted_bytes,
        cluster,
    }))
}
