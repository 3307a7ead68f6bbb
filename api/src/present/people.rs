//! Partners, tenants, users and groups.

use api_ops::meta::table::people as rows;
use api_types::Time;
use api_types::v1::admin::{
    DedupScope, Group, GroupMember, ProvisioningSource, Tenant, TenantSettings, TenantStatus, User,
    UserStatus,
};
use api_types::v1::partners::Partner;
use api_types::v1::users::AdminRole;
use node_base::{GroupId, PartnerId, TenantId, UserId};

use super::filled;

pub const fn admin_role(role: rows::AdminRole) -> AdminRole {
    match role {
        rows::AdminRole::TenantAdmin => AdminRole::TenantAdmin,
        rows::AdminRole::PartnerAdmin => AdminRole::PartnerAdmin,
        rows::AdminRole::SuperAdmin => AdminRole::SuperAdmin,
    }
}

pub const fn admin_role_row(role: AdminRole) -> rows::AdminRole {
    match role {
        AdminRole::TenantAdmin => rows::AdminRole::TenantAdmin,
        AdminRole::PartnerAdmin => rows::AdminRole::PartnerAdmin,
        AdminRole::SuperAdmin => rows::AdminRole::SuperAdmin,
    }
}

pub const fn standing(standing: rows::Standing) -> TenantStatus {
    match standing {
        rows::Standing::Active => TenantStatus::Active,
        rows::Standing::Suspended => TenantStatus::Suspended,
    }
}

pub const fn standing_row(status: TenantStatus) -> rows::Standing {
    match status {
        TenantStatus::Active => rows::Standing::Active,
        TenantStatus::Suspended => rows::Standing::Suspended,
    }
}

pub fn partner(id: PartnerId, row: &rows::Partner) -> Partner {
    Partner {
        id: id.to_string(),
        name: row.name.clone(),
        display_name: filled(&row.display_name),
        status: standing(row.standing),
        created_at: Time(row.created_at),
    }
}

pub const fn dedup_scope(scope: rows::DedupScope) -> DedupScope {
    match scope {
        rows::DedupScope::Share => DedupScope::Share,
        rows::DedupScope::Tenant => DedupScope::Tenant,
    }
}

pub const fn dedup_scope_row(scope: DedupScope) -> rows::DedupScope {
    match scope {
        DedupScope::Share => rows::DedupScope::Share,
        DedupScope::Tenant => rows::DedupScope::Tenant,
    }
}

pub fn tenant(id: TenantId, row: &rows::Tenant) -> Tenant {
    let settings = &row.settings;
    Tenant {
        id: id.to_string(),
        partner_id: row.partner.to_string(),
        name: row.name.clone(),
        display_name: filled(&row.display_name),
        status: standing(row.standing),
        created_at: Time(row.created_at),
        settings: TenantSettings {
            max_file_size_bytes: settings.max_file_size_bytes,
            default_share_quota_bytes: settings.default_share_quota_bytes,
            trash_retention_days: settings.trash_retention_days,
            version_retention_days: settings.version_retention_days,
            max_versions: settings.max_versions,
            vectorization_enabled: settings.vectorization_enabled,
            dedup_scope: dedup_scope(settings.dedup_scope),
            external_sharing: settings.external_sharing,
        },
    }
}

pub const fn user_status(status: rows::UserStatus) -> UserStatus {
    match status {
        rows::UserStatus::Active => UserStatus::Active,
        rows::UserStatus::Pending => UserStatus::Pending,
        rows::UserStatus::Suspended => UserStatus::Suspended,
        rows::UserStatus::Inactive => UserStatus::Inactive,
        rows::UserStatus::Deleted => UserStatus::Deleted,
    }
}

pub const fn user_status_row(status: UserStatus) -> rows::UserStatus {
    match status {
        UserStatus::Active => rows::UserStatus::Active,
        UserStatus::Pending => rows::UserStatus::Pending,
        UserStatus::Suspended => rows::UserStatus::Suspended,
        UserStatus::Inactive => rows::UserStatus::Inactive,
        UserStatus::Deleted => rows::UserStatus::Deleted,
    }
}

/// A user, with the limit that is set on it.
pub fn user(tenant: TenantId, id: UserId, row: &rows::User, quota_bytes: Option<u64>) -> User {
    User {
        id: id.to_string(),
        tenant_id: tenant.to_string(),
        email: filled(&row.email),
        name: filled(&row.name),
        display_name: filled(&row.display_name),
        avatar_url: row.avatar_url.clone(),
        status: user_status(row.status),
        is_active: row.status == rows::UserStatus::Active,
        is_admin: row.admin_role.is_some(),
        admin_role: row.admin_role.map(admin_role),
        quota_bytes,
        provisioning_source: match row.source {
            rows::ProvisioningSource::BuiltIn | rows::ProvisioningSource::Admin => {
                ProvisioningSource::Manual
            }
            rows::ProvisioningSource::Token => ProvisioningSource::Jit,
        },
        last_login_at: row.last_login_at.map(Time),
    }
}

pub fn group(tenant: TenantId, id: GroupId, row: &rows::Group, member_count: u64) -> Group {
    Group {
        id: id.to_string(),
        tenant_id: tenant.to_string(),
        name: row.name.clone(),
        description: filled(&row.description),
        member_count,
        created_at: Time(row.created_at),
    }
}

pub fn group_member(id: UserId, row: &rows::User) -> GroupMember {
    GroupMember {
        user_id: id.to_string(),
        email: filled(&row.email),
        display_name: filled(&row.display_name),
    }
}

/// The text of a principal's id.
pub fn principal_id(principal: rows::Principal) -> String {
    match principal {
        rows::Principal::User(user) => user.to_string(),
        rows::Principal::Group(group) => group.to_string(),
    }
}
