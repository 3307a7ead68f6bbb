//! What somebody may do, why, and the lists that say so.

use node_base::{AceId, Permission, PermissionSet, UserId};

use super::page::Reply;
use super::share;
use crate::access::{self, Explained, Verdict, Viewer, explain};
use crate::chain::Chain;
use crate::outcome::{Invalid, Refusal};
use crate::table::acl::{AppliesTo, Effect, Entry, Lists, Membership, Target, Trustee};
use crate::table::people::{Principal, UserStatus, Users};
use crate::table::share::Members;
use crate::table::{self};
use crate::tables::{Reader, TableError};

/// The verdict on something; where the viewer may do nothing with it, it is not there.
pub fn verdict(tables: &dyn Reader, viewer: &Viewer, target: Target) -> Reply<Verdict> {
    Ok(visible(tables, viewer, target)?.map(|(_, verdict)| verdict))
}

fn visible(tables: &dyn Reader, viewer: &Viewer, target: Target) -> Reply<(Chain, Verdict)> {
    let gone = Ok(Err(Refusal::NotFound(access::noun(target))));
    let Some(chain) = Chain::of_target(tables, viewer.tenant(), target)? else { return gone };
    let verdict = viewer.verdict(tables, &chain)?;
    if verdict.mask().is_empty() {
        return gone;
    }
    Ok(Ok((chain, verdict)))
}

/// Whether the viewer has a permission on something.
pub fn check(
    tables: &dyn Reader,
    viewer: &Viewer,
    target: Target,
    permission: Permission,
) -> Reply<bool> {
    Ok(verdict(tables, viewer, target)?.map(|verdict| verdict.mask().contains(permission)))
}

/// What somebody may do with something, and for each permission why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effective {
    pub mask: PermissionSet,
    pub explained: Vec<Explained>,
}

/// What the viewer may do with something.
pub fn effective(tables: &dyn Reader, viewer: &Viewer, target: Target) -> Reply<Effective> {
    let (chain, verdict) = match visible(tables, viewer, target)? {
        Ok(visible) => visible,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let explained = explain(tables, viewer, &chain)?;
    Ok(Ok(Effective { mask: verdict.mask(), explained }))
}

/// What another user may do with something, whatever token that user has: for who may change the
/// list.
pub fn effective_of(
    tables: &dyn Reader,
    viewer: &Viewer,
    target: Target,
    user: UserId,
) -> Reply<Effective> {
    let chain = match manageable(tables, viewer, target)? {
        Ok(chain) => chain,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let row = table::get::<Users>(tables, &(viewer.tenant(), user))?;
    if row.is_none_or(|row| row.status == UserStatus::Deleted) {
        return Ok(Err(Refusal::invalid("principal_id", Invalid::UnknownPrincipal)));
    }
    let other = Viewer::of_user(tables, viewer.now(), viewer.tenant(), user)?;
    let mask = other.mask(tables, &chain)?;
    Ok(Ok(Effective { mask, explained: explain(tables, &other, &chain)? }))
}

fn manageable(tables: &dyn Reader, viewer: &Viewer, target: Target) -> Reply<Chain> {
    Ok(match visible(tables, viewer, target)? {
        Ok((_, verdict)) if !verdict.mask().contains(Permission::ManagePermissions) => {
            Err(Refusal::PermissionDenied)
        }
        Ok((chain, _)) if chain.is_trashed() => Err(Refusal::Trashed),
        Ok((chain, verdict)) => {
            viewer.note_verdict(target, verdict, Permission::ManagePermissions);
            Ok(chain)
        }
        Err(refusal) => Err(refusal),
    })
}

/// A list as it is shown: its own entries, and those that reach it from above.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AclView {
    pub inherits: bool,
    /// In the order in which they are evaluated.
    pub entries: Vec<EntryView>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryView {
    /// Nothing for a membership in the share, which is changed as such.
    pub id: Option<AceId>,
    pub trustee: Trustee,
    /// To show for a user or group that is there.
    pub name: Option<String>,
    pub effect: Effect,
    /// What it gives now: for a membership, or a copy of one, what the role gives.
    pub permissions: PermissionSet,
    pub applies_to: AppliesTo,
    pub layer: u16,
    /// Nothing for an own entry.
    pub inherited_from: Option<Target>,
}

/// The list of something, for who may change it.
pub fn acl(tables: &dyn Reader, viewer: &Viewer, target: Target) -> Reply<AclView> {
    let chain = match manageable(tables, viewer, target)? {
        Ok(chain) => chain,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let mut entries = Vec::new();
    let mut is_open = true;
    for (at, (id, item)) in chain.items.iter().enumerate() {
        let from = (at > 0).then_some(Target::Item(*id));
        show(tables, viewer, &chain, Target::Item(*id), from, &mut entries)?;
        is_open = item.inherits;
        if !is_open {
            break;
        }
    }
    if is_open {
        let root = Target::Share(chain.share_id);
        let from = chain.item().map(|_| root);
        show(tables, viewer, &chain, root, from, &mut entries)?;
        for membership in memberships(tables, viewer, &chain)? {
            entries.extend(show_membership(tables, viewer, &chain, membership, from)?);
        }
    }
    let inherits = chain.item().is_some_and(|item| item.inherits);
    Ok(Ok(AclView { inherits, entries }))
}

/// Shows the entries of one list; from above only those that reach down.
fn show(
    tables: &dyn Reader,
    viewer: &Viewer,
    chain: &Chain,
    target: Target,
    inherited_from: Option<Target>,
    entries: &mut Vec<EntryView>,
) -> Result<(), TableError> {
    let list = table::get::<Lists>(tables, &(viewer.tenant(), target))?.unwrap_or_default();
    let reaches =
        |entry: &Entry| inherited_from.is_none() || entry.applies_to != AppliesTo::ThisOnly;
    for entry in list.into_iter().filter(reaches) {
        let permissions = match entry.membership {
            Some(membership) => gives(tables, viewer, chain, membership)?,
            None => entry.permissions,
        };
        entries.push(EntryView {
            id: Some(entry.id),
            trustee: entry.trustee,
            name: name(tables, viewer, entry.trustee)?,
            effect: entry.effect,
            permissions,
            applies_to: entry.applies_to,
            layer: entry.layer,
            inherited_from,
        });
    }
    Ok(())
}

fn memberships(
    tables: &dyn Reader,
    viewer: &Viewer,
    chain: &Chain,
) -> Result<Vec<Membership>, TableError> {
    let share = chain.share_id;
    let rows = table::all::<Members>(tables, &(viewer.tenant(), share))?;
    let principals = rows.into_iter().map(|((_, _, principal), _)| Some(principal));
    let public = chain.share.is_public.then_some(None);
    Ok(principals.chain(public).map(|principal| Membership { share, principal }).collect())
}

/// A membership as an entry; nothing for one that has expired.
fn show_membership(
    tables: &dyn Reader,
    viewer: &Viewer,
    chain: &Chain,
    membership: Membership,
    inherited_from: Option<Target>,
) -> Result<Option<EntryView>, TableError> {
    let permissions = gives(tables, viewer, chain, membership)?;
    if permissions.is_empty() {
        return Ok(None);
    }
    let trustee = membership.principal.map_or(Trustee::Everyone, Trustee::from);
    Ok(Some(EntryView {
        id: None,
        trustee,
        name: name(tables, viewer, trustee)?,
        effect: Effect::Allow,
        permissions,
        applies_to: AppliesTo::ThisAndChildren,
        layer: 0,
        inherited_from,
    }))
}

/// What a membership gives whoever it is of, now.
fn gives(
    tables: &dyn Reader,
    viewer: &Viewer,
    chain: &Chain,
    membership: Membership,
) -> Result<PermissionSet, TableError> {
    if membership.share != chain.share_id {
        return Ok(PermissionSet::NONE);
    }
    let Some(principal) = membership.principal else {
        let public = chain.share.is_public;
        return Ok(if public { PermissionSet::READ } else { PermissionSet::NONE });
    };
    let row = table::get::<Members>(tables, &(viewer.tenant(), chain.share_id, principal))?;
    let live = row.filter(|member| access::is_live(member, viewer.now()));
    Ok(live.map_or(PermissionSet::NONE, |member| member.role.permissions()))
}

fn name(
    tables: &dyn Reader,
    viewer: &Viewer,
    trustee: Trustee,
) -> Result<Option<String>, TableError> {
    let principal = match trustee {
        Trustee::User(user) => Principal::User(user),
        Trustee::Group(group) => Principal::Group(group),
        Trustee::Everyone | Trustee::CreatorOwner => return Ok(None),
    };
    Ok(share::shown(tables, viewer, principal)?.map(|(name, _)| name))
}
