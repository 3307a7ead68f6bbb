//! Completion: everything is in its place, so that it is one small commit however long the file.

use node_base::{
    ConflictId, FileId, Sha256, ShareId, TenantId, UploadId, VersionId, limits, sha256,
};

use super::{close, open_session, session};
use crate::access::Viewer;
use crate::apply::content::{self, count_in_share, discount_in_share};
use crate::apply::item::{self, Committed, Prepared};
use crate::apply::{Step, Stop};
use crate::chain::Chain;
use crate::command::{FileDestination, Place};
use crate::outcome::{Answer, Noun, Refusal};
use crate::query;
use crate::table;
use crate::table::conflict::Conflicts;
use crate::table::item::{
    Body, Checksum, ChunkRef, Content, Item, ItemId, Items, ManifestPages, Manifests, Versions,
};
use crate::table::upload::{Cutting, Destination, Upload, UploadState, Uploads};
use crate::tables::TableError;

/// How many missing indexes a refusal names.
const MISSING_SHOWN: usize = 1_000;

/// What is said of the whole file's hash at completion.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Told {
    /// From the bytes themselves.
    pub(crate) computed: Option<Sha256>,
    /// By the client.
    pub(crate) declared: Option<Sha256>,
}

pub(super) fn run(step: &mut Step<'_>, id: UploadId, told: Told) -> Result<Answer, Stop> {
    let (tenant, upload) = session(step, id)?;
    match upload.state {
        UploadState::Completed { file, version, number } => {
            return again(step, tenant, &upload, (file, version, number));
        }
        UploadState::Conflicted { conflict } => return again_conflicted(step, tenant, conflict),
        UploadState::Open | UploadState::Taken | UploadState::Aborted | UploadState::Expired => {}
    }
    let (destination, share) = destination(step, tenant, &upload)?;
    let prepared = take(step, id, told, share)?;
    Ok(match item::commit(step, &destination, prepared)? {
        Committed::Landed(landed) => {
            let (file, version, number) = (landed.file, landed.version, landed.number);
            finish(step, id, UploadState::Completed { file, version, number })?;
            Answer::Item(landed.view)
        }
        Committed::Conflicted(conflict, row) => {
            finish(step, id, UploadState::Conflicted { conflict })?;
            Answer::Conflicted { conflict, row, superfluous: Vec::new() }
        }
    })
}

/// Where the file goes, and the share in which that lies by now.
fn destination(
    step: &Step<'_>,
    tenant: TenantId,
    upload: &Upload,
) -> Result<(FileDestination, ShareId), Stop> {
    let share_of = |item: ItemId, noun: Noun| -> Result<ShareId, Stop> {
        let row = table::get::<Items>(step.reader(), &(tenant, item))?;
        Ok(row.ok_or(Refusal::NotFound(noun))?.share)
    };
    Ok(match &upload.destination {
        Destination::New { parent, name } => {
            let share = match parent {
                Some(folder) => share_of(ItemId::Folder(*folder), Noun::Folder)?,
                None => upload.share,
            };
            let place = Place { share, parent: *parent };
            (FileDestination::New { place, name: name.as_str().to_owned() }, share)
        }
        Destination::Replace { file, base } => {
            let share = share_of(ItemId::File(*file), Noun::File)?;
            (FileDestination::Replace { file: *file, base: *base }, share)
        }
    })
}

/// The first answer: the file as this session made it, though others may have replaced it since. A
/// client takes the version for its base, and another's would let it overwrite what it never saw.
fn again(
    step: &Step<'_>,
    tenant: TenantId,
    upload: &Upload,
    (file, version, number): (FileId, VersionId, u32),
) -> Result<Answer, Stop> {
    let chain = Chain::of(step.reader(), tenant, ItemId::File(file))?;
    let chain = chain.ok_or(Refusal::NotFound(Noun::File))?;
    let viewer = Viewer::of(step.reader(), step.now, step.user()?)?;
    if viewer.mask(step.reader(), &chain)?.is_empty() {
        return Err(Refusal::NotFound(Noun::File).into());
    }
    let mut view = query::item::view(step.reader(), &viewer, &chain)?;
    if let Some(Item { body: Body::File(body), .. }) = &mut view.item
        && body.version_id != version
    {
        let row = table::get::<Versions>(step.reader(), &(tenant, file, number))?;
        (body.version_id, body.version, body.size) = (version, number, upload.size);
        body.checksum = row.as_ref().map_or(Checksum::Unknown, |row| row.checksum);
        if let Some(row) = row {
            (body.mime_type, body.executable) = (row.mime_type, row.executable);
            body.client_modified_at = row.client_modified_at;
        }
    }
    Ok(Answer::Item(view))
}

fn again_conflicted(
    step: &Step<'_>,
    tenant: TenantId,
    conflict: ConflictId,
) -> Result<Answer, Stop> {
    let row = table::get::<Conflicts>(step.reader(), &(tenant, conflict))?;
    let row = row.ok_or(Refusal::NotFound(Noun::Conflict))?;
    Ok(Answer::Conflicted { conflict, row, superfluous: Vec::new() })
}

/// Ends the caller's session and hands over its content, which will lie in `share`. What is not
/// followed by [`finish`] leaves a session that is used up.
pub(crate) fn take(
    step: &mut Step<'_>,
    id: UploadId,
    told: Told,
    share: ShareId,
) -> Result<Prepared, Stop> {
    let (tenant, upload) = open_session(step, id)?;
    if upload.wanted > 0 {
        let reader = step.reader();
        let indexes = query::upload::missing(reader, tenant, id, &upload, 0, MISSING_SHOWN)?;
        return Err(Refusal::ChunksMissing { indexes }.into());
    }
    if upload.bytes != upload.size {
        return Err(content::rule("chunks", "the chunks declared are not the whole file").into());
    }
    let all = match upload.cutting {
        Cutting::Content => upload.chunks,
        Cutting::Fixed(size) => upload.size.div_ceil(u64::from(size)),
    };
    let content = seal(step, (tenant, id), &upload, all, share)?;
    let checksum = checksum(&upload, told, &content)?;
    let prepared = Prepared {
        size: upload.size,
        checksum,
        mime_type: upload.mime_type.clone(),
        client_modified_at: upload.client_modified_at,
        executable: upload.executable,
        content,
    };
    close(step, (tenant, id), upload, UploadState::Taken)?;
    Ok(prepared)
}

/// Notes what the session became, for a client that asks again.
pub(crate) fn finish(step: &mut Step<'_>, id: UploadId, state: UploadState) -> Result<(), Stop> {
    let (tenant, mut upload) = session(step, id)?;
    upload.state = state;
    table::put::<Uploads>(step.tables, &(tenant, id), &upload)?;
    Ok(())
}

/// What is known of the file's own hash: a file of one chunk has it for free.
fn checksum(upload: &Upload, told: Told, content: &Content) -> Result<Checksum, Refusal> {
    let own = match content {
        Content::Inline(chunks) => match chunks.as_slice() {
            [] => Some(sha256(&[])),
            [chunk] => Some(chunk.hash),
            _ => None,
        },
        Content::Paged(_) => None,
    };
    if let (Some(first), Some(second)) = (upload.checksum, told.declared)
        && first != second
    {
        return Err(Refusal::ChecksumMismatch);
    }
    match (own.or(told.computed), upload.checksum.or(told.declared)) {
        (Some(known), Some(declared)) if known != declared => Err(Refusal::ChecksumMismatch),
        (Some(known), _) => Ok(Checksum::Verified(known)),
        (None, Some(declared)) => Ok(Checksum::Pending(declared)),
        (None, None) => Ok(Checksum::Unknown),
    }
}

/// A short manifest moves into the version's row, its references with it; a long one stays, and the
/// version holds it in the session's place.
fn seal(
    step: &mut Step<'_>,
    key: (TenantId, UploadId),
    upload: &Upload,
    chunks: u64,
    share: ShareId,
) -> Result<Content, TableError> {
    if chunks <= limits::MANIFEST_PAGE as u64 {
        let chunks = first_page(step, key)?;
        for chunk in chunks.iter().filter(|_| share != upload.share) {
            count_in_share(step, key.0, share, chunk.hash, 1)?;
            discount_in_share(step, key.0, upload.share, chunk.hash)?;
        }
        table::delete::<ManifestPages>(step.tables, &(key.0, key.1, 0))?;
        table::delete::<Manifests>(step.tables, &key)?;
        return Ok(Content::Inline(chunks));
    }
    let row = table::get::<Manifests>(step.reader(), &key)?;
    let mut manifest = row.ok_or(TableError::Invariant("an open session has no manifest"))?;
    let pages = u32::try_from(chunks.div_ceil(limits::MANIFEST_PAGE as u64));
    manifest.pages = pages.map_err(|_| TableError::Invariant("a manifest has too many pages"))?;
    manifest.chunks = chunks;
    manifest.size = upload.size;
    table::put::<Manifests>(step.tables, &key, &manifest)?;
    Ok(Content::Paged(key.1))
}

fn first_page(
    step: &Step<'_>,
    (tenant, id): (TenantId, UploadId),
) -> Result<Vec<ChunkRef>, TableError> {
    let page = table::get::<ManifestPages>(step.reader(), &(tenant, id, 0))?;
    let chunks: Option<Vec<ChunkRef>> = match page {
        Some(page) => page.chunks.into_iter().collect(),
        None => Some(Vec::new()),
    };
    chunks.ok_or(TableError::Invariant("a full session lacks a chunk"))
}
