//! The change log: per share, numbered without gaps; and per tenant, for those who follow all.

use node_base::{
    ChangeId, DeviceId, GroupId, Name, ShareId, TenantId, Timestamp, UserId, VersionId,
};
use serde::{Deserialize, Serialize};

use super::acl::{Entry, Target};
use super::item::Parent;
use super::people::Principal;
use super::tables;

tables! {
    Changes(50, "changes"): (TenantId, ShareId, u64) => Change;
    /// The tenant's order over the changes of all its shares.
    TenantChanges(51, "tenant_changes"): (TenantId, u64) => (ShareId, u64);
    ShareFeeds(52, "share_feeds"): (TenantId, ShareId) => Feed;
    TenantFeeds(53, "tenant_feeds"): (TenantId,) => Feed;
    /// The last changes by which something, and what lies in it, may have come into or out of sight
    /// for somebody.
    Turns(54, "turns"): (TenantId, ShareId, Target) => Turned;
}

/// The numbers of the last changes of what decides who sees a thing; 0 where there was none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Turned {
    /// Of its list of rights.
    pub list: u64,
    /// Of where it lies.
    pub place: u64,
    /// Of a share's memberships.
    pub members: u64,
    /// Of its owner, and of who is in a group that is named.
    pub people: u64,
}

/// What a change that decides who sees a thing is a change of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aspect {
    List,
    Place,
    Members,
    People,
}

impl Turned {
    pub fn note(&mut self, aspect: Aspect, number: u64) {
        *match aspect {
            Aspect::List => &mut self.list,
            Aspect::Place => &mut self.place,
            Aspect::Members => &mut self.members,
            Aspect::People => &mut self.people,
        } = number;
    }

    /// The last change of all.
    pub fn last(self) -> u64 {
        self.list.max(self.place).max(self.members).max(self.people)
    }

    /// The last change that a row about this aspect does not know of. A row about the list, or the
    /// place, says how all of that was before; one about a member speaks of that member alone.
    pub fn last_beside(mut self, aspect: Aspect) -> u64 {
        match aspect {
            Aspect::List => self.list = 0,
            Aspect::Place => self.place = 0,
            Aspect::Members | Aspect::People => {}
        }
        self.last()
    }
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

impl ListBefore {
    /// What the change was of.
    pub fn aspect(&self) -> Aspect {
        if self.owner.is_some() || self.grouping.is_some() {
            Aspect::People
        } else if self.member().is_some() {
            Aspect::Members
        } else {
            Aspect::List
        }
    }

    /// Whose membership changed, where that was the change; nothing in it for everybody's.
    pub fn member(&self) -> Option<Option<Principal>> {
        // Copies of memberships have layers; what tells of a change is written last, without one.
        let last = self.entries.last().filter(|entry| entry.layer == 0);
        last.and_then(|entry| entry.membership).map(|membership| membership.principal)
    }
}

/// A user that joined or left a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grouping {
    pub user: UserId,
    pub group: GroupId,
    /// Whether the user was in it before.
    pub was_in: bool,
}
