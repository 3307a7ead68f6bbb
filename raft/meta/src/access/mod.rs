//! Who may do what: the one evaluator that every surface asks.
//!
//! From an item up to its share's root, or to the first that does not inherit, lie lists of
//! entries. The first entry that names a permission and the caller decides it; what none decides is
//! denied. What a stretch of lists has decided composes with the stretch above it: so a folder's
//! answer for its children is computed once, and each child adds its own list to it
//! ([`FolderFilter`]). A few rules stand outside the lists: owners and share administrators may
//! always change lists, administrators of the tenant pass everywhere, a token's scopes cap it all.
//!
//! Who was removed from a share, or whose membership expired, is found out here, at each question:
//! nothing is rewritten when rights change.

mod decide;
mod explain;
mod filter;
mod pass;
mod require;
#[cfg(test)]
mod tests;

use node_base::{GroupId, Permission, PermissionSet, Role, ShareId, TenantId, Timestamp, UserId};

use crate::caller::{Scope, Scopes, UserCaller};
use crate::chain::Chain;
use crate::outcome::Refusal;
use crate::table::acl::{Membership, Target};
use crate::table::change::ListBefore;
use crate::table::people::{AdminRole, Principal, UserGroups, Users};
use crate::table::share::{Member, Members, Share};
use crate::table::{self};
use crate::tables::{Reader, TableError};

pub(crate) use decide::sort;
pub use explain::{Explained, Reason, explain};
pub use filter::{FolderFilter, Memo};
pub use pass::{Extent, Pass};
pub(crate) use require::{
    id_text, noun, require, require_admin, require_below, require_partner_admin, require_revision,
    require_row, require_verdict,
};

use filter::Lists;
use pass::Passes;

/// A caller with everything the evaluator needs to know of it, looked up once.
#[derive(Debug, Clone)]
pub struct Viewer {
    pub caller: UserCaller,
    /// In the order of their ids.
    groups: Vec<GroupId>,
    admin_role: Option<AdminRole>,
    now: Timestamp,
    passes: Passes,
}

impl Viewer {
    /// Looks the caller up: its groups and its stored role. Expiry is judged by `now`, log time.
    pub fn of(
        tables: &dyn Reader,
        now: Timestamp,
        caller: &UserCaller,
    ) -> Result<Self, TableError> {
        let key = (caller.tenant, caller.user);
        let groups = table::all::<UserGroups>(tables, &key)?;
        let user = table::get::<Users>(tables, &key)?;
        Ok(Self {
            caller: caller.clone(),
            groups: groups.into_iter().map(|((_, _, group), ())| group).collect(),
            admin_role: user.and_then(|user| user.admin_role),
            now,
            passes: Passes::default(),
        })
    }

    /// What a user may do with a token that caps nothing: for asking about somebody else.
    pub fn of_user(
        tables: &dyn Reader,
        now: Timestamp,
        tenant: TenantId,
        user: UserId,
    ) -> Result<Self, TableError> {
        let scopes = Scopes::ALL;
        let (service_account, ip, user_agent) = (None, None, None);
        Self::of(tables, now, &UserCaller { tenant, user, scopes, service_account, ip, user_agent })
    }

    pub fn tenant(&self) -> TenantId {
        self.caller.tenant
    }

    pub fn user(&self) -> UserId {
        self.caller.user
    }

    /// Log time, by which memberships expire for this viewer.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    pub fn admin_role(&self) -> Option<AdminRole> {
        self.admin_role
    }

    /// Whether the stored role passes every check of the lists in the tenant.
    pub fn passes_all(&self) -> bool {
        matches!(self.admin_role, Some(AdminRole::TenantAdmin | AdminRole::SuperAdmin))
    }

    /// Whether the viewer may make administrative calls for the tenant: by stored role and scope.
    pub fn administers(&self) -> bool {
        self.require_role(Scope::TenantAdmin, AdminRole::TenantAdmin).is_ok()
    }

    /// Whether the token has the scope and the stored role is at least this.
    ///
    /// # Errors
    /// What the viewer lacks.
    pub fn require_role(&self, scope: Scope, least: AdminRole) -> Result<(), Refusal> {
        if !self.caller.scopes.contains(scope) {
            return Err(Refusal::ScopeMissing(scope));
        }
        match self.admin_role {
            Some(role) if role >= least => Ok(()),
            _ => Err(Refusal::RoleMissing),
        }
    }

    /// Whom entries and memberships may name to mean the viewer: itself and its groups.
    pub fn principals(&self) -> impl Iterator<Item = Principal> {
        let groups = self.groups.iter().copied().map(Principal::Group);
        std::iter::once(Principal::User(self.user())).chain(groups)
    }

    pub fn is(&self, principal: Principal) -> bool {
        match principal {
            Principal::User(user) => user == self.user(),
            Principal::Group(group) => self.groups.binary_search(&group).is_ok(),
        }
    }

    /// What the token leaves of any mask.
    fn cap(&self) -> PermissionSet {
        let scopes = self.caller.scopes;
        if scopes.contains(Scope::FilesWrite) {
            PermissionSet::ALL
        } else if scopes.contains(Scope::FilesRead) {
            PermissionSet::READ
        } else {
            PermissionSet::NONE
        }
    }

    /// What the viewer may do with the item at the bottom of the chain.
    pub fn mask(&self, tables: &dyn Reader, chain: &Chain) -> Result<PermissionSet, TableError> {
        Ok(self.verdict(tables, chain)?.mask())
    }

    /// The same, with what it is made of.
    pub fn verdict(&self, tables: &dyn Reader, chain: &Chain) -> Result<Verdict, TableError> {
        filter::verdict(&Lists::now(tables, self), chain)
    }

    /// Whether the viewer could READ the item at the bottom of the chain if the rights on `target`,
    /// one of the chain, still were as they were `before`. Everything else is as it is now.
    pub fn could_read(
        &self,
        tables: &dyn Reader,
        chain: &Chain,
        target: Target,
        before: &ListBefore,
    ) -> Result<bool, TableError> {
        let mut viewer = self.clone();
        if let Some(grouping) = before.grouping.filter(|grouping| grouping.user == self.user()) {
            match (viewer.groups.binary_search(&grouping.group), grouping.was_in) {
                (Ok(at), false) => drop(viewer.groups.remove(at)),
                (Err(at), true) => viewer.groups.insert(at, grouping.group),
                (Ok(_), true) | (Err(_), false) => {}
            }
        }
        let lists = Lists { tables, viewer: &viewer, before: Some((target, before)) };
        Ok(filter::verdict(&lists, chain)?.mask().contains(Permission::Read))
    }
}

/// What the evaluator found, before it is one mask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// What the lists allow, and what owners have beside them.
    pub listed: PermissionSet,
    /// Whether a stored role passes whatever the lists say.
    pub passes_all: bool,
    /// What the token leaves.
    pub cap: PermissionSet,
}

impl Verdict {
    /// What the caller may do.
    pub fn mask(self) -> PermissionSet {
        self.uncapped() & self.cap
    }

    /// What the caller could do with a token that caps nothing.
    pub fn uncapped(self) -> PermissionSet {
        if self.passes_all { PermissionSet::ALL } else { self.listed }
    }

    /// Whether only the stored role lets this pass: that is worth an audit event.
    pub fn is_override(self, permission: Permission) -> bool {
        self.mask().contains(permission) && !self.listed.contains(permission)
    }
}

/// The roles in a share that the viewer has by memberships of its own and of its groups.
pub fn roles(
    tables: &dyn Reader,
    viewer: &Viewer,
    share: ShareId,
) -> Result<Vec<(Principal, Role)>, TableError> {
    let mut roles = Vec::new();
    for principal in viewer.principals() {
        let member = table::get::<Members>(tables, &(viewer.tenant(), share, principal))?;
        let live = member.filter(|member| is_live(member, viewer.now));
        roles.extend(live.map(|member| (principal, member.role)));
    }
    Ok(roles)
}

/// How a viewer stands to a share, beside what lists say.
#[derive(Debug, Clone)]
struct Footing {
    share: ShareId,
    /// The viewer's own, direct and by group, those that are not expired.
    memberships: Vec<(Principal, PermissionSet)>,
    is_public: bool,
    manages: bool,
}

impl Footing {
    /// `before` stands in for the memberships it speaks of.
    fn of(lists: &Lists<'_>, share_id: ShareId, share: &Share) -> Result<Self, TableError> {
        let viewer = lists.viewer;
        let before = lists.before_of(Target::Share(share_id));
        let mut footing = Self {
            share: share_id,
            memberships: Vec::new(),
            is_public: share.is_public,
            manages: viewer.is(share.owner),
        };
        for (principal, role) in roles(lists.tables, viewer, share_id)? {
            footing.manages |= role >= Role::Admin;
            footing.memberships.push((principal, role.permissions()));
        }
        for entry in before.into_iter().flat_map(|before| &before.entries) {
            match entry.membership {
                Some(Membership { principal: Some(principal), .. }) if viewer.is(principal) => {
                    footing.memberships.retain(|(other, _)| *other != principal);
                    if !entry.permissions.is_empty() {
                        footing.memberships.push((principal, entry.permissions));
                    }
                }
                Some(Membership { principal: None, .. }) => {
                    footing.is_public = !entry.permissions.is_empty();
                }
                _ => {}
            }
        }
        Ok(footing)
    }

    /// What a membership, or the share's being public, gives this viewer.
    fn gives(&self, membership: Membership) -> PermissionSet {
        match membership.principal {
            _ if membership.share != self.share => PermissionSet::NONE,
            None if self.is_public => PermissionSet::READ,
            None => PermissionSet::NONE,
            Some(principal) => {
                let mine = self.memberships.iter().find(|(other, _)| *other == principal);
                mine.map_or(PermissionSet::NONE, |(_, permissions)| *permissions)
            }
        }
    }

    fn is_member(&self) -> bool {
        !self.memberships.is_empty()
    }
}

/// Whether a membership counts at this time.
pub(crate) fn is_live(member: &Member, now: Timestamp) -> bool {
    member.expires_at.is_none_or(|end| now < end)
}
