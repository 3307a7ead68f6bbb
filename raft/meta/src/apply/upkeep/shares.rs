//! Shares that go for good: first what lies in them, then what is said of them.

use node_base::{ShareId, TenantId};

use super::count;
use crate::apply::quota::{self, Delta};
use crate::apply::{Step, Stop, content, item, people, sync};
use crate::table::acl::{Listed, Target};
use crate::table::change::{Changes, ShareFeeds, Turns};
use crate::table::conflict::{Conflicts, ShareConflicts};
use crate::table::item::Purges;
use crate::table::quota::QuotaTarget;
use crate::table::share::{
    Invitations, InvitationsByEmail, Members, PrincipalShares, PurgedShares, Shares,
};
use crate::table::{self, Key, Table};
use crate::tables::{Reader, TableError};

/// Takes purged shares apart, at most `limit` rows.
pub(super) fn release(step: &mut Step<'_>, limit: u32) -> Result<u32, Stop> {
    let mut worked = 0;
    while worked < limit {
        let Some(key) = first::<PurgedShares>(step.reader(), &())? else { break };
        // What lies in it is marked here and removed by the steps for purges.
        worked += item::doom_root(step, key.0, key.1, limit - worked)?;
        if first::<Purges>(step.reader(), &())?.is_some() {
            break;
        }
        worked += rows(step, key, limit - worked)?;
    }
    Ok(worked)
}

fn first<T: Table>(tables: &dyn Reader, prefix: &impl Key) -> Result<Option<T::Key>, TableError> {
    Ok(table::some::<T>(tables, prefix, 1)?.pop())
}

/// Removes what is said of an empty share, and in the end the share itself.
fn rows(step: &mut Step<'_>, key: (TenantId, ShareId), limit: u32) -> Result<u32, Stop> {
    let (tenant, share) = key;
    let mut worked = conflicts(step, key, limit)?;
    worked += members(step, key, limit - worked.min(limit))?;
    worked += invitations(step, key, limit - worked.min(limit))?;
    worked += clear::<Changes>(step, &key, limit - worked.min(limit))?;
    worked += clear::<Turns>(step, &key, limit - worked.min(limit))?;
    worked += clear::<Listed>(step, &key, limit - worked.min(limit))?;
    let left = (limit - worked.min(limit)) as usize;
    worked += count(sync::forget_share(step, key, left)?);
    let left = (limit - worked.min(limit)) as usize;
    worked += count(people::user::forget_favorite(step, tenant, Target::Share(share), left)?);
    if worked < limit {
        table::delete::<ShareFeeds>(step.tables, &key)?;
        quota::forget(step, QuotaTarget::Share(tenant, share))?;
        table::delete::<Shares>(step.tables, &key)?;
        table::delete::<PurgedShares>(step.tables, &key)?;
        worked += 1;
    }
    Ok(worked)
}

fn clear<T: Table>(step: &mut Step<'_>, prefix: &impl Key, limit: u32) -> Result<u32, TableError> {
    let keys = table::some::<T>(step.reader(), prefix, limit as usize)?;
    for key in &keys {
        table::delete::<T>(step.tables, key)?;
    }
    Ok(count(keys.len()))
}

fn conflicts(step: &mut Step<'_>, key: (TenantId, ShareId), limit: u32) -> Result<u32, Stop> {
    let (tenant, share) = key;
    let keys = table::some::<ShareConflicts>(step.reader(), &key, limit as usize)?;
    for at in &keys {
        let row = table::get::<Conflicts>(step.reader(), &(tenant, at.2))?;
        let row = row.ok_or(TableError::Invariant("a listed conflict is not there"))?;
        if let Some(version) = row.content {
            content::release(step, tenant, share, &version.content)?;
            let bytes = i64::try_from(version.size).unwrap_or(i64::MAX);
            let delta = Delta { bytes: -bytes, ..Delta::default() };
            quota::charge(step, tenant, share, row.user, delta)?;
        }
        table::delete::<Conflicts>(step.tables, &(tenant, at.2))?;
        table::delete::<ShareConflicts>(step.tables, at)?;
    }
    Ok(count(keys.len()))
}

fn members(step: &mut Step<'_>, key: (TenantId, ShareId), limit: u32) -> Result<u32, TableError> {
    let keys = table::some::<Members>(step.reader(), &key, limit as usize)?;
    for (tenant, share, principal) in &keys {
        table::delete::<PrincipalShares>(step.tables, &(*tenant, *principal, *share))?;
        table::delete::<Members>(step.tables, &(*tenant, *share, *principal))?;
    }
    Ok(count(keys.len()))
}

fn invitations(
    step: &mut Step<'_>,
    key: (TenantId, ShareId),
    limit: u32,
) -> Result<u32, TableError> {
    let keys = table::some::<Invitations>(step.reader(), &key, limit as usize)?;
    for at in &keys {
        if let Some(row) = table::get::<Invitations>(step.reader(), at)? {
            let email = row.email.to_lowercase();
            table::delete::<InvitationsByEmail>(step.tables, &(at.0, email, at.2))?;
        }
        table::delete::<Invitations>(step.tables, at)?;
    }
    Ok(count(keys.len()))
}
