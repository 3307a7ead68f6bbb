//! Lists of a person's own: what they touched last, what others let them see, how full it is.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use node_base::{Permission, ShareId};

use super::denied::Denied;
use super::item;
use super::page::{Page, Pager};
use crate::access::{Memo, Viewer};
use crate::chain::Chain;
use crate::outcome::ItemView;
use crate::table;
use crate::table::acl::{Listed, Named, Target, Trustee};
use crate::table::change::{ChangeKind, Changes, TenantChanges};
use crate::table::item::{ItemId, Trash, Versions};
use crate::table::quota::{QuotaTarget, Usage, Usages};
use crate::tables::{Reader, TableError};

/// Changes that a list of recent items looks at.
const CHANGES_MAX: usize = 5_000;
/// Items of the trash that are summed one by one.
const SUMMED_MAX: usize = 10_000;

/// Files that the viewer made or changed last and may READ, the last one first: from the newest
/// changes of the tenant, a bounded number of them.
///
/// # Errors
/// Only when the tables fail.
pub fn list(
    tables: &dyn Reader,
    viewer: &Viewer,
    limit: usize,
) -> Result<Vec<ItemView>, TableError> {
    let tenant = viewer.tenant();
    let mut places = Vec::new();
    table::scan_back::<TenantChanges>(tables, &(tenant,), &mut |_, place| {
        places.push(place);
        if places.len() < CHANGES_MAX { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    let (mut seen, mut views) = (BTreeSet::new(), Vec::new());
    for (share, number) in places {
        if views.len() >= limit {
            break;
        }
        let Some(change) = table::get::<Changes>(tables, &(tenant, share, number))? else {
            continue;
        };
        let is_own = change.by == Some(viewer.user());
        let is_edit =
            matches!(change.kind, ChangeKind::Created | ChangeKind::Updated | ChangeKind::Renamed);
        let Target::Item(id @ ItemId::File(_)) = change.target else { continue };
        if !is_own || !is_edit || !seen.insert(id) {
            continue;
        }
        if let Some(chain) = Chain::of(tables, tenant, id)?.filter(|chain| !chain.is_trashed()) {
            viewer.note(tables, &chain, Permission::Read)?;
            let view = item::view(tables, viewer, &chain)?;
            views.extend(view.item.is_some().then_some(view));
        }
    }
    Ok(views)
}

/// The topmost items that the viewer may READ below a folder or root that is closed to them.
///
/// Only something with a list of its own can open what is closed above: the lists that name the
/// viewer, a group of theirs, or everybody are looked at.
///
/// # Errors
/// Only when the tables fail.
pub fn shared_items(
    tables: &dyn Reader,
    viewer: &Viewer,
    offset: u64,
    limit: u32,
) -> Result<Page<ItemView>, TableError> {
    let tenant = viewer.tenant();
    let mut memo = Memo::new(viewer);
    let mut tops = BTreeSet::new();
    for id in naming(tables, viewer)? {
        if let Some(chain) = Chain::of(tables, tenant, id)?.filter(|chain| !chain.is_trashed()) {
            opened(tables, viewer, &mut memo, &chain, &mut tops)?;
        }
    }
    let mut pager = Pager::new(offset, limit);
    for id in tops {
        pager.push(id);
    }
    let page = pager.page();
    let mut items = Vec::with_capacity(page.items.len());
    for id in page.items {
        if let Some(chain) = Chain::of(tables, tenant, id)? {
            items.push(item::view(tables, viewer, &chain)?);
        }
    }
    Ok(Page { items, total: page.total })
}

/// The items whose lists name the viewer in some way.
fn naming(tables: &dyn Reader, viewer: &Viewer) -> Result<BTreeSet<ItemId>, TableError> {
    let fixed = [Trustee::Everyone, Trustee::CreatorOwner];
    let trustees = viewer.principals().map(Trustee::from).chain(fixed);
    let mut ids = BTreeSet::new();
    for trustee in trustees {
        table::scan::<Named>(tables, &(viewer.tenant(), trustee), &mut |(_, _, target), ()| {
            if let Target::Item(id) = target {
                ids.insert(id);
            }
            ControlFlow::Continue(())
        })?;
    }
    Ok(ids)
}

/// Adds what is topmost of a thing with a list: the thing itself, or, where only what lies in it is
/// open, that.
fn opened(
    tables: &dyn Reader,
    viewer: &Viewer,
    memo: &mut Memo<'_>,
    chain: &Chain,
    tops: &mut BTreeSet<ItemId>,
) -> Result<(), TableError> {
    let Some((id, row)) = chain.items.first() else { return Ok(()) };
    if !table::has::<Listed>(tables, &(viewer.tenant(), row.share, *id))? {
        return Ok(());
    }
    if viewer.mask(tables, chain)?.contains(Permission::Read) {
        if !viewer.mask(tables, &chain.parent())?.contains(Permission::Read) {
            tops.insert(*id);
        }
        return Ok(());
    }
    let ItemId::Folder(folder) = id else { return Ok(()) };
    let inside = table::all::<crate::table::item::Children>(
        tables,
        &(viewer.tenant(), row.share, Some(*folder)),
    )?;
    for (_, child) in inside {
        if let Some(filter) = memo.folder(tables, row.share, Some(*folder))?
            && filter.may_read(tables, &child)?
        {
            tops.insert(child.item);
        }
    }
    Ok(())
}

/// What a share holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShareStats {
    pub usage: Usage,
    /// Of its used bytes, what lies in the trash: summed over a bounded number of items.
    pub trash_bytes: u64,
}

/// What a share holds: READ on its root.
///
/// # Errors
/// Refused when the share is not there for the viewer, or may not be read.
pub fn stats(tables: &dyn Reader, viewer: &Viewer, share: ShareId) -> Result<ShareStats, Denied> {
    super::denied::readable_root(tables, viewer, share)?;
    let tenant = viewer.tenant();
    let usage = table::get::<Usages>(tables, &(QuotaTarget::Share(tenant, share),))?;
    let mut trashed = Vec::new();
    table::scan::<Trash>(tables, &(tenant, share), &mut |(_, _, id), _| {
        trashed.push(id);
        if trashed.len() < SUMMED_MAX { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    let mut trash_bytes = 0u64;
    let mut seen = 0;
    while let Some(id) = trashed.pop().filter(|_| seen < SUMMED_MAX) {
        seen += 1;
        match id {
            ItemId::File(file) => {
                table::scan::<Versions>(tables, &(tenant, file), &mut |_, version| {
                    trash_bytes = trash_bytes.saturating_add(version.size);
                    ControlFlow::Continue(())
                })?;
            }
            ItemId::Folder(folder) => {
                let inside = (tenant, share, Some(folder));
                table::scan::<crate::table::item::Children>(tables, &inside, &mut |_, child| {
                    trashed.push(child.item);
                    if trashed.len() < SUMMED_MAX {
                        ControlFlow::Continue(())
                    } else {
                        ControlFlow::Break(())
                    }
                })?;
            }
        }
    }
    Ok(ShareStats { usage: usage.unwrap_or_default(), trash_bytes })
}
