//! Quotas and usage.

use api_ops::meta::table::quota as rows;
use api_types::Time;
use api_types::v1::quotas::{LimitType, Quota, QuotaTarget, Usage};
use node_base::{TenantId, Timestamp};

/// What a quota is on: the kind, and the text of the id.
pub fn target(target: rows::QuotaTarget) -> (QuotaTarget, String) {
    match target {
        rows::QuotaTarget::Partner(id) => (QuotaTarget::Partner, id.to_string()),
        rows::QuotaTarget::Tenant(id) => (QuotaTarget::Tenant, id.to_string()),
        rows::QuotaTarget::Group(_, id) => (QuotaTarget::Group, id.to_string()),
        rows::QuotaTarget::User(_, id) => (QuotaTarget::User, id.to_string()),
        rows::QuotaTarget::Share(_, id) => (QuotaTarget::Share, id.to_string()),
    }
}

pub fn quota(tenant: TenantId, on: rows::QuotaTarget, row: &rows::Quota) -> Quota {
    let (target_type, target_id) = target(on);
    let [first, second, third] = row.warning_thresholds;
    Quota {
        id: row.id.to_string(),
        tenant_id: tenant.to_string(),
        target_type,
        target_id,
        limit_bytes: Some(row.limit_bytes),
        limit_type: match row.limit_type {
            rows::LimitType::Hard => LimitType::Hard,
            rows::LimitType::Soft => LimitType::Soft,
        },
        warning_threshold_1: first,
        warning_threshold_2: second,
        warning_threshold_3: third,
        grace_period_days: row.grace_period_days,
        grace_extra_percent: row.grace_extra_percent,
        grace_started_at: row.grace_started_at.map(Time),
        exempt: row.exempt,
        exempt_reason: row.exempt_reason.clone(),
    }
}

/// What counts against a target, as it stood at `now`.
pub fn usage(
    on: rows::QuotaTarget,
    row: rows::Usage,
    trash_bytes: u64,
    now: Timestamp,
    drift_bytes: Option<i64>,
) -> Usage {
    let (target_type, target_id) = target(on);
    Usage {
        target_type,
        target_id,
        used_bytes: row.used_bytes,
        physical_bytes: row.physical_bytes,
        file_count: row.file_count,
        folder_count: row.folder_count,
        version_bytes: row.version_bytes,
        trash_bytes,
        calculated_at: Time(now),
        drift_bytes,
    }
}
