//! How a session stands: what has come, and what is missing.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use node_base::{TenantId, Timestamp, UploadId, UserId, limits};

use crate::table::item::{ChunkRef, ManifestPages};
use crate::table::upload::{Cutting, Upload, UploadState, Uploads, Wants};
use crate::table::{self};
use crate::tables::{Reader, TableError};

/// A session as its owner may see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    pub upload: Upload,
    /// How many chunks the file has, as far as they are declared.
    pub chunks: u64,
    /// How many of them are here. By content, a chunk that the file names twice counts twice.
    pub received: u64,
    /// Indexes to be sent, ascending: by content, the first of each different chunk.
    pub missing: Vec<u64>,
    pub expires_at: Timestamp,
}

/// The user's own session, with at most `limit` missing indexes from `from` on. One that is past
/// its time is shown as expired, before upkeep says so.
pub fn status(
    tables: &dyn Reader,
    now: Timestamp,
    (tenant, user): (TenantId, UserId),
    id: UploadId,
    from: u64,
    limit: usize,
) -> Result<Option<Status>, TableError> {
    let row = table::get::<Uploads>(tables, &(tenant, id))?;
    let Some(mut upload) = row.filter(|upload| upload.user == user) else { return Ok(None) };
    let expires_at = upload.expires_at();
    if upload.state == UploadState::Open && now >= expires_at {
        upload.state = UploadState::Expired;
    }
    let missing = match upload.state {
        UploadState::Open => missing(tables, tenant, id, &upload, from, limit)?,
        _ => Vec::new(),
    };
    let (chunks, received) = match upload.cutting {
        Cutting::Fixed(size) => (upload.size.div_ceil(u64::from(size)), upload.chunks),
        Cutting::Content => (upload.chunks, upload.chunks - awaited(tables, tenant, id)?),
    };
    Ok(Some(Status { upload, chunks, received, missing, expires_at }))
}

/// The chunk that is declared, or has come, at this index.
pub fn chunk_at(
    tables: &dyn Reader,
    tenant: TenantId,
    id: UploadId,
    index: u64,
) -> Result<Option<ChunkRef>, TableError> {
    let page = limits::MANIFEST_PAGE as u64;
    let Ok(number) = u32::try_from(index / page) else { return Ok(None) };
    let row = table::get::<ManifestPages>(tables, &(tenant, id, number))?;
    Ok(row.and_then(|row| row.chunks.get((index % page) as usize).copied().flatten()))
}

/// At most `limit` indexes from `from` on that have to be sent, ascending.
pub(crate) fn missing(
    tables: &dyn Reader,
    tenant: TenantId,
    id: UploadId,
    upload: &Upload,
    from: u64,
    limit: usize,
) -> Result<Vec<u64>, TableError> {
    match upload.cutting {
        Cutting::Content => missing_declared(tables, tenant, id, from, limit),
        Cutting::Fixed(size) => {
            let all = upload.size.div_ceil(u64::from(size));
            missing_fixed(tables, (tenant, id), all, from, limit)
        }
    }
}

/// The lowest of them, while the wants lie in the order of their hashes.
fn missing_declared(
    tables: &dyn Reader,
    tenant: TenantId,
    id: UploadId,
    from: u64,
    limit: usize,
) -> Result<Vec<u64>, TableError> {
    let mut lowest = BTreeSet::new();
    table::scan::<Wants>(tables, &(tenant, id), &mut |_, want| {
        if want.first >= from {
            lowest.insert(want.first);
        }
        if lowest.len() > limit {
            lowest.pop_last();
        }
        ControlFlow::Continue(())
    })?;
    Ok(lowest.into_iter().collect())
}

/// A page that is not there is one of which nothing has come.
fn missing_fixed(
    tables: &dyn Reader,
    (tenant, id): (TenantId, UploadId),
    all: u64,
    from: u64,
    limit: usize,
) -> Result<Vec<u64>, TableError> {
    let page = limits::MANIFEST_PAGE as u64;
    let mut missing = Vec::new();
    let mut next = from;
    let first_page = u32::try_from(from / page).unwrap_or(u32::MAX);
    let start = (tenant, id, first_page);
    table::scan_from::<ManifestPages>(tables, &(tenant, id), &start, &mut |key, row| {
        let offset = u64::from(key.2) * page;
        missing.extend((next..offset).take(limit - missing.len()));
        let here =
            (offset..).zip(&row.chunks).filter(|(index, chunk)| *index >= next && chunk.is_none());
        missing.extend(here.map(|(index, _)| index).take(limit - missing.len()));
        next = next.max(offset + row.chunks.len() as u64);
        if missing.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    if missing.len() < limit {
        missing.extend((next..all).take(limit - missing.len()));
    }
    Ok(missing)
}

/// How many places of the file wait for a chunk.
fn awaited(tables: &dyn Reader, tenant: TenantId, id: UploadId) -> Result<u64, TableError> {
    let mut awaited = 0;
    table::scan::<Wants>(tables, &(tenant, id), &mut |_, want| {
        awaited += want.count;
        ControlFlow::Continue(())
    })?;
    Ok(awaited)
}
