//! Into the trash and out of it: one item is touched, whatever lies below.

use node_base::{Name, NamePolicy, Permission, TenantId};

use super::place::{
    bottom, change, contents, discard, folder_of, holder, list, live, permitted, policy, record,
    require_room, save, touch, undiscard, unlist,
};
use super::subtree::{listed_below, require_below};
use crate::access;
use crate::apply::feed::{self, Draft};
use crate::apply::{Step, Stop};
use crate::chain::Chain;
use crate::outcome::{ItemView, Refusal};
use crate::table;
use crate::table::acl::{Lists, Target};
use crate::table::change::{ChangeKind, ListBefore};
use crate::table::item::{Item, ItemId, ItemState, Trashed};
use crate::tables::{Reader, TableError};

/// Names that are tried for something restored whose own is taken.
const NAMES_TRIED: u32 = 1_000;

/// To the trash: DELETE on it and on all that lies below.
pub(crate) fn delete(step: &mut Step<'_>, id: ItemId) -> Result<(), Stop> {
    let chain = live(step, id, Permission::Delete)?;
    super::require_revision(step, &chain)?;
    require_below(step, &chain, Permission::Delete)?;
    let (tenant, user) = step.who()?;
    let (_, mut item) = bottom(&chain)?;
    let trashed = Trashed { at: step.now, by: user };
    unlist(step, tenant, id, &item)?;
    item.state = ItemState::Trashed(trashed);
    save(step, tenant, id, &mut item)?;
    discard(step, tenant, id, &item, trashed)?;
    let draft = deletion(step.reader(), tenant, id, &item)?;
    feed::append(step, tenant, item.share, draft)?;
    let action = match id {
        ItemId::Folder(_) => "folder.deleted",
        ItemId::File(_) => "file.deleted",
    };
    record(step, tenant, action, id, Vec::new())
}

/// The change row of something that goes from where it is: with what tells, when its own row is
/// gone, who could see it.
pub(super) fn deletion(
    tables: &dyn Reader,
    tenant: TenantId,
    id: ItemId,
    item: &Item,
) -> Result<Draft, TableError> {
    let entries = match item.has_own_entries {
        true => table::get::<Lists>(tables, &(tenant, Target::Item(id)))?.unwrap_or_default(),
        false => Vec::new(),
    };
    let before =
        ListBefore { entries, inherits: item.inherits, owner: Some(item.owner), grouping: None };
    let mut draft = change(id, item, ChangeKind::Deleted);
    draft.before = Some(before);
    draft.subtree = matches!(id, ItemId::Folder(_))
        && !contents(tables, tenant, item.share, folder_of(id), 0)?.is_empty()
        && !listed_below(tables, tenant, item.share, id)?.is_empty();
    Ok(draft)
}

/// Out of the trash: to where it was, or to the share's root where that is gone or trashed. What is
/// not in the trash stays as it is.
pub(crate) fn restore(step: &mut Step<'_>, id: ItemId) -> Result<ItemView, Stop> {
    let chain = permitted(step, id, Permission::Write)?;
    super::require_revision(step, &chain)?;
    let (tenant, _) = step.who()?;
    let (_, mut item) = bottom(&chain)?;
    let ItemState::Trashed(trashed) = item.state else {
        return if chain.is_trashed() {
            Err(Refusal::Trashed.into())
        } else {
            super::view(step, id)
        };
    };
    let folder = home(step, &chain)?;
    undiscard(step, tenant, id, &item, trashed)?;
    let old = (item.parent, item.name.clone());
    item.parent = super::place::parent_of(&folder);
    item.name = free_name(step.reader(), tenant, &folder, &item.name)?;
    require_room(step, &folder, &item.name, Some(id))?;
    item.state = ItemState::Live;
    if item.name != old.1 {
        touch(step, &mut item)?;
    }
    save(step, tenant, id, &mut item)?;
    list(step, tenant, id, &item, policy(&folder))?;
    let mut draft = change(id, &item, ChangeKind::Restored);
    draft.subtree = matches!(id, ItemId::Folder(_));
    draft.old = (old != (item.parent, item.name.clone())).then_some(old);
    feed::append(step, tenant, item.share, draft)?;
    let action = match id {
        ItemId::Folder(_) => "folder.restored",
        ItemId::File(_) => "file.restored",
    };
    record(step, tenant, action, id, Vec::new())?;
    super::view(step, id)
}

/// The folder that something trashed comes back to: CREATE on it.
fn home(step: &mut Step<'_>, chain: &Chain) -> Result<Chain, Stop> {
    let parent = chain.parent();
    let folder = if parent.is_trashed() {
        let root = Chain::root(step.reader(), step.who()?.0, chain.share_id)?;
        root.ok_or(TableError::Invariant("an item's share is not there"))?
    } else {
        parent
    };
    if folder.is_trashed() {
        return Err(Refusal::Trashed.into());
    }
    access::require(step, &folder, Permission::Create)?;
    Ok(folder)
}

/// The name itself, or the first with a mark that nobody has.
pub(super) fn free_name(
    tables: &dyn Reader,
    tenant: TenantId,
    folder: &Chain,
    name: &Name,
) -> Result<Name, Stop> {
    let mark = |n: u32| match n {
        0 => name.clone(),
        1 => name.marked(" (restored)"),
        n => name.marked(&format!(" (restored {n})")),
    };
    first_free(tables, tenant, folder, mark)
}

/// The first of some names that nobody in the folder has.
pub(crate) fn first_free(
    tables: &dyn Reader,
    tenant: TenantId,
    folder: &Chain,
    names: impl Fn(u32) -> Name,
) -> Result<Name, Stop> {
    for n in 0..NAMES_TRIED {
        let name = names(n);
        // A shortened name may end in what the policy does not take.
        let fits = n == 0 || policy(folder) == NamePolicy::Any;
        if (fits || Name::new(name.as_str(), NamePolicy::Portable).is_ok())
            && holder(tables, tenant, folder, &name)?.is_none()
        {
            return Ok(name);
        }
    }
    Err(Refusal::NameConflict { item: None }.into())
}
