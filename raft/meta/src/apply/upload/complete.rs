//! Completion: everything is in its place, so that it is one small commit however long the file.

use node_base::{
    FileId, Sha256, ShareId, TenantId, Timestamp, UploadId, VersionId, limits, sha256,
};

use super::{close, open_session};
use crate::apply::content::{self, count_in_share, discount_in_share};
use crate::apply::{Step, Stop};
use crate::outcome::{Answer, Noun, Refusal};
use crate::query;
use crate::table;
use crate::table::item::{Checksum, ChunkRef, Content, ManifestPages, Manifests};
use crate::table::upload::{Cutting, Destination, Upload, UploadState, Uploads};
use crate::tables::TableError;

/// How many missing indexes a refusal names.
const MISSING_SHOWN: usize = 1_000;

/// What a filled session leaves to be committed. Its content is held once: by whoever takes it.
#[derive(Debug)]
pub(crate) struct Filled {
    pub(crate) destination: Destination,
    pub(crate) size: u64,
    pub(crate) checksum: Checksum,
    pub(crate) mime_type: Option<String>,
    pub(crate) client_modified_at: Option<Timestamp>,
    pub(crate) executable: bool,
    pub(crate) content: Content,
}

pub(super) fn run(
    _step: &mut Step<'_>,
    _id: UploadId,
    _computed: Option<Sha256>,
) -> Result<Answer, Stop> {
    Err(Refusal::NotFound(Noun::Upload).into())
}

/// Ends the caller's session and hands over its content, which will lie in `share`. What is not
/// followed by [`finish`] leaves a session that is used up.
pub(crate) fn take(
    step: &mut Step<'_>,
    id: UploadId,
    computed: Option<Sha256>,
    share: ShareId,
) -> Result<Filled, Stop> {
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
    let checksum = checksum(&upload, computed, &content)?;
    let filled = Filled {
        destination: upload.destination.clone(),
        size: upload.size,
        checksum,
        mime_type: upload.mime_type.clone(),
        client_modified_at: upload.client_modified_at,
        executable: upload.executable,
        content,
    };
    close(step, (tenant, id), upload, UploadState::Taken)?;
    Ok(filled)
}

/// Notes which version the session became, for a client that asks again.
pub(crate) fn finish(
    step: &mut Step<'_>,
    id: UploadId,
    file: FileId,
    version: VersionId,
    number: u32,
) -> Result<(), Stop> {
    let (tenant, _) = step.who()?;
    let row = table::get::<Uploads>(step.reader(), &(tenant, id))?;
    let mut upload = row.ok_or(Refusal::NotFound(Noun::Upload))?;
    upload.state = UploadState::Completed { file, version, number };
    table::put::<Uploads>(step.tables, &(tenant, id), &upload)?;
    Ok(())
}

/// What is known of the file's own hash: a file of one chunk has it for free.
fn checksum(
    upload: &Upload,
    computed: Option<Sha256>,
    content: &Content,
) -> Result<Checksum, Refusal> {
    let own = match content {
        Content::Inline(chunks) => match chunks.as_slice() {
            [] => Some(sha256(&[])),
            [chunk] => Some(chunk.hash),
            _ => None,
        },
        Content::Paged(_) => None,
    };
    match (own.or(computed), upload.checksum) {
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
