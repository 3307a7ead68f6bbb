//! Section 15: quotas and usage.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{Patch, Time};

/// What a quota is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum QuotaTarget {
    Partner,
    Tenant,
    Group,
    User,
    Share,
}

/// Whether a limit may be passed for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LimitType {
    Hard,
    Soft,
}

/// A quota.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Quota {
    pub id: String,
    pub tenant_id: String,
    pub target_type: QuotaTarget,
    pub target_id: String,
    /// Null: no limit.
    pub limit_bytes: Option<u64>,
    pub limit_type: LimitType,
    /// Percent.
    #[schema(default = 70)]
    pub warning_threshold_1: u8,
    #[schema(default = 85)]
    pub warning_threshold_2: u8,
    #[schema(default = 95)]
    pub warning_threshold_3: u8,
    #[schema(default = 7)]
    pub grace_period_days: u32,
    #[schema(default = 10)]
    pub grace_extra_percent: u32,
    pub grace_started_at: Option<Time>,
    pub exempt: bool,
    pub exempt_reason: Option<String>,
}

/// The body of PUT: what is absent keeps its value, or takes the default on a new quota.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct PutQuota {
    #[serde(default, skip_serializing_if = "Patch::is_absent")]
    #[schema(value_type = Option<u64>)]
    pub limit_bytes: Patch<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit_type: Option<LimitType>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 100)]
    pub warning_threshold_1: Option<u8>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 100)]
    pub warning_threshold_2: Option<u8>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 100)]
    pub warning_threshold_3: Option<u8>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace_period_days: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace_extra_percent: Option<u32>,
}

/// Whether a quota is left out of account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ExemptQuota {
    pub exempt: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exempt_reason: Option<String>,
}

/// How usage is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct UsageQuery {
    /// Count again, and report any drift.
    #[serde(default)]
    pub recalculate: bool,
}

/// What is used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Usage {
    pub target_type: QuotaTarget,
    pub target_id: String,
    /// Counts against quotas.
    pub used_bytes: u64,
    /// What is on drives, after deduplication.
    pub physical_bytes: u64,
    pub file_count: u64,
    pub folder_count: u64,
    pub version_bytes: u64,
    pub trash_bytes: u64,
    pub calculated_at: Time,
    /// With `recalculate`: how far the stored count was off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drift_bytes: Option<i64>,
}

/// What each user uses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UsageList {
    pub users: Vec<Usage>,
    pub total: u64,
}
