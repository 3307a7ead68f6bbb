//! Partners, tenants, users, groups.

use node_base::{GroupId, PartnerId, TenantId, Timestamp, UserId};
use serde::{Deserialize, Serialize};

use super::key::{KeyReader, Part};
use super::tables;

tables! {
    Partners(1, "partners"): (PartnerId,) => Partner;
    Tenants(2, "tenants"): (TenantId,) => Tenant;
    Users(3, "users"): (TenantId, UserId) => User;
    /// By e-mail address, folded to lower case.
    UsersByEmail(4, "users_by_email"): (TenantId, String) => UserId;
    /// By issuer and the issuer's `sub`.
    UsersBySubject(5, "users_by_subject"): (TenantId, String, String) => UserId;
    Groups(6, "groups"): (TenantId, GroupId) => Group;
    /// By name, folded.
    GroupsByName(7, "groups_by_name"): (TenantId, String) => GroupId;
    GroupMembers(8, "group_members"): (TenantId, GroupId, UserId) => ();
    /// The same the other way round.
    UserGroups(9, "user_groups"): (TenantId, UserId, GroupId) => ();
    Favorites(10, "favorites"): (TenantId, UserId, super::acl::Target) => Timestamp;
    /// The same the other way round.
    FavoredBy(11, "favored_by"): (TenantId, super::acl::Target, UserId) => ();
    /// Users who were deleted, as long as devices of theirs are known or lists name them. Who
    /// deletes a user writes a row here; upkeep does the rest.
    LeftUsers(12, "left_users"): (TenantId, UserId) => ();
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Standing {
    Active,
    Suspended,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Partner {
    pub name: String,
    pub display_name: String,
    pub standing: Standing,
    pub created_at: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tenant {
    pub partner: PartnerId,
    pub name: String,
    pub display_name: String,
    pub standing: Standing,
    pub created_at: Timestamp,
    pub settings: TenantSettings,
}

/// For which chunks an upload is told that they are already here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum DedupScope {
    Share,
    Tenant,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantSettings {
    pub max_file_size_bytes: u64,
    pub default_share_quota_bytes: Option<u64>,
    pub trash_retention_days: u32,
    pub version_retention_days: u32,
    pub max_versions: Option<u32>,
    pub vectorization_enabled: bool,
    pub dedup_scope: DedupScope,
    pub external_sharing: bool,
}

impl Default for TenantSettings {
    fn default() -> Self {
        Self {
            max_file_size_bytes: node_base::limits::FILE_MAX_DEFAULT,
            default_share_quota_bytes: None,
            trash_retention_days: 30,
            version_retention_days: 365,
            max_versions: None,
            vectorization_enabled: false,
            dedup_scope: DedupScope::Share,
            external_sharing: true,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum UserStatus {
    Active,
    Pending,
    Suspended,
    Inactive,
    Deleted,
}

/// A stored role: a token alone makes nobody an administrator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum AdminRole {
    TenantAdmin,
    PartnerAdmin,
    SuperAdmin,
}

/// Who made a user known here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProvisioningSource {
    /// Managed by the built-in issuer.
    BuiltIn,
    /// Seen in a token of an outside issuer.
    Token,
    /// Made by an administrator's call.
    Admin,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    pub email: String,
    pub name: String,
    pub display_name: String,
    pub avatar_url: Option<String>,
    pub status: UserStatus,
    pub admin_role: Option<AdminRole>,
    pub source: ProvisioningSource,
    pub is_service_account: bool,
    pub created_at: Timestamp,
    pub last_login_at: Option<Timestamp>,
    pub personal_share: Option<node_base::ShareId>,
    /// The log index of the last change: tokens and sessions older than a suspension are void.
    pub revision: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    pub name: String,
    pub description: String,
    pub created_at: Timestamp,
}

/// Somebody that a list, a membership or an ownership can name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Principal {
    User(UserId),
    Group(GroupId),
}

impl Part for Principal {
    fn write(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::User(user) => (bytes.push(0), bytes.extend(user.to_bytes())),
            Self::Group(group) => (bytes.push(1), bytes.extend(group.to_bytes())),
        };
    }

    fn read(reader: &mut KeyReader<'_>) -> Option<Self> {
        match (reader.array()?, reader.array()?) {
            ([0], id) => Some(Self::User(UserId::from_bytes(id))),
            ([1], id) => Some(Self::Group(GroupId::from_bytes(id))),
            _ => None,
        }
    }
}
