//! Users who were deleted: their devices go, and what lists still say of them.

use node_base::{TenantId, UserId};

use super::count;
use crate::apply::{Step, permission, sync};
use crate::table::acl::{Named, Trustee};
use crate::table::people::LeftUsers;
use crate::table::{self};
use crate::tables::TableError;

/// Goes on with users who were deleted, until `limit` rows were touched; the last device may go
/// beyond it.
pub(super) fn release(step: &mut Step<'_>, limit: u32) -> Result<u32, TableError> {
    let mut worked = 0;
    while worked < limit {
        let Some(who) = table::some::<LeftUsers>(step.reader(), &(), 1)?.pop() else { break };
        worked += count(sync::forget_user(step, who, (limit - worked) as usize)?);
        worked += unname(step, who, limit.saturating_sub(worked))?;
        if worked < limit {
            table::delete::<LeftUsers>(step.tables, &who)?;
            worked += 1;
        }
    }
    Ok(worked)
}

fn unname(
    step: &mut Step<'_>,
    (tenant, user): (TenantId, UserId),
    limit: u32,
) -> Result<u32, TableError> {
    let trustee = Trustee::User(user);
    let named = table::some::<Named>(step.reader(), &(tenant, trustee), limit as usize)?;
    for (_, _, target) in &named {
        permission::drop_trustee(step, tenant, *target, trustee)?;
    }
    Ok(count(named.len()))
}
