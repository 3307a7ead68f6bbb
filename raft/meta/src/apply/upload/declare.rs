//! Naming chunks: which are here and pinned now, and which have to be sent.

use std::collections::{BTreeMap, BTreeSet};

use node_base::{Sha256, TenantId, UploadId, limits};

use super::pages::Pages;
use super::{create, open_session};
use crate::apply::{Step, Stop, content};
use crate::command::Declared;
use crate::outcome::{Answer, Invalid, Refusal};
use crate::query::chunk;
use crate::table;
use crate::table::upload::{Cutting, Upload, Uploads, Want, Wants};

pub(super) fn run(
    step: &mut Step<'_>,
    id: UploadId,
    first: Option<u64>,
    chunks: &[Declared],
) -> Result<Answer, Stop> {
    let (tenant, mut upload) = open_session(step, id)?;
    if upload.cutting != Cutting::Content {
        return Err(content::rule("chunks", "the session takes chunks of a fixed size").into());
    }
    let first = first.unwrap_or(upload.chunks);
    let missing = declare(step, (tenant, id), &mut upload, first, chunks)?;
    upload.active_at = step.now;
    table::put::<Uploads>(step.tables, &(tenant, id), &upload)?;
    Ok(create::answer(id, &upload, missing))
}

/// Declares the chunks from the index `first` on. Those that are declared already have to be the
/// same and stay; the others are appended. Answers the first index of each different chunk that is
/// wanted, unless it stands before `first`.
pub(super) fn declare(
    step: &mut Step<'_>,
    key: (TenantId, UploadId),
    upload: &mut Upload,
    first: u64,
    chunks: &[Declared],
) -> Result<Vec<u64>, Stop> {
    check(upload, first, chunks)?;
    let again = usize::try_from(upload.chunks - first).unwrap_or(usize::MAX).min(chunks.len());
    let (again, fresh) = chunks.split_at(again);
    let mut pages = Pages::of(key);
    for (chunk, index) in again.iter().zip(first..) {
        let known = pages.chunk_at(step, index)?;
        if known.is_none_or(|known| (known.hash, known.size) != (chunk.hash, chunk.size)) {
            return Err(content::rule("chunks", "another chunk is declared there").into());
        }
    }
    check_sum(upload, fresh)?;
    let groups = group(upload.chunks, fresh)?;
    pages.append(step, upload, fresh)?;
    for (hash, group) in groups {
        settle(step, key, upload, hash, group)?;
    }
    wanted_of(step, key, first, chunks)
}

fn check(upload: &Upload, first: u64, chunks: &[Declared]) -> Result<(), Refusal> {
    let max = limits::DECLARED_CHUNKS_MAX;
    if chunks.len() > max {
        return Err(Refusal::invalid("chunks", Invalid::TooMany { max: max as u64 }));
    }
    if first > upload.chunks {
        let reason = Invalid::OutOfRange { min: 0, max: upload.chunks };
        return Err(Refusal::invalid("first", reason));
    }
    chunks.iter().try_for_each(|chunk| content::check_size("chunks", chunk.size))
}

/// Chunks beyond the file's size can never be completed; and far more chunks than any way of
/// cutting gives would only fill the tables.
fn check_sum(upload: &Upload, fresh: &[Declared]) -> Result<(), Refusal> {
    let bytes: u64 = fresh.iter().map(|chunk| u64::from(chunk.size)).sum();
    if upload.bytes + bytes > upload.size {
        return Err(content::rule("chunks", "the chunks are longer than the file"));
    }
    let max = limits::UPLOAD_CHUNKS_MIN + upload.size / limits::UPLOAD_BYTES_PER_CHUNK;
    if upload.chunks + fresh.len() as u64 > max {
        return Err(Refusal::invalid("chunks", Invalid::TooMany { max }));
    }
    Ok(())
}

/// A chunk as often as one command declares it.
fn group(first: u64, chunks: &[Declared]) -> Result<BTreeMap<Sha256, Want>, Refusal> {
    let mut groups: BTreeMap<Sha256, Want> = BTreeMap::new();
    for (chunk, index) in chunks.iter().zip(first..) {
        let new = Want { size: chunk.size, first: index, count: 0 };
        let group = groups.entry(chunk.hash).or_insert(new);
        if group.size != chunk.size {
            return Err(two_sizes());
        }
        group.count += 1;
    }
    Ok(groups)
}

fn two_sizes() -> Refusal {
    content::rule("chunks", "a chunk has one size, whoever names it")
}

/// References the chunk where the share's dedup scope shows it, or wants it.
fn settle(
    step: &mut Step<'_>,
    (tenant, id): (TenantId, UploadId),
    upload: &mut Upload,
    hash: Sha256,
    group: Want,
) -> Result<(), Stop> {
    let key = (tenant, id, hash);
    let before = table::get::<Wants>(step.reader(), &key)?;
    let known = chunk::visible(step.reader(), tenant, upload.share, hash)?;
    let sizes = [known.map(|chunk| chunk.size), before.as_ref().map(|want| want.size)];
    if sizes.into_iter().flatten().any(|size| size != group.size) {
        return Err(two_sizes().into());
    }
    upload.wanted -= u64::from(before.is_some());
    let first = before.as_ref().map_or(group.first, |want| want.first);
    let count = group.count + before.map_or(0, |want| want.count);
    if known.is_some() {
        content::refer_to(step, tenant, upload.share, hash, count)?;
        table::delete::<Wants>(step.tables, &key)?;
    } else {
        upload.wanted += 1;
        let want = Want { size: group.size, first, count };
        table::put::<Wants>(step.tables, &key, &want)?;
    }
    Ok(())
}

fn wanted_of(
    step: &Step<'_>,
    (tenant, id): (TenantId, UploadId),
    first: u64,
    chunks: &[Declared],
) -> Result<Vec<u64>, Stop> {
    let mut missing = BTreeSet::new();
    for chunk in chunks {
        let want = table::get::<Wants>(step.reader(), &(tenant, id, chunk.hash))?;
        missing.extend(want.map(|want| want.first).filter(|index| *index >= first));
    }
    Ok(missing.into_iter().collect())
}
