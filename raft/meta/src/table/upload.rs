//! Upload sessions and writer leases: the right to write bytes that a later commit will name.

use node_base::{
    FileId, Name, NodeId, Sha256, ShareId, TenantId, Timestamp, UploadId, UserId, VersionId,
};
use serde::{Deserialize, Serialize};

use super::item::Parent;
use super::tables;

tables! {
    Uploads(60, "uploads"): (TenantId, UploadId) => Upload;
    /// Chunks that a session named and that have not arrived.
    Wants(61, "wants"): (TenantId, UploadId, Sha256) => Want;
    /// Write ids that are open, by their agreed number. A number that is not here is closed.
    Writers(62, "writers"): (u64,) => Writer;
}

/// A session. Its pages are those of the manifest with the same id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upload {
    /// The agreed number of the session as a writer.
    pub writer: u64,
    pub user: UserId,
    pub share: ShareId,
    pub destination: Destination,
    pub size: u64,
    pub cutting: Cutting,
    /// What has been declared (by content) or has arrived (fixed): chunks and their bytes.
    pub chunks: u64,
    pub bytes: u64,
    /// How many different chunks are still wanted.
    pub wanted: u64,
    pub mime_type: Option<String>,
    /// The whole file's, as the client gave it.
    pub checksum: Option<Sha256>,
    pub client_modified_at: Option<Timestamp>,
    pub executable: bool,
    pub created_at: Timestamp,
    pub active_at: Timestamp,
    pub state: UploadState,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Destination {
    New { parent: Parent, name: Name },
    Replace { file: FileId, base: Option<VersionId> },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cutting {
    /// The client cuts by content and declares each chunk.
    Content,
    /// Every chunk but the last has this size.
    Fixed(u32),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum UploadState {
    Open,
    Completed { file: FileId, version: VersionId },
    Aborted,
    Expired,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Want {
    pub size: u32,
    /// Where in the file it stands, ascending.
    pub indexes: Vec<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Writer {
    Upload(TenantId, UploadId),
    /// A node's own, for files that come in one request.
    Lease {
        node: NodeId,
        opened_at: Timestamp,
    },
}
