//! Quotas: what counts, against which limits, and who sets them.
//!
//! Logical bytes count: each version whole, old ones, trashed ones and the content of conflicts
//! too, at every level at once: the share, the group that owns it, the item's owner, the tenant,
//! the partner. A write that would pass a limit of any of them is refused whole.

#[cfg(test)]
mod tests;

use node_base::{PartnerId, ShareId, TenantId, Timestamp, UserId, limits};

use super::audit::{self, Draft};
use super::{Step, Stop};
use crate::access;
use crate::command::QuotaCommand;
use crate::outcome::{Answer, Invalid, Noun, QuotaLevel, Refusal};
use crate::table::audit::{Category, Severity};
use crate::table::people::{Groups, Partners, Principal, Tenants, Users};
use crate::table::quota::{Quota, QuotaTarget, Quotas, Usage, Usages};
use crate::table::share::Shares;
use crate::table::{self};
use crate::tables::{Reader, TableError};

/// The longest and widest grace that can be set.
const GRACE_DAYS_MAX: u32 = 3_650;
const GRACE_PERCENT_MAX: u32 = 1_000;

/// What a step adds to, or takes from, what counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Delta {
    pub(crate) bytes: i64,
    pub(crate) files: i64,
    pub(crate) folders: i64,
    /// Of `bytes`, what became old versions (or stopped being one).
    pub(crate) version_bytes: i64,
}

impl Delta {
    fn plus(self, other: Self) -> Self {
        Self {
            bytes: self.bytes.saturating_add(other.bytes),
            files: self.files.saturating_add(other.files),
            folders: self.folders.saturating_add(other.folders),
            version_bytes: self.version_bytes.saturating_add(other.version_bytes),
        }
    }

    fn negated(self) -> Self {
        Self {
            bytes: self.bytes.saturating_neg(),
            files: self.files.saturating_neg(),
            folders: self.folders.saturating_neg(),
            version_bytes: self.version_bytes.saturating_neg(),
        }
    }
}

/// Counts `delta` for the share, its owner, the item's owner, the tenant and the partner; refused
/// where more bytes would pass a limit of any of them.
pub(crate) fn charge(
    step: &mut Step<'_>,
    tenant: TenantId,
    share: ShareId,
    owner: UserId,
    delta: Delta,
) -> Result<(), Stop> {
    let mut changes = Changes::default();
    for target in targets(step.reader(), tenant, share, owner)? {
        changes.add(target, delta);
    }
    changes.count(step, tenant)
}

/// Counts `delta` for another share or owner than before: levels that both have stay as they are.
pub(crate) fn shift(
    step: &mut Step<'_>,
    tenant: TenantId,
    from: (ShareId, UserId),
    to: (ShareId, UserId),
    delta: Delta,
) -> Result<(), Stop> {
    let mut changes = Changes::default();
    for target in targets(step.reader(), tenant, from.0, from.1)? {
        changes.add(target, delta.negated());
    }
    for target in targets(step.reader(), tenant, to.0, to.1)? {
        changes.add(target, delta);
    }
    changes.count(step, tenant)
}

/// Counts all that is in a share for its new owner, where groups own or owned it. To be called
/// before or after the owner's row changes alike.
pub(crate) fn change_share_owner(
    step: &mut Step<'_>,
    tenant: TenantId,
    share: ShareId,
    from: Principal,
    to: Principal,
) -> Result<(), Stop> {
    let usage = usage_of(step.reader(), QuotaTarget::Share(tenant, share))?;
    let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let delta = Delta {
        bytes: count(usage.used_bytes),
        files: count(usage.file_count),
        folders: count(usage.folder_count),
        version_bytes: count(usage.version_bytes),
    };
    let mut changes = Changes::default();
    for (owner, delta) in [(from, delta.negated()), (to, delta)] {
        if let Principal::Group(group) = owner {
            changes.add(QuotaTarget::Group(tenant, group), delta);
        }
    }
    changes.count(step, tenant)
}

/// Whether so many more bytes of this owner in this share would be taken now.
pub(crate) fn would_fit(
    step: &Step<'_>,
    tenant: TenantId,
    share: ShareId,
    owner: UserId,
    bytes: u64,
) -> Result<(), Stop> {
    for target in targets(step.reader(), tenant, share, owner)? {
        if let Some(quota) = table::get::<Quotas>(step.reader(), &(target,))? {
            let used = usage_of(step.reader(), target)?.used_bytes;
            admit(&quota, target, used, used.saturating_add(bytes), step.now)?;
        }
    }
    Ok(())
}

/// Counts bytes that chunks take on drives, for the tenant and its partner.
pub(crate) fn count_stored(
    step: &mut Step<'_>,
    tenant: TenantId,
    bytes: i64,
) -> Result<(), TableError> {
    if bytes == 0 {
        return Ok(());
    }
    let partner = partner_of(step.reader(), tenant)?;
    for target in [QuotaTarget::Tenant(tenant), QuotaTarget::Partner(partner)] {
        let mut usage = usage_of(step.reader(), target)?;
        usage.physical_bytes = usage.physical_bytes.saturating_add_signed(bytes);
        put_usage(step, target, &usage)?;
    }
    Ok(())
}

/// Sets a limit as an administrator's plain number does, or takes the quota away. What else a quota
/// says stays as it is; a new one is hard.
pub(crate) fn set_limit(
    step: &mut Step<'_>,
    target: QuotaTarget,
    limit_bytes: Option<u64>,
) -> Result<(), TableError> {
    let Some(limit_bytes) = limit_bytes else {
        return table::delete::<Quotas>(step.tables, &(target,));
    };
    let mut quota = match table::get::<Quotas>(step.reader(), &(target,))? {
        Some(quota) => Quota { limit_bytes, ..quota },
        None => Quota::hard(step.new_id(), limit_bytes),
    };
    let used = usage_of(step.reader(), target)?.used_bytes;
    quota.grace_started_at = quota.grace(used, step.now);
    table::put::<Quotas>(step.tables, &(target,), &quota)
}

/// A limit and what counts against it go with what they were of.
pub(crate) fn forget(step: &mut Step<'_>, target: QuotaTarget) -> Result<(), TableError> {
    table::delete::<Quotas>(step.tables, &(target,))?;
    table::delete::<Usages>(step.tables, &(target,))
}

pub(crate) fn usage_of(tables: &dyn Reader, target: QuotaTarget) -> Result<Usage, TableError> {
    Ok(table::get::<Usages>(tables, &(target,))?.unwrap_or_default())
}

/// A row of zeros is no row.
fn put_usage(step: &mut Step<'_>, target: QuotaTarget, usage: &Usage) -> Result<(), TableError> {
    if *usage == Usage::default() {
        table::delete::<Usages>(step.tables, &(target,))
    } else {
        table::put::<Usages>(step.tables, &(target,), usage)
    }
}

pub(crate) fn partner_of(tables: &dyn Reader, tenant: TenantId) -> Result<PartnerId, TableError> {
    let row = table::get::<Tenants>(tables, &(tenant,))?;
    Ok(row.ok_or(TableError::Invariant("a tenant is not there"))?.partner)
}

/// Whose limits a write to this share by this owner meets, the nearest first.
pub(crate) fn targets(
    tables: &dyn Reader,
    tenant: TenantId,
    share: ShareId,
    owner: UserId,
) -> Result<Vec<QuotaTarget>, TableError> {
    let row = table::get::<Shares>(tables, &(tenant, share))?;
    let row = row.ok_or(TableError::Invariant("an item's share is not there"))?;
    let mut targets = vec![QuotaTarget::Share(tenant, share), QuotaTarget::User(tenant, owner)];
    if let Principal::Group(group) = row.owner {
        targets.push(QuotaTarget::Group(tenant, group));
    }
    targets.push(QuotaTarget::Tenant(tenant));
    targets.push(QuotaTarget::Partner(partner_of(tables, tenant)?));
    Ok(targets)
}

/// The nearest level first: it is the one that a refusal names.
fn level(target: QuotaTarget) -> QuotaLevel {
    match target {
        QuotaTarget::Share(..) => QuotaLevel::Share,
        QuotaTarget::User(..) => QuotaLevel::User,
        QuotaTarget::Group(..) => QuotaLevel::Group,
        QuotaTarget::Tenant(_) => QuotaLevel::Tenant,
        QuotaTarget::Partner(_) => QuotaLevel::Partner,
    }
}

/// What one step changes at each level, summed before it is judged.
#[derive(Default)]
struct Changes {
    /// In the order of their levels.
    deltas: Vec<(QuotaTarget, Delta)>,
}

impl Changes {
    fn add(&mut self, target: QuotaTarget, delta: Delta) {
        match self.deltas.iter_mut().find(|(known, _)| *known == target) {
            Some((_, sum)) => *sum = sum.plus(delta),
            None => self.deltas.push((target, delta)),
        }
    }

    fn count(self, step: &mut Step<'_>, tenant: TenantId) -> Result<(), Stop> {
        for (target, delta) in self.deltas {
            if delta != Delta::default() {
                count_one(step, tenant, target, delta)?;
            }
        }
        Ok(())
    }
}

fn count_one(
    step: &mut Step<'_>,
    tenant: TenantId,
    target: QuotaTarget,
    delta: Delta,
) -> Result<(), Stop> {
    let before = usage_of(step.reader(), target)?;
    let after = Usage {
        used_bytes: before.used_bytes.saturating_add_signed(delta.bytes),
        file_count: before.file_count.saturating_add_signed(delta.files),
        folder_count: before.folder_count.saturating_add_signed(delta.folders),
        version_bytes: before.version_bytes.saturating_add_signed(delta.version_bytes),
        physical_bytes: before.physical_bytes,
    };
    if delta.bytes != 0
        && let Some(mut quota) = table::get::<Quotas>(step.reader(), &(target,))?
    {
        if delta.bytes > 0 {
            admit(&quota, target, before.used_bytes, after.used_bytes, step.now)?;
            warn(step, tenant, target, &quota, (before.used_bytes, after.used_bytes))?;
        }
        let started = quota.grace(after.used_bytes, step.now);
        if quota.grace_started_at != started {
            quota.grace_started_at = started;
            table::put::<Quotas>(step.tables, &(target,), &quota)?;
        }
    }
    put_usage(step, target, &after)?;
    Ok(())
}

/// Whether a write may bring what is used up to `after`.
fn admit(
    quota: &Quota,
    target: QuotaTarget,
    used: u64,
    after: u64,
    now: Timestamp,
) -> Result<(), Refusal> {
    if quota.exempt || after <= quota.ceiling(now) {
        return Ok(());
    }
    let limit_bytes = quota.limit_bytes;
    Err(Refusal::QuotaExceeded { level: level(target), limit_bytes, used_bytes: used })
}

/// Raises an event for each threshold that is reached by this step.
fn warn(
    step: &mut Step<'_>,
    tenant: TenantId,
    target: QuotaTarget,
    quota: &Quota,
    (before, after): (u64, u64),
) -> Result<(), Stop> {
    for percent in quota.warning_thresholds {
        let at = u128::from(quota.limit_bytes) * u128::from(percent);
        let reached = |used: u64| u128::from(used) * 100 >= at;
        if percent > 0 && reached(after) && !reached(before) {
            let draft = Draft {
                category: Category::Admin,
                severity: Severity::Warning,
                action: "quota.threshold_reached",
                resource: Some(target_text(target)),
                payload: vec![
                    ("threshold_percent", percent.to_string()),
                    ("used_bytes", after.to_string()),
                    ("limit_bytes", quota.limit_bytes.to_string()),
                ],
            };
            audit::record(step, tenant, draft)?;
        }
    }
    Ok(())
}

fn target_text(target: QuotaTarget) -> String {
    match target {
        QuotaTarget::Partner(partner) => partner.to_string(),
        QuotaTarget::Tenant(tenant) => tenant.to_string(),
        QuotaTarget::Group(_, group) => group.to_string(),
        QuotaTarget::User(_, user) => user.to_string(),
        QuotaTarget::Share(_, share) => share.to_string(),
    }
}

/// Sets, removes and exempts: tenant administrators what is in their tenant, partners' the tenants,
/// the cluster's the partners.
pub(crate) fn run(step: &mut Step<'_>, command: &QuotaCommand) -> Result<Answer, Stop> {
    let (QuotaCommand::Set { target, .. }
    | QuotaCommand::Remove { target }
    | QuotaCommand::SetExempt { target, .. }) = command;
    let target = *target;
    authorize(step, target)?;
    let (action, payload) = match command {
        QuotaCommand::Set {
            limit_bytes,
            limit_type,
            warning_thresholds,
            grace_period_days,
            grace_extra_percent,
            ..
        } => {
            let before = match table::get::<Quotas>(step.reader(), &(target,))? {
                Some(before) => {
                    access::require_row::<Quotas>(step, &before)?;
                    before
                }
                None if step.if_revision.is_some() => {
                    return Err(Refusal::PreconditionFailed.into());
                }
                None => Quota::hard(step.new_id(), *limit_bytes),
            };
            let quota = Quota {
                limit_bytes: *limit_bytes,
                limit_type: *limit_type,
                warning_thresholds: *warning_thresholds,
                grace_period_days: *grace_period_days,
                grace_extra_percent: *grace_extra_percent,
                ..before
            };
            set(step, target, quota)?;
            ("quota.set", vec![("limit_bytes", limit_bytes.to_string())])
        }
        QuotaCommand::Remove { .. } => {
            known(step, target)?;
            table::delete::<Quotas>(step.tables, &(target,))?;
            ("quota.removed", Vec::new())
        }
        QuotaCommand::SetExempt { exempt, reason, .. } => {
            let quota = known(step, target)?;
            set_exempt(step, target, quota, *exempt, reason.as_deref())?;
            ("quota.exempt_set", vec![("exempt", exempt.to_string())])
        }
    };
    let (tenant, _) = step.who()?;
    let resource = Some(target_text(target));
    let draft =
        Draft { category: Category::Admin, severity: Severity::Info, action, resource, payload };
    audit::record(step, tenant, draft)?;
    Ok(Answer::Done)
}

fn known(step: &Step<'_>, target: QuotaTarget) -> Result<Quota, Stop> {
    let quota = table::get::<Quotas>(step.reader(), &(target,))?;
    let quota = quota.ok_or(Refusal::NotFound(Noun::Quota))?;
    access::require_row::<Quotas>(step, &quota)?;
    Ok(quota)
}

fn authorize(step: &Step<'_>, target: QuotaTarget) -> Result<(), Stop> {
    let (tenant, _) = step.who()?;
    let (there, noun) = match target {
        QuotaTarget::Partner(partner) => {
            access::require_partner_admin(step, None)?;
            (table::has::<Partners>(step.reader(), &(partner,))?, Noun::Partner)
        }
        QuotaTarget::Tenant(tenant) => {
            let row = table::get::<Tenants>(step.reader(), &(tenant,))?;
            access::require_partner_admin(step, row.as_ref().map(|row| row.partner))?;
            (row.is_some(), Noun::Tenant)
        }
        QuotaTarget::Group(of, group) => {
            access::require_admin(step)?;
            (of == tenant && table::has::<Groups>(step.reader(), &(of, group))?, Noun::Group)
        }
        QuotaTarget::User(of, user) => {
            access::require_admin(step)?;
            (of == tenant && table::has::<Users>(step.reader(), &(of, user))?, Noun::User)
        }
        QuotaTarget::Share(of, share) => {
            access::require_admin(step)?;
            let row = table::get::<Shares>(step.reader(), &(of, share))?;
            (of == tenant && row.is_some_and(|share| !share.purging), Noun::Share)
        }
    };
    if there { Ok(()) } else { Err(Refusal::NotFound(noun).into()) }
}

fn set(step: &mut Step<'_>, target: QuotaTarget, mut quota: Quota) -> Result<(), Stop> {
    for (at, percent) in ["1", "2", "3"].into_iter().zip(quota.warning_thresholds) {
        let field = format!("warning_threshold_{at}");
        check_range(&field, u32::from(percent), (1, 100))?;
    }
    check_range("grace_period_days", quota.grace_period_days, (0, GRACE_DAYS_MAX))?;
    check_range("grace_extra_percent", quota.grace_extra_percent, (0, GRACE_PERCENT_MAX))?;
    let used = usage_of(step.reader(), target)?.used_bytes;
    quota.grace_started_at = quota.grace(used, step.now);
    table::put::<Quotas>(step.tables, &(target,), &quota)?;
    Ok(())
}

fn set_exempt(
    step: &mut Step<'_>,
    target: QuotaTarget,
    quota: Quota,
    exempt: bool,
    reason: Option<&str>,
) -> Result<(), Stop> {
    let max = limits::DESCRIPTION_MAX as u64;
    if reason.is_some_and(|reason| reason.len() as u64 > max) {
        return Err(Refusal::invalid("exempt_reason", Invalid::TooLong { max }).into());
    }
    let exempt_reason = reason.filter(|_| exempt).map(str::to_owned);
    let quota = Quota { exempt, exempt_reason, ..quota };
    table::put::<Quotas>(step.tables, &(target,), &quota)?;
    Ok(())
}

fn check_range(field: &str, value: u32, (min, max): (u32, u32)) -> Result<(), Refusal> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    let reason = Invalid::OutOfRange { min: u64::from(min), max: u64::from(max) };
    Err(Refusal::invalid(field, reason))
}
