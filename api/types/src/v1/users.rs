//! Section 3: what a signed-in user sees of itself.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::shares::{InvitationStatus, RoleName, ShareType};
use super::{Item, ResourceType};
use crate::Time;

/// A stored role of administration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AdminRole {
    TenantAdmin,
    PartnerAdmin,
    SuperAdmin,
}

/// A group that the caller is in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MyGroup {
    pub id: String,
    pub name: String,
}

/// The caller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Me {
    pub id: String,
    pub email: Option<String>,
    pub name: Option<String>,
    pub display_name: Option<String>,
    pub tenant_id: String,
    pub partner_id: String,
    pub groups: Vec<MyGroup>,
    /// Of this token.
    pub scopes: Vec<String>,
    pub is_admin: bool,
    pub admin_role: Option<AdminRole>,
}

/// A share that the caller is a member of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MyShare {
    pub id: String,
    pub name: String,
    #[serde(rename = "type")]
    pub share_type: ShareType,
    /// The strongest of those held directly and by groups.
    pub role: RoleName,
    pub owner_id: String,
    pub quota_bytes: Option<u64>,
    pub used_bytes: u64,
    pub created_at: Time,
    /// The share's own list denies the caller its root; items in it may be open all the same.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub no_access: bool,
}

/// The caller's shares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MyShares {
    pub shares: Vec<MyShare>,
    pub total: u64,
}

/// What the caller uses.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MyQuota {
    pub user_id: String,
    pub used_bytes: u64,
    /// Null: no limit.
    pub quota_bytes: Option<u64>,
    pub percent_used: Option<f64>,
}

/// What one share holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ShareStats {
    pub share_id: String,
    pub share_name: String,
    pub file_count: u64,
    pub folder_count: u64,
    pub used_bytes: u64,
    pub trash_bytes: u64,
    pub version_bytes: u64,
}

/// What the caller's shares hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MyStats {
    pub shares: Vec<ShareStats>,
    pub total_file_count: u64,
    pub total_folder_count: u64,
    pub total_used_bytes: u64,
    pub total_trash_bytes: u64,
    pub total_version_bytes: u64,
}

/// Something marked to be found again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FavoriteRequest {
    pub resource_type: ResourceType,
    pub resource_id: String,
}

/// A favourite, with the item where it is one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Favorite {
    pub resource_type: ResourceType,
    pub resource_id: String,
    pub name: String,
    pub share_id: String,
    /// Null for a share.
    pub item: Option<Item>,
    pub created_at: Time,
}

/// The caller's favourites, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FavoriteList {
    pub favorites: Vec<Favorite>,
    pub total: u64,
}

/// An invitation to the caller's address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MyInvitation {
    pub id: String,
    pub share_id: String,
    pub share_name: String,
    pub role: RoleName,
    pub message: Option<String>,
    pub status: InvitationStatus,
    pub invited_by: String,
    pub created_at: Time,
    pub expires_at: Option<Time>,
}

/// Invitations to the caller's address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MyInvitations {
    pub invitations: Vec<MyInvitation>,
    pub total: u64,
}
