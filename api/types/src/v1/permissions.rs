//! Section 6: permissions.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::ResourceType;

/// One thing that may be allowed or denied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum PermissionName {
    Read,
    Write,
    Delete,
    Create,
    Share,
    ManagePermissions,
}

/// One question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Check {
    #[param(inline)]
    pub resource_type: ResourceType,
    pub resource_id: String,
    #[param(inline)]
    pub permission: PermissionName,
}

/// The answer to one question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Checked {
    pub allowed: bool,
}

/// Many questions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CheckBatch {
    #[schema(max_items = 100)]
    pub checks: Vec<Check>,
}

/// A question with its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CheckResult {
    pub resource_type: ResourceType,
    pub resource_id: String,
    pub permission: PermissionName,
    pub allowed: bool,
}

/// Answers, in the order of the questions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CheckResults {
    pub results: Vec<CheckResult>,
}

/// Whose permissions on what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct EffectiveQuery {
    #[param(inline)]
    pub resource_type: ResourceType,
    pub resource_id: String,
    /// Absent: the caller's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal_id: Option<String>,
}

/// A kind of principal that an entry may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PrincipalType {
    User,
    Group,
    Everyone,
    CreatorOwner,
}

/// Whether an entry gives or takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AceType {
    Allow,
    Deny,
}

/// How far down an entry reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AppliesTo {
    ThisAndChildren,
    ThisOnly,
    ChildrenOnly,
}

/// What decided one permission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The entry named beside it.
    Entry,
    /// No entry names it, so it is denied.
    NoEntry,
    /// The caller administers the tenant.
    Administrator,
    /// The caller owns the item or the share, or is an administrator of the share.
    Owner,
    /// The token's scopes leave it out.
    Scope,
}

/// Why one permission is as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Explained {
    pub permission: PermissionName,
    pub allowed: bool,
    pub reason: Reason,
    /// The entry that decided.
    pub ace_id: Option<String>,
    pub ace_type: Option<AceType>,
    pub principal_type: Option<PrincipalType>,
    pub principal_id: Option<String>,
    /// The item that has the entry.
    pub resource_type: Option<ResourceType>,
    pub resource_id: Option<String>,
}

/// What a principal may do with an item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[allow(clippy::struct_excessive_bools, reason = "the contract has a field for each permission")]
pub struct Effective {
    pub can_read: bool,
    pub can_write: bool,
    pub can_delete: bool,
    pub can_create: bool,
    pub can_share: bool,
    pub can_manage_permissions: bool,
    /// READ 1, WRITE 2, DELETE 4, CREATE 8, SHARE 16, MANAGE_PERMISSIONS 32.
    pub mask: u8,
    pub permissions: Vec<PermissionName>,
    pub explain: Vec<Explained>,
}

/// An entry of an item's list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AclEntry {
    pub id: String,
    pub principal_type: PrincipalType,
    /// Null for everyone and the owner-to-be.
    pub principal_id: Option<String>,
    pub principal_name: Option<String>,
    pub permissions: Vec<PermissionName>,
    pub ace_type: AceType,
    pub applies_to: AppliesTo,
    pub inherit_to_children: bool,
    /// 0 for an entry made here, n for one copied from n levels up.
    pub layer: u32,
    /// The item above that has it; null for an own one.
    pub inherited_from: Option<String>,
}

/// An item's list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Acl {
    pub resource_type: ResourceType,
    pub resource_id: String,
    pub inherit_from_parent: bool,
    pub entries: Vec<AclEntry>,
}

/// A new entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AddAclEntry {
    pub principal_type: PrincipalType,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal_id: Option<String>,
    #[schema(min_items = 1)]
    pub permissions: Vec<PermissionName>,
    pub ace_type: AceType,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applies_to: Option<AppliesTo>,
    /// Short for `applies_to`: `this_and_children` or `this_only`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inherit_to_children: Option<bool>,
}

/// Which entries go: the one of this id, or all that match.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct RemoveAclEntry {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal_type: Option<PrincipalType>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ace_type: Option<AceType>,
}

/// Whether an item takes what its parent has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SetInheritance {
    pub inherit_from_parent: bool,
    #[serde(default)]
    pub copy_inherited: bool,
    #[serde(default = "yes")]
    #[schema(default = true)]
    pub keep_caller: bool,
}

fn yes() -> bool {
    true
}

/// Who owns an item from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TransferOwnership {
    pub new_owner_id: String,
}
