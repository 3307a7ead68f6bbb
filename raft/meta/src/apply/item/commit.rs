//! A content arrives: the first of a new file, the next of one that is there, or the losing side of
//! a conflict.
//!
//! Uploads, batches, single-shot files and sync all end here. The one who commits holds the content
//! once ([`content`](crate::apply::content)), and hands that hold over: it ends in a version, in a
//! conflict, or is let go when the file has this content already.

use node_base::{ConflictId, FileId, Permission, ShareId, TenantId, Timestamp, UserId, VersionId};

use super::place::{
    bottom, change, list, live, name, new_item, policy, record, require_free, require_room, save,
    target, touch,
};
use super::version;
use crate::access::Viewer;
use crate::apply::quota::{self, Delta};
use crate::apply::{Step, Stop, content, feed};
use crate::chain::Chain;
use crate::command::{FileDestination, NewContent, NewFile};
use crate::outcome::{Answer, Invalid, ItemView, Refusal};
use crate::query;
use crate::table::change::ChangeKind;
use crate::table::conflict::{Conflict, ConflictKind, Conflicts, ShareConflicts, Stated};
use crate::table::item::{
    Body, Checksum, ChunkRef, Content, File, Item, ItemId, Version, Versions,
};
use crate::table::people::Tenants;
use crate::table::{self};
use crate::tables::TableError;

/// A content that is here whole and held once.
#[derive(Debug, Clone)]
pub(crate) struct Prepared {
    pub(crate) content: Content,
    pub(crate) size: u64,
    pub(crate) checksum: Checksum,
    pub(crate) mime_type: Option<String>,
    pub(crate) client_modified_at: Option<Timestamp>,
    pub(crate) executable: bool,
}

/// What a file is after a commit.
#[derive(Debug, Clone)]
pub(crate) struct Landed {
    pub(crate) file: FileId,
    pub(crate) version: VersionId,
    pub(crate) number: u32,
    /// As the caller may see it.
    pub(crate) view: ItemView,
    pub(crate) created: bool,
}

/// What came of a commit.
#[derive(Debug, Clone)]
pub(crate) enum Committed {
    Landed(Landed),
    /// The base version is not current: the content stays in the conflict.
    Conflicted(ConflictId, Conflict),
}

/// Makes a file of a content, or the next version of one.
///
/// Permission is checked again: CREATE on the folder for a new file, WRITE on the file for another
/// version. Without a base the current version is replaced whatever it is. A content that the file
/// has already makes no new version.
pub(crate) fn commit(
    step: &mut Step<'_>,
    destination: &FileDestination,
    prepared: Prepared,
) -> Result<Committed, Stop> {
    match destination {
        FileDestination::New { place, name: text } => {
            let folder = target(step, *place)?;
            let name = name(text, &folder)?;
            let file = create(step, &folder, name, prepared)?;
            landed(step, file, true).map(Committed::Landed)
        }
        FileDestination::Replace { file, base } => {
            let chain = live(step, ItemId::File(*file), Permission::Write)?;
            if base.is_none_or(|base| is_current(&chain, base))
                || holds_already(step, &chain, &prepared)?
            {
                replace(step, &chain, prepared)?;
                return landed(step, *file, false).map(Committed::Landed);
            }
            let (id, row) = conflict(step, &chain, ConflictKind::Content, *base, Some(prepared))?;
            Ok(Committed::Conflicted(id, row))
        }
    }
}

/// A file that came in one request.
pub(crate) fn file(step: &mut Step<'_>, file: &NewFile) -> Result<Answer, Stop> {
    if let FileDestination::Replace { file, .. } = &file.destination {
        let chain = live(step, ItemId::File(*file), Permission::Write)?;
        super::require_revision(step, &chain)?;
    }
    let (tenant, _) = step.who()?;
    let share = share_of(step, tenant, &file.destination)?;
    let (prepared, superfluous) = prepare(step, tenant, share, &file.content)?;
    Ok(match commit(step, &file.destination, prepared)? {
        Committed::Landed(landed) => Answer::Committed { view: landed.view, superfluous },
        Committed::Conflicted(conflict, row) => Answer::Conflicted { conflict, row, superfluous },
    })
}

fn share_of(
    step: &Step<'_>,
    tenant: TenantId,
    destination: &FileDestination,
) -> Result<ShareId, Stop> {
    match destination {
        FileDestination::New { place, .. } => {
            let root = Chain::root(step.reader(), tenant, place.share)?;
            root.ok_or(Refusal::NotFound(crate::outcome::Noun::Share))?;
            Ok(place.share)
        }
        FileDestination::Replace { file, .. } => {
            let chain = Chain::of(step.reader(), tenant, ItemId::File(*file))?;
            Ok(chain.ok_or(Refusal::NotFound(crate::outcome::Noun::File))?.share_id)
        }
    }
}

/// Takes up the chunks of a content that came whole.
pub(super) fn prepare(
    step: &mut Step<'_>,
    tenant: TenantId,
    share: ShareId,
    new: &NewContent,
) -> Result<(Prepared, content::Superfluous), Stop> {
    let max = node_base::limits::MANIFEST_PAGE as u64;
    if new.chunks.len() as u64 > max {
        return Err(Refusal::invalid("chunks", Invalid::TooMany { max }).into());
    }
    if new.chunks.iter().map(|chunk| u64::from(chunk.size)).sum::<u64>() != new.size {
        let rule = Invalid::Rule("the chunks do not sum up to the size".to_owned());
        return Err(Refusal::invalid("size", rule).into());
    }
    let superfluous = content::adopt(step, tenant, share, &new.chunks)?;
    let chunks = new.chunks.iter().map(|chunk| ChunkRef { hash: chunk.hash, size: chunk.size });
    let prepared = Prepared {
        content: Content::Inline(chunks.collect()),
        size: new.size,
        checksum: new.checksum.map_or(Checksum::Unknown, Checksum::Verified),
        mime_type: new.mime_type.clone(),
        client_modified_at: new.client_modified_at,
        executable: new.executable,
    };
    Ok((prepared, superfluous))
}

/// What the file is now, for an answer.
pub(crate) fn landed(step: &Step<'_>, id: FileId, created: bool) -> Result<Landed, Stop> {
    let viewer = Viewer::of(step.reader(), step.now, step.user()?)?;
    let chain = Chain::of(step.reader(), viewer.tenant(), ItemId::File(id))?;
    let chain = chain.ok_or(TableError::Invariant("a committed file is not there"))?;
    let file = file_of(&chain)?;
    Ok(Landed {
        file: id,
        version: file.version_id,
        number: file.version,
        view: query::item::view(step.reader(), &viewer, &chain)?,
        created,
    })
}

/// Makes a file in a folder that the caller may create in.
pub(crate) fn create(
    step: &mut Step<'_>,
    folder: &Chain,
    name: node_base::Name,
    prepared: Prepared,
) -> Result<FileId, Stop> {
    let (tenant, user) = step.who()?;
    require_free(step, folder, &name, None)?;
    require_room(step, folder, &name, None)?;
    require_size(step, tenant, prepared.size)?;
    let id: FileId = step.new_id();
    let size = prepared.size;
    let version = new_version(step, user, prepared);
    let file = current(&version, 1);
    let item = new_item(step, folder, name, Body::File(file))?;
    let mut item = item;
    save(step, tenant, ItemId::File(id), &mut item)?;
    version::put(step, (tenant, id, 1), &version)?;
    list(step, tenant, ItemId::File(id), &item, policy(folder))?;
    let delta = Delta { bytes: bytes(size), files: 1, ..Delta::default() };
    quota::charge(step, tenant, item.share, user, delta)?;
    feed::append(step, tenant, item.share, change(ItemId::File(id), &item, ChangeKind::Created))?;
    record(step, tenant, "file.created", ItemId::File(id), Vec::new())?;
    Ok(id)
}

/// Makes the next version of a file that the caller may write to; none where only its times or its
/// mode differ, or nothing at all.
pub(crate) fn replace(step: &mut Step<'_>, chain: &Chain, prepared: Prepared) -> Result<(), Stop> {
    let (tenant, user) = step.who()?;
    let (id, item) = file_item(chain)?;
    if holds_already(step, chain, &prepared)? {
        return keep(step, chain, &prepared);
    }
    require_size(step, tenant, prepared.size)?;
    let mime_type = prepared.mime_type.or_else(|| Some(file_of(chain).ok()?.mime_type.clone()));
    let version = new_version(step, user, Prepared { mime_type, ..prepared });
    supersede(step, tenant, id, item, version, ChangeKind::Updated)?;
    record(step, tenant, "file.updated", ItemId::File(id), Vec::new())
}

/// Puts a version on top of a file's others.
pub(crate) fn supersede(
    step: &mut Step<'_>,
    tenant: TenantId,
    id: FileId,
    mut item: Item,
    version: Version,
    kind: ChangeKind,
) -> Result<(), Stop> {
    let Body::File(old) = &item.body else {
        return Err(TableError::Invariant("a folder has versions").into());
    };
    let (number, old_number, old_size) = (old.version.saturating_add(1), old.version, old.size);
    let share = item.share;
    version::retire(step, tenant, share, id, old_number)?;
    let delta =
        Delta { bytes: bytes(version.size), version_bytes: bytes(old_size), ..Delta::default() };
    quota::charge(step, tenant, share, item.owner, delta)?;
    version::put(step, (tenant, id, number), &version)?;
    item.body = Body::File(current(&version, number));
    touch(step, &mut item)?;
    save(step, tenant, ItemId::File(id), &mut item)?;
    feed::append(step, tenant, share, change(ItemId::File(id), &item, kind))?;
    version::keep_count(step, tenant, id, &item)
}

/// The file has the content: what differs of its times and mode is taken over, and the second hold
/// is let go.
fn keep(step: &mut Step<'_>, chain: &Chain, prepared: &Prepared) -> Result<(), Stop> {
    let (tenant, _) = step.who()?;
    let (id, mut item) = file_item(chain)?;
    content::release(step, tenant, item.share, &prepared.content)?;
    let Body::File(file) = &mut item.body else {
        return Err(TableError::Invariant("a folder has versions").into());
    };
    let at = prepared.client_modified_at.or(file.client_modified_at);
    if (at, prepared.executable) == (file.client_modified_at, file.executable) {
        return Ok(());
    }
    (file.client_modified_at, file.executable) = (at, prepared.executable);
    version::restate(step, (tenant, id), file)?;
    save(step, tenant, ItemId::File(id), &mut item)?;
    let draft = change(ItemId::File(id), &item, ChangeKind::Updated);
    feed::append(step, tenant, item.share, draft)
}

/// Keeps a content that cannot be current as a conflict's own, with all that tells how it came.
pub(crate) fn conflict(
    step: &mut Step<'_>,
    chain: &Chain,
    kind: ConflictKind,
    base: Option<VersionId>,
    prepared: Option<Prepared>,
) -> Result<(ConflictId, Conflict), Stop> {
    let (tenant, user) = step.who()?;
    let (id, item) = super::place::bottom(chain)?;
    let server_version = match &item.body {
        Body::File(file) => Some(file.version_id),
        Body::Folder => None,
    };
    let content = match prepared {
        Some(prepared) => {
            require_size(step, tenant, prepared.size)?;
            let delta = Delta { bytes: bytes(prepared.size), ..Delta::default() };
            quota::charge(step, tenant, chain.share_id, user, delta)?;
            Some(new_version(step, user, prepared))
        }
        None => None,
    };
    let row = Conflict {
        share: chain.share_id,
        item: id,
        kind,
        device: step.device.cloned(),
        user,
        base,
        server_version,
        name: None,
        content,
        stated: Stated::default(),
        created_at: step.now,
        resolved: None,
    };
    let conflict: ConflictId = step.new_id();
    table::put::<Conflicts>(step.tables, &(tenant, conflict), &row)?;
    table::put::<ShareConflicts>(step.tables, &(tenant, chain.share_id, conflict), &())?;
    record(step, tenant, "sync.conflict", id, vec![("conflict", conflict.to_string())])?;
    Ok((conflict, row))
}

/// Keeps a content as a version below the current one, which stays what it is under the next
/// number.
pub(crate) fn insert_below(
    step: &mut Step<'_>,
    chain: &Chain,
    version: Version,
) -> Result<(), Stop> {
    let (tenant, _) = step.who()?;
    let (id, mut item) = file_item(chain)?;
    let Body::File(file) = &mut item.body else {
        return Err(TableError::Invariant("a folder has versions").into());
    };
    let number = file.version;
    file.version = number.saturating_add(1);
    let size = bytes(version.size);
    let delta = Delta { bytes: size, version_bytes: size, ..Delta::default() };
    quota::charge(step, tenant, item.share, item.owner, delta)?;
    let top = table::get::<Versions>(step.reader(), &(tenant, id, number))?;
    let top = top.ok_or(TableError::Invariant("a current version is not there"))?;
    version::put(step, (tenant, id, number.saturating_add(1)), &top)?;
    version::put(step, (tenant, id, number), &version)?;
    version::retire(step, tenant, item.share, id, number)?;
    save(step, tenant, ItemId::File(id), &mut item)?;
    if chain.is_trashed() {
        // Who follows was told that it went.
        return Ok(());
    }
    let draft = change(ItemId::File(id), &item, ChangeKind::Updated);
    feed::append(step, tenant, item.share, draft)
}

pub(crate) fn file_of(chain: &Chain) -> Result<&File, Stop> {
    match chain.item().map(|item| &item.body) {
        Some(Body::File(file)) => Ok(file),
        _ => Err(TableError::Invariant("a file's row is a folder's").into()),
    }
}

pub(crate) fn file_item(chain: &Chain) -> Result<(FileId, Item), Stop> {
    match bottom(chain)? {
        (ItemId::File(id), item) => Ok((id, item)),
        _ => Err(TableError::Invariant("a file's row is a folder's").into()),
    }
}

pub(crate) fn is_current(chain: &Chain, base: VersionId) -> bool {
    file_of(chain).is_ok_and(|file| file.version_id == base)
}

/// Whether the current version has this very content.
pub(crate) fn holds_already(
    step: &Step<'_>,
    chain: &Chain,
    prepared: &Prepared,
) -> Result<bool, Stop> {
    let (tenant, _) = step.who()?;
    let (id, file) = (file_item(chain)?.0, file_of(chain)?);
    if file.size != prepared.size {
        return Ok(false);
    }
    if let (Checksum::Verified(a), Checksum::Verified(b)) = (file.checksum, prepared.checksum) {
        return Ok(a == b);
    }
    let version = table::get::<Versions>(step.reader(), &(tenant, id, file.version))?;
    Ok(version.is_some_and(|version| version.content == prepared.content))
}

/// Refused when a file is larger than the tenant takes.
fn require_size(step: &Step<'_>, tenant: TenantId, size: u64) -> Result<(), Stop> {
    let row = table::get::<Tenants>(step.reader(), &(tenant,))?;
    let row = row.ok_or(TableError::Invariant("a caller's tenant is not there"))?;
    let limit = row.settings.max_file_size_bytes;
    if size > limit { Err(Refusal::FileTooLarge { limit }.into()) } else { Ok(()) }
}

pub(crate) fn new_version(step: &mut Step<'_>, user: UserId, prepared: Prepared) -> Version {
    Version {
        id: step.new_id(),
        size: prepared.size,
        checksum: prepared.checksum,
        mime_type: prepared.mime_type.unwrap_or_else(|| UNKNOWN_MIME.to_owned()),
        created_by: user,
        created_at: step.now,
        client_modified_at: prepared.client_modified_at,
        executable: prepared.executable,
        superseded_at: None,
        content: prepared.content,
    }
}

/// What is said of bytes of which nothing is known.
const UNKNOWN_MIME: &str = "application/octet-stream";

/// A file whose current version this is.
pub(super) fn current(version: &Version, number: u32) -> File {
    File {
        mime_type: version.mime_type.clone(),
        version: number,
        version_id: version.id,
        size: version.size,
        checksum: version.checksum,
        client_modified_at: version.client_modified_at,
        executable: version.executable,
    }
}

/// A size as a difference of sizes.
pub(crate) fn bytes(size: u64) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}
