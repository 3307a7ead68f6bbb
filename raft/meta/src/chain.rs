//! From an item up to its share's root: what permissions, paths and the trash are derived from.

use node_base::{ShareId, TenantId, limits};

use crate::table;
use crate::table::acl::Target;
use crate::table::item::{Item, ItemId, ItemState, Items};
use crate::table::share::{Share, Shares};
use crate::tables::{Reader, TableError};

/// An item with all that is above it.
#[derive(Debug, Clone)]
pub struct Chain {
    pub share_id: ShareId,
    pub share: Share,
    /// The item first, then its folder, up to the one in the root. Empty for the root itself.
    pub items: Vec<(ItemId, Item)>,
}

impl Chain {
    /// The chain of an item; nothing when the item is not there or is being removed for good.
    pub fn of(
        tables: &dyn Reader,
        tenant: TenantId,
        item: ItemId,
    ) -> Result<Option<Self>, TableError> {
        let mut items: Vec<(ItemId, Item)> = Vec::new();
        let mut next = Some(item);
        while let Some(id) = next {
            if items.len() > limits::DEPTH_MAX {
                return Err(TableError::Invariant("a folder lies in itself"));
            }
            match table::get::<Items>(tables, &(tenant, id))? {
                Some(row) if row.state != ItemState::Purging => {
                    next = row.parent.map(ItemId::Folder);
                    items.push((id, row));
                }
                _ => return Ok(None),
            }
        }
        let share_id = items[0].1.share;
        Ok(Self::root(tables, tenant, share_id)?.map(|root| Self { items, ..root }))
    }

    /// The chain of a share's root; nothing when the share is not there.
    pub fn root(
        tables: &dyn Reader,
        tenant: TenantId,
        share_id: ShareId,
    ) -> Result<Option<Self>, TableError> {
        let share = table::get::<Shares>(tables, &(tenant, share_id))?;
        let live = share.filter(|share| !share.purging);
        Ok(live.map(|share| Self { share_id, share, items: Vec::new() }))
    }

    /// The chain of what a list can belong to.
    pub fn of_target(
        tables: &dyn Reader,
        tenant: TenantId,
        target: Target,
    ) -> Result<Option<Self>, TableError> {
        match target {
            Target::Share(share) => Self::root(tables, tenant, share),
            Target::Item(item) => Self::of(tables, tenant, item),
        }
    }

    /// What is at its bottom.
    pub fn target(&self) -> Target {
        let item = self.items.first();
        item.map_or(Target::Share(self.share_id), |(id, _)| Target::Item(*id))
    }

    /// The item itself; nothing for the root.
    pub fn item(&self) -> Option<&Item> {
        self.items.first().map(|(_, item)| item)
    }

    /// Whether it, a folder above it, or the share is in the trash.
    pub fn is_trashed(&self) -> bool {
        let trashed = |(_, item): &(_, Item)| matches!(item.state, ItemState::Trashed(_));
        self.share.trashed.is_some() || self.items.iter().any(trashed)
    }

    /// The chain of the folder that the item lies in.
    #[must_use]
    pub fn parent(&self) -> Self {
        let items = self.items.get(1..).unwrap_or_default().to_vec();
        Self { share_id: self.share_id, share: self.share.clone(), items }
    }
}
