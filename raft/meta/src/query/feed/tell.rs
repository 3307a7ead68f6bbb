//! What one reader is told of one row of the log.
//!
//! A row is told as it was written, if the reader may READ now what it is about; and where it took
//! something out of the reader's sight or brought something into it, that is what is told. Who
//! follows takes the rows in order:
//!
//! - `deleted` drops a thing and all that is known below it;
//! - `subtree` puts what the snapshot of the folder says in the place of all that is known below
//!   it, and so does any row about a folder that is not known; the folder itself is where the row
//!   says;
//! - a thing in a folder that is not known is asked for: what is not there is dropped, and what is
//!   there is taken as it is now;
//! - `subtree` about the share, or with `deleted`, puts the snapshot of the share in the place of
//!   all that is known of it: where closed folders lie between what is seen, nobody but the server
//!   knows what lies below what. Where it is refused, nothing is seen of the share any more.
//!
//! Of folders that are closed to the reader not even an id is told.

use node_base::{ChangeId, DeviceId, Name, ShareId, Timestamp, UserId, VersionId};

use super::sight::{Eyes, Sight, View, plain};
use crate::chain::Chain;
use crate::table;
use crate::table::acl::Target;
use crate::table::change::{Aspect, Change, ChangeKind, ListBefore, Turns};
use crate::table::item::{Body, Checksum, Item, ItemId, ItemState, Items, Parent, Versions};
use crate::tables::TableError;

/// A change as one reader is told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    pub share: ShareId,
    /// Its number in the share's log.
    pub number: u64,
    pub id: ChangeId,
    pub target: Target,
    pub kind: ChangeKind,
    pub by: Option<UserId>,
    pub device: Option<DeviceId>,
    pub at: Timestamp,
    /// Names from the root down, nothing in the place of one the reader may not READ.
    pub old_path: Option<Vec<Option<String>>>,
    pub new_path: Option<Vec<Option<String>>>,
    pub parent: Parent,
    /// Nothing for a folder that the reader may not READ itself, and for a share's root.
    pub name: Option<Name>,
    pub version: Option<VersionId>,
    pub version_number: Option<u32>,
    pub size: Option<u64>,
    pub mime_type: Option<String>,
    pub checksum: Option<Checksum>,
    pub client_modified_at: Option<Timestamp>,
    pub executable: Option<bool>,
    pub subtree: bool,
}

/// A row and where it stands.
#[derive(Clone, Copy)]
pub(super) struct Row<'a> {
    pub(super) share: ShareId,
    pub(super) number: u64,
    pub(super) change: &'a Change,
}

/// How a row is told.
enum How {
    /// As it is written.
    Plain { kind: ChangeKind, subtree: bool },
    /// It is out of sight: deleted, without a name.
    Hidden { subtree: bool },
    /// The share is to be looked at again: `permissions` where something of it is in sight.
    Anew,
}

pub(super) fn tell(eyes: &mut Eyes<'_>, row: Row<'_>) -> Result<Option<Told>, TableError> {
    let how = match row.change.target {
        Target::Share(_) => root(eyes, row)?,
        Target::Item(id) => item(eyes, row, id)?,
    };
    match how {
        Some(How::Plain { kind, subtree }) => plainly(eyes, row, kind, subtree).map(Some),
        Some(How::Hidden { subtree }) => {
            let target = row.change.target;
            Ok(Some(masked(row, target, ChangeKind::Deleted, subtree)))
        }
        Some(How::Anew) => {
            let target = Target::Share(row.share);
            let root = Chain::root(eyes.tables, eyes.viewer.tenant(), row.share)?;
            let is_seen = match root {
                Some(root) => eyes.root(&root)?.sight != Sight::Nothing,
                None => false,
            };
            let kind = if is_seen { ChangeKind::Permissions } else { ChangeKind::Deleted };
            Ok(Some(masked(row, target, kind, true)))
        }
        None => Ok(None),
    }
}

fn root(eyes: &mut Eyes<'_>, row: Row<'_>) -> Result<Option<How>, TableError> {
    let Some(chain) = Chain::root(eyes.tables, eyes.viewer.tenant(), row.share)? else {
        return Ok(None);
    };
    let now = eyes.root(&chain)?;
    match &row.change.before {
        Some(before) if row.change.kind == ChangeKind::Permissions => {
            rights(eyes, row, &chain, before, now)
        }
        _ => Ok(as_written(row, now, row.change.subtree)),
    }
}

fn item(eyes: &mut Eyes<'_>, row: Row<'_>, id: ItemId) -> Result<Option<How>, TableError> {
    let found = table::get::<Items>(eyes.tables, &(eyes.viewer.tenant(), id))?;
    let here = |item: &Item| item.share == row.share && item.state != ItemState::Purging;
    let Some(item) = found.filter(here) else { return gone(eyes, row, id) };
    let now = eyes.item(id, &item)?;
    match row.change.kind {
        ChangeKind::Permissions => {
            let Some(chain) = Chain::of(eyes.tables, eyes.viewer.tenant(), id)? else {
                return Ok(None);
            };
            match &row.change.before {
                Some(before) => rights(eyes, row, &chain, before, now),
                None => Ok(as_written(row, now, false)),
            }
        }
        ChangeKind::Moved => moved(eyes, row, (id, &item), now),
        ChangeKind::Deleted => {
            let has_closed = match id {
                ItemId::Folder(folder) => eyes.has_closed(row.share, Some(folder))?,
                ItemId::File(_) => false,
            };
            Ok(as_written(row, now, has_closed))
        }
        ChangeKind::Created | ChangeKind::Updated | ChangeKind::Renamed | ChangeKind::Restored => {
            Ok(as_written(row, now, row.change.subtree))
        }
    }
}

/// A row that changes nobody's sight. Of a folder that is closed to the reader only that is told
/// which brings or takes what lies below.
fn as_written(row: Row<'_>, now: View, subtree: bool) -> Option<How> {
    let kind = row.change.kind;
    match now.sight {
        Sight::Itself => Some(How::Plain { kind, subtree }),
        Sight::Below if subtree || kind == ChangeKind::Deleted => Some(How::Anew),
        Sight::Below | Sight::Nothing => None,
    }
}

/// The difference that a change of rights, or of a folder's place, makes. `has_listed`: folders
/// with lists of their own lie below, so that more may change than what is known to lie there.
fn difference(
    (was, now): (View, View),
    kind: ChangeKind,
    is_certain: bool,
    has_listed: bool,
) -> Option<How> {
    let differs = was.hands != now.hands || !is_certain;
    match (was.sight, now.sight) {
        (Sight::Itself, Sight::Itself) if differs && has_listed => Some(How::Anew),
        (Sight::Itself, Sight::Itself) => Some(How::Plain { kind, subtree: differs }),
        (Sight::Nothing, Sight::Itself) if is_certain => {
            Some(How::Plain { kind: ChangeKind::Created, subtree: true })
        }
        (_, Sight::Itself) | (Sight::Itself, Sight::Below) => Some(How::Anew),
        (Sight::Itself, Sight::Nothing) => Some(How::Hidden { subtree: has_listed }),
        (Sight::Below, Sight::Nothing) | (Sight::Nothing, Sight::Below) => Some(How::Anew),
        (Sight::Below, Sight::Below) | (Sight::Nothing, Sight::Nothing) => {
            differs.then_some(How::Anew)
        }
    }
}

fn rights(
    eyes: &mut Eyes<'_>,
    row: Row<'_>,
    chain: &Chain,
    before: &ListBefore,
    now: View,
) -> Result<Option<How>, TableError> {
    if before.grouping.is_some_and(|grouping| grouping.user != eyes.viewer.user()) {
        return Ok(None);
    }
    let was = eyes.before(chain, row.change.target, before)?;
    let is_certain = !(turned_since(eyes, row, &above(chain))?
        || (concerns(eyes, before) && has_turned_beside(eyes, row, before.aspect())?));
    let has_listed = match row.change.target {
        Target::Share(share) => eyes.has_listed(share, None)?,
        Target::Item(ItemId::Folder(folder)) => eyes.has_listed(row.share, Some(folder))?,
        Target::Item(ItemId::File(_)) => false,
    };
    let how = difference((was, now), ChangeKind::Permissions, is_certain, has_listed);
    let is_file = matches!(row.change.target, Target::Item(ItemId::File(_)));
    Ok(match how {
        Some(How::Plain { kind, .. }) if is_file => Some(How::Plain { kind, subtree: false }),
        Some(How::Anew) if is_file && now.sight == Sight::Itself => {
            Some(How::Plain { kind: ChangeKind::Created, subtree: false })
        }
        // A share that comes into sight, or goes, is looked at anew in any case.
        Some(How::Hidden { .. }) if row.change.target == Target::Share(row.share) => {
            Some(How::Hidden { subtree: true })
        }
        how => how,
    })
}

/// Whether a change of rights can have been one for the reader: what another user's membership
/// gives is not.
fn concerns(eyes: &Eyes<'_>, before: &ListBefore) -> bool {
    before.member().flatten().is_none_or(|principal| eyes.viewer.is(principal))
}

/// What a chain's bottom lies in; of a root, nothing.
fn above(chain: &Chain) -> Chain {
    if chain.items.is_empty() { chain.clone() } else { chain.parent() }
}

fn moved(
    eyes: &mut Eyes<'_>,
    row: Row<'_>,
    (id, item): (ItemId, &Item),
    now: View,
) -> Result<Option<How>, TableError> {
    let Some((old_parent, _)) = &row.change.old else {
        return Ok(as_written(row, now, false));
    };
    let was = eyes.item_in(id, item, *old_parent)?;
    // Its own list may be younger than the row: then it does not tell who saw it where it was.
    let turned = has_turned_beside(eyes, row, Aspect::Place)?;
    let ItemId::Folder(folder) = id else {
        let is_listed = item.has_own_entries || !item.inherits;
        return Ok(match (was.sight, now.sight) {
            (_, Sight::Itself) => Some(How::Plain { kind: row.change.kind, subtree: false }),
            (Sight::Itself, _) => Some(How::Hidden { subtree: false }),
            _ => (turned && is_listed).then_some(How::Anew),
        });
    };
    // A snapshot taken for an earlier row may be ahead of this one: then what lies below a closed
    // folder went with it already, and only looking again finds where.
    let stays_closed = (was.sight, now.sight) == (Sight::Below, Sight::Below);
    let places = [*old_parent, item.parent];
    let mut is_certain = !turned && !stays_closed;
    for place in places.into_iter().flatten() {
        let chain = Chain::of(eyes.tables, eyes.viewer.tenant(), ItemId::Folder(place))?;
        is_certain &= match chain {
            Some(chain) => !turned_since(eyes, row, &chain)?,
            None => false,
        };
    }
    let has_listed = eyes.has_listed(row.share, Some(folder))?;
    Ok(difference((was, now), ChangeKind::Moved, is_certain, has_listed))
}

/// Whether, after this row, something in the chain was moved or had its rights changed: then what
/// is so now does not tell how it was at the row.
fn turned_since(eyes: &Eyes<'_>, row: Row<'_>, chain: &Chain) -> Result<bool, TableError> {
    let items = chain.items.iter().map(|(id, _)| Target::Item(*id));
    let root = (row.change.target != Target::Share(row.share)).then_some(Target::Share(row.share));
    for target in items.chain(root) {
        if has_turned(eyes, row, target)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether, after this row, the target was moved or had its rights changed.
fn has_turned(eyes: &Eyes<'_>, row: Row<'_>, target: Target) -> Result<bool, TableError> {
    let key = (eyes.viewer.tenant(), row.share, target);
    Ok(table::get::<Turns>(eyes.tables, &key)?.is_some_and(|turned| turned.last() > row.number))
}

/// Whether, after this row, something else changed of what decides who sees its target: then the
/// row's word for how it was is only half of it.
fn has_turned_beside(eyes: &Eyes<'_>, row: Row<'_>, aspect: Aspect) -> Result<bool, TableError> {
    let key = (eyes.viewer.tenant(), row.share, row.change.target);
    let turned = table::get::<Turns>(eyes.tables, &key)?.unwrap_or_default();
    Ok(turned.last_beside(aspect) > row.number)
}

/// Of what is not in the share any more only that is told: that it went.
fn gone(eyes: &mut Eyes<'_>, row: Row<'_>, id: ItemId) -> Result<Option<How>, TableError> {
    let change = row.change;
    match (change.kind, &change.before, &change.old) {
        (ChangeKind::Deleted, Some(before), _) => {
            let view = at_its_end(eyes, row, id, before)?;
            Ok(match view.sight {
                Sight::Itself => {
                    Some(How::Plain { kind: ChangeKind::Deleted, subtree: change.subtree })
                }
                Sight::Below => Some(How::Anew),
                // Something below had rights of its own, perhaps the reader's; or it was closed by
                // its own, and what lay in it was seen by those of a folder that is gone too, or
                // has turned: when that is told, nothing shows any more that this lay in it.
                Sight::Nothing => {
                    let is_listed = !before.entries.is_empty() || !before.inherits;
                    let is_half = is_listed && is_going_or_turned(eyes, row)?;
                    (change.subtree || is_half).then_some(How::Anew)
                }
            })
        }
        // The reader may know it from before; who may see it when it goes is told then.
        (ChangeKind::Permissions, Some(before), _) => {
            Ok(match at_its_end(eyes, row, id, before)?.sight {
                Sight::Itself => Some(How::Hidden { subtree: matches!(id, ItemId::Folder(_)) }),
                Sight::Below => Some(How::Anew),
                Sight::Nothing => None,
            })
        }
        // The reader may know it where it was before; where it went then, it is gone now.
        (ChangeKind::Moved, _, Some((old_parent, _))) => {
            let plain = plain(row.share, *old_parent, UserId::from(0));
            let was = eyes.item_in(id, &plain, *old_parent)?;
            let how = How::Hidden { subtree: matches!(id, ItemId::Folder(_)) };
            Ok((was.sight == Sight::Itself).then_some(how))
        }
        _ => Ok(None),
    }
}

/// Whether a folder that the row's target was in is gone, or on its way, or was ever moved or had
/// its rights changed.
fn is_going_or_turned(eyes: &Eyes<'_>, row: Row<'_>) -> Result<bool, TableError> {
    let Some(folder) = row.change.parent else { return Ok(false) };
    let tenant = eyes.viewer.tenant();
    let Some(chain) = Chain::of(eyes.tables, tenant, ItemId::Folder(folder))? else {
        return Ok(true);
    };
    for (id, item) in &chain.items {
        let key = (tenant, row.share, Target::Item(*id));
        if item.state != ItemState::Live || table::has::<Turns>(eyes.tables, &key)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What something that is gone was to the reader when it went. Where its folder is gone too, its
/// own list alone decides: the folder's going tells the rest.
fn at_its_end(
    eyes: &mut Eyes<'_>,
    row: Row<'_>,
    id: ItemId,
    before: &ListBefore,
) -> Result<View, TableError> {
    let tenant = eyes.viewer.tenant();
    let change = row.change;
    let above = match change.parent {
        Some(folder) => Chain::of(eyes.tables, tenant, ItemId::Folder(folder))?
            .filter(|chain| chain.share_id == row.share),
        None => Chain::root(eyes.tables, tenant, row.share)?,
    };
    let mut before = before.clone();
    let above = match above {
        Some(above) => above,
        None => {
            before.inherits = false;
            match Chain::root(eyes.tables, tenant, row.share)? {
                Some(root) => root,
                None => return Ok(View { sight: Sight::Nothing, hands: [false; 2] }),
            }
        }
    };
    let mut chain = above;
    let owner = before.owner.unwrap_or(UserId::from(0));
    chain.items.insert(0, (id, plain(row.share, change.parent, owner)));
    let view = eyes.before(&chain, change.target, &before)?;
    Ok(view)
}

fn masked(row: Row<'_>, target: Target, kind: ChangeKind, subtree: bool) -> Told {
    let change = row.change;
    Told {
        share: row.share,
        number: row.number,
        id: change.id,
        target,
        kind,
        by: change.by,
        device: None,
        at: change.at,
        old_path: None,
        new_path: None,
        parent: None,
        name: None,
        version: None,
        version_number: None,
        size: None,
        mime_type: None,
        checksum: None,
        client_modified_at: None,
        executable: None,
        subtree,
    }
}

fn plainly(
    eyes: &mut Eyes<'_>,
    row: Row<'_>,
    kind: ChangeKind,
    subtree: bool,
) -> Result<Told, TableError> {
    let change = row.change;
    let mut told = masked(row, change.target, kind, subtree);
    told.device.clone_from(&change.device);
    told.parent = change.parent;
    told.name.clone_from(&change.name);
    (told.version, told.version_number, told.size) = (change.version, change.number, change.size);
    if let Target::Item(id) = change.target {
        if change.kind == ChangeKind::Permissions {
            as_it_is(eyes, id, &mut told)?;
        } else if kind != ChangeKind::Deleted {
            where_it_is(eyes, row, id, &mut told)?;
        }
    }
    let path = match &told.name {
        Some(name) => Some(path_to(eyes, row.share, told.parent, name)?),
        None => None,
    };
    let has_old = kind != ChangeKind::Created && kind == change.kind;
    if let Some((parent, name)) = change.old.as_ref().filter(|_| has_old) {
        told.old_path = Some(path_to(eyes, row.share, *parent, name)?);
    }
    if kind == ChangeKind::Deleted {
        told.old_path = path;
    } else {
        told.new_path = path;
    }
    if let (Target::Item(ItemId::File(id)), Some(number)) = (change.target, told.version_number) {
        let key = (eyes.viewer.tenant(), id, number);
        let version = table::get::<Versions>(eyes.tables, &key)?;
        // A version may have moved up to make room for the losing side of a conflict.
        if let Some(version) = version.filter(|version| told.version == Some(version.id)) {
            told.mime_type = Some(version.mime_type);
            told.checksum = Some(version.checksum);
            told.client_modified_at = version.client_modified_at;
            told.executable = Some(version.executable);
        }
    }
    Ok(told)
}

/// What a change of rights brings into sight is what is there now: the row knows nothing of it.
fn as_it_is(eyes: &Eyes<'_>, id: ItemId, told: &mut Told) -> Result<(), TableError> {
    let item = table::get::<Items>(eyes.tables, &(eyes.viewer.tenant(), id))?;
    let Some(item) = item else { return Ok(()) };
    told.parent = item.parent;
    if let Body::File(file) = &item.body {
        told.version = Some(file.version_id);
        told.version_number = Some(file.version);
        told.size = Some(file.size);
    }
    told.name = Some(item.name);
    Ok(())
}

/// Where something was at a row that a move has overtaken may be nothing to the reader, who sees it
/// where it went: then that is told.
fn where_it_is(
    eyes: &mut Eyes<'_>,
    row: Row<'_>,
    id: ItemId,
    told: &mut Told,
) -> Result<(), TableError> {
    let tenant = eyes.viewer.tenant();
    let turned = table::get::<Turns>(eyes.tables, &(tenant, row.share, row.change.target))?;
    if turned.unwrap_or_default().place <= row.number {
        return Ok(());
    }
    let Some(item) = table::get::<Items>(eyes.tables, &(tenant, id))? else { return Ok(()) };
    if eyes.item_in(id, &item, told.parent)?.sight != Sight::Itself {
        (told.parent, told.name) = (item.parent, Some(item.name));
    }
    Ok(())
}

/// Names above that are gone are shown like those that are closed.
fn path_to(
    eyes: &mut Eyes<'_>,
    share: ShareId,
    parent: Parent,
    name: &Name,
) -> Result<Vec<Option<String>>, TableError> {
    let mut path = eyes.path(share, parent)?.unwrap_or_else(|| vec![None]);
    path.push(Some(name.as_str().to_owned()));
    Ok(path)
}
