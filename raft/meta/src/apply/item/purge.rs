//! Removal for good: at once for a file, in bounded steps for a folder.
//!
//! The root of what goes is marked, and is gone to every caller at once. What lies below is removed
//! from the leaves up by upkeep, a bounded number of rows a step, whatever the depth: each step
//! walks down from the root again.

use std::ops::ControlFlow;

use node_base::{Duration, Permission, ShareId, TenantId};

use super::place::{bottom, contents, permitted, record, save, undiscard, unlist};
use super::subtree::require_below;
use super::sweep::{Sweep, sweep};
use super::{trash, version};
use crate::apply::quota::{self, Delta};
use crate::apply::{Step, Stop, feed, people, permission};
use crate::outcome::Refusal;
use crate::table;
use crate::table::acl::Target;
use crate::table::change::Turns;
use crate::table::item::{Extents, Item, ItemId, ItemState, Items, Purges, TrashByAge};
use crate::table::people::Tenants;
use crate::table::share::Shares;
use crate::tables::{Reader, TableError};

/// Versions of a file that are removed with the command that removes the file.
const AT_ONCE_MAX: usize = 64;

/// For good, from the trash or at once: DELETE on it and on all that lies below.
pub(crate) fn item(step: &mut Step<'_>, id: ItemId) -> Result<(), Stop> {
    let chain = permitted(step, id, Permission::Delete)?;
    super::require_revision(step, &chain)?;
    let (tenant, _) = step.who()?;
    let (_, item) = bottom(&chain)?;
    let was_live = item.state == ItemState::Live;
    if was_live && chain.is_trashed() {
        return Err(Refusal::Trashed.into());
    }
    require_below(step, &chain, Permission::Delete)?;
    if was_live {
        let draft = trash::deletion(step.reader(), tenant, id, &item)?;
        feed::append(step, tenant, item.share, draft)?;
    }
    doom(step, tenant, id, item)?;
    let action = match id {
        ItemId::Folder(_) => "folder.purged",
        ItemId::File(_) => "file.purged",
    };
    record(step, tenant, action, id, Vec::new())?;
    if matches!(id, ItemId::File(_)) {
        release(step, tenant, id, AT_ONCE_MAX)?;
    }
    Ok(())
}

/// Marks an item as gone, and notes that it and what lies below is to be removed.
pub(crate) fn doom(
    step: &mut Step<'_>,
    tenant: TenantId,
    id: ItemId,
    mut item: Item,
) -> Result<(), Stop> {
    match item.state {
        ItemState::Live => unlist(step, tenant, id, &item)?,
        ItemState::Trashed(trashed) => undiscard(step, tenant, id, &item, trashed)?,
        ItemState::Purging => return Ok(()),
    }
    item.state = ItemState::Purging;
    save(step, tenant, id, &mut item)?;
    Ok(table::put::<Purges>(step.tables, &(tenant, id), &())?)
}

/// How long a share keeps what is in its trash: as its tenant says, or shorter.
fn trash_kept(
    tables: &dyn Reader,
    tenant: TenantId,
    share: ShareId,
) -> Result<Duration, TableError> {
    let row = table::get::<Tenants>(tables, &(tenant,))?;
    let row = row.ok_or(TableError::Invariant("a share's tenant is not there"))?;
    let own = table::get::<Shares>(tables, &(tenant, share))?;
    let own = own.and_then(|share| share.settings.trash_retention_days);
    let days = own.into_iter().fold(row.settings.trash_retention_days, u32::min);
    Ok(Duration::from_secs(u64::from(days) * 24 * 3600))
}

/// Marks for removal what has been in the trash longer than it is kept, at most `limit` items;
/// answers how many.
pub(crate) fn expire_trash(step: &mut Step<'_>, limit: u32) -> Result<u32, Stop> {
    sweep(step, Sweep::Trash, limit, |step, (tenant, share), limit| {
        let kept = trash_kept(step.reader(), tenant, share)?;
        let (now, mut old) = (step.now, Vec::new());
        table::scan::<TrashByAge>(step.reader(), &(tenant, share), &mut |key, ()| {
            if now.since(key.2) <= kept || old.len() >= limit as usize {
                return ControlFlow::Break(());
            }
            old.push(key.3);
            ControlFlow::Continue(())
        })?;
        for id in &old {
            let item = table::get::<Items>(step.reader(), &(tenant, *id))?;
            let item = item.ok_or(TableError::Invariant("a trashed item is not there"))?;
            doom(step, tenant, *id, item)?;
            record(step, tenant, "trash.expired", *id, Vec::new())?;
        }
        Ok(u32::try_from(old.len()).unwrap_or(u32::MAX))
    })
}

/// Marks for removal what lies in the root of a share that goes for good, trashed or not, at most
/// `limit` items; answers how many.
pub(crate) fn doom_root(
    step: &mut Step<'_>,
    tenant: TenantId,
    share: ShareId,
    limit: u32,
) -> Result<u32, Stop> {
    let ids = contents(step.reader(), tenant, share, None, limit as usize)?;
    let mut doomed = 0;
    for id in ids.into_iter().take(limit as usize) {
        let item = table::get::<Items>(step.reader(), &(tenant, id))?;
        let item = item.ok_or(TableError::Invariant("a listed item is not there"))?;
        doom(step, tenant, id, item)?;
        doomed += 1;
    }
    Ok(doomed)
}

/// Removes what was marked, at most `limit` rows of items and versions; answers how many.
pub(crate) fn release_purges(step: &mut Step<'_>, limit: u32) -> Result<u32, Stop> {
    let mut left = limit as usize;
    while left > 0 {
        let mut next = None;
        table::scan::<Purges>(step.reader(), &(), &mut |key, ()| {
            next = Some(key);
            ControlFlow::Break(())
        })?;
        let Some((tenant, id)) = next else { break };
        left -= release(step, tenant, id, left)?.min(left);
    }
    Ok(limit - u32::try_from(left).unwrap_or(limit))
}

/// Removes a marked subtree from its leaves up, at most `limit` rows; answers how many.
fn release(
    step: &mut Step<'_>,
    tenant: TenantId,
    root: ItemId,
    limit: usize,
) -> Result<usize, Stop> {
    let mut worked = 0;
    let mut path = vec![root];
    while let Some(id) = path.last().copied().filter(|_| worked < limit) {
        let item = table::get::<Items>(step.reader(), &(tenant, id))?;
        let item = item.ok_or(TableError::Invariant("an item to be removed is not there"))?;
        if let ItemId::Folder(folder) = id {
            let inside = contents(step.reader(), tenant, item.share, Some(folder), 0)?;
            if let Some(child) = inside.first() {
                path.push(*child);
                continue;
            }
        }
        let (rows, is_gone) = remove(step, tenant, id, &item, limit - worked)?;
        worked += rows;
        if is_gone {
            path.pop();
        }
    }
    Ok(worked)
}

/// Removes a folder that is empty, or a file as far as `limit` allows: how many rows, and whether
/// it is gone.
fn remove(
    step: &mut Step<'_>,
    tenant: TenantId,
    id: ItemId,
    item: &Item,
    limit: usize,
) -> Result<(usize, bool), Stop> {
    let target = Target::Item(id);
    let forgotten = people::user::forget_favorite(step, tenant, target, limit)?;
    if forgotten == limit {
        return Ok((forgotten, false));
    }
    let limit = limit - forgotten;
    let mut delta = Delta::default();
    let mut rows = forgotten + 1;
    match id {
        ItemId::Folder(folder) => {
            delta.folders = -1;
            table::delete::<Extents>(step.tables, &(tenant, folder))?;
        }
        ItemId::File(file) => {
            let dropped = version::drop_all(step, tenant, file, item, limit, &mut delta)?;
            if dropped == limit {
                quota::charge(step, tenant, item.share, item.owner, delta)?;
                return Ok((forgotten + dropped, false));
            }
            rows += dropped;
            delta.files = -1;
        }
    }
    quota::charge(step, tenant, item.share, item.owner, delta)?;
    match item.state {
        ItemState::Live => unlist(step, tenant, id, item)?,
        ItemState::Trashed(trashed) => undiscard(step, tenant, id, item, trashed)?,
        ItemState::Purging => table::delete::<Purges>(step.tables, &(tenant, id))?,
    }
    permission::forget(step, tenant, item.share, target)?;
    table::delete::<Turns>(step.tables, &(tenant, item.share, target))?;
    table::delete::<Items>(step.tables, &(tenant, id))?;
    Ok((rows, true))
}
