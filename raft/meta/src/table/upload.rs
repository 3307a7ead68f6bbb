//! Upload sessions and writer leases: the right to write bytes that a later commit will name.

use node_base::{
    ConflictId, FileId, Name, NodeId, Sha256, ShareId, TenantId, Timestamp, UploadId, UserId,
    VersionId, limits,
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
    /// When a session is to be looked at next: to expire it, or to forget one that has ended. It
    /// may have been active meanwhile; then the row moves on.
    UploadsDue(63, "uploads_due"): (Timestamp, TenantId, UploadId) => ();
    /// Manifests that nobody holds any more, with the wants of a session that gave up: to be
    /// released page by page.
    Dropped(64, "dropped"): (TenantId, UploadId) => ();
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
    /// How many are still wanted: different chunks (by content), or indexes (fixed).
    pub wanted: u64,
    pub mime_type: Option<String>,
    /// The whole file's, as the client gave it.
    pub checksum: Option<Sha256>,
    pub client_modified_at: Option<Timestamp>,
    pub executable: bool,
    pub created_at: Timestamp,
    /// When chunks were last declared or came, or the session ended.
    pub active_at: Timestamp,
    pub state: UploadState,
}

impl Upload {
    /// When it expires if nothing more comes, or is forgotten if it has ended.
    pub fn expires_at(&self) -> Timestamp {
        self.active_at.after(limits::UPLOAD_IDLE_MAX)
    }
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
    /// Its content was taken for something else than a version of a file: it is used up.
    Taken,
    Completed {
        file: FileId,
        version: VersionId,
        number: u32,
    },
    /// Its content is a conflict's.
    Conflicted {
        conflict: ConflictId,
    },
    Aborted,
    Expired,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Want {
    pub size: u32,
    /// Where in the file it stands first.
    pub first: u64,
    /// How often the file names it: so many references it gets when it comes. Until then it has
    /// none of this session's.
    pub count: u64,
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
