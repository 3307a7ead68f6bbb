//! Section 5: shares, members, invitations.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::conflicts::Strategy;
use crate::{Patch, Time};

/// What a share is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ShareType {
    Central,
    Personal,
    Project,
}

/// What a share asks of the names in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum NamePolicyName {
    /// What Windows, macOS and Linux can all hold; case makes no difference.
    #[default]
    Portable,
    /// Kept byte for byte; case makes a difference.
    Any,
}

/// What a share has set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ShareSettings {
    pub name_policy: NamePolicyName,
    pub conflict_resolution: Strategy,
    /// Null: as the tenant says; a share can only be tighter.
    pub trash_retention_days: Option<u32>,
    pub version_retention_days: Option<u32>,
    pub max_versions: Option<u32>,
}

/// Settings of a new share, or a change of them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct PatchShareSettings {
    #[serde(default, skip_serializing_if = "Patch::is_absent")]
    #[schema(value_type = NamePolicyName, required = false)]
    pub name_policy: Patch<NamePolicyName>,
    #[serde(default, skip_serializing_if = "Patch::is_absent")]
    #[schema(value_type = Strategy, required = false)]
    pub conflict_resolution: Patch<Strategy>,
    #[serde(default, skip_serializing_if = "Patch::is_absent")]
    #[schema(value_type = Option<u32>)]
    pub trash_retention_days: Patch<u32>,
    #[serde(default, skip_serializing_if = "Patch::is_absent")]
    #[schema(value_type = Option<u32>)]
    pub version_retention_days: Patch<u32>,
    #[serde(default, skip_serializing_if = "Patch::is_absent")]
    #[schema(value_type = Option<u32>)]
    pub max_versions: Patch<u32>,
}

/// A share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Share {
    pub id: String,
    pub tenant_id: String,
    pub name: String,
    pub description: Option<String>,
    pub share_type: ShareType,
    /// A user or a group.
    pub owner_id: String,
    pub is_public: bool,
    pub is_deleted: bool,
    pub quota_bytes: Option<u64>,
    pub used_bytes: u64,
    pub settings: ShareSettings,
    pub created_at: Time,
    pub modified_at: Time,
}

/// Which shares are listed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct SharesQuery {
    #[serde(default)]
    pub include_trashed: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(minimum = 1, maximum = 100, default = 50)]
    pub limit: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(minimum = 0, default = 0)]
    pub offset: Option<u32>,
}

/// Shares that the caller sees.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ShareList {
    pub shares: Vec<Share>,
    pub total: u64,
}

/// A new share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CreateShare {
    pub name: String,
    pub share_type: ShareType,
    /// A user or a group.
    pub owner_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota_bytes: Option<u64>,
    #[serde(default)]
    pub is_public: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<PatchShareSettings>,
}

/// A change of a share.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct PatchShare {
    #[serde(default, skip_serializing_if = "Patch::is_absent")]
    #[schema(value_type = String, required = false)]
    pub name: Patch<String>,
    #[serde(default, skip_serializing_if = "Patch::is_absent")]
    #[schema(value_type = Option<String>)]
    pub description: Patch<String>,
    #[serde(default, skip_serializing_if = "Patch::is_absent")]
    #[schema(value_type = PatchShareSettings, required = false)]
    pub settings: Patch<PatchShareSettings>,
    #[serde(default, skip_serializing_if = "Patch::is_absent")]
    #[schema(value_type = bool, required = false)]
    pub is_public: Patch<bool>,
    /// By administrators.
    #[serde(default, skip_serializing_if = "Patch::is_absent")]
    #[schema(value_type = Option<u64>)]
    pub quota_bytes: Patch<u64>,
}

/// A kind of principal that a share may have as a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MemberType {
    User,
    Group,
}

/// What a member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RoleName {
    Reader,
    Contributor,
    Admin,
    Owner,
}

/// A member of a share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Member {
    pub principal_type: MemberType,
    pub principal_id: String,
    pub principal_name: Option<String>,
    pub role: RoleName,
    pub expires_at: Option<Time>,
    pub created_at: Time,
}

/// The members of a share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MemberList {
    pub members: Vec<Member>,
    pub total: u64,
}

/// A new member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AddMember {
    pub principal_type: MemberType,
    pub principal_id: String,
    pub role: RoleName,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Time>,
}

/// A change of a member.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct PatchMember {
    #[serde(default, skip_serializing_if = "Patch::is_absent")]
    #[schema(value_type = RoleName, required = false)]
    pub role: Patch<RoleName>,
    #[serde(default, skip_serializing_if = "Patch::is_absent")]
    #[schema(value_type = Option<Time>)]
    pub expires_at: Patch<Time>,
}

/// What became of an invitation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum InvitationStatus {
    Pending,
    Accepted,
    Declined,
    Expired,
    Revoked,
}

/// An invitation to a share, by address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Invitation {
    pub id: String,
    pub share_id: String,
    pub email: String,
    pub role: RoleName,
    pub message: Option<String>,
    pub status: InvitationStatus,
    pub invited_by: String,
    pub created_at: Time,
    pub expires_at: Option<Time>,
}

/// Invitations to a share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct InvitationList {
    pub invitations: Vec<Invitation>,
    pub total: u64,
}

/// A new invitation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CreateInvitation {
    pub email: String,
    pub role: RoleName,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub expires_in_days: Option<u32>,
}

/// Whom a share may be opened to.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PrincipalsQuery {
    /// The beginning of a name or an address.
    pub q: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(inline)]
    pub principal_type: Option<MemberType>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(minimum = 1, maximum = 50)]
    pub limit: Option<u32>,
}

/// A user that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FoundUser {
    pub id: String,
    pub email: Option<String>,
    pub display_name: Option<String>,
}

/// A group that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FoundGroup {
    pub id: String,
    pub name: String,
}

/// Users and groups that were found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Principals {
    pub users: Vec<FoundUser>,
    pub groups: Vec<FoundGroup>,
}
