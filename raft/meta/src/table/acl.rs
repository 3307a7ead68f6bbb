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
    /// What it names. For a copied membership the member's role decides, and this is empty.
    pub permissions: PermissionSet,
    pub applies_to: AppliesTo,
    /// 0 for an entry made here, n for one copied from n levels up.
    pub layer: u16,
    /// A copy of this principal's membership in the share: removed, expired or re-roled with it.
    pub membership: Option<Principal>,
}
