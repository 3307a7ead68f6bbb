//! The pure core: what a list of entries decides for one caller.

use node_base::PermissionSet;

use super::{Footing, Viewer};
use crate::table::acl::{AppliesTo, Effect, Entry, Trustee};

/// What has been decided so far, walking from near to far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Decision {
    pub(super) allowed: PermissionSet,
    decided: PermissionSet,
}

impl Decision {
    fn note(&mut self, permissions: PermissionSet, effect: Effect) {
        if effect == Effect::Allow {
            self.allowed = self.allowed | (permissions & !self.decided);
        }
        self.decided = self.decided | permissions;
    }

    /// What comes of it when farther lists decide what is still open.
    pub(super) fn then(self, farther: Self) -> Self {
        Self {
            allowed: self.allowed | (farther.allowed & !self.decided),
            decided: self.decided | farther.decided,
        }
    }

    pub(super) fn is_open(self, permissions: PermissionSet) -> bool {
        !(permissions & !self.decided).is_empty()
    }
}

/// Where an entry's list lies, seen from the item that is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    /// It is the item's own.
    Own,
    /// It is handed down, to an item that the caller owns or not.
    Above { is_owner: bool },
}

/// Brings a list into the order in which it is evaluated: by layer, deny before allow. The rest of
/// the order only makes it one order.
pub(crate) fn sort(entries: &mut [Entry]) {
    entries.sort_by_key(|e| (e.layer, e.effect, e.trustee, e.applies_to, e.membership, e.id));
}

/// Whether an entry speaks of this caller, on an item at this level.
pub(super) fn bears(entry: &Entry, viewer: &Viewer, level: Level) -> bool {
    let reaches = match (level, entry.applies_to) {
        (_, AppliesTo::ThisAndChildren) => true,
        (Level::Own, AppliesTo::ThisOnly) | (Level::Above { .. }, AppliesTo::ChildrenOnly) => true,
        (Level::Own, AppliesTo::ChildrenOnly) | (Level::Above { .. }, AppliesTo::ThisOnly) => false,
    };
    reaches
        && match entry.trustee {
            Trustee::User(user) => user == viewer.user(),
            Trustee::Group(group) => viewer.groups.binary_search(&group).is_ok(),
            Trustee::Everyone => true,
            Trustee::CreatorOwner => level == Level::Above { is_owner: true },
        }
}

/// What an entry names: a copied membership gives what the membership gives now.
pub(super) fn names(entry: &Entry, footing: &Footing) -> PermissionSet {
    entry.membership.map_or(entry.permissions, |membership| footing.gives(membership))
}

/// What one list, in its order, decides.
pub(super) fn decide(
    entries: &[Entry],
    viewer: &Viewer,
    footing: &Footing,
    level: Level,
) -> Decision {
    let mut decision = Decision::default();
    for entry in entries.iter().filter(|entry| bears(entry, viewer, level)) {
        decision.note(names(entry, footing), entry.effect);
    }
    decision
}

/// What being a member, and the share's being public, decide at its root.
pub(super) fn decide_membership(footing: &Footing) -> Decision {
    let mut decision = Decision::default();
    for (_, permissions) in &footing.memberships {
        decision.note(*permissions, Effect::Allow);
    }
    if footing.is_public {
        decision.note(PermissionSet::READ, Effect::Allow);
    }
    decision
}
