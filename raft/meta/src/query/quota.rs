//! Limits, and how much of them is used.

use node_base::{PartnerId, ShareId, TenantId, UserId};

use crate::table::item::{Body, Children, ItemId, Items, Parent, Trash, Versions};
use crate::table::people::{Principal, Tenants};
use crate::table::quota::{Quota, QuotaTarget, Quotas, Usage, Usages};
use crate::table::share::{Share, Shares};
use crate::table::{self};
use crate::tables::{Reader, TableError};
use std::ops::ControlFlow;

/// The limit that is set, if one is.
pub fn quota(tables: &dyn Reader, target: QuotaTarget) -> Result<Option<Quota>, TableError> {
    table::get::<Quotas>(tables, &(target,))
}

/// What counts against it.
pub fn counted(tables: &dyn Reader, target: QuotaTarget) -> Result<Usage, TableError> {
    Ok(table::get::<Usages>(tables, &(target,))?.unwrap_or_default())
}

/// What counts, and how much of it lies in the trash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Used {
    pub usage: Usage,
    /// Exact: found by walking what was deleted, so it costs as much as there is.
    pub trash_bytes: u64,
}

/// What counts against a limit, with the part that lies in the trash.
pub fn usage(tables: &dyn Reader, target: QuotaTarget) -> Result<Used, TableError> {
    let trash_bytes = match target {
        QuotaTarget::Share(tenant, id) => match table::get::<Shares>(tables, &(tenant, id))? {
            Some(share) => share_trash(tables, tenant, id, &share)?,
            None => 0,
        },
        QuotaTarget::User(tenant, user) => user_trash(tables, tenant, user)?,
        QuotaTarget::Group(tenant, group) => {
            let owner = Principal::Group(group);
            tenant_trash(tables, tenant, |share| share.owner == owner)?
        }
        QuotaTarget::Tenant(tenant) => tenant_trash(tables, tenant, |_| true)?,
        QuotaTarget::Partner(partner) => {
            let mut sum = 0;
            for tenant in tenants_of(tables, partner)? {
                sum += tenant_trash(tables, tenant, |_| true)?;
            }
            sum
        }
    };
    Ok(Used { usage: counted(tables, target)?, trash_bytes })
}

/// The tenants that a partner looks after.
pub(crate) fn tenants_of(
    tables: &dyn Reader,
    partner: PartnerId,
) -> Result<Vec<TenantId>, TableError> {
    let mut tenants = Vec::new();
    table::scan::<Tenants>(tables, &(), &mut |(id,), tenant| {
        if tenant.partner == partner {
            tenants.push(id);
        }
        ControlFlow::Continue(())
    })?;
    Ok(tenants)
}

fn tenant_trash(
    tables: &dyn Reader,
    tenant: TenantId,
    counts: impl Fn(&Share) -> bool,
) -> Result<u64, TableError> {
    let mut sum = 0;
    for ((_, id), share) in table::all::<Shares>(tables, &(tenant,))? {
        if counts(&share) {
            sum += share_trash(tables, tenant, id, &share)?;
        }
    }
    Ok(sum)
}

/// All of a share that is itself in the trash.
fn share_trash(
    tables: &dyn Reader,
    tenant: TenantId,
    id: ShareId,
    share: &Share,
) -> Result<u64, TableError> {
    if share.trashed.is_some() {
        return Ok(counted(tables, QuotaTarget::Share(tenant, id))?.used_bytes);
    }
    let mut walk = Walk { tables, tenant, share: id, owner: None, bytes: 0 };
    walk.trash()?;
    Ok(walk.bytes)
}

fn user_trash(tables: &dyn Reader, tenant: TenantId, user: UserId) -> Result<u64, TableError> {
    let mut sum = 0;
    for ((_, id), share) in table::all::<Shares>(tables, &(tenant,))? {
        let mut walk = Walk { tables, tenant, share: id, owner: Some(user), bytes: 0 };
        walk.trash()?;
        if share.trashed.is_some() {
            walk.below(None)?;
        }
        sum += walk.bytes;
    }
    Ok(sum)
}

/// Adds up the versions of files on the way down.
struct Walk<'a> {
    tables: &'a dyn Reader,
    tenant: TenantId,
    share: ShareId,
    /// Only files of this owner count.
    owner: Option<UserId>,
    bytes: u64,
}

impl Walk<'_> {
    fn trash(&mut self) -> Result<(), TableError> {
        for ((_, _, item), _) in table::all::<Trash>(self.tables, &(self.tenant, self.share))? {
            match item {
                ItemId::File(_) => self.file(item)?,
                ItemId::Folder(folder) => self.below(Some(folder))?,
            }
        }
        Ok(())
    }

    fn below(&mut self, folder: Parent) -> Result<(), TableError> {
        let mut folders = vec![folder];
        while let Some(folder) = folders.pop() {
            let key = (self.tenant, self.share, folder);
            for (_, child) in table::all::<Children>(self.tables, &key)? {
                match child.item {
                    ItemId::Folder(folder) => folders.push(Some(folder)),
                    ItemId::File(_) => self.file(child.item)?,
                }
            }
        }
        Ok(())
    }

    fn file(&mut self, item: ItemId) -> Result<(), TableError> {
        let ItemId::File(file) = item else { return Ok(()) };
        if let Some(owner) = self.owner {
            let row = table::get::<Items>(self.tables, &(self.tenant, item))?;
            if row.is_none_or(|row| row.owner != owner || row.body == Body::Folder) {
                return Ok(());
            }
        }
        table::scan::<Versions>(self.tables, &(self.tenant, file), &mut |_, version| {
            self.bytes += version.size;
            ControlFlow::Continue(())
        })
    }
}
