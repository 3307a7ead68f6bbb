//! Section 20: service endpoints.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Whether the process serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum HealthStatus {
    Healthy,
}

/// The answer of `/health`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Health {
    pub status: HealthStatus,
    pub version: String,
}

/// Whether the node can do its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReadyStatus {
    Ready,
    Unready,
}

/// One part of the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CheckStatus {
    Ok,
    Failed,
    /// This node does without that part.
    Off,
}

/// The parts of the node that were asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReadyChecks {
    pub raft: CheckStatus,
    pub storage: CheckStatus,
    pub identity: CheckStatus,
    pub search: CheckStatus,
}

/// The answer of `/ready`; 503 when a check failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Ready {
    pub status: ReadyStatus,
    pub checks: ReadyChecks,
}

/// What this installation offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[allow(clippy::struct_excessive_bools, reason = "the contract has a field for each feature")]
pub struct Features {
    pub semantic_search: bool,
    pub external_sharing: bool,
    pub smb_connector: bool,
    pub sharepoint_connector: bool,
}

/// What this installation takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ServiceLimits {
    pub max_file_size_bytes: u64,
    pub max_upload_chunk_size_bytes: u64,
}

/// The answer of `/config`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ServiceConfig {
    pub version: String,
    pub features: Features,
    pub limits: ServiceLimits,
}
