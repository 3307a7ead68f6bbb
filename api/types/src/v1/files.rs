//! Section 8: files.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{Hash, Patch, Time};

/// How far a file's checksum can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChecksumStatus {
    /// Taken from the client or not yet computed; checked in the background.
    Pending,
    /// Computed here from the bytes.
    Verified,
    /// The bytes are not what the client declared.
    Mismatch,
}

/// A file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct File {
    pub id: String,
    pub tenant_id: String,
    pub share_id: String,
    /// Null in the share's root.
    pub folder_id: Option<String>,
    pub name: String,
    /// From the share's root, with a leading slash.
    pub path: String,
    pub mime_type: String,
    pub size: u64,
    /// Null until it is known.
    pub checksum_sha256: Option<Hash>,
    pub checksum_status: ChecksumStatus,
    /// From 1, by one with each change of content.
    pub version: u32,
    pub version_id: String,
    pub owner_id: String,
    pub created_by: String,
    pub created_at: Time,
    pub modified_by: String,
    pub modified_at: Time,
    /// The file's own time on the client that sent it.
    pub client_modified_at: Option<Time>,
    /// The Unix bit.
    pub executable: bool,
    pub is_deleted: bool,
    pub vectorized_at: Option<Time>,
}

/// Which version of a file is meant; absent: the current one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct VersionQuery {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(minimum = 1)]
    pub version: Option<u32>,
}

/// The form of POST `/files`, described: it is read part by part as it comes.
#[derive(Debug, Clone, PartialEq, Eq, ToSchema)]
pub struct CreateFile {
    pub share_id: String,
    /// Absent or `root`: the share's root.
    pub folder_id: Option<String>,
    /// Absent: the file part's own name.
    pub name: Option<String>,
    pub client_modified_at: Option<Time>,
    pub executable: Option<bool>,
    /// The content; the last part.
    #[schema(value_type = String, format = Binary)]
    pub file: Vec<u8>,
}

/// A change of a file's metadata.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct PatchFile {
    #[serde(default, skip_serializing_if = "Patch::is_absent")]
    #[schema(value_type = String, required = false)]
    pub name: Patch<String>,
    #[serde(default, skip_serializing_if = "Patch::is_absent")]
    #[schema(value_type = Option<Time>)]
    pub client_modified_at: Patch<Time>,
    /// The Unix bit.
    #[serde(default, skip_serializing_if = "Patch::is_absent")]
    #[schema(value_type = bool, required = false)]
    pub executable: Patch<bool>,
    /// `false` restores from the trash.
    #[serde(default, skip_serializing_if = "Patch::is_absent")]
    #[schema(value_type = bool, required = false)]
    pub is_deleted: Patch<bool>,
}

/// One piece of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ManifestChunk {
    pub sha256: Hash,
    pub offset: u64,
    pub size: u32,
}

/// What a file is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Manifest {
    pub size: u64,
    pub checksum_sha256: Option<Hash>,
    /// In order, without gaps.
    pub chunks: Vec<ManifestChunk>,
    /// The version these are the chunks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version_id: Option<String>,
}
