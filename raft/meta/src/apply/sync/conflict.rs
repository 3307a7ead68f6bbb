//! Two changes that could not both be: what each strategy makes of them, and how one that was left
//! open is decided later.
//!
//! Whatever happens, the client's content ends in a version, in a file of its own, or stays in the
//! conflict.

use node_base::{ConflictId, Duration, Name, NamePolicy, Permission, Timestamp, VersionId};

use super::apply::Batch;
use crate::access;
use crate::apply::item::commit::{
    self, Prepared, bytes, create, file_item, file_of, insert_below, new_version, supersede,
};
use crate::apply::item::place::{noun, parent_of, permitted, policy, record, target};
use crate::apply::item::trash::first_free;
use crate::apply::item::{self, Update, change, relocate, trash};
use crate::apply::quota::{self, Delta};
use crate::apply::{Step, Stop, content};
use crate::chain::Chain;
use crate::command::Place;
use crate::outcome::{Answer, Invalid, ItemView, Noun, Refusal, SyncStatus};
use crate::table;
use crate::table::change::ChangeKind;
use crate::table::conflict::{Conflict, ConflictKind, Conflicts, Resolved};
use crate::table::device::Devices;
use crate::table::item::{ItemId, ItemState, Version};
use crate::table::people::Users;
use crate::table::share::ConflictStrategy;
use crate::tables::TableError;

/// A client's clock that is further ahead than this is taken to be at log time.
const AHEAD_MAX: Duration = Duration::from_secs(5 * 60);
/// Bytes of a device's name in the name of a file.
const DEVICE_SHOWN: usize = 64;

/// What collided with what.
pub(super) struct Clash {
    pub(super) kind: ConflictKind,
    /// What the server has: the item that was edited or deleted, or whose name was wanted.
    pub(super) item: ItemId,
    pub(super) base: Option<VersionId>,
}

impl Clash {
    pub(super) fn of(kind: ConflictKind, item: ItemId) -> Self {
        Self { kind, item, base: None }
    }
}

/// What the client wanted.
pub(super) enum Wish {
    /// A folder under a name that is taken.
    Folder {
        place: Place,
        name: Name,
    },
    /// A file under a name that is taken.
    File {
        place: Place,
        name: Name,
        prepared: Prepared,
    },
    /// A content for the file.
    Content {
        prepared: Prepared,
    },
    /// Another place or name for the item, where the name is taken.
    Place {
        place: Place,
        name: Name,
    },
    Deletion,
    /// Another time or mode for the file.
    Statement,
}

/// Records a conflict and does what the strategy says.
pub(super) fn meet(
    step: &mut Step<'_>,
    batch: &Batch,
    clash: Clash,
    wish: Wish,
) -> Result<SyncStatus, Stop> {
    let (tenant, user) = step.who()?;
    let chain = Chain::of(step.reader(), tenant, clash.item)?;
    let chain = chain.ok_or(Refusal::NotFound(noun(clash.item)))?;
    let (name, prepared, place) = match wish {
        Wish::Folder { place, name } => {
            return folder(step, batch, &clash, &chain, (place, name));
        }
        Wish::File { place, name, prepared } => (Some(name), Some(prepared), Some(place)),
        Wish::Content { prepared } => (None, Some(prepared), None),
        Wish::Place { place, name } => (Some(name), None, Some(place)),
        Wish::Deletion | Wish::Statement => (None, None, None),
    };
    let (id, row) = commit::conflict(step, &chain, clash.kind, clash.base, prepared)?;
    let mut row = Conflict { name, stated: batch.stated, ..row };
    let mut view = None;
    if batch.strategy == ConflictStrategy::Manual {
        table::put::<Conflicts>(step.tables, &(tenant, id), &row)?;
    } else {
        view = decide(step, &mut row, batch.strategy, place)?;
        row.resolved = Some(Resolved { at: step.now, by: user, strategy: batch.strategy });
        table::put::<Conflicts>(step.tables, &(tenant, id), &row)?;
    }
    Ok(SyncStatus::Conflict { conflict: id, row: Box::new(row), view })
}

/// A folder whose name a file has: nothing of it can be lost, so that either it gets another name,
/// or it is not made.
fn folder(
    step: &mut Step<'_>,
    batch: &Batch,
    clash: &Clash,
    chain: &Chain,
    (place, name): (Place, Name),
) -> Result<SyncStatus, Stop> {
    let (tenant, user) = step.who()?;
    let (id, row) = commit::conflict(step, chain, clash.kind, None, None)?;
    let mut row = Conflict { name: Some(name.clone()), ..row };
    let mut view = None;
    match batch.strategy {
        ConflictStrategy::Manual => {}
        ConflictStrategy::ServerWins => {
            row.resolved = Some(Resolved { at: step.now, by: user, strategy: batch.strategy });
        }
        ConflictStrategy::ClientWins
        | ConflictStrategy::LastWriterWins
        | ConflictStrategy::KeepBoth => {
            let above = target(step, place)?;
            let name = conflict_name(step, &row, &above, &name)?;
            view = Some(item::create::folder(step, place, name.as_str())?);
            row.resolved = Some(Resolved { at: step.now, by: user, strategy: batch.strategy });
        }
    }
    table::put::<Conflicts>(step.tables, &(tenant, id), &row)?;
    Ok(SyncStatus::Conflict { conflict: id, row: Box::new(row), view })
}

/// Decides an open conflict: for who may WRITE to what it is about.
pub(super) fn resolve(
    step: &mut Step<'_>,
    id: ConflictId,
    strategy: ConflictStrategy,
) -> Result<Answer, Stop> {
    let (tenant, user) = step.who()?;
    let row = table::get::<Conflicts>(step.reader(), &(tenant, id))?;
    let mut row = row.ok_or(Refusal::NotFound(Noun::Conflict))?;
    let chain = Chain::of(step.reader(), tenant, row.item)?;
    let chain = chain.ok_or(Refusal::NotFound(Noun::Conflict))?;
    match access::require(step, &chain, Permission::Write) {
        Err(Stop::Refused(Refusal::NotFound(_))) => {
            return Err(Refusal::NotFound(Noun::Conflict).into());
        }
        checked => checked?,
    }
    access::require_row::<Conflicts>(step, &row)?;
    // What was compared is the conflict; its item has a tag of its own.
    step.if_revision = None;
    match row.resolved {
        Some(resolved) if resolved.strategy == strategy => return Ok(Answer::Conflict(id)),
        Some(_) => return Err(Refusal::AlreadyExists.into()),
        None if strategy == ConflictStrategy::Manual => {
            let rule = Invalid::Rule("a strategy that decides is needed".to_owned());
            return Err(Refusal::invalid("resolution", rule).into());
        }
        None => {}
    }
    decide(step, &mut row, strategy, None)?;
    row.resolved = Some(Resolved { at: step.now, by: user, strategy });
    table::put::<Conflicts>(step.tables, &(tenant, id), &row)?;
    let payload = vec![("conflict", id.to_string())];
    record(step, tenant, "sync.conflict_resolved", row.item, payload)?;
    Ok(Answer::Conflict(id))
}

/// Does what a strategy says. Content that is put somewhere else leaves the conflict.
fn decide(
    step: &mut Step<'_>,
    row: &mut Conflict,
    strategy: ConflictStrategy,
    place: Option<Place>,
) -> Result<Option<ItemView>, Stop> {
    let (tenant, _) = step.who()?;
    let chain = Chain::of(step.reader(), tenant, row.item)?;
    let chain = chain.ok_or(Refusal::NotFound(noun(row.item)))?;
    let strategy = match strategy {
        ConflictStrategy::LastWriterWins => last_writer(step, row, &chain),
        strategy => strategy,
    };
    if row.content.is_some() {
        return decide_content(step, row, strategy, &chain, place);
    }
    let client_wins = strategy != ConflictStrategy::ServerWins;
    match (row.kind, row.name.clone()) {
        (ConflictKind::DeleteEdit, _)
            if strategy == ConflictStrategy::ClientWins && !chain.is_trashed() =>
        {
            trash::delete(step, row.item)?;
        }
        (ConflictKind::Name | ConflictKind::Move, Some(name)) if client_wins => {
            let parent = chain.item().and_then(|item| item.parent);
            let place = place.unwrap_or(Place { share: chain.share_id, parent });
            return rename_beside(step, row, place, &name).map(Some);
        }
        // Of a file that is there, nothing of the client's could be kept beside it.
        (ConflictKind::Content | ConflictKind::EditDelete, _)
            if strategy == ConflictStrategy::ClientWins
                || strategy == ConflictStrategy::KeepBoth && chain.is_trashed() =>
        {
            out_of_trash(step, row.item, &chain)?;
            return change::update(step, row.item, Update::from(row.stated)).map(Some);
        }
        _ => {}
    }
    item::view(step, row.item).map(Some)
}

/// Gives the item the place that the client wanted, under a name that is free.
fn rename_beside(
    step: &mut Step<'_>,
    row: &Conflict,
    place: Place,
    name: &Name,
) -> Result<ItemView, Stop> {
    let (tenant, _) = step.who()?;
    let chain = Chain::of(step.reader(), tenant, row.item)?;
    let chain = chain.ok_or(Refusal::NotFound(noun(row.item)))?;
    if parent_of(&chain.parent()) == place.parent {
        let name = conflict_name(step, row, &chain.parent(), name)?;
        let update = Update { name: Some(name.as_str()), ..Update::default() };
        return change::update(step, row.item, update);
    }
    let folder = target(step, place)?;
    let name = conflict_name(step, row, &folder, name)?;
    relocate::item(step, row.item, place, Some(name.as_str()))
}

fn decide_content(
    step: &mut Step<'_>,
    row: &mut Conflict,
    strategy: ConflictStrategy,
    chain: &Chain,
    place: Option<Place>,
) -> Result<Option<ItemView>, Stop> {
    let is_folder = matches!(row.item, ItemId::Folder(_));
    let (tenant, user) = step.who()?;
    if is_folder || strategy == ConflictStrategy::KeepBoth && !chain.is_trashed() {
        let parent = chain.item().and_then(|item| item.parent);
        let place = place.unwrap_or(Place { share: chain.share_id, parent });
        return keep_both(step, row, chain, place).map(Some);
    }
    access::require(step, chain, Permission::Write)?;
    let version = take_content(step, row, chain)?;
    if strategy == ConflictStrategy::ServerWins {
        insert_below(step, chain, version)?;
        return item::view(step, row.item).map(Some);
    }
    let chain = out_of_trash(step, row.item, chain)?;
    let (id, item) = file_item(&chain)?;
    let version = Version { created_by: user, created_at: step.now, ..version };
    supersede(step, tenant, id, item, version, ChangeKind::Updated)?;
    item::view(step, row.item).map(Some)
}

/// The item where it can be written to: taken out of the trash, when it was itself put there.
fn out_of_trash(step: &mut Step<'_>, item: ItemId, chain: &Chain) -> Result<Chain, Stop> {
    let mut chain = chain.clone();
    if chain.item().is_some_and(|item| matches!(item.state, ItemState::Trashed(_))) {
        trash::restore(step, item)?;
        chain = permitted(step, item, Permission::Write)?;
    }
    if chain.is_trashed() { Err(Refusal::Trashed.into()) } else { Ok(chain) }
}

/// The client's content becomes a file beside the server's.
fn keep_both(
    step: &mut Step<'_>,
    row: &mut Conflict,
    chain: &Chain,
    place: Place,
) -> Result<ItemView, Stop> {
    let folder = target(step, place)?;
    let name = match (&row.name, chain.item()) {
        (Some(name), _) => name.clone(),
        (None, Some(item)) => item.name.clone(),
        (None, None) => return Err(TableError::Invariant("an item's chain is empty").into()),
    };
    let name = conflict_name(step, row, &folder, &name)?;
    let version = take_content(step, row, &folder)?;
    let prepared = Prepared {
        content: version.content,
        size: version.size,
        checksum: version.checksum,
        mime_type: Some(version.mime_type),
        client_modified_at: version.client_modified_at,
        executable: version.executable,
    };
    let file = create(step, &folder, name, prepared)?;
    item::view(step, ItemId::File(file))
}

/// Takes the content out of a conflict, to be put into the share of the chain.
fn take_content(step: &mut Step<'_>, row: &mut Conflict, chain: &Chain) -> Result<Version, Stop> {
    let (tenant, user) = step.who()?;
    let version = row.content.take();
    let version = version.ok_or(TableError::Invariant("a conflict has no content"))?;
    let delta = Delta { bytes: -bytes(version.size), ..Delta::default() };
    quota::charge(step, tenant, row.share, row.user, delta)?;
    if chain.share_id != row.share {
        content::hold(step, tenant, chain.share_id, &version.content)?;
        content::release(step, tenant, row.share, &version.content)?;
    }
    let prepared = Prepared {
        content: version.content,
        size: version.size,
        checksum: version.checksum,
        mime_type: Some(version.mime_type),
        client_modified_at: version.client_modified_at,
        executable: version.executable,
    };
    Ok(Version { id: version.id, ..new_version(step, user, prepared) })
}

/// Who wrote later by the clients' own clocks; equal or missing times are the client's.
fn last_writer(step: &Step<'_>, row: &Conflict, chain: &Chain) -> ConflictStrategy {
    let capped = |at: Timestamp| if at > step.now.after(AHEAD_MAX) { step.now } else { at };
    let of_content = || row.content.as_ref().and_then(|version| version.client_modified_at);
    let client = row.stated.client_modified_at.or_else(of_content).map(capped);
    let server = match chain.item().map(|item| item.state) {
        Some(ItemState::Trashed(trashed)) => Some(trashed.at),
        _ => file_of(chain).ok().and_then(|file| file.client_modified_at).map(capped),
    };
    match (client, server) {
        (Some(client), Some(server)) if server > client => ConflictStrategy::ServerWins,
        _ => ConflictStrategy::ClientWins,
    }
}

/// `name (conflict of DEVICE 2026-11-23 14.05.09).ext`, with a count where that is taken too.
fn conflict_name(
    step: &Step<'_>,
    row: &Conflict,
    folder: &Chain,
    name: &Name,
) -> Result<Name, Stop> {
    let (tenant, _) = step.who()?;
    let device = match &row.device {
        Some(device) => {
            let known = table::get::<Devices>(step.reader(), &(tenant, row.user, device.clone()))?;
            known.map_or_else(|| device.to_string(), |known| known.name)
        }
        None => table::get::<Users>(step.reader(), &(tenant, row.user))?
            .map_or_else(String::new, |user| user.display_name),
    };
    let device = shown(&device);
    let at = row.created_at.to_string().replace('T', " ").replace(':', ".");
    let at = at.split_at_checked(19).map_or(at.as_str(), |(at, _)| at);
    let free = first_free(step.reader(), tenant, folder, |n| match n {
        0 => name.marked(&format!(" (conflict of {device} {at})")),
        n => name.marked(&format!(" (conflict of {device} {at} {})", n + 1)),
    })?;
    match Name::new(free.as_str(), policy(folder)) {
        Ok(name) => Ok(name),
        Err(error) => Err(Refusal::invalid("name", error).into()),
    }
}

/// A device's name as far as every file system takes it.
fn shown(device: &str) -> String {
    let fits = |c: &char| Name::new(&c.to_string(), NamePolicy::Portable).is_ok() || *c == ' ';
    let mut text = String::new();
    for character in device.chars().map(|c| if fits(&c) { c } else { '-' }) {
        if text.len() + character.len_utf8() > DEVICE_SHOWN {
            break;
        }
        text.push(character);
    }
    text
}
