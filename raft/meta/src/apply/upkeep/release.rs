//! Taking apart what nobody holds any more: purged items and shares, what is known of deleted
//! users, and dropped manifests page by page.

use std::ops::ControlFlow;

use node_base::{Generation, Sha256, TenantId, UploadId};

use super::{count, shares, users};
use crate::apply::{Step, Stop, content, item};
use crate::table::chunk::Spent;
use crate::table::item::{ManifestPage, ManifestPages, Manifests};
use crate::table::upload::{Dropped, Wants, Writers};
use crate::table::{self, Key, Table};
use crate::tables::{Reader, TableError};

/// Releases rows until `limit` of them were touched; the last page may go beyond it.
pub(super) fn run(step: &mut Step<'_>, limit: u32) -> Result<u32, Stop> {
    let mut worked = item::release_purges(step, limit)?;
    worked += shares::release(step, limit.saturating_sub(worked))?;
    worked += users::release(step, limit.saturating_sub(worked))?;
    worked += manifests(step, limit.saturating_sub(worked))?;
    worked += spent(step, limit.saturating_sub(worked))?;
    Ok(worked)
}

type Found<T> = Option<(<T as Table>::Key, <T as Table>::Row)>;

/// The first row whose key starts with `prefix`.
fn first<T: Table>(tables: &dyn Reader, prefix: &impl Key) -> Result<Found<T>, TableError> {
    let mut found = None;
    table::scan::<T>(tables, prefix, &mut |key, row| {
        found = Some((key, row));
        ControlFlow::Break(())
    })?;
    Ok(found)
}

fn manifests(step: &mut Step<'_>, limit: u32) -> Result<u32, TableError> {
    let mut worked = 0;
    while worked < limit {
        let Some((key, ())) = first::<Dropped>(step.reader(), &())? else { break };
        worked += manifest(step, key, limit - worked)?;
    }
    Ok(worked)
}

/// Pages first, while the wants still tell which chunks never got a reference; then the wants.
fn manifest(step: &mut Step<'_>, key: (TenantId, UploadId), limit: u32) -> Result<u32, TableError> {
    let mut worked = 0;
    while let Some((at, row)) = first::<ManifestPages>(step.reader(), &key)? {
        if worked >= limit {
            return Ok(worked);
        }
        worked += page(step, key, &row)?;
        table::delete::<ManifestPages>(step.tables, &at)?;
    }
    for want in wants(step.reader(), key, limit.saturating_sub(worked))? {
        table::delete::<Wants>(step.tables, &want)?;
        worked += 1;
    }
    if worked < limit {
        table::delete::<Manifests>(step.tables, &key)?;
        table::delete::<Dropped>(step.tables, &key)?;
        worked += 1;
    }
    Ok(worked)
}

fn page(
    step: &mut Step<'_>,
    (tenant, id): (TenantId, UploadId),
    page: &ManifestPage,
) -> Result<u32, TableError> {
    let manifest = table::get::<Manifests>(step.reader(), &(tenant, id))?;
    let share = manifest.ok_or(TableError::Invariant("a dropped manifest is not there"))?.share;
    for chunk in page.chunks.iter().flatten() {
        if !table::has::<Wants>(step.reader(), &(tenant, id, chunk.hash))? {
            content::let_go(step, tenant, share, chunk.hash)?;
        }
    }
    Ok(1 + count(page.chunks.len()))
}

fn wants(
    tables: &dyn Reader,
    key: (TenantId, UploadId),
    limit: u32,
) -> Result<Vec<(TenantId, UploadId, Sha256)>, TableError> {
    let mut keys = Vec::new();
    table::scan::<Wants>(tables, &key, &mut |key, _| {
        if count(keys.len()) >= limit {
            return ControlFlow::Break(());
        }
        keys.push(key);
        ControlFlow::Continue(())
    })?;
    Ok(keys)
}

/// Generations are remembered as spent only while their writer is open. Those of open writers are
/// passed over in one step each.
fn spent(step: &mut Step<'_>, limit: u32) -> Result<u32, TableError> {
    let mut worked = 0;
    let mut from = Generation(0);
    while worked < limit {
        let mut next = None;
        table::scan_from::<Spent>(step.reader(), &(), &(from,), &mut |(generation,), ()| {
            next = Some(generation);
            ControlFlow::Break(())
        })?;
        let Some(generation) = next else { break };
        if table::has::<Writers>(step.reader(), &(generation.writer(),))? {
            let Some(behind) = Generation::new(generation.writer() + 1, 0) else { break };
            from = behind;
        } else {
            table::delete::<Spent>(step.tables, &(generation,))?;
            worked += 1;
        }
    }
    Ok(worked)
}
