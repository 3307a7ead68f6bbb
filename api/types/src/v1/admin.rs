//! Section 4: a tenant, its users and groups.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::users::AdminRole;
use crate::{Patch, Time};

/// How far presence of a chunk may be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DedupScope {
    Share,
    Tenant,
}

/// Whether a tenant is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TenantStatus {
    Active,
    Suspended,
}

/// What a tenant has set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TenantSettings {
    #[schema(default = 5368709120u64)]
    pub max_file_size_bytes: u64,
    pub default_share_quota_bytes: Option<u64>,
    #[schema(default = 30)]
    pub trash_retention_days: u32,
    #[schema(default = 365)]
    pub version_retention_days: u32,
    pub max_versions: Option<u32>,
    pub vectorization_enabled: bool,
    pub dedup_scope: DedupScope,
    pub external_sharing: bool,
}

/// A tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Tenant {
    pub id: String,
    pub partner_id: String,
    pub name: String,
    pub display_name: Option<String>,
    pub status: TenantStatus,
    pub created_at: Time,
    pub settings: TenantSettings,
}

/// A change of what a tenant has set.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct PatchTenantSettings {
    #[serde(default, skip_serializing_if = "Patch::is_absent")]
    #[schema(value_type = u64, required = false)]
    pub max_file_size_bytes: Patch<u64>,
    #[serde(default, skip_serializing_if = "Patch::is_absent")]
    #[schema(value_type = Option<u64>)]
    pub default_share_quota_bytes: Patch<u64>,
    #[serde(default, skip_serializing_if = "Patch::is_absent")]
    #[schema(value_type = u32, required = false)]
    pub trash_retention_days: Patch<u32>,
    #[serde(default, skip_serializing_if = "Patch::is_absent")]
    #[schema(value_type = u32, required = false)]
    pub version_retention_days: Patch<u32>,
    #[serde(default, skip_serializing_if = "Patch::is_absent")]
    #[schema(value_type = Option<u32>)]
    pub max_versions: Patch<u32>,
    #[serde(default, skip_serializing_if = "Patch::is_absent")]
    #[schema(value_type = bool, required = false)]
    pub vectorization_enabled: Patch<bool>,
    #[serde(default, skip_serializing_if = "Patch::is_absent")]
    #[schema(value_type = DedupScope, required = false)]
    pub dedup_scope: Patch<DedupScope>,
    #[serde(default, skip_serializing_if = "Patch::is_absent")]
    #[schema(value_type = bool, required = false)]
    pub external_sharing: Patch<bool>,
}

/// A change of a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct PatchTenant {
    #[serde(default, skip_serializing_if = "Patch::is_absent")]
    #[schema(value_type = String, required = false)]
    pub name: Patch<String>,
    #[serde(default, skip_serializing_if = "Patch::is_absent")]
    #[schema(value_type = Option<String>)]
    pub display_name: Patch<String>,
    #[serde(default, skip_serializing_if = "Patch::is_absent")]
    #[schema(value_type = PatchTenantSettings, required = false)]
    pub settings: Patch<PatchTenantSettings>,
}

/// Whether a user may come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum UserStatus {
    Active,
    Pending,
    Suspended,
    Inactive,
    Deleted,
}

/// Who made a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProvisioningSource {
    /// An administrator.
    Manual,
    /// The first sight of a token's subject.
    Jit,
    Scim,
    Webhook,
}

/// A user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct User {
    pub id: String,
    pub tenant_id: String,
    pub email: Option<String>,
    pub name: Option<String>,
    pub display_name: Option<String>,
    pub avatar_url: Option<String>,
    pub status: UserStatus,
    pub is_active: bool,
    pub is_admin: bool,
    pub admin_role: Option<AdminRole>,
    pub quota_bytes: Option<u64>,
    pub provisioning_source: ProvisioningSource,
    pub last_login_at: Option<Time>,
}

/// Which users are listed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct UsersQuery {
    /// A part of a name or an address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(inline)]
    pub status: Option<UserStatus>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_admin: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(minimum = 1, maximum = 100, default = 50)]
    pub limit: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(minimum = 0, default = 0)]
    pub offset: Option<u32>,
}

/// Users of a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UserList {
    pub users: Vec<User>,
    pub total: u64,
}

/// A new user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CreateUser {
    pub email: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota_bytes: Option<u64>,
    /// `tenant_admin` or nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admin_role: Option<AdminRole>,
}

/// A change of a user.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct PatchUser {
    #[serde(default, skip_serializing_if = "Patch::is_absent")]
    #[schema(value_type = Option<String>)]
    pub display_name: Patch<String>,
    #[serde(default, skip_serializing_if = "Patch::is_absent")]
    #[schema(value_type = String, required = false)]
    pub email: Patch<String>,
    #[serde(default, skip_serializing_if = "Patch::is_absent")]
    #[schema(value_type = Option<u64>)]
    pub quota_bytes: Patch<u64>,
    /// `tenant_admin`, or null for nothing.
    #[serde(default, skip_serializing_if = "Patch::is_absent")]
    #[schema(value_type = Option<AdminRole>)]
    pub admin_role: Patch<AdminRole>,
}

/// A group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Group {
    pub id: String,
    pub tenant_id: String,
    pub name: String,
    pub description: Option<String>,
    pub member_count: u64,
    pub created_at: Time,
}

/// Groups of a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GroupList {
    pub groups: Vec<Group>,
    pub total: u64,
}

/// A new group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CreateGroup {
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// A change of a group.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct PatchGroup {
    #[serde(default, skip_serializing_if = "Patch::is_absent")]
    #[schema(value_type = String, required = false)]
    pub name: Patch<String>,
    #[serde(default, skip_serializing_if = "Patch::is_absent")]
    #[schema(value_type = Option<String>)]
    pub description: Patch<String>,
}

/// A user in a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GroupMember {
    pub user_id: String,
    pub email: Option<String>,
    pub display_name: Option<String>,
}

/// The users in a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GroupMemberList {
    pub members: Vec<GroupMember>,
    pub total: u64,
}

/// A user that joins a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AddGroupMember {
    pub user_id: String,
}
