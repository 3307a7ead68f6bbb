//! Shares, members and invitations.

use api_ops::meta::table::people::Principal;
use api_ops::meta::table::share as rows;
use api_types::Time;
use api_types::v1::shares::{
    Invitation, InvitationStatus, Member, MemberType, NamePolicyName, RoleName, Share,
    ShareSettings, ShareType,
};
use node_base::{InvitationId, NamePolicy, Role, ShareId, TenantId, Timestamp};

use super::conflict::strategy;
use super::filled;
use super::people::principal_id;

pub const fn share_type(kind: rows::ShareKind) -> ShareType {
    match kind {
        rows::ShareKind::Central => ShareType::Central,
        rows::ShareKind::Personal => ShareType::Personal,
        rows::ShareKind::Project => ShareType::Project,
    }
}

pub const fn share_kind_row(kind: ShareType) -> rows::ShareKind {
    match kind {
        ShareType::Central => rows::ShareKind::Central,
        ShareType::Personal => rows::ShareKind::Personal,
        ShareType::Project => rows::ShareKind::Project,
    }
}

pub const fn role(role: Role) -> RoleName {
    match role {
        Role::Reader => RoleName::Reader,
        Role::Contributor => RoleName::Contributor,
        Role::Admin => RoleName::Admin,
        Role::Owner => RoleName::Owner,
    }
}

pub const fn role_row(role: RoleName) -> Role {
    match role {
        RoleName::Reader => Role::Reader,
        RoleName::Contributor => Role::Contributor,
        RoleName::Admin => Role::Admin,
        RoleName::Owner => Role::Owner,
    }
}

pub const fn name_policy_row(policy: NamePolicyName) -> NamePolicy {
    match policy {
        NamePolicyName::Portable => NamePolicy::Portable,
        NamePolicyName::Any => NamePolicy::Any,
    }
}

/// A share, with the limit that is set on it and what counts against that.
pub fn share(
    tenant: TenantId,
    id: ShareId,
    row: &rows::Share,
    quota_bytes: Option<u64>,
    used_bytes: u64,
) -> Share {
    Share {
        id: id.to_string(),
        tenant_id: tenant.to_string(),
        name: row.name.clone(),
        description: filled(&row.description),
        share_type: share_type(row.kind),
        owner_id: principal_id(row.owner),
        is_public: row.is_public,
        is_deleted: row.trashed.is_some(),
        quota_bytes,
        used_bytes,
        settings: ShareSettings {
            name_policy: match row.settings.name_policy {
                NamePolicy::Portable => NamePolicyName::Portable,
                NamePolicy::Any => NamePolicyName::Any,
            },
            conflict_resolution: strategy(row.settings.conflict_resolution),
            trash_retention_days: row.settings.trash_retention_days,
            version_retention_days: row.settings.version_retention_days,
            max_versions: row.settings.max_versions,
        },
        created_at: Time(row.created_at),
        modified_at: Time(row.modified_at),
    }
}

pub const fn member_type(principal: Principal) -> MemberType {
    match principal {
        Principal::User(_) => MemberType::User,
        Principal::Group(_) => MemberType::Group,
    }
}

pub fn member(principal: Principal, name: Option<String>, row: &rows::Member) -> Member {
    Member {
        principal_type: member_type(principal),
        principal_id: principal_id(principal),
        principal_name: name,
        role: role(row.role),
        expires_at: row.expires_at.map(Time),
        created_at: Time(row.added_at),
    }
}

/// What has become of an invitation by `now`.
pub fn invitation_status(row: &rows::Invitation, now: Timestamp) -> InvitationStatus {
    match row.state {
        rows::InvitationState::Pending if row.expires_at <= now => InvitationStatus::Expired,
        rows::InvitationState::Pending => InvitationStatus::Pending,
        rows::InvitationState::Accepted { .. } => InvitationStatus::Accepted,
        rows::InvitationState::Declined { .. } => InvitationStatus::Declined,
    }
}

pub fn invitation(
    share: ShareId,
    id: InvitationId,
    row: &rows::Invitation,
    now: Timestamp,
) -> Invitation {
    Invitation {
        id: id.to_string(),
        share_id: share.to_string(),
        email: row.email.clone(),
        role: role(row.role),
        message: row.message.clone(),
        status: invitation_status(row, now),
        invited_by: row.invited_by.to_string(),
        created_at: Time(row.created_at),
        expires_at: Some(Time(row.expires_at)),
    }
}
