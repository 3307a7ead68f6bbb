//! The change log: per share, numbered without gaps; and per tenant, for those who follow all.

use node_base::{
    ChangeId, DeviceId, GroupId, Name, ShareId, TenantId, Timestamp, UserId, VersionId,
};
use serde::{Deserialize, Serialize};

use super::acl::{Entry, Target};
use super::item::Parent;
use super::tables;

tables! {
    Changes(50, "changes"): (TenantId, ShareId, u64) => Change;
    /// The tenant's order over the changes of all its shares.
    TenantChanges(51, "tenant_changes"): (TenantId, u64) => (ShareId, u64);
    ShareFeeds(52, "share_feeds"): (TenantId, ShareId) => Feed;
    TenantFeeds(53, "tenant_feeds"): (TenantId,) => Feed;
    /// The last change by which something, and what lies in it, may have come into or out of sight
    /// for somebody: of its rights, or of a folder's place.
    Turns(54, "turns"): (TenantId, ShareId, Target) => u64;
}

/// How far a log reaches. Numbers start at 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Feed {
    /// The oldest number that is kept is one above this.
    pub forgotten: u64,
    /// The newest number.
    pub last: u64,
    /// Of a tenant's order: rises when it is restored from a backup. A share has its own.
    pub incarnation: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ChangeKind {
    Created,
    Updated,
    Deleted,
    Moved,
    Renamed,
    Restored,
    Permissions,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    pub id: ChangeId,
    pub target: Target,
    pub kind: ChangeKind,
    /// Nobody, where a node did it.
    pub by: Option<UserId>,
    pub device: Option<DeviceId>,
    pub at: Timestamp,
    /// Where it is, or was when it was deleted.
    pub parent: Parent,
    pub name: Option<Name>,
    /// Where it was before, when that is elsewhere. Paths are derived by who reads.
    pub old: Option<(Parent, Name)>,
    pub version: Option<VersionId>,
    /// The version's number.
    pub number: Option<u32>,
    pub size: Option<u64>,
    /// It came with content: who follows asks for the snapshot of the folder. Where it was deleted:
    /// something below it had rights of its own.
    pub subtree: bool,
    /// What the item's own list was before a change of permissions, and whether it inherited: so
    /// that each reader is told of what was revealed to or hidden from that reader, and no more. Of
    /// what was deleted: what its list was then, for when its row is gone.
    pub before: Option<ListBefore>,
}

/// How the rights on one target were before a change of them.
///
/// For a share's root, an entry with a `membership` says what that membership gave before (an empty
/// mask: it did not exist); memberships that no entry speaks of are as they are now.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ListBefore {
    pub entries: Vec<Entry>,
    pub inherits: bool,
    /// The item's owner before, where the change was of the owner.
    pub owner: Option<UserId>,
    /// Who joined or left a group, where that was the change.
    pub grouping: Option<Grouping>,
}

/// A user that joined or left a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grouping {
    pub user: UserId,
    pub group: GroupId,
    /// Whether the user was in it before.
    pub was_in: bool,
}
