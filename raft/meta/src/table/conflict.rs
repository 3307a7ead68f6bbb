//! Conflicts: two changes that could not both be, kept until somebody or a strategy decides.

use node_base::{ConflictId, DeviceId, Name, ShareId, TenantId, Timestamp, UserId, VersionId};
use serde::{Deserialize, Serialize};

use super::item::{ItemId, Version};
use super::share::ConflictStrategy;
use super::tables;

tables! {
    Conflicts(100, "conflicts"): (TenantId, ConflictId) => Conflict;
    ShareConflicts(101, "share_conflicts"): (TenantId, ShareId, ConflictId) => ();
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConflictKind {
    Content,
    Name,
    EditDelete,
    DeleteEdit,
    Move,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conflict {
    pub share: ShareId,
    pub item: ItemId,
    pub kind: ConflictKind,
    pub device: Option<DeviceId>,
    pub user: UserId,
    pub base: Option<VersionId>,
    pub server_version: Option<VersionId>,
    /// The name that the client gave, where that was the matter, or a new file's.
    pub name: Option<Name>,
    /// The client's content, while it stands nowhere else. It counts against quotas.
    pub content: Option<Version>,
    /// What the client said of the file beside its content.
    pub stated: Stated,
    pub created_at: Timestamp,
    pub resolved: Option<Resolved>,
}

/// What a client says of its own file; what it leaves out stays as it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stated {
    pub client_modified_at: Option<Timestamp>,
    pub executable: Option<bool>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolved {
    pub at: Timestamp,
    pub by: UserId,
    pub strategy: ConflictStrategy,
}
