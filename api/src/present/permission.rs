//! Permissions, lists of entries, and why a permission is as it is.

use api_ops::meta::access;
use api_ops::meta::table::acl::{self as rows, Target, Trustee};
use api_types::v1::ResourceType;
use api_types::v1::permissions::{
    AceType, AppliesTo, Effective, Explained, PermissionName, PrincipalType, Reason,
};
use node_base::{Permission, PermissionSet};

use super::item::{item_id, item_type};
use super::people::principal_id;

pub const fn permission(permission: Permission) -> PermissionName {
    match permission {
        Permission::Read => PermissionName::Read,
        Permission::Write => PermissionName::Write,
        Permission::Delete => PermissionName::Delete,
        Permission::Create => PermissionName::Create,
        Permission::Share => PermissionName::Share,
        Permission::ManagePermissions => PermissionName::ManagePermissions,
    }
}

pub const fn permission_row(name: PermissionName) -> Permission {
    match name {
        PermissionName::Read => Permission::Read,
        PermissionName::Write => Permission::Write,
        PermissionName::Delete => Permission::Delete,
        PermissionName::Create => Permission::Create,
        PermissionName::Share => Permission::Share,
        PermissionName::ManagePermissions => Permission::ManagePermissions,
    }
}

pub fn permissions(set: PermissionSet) -> Vec<PermissionName> {
    set.iter().map(permission).collect()
}

/// What kind of thing a list belongs to, and the text of its id.
pub fn target(target: Target) -> (ResourceType, String) {
    match target {
        Target::Share(share) => (ResourceType::Share, share.to_string()),
        Target::Item(item) => (item_type(item), item_id(item)),
    }
}

/// Whom an entry names: the kind, and the text of the id where there is one.
pub fn trustee(trustee: Trustee) -> (PrincipalType, Option<String>) {
    match trustee {
        Trustee::User(user) => (PrincipalType::User, Some(user.to_string())),
        Trustee::Group(group) => (PrincipalType::Group, Some(group.to_string())),
        Trustee::Everyone => (PrincipalType::Everyone, None),
        Trustee::CreatorOwner => (PrincipalType::CreatorOwner, None),
    }
}

pub const fn effect(effect: rows::Effect) -> AceType {
    match effect {
        rows::Effect::Allow => AceType::Allow,
        rows::Effect::Deny => AceType::Deny,
    }
}

pub const fn effect_row(kind: AceType) -> rows::Effect {
    match kind {
        AceType::Allow => rows::Effect::Allow,
        AceType::Deny => rows::Effect::Deny,
    }
}

pub const fn applies_to(applies: rows::AppliesTo) -> AppliesTo {
    match applies {
        rows::AppliesTo::ThisAndChildren => AppliesTo::ThisAndChildren,
        rows::AppliesTo::ThisOnly => AppliesTo::ThisOnly,
        rows::AppliesTo::ChildrenOnly => AppliesTo::ChildrenOnly,
    }
}

pub const fn applies_to_row(applies: AppliesTo) -> rows::AppliesTo {
    match applies {
        AppliesTo::ThisAndChildren => rows::AppliesTo::ThisAndChildren,
        AppliesTo::ThisOnly => rows::AppliesTo::ThisOnly,
        AppliesTo::ChildrenOnly => rows::AppliesTo::ChildrenOnly,
    }
}

/// What somebody may do, and why.
pub fn effective(mask: PermissionSet, explained: &[access::Explained]) -> Effective {
    Effective {
        can_read: mask.contains(Permission::Read),
        can_write: mask.contains(Permission::Write),
        can_delete: mask.contains(Permission::Delete),
        can_create: mask.contains(Permission::Create),
        can_share: mask.contains(Permission::Share),
        can_manage_permissions: mask.contains(Permission::ManagePermissions),
        mask: mask.bits(),
        permissions: permissions(mask),
        explain: explained.iter().map(explain).collect(),
    }
}

fn explain(told: &access::Explained) -> Explained {
    let plain = |reason| Explained {
        permission: permission(told.permission),
        allowed: told.allowed,
        reason,
        ace_id: None,
        ace_type: None,
        principal_type: None,
        principal_id: None,
        resource_type: None,
        resource_id: None,
    };
    match &told.by {
        access::Reason::Entry { at, entry } => {
            let (principal_type, principal_id) = trustee(entry.trustee);
            let (resource_type, resource_id) = target(*at);
            Explained {
                ace_id: Some(entry.id.to_string()),
                ace_type: Some(effect(entry.effect)),
                principal_type: Some(principal_type),
                principal_id,
                resource_type: Some(resource_type),
                resource_id: Some(resource_id),
                ..plain(Reason::Entry)
            }
        }
        // A membership is an entry of the share's root that has no id of its own.
        access::Reason::Member { principal, .. } => Explained {
            ace_type: Some(AceType::Allow),
            principal_type: Some(trustee((*principal).into()).0),
            principal_id: Some(principal_id(*principal)),
            resource_type: Some(ResourceType::Share),
            ..plain(Reason::Entry)
        },
        access::Reason::Public => Explained {
            ace_type: Some(AceType::Allow),
            principal_type: Some(PrincipalType::Everyone),
            resource_type: Some(ResourceType::Share),
            ..plain(Reason::Entry)
        },
        access::Reason::ItemOwner | access::Reason::ShareManager => plain(Reason::Owner),
        access::Reason::Administrator => plain(Reason::Administrator),
        access::Reason::Scope => plain(Reason::Scope),
        access::Reason::Nothing => plain(Reason::NoEntry),
    }
}
