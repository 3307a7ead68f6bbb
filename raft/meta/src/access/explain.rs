//! Why a verdict is what it is: for each permission, what decided it.

use node_base::{Permission, Role};

use super::decide::{Level, bears, names};
use super::filter::Lists;
use super::{Footing, Viewer};
use crate::chain::Chain;
use crate::table::acl::{Effect, Entry, Target};
use crate::table::people::Principal;
use crate::table::share::Members;
use crate::table::{self};
use crate::tables::{Reader, TableError};

/// How one permission was decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explained {
    pub permission: Permission,
    pub allowed: bool,
    pub by: Reason,
}

/// What decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// An entry of the list of this target.
    Entry { at: Target, entry: Entry },
    /// A membership in the share.
    Member { principal: Principal, role: Role },
    /// The share is public.
    Public,
    /// The item's owner may change its entries.
    ItemOwner,
    /// The share's owner and its administrators may change entries everywhere in it.
    ShareManager,
    /// A stored role passes every check.
    Administrator,
    /// The token's scopes leave no more.
    Scope,
    /// No entry names it: it is denied.
    Nothing,
}

/// One link of the ordered list that permissions are decided by.
struct Link {
    permissions: node_base::PermissionSet,
    effect: Effect,
    reason: Reason,
}

/// What decided each of the six permissions of the viewer on the item at the bottom of the chain.
pub fn explain(
    tables: &dyn Reader,
    viewer: &Viewer,
    chain: &Chain,
) -> Result<Vec<Explained>, TableError> {
    let lists = Lists::now(tables, viewer);
    let footing = Footing::of(&lists, chain.share_id, &chain.share)?;
    let links = links(&lists, &footing, chain)?;
    let is_owner = chain.item().is_some_and(|item| item.owner == viewer.user());
    let explained = |permission| {
        let (allowed, by) = decided(&links, viewer, &footing, is_owner, permission);
        if allowed && !viewer.cap().contains(permission) {
            return Explained { permission, allowed: false, by: Reason::Scope };
        }
        Explained { permission, allowed, by }
    };
    Ok(Permission::ALL.into_iter().map(explained).collect())
}

fn decided(
    links: &[Link],
    viewer: &Viewer,
    footing: &Footing,
    is_owner: bool,
    permission: Permission,
) -> (bool, Reason) {
    let first = links.iter().find(|link| link.permissions.contains(permission));
    let manage = permission == Permission::ManagePermissions;
    match first {
        Some(Link { effect: Effect::Allow, reason, .. }) => (true, reason.clone()),
        _ if manage && footing.manages => (true, Reason::ShareManager),
        _ if manage && is_owner && footing.is_member() => (true, Reason::ItemOwner),
        _ if viewer.passes_all() => (true, Reason::Administrator),
        Some(denied) => (false, denied.reason.clone()),
        None => (false, Reason::Nothing),
    }
}

/// Everything that bears on the viewer, nearest first.
fn links(lists: &Lists<'_>, footing: &Footing, chain: &Chain) -> Result<Vec<Link>, TableError> {
    let mut links = Vec::new();
    let is_owner = chain.item().is_some_and(|item| item.owner == lists.viewer.user());
    let mut level = Level::Own;
    for (id, item) in &chain.items {
        let (entries, inherits) = lists.of_item(*id, item)?;
        push(&mut links, lists.viewer, footing, Target::Item(*id), level, entries);
        if !inherits {
            return Ok(links);
        }
        level = Level::Above { is_owner };
    }
    let root = Target::Share(chain.share_id);
    push(&mut links, lists.viewer, footing, root, level, lists.of_share(chain.share_id)?);
    for (principal, permissions) in &footing.memberships {
        let key = (lists.viewer.tenant(), chain.share_id, *principal);
        let role = table::get::<Members>(lists.tables, &key)?.map(|member| member.role);
        let reason = Reason::Member { principal: *principal, role: role.unwrap_or(Role::Reader) };
        links.push(Link { permissions: *permissions, effect: Effect::Allow, reason });
    }
    if footing.is_public {
        let permissions = node_base::PermissionSet::READ;
        links.push(Link { permissions, effect: Effect::Allow, reason: Reason::Public });
    }
    Ok(links)
}

fn push(
    links: &mut Vec<Link>,
    viewer: &Viewer,
    footing: &Footing,
    at: Target,
    level: Level,
    entries: Vec<Entry>,
) {
    let bearing = entries.into_iter().filter(|entry| bears(entry, viewer, level));
    links.extend(bearing.map(|entry| Link {
        permissions: names(&entry, footing),
        effect: entry.effect,
        reason: Reason::Entry { at, entry },
    }));
}
