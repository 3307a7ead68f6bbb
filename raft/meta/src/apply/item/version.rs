//! Versions that are not current any more: brought back, or let go by somebody, by age or by count.

use std::ops::ControlFlow;

use node_base::{Duration, FileId, Permission, ShareId, TenantId};

use super::commit::{Prepared, bytes, file_item, new_version, supersede};
use super::place::{live, record, save};
use super::sweep::{Sweep, sweep};
use crate::apply::quota::{self, Delta};
use crate::apply::{Step, Stop, content};
use crate::outcome::{Invalid, ItemView, Noun, Refusal};
use crate::table;
use crate::table::change::ChangeKind;
use crate::table::item::{
    Checksum, File, Item, ItemId, Items, Unverified, Version, Versions, VersionsByAge,
};
use crate::table::people::Tenants;
use crate::table::share::Shares;
use crate::tables::{Reader, TableError};

/// Old versions that one commit lets go when there are too many.
const LET_GO_MAX: usize = 16;
/// Versions of a file that are counted at most.
const COUNTED_MAX: usize = 10_000;

/// The content of version `number` becomes the newest version: WRITE.
pub(super) fn restore(step: &mut Step<'_>, file: FileId, number: u32) -> Result<ItemView, Stop> {
    let chain = live(step, ItemId::File(file), Permission::Write)?;
    super::require_revision(step, &chain)?;
    let (tenant, user) = step.who()?;
    let (id, item) = file_item(&chain)?;
    let row = table::get::<Versions>(step.reader(), &(tenant, id, number))?;
    let row = row.ok_or(Refusal::NotFound(Noun::Version))?;
    if row.superseded_at.is_none() {
        return super::view(step, ItemId::File(id));
    }
    content::hold(step, tenant, item.share, &row.content)?;
    let prepared = Prepared {
        content: row.content,
        size: row.size,
        checksum: row.checksum,
        mime_type: Some(row.mime_type),
        client_modified_at: row.client_modified_at,
        executable: row.executable,
    };
    let version = new_version(step, user, prepared);
    supersede(step, tenant, id, item, version, ChangeKind::Updated)?;
    let payload = vec![("version", number.to_string())];
    record(step, tenant, "version.restored", ItemId::File(id), payload)?;
    super::view(step, ItemId::File(id))
}

/// Lets go of a version that is not current: DELETE.
pub(super) fn delete(step: &mut Step<'_>, file: FileId, number: u32) -> Result<(), Stop> {
    let chain = live(step, ItemId::File(file), Permission::Delete)?;
    super::require_revision(step, &chain)?;
    let (tenant, _) = step.who()?;
    let (id, mut item) = file_item(&chain)?;
    let row = table::get::<Versions>(step.reader(), &(tenant, id, number))?;
    let row = row.ok_or(Refusal::NotFound(Noun::Version))?;
    if row.superseded_at.is_none() {
        let rule = Invalid::Rule("the current version cannot be deleted".to_owned());
        return Err(Refusal::invalid("version", rule).into());
    }
    drop_version(step, tenant, id, &item, number, &row)?;
    save(step, tenant, ItemId::File(id), &mut item)?;
    let payload = vec![("version", number.to_string())];
    record(step, tenant, "version.deleted", ItemId::File(id), payload)
}

/// Puts a version under its number, and notes if its checksum is still to be looked into.
pub(super) fn put(
    step: &mut Step<'_>,
    key: (TenantId, FileId, u32),
    version: &Version,
) -> Result<(), TableError> {
    table::put::<Versions>(step.tables, &key, version)?;
    match version.checksum {
        Checksum::Unknown | Checksum::Pending(_) => {
            table::put::<Unverified>(step.tables, &key, &())
        }
        Checksum::Verified(_) | Checksum::Mismatch(_) => Ok(()),
    }
}

/// What a client says of its file anew, the version that is current says too.
pub(super) fn restate(
    step: &mut Step<'_>,
    (tenant, id): (TenantId, FileId),
    file: &File,
) -> Result<(), TableError> {
    let key = (tenant, id, file.version);
    let version = table::get::<Versions>(step.reader(), &key)?;
    let mut version = version.ok_or(TableError::Invariant("a current version is not there"))?;
    version.client_modified_at = file.client_modified_at;
    version.executable = file.executable;
    table::put::<Versions>(step.tables, &key, &version)
}

/// Notes that a version is not current from now on.
pub(super) fn retire(
    step: &mut Step<'_>,
    tenant: TenantId,
    share: ShareId,
    id: FileId,
    number: u32,
) -> Result<(), TableError> {
    let row = table::get::<Versions>(step.reader(), &(tenant, id, number))?;
    let mut row = row.ok_or(TableError::Invariant("a current version is not there"))?;
    row.superseded_at = Some(step.now);
    table::put::<Versions>(step.tables, &(tenant, id, number), &row)?;
    table::put::<VersionsByAge>(step.tables, &(tenant, share, step.now, id, number), &())
}

/// Notes an old version's age in another share.
pub(super) fn rehome(
    step: &mut Step<'_>,
    tenant: TenantId,
    (from, to): (ShareId, ShareId),
    id: FileId,
    number: u32,
    row: &Version,
) -> Result<(), Stop> {
    if let Some(at) = row.superseded_at {
        table::delete::<VersionsByAge>(step.tables, &(tenant, from, at, id, number))?;
        table::put::<VersionsByAge>(step.tables, &(tenant, to, at, id, number), &())?;
    }
    Ok(())
}

/// Removes a version that is not current, with all that is counted for it.
fn drop_version(
    step: &mut Step<'_>,
    tenant: TenantId,
    id: FileId,
    item: &Item,
    number: u32,
    row: &Version,
) -> Result<(), Stop> {
    if let Some(at) = row.superseded_at {
        table::delete::<VersionsByAge>(step.tables, &(tenant, item.share, at, id, number))?;
    }
    table::delete::<Versions>(step.tables, &(tenant, id, number))?;
    content::release(step, tenant, item.share, &row.content)?;
    let size = -bytes(row.size);
    let delta = Delta { bytes: size, version_bytes: size, ..Delta::default() };
    quota::charge(step, tenant, item.share, item.owner, delta)
}

/// Removes versions of a file that goes for good, at most `limit`; answers how many, and takes
/// what they counted from `sum`.
pub(super) fn drop_all(
    step: &mut Step<'_>,
    tenant: TenantId,
    id: FileId,
    item: &Item,
    limit: usize,
    sum: &mut Delta,
) -> Result<usize, Stop> {
    let versions = oldest(step.reader(), tenant, id, limit)?;
    for (number, row) in &versions {
        let size = bytes(row.size);
        sum.bytes = sum.bytes.saturating_sub(size);
        if let Some(at) = row.superseded_at {
            sum.version_bytes = sum.version_bytes.saturating_sub(size);
            table::delete::<VersionsByAge>(step.tables, &(tenant, item.share, at, id, *number))?;
        }
        table::delete::<Versions>(step.tables, &(tenant, id, *number))?;
        content::release(step, tenant, item.share, &row.content)?;
    }
    Ok(versions.len())
}

fn oldest(
    tables: &dyn Reader,
    tenant: TenantId,
    id: FileId,
    most: usize,
) -> Result<Vec<(u32, Version)>, TableError> {
    let mut versions = Vec::new();
    if most == 0 {
        return Ok(versions);
    }
    table::scan::<Versions>(tables, &(tenant, id), &mut |(_, _, number), row| {
        versions.push((number, row));
        if versions.len() < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    Ok(versions)
}

/// Lets go of the oldest versions where there are more than are kept.
pub(super) fn keep_count(
    step: &mut Step<'_>,
    tenant: TenantId,
    id: FileId,
    item: &Item,
) -> Result<(), Stop> {
    let Some(most) = settings(step.reader(), tenant, item.share)?.1 else { return Ok(()) };
    let most = usize::try_from(most).unwrap_or(usize::MAX).clamp(1, COUNTED_MAX);
    let versions = oldest(step.reader(), tenant, id, most + LET_GO_MAX)?;
    for (number, row) in versions.iter().take(versions.len().saturating_sub(most)) {
        if row.superseded_at.is_some() {
            drop_version(step, tenant, id, item, *number, row)?;
        }
    }
    Ok(())
}

/// Days and number of versions kept in a share: the tenant's, or tighter.
fn settings(
    tables: &dyn Reader,
    tenant: TenantId,
    share: ShareId,
) -> Result<(u32, Option<u32>), TableError> {
    let tenant_row = table::get::<Tenants>(tables, &(tenant,))?;
    let all = tenant_row.ok_or(TableError::Invariant("a share's tenant is not there"))?.settings;
    let own = table::get::<Shares>(tables, &(tenant, share))?.map(|share| share.settings);
    let days = own.as_ref().and_then(|own| own.version_retention_days);
    let most = own.as_ref().and_then(|own| own.max_versions);
    Ok((
        days.unwrap_or(u32::MAX).min(all.version_retention_days),
        most.into_iter().chain(all.max_versions).min(),
    ))
}

/// Lets go of versions that ceased to be current longer ago than they are kept, at most `limit`;
/// answers how many.
pub(crate) fn prune_expired(step: &mut Step<'_>, limit: u32) -> Result<u32, Stop> {
    sweep(step, Sweep::Versions, limit, |step, (tenant, share), limit| {
        let days = settings(step.reader(), tenant, share)?.0;
        let kept = Duration::from_secs(u64::from(days) * 24 * 3600);
        let mut old = Vec::new();
        let now = step.now;
        table::scan::<VersionsByAge>(step.reader(), &(tenant, share), &mut |key, ()| {
            if now.since(key.2) <= kept || old.len() >= limit as usize {
                return ControlFlow::Break(());
            }
            old.push((key.3, key.4));
            ControlFlow::Continue(())
        })?;
        for (id, number) in &old {
            let item = table::get::<Items>(step.reader(), &(tenant, ItemId::File(*id)))?;
            let row = table::get::<Versions>(step.reader(), &(tenant, *id, *number))?;
            let (Some(item), Some(row)) = (item, row) else {
                return Err(TableError::Invariant("an old version is not there").into());
            };
            drop_version(step, tenant, *id, &item, *number, &row)?;
        }
        Ok(u32::try_from(old.len()).unwrap_or(u32::MAX))
    })
}
