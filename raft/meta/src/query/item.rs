//! One item, as a caller may see it.

use node_base::{Permission, PermissionSet};

use super::denied::{self, Denied};
use crate::access::{FolderFilter, Viewer};
use crate::chain::Chain;
use crate::outcome::ItemView;
use crate::table::item::ItemId;
use crate::tables::{Reader, TableError};

/// The item at the bottom of a chain as the viewer may see it: the id alone without READ, and in
/// the path only the names of what the viewer may READ.
pub fn view(tables: &dyn Reader, viewer: &Viewer, chain: &Chain) -> Result<ItemView, TableError> {
    let (id, item) = chain.items.first().ok_or(TableError::Invariant("a root has no view"))?;
    let is_deleted = chain.is_trashed();
    let mut masks = masks(tables, viewer, chain)?;
    if !masks.pop().is_some_and(|mask| mask.contains(Permission::Read)) {
        return Ok(ItemView { id: *id, item: None, path: Vec::new(), is_deleted });
    }
    masks.push(PermissionSet::ALL);
    Ok(ItemView { id: *id, item: Some(item.clone()), path: shown(chain, &masks), is_deleted })
}

/// An item that the viewer may READ and that is not in the trash.
///
/// # Errors
/// Refused when it is not there for the viewer, may not be read, or is in the trash.
pub fn get(tables: &dyn Reader, viewer: &Viewer, id: ItemId) -> Result<ItemView, Denied> {
    let chain = denied::live(tables, viewer, id)?;
    Ok(view(tables, viewer, &chain)?)
}

/// Names from the share's root down to the bottom of a chain, with nothing in the place of those
/// that the viewer may not READ.
pub fn path(
    tables: &dyn Reader,
    viewer: &Viewer,
    chain: &Chain,
) -> Result<Vec<Option<String>>, TableError> {
    Ok(shown(chain, &masks(tables, viewer, chain)?))
}

fn shown(chain: &Chain, masks: &[PermissionSet]) -> Vec<Option<String>> {
    let names = chain.items.iter().rev().zip(masks);
    names
        .map(|((_, item), mask)| {
            mask.contains(Permission::Read).then(|| item.name.as_str().to_owned())
        })
        .collect()
}

/// What the viewer may do with each item of a chain, from the root's child down, in one walk.
fn masks(
    tables: &dyn Reader,
    viewer: &Viewer,
    chain: &Chain,
) -> Result<Vec<PermissionSet>, TableError> {
    let root = Chain { share_id: chain.share_id, share: chain.share.clone(), items: Vec::new() };
    let mut filter = FolderFilter::of(tables, viewer, &root)?;
    let mut masks = Vec::with_capacity(chain.items.len());
    for (id, item) in chain.items.iter().rev() {
        masks.push(filter.mask(tables, *id, item)?);
        if let ItemId::Folder(folder) = id {
            filter = filter.descend(tables, *folder, item)?;
        }
    }
    Ok(masks)
}
