//! What one reader is told of one row of the log.
//!
//! A row is told as it was written, if the reader may READ now what it is about; and where it took
//! something out of the reader's sight or brought something into it, that is what is told. Who
//! follows takes the rows in order: `deleted` drops a thing and all that is known below it,
//! `subtree` puts what the snapshot of the folder says in the place of all that is known below it.

use node_base::{ChangeId, DeviceId, Name, ShareId, Timestamp, UserId, VersionId};

use super::sight::{Eyes, Sight, View, plain};
use crate::chain::Chain;
use crate::table;
use crate::table::acl::Target;
use crate::table::change::{Change, ChangeKind, ListBefore, Turns};
use crate::table::item::{Checksum, Item, ItemId, ItemState, Items, Parent, Versions};
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
    /// Without a name: it is about a folder that the reader sees only things below of, or about
    /// something that is out of sight now.
    Masked { kind: ChangeKind, subtree: bool },
}

pub(super) fn tell(eyes: &mut Eyes<'_>, row: Row<'_>) -> Result<Option<Told>, TableError> {
    let how = match row.change.target {
        Target::Share(_) => root(eyes, row)?,
        Target::Item(id) => item(eyes, row, id)?,
    };
    match how {
        Some(How::Plain { kind, subtree }) => plainly(eyes, row, kind, subtree).map(Some),
        Some(How::Masked { kind, subtree }) => Ok(Some(masked(row, kind, subtree))),
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
        ChangeKind::Deleted => Ok(as_written(row, now, false)),
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
        Sight::Below if subtree || kind == ChangeKind::Deleted => {
            Some(How::Masked { kind, subtree })
        }
        Sight::Below | Sight::Nothing => None,
    }
}

/// The difference that a change of rights, or of a folder's place, makes.
fn difference(was: View, now: View, kind: ChangeKind, is_certain: bool) -> Option<How> {
    let below = was.hands != now.hands || !is_certain;
    match (was.sight, now.sight) {
        (Sight::Itself, Sight::Itself) => Some(How::Plain { kind, subtree: below }),
        (_, Sight::Itself) => Some(How::Plain { kind: ChangeKind::Created, subtree: true }),
        (Sight::Itself, Sight::Below) => {
            Some(How::Masked { kind: ChangeKind::Permissions, subtree: true })
        }
        (_, Sight::Below) if below => {
            Some(How::Masked { kind: ChangeKind::Permissions, subtree: true })
        }
        (Sight::Itself | Sight::Below, Sight::Nothing) => {
            Some(How::Masked { kind: ChangeKind::Deleted, subtree: false })
        }
        (_, Sight::Below) | (Sight::Nothing, Sight::Nothing) => None,
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
    let is_certain = !turned_since(eyes, row, chain)?;
    let how = difference(was, now, ChangeKind::Permissions, is_certain);
    let is_file = matches!(row.change.target, Target::Item(ItemId::File(_)));
    Ok(match how {
        Some(How::Plain { kind, .. }) if is_file => Some(How::Plain { kind, subtree: false }),
        how => how,
    })
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
    let ItemId::Folder(_) = id else {
        return Ok(match (was.sight, now.sight) {
            (_, Sight::Itself) => Some(How::Plain { kind: row.change.kind, subtree: false }),
            (Sight::Itself, _) => Some(How::Masked { kind: ChangeKind::Deleted, subtree: false }),
            _ => None,
        });
    };
    let chain = Chain::of(eyes.tables, eyes.viewer.tenant(), id)?;
    let mut is_certain = match &chain {
        Some(chain) => !turned_since(eyes, row, chain)?,
        None => false,
    };
    if let Some(old) = *old_parent {
        let old = Chain::of(eyes.tables, eyes.viewer.tenant(), ItemId::Folder(old))?;
        is_certain &= match old {
            Some(old) => !turned_since(eyes, row, &old)?,
            None => false,
        };
    }
    let how = difference(was, now, ChangeKind::Moved, is_certain);
    Ok(match how {
        // It was out of sight, and the place it came from is told to nobody who did not see it.
        Some(How::Plain { kind: ChangeKind::Created, subtree }) => {
            Some(How::Plain { kind: ChangeKind::Created, subtree })
        }
        how => how,
    })
}

/// Whether, after this row, something in the chain was moved or had its rights changed: then what
/// is so now does not tell how it was at the row.
fn turned_since(eyes: &Eyes<'_>, row: Row<'_>, chain: &Chain) -> Result<bool, TableError> {
    let items = chain.items.iter().map(|(id, _)| Target::Item(*id));
    for target in items.chain([Target::Share(row.share)]) {
        let key = (eyes.viewer.tenant(), row.share, target);
        if table::get::<Turns>(eyes.tables, &key)?.is_some_and(|last| last > row.number) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Of what is not in the share any more only that is told: that it went.
fn gone(eyes: &mut Eyes<'_>, row: Row<'_>, id: ItemId) -> Result<Option<How>, TableError> {
    let change = row.change;
    match (change.kind, &change.before, &change.old) {
        (ChangeKind::Deleted, Some(before), _) => {
            let view = at_its_end(eyes, row, id, before)?;
            Ok(match view.sight {
                Sight::Itself => Some(How::Plain { kind: ChangeKind::Deleted, subtree: false }),
                Sight::Below => Some(How::Masked { kind: ChangeKind::Deleted, subtree: false }),
                Sight::Nothing => None,
            })
        }
        // The reader may know it where it was before; where it went then, it is gone now.
        (ChangeKind::Moved, _, Some((old_parent, _))) => {
            let plain = plain(row.share, *old_parent, UserId::from(0));
            let was = eyes.item_in(id, &plain, *old_parent)?;
            let how = How::Masked { kind: ChangeKind::Deleted, subtree: false };
            Ok((was.sight == Sight::Itself).then_some(how))
        }
        _ => Ok(None),
    }
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
    let has_below = change.subtree && view.sight == Sight::Nothing;
    Ok(View { sight: if has_below { Sight::Below } else { view.sight }, ..view })
}

fn masked(row: Row<'_>, kind: ChangeKind, subtree: bool) -> Told {
    let change = row.change;
    Told {
        share: row.share,
        number: row.number,
        id: change.id,
        target: change.target,
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
    let mut told = masked(row, kind, subtree);
    told.device.clone_from(&change.device);
    told.parent = change.parent;
    told.name.clone_from(&change.name);
    (told.version, told.version_number, told.size) = (change.version, change.number, change.size);
    let path = match &change.name {
        Some(name) => Some(path_to(eyes, row.share, change.parent, name)?),
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
    if let (Target::Item(ItemId::File(id)), Some(number)) = (change.target, change.number) {
        let key = (eyes.viewer.tenant(), id, number);
        let version = table::get::<Versions>(eyes.tables, &key)?;
        // A version may have moved up to make room for the losing side of a conflict.
        if let Some(version) = version.filter(|version| change.version == Some(version.id)) {
            told.mime_type = Some(version.mime_type);
            told.checksum = Some(version.checksum);
            told.client_modified_at = version.client_modified_at;
            told.executable = Some(version.executable);
        }
    }
    Ok(told)
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
