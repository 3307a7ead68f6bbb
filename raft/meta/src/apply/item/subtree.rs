//! Questions about all that lies below a folder, answered without looking at most of it.

use std::ops::ControlFlow;

use node_base::{Permission, ShareId, TenantId};

use super::place::{ITEMS_MAX, bottom, contents, parent_of};
use crate::access::{FolderFilter, Viewer};
use crate::apply::{Step, Stop};
use crate::chain::Chain;
use crate::outcome::{Invalid, Refusal};
use crate::table::acl::Listed;
use crate::table::item::{ItemId, Items};
use crate::table::{self};
use crate::tables::{Reader, TableError};

/// Refused unless the caller has the permission on everything below the item; the refusal names
/// nothing. The item itself is checked elsewhere.
///
/// What has no list of its own has what its folder hands down. So it is enough to look at what the
/// folder hands down, and at the items below that have lists. Only where that is not the same for
/// everybody's items, they are looked at one by one, a bounded number of them.
pub(super) fn require_below(
    step: &mut Step<'_>,
    chain: &Chain,
    permission: Permission,
) -> Result<(), Stop> {
    let (id, _) = bottom(chain)?;
    let viewer = Viewer::of(step.reader(), step.now, step.user()?)?;
    let tables = step.reader();
    let is_empty = match id {
        ItemId::File(_) => true,
        ItemId::Folder(_) => {
            contents(tables, viewer.tenant(), chain.share_id, parent_of(chain), 0)?.is_empty()
        }
    };
    if is_empty || viewer.passes_all() {
        return Ok(());
    }
    let hands = |chain: &Chain| -> Result<bool, TableError> {
        let filter = FolderFilter::of(tables, &viewer, chain)?;
        Ok(filter.hands().iter().all(|mask| mask.contains(permission)))
    };
    if !hands(chain)? {
        return walk(tables, &viewer, chain, permission);
    }
    for listed in listed_below(tables, viewer.tenant(), chain.share_id, id)? {
        if !viewer.mask(tables, &listed)?.contains(permission) {
            return Err(Refusal::PermissionDenied.into());
        }
        if matches!(listed.items.first(), Some((ItemId::Folder(_), _))) && !hands(&listed)? {
            return walk(tables, &viewer, chain, permission);
        }
    }
    Ok(())
}

/// The chains of the items below this one that have lists of their own, or do not inherit.
pub(super) fn listed_below(
    tables: &dyn Reader,
    tenant: TenantId,
    share: ShareId,
    top: ItemId,
) -> Result<Vec<Chain>, TableError> {
    let mut ids = Vec::new();
    table::scan::<Listed>(tables, &(tenant, share), &mut |(_, _, id), ()| {
        ids.push(id);
        ControlFlow::Continue(())
    })?;
    let mut below = Vec::new();
    for id in ids.into_iter().filter(|id| *id != top) {
        if let Some(chain) = Chain::of(tables, tenant, id)?
            && chain.items.iter().any(|(above, _)| *above == top)
        {
            below.push(chain);
        }
    }
    Ok(below)
}

fn walk(
    tables: &dyn Reader,
    viewer: &Viewer,
    chain: &Chain,
    permission: Permission,
) -> Result<(), Stop> {
    let (tenant, share) = (viewer.tenant(), chain.share_id);
    let mut open = vec![(parent_of(chain), FolderFilter::of(tables, viewer, chain)?)];
    let mut seen = 0;
    while let Some((folder, filter)) = open.pop() {
        for id in contents(tables, tenant, share, folder, ITEMS_MAX)? {
            seen += 1;
            if seen > ITEMS_MAX {
                return Err(too_many("to be looked at one by one").into());
            }
            let item = table::get::<Items>(tables, &(tenant, id))?;
            let item = item.ok_or(TableError::Invariant("a listed item is not there"))?;
            if !filter.mask(tables, id, &item)?.contains(permission) {
                return Err(Refusal::PermissionDenied.into());
            }
            if let ItemId::Folder(folder) = id {
                open.push((Some(folder), filter.descend(tables, folder, &item)?));
            }
        }
    }
    Ok(())
}

/// The refusal of what would have to touch more items than one command may.
pub(super) fn too_many(what: &str) -> Refusal {
    let rule = format!("more than {ITEMS_MAX} items lie below it, too many {what} at once");
    Refusal::invalid("id", Invalid::Rule(rule))
}
