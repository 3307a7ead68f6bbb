//! What lies in a folder: names, and pages of a listing.

use std::ops::ControlFlow;

use node_base::{Name, NamePolicy, Permission, ShareId, TenantId};

use super::denied::{self, Denied};
use super::item;
use crate::access::{FolderFilter, Viewer};
use crate::outcome::{ItemView, Noun, Refusal};
use crate::table::item::{Body, Children, ItemId, ItemState, Items, Parent, TrashedChildren};
use crate::table::{self};
use crate::tables::{Reader, TableError};

/// Between a folded name and the name itself, in the keys of shares that tell case apart. A folded
/// portable name has no control characters.
const CASED: char = '\u{1}';

/// Under which key a name is listed by a share of this policy.
pub(crate) fn key(name: &Name, policy: NamePolicy) -> String {
    let folded = name.key(NamePolicy::Portable);
    let folded = String::from_utf8_lossy(folded.as_bytes()).into_owned();
    match policy {
        NamePolicy::Portable => folded,
        NamePolicy::Any => format!("{folded}{CASED}{}", name.as_str()),
    }
}

/// Who has a name that `name` may not be used beside, in a share that has this policy now. Names
/// that were given under the other policy count as well.
pub(crate) fn find(
    tables: &dyn Reader,
    tenant: TenantId,
    share: ShareId,
    parent: Parent,
    name: &Name,
    policy: NamePolicy,
) -> Result<Option<ItemId>, TableError> {
    let at = |key: String| table::get::<Children>(tables, &(tenant, share, parent, key));
    let portable = at(key(name, NamePolicy::Portable))?.map(|child| child.item);
    match policy {
        NamePolicy::Any => {
            if let Some(child) = at(key(name, NamePolicy::Any))? {
                return Ok(Some(child.item));
            }
            let Some(item) = portable else { return Ok(None) };
            let row = table::get::<Items>(tables, &(tenant, item))?;
            Ok(row.filter(|row| row.name == *name).map(|_| item))
        }
        NamePolicy::Portable if portable.is_some() => Ok(portable),
        NamePolicy::Portable => cased(tables, tenant, share, parent, name),
    }
}

/// Who was given, when the share told case apart, a name that differs in nothing else.
fn cased(
    tables: &dyn Reader,
    tenant: TenantId,
    share: ShareId,
    parent: Parent,
    name: &Name,
) -> Result<Option<ItemId>, TableError> {
    let folded = key(name, NamePolicy::Portable);
    let start = format!("{folded}{CASED}");
    let mut found = None;
    let from = (tenant, share, parent, start.clone());
    table::scan_from::<Children>(
        tables,
        &(tenant, share, parent),
        &from,
        &mut |key_found, child| {
            let Some(rest) = key_found.3.strip_prefix(&start) else {
                return ControlFlow::Break(());
            };
            let other = Name::new(rest, NamePolicy::Any);
            if other.is_ok_and(|other| key(&other, NamePolicy::Portable) == folded) {
                found = Some(child.item);
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        },
    )?;
    Ok(found)
}

/// What a listing is ordered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    Name,
    ModifiedAt,
    Size,
}

/// Which listing of a folder is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Listing {
    pub share: ShareId,
    /// The share's root without one.
    pub parent: Parent,
    /// What was deleted from the folder too.
    pub include_deleted: bool,
    pub sort: Sort,
    pub descending: bool,
    pub offset: u64,
    pub limit: u32,
}

/// A page of what lies in a folder.
#[derive(Debug, Clone, PartialEq)]
pub struct ChildrenPage {
    pub items: Vec<ItemView>,
    /// Of the folder, as the viewer may see it.
    pub path: Vec<Option<String>>,
    /// Of what the viewer may READ.
    pub total: u64,
}

/// A page of what lies in a folder and the viewer may READ: READ on the folder.
///
/// By name, only the rows of the page itself are read; the rest is counted by what the folder hands
/// down, and by the lists of those that have one.
///
/// # Errors
/// Refused when the folder is not there for the viewer, may not be read, or is in the trash and
/// deleted things are not asked for.
pub fn page(
    tables: &dyn Reader,
    viewer: &Viewer,
    listing: &Listing,
) -> Result<ChildrenPage, Denied> {
    let folder = match listing.parent {
        None => denied::readable_root(tables, viewer, listing.share)?,
        Some(folder) => denied::readable(tables, viewer, ItemId::Folder(folder))?,
    };
    if folder.share_id != listing.share {
        return Err(Refusal::NotFound(Noun::Folder).into());
    }
    if folder.is_trashed() && !listing.include_deleted {
        return Err(Refusal::Trashed.into());
    }
    let path = item::path(tables, viewer, &folder)?;
    let filter = FolderFilter::of(tables, viewer, &folder)?;
    let mut ids = seen(tables, viewer.tenant(), listing, &filter)?;
    let total = ids.len() as u64;
    order(tables, viewer.tenant(), listing, &mut ids)?;
    let offset = usize::try_from(listing.offset).unwrap_or(usize::MAX);
    let mut items = Vec::new();
    for (_, id) in ids.into_iter().skip(offset).take(listing.limit as usize) {
        let row = table::get::<Items>(tables, &(viewer.tenant(), id))?;
        let row = row.ok_or(TableError::Invariant("a listed item is not there"))?;
        if viewer.passes_all() && filter.verdict(tables, id, &row)?.is_override(Permission::Read) {
            viewer.note_below(folder.target());
        }
        let mut path = path.clone();
        path.push(Some(row.name.as_str().to_owned()));
        let is_deleted = folder.is_trashed() || row.state != ItemState::Live;
        items.push(ItemView { id, item: Some(row), path, is_deleted });
    }
    Ok(ChildrenPage { items, path, total })
}

/// What the viewer may READ in the folder, by the keys of the names.
fn seen(
    tables: &dyn Reader,
    tenant: TenantId,
    listing: &Listing,
    filter: &FolderFilter<'_>,
) -> Result<Vec<(String, ItemId)>, TableError> {
    let prefix = (tenant, listing.share, listing.parent);
    let mut children = Vec::new();
    table::scan::<Children>(tables, &prefix, &mut |key, child| {
        children.push((key.3, child));
        ControlFlow::Continue(())
    })?;
    let mut ids = Vec::with_capacity(children.len());
    for (key, child) in children {
        if filter.may_read(tables, &child)? {
            ids.push((key, child.item));
        }
    }
    if listing.include_deleted {
        for ((_, _, _, id), ()) in table::all::<TrashedChildren>(tables, &prefix)? {
            let row = table::get::<Items>(tables, &(tenant, id))?;
            let row = row.ok_or(TableError::Invariant("a trashed item is not there"))?;
            if filter.mask(tables, id, &row)?.contains(Permission::Read) {
                ids.push((key(&row.name, NamePolicy::Portable), id));
            }
        }
        ids.sort();
    }
    Ok(ids)
}

/// Puts what is listed in order. Things that are equal stay in the order of their names.
fn order(
    tables: &dyn Reader,
    tenant: TenantId,
    listing: &Listing,
    ids: &mut Vec<(String, ItemId)>,
) -> Result<(), TableError> {
    if listing.sort != Sort::Name {
        let mut measured = Vec::with_capacity(ids.len());
        for (key, id) in ids.drain(..) {
            let row = table::get::<Items>(tables, &(tenant, id))?;
            let row = row.ok_or(TableError::Invariant("a listed item is not there"))?;
            let measure = match (listing.sort, &row.body) {
                (Sort::Size, Body::File(file)) => i64::try_from(file.size).unwrap_or(i64::MAX),
                (Sort::Size, Body::Folder) => -1,
                (Sort::Name | Sort::ModifiedAt, _) => row.modified_at.millis(),
            };
            measured.push((measure, key, id));
        }
        measured.sort();
        ids.extend(measured.into_iter().map(|(_, key, id)| (key, id)));
    }
    if listing.descending {
        ids.reverse();
    }
    Ok(())
}
