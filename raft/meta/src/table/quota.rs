//! Quotas, and what counts against them.

use node_base::{Duration, GroupId, PartnerId, QuotaId, ShareId, TenantId, Timestamp, UserId};
use serde::{Deserialize, Serialize};

use super::key::{KeyReader, Part};
use super::tables;

tables! {
    Quotas(80, "quotas"): (QuotaTarget,) => Quota;
    Usages(81, "usages"): (QuotaTarget,) => Usage;
}

/// Whose bytes are counted. Tenant first, so that a tenant's rows are one range; a partner's stand
/// alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum QuotaTarget {
    Partner(PartnerId),
    Tenant(TenantId),
    Group(TenantId, GroupId),
    User(TenantId, UserId),
    Share(TenantId, ShareId),
}

impl Part for QuotaTarget {
    fn write(&self, bytes: &mut Vec<u8>) {
        let (first, level, second) = match self {
            Self::Partner(partner) => (partner.to_bytes(), 0, [0; 16]),
            Self::Tenant(tenant) => (tenant.to_bytes(), 1, [0; 16]),
            Self::Group(tenant, group) => (tenant.to_bytes(), 2, group.to_bytes()),
            Self::User(tenant, user) => (tenant.to_bytes(), 3, user.to_bytes()),
            Self::Share(tenant, share) => (tenant.to_bytes(), 4, share.to_bytes()),
        };
        bytes.extend(first);
        bytes.push(level);
        bytes.extend(second);
    }

    fn read(reader: &mut KeyReader<'_>) -> Option<Self> {
        let (first, level, second) = (reader.array()?, reader.array()?, reader.array()?);
        let tenant = TenantId::from_bytes(first);
        match level {
            [0] => Some(Self::Partner(PartnerId::from_bytes(first))),
            [1] => Some(Self::Tenant(tenant)),
            [2] => Some(Self::Group(tenant, GroupId::from_bytes(second))),
            [3] => Some(Self::User(tenant, UserId::from_bytes(second))),
            [4] => Some(Self::Share(tenant, ShareId::from_bytes(second))),
            _ => None,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LimitType {
    Hard,
    Soft,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quota {
    pub id: QuotaId,
    pub limit_bytes: u64,
    pub limit_type: LimitType,
    /// Percentages at which an event is raised.
    pub warning_thresholds: [u8; 3],
    pub grace_period_days: u32,
    pub grace_extra_percent: u32,
    /// Since when more is used than a soft limit; nothing while it is not.
    pub grace_started_at: Option<Timestamp>,
    pub exempt: bool,
    pub exempt_reason: Option<String>,
}

impl Quota {
    /// A hard limit with everything else as it is unless somebody sets it.
    pub fn hard(id: QuotaId, limit_bytes: u64) -> Self {
        Self {
            id,
            limit_bytes,
            limit_type: LimitType::Hard,
            warning_thresholds: [70, 85, 95],
            grace_period_days: 7,
            grace_extra_percent: 10,
            grace_started_at: None,
            exempt: false,
            exempt_reason: None,
        }
    }

    /// Since when the grace of a soft limit runs, when this much is used at `now`.
    pub fn grace(&self, used_bytes: u64, now: Timestamp) -> Option<Timestamp> {
        let runs = self.limit_type == LimitType::Soft && used_bytes > self.limit_bytes;
        runs.then(|| self.grace_started_at.unwrap_or(now))
    }

    /// Up to where writes are taken at `now`, if it is not exempt.
    pub fn ceiling(&self, now: Timestamp) -> u64 {
        let grace = Duration::from_secs(u64::from(self.grace_period_days) * 24 * 3600);
        let is_over = |started: Timestamp| now >= started.after(grace);
        match self.limit_type {
            LimitType::Soft if !self.grace_started_at.is_some_and(is_over) => {
                let extra = u128::from(self.limit_bytes) * u128::from(self.grace_extra_percent);
                let extra = u64::try_from(extra / 100).unwrap_or(u64::MAX);
                self.limit_bytes.saturating_add(extra)
            }
            LimitType::Soft | LimitType::Hard => self.limit_bytes,
        }
    }
}

/// Logical bytes: every version counts whole, trash and old versions too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Usage {
    pub used_bytes: u64,
    pub file_count: u64,
    pub folder_count: u64,
    /// Of `used_bytes`, what versions hold that are not current.
    pub version_bytes: u64,
    /// What the tenant's chunks take on drives, without parity. Counted for tenants and partners.
    pub physical_bytes: u64,
}
