//! What is in a share's trash.

use std::ops::ControlFlow;

use node_base::{Permission, ShareId};

use super::denied::Denied;
use super::feed::{Eyes, Sight};
use super::item;
use super::page::{Page, Pager};
use crate::access::{Memo, Viewer};
use crate::chain::Chain;
use crate::outcome::{ItemView, Noun, Refusal};
use crate::table;
use crate::table::acl::Target;
use crate::table::item::TrashByAge;
use crate::tables::{Reader, TableError};

/// A page of what was itself deleted and the viewer may READ, the last deleted first.
///
/// # Errors
/// Refused when the viewer sees nothing of the share.
pub fn list(
    tables: &dyn Reader,
    viewer: &Viewer,
    share: ShareId,
    offset: u64,
    limit: u32,
) -> Result<Page<ItemView>, Denied> {
    let tenant = viewer.tenant();
    let root = Chain::root(tables, tenant, share)?.ok_or(Refusal::NotFound(Noun::Share))?;
    if Eyes::new(tables, viewer).root(&root)?.sight == Sight::Nothing {
        return Err(Refusal::NotFound(Noun::Share).into());
    }
    let mut ids = Vec::new();
    table::scan_back::<TrashByAge>(tables, &(tenant, share), &mut |key, ()| {
        ids.push(key.3);
        ControlFlow::Continue(())
    })?;
    let mut memo = Memo::new(viewer);
    let mut pager = Pager::new(offset, limit);
    for id in ids {
        if memo.mask(tables, id)?.is_some_and(|mask| mask.contains(Permission::Read)) {
            pager.push(id);
        }
    }
    let page = pager.page();
    let mut items = Vec::with_capacity(page.items.len());
    for id in page.items {
        let chain = Chain::of(tables, tenant, id)?;
        let chain = chain.ok_or(TableError::Invariant("a trashed item is not there"))?;
        if viewer.passes_all() && viewer.verdict(tables, &chain)?.is_override(Permission::Read) {
            viewer.note_below(Target::Share(share));
        }
        items.push(item::view(tables, viewer, &chain)?);
    }
    Ok(Page { items, total: page.total })
}
