//! Moves. Within a share one row changes; to another share all that lies below goes along, so that
//! their number is bounded.

use std::collections::BTreeMap;

use node_base::{FileId, Name, Permission, TenantId, UserId};

use super::commit::bytes;
use super::place::{
    ITEMS_MAX, bottom, change, contents, discard, list, live, name as named, parent_of, policy,
    record, require_free, require_room, save, target, touch, undiscard, unlist,
};
use super::subtree::{require_below, too_many};
use super::{trash, version};
use crate::access;
use crate::apply::quota::{self, Delta};
use crate::apply::{Step, Stop, content, feed};
use crate::chain::Chain;
use crate::command::Place;
use crate::outcome::{ItemView, Refusal};
use crate::table;
use crate::table::acl::Listed;
use crate::table::change::ChangeKind;
use crate::table::item::{Body, Content, Item, ItemId, ItemState, Items, Version, Versions};
use crate::tables::{Reader, TableError};

/// Chunks whose counts one command moves to another share.
const CHUNKS_MAX: usize = 100_000;

/// DELETE and READ on the item, READ on all that lies below, CREATE on the target.
pub(crate) fn item(
    step: &mut Step<'_>,
    id: ItemId,
    to: Place,
    text: Option<&str>,
) -> Result<ItemView, Stop> {
    let chain = live(step, id, Permission::Delete)?;
    access::require(step, &chain, Permission::Read)?;
    super::require_revision(step, &chain)?;
    let folder = target(step, to)?;
    if folder.items.iter().any(|(above, _)| *above == id) {
        return Err(Refusal::Cycle.into());
    }
    let (_, item) = bottom(&chain)?;
    let name = match text {
        Some(text) => named(text, &folder)?,
        None => kept(&item.name, &chain, &folder)?,
    };
    if name != item.name {
        access::require(step, &chain, Permission::Write)?;
    }
    require_below(step, &chain, Permission::Read)?;
    require_free(step, &folder, &name, Some(id))?;
    require_room(step, &folder, &name, Some(id))?;
    if folder.share_id == item.share {
        within(step, id, item, &folder, name)?;
    } else {
        across(step, id, item, &folder, name)?;
    }
    super::view(step, id)
}

/// A name that was good where it is; under another share's policy it is judged again.
fn kept(name: &Name, from: &Chain, to: &Chain) -> Result<Name, Refusal> {
    if policy(from) == policy(to) { Ok(name.clone()) } else { named(name.as_str(), to) }
}

fn within(
    step: &mut Step<'_>,
    id: ItemId,
    mut item: Item,
    folder: &Chain,
    name: Name,
) -> Result<(), Stop> {
    let (tenant, _) = step.who()?;
    let old = (item.parent, item.name.clone());
    let new = (parent_of(folder), name);
    if old == new {
        return Ok(());
    }
    unlist(step, tenant, id, &item)?;
    let kind = if old.0 == new.0 { ChangeKind::Renamed } else { ChangeKind::Moved };
    if old.1 != new.1 {
        touch(step, &mut item)?;
    }
    (item.parent, item.name) = new;
    save(step, tenant, id, &mut item)?;
    list(step, tenant, id, &item, policy(folder))?;
    let mut draft = change(id, &item, kind);
    draft.old = Some(old);
    feed::append(step, tenant, item.share, draft)?;
    record(step, tenant, action(id), id, Vec::new())
}

fn action(id: ItemId) -> &'static str {
    match id {
        ItemId::Folder(_) => "folder.moved",
        ItemId::File(_) => "file.moved",
    }
}

/// To another share: `deleted` there, `created` here.
fn across(
    step: &mut Step<'_>,
    id: ItemId,
    item: Item,
    folder: &Chain,
    name: Name,
) -> Result<(), Stop> {
    let (tenant, _) = step.who()?;
    let below = collect(step.reader(), tenant, id, &item)?;
    let deletion = trash::deletion(step.reader(), tenant, id, &item)?;
    let (from, to) = (item.share, folder.share_id);
    unlist(step, tenant, id, &item)?;
    let mut moving = Moving { step, tenant, folder, sums: BTreeMap::new(), chunks: 0 };
    let mut moved = item.clone();
    (moved.parent, moved.name) = (parent_of(folder), name);
    if moved.name != item.name {
        touch(moving.step, &mut moved)?;
    }
    moving.take(id, &mut moved)?;
    list(moving.step, tenant, id, &moved, policy(folder))?;
    for (id, item) in below {
        moving.take_below(id, item)?;
    }
    for (owner, sum) in moving.sums {
        quota::shift(step, tenant, (from, owner), (to, owner), sum)?;
    }
    feed::append(step, tenant, from, deletion)?;
    let mut draft = change(id, &moved, ChangeKind::Created);
    draft.subtree = matches!(id, ItemId::Folder(_));
    feed::append(step, tenant, to, draft)?;
    record(step, tenant, action(id), id, vec![("from_share", from.to_string())])
}

/// All that lies below an item, parents first; refused when it is too much for one command.
pub(super) fn collect(
    tables: &dyn Reader,
    tenant: TenantId,
    top: ItemId,
    item: &Item,
) -> Result<Vec<(ItemId, Item)>, Stop> {
    let mut found: Vec<(ItemId, Item)> = Vec::new();
    let mut open = vec![top];
    while let Some(at) = open.pop() {
        let ItemId::Folder(folder) = at else { continue };
        for id in contents(tables, tenant, item.share, Some(folder), ITEMS_MAX)? {
            let row = table::get::<Items>(tables, &(tenant, id))?;
            found.push((id, row.ok_or(TableError::Invariant("a listed item is not there"))?));
            open.push(id);
            if found.len() >= ITEMS_MAX {
                return Err(too_many("to be moved to another share or copied").into());
            }
        }
    }
    Ok(found)
}

/// Items on their way to another share.
struct Moving<'s, 't> {
    step: &'s mut Step<'t>,
    tenant: TenantId,
    folder: &'s Chain,
    /// What counts for each owner, to be counted for the new share.
    sums: BTreeMap<UserId, Delta>,
    chunks: usize,
}

impl Moving<'_, '_> {
    /// Gives an item that lies below to the new share, under the name it has.
    fn take_below(&mut self, id: ItemId, mut item: Item) -> Result<(), Stop> {
        let (tenant, policy) = (self.tenant, policy(self.folder));
        let old = item.clone();
        item.name = Name::new(item.name.as_str(), policy)
            .map_err(|error| Refusal::invalid("name", error))?;
        match old.state {
            ItemState::Trashed(trashed) => {
                undiscard(self.step, tenant, id, &old, trashed)?;
                self.take(id, &mut item)?;
                discard(self.step, tenant, id, &item, trashed)?;
            }
            ItemState::Live | ItemState::Purging => {
                unlist(self.step, tenant, id, &old)?;
                let share = self.folder.share_id;
                let tables = self.step.reader();
                let taken = crate::query::children::find(
                    tables,
                    tenant,
                    share,
                    item.parent,
                    &item.name,
                    policy,
                )?;
                if taken.is_some() {
                    return Err(Refusal::NameConflict { item: None }.into());
                }
                self.take(id, &mut item)?;
                list(self.step, tenant, id, &item, policy)?;
            }
        }
        Ok(())
    }

    /// Changes the item's share, and the share of all that is counted for it.
    fn take(&mut self, id: ItemId, item: &mut Item) -> Result<(), Stop> {
        let (from, to) = (item.share, self.folder.share_id);
        if item.has_own_entries || !item.inherits {
            table::delete::<Listed>(self.step.tables, &(self.tenant, from, id))?;
            table::put::<Listed>(self.step.tables, &(self.tenant, to, id), &())?;
        }
        item.share = to;
        save(self.step, self.tenant, id, item)?;
        let mut sum = self.sums.get(&item.owner).copied().unwrap_or_default();
        match (id, &item.body) {
            (ItemId::File(id), Body::File(file)) => {
                sum.files += 1;
                let versions = table::all::<Versions>(self.step.reader(), &(self.tenant, id))?;
                for ((_, _, number), row) in versions {
                    sum.bytes = sum.bytes.saturating_add(bytes(row.size));
                    if number != file.version {
                        sum.version_bytes = sum.version_bytes.saturating_add(bytes(row.size));
                    }
                    self.take_version(id, number, &row, from)?;
                }
            }
            _ => sum.folders += 1,
        }
        self.sums.insert(item.owner, sum);
        Ok(())
    }

    fn take_version(
        &mut self,
        id: FileId,
        number: u32,
        row: &Version,
        from: node_base::ShareId,
    ) -> Result<(), Stop> {
        let to = self.folder.share_id;
        self.chunks += match &row.content {
            Content::Inline(chunks) => chunks.len(),
            Content::Paged(_) => 1,
        };
        if self.chunks > CHUNKS_MAX {
            return Err(too_many("or their versions too long").into());
        }
        content::hold(self.step, self.tenant, to, &row.content)?;
        content::release(self.step, self.tenant, from, &row.content)?;
        version::rehome(self.step, self.tenant, (from, to), id, number, row)
    }
}
