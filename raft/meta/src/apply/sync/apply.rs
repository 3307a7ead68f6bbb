//! A device's changes, in order, each judged on its own, all in one step.

use std::collections::BTreeMap;

use node_base::{
    DeviceId, FileId, FolderId, Name, Permission, ShareId, UploadId, VersionId, limits,
};

use super::conflict::{self, Clash, Wish};
use super::device;
use crate::access::Viewer;
use crate::apply::item::place::{holder, live, name as named, noun, permitted, target};
use crate::apply::item::{self, Update, change, commit, relocate, trash};
use crate::apply::{Step, Stop, upload};
use crate::chain::Chain;
use crate::command::{Place, SyncChange, SyncEdit, SyncParent};
use crate::outcome::{Answer, Invalid, ItemView, Refusal, SyncResult, SyncStatus};
use crate::table;
use crate::table::change::ShareFeeds;
use crate::table::conflict::{ConflictKind, Stated};
use crate::table::item::{ItemId, Parent};
use crate::table::share::ConflictStrategy;
use crate::table::upload::UploadState;
use crate::tables::TableError;

/// What the changes of one batch share.
pub(super) struct Batch {
    pub(super) share: ShareId,
    pub(super) strategy: ConflictStrategy,
    /// The folders that changes so far made, by the reference the client gave.
    made: BTreeMap<String, FolderId>,
    /// What the change at hand says of its file.
    pub(super) stated: Stated,
}

pub(super) fn run(
    step: &mut Step<'_>,
    device: &DeviceId,
    share: ShareId,
    strategy: Option<ConflictStrategy>,
    changes: &[SyncChange],
) -> Result<Answer, Stop> {
    let (tenant, _) = step.who()?;
    let max = limits::BATCH_ITEMS_MAX as u64;
    if changes.len() as u64 > max {
        return Err(Refusal::invalid("changes", Invalid::TooMany { max }).into());
    }
    device::note_seen(step, device)?;
    let root = device::visible(step, share)?;
    let strategy = strategy.unwrap_or(root.share.settings.conflict_resolution);
    let mut batch = Batch { share, strategy, made: BTreeMap::new(), stated: Stated::default() };
    let mut results = Vec::with_capacity(changes.len());
    for change in changes {
        batch.stated = change.stated;
        let status = match step.attempt(|step| one(step, &batch, &change.edit))? {
            Ok(status) => status,
            Err(refusal) => SyncStatus::Rejected(refusal),
        };
        if let (SyncEdit::CreateFolder { .. }, Some(ItemId::Folder(folder))) =
            (&change.edit, subject(&status))
        {
            batch.made.insert(change.client_ref.clone(), folder);
        }
        results.push(SyncResult { client_ref: change.client_ref.clone(), status });
    }
    let feed = table::get::<ShareFeeds>(step.reader(), &(tenant, share))?.unwrap_or_default();
    let incarnation = root.share.incarnation;
    Ok(Answer::Sync { results, incarnation, position: feed.last })
}

/// The item that a change made or met.
fn subject(status: &SyncStatus) -> Option<ItemId> {
    match status {
        SyncStatus::Applied(view) => Some(view.id),
        SyncStatus::Conflict { view, .. } => view.as_ref().map(|view| view.id),
        SyncStatus::Rejected(_) => None,
    }
}

fn one(step: &mut Step<'_>, batch: &Batch, edit: &SyncEdit) -> Result<SyncStatus, Stop> {
    match edit {
        SyncEdit::CreateFolder { parent, name } => {
            create_folder(step, batch, place(batch, parent)?, name)
        }
        SyncEdit::CreateFile { parent, name, upload } => {
            create_file(step, batch, place(batch, parent)?, name, *upload)
        }
        SyncEdit::UpdateFile { file, base, upload } => match upload {
            Some(upload) => update_file(step, batch, *file, *base, *upload),
            None => restate_file(step, batch, *file, *base),
        },
        SyncEdit::Rename { item, name } => rename(step, batch, *item, name),
        SyncEdit::Move { item, parent, name } => {
            relocate(step, batch, *item, place(batch, parent)?, name.as_deref())
        }
        SyncEdit::Delete { item, base } => delete(step, batch, *item, *base),
        SyncEdit::Restore { item } => {
            within(step, batch, *item)?;
            trash::restore(step, *item).map(SyncStatus::Applied)
        }
    }
}

fn place(batch: &Batch, parent: &SyncParent) -> Result<Place, Refusal> {
    let parent: Parent = match parent {
        SyncParent::Folder(parent) => *parent,
        SyncParent::Ref(text) => {
            let rule = || Invalid::Rule("no earlier change of this batch made it".to_owned());
            let made = batch.made.get(text).copied();
            Some(made.ok_or_else(|| Refusal::invalid("parent_ref", rule()))?)
        }
    };
    Ok(Place { share: batch.share, parent })
}

/// Refused when the item is not in the share that the batch is about.
fn within(step: &Step<'_>, batch: &Batch, item: ItemId) -> Result<(), Stop> {
    let (tenant, _) = step.who()?;
    let chain = Chain::of(step.reader(), tenant, item)?;
    match chain.filter(|chain| chain.share_id == batch.share) {
        Some(_) => Ok(()),
        None => Err(Refusal::NotFound(noun(item)).into()),
    }
}

/// A folder that two made is one folder.
fn create_folder(
    step: &mut Step<'_>,
    batch: &Batch,
    place: Place,
    text: &str,
) -> Result<SyncStatus, Stop> {
    let (tenant, _) = step.who()?;
    let above = target(step, place)?;
    let name = named(text, &above)?;
    match holder(step.reader(), tenant, &above, &name)? {
        None => item::create::folder(step, place, text).map(SyncStatus::Applied),
        Some(folder @ ItemId::Folder(_)) if is_seen(step, folder)? => {
            item::view(step, folder).map(SyncStatus::Applied)
        }
        Some(other) => {
            let wish = Wish::Folder { place, name };
            conflict::meet(step, batch, Clash::of(ConflictKind::Name, other), wish)
        }
    }
}

fn is_seen(step: &Step<'_>, id: ItemId) -> Result<bool, Stop> {
    Ok(item::view(step, id)?.item.is_some())
}

fn create_file(
    step: &mut Step<'_>,
    batch: &Batch,
    place: Place,
    text: &str,
    id: UploadId,
) -> Result<SyncStatus, Stop> {
    let (tenant, _) = step.who()?;
    let folder = target(step, place)?;
    let name = named(text, &folder)?;
    let prepared = take(step, batch, id)?;
    let status = match holder(step.reader(), tenant, &folder, &name)? {
        None => {
            let file = commit::create(step, &folder, name, prepared)?;
            SyncStatus::Applied(item::view(step, ItemId::File(file))?)
        }
        Some(ItemId::File(file)) if is_same(step, file, &prepared)? => {
            let chain = live(step, ItemId::File(file), Permission::Write)?;
            commit::replace(step, &chain, prepared)?;
            SyncStatus::Applied(item::view(step, ItemId::File(file))?)
        }
        Some(other) => {
            let wish = Wish::File { place, name, prepared };
            conflict::meet(step, batch, Clash::of(ConflictKind::Name, other), wish)?
        }
    };
    finish(step, id, &status)?;
    Ok(status)
}

/// Whether the caller may know that a file has this very content, and has it.
fn is_same(step: &Step<'_>, file: FileId, prepared: &commit::Prepared) -> Result<bool, Stop> {
    let viewer = Viewer::of(step.reader(), step.now, step.user()?)?;
    let chain = Chain::of(step.reader(), viewer.tenant(), ItemId::File(file))?;
    let chain = chain.ok_or(TableError::Invariant("a listed file is not there"))?;
    let mask = viewer.mask(step.reader(), &chain)?;
    Ok(mask.contains(Permission::Read)
        && mask.contains(Permission::Write)
        && commit::holds_already(step, &chain, prepared)?)
}

fn update_file(
    step: &mut Step<'_>,
    batch: &Batch,
    file: FileId,
    base: Option<VersionId>,
    id: UploadId,
) -> Result<SyncStatus, Stop> {
    let item = ItemId::File(file);
    within(step, batch, item)?;
    let chain = permitted(step, item, Permission::Write)?;
    let prepared = take(step, batch, id)?;
    let is_deleted = chain.is_trashed();
    let fits = base.is_none_or(|base| commit::is_current(&chain, base))
        || commit::holds_already(step, &chain, &prepared)?;
    let status = if !is_deleted && fits {
        commit::replace(step, &chain, prepared)?;
        SyncStatus::Applied(item::view(step, item)?)
    } else {
        let kind = if is_deleted { ConflictKind::EditDelete } else { ConflictKind::Content };
        let clash = Clash { base, ..Clash::of(kind, item) };
        conflict::meet(step, batch, clash, Wish::Content { prepared })?
    };
    finish(step, id, &status)?;
    Ok(status)
}

/// The content of a session, with what the change says of the file over what the session says.
fn take(step: &mut Step<'_>, batch: &Batch, id: UploadId) -> Result<commit::Prepared, Stop> {
    let prepared = upload::take(step, id, upload::Told::default(), batch.share)?;
    let stated = batch.stated;
    Ok(commit::Prepared {
        client_modified_at: stated.client_modified_at.or(prepared.client_modified_at),
        executable: stated.executable.unwrap_or(prepared.executable),
        ..prepared
    })
}

/// A change of a file's own time or mode, which stay with the content that they were said of.
fn restate_file(
    step: &mut Step<'_>,
    batch: &Batch,
    file: FileId,
    base: Option<VersionId>,
) -> Result<SyncStatus, Stop> {
    let item = ItemId::File(file);
    within(step, batch, item)?;
    let chain = permitted(step, item, Permission::Write)?;
    let is_deleted = chain.is_trashed();
    let (known, stated) = (commit::file_of(&chain)?, batch.stated);
    let is_so = stated.client_modified_at.is_none_or(|at| known.client_modified_at == Some(at))
        && stated.executable.is_none_or(|executable| known.executable == executable);
    if !is_deleted && (is_so || base.is_none_or(|base| commit::is_current(&chain, base))) {
        let status = change::update(step, item, Update::from(stated))?;
        return Ok(SyncStatus::Applied(status));
    }
    let kind = if is_deleted { ConflictKind::EditDelete } else { ConflictKind::Content };
    let clash = Clash { base, ..Clash::of(kind, item) };
    conflict::meet(step, batch, clash, Wish::Statement)
}

/// Notes in the session what became of it.
fn finish(step: &mut Step<'_>, id: UploadId, status: &SyncStatus) -> Result<(), Stop> {
    let (tenant, _) = step.who()?;
    let state = match status {
        SyncStatus::Applied(view) => {
            let chain = Chain::of(step.reader(), tenant, view.id)?;
            let chain = chain.ok_or(TableError::Invariant("a committed file is not there"))?;
            let (file, row) = (commit::file_item(&chain)?.0, commit::file_of(&chain)?);
            UploadState::Completed { file, version: row.version_id, number: row.version }
        }
        SyncStatus::Conflict { conflict, .. } => UploadState::Conflicted { conflict: *conflict },
        SyncStatus::Rejected(_) => return Ok(()),
    };
    upload::finish(step, id, state)
}

fn rename(
    step: &mut Step<'_>,
    batch: &Batch,
    item: ItemId,
    text: &str,
) -> Result<SyncStatus, Stop> {
    within(step, batch, item)?;
    let chain = live(step, item, Permission::Write)?;
    let name = named(text, &chain)?;
    let settled = settle(step, (item, &chain.parent()), &name, |step, name| {
        let update = Update { name: Some(name.as_str()), ..Update::default() };
        change::update(step, item, update)
    })?;
    match settled {
        Some(status) => Ok(status),
        None => {
            let parent = chain.item().and_then(|item| item.parent);
            let place = Place { share: batch.share, parent };
            let clash = Clash::of(ConflictKind::Name, item);
            conflict::meet(step, batch, clash, Wish::Place { place, name })
        }
    }
}

fn relocate(
    step: &mut Step<'_>,
    batch: &Batch,
    item: ItemId,
    place: Place,
    text: Option<&str>,
) -> Result<SyncStatus, Stop> {
    within(step, batch, item)?;
    let chain = live(step, item, Permission::Delete)?;
    let folder = target(step, place)?;
    let name = match (text, chain.item()) {
        (Some(text), _) => named(text, &folder)?,
        (None, Some(item)) => item.name.clone(),
        (None, None) => return Err(TableError::Invariant("an item's chain is empty").into()),
    };
    let settled = settle(step, (item, &folder), &name, |step, name| {
        relocate::item(step, item, place, Some(name.as_str()))
    })?;
    match settled {
        Some(status) => Ok(status),
        None => {
            let clash = Clash::of(ConflictKind::Move, item);
            conflict::meet(step, batch, clash, Wish::Place { place, name })
        }
    }
}

/// Does what is asked, where nobody else has the name.
fn settle(
    step: &mut Step<'_>,
    (item, folder): (ItemId, &Chain),
    name: &Name,
    act: impl FnOnce(&mut Step<'_>, &Name) -> Result<ItemView, Stop>,
) -> Result<Option<SyncStatus>, Stop> {
    let (tenant, _) = step.who()?;
    match holder(step.reader(), tenant, folder, name)? {
        Some(other) if other != item => Ok(None),
        _ => act(step, name).map(SyncStatus::Applied).map(Some),
    }
}

/// What is gone already is deleted.
fn delete(
    step: &mut Step<'_>,
    batch: &Batch,
    item: ItemId,
    base: Option<VersionId>,
) -> Result<SyncStatus, Stop> {
    let (tenant, _) = step.who()?;
    let chain = Chain::of(step.reader(), tenant, item)?;
    let chain = chain.filter(|chain| chain.share_id == batch.share);
    let viewer = Viewer::of(step.reader(), step.now, step.user()?)?;
    // What the caller may not see is, to it, as gone as what is.
    let seen = match chain {
        Some(chain) if !viewer.mask(step.reader(), &chain)?.is_empty() => Some(chain),
        _ => None,
    };
    let Some(chain) = seen else {
        let view = ItemView { id: item, item: None, path: Vec::new(), is_deleted: true };
        return Ok(SyncStatus::Applied(view));
    };
    let chain = permitted(step, chain.items[0].0, Permission::Delete)?;
    if !chain.is_trashed() {
        if base.is_some_and(|base| !commit::is_current(&chain, base)) {
            let clash = Clash { base, ..Clash::of(ConflictKind::DeleteEdit, item) };
            return conflict::meet(step, batch, clash, Wish::Deletion);
        }
        trash::delete(step, item)?;
    }
    item::view(step, item).map(SyncStatus::Applied)
}
