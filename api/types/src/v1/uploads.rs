//! Section 9: uploads, delta, and batches of small files.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::conflicts::Conflict;
use super::error::ItemError;
use super::files::File;
use crate::{Hash, Time};

/// A chunk that a client declares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeclaredChunk {
    pub sha256: Hash,
    #[schema(minimum = 1, maximum = 8388608)]
    pub size: u32,
}

/// A new upload session: with `chunk_size`, cut in fixed pieces; with `chunks`, as declared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CreateUpload {
    pub share_id: String,
    /// Ignored with `replace_file_id`.
    pub file_name: String,
    pub file_size: u64,
    /// Absent or `root`: the share's root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder_id: Option<String>,
    /// A power of two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 65536, maximum = 8388608, default = 4194304)]
    pub chunk_size: Option<u32>,
    /// Up to 10,000 here, in the order of the file; more by POST `/uploads/{id}/chunks`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_items = 10000)]
    pub chunks: Option<Vec<DeclaredChunk>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mime_type: Option<String>,
    /// The whole file's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checksum_sha256: Option<Hash>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replace_file_id: Option<String>,
    /// The version that the content was made from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_version_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_modified_at: Option<Time>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub executable: Option<bool>,
}

/// Where an upload session stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum UploadStatus {
    /// It takes chunks.
    Open,
    /// It became a version.
    Completed,
}

/// A session that was opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Upload {
    pub session_id: String,
    /// Null for chunks as declared.
    pub chunk_size: Option<u32>,
    pub total_chunks: u64,
    /// Indexes of the chunks to send.
    pub missing: Vec<u64>,
    pub expires_at: Time,
    pub status: UploadStatus,
}

/// More chunks of a session, behind the ones declared before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeclareChunks {
    #[schema(max_items = 10000)]
    pub chunks: Vec<DeclaredChunk>,
}

/// What a session knows after more chunks were declared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeclaredChunks {
    pub total_chunks: u64,
    /// Of the chunks just declared, the indexes of those to send.
    pub missing: Vec<u64>,
}

/// A chunk that arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReceivedChunk {
    pub index: u64,
    pub sha256: Hash,
    pub size: u32,
    /// It was there already, as far as the caller may know.
    pub deduplicated: bool,
}

/// What became of one chunk of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChunkStatus {
    Stored,
    Known,
    Rejected,
}

/// One chunk of a batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChunkResult {
    pub index: u64,
    pub status: ChunkStatus,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ItemError>,
}

/// The chunks of a batch, in its order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChunkResults {
    pub results: Vec<ChunkResult>,
}

/// The head of each chunk in the body of POST `/uploads/{id}/chunks/batch`:
///
/// ```text
/// 0        4         8
/// | index  | length  | length bytes |  repeated
/// ```
///
/// Both numbers are little-endian and unsigned: a reader on any machine takes them without turning
/// them round, and knows the length before the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchFrame {
    pub index: u32,
    pub length: u32,
}

impl BatchFrame {
    /// The length of a head.
    pub const LEN: usize = 8;

    pub fn to_bytes(self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[..4].copy_from_slice(&self.index.to_le_bytes());
        bytes[4..].copy_from_slice(&self.length.to_le_bytes());
        bytes
    }

    pub fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        let [a, b, c, d, e, f, g, h] = bytes;
        Self { index: u32::from_le_bytes([a, b, c, d]), length: u32::from_le_bytes([e, f, g, h]) }
    }
}

/// Where a session stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UploadState {
    pub status: UploadStatus,
    /// How many chunks need not be sent any more.
    pub received: u64,
    pub missing: Vec<u64>,
    pub expires_at: Time,
}

/// The body of POST `/uploads/{id}/complete`; it may be left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct CompleteUpload {
    /// The whole file's, where it was not known when the session was opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checksum_sha256: Option<Hash>,
}

/// The file that an upload became.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CompletedUpload {
    pub file_id: String,
    #[serde(flatten)]
    pub file: File,
}

/// Into which share a batch of files goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct FileBatchQuery {
    pub share_id: String,
}

/// One file of a batch. Its content is a part of the form, in the order of the items.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BatchItem {
    /// What the client calls it in the answer.
    pub client_ref: String,
    /// From `folder_id` or the share's root; folders that are missing are made.
    pub path: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replace_file_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_version_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_modified_at: Option<Time>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub executable: Option<bool>,
}

/// What became of one file of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum BatchStatus {
    Created,
    Replaced,
    Conflict,
    Rejected,
}

/// One file of a batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BatchResult {
    pub client_ref: String,
    pub status: BatchStatus,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<File>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conflict: Option<Conflict>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ItemError>,
}

/// The files of a batch, in its order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BatchResults {
    pub results: Vec<BatchResult>,
}
