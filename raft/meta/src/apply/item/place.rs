//! Where items lie: what every change of a tree checks and keeps.
//!
//! Siblings are told apart by their row in `Children`: its key is the folded name, and, in a share
//! that tells case apart, the name itself behind it. Both forms live side by side, so that a share
//! may change its policy: an old name keeps its row, and a new one meets the old ones.
//!
//! How deep a folder's content reaches is kept in `Extents`, so that moving a folder of a million
//! files reads one row. It may err high; then a bounded walk finds out.

use std::ops::ControlFlow;

use node_base::{FolderId, Name, NamePolicy, Permission, ShareId, TenantId, limits};

use crate::access;
use crate::apply::audit::{self, Draft};
use crate::apply::{Step, Stop};
use crate::chain::Chain;
use crate::command::Place;
use crate::outcome::{Invalid, Noun, Refusal};
use crate::query::children;
use crate::table::acl::Target;
use crate::table::audit::{Category, Severity};
use crate::table::item::{
    Body, Child, Children, Extent, Extents, Item, ItemId, ItemState, Items, Parent, Trash,
    TrashByAge, Trashed, TrashedChildren,
};
use crate::table::{self};
use crate::tables::{Reader, TableError};

/// Items that one command moves to another share, copies, or looks at one by one.
pub(crate) const ITEMS_MAX: usize = 10_000;

pub(crate) fn noun(item: ItemId) -> Noun {
    match item {
        ItemId::Folder(_) => Noun::Folder,
        ItemId::File(_) => Noun::File,
    }
}

/// The text of the item's id.
pub(crate) fn text(item: ItemId) -> String {
    match item {
        ItemId::Folder(folder) => folder.to_string(),
        ItemId::File(file) => file.to_string(),
    }
}

/// An item that the caller has the permission on, wherever it lies.
pub(crate) fn permitted(
    step: &mut Step<'_>,
    item: ItemId,
    permission: Permission,
) -> Result<Chain, Stop> {
    let (tenant, _) = step.who()?;
    let chain = Chain::of(step.reader(), tenant, item)?.ok_or(Refusal::NotFound(noun(item)))?;
    access::require(step, &chain, permission)?;
    Ok(chain)
}

/// An item that the caller has the permission on and that is not in the trash.
pub(crate) fn live(
    step: &mut Step<'_>,
    item: ItemId,
    permission: Permission,
) -> Result<Chain, Stop> {
    let chain = permitted(step, item, permission)?;
    if chain.is_trashed() { Err(Refusal::Trashed.into()) } else { Ok(chain) }
}

/// The folder, or the share's root, that something is put into: CREATE on it.
pub(crate) fn target(step: &mut Step<'_>, place: Place) -> Result<Chain, Stop> {
    let (tenant, _) = step.who()?;
    let chain = match place.parent {
        None => Chain::root(step.reader(), tenant, place.share)?,
        Some(folder) => Chain::of(step.reader(), tenant, ItemId::Folder(folder))?
            .filter(|chain| chain.share_id == place.share),
    };
    let missing = if place.parent.is_none() { Noun::Share } else { Noun::Folder };
    let chain = chain.ok_or(Refusal::NotFound(missing))?;
    access::require(step, &chain, Permission::Create)?;
    if chain.is_trashed() { Err(Refusal::Trashed.into()) } else { Ok(chain) }
}

/// The item at the bottom of a chain, with its id.
pub(crate) fn bottom(chain: &Chain) -> Result<(ItemId, Item), Stop> {
    let found = chain.items.first().cloned();
    Ok(found.ok_or(TableError::Invariant("an item's chain is empty"))?)
}

pub(crate) fn policy(chain: &Chain) -> NamePolicy {
    chain.share.settings.name_policy
}

/// The name that a text is under the share's policy.
pub(crate) fn name(text: &str, chain: &Chain) -> Result<Name, Refusal> {
    Name::new(text, policy(chain)).map_err(|error| Refusal::invalid("name", error))
}

pub(crate) fn parent_of(chain: &Chain) -> Parent {
    match chain.items.first() {
        Some((ItemId::Folder(folder), _)) => Some(*folder),
        _ => None,
    }
}

/// The item as a parent of others; nothing for a file, which has none.
pub(super) fn folder_of(id: ItemId) -> Parent {
    match id {
        ItemId::Folder(folder) => Some(folder),
        ItemId::File(_) => None,
    }
}

/// Whoever else has this name in the folder at the bottom of the chain.
pub(crate) fn holder(
    tables: &dyn Reader,
    tenant: TenantId,
    folder: &Chain,
    name: &Name,
) -> Result<Option<ItemId>, TableError> {
    let parent = parent_of(folder);
    children::find(tables, tenant, folder.share_id, parent, name, policy(folder))
}

/// Refused when somebody other than `item` has the name. The refusal names them only to a caller
/// who may READ them.
pub(crate) fn require_free(
    step: &mut Step<'_>,
    folder: &Chain,
    name: &Name,
    item: Option<ItemId>,
) -> Result<(), Stop> {
    let (tenant, _) = step.who()?;
    match holder(step.reader(), tenant, folder, name)? {
        Some(other) if Some(other) != item => Err(taken(step, other)?.into()),
        _ => Ok(()),
    }
}

/// The refusal that says a name is taken by this item.
pub(crate) fn taken(step: &Step<'_>, by: ItemId) -> Result<Refusal, Stop> {
    let viewer = access::Viewer::of(step.reader(), step.now, step.user()?)?;
    let chain = Chain::of(step.reader(), viewer.tenant(), by)?;
    let shown = match chain {
        Some(chain) => viewer.mask(step.reader(), &chain)?.contains(Permission::Read),
        None => false,
    };
    Ok(Refusal::NameConflict { item: shown.then_some(by) })
}

/// Bytes of the path of what is at the bottom of a chain, a separator before each name.
fn path_bytes(chain: &Chain) -> usize {
    chain.items.iter().map(|(_, item)| item.name.as_str().len() + 1).sum()
}

/// Refused when something of this name and extent would lie too deep in the folder at the bottom of
/// the chain, or its longest path be too long.
pub(crate) fn require_room(
    step: &mut Step<'_>,
    folder: &Chain,
    name: &Name,
    item: Option<ItemId>,
) -> Result<(), Stop> {
    let extent = match item {
        Some(ItemId::Folder(id)) => {
            let (tenant, _) = step.who()?;
            let known = extent_of(step.reader(), tenant, id)?;
            match overflow(folder, name, known) {
                None => known,
                Some(_) => recount(step, tenant, folder.share_id, id)?.unwrap_or(known),
            }
        }
        _ => Extent::default(),
    };
    overflow(folder, name, extent).map_or(Ok(()), |refusal| Err(refusal.into()))
}

fn overflow(folder: &Chain, name: &Name, extent: Extent) -> Option<Refusal> {
    if folder.items.len() + extent.levels as usize > limits::DEPTH_MAX {
        return Some(Refusal::invalid("parent_id", Invalid::TooDeep));
    }
    let bytes = path_bytes(folder) + 1 + name.as_str().len() + extent.bytes as usize;
    (bytes > limits::PATH_MAX).then(|| Refusal::invalid("name", Invalid::PathTooLong))
}

fn extent_of(
    tables: &dyn Reader,
    tenant: TenantId,
    folder: FolderId,
) -> Result<Extent, TableError> {
    Ok(table::get::<Extents>(tables, &(tenant, folder))?.unwrap_or_default())
}

/// The true extent of a folder, if it can be found by looking at a bounded number of items.
fn recount(
    step: &mut Step<'_>,
    tenant: TenantId,
    share: ShareId,
    folder: FolderId,
) -> Result<Option<Extent>, TableError> {
    let share = match table::get::<Items>(step.reader(), &(tenant, ItemId::Folder(folder)))? {
        Some(item) => item.share,
        None => share,
    };
    let mut extent = Extent::default();
    let mut seen = 0;
    let mut open = vec![(folder, Extent::default())];
    while let Some((folder, above)) = open.pop() {
        for id in contents(step.reader(), tenant, share, Some(folder), ITEMS_MAX)? {
            seen += 1;
            if seen > ITEMS_MAX {
                return Ok(None);
            }
            let Some(item) = table::get::<Items>(step.reader(), &(tenant, id))? else { continue };
            let here = beyond(item.name.as_str(), above);
            extent = longer(extent, here);
            if let ItemId::Folder(id) = id {
                open.push((id, here));
            }
        }
    }
    table::put::<Extents>(step.tables, &(tenant, folder), &extent)?;
    Ok(Some(extent))
}

fn beyond(name: &str, extent: Extent) -> Extent {
    Extent { levels: extent.levels + 1, bytes: extent.bytes + 1 + name.len() as u32 }
}

fn longer(a: Extent, b: Extent) -> Extent {
    Extent { levels: a.levels.max(b.levels), bytes: a.bytes.max(b.bytes) }
}

/// What lies in a folder, trashed or not; at most one above `most`.
pub(crate) fn contents(
    tables: &dyn Reader,
    tenant: TenantId,
    share: ShareId,
    parent: Parent,
    most: usize,
) -> Result<Vec<ItemId>, TableError> {
    let mut ids = Vec::new();
    let go_on = |ids: &Vec<ItemId>| {
        if ids.len() > most { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    table::scan::<Children>(tables, &(tenant, share, parent), &mut |_, child| {
        ids.push(child.item);
        go_on(&ids)
    })?;
    table::scan::<TrashedChildren>(tables, &(tenant, share, parent), &mut |key, ()| {
        ids.push(key.3);
        go_on(&ids)
    })?;
    Ok(ids)
}

/// Notes in the folders above how far down something reaches that was put into the first of them.
fn grow(step: &mut Step<'_>, tenant: TenantId, id: ItemId, item: &Item) -> Result<(), TableError> {
    let mut extent = match id {
        ItemId::Folder(folder) => extent_of(step.reader(), tenant, folder)?,
        ItemId::File(_) => Extent::default(),
    };
    let (mut name, mut parent) = (item.name.clone(), item.parent);
    while let Some(folder) = parent {
        let known = extent_of(step.reader(), tenant, folder)?;
        let grown = longer(known, beyond(name.as_str(), extent));
        if grown == known {
            return Ok(());
        }
        table::put::<Extents>(step.tables, &(tenant, folder), &grown)?;
        let row = table::get::<Items>(step.reader(), &(tenant, ItemId::Folder(folder)))?;
        let row = row.ok_or(TableError::Invariant("an item's folder is not there"))?;
        (name, parent, extent) = (row.name, row.parent, grown);
    }
    Ok(())
}

/// Writes an item that changed, under a new revision.
pub(crate) fn save(
    step: &mut Step<'_>,
    tenant: TenantId,
    id: ItemId,
    item: &mut Item,
) -> Result<(), TableError> {
    item.revision = step.index;
    table::put::<Items>(step.tables, &(tenant, id), item)
}

/// Notes that the caller changed the item's content or name.
pub(crate) fn touch(step: &Step<'_>, item: &mut Item) -> Result<(), Refusal> {
    (item.modified_at, item.modified_by) = (step.now, step.who()?.1);
    Ok(())
}

/// Lists an item under its name in its folder.
pub(crate) fn list(
    step: &mut Step<'_>,
    tenant: TenantId,
    id: ItemId,
    item: &Item,
    policy: NamePolicy,
) -> Result<(), TableError> {
    let key = (tenant, item.share, item.parent, children::key(&item.name, policy));
    let child = Child { item: id, own_permissions: item.has_own_entries || !item.inherits };
    table::put::<Children>(step.tables, &key, &child)?;
    grow(step, tenant, id, item)
}

/// Takes an item out of the list of its folder.
pub(crate) fn unlist(
    step: &mut Step<'_>,
    tenant: TenantId,
    id: ItemId,
    item: &Item,
) -> Result<(), TableError> {
    for policy in [NamePolicy::Portable, NamePolicy::Any] {
        let key = (tenant, item.share, item.parent, children::key(&item.name, policy));
        let child = table::get::<Children>(step.reader(), &key)?;
        if child.is_some_and(|child| child.item == id) {
            return table::delete::<Children>(step.tables, &key);
        }
    }
    Err(TableError::Invariant("an item is not listed in its folder"))
}

/// Notes an item in the trash.
pub(crate) fn discard(
    step: &mut Step<'_>,
    tenant: TenantId,
    id: ItemId,
    item: &Item,
    trashed: Trashed,
) -> Result<(), TableError> {
    table::put::<Trash>(step.tables, &(tenant, item.share, id), &trashed)?;
    table::put::<TrashByAge>(step.tables, &(tenant, item.share, trashed.at, id), &())?;
    table::put::<TrashedChildren>(step.tables, &(tenant, item.share, item.parent, id), &())
}

/// Takes an item that was itself deleted out of the trash's lists.
pub(crate) fn undiscard(
    step: &mut Step<'_>,
    tenant: TenantId,
    id: ItemId,
    item: &Item,
    trashed: Trashed,
) -> Result<(), TableError> {
    table::delete::<Trash>(step.tables, &(tenant, item.share, id))?;
    table::delete::<TrashByAge>(step.tables, &(tenant, item.share, trashed.at, id))?;
    table::delete::<TrashedChildren>(step.tables, &(tenant, item.share, item.parent, id))
}

/// A new item of the caller's.
pub(crate) fn new_item(
    step: &Step<'_>,
    folder: &Chain,
    name: Name,
    body: Body,
) -> Result<Item, Refusal> {
    let (_, user) = step.who()?;
    Ok(Item {
        share: folder.share_id,
        parent: parent_of(folder),
        name,
        owner: user,
        created_by: user,
        created_at: step.now,
        modified_by: user,
        modified_at: step.now,
        revision: step.index,
        state: ItemState::Live,
        has_own_entries: false,
        inherits: true,
        body,
    })
}

/// A change of something in a tree, as it is recorded for audit.
pub(crate) fn record(
    step: &mut Step<'_>,
    tenant: TenantId,
    action: &'static str,
    id: ItemId,
    payload: Vec<(&'static str, String)>,
) -> Result<(), Stop> {
    let draft = Draft {
        category: Category::FileModification,
        severity: Severity::Info,
        action,
        resource: Some(text(id)),
        payload,
    };
    audit::record(step, tenant, draft)
}

/// A change row about an item where it lies now.
pub(crate) fn change(
    id: ItemId,
    item: &Item,
    kind: crate::table::change::ChangeKind,
) -> crate::apply::feed::Draft {
    let file = match &item.body {
        Body::File(file) => Some(file),
        Body::Folder => None,
    };
    crate::apply::feed::Draft {
        target: Target::Item(id),
        kind,
        parent: item.parent,
        name: Some(item.name.clone()),
        old: None,
        version: file.map(|file| file.version_id),
        size: file.map(|file| file.size),
        subtree: false,
        before: None,
    }
}
