//! The six permissions, and the roles made of them.

use std::fmt;
use std::ops::{BitAnd, BitOr, Not};

use serde::{Deserialize, Serialize};

/// One thing that may be allowed or denied on an item.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Permission {
    Read,
    Write,
    Delete,
    Create,
    Share,
    ManagePermissions,
}

impl Permission {
    /// All six, in the order of their bits.
    pub const ALL: [Self; 6] =
        [Self::Read, Self::Write, Self::Delete, Self::Create, Self::Share, Self::ManagePermissions];

    /// The bit in a mask.
    pub const fn bit(self) -> u8 {
        1 << self as u8
    }

    /// The name in requests and answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "READ",
            Self::Write => "WRITE",
            Self::Delete => "DELETE",
            Self::Create => "CREATE",
            Self::Share => "SHARE",
            Self::ManagePermissions => "MANAGE_PERMISSIONS",
        }
    }

    /// The permission of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|permission| permission.name() == name)
    }
}

/// A mask of permissions.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct PermissionSet(u8);

impl PermissionSet {
    pub const NONE: Self = Self(0);
    pub const ALL: Self = Self(0b11_1111);
    pub const READ: Self = Self(Permission::Read.bit());

    /// The mask with these bits; nothing when a bit has no meaning.
    pub const fn from_bits(bits: u8) -> Option<Self> {
        if bits & !Self::ALL.0 == 0 { Some(Self(bits)) } else { None }
    }

    pub const fn bits(self) -> u8 {
        self.0
    }

    pub const fn contains(self, permission: Permission) -> bool {
        self.0 & permission.bit() != 0
    }

    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The permissions in it, in the order of their bits.
    pub fn iter(self) -> impl Iterator<Item = Permission> {
        Permission::ALL.into_iter().filter(move |permission| self.contains(*permission))
    }
}

impl From<Permission> for PermissionSet {
    fn from(permission: Permission) -> Self {
        Self(permission.bit())
    }
}

impl FromIterator<Permission> for PermissionSet {
    fn from_iter<I: IntoIterator<Item = Permission>>(permissions: I) -> Self {
        Self(permissions.into_iter().fold(0, |bits, permission| bits | permission.bit()))
    }
}

impl BitOr for PermissionSet {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitAnd for PermissionSet {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl Not for PermissionSet {
    type Output = Self;

    fn not(self) -> Self {
        Self(!self.0 & Self::ALL.0)
    }
}

impl fmt::Debug for PermissionSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(Permission::name)).finish()
    }
}

/// What a member of a share is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Role {
    Reader,
    Contributor,
    Admin,
    Owner,
}

impl Role {
    pub const ALL: [Self; 4] = [Self::Reader, Self::Contributor, Self::Admin, Self::Owner];

    /// The mask of the role's entry at the share's root.
    pub const fn permissions(self) -> PermissionSet {
        match self {
            Self::Reader => PermissionSet::READ,
            Self::Contributor => PermissionSet(0b00_1111),
            Self::Admin | Self::Owner => PermissionSet::ALL,
        }
    }

    /// The name in requests and answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reader => "reader",
            Self::Contributor => "contributor",
            Self::Admin => "admin",
            Self::Owner => "owner",
        }
    }

    /// The role of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::{Permission, PermissionSet, Role};

    #[test]
    fn bits_are_those_of_the_contract() {
        let bits: Vec<u8> = Permission::ALL.into_iter().map(Permission::bit).collect();
        assert_eq!(bits, [1, 2, 4, 8, 16, 32]);
        assert_eq!(PermissionSet::from_bits(64), None);
        assert_eq!(PermissionSet::from_iter(PermissionSet::ALL.iter()), PermissionSet::ALL);
    }

    #[test]
    fn a_contributor_may_not_share() {
        let mask = Role::Contributor.permissions();
        assert!(mask.contains(Permission::Create) && !mask.contains(Permission::Share));
        assert_eq!(Role::from_name("admin"), Some(Role::Admin));
        assert_eq!(
            Permission::from_name("MANAGE_PERMISSIONS"),
            Some(Permission::ManagePermissions)
        );
    }
}
