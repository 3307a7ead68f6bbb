//! Lists of permission entries.

use node_base::{AceId, PermissionSet, ShareId, TenantId};
use serde::{Deserialize, Serialize};

use super::item::ItemId;
use super::key::{KeyReader, Part};
use super::people::Principal;
use super::tables;

tables! {
    /// An item's own entries; no row where it has none.
    Lists(40, "lists"): (TenantId, Target) => Vec<Entry>;
    /// The items of a share that have entries of their own or do not inherit: who must look closer
    /// than at the root looks at these.
    Listed(41, "listed"): (TenantId, ShareId, ItemId) => ();
    /// The lists that name somebody. They go with the row of their item, which may be marked for
    /// removal long before: who reads looks twice.
    Named(42, "named"): (TenantId, Trustee, Target) => ();
}

/// What a list belongs to: a share's root, a folder or a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Target {
    Share(ShareId),
    Item(ItemId),
}

impl Part for Target {
    fn write(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Share(share) => {
                bytes.push(2);
                bytes.extend(share.to_bytes());
            }
            Self::Item(item) => item.write(bytes),
        }
    }

    fn read(reader: &mut KeyReader<'_>) -> Option<Self> {
        use node_base::{FileId, FolderId};
        match (reader.array()?, reader.array()?) {
            ([0], id) => Some(Self::Item(ItemId::Folder(FolderId::from_bytes(id)))),
            ([1], id) => Some(Self::Item(ItemId::File(FileId::from_bytes(id)))),
            ([2], id) => Some(Self::Share(ShareId::from_bytes(id))),
            _ => None,
        }
    }
}

/// Whom an entry speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Trustee {
    User(node_base::UserId),
    Group(node_base::GroupId),
    /// Every user of the tenant.
    Everyone,
    /// The owner of whatever inherits the entry.
    CreatorOwner,
}

impl Part for Trustee {
    fn write(&self, bytes: &mut Vec<u8>) {
        let (kind, id) = match self {
            Self::User(user) => (0, user.to_bytes()),
            Self::Group(group) => (1, group.to_bytes()),
            Self::Everyone => (2, [0; 16]),
            Self::CreatorOwner => (3, [0; 16]),
        };
        bytes.push(kind);
        bytes.extend(id);
    }

    fn read(reader: &mut KeyReader<'_>) -> Option<Self> {
        use node_base::{GroupId, UserId};
        match (reader.array()?, reader.array()?) {
            ([0], id) => Some(Self::User(UserId::from_bytes(id))),
            ([1], id) => Some(Self::Group(GroupId::from_bytes(id))),
            ([2], _) => Some(Self::Everyone),
            ([3], _) => Some(Self::CreatorOwner),
            _ => None,
        }
    }
}

impl From<Principal> for Trustee {
    fn from(principal: Principal) -> Self {
        match principal {
            Principal::User(user) => Self::User(user),
            Principal::Group(group) => Self::Group(group),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Effect {
    Deny,
    Allow,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum AppliesTo {
    ThisAndChildren,
    ThisOnly,
    ChildrenOnly,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub id: AceId,
    pub trustee: Trustee,
    pub effect: Effect,
    /// What it names. For a copied membership the member's role decides, and this is empty (but in
    /// a [`ListBefore`](super::change::ListBefore), where it says what the membership gave).
    pub permissions: PermissionSet,
    pub applies_to: AppliesTo,
    /// 0 for an entry made here, n for one copied from n levels up.
    pub layer: u16,
    /// A copy of a membership: removed, expired or re-roled with it.
    pub membership: Option<Membership>,
}

/// What a copied entry stands for. It means nothing where the item has moved to another share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Membership {
    pub share: ShareId,
    /// Whose membership; nothing for what everybody may do in a public share.
    pub principal: Option<Principal>,
}
