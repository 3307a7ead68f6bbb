//! Section 12: conflicts.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::ItemType;
use crate::Time;

/// What two sides did that does not go together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ConflictType {
    Content,
    Name,
    EditDelete,
    DeleteEdit,
    Move,
}

/// Whether a conflict waits for someone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ConflictStatus {
    Open,
    Resolved,
}

/// How a conflict is settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Strategy {
    ServerWins,
    ClientWins,
    LastWriterWins,
    KeepBoth,
    Manual,
}

/// A conflict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Conflict {
    pub id: String,
    pub tenant_id: String,
    pub share_id: String,
    pub device_id: Option<String>,
    pub user_id: String,
    pub resource_type: ItemType,
    pub resource_id: String,
    pub conflict_type: ConflictType,
    pub base_version_id: Option<String>,
    /// The version that holds what the client sent, where it is kept as one.
    pub client_version: Option<String>,
    pub server_version_id: Option<String>,
    pub status: ConflictStatus,
    pub resolution: Option<Strategy>,
    pub resolved_by: Option<String>,
    pub created_at: Time,
    pub resolved_at: Option<Time>,
}

/// Which conflicts are listed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ConflictsQuery {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_id: Option<String>,
    #[serde(default)]
    pub include_resolved: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(minimum = 1, maximum = 100, default = 50)]
    pub limit: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(minimum = 0, default = 0)]
    pub offset: Option<u32>,
}

/// Conflicts, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ConflictList {
    pub conflicts: Vec<Conflict>,
    pub total: u64,
}

/// How a conflict is to be settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ResolveQuery {
    #[param(inline)]
    pub resolution: Strategy,
}
