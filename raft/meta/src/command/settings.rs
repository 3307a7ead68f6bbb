//! Changes of settings. What is not named stays as the tables have it when the change is applied,
//! so that two people who change different things at the same time both get what they asked for.

use node_base::NamePolicy;
use serde::{Deserialize, Serialize};

use crate::table::people::{DedupScope, TenantSettings};
use crate::table::share::{ConflictStrategy, ShareSettings};

/// What changes of a tenant's settings; `Some(None)` takes a limit away.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TenantSettingsChange {
    pub max_file_size_bytes: Option<u64>,
    pub default_share_quota_bytes: Option<Option<u64>>,
    pub trash_retention_days: Option<u32>,
    pub version_retention_days: Option<u32>,
    pub max_versions: Option<Option<u32>>,
    pub vectorization_enabled: Option<bool>,
    pub dedup_scope: Option<DedupScope>,
    pub external_sharing: Option<bool>,
}

impl TenantSettingsChange {
    /// The settings after the change.
    pub(crate) fn of(&self, old: &TenantSettings) -> TenantSettings {
        TenantSettings {
            max_file_size_bytes: self.max_file_size_bytes.unwrap_or(old.max_file_size_bytes),
            default_share_quota_bytes: self
                .default_share_quota_bytes
                .unwrap_or(old.default_share_quota_bytes),
            trash_retention_days: self.trash_retention_days.unwrap_or(old.trash_retention_days),
            version_retention_days: self
                .version_retention_days
                .unwrap_or(old.version_retention_days),
            max_versions: self.max_versions.unwrap_or(old.max_versions),
            vectorization_enabled: self.vectorization_enabled.unwrap_or(old.vectorization_enabled),
            dedup_scope: self.dedup_scope.unwrap_or(old.dedup_scope),
            external_sharing: self.external_sharing.unwrap_or(old.external_sharing),
        }
    }
}

/// What changes of a share's settings, or what a new share has beside the defaults; `Some(None)`
/// leaves a limit to the tenant.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ShareSettingsChange {
    pub name_policy: Option<NamePolicy>,
    pub conflict_resolution: Option<ConflictStrategy>,
    pub trash_retention_days: Option<Option<u32>>,
    pub version_retention_days: Option<Option<u32>>,
    pub max_versions: Option<Option<u32>>,
}

impl ShareSettingsChange {
    /// The settings after the change.
    pub(crate) fn of(&self, old: &ShareSettings) -> ShareSettings {
        ShareSettings {
            name_policy: self.name_policy.unwrap_or(old.name_policy),
            conflict_resolution: self.conflict_resolution.unwrap_or(old.conflict_resolution),
            trash_retention_days: self.trash_retention_days.unwrap_or(old.trash_retention_days),
            version_retention_days: self
                .version_retention_days
                .unwrap_or(old.version_retention_days),
            max_versions: self.max_versions.unwrap_or(old.max_versions),
        }
    }
}
