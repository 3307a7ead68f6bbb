//! Shares as a caller sees them: which there are, what is in them for whom, and who is invited.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use node_base::{InvitationId, Permission, PermissionSet, Role, ShareId};

use super::page::{Page, Pager, Reply};
use crate::access::{self, FolderFilter, Memo, Viewer};
use crate::apply::people::field::folded;
use crate::chain::Chain;
use crate::outcome::{Noun, Refusal};
use crate::table::acl::{Named, Target, Trustee};
use crate::table::item::{Children, ItemId};
use crate::table::people::{Groups, Principal, Users};
use crate::table::quota::{QuotaTarget, Quotas, Usages};
use crate::table::share::{
    Invitation, InvitationState, Invitations, InvitationsByEmail, Member, Members, PrincipalShares,
    Share, Shares,
};
use crate::table::{self};
use crate::tables::{Reader, TableError};

/// Children of one closed folder that are looked at for [`shared_items`].
const CLOSED_CHILDREN_MAX: usize = 10_000;

/// A share, and how the viewer stands to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShareView {
    pub id: ShareId,
    pub share: Share,
    /// The highest by memberships of the viewer and its groups.
    pub role: Option<Role>,
    /// What the viewer may do at the root.
    pub mask: PermissionSet,
    pub used_bytes: u64,
    pub quota_bytes: Option<u64>,
}

impl ShareView {
    fn of(tables: &dyn Reader, viewer: &Viewer, chain: Chain) -> Result<Self, TableError> {
        let target = QuotaTarget::Share(viewer.tenant(), chain.share_id);
        let roles = access::roles(tables, viewer, chain.share_id)?;
        Ok(Self {
            id: chain.share_id,
            role: roles.into_iter().map(|(_, role)| role).max(),
            mask: viewer.mask(tables, &chain)?,
            used_bytes: table::get::<Usages>(tables, &(target,))?
                .map_or(0, |usage| usage.used_bytes),
            quota_bytes: table::get::<Quotas>(tables, &(target,))?.map(|quota| quota.limit_bytes),
            share: chain.share,
        })
    }

    fn may_read(&self) -> bool {
        self.mask.contains(Permission::Read)
    }
}

/// One share; nothing where the viewer has no permission on it. It may be in the trash, and need
/// not be readable.
pub fn share(
    tables: &dyn Reader,
    viewer: &Viewer,
    share: ShareId,
) -> Result<Option<ShareView>, TableError> {
    let Some(chain) = Chain::root(tables, viewer.tenant(), share)? else { return Ok(None) };
    viewer.note(tables, &chain, Permission::Read)?;
    let view = ShareView::of(tables, viewer, chain)?;
    Ok(Some(view).filter(|view| !view.mask.is_empty() || viewer.administers()))
}

/// The shares whose root the viewer may READ, in the order they were made; to an administrator of
/// the tenant, all of them.
pub fn visible(
    tables: &dyn Reader,
    viewer: &Viewer,
    include_trashed: bool,
    offset: u64,
    limit: u32,
) -> Result<Page<ShareView>, TableError> {
    let tenant = viewer.tenant();
    let sees_all = viewer.administers() && viewer.passes_all();
    let mut candidates = BTreeSet::new();
    if sees_all {
        table::scan::<Shares>(tables, &(tenant,), &mut |(_, share), _| {
            candidates.insert(share);
            ControlFlow::Continue(())
        })?;
    } else {
        candidates = mine(tables, viewer)?;
        for trustee in trustees(viewer).filter(|trustee| *trustee != Trustee::CreatorOwner) {
            let roots = (tenant, trustee, Target::Share(ShareId::from(0)));
            table::scan_from::<Named>(tables, &(tenant, trustee), &roots, &mut |key, ()| {
                if let Target::Share(share) = key.2 {
                    candidates.insert(share);
                }
                ControlFlow::Continue(())
            })?;
        }
    }
    let mut pager = Pager::new(offset, limit);
    for share in candidates {
        let chain = Chain::root(tables, tenant, share)?;
        let shown = |chain: &Chain| include_trashed || !chain.is_trashed();
        let Some(chain) = chain.filter(shown) else { continue };
        let view = ShareView::of(tables, viewer, chain)?;
        if sees_all || view.may_read() {
            pager.push(view);
        }
    }
    Ok(pager.page())
}

/// The shares the viewer is a member of, directly or by a group, also those whose root a list
/// denies.
pub fn memberships(tables: &dyn Reader, viewer: &Viewer) -> Result<Vec<ShareView>, TableError> {
    let mut views = Vec::new();
    for share in mine(tables, viewer)? {
        let chain = Chain::root(tables, viewer.tenant(), share)?;
        let Some(chain) = chain.filter(|chain| !chain.is_trashed()) else { continue };
        let view = ShareView::of(tables, viewer, chain)?;
        if view.role.is_some() {
            views.push(view);
        }
    }
    Ok(views)
}

/// Shares that have a membership of the viewer, live or not.
fn mine(tables: &dyn Reader, viewer: &Viewer) -> Result<BTreeSet<ShareId>, TableError> {
    let mut shares = BTreeSet::new();
    for principal in viewer.principals() {
        let prefix = (viewer.tenant(), principal);
        table::scan::<PrincipalShares>(tables, &prefix, &mut |(_, _, share), ()| {
            shares.insert(share);
            ControlFlow::Continue(())
        })?;
    }
    Ok(shares)
}

pub(super) fn is_member_anywhere(tables: &dyn Reader, viewer: &Viewer) -> Result<bool, TableError> {
    for share in mine(tables, viewer)? {
        if !access::roles(tables, viewer, share)?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whom lists may name to mean the viewer, and those that mean it now and then.
fn trustees(viewer: &Viewer) -> impl Iterator<Item = Trustee> {
    let named = viewer.principals().map(Trustee::from);
    named.chain([Trustee::Everyone, Trustee::CreatorOwner])
}

/// The topmost items that the viewer may READ below something that is closed to it, in the order of
/// their ids. What an entry for `creator_owner` opens is found in the folder that has the entry,
/// not in folders below that one.
pub fn shared_items(
    tables: &dyn Reader,
    viewer: &Viewer,
    offset: u64,
    limit: u32,
) -> Result<Page<ItemId>, TableError> {
    let tenant = viewer.tenant();
    let mut named = BTreeSet::new();
    for trustee in trustees(viewer) {
        table::scan::<Named>(tables, &(tenant, trustee), &mut |(_, _, target), ()| {
            named.insert(target);
            ControlFlow::Continue(())
        })?;
    }
    let mut found = BTreeSet::new();
    let mut memo = Memo::new(viewer);
    for target in named {
        // A row may outlive what it names; trash is shown elsewhere.
        let chain = Chain::of_target(tables, tenant, target)?;
        let Some(chain) = chain.filter(|chain| !chain.is_trashed()) else { continue };
        if !viewer.mask(tables, &chain)?.contains(Permission::Read) {
            found.extend(open_children(tables, viewer, &chain)?);
        } else if let Some((id, _)) = chain.items.first() {
            let above = chain.parent();
            let above = match above.items.first() {
                Some((folder, _)) => memo.mask(tables, *folder)?.unwrap_or_default(),
                None => viewer.mask(tables, &above)?,
            };
            if !above.contains(Permission::Read) {
                found.insert(*id);
            }
        }
    }
    let mut pager = Pager::new(offset, limit);
    found.into_iter().for_each(|id| pager.push(id));
    Ok(pager.page())
}

/// What may be READ in a closed folder.
fn open_children(
    tables: &dyn Reader,
    viewer: &Viewer,
    folder: &Chain,
) -> Result<Vec<ItemId>, TableError> {
    let parent = match folder.target() {
        Target::Share(_) => None,
        Target::Item(ItemId::Folder(id)) => Some(id),
        Target::Item(ItemId::File(_)) => return Ok(Vec::new()),
    };
    let mut children = Vec::new();
    let prefix = (viewer.tenant(), folder.share_id, parent);
    table::scan::<Children>(tables, &prefix, &mut |_, child| {
        children.push(child);
        let enough = children.len() >= CLOSED_CHILDREN_MAX;
        if enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    let filter = FolderFilter::of(tables, viewer, folder)?;
    let mut open = Vec::new();
    for child in children {
        if filter.may_read(tables, &child)? {
            open.push(child.item);
        }
    }
    Ok(open)
}

/// A member, with the name to show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberView {
    pub principal: Principal,
    pub name: String,
    pub email: Option<String>,
    pub member: Member,
    /// Whether it has expired: it gives nothing any more.
    pub is_expired: bool,
}

/// The members of a share, for members, for who manages its permissions, and for administrators.
pub fn members(
    tables: &dyn Reader,
    viewer: &Viewer,
    share: ShareId,
    offset: u64,
    limit: u32,
) -> Reply<Page<MemberView>> {
    let view = match self::share(tables, viewer, share)? {
        Some(view) => view,
        None => return Ok(Err(Refusal::NotFound(Noun::Share))),
    };
    let manages = view.mask.contains(Permission::ManagePermissions);
    if view.role.is_none() && !manages && !viewer.administers() {
        return Ok(Err(Refusal::PermissionDenied));
    }
    let mut pager = Pager::new(offset, limit);
    let prefix = (viewer.tenant(), share);
    table::scan::<Members>(tables, &prefix, &mut |(_, _, principal), member| {
        pager.push((principal, member));
        ControlFlow::Continue(())
    })?;
    let Page { items, total } = pager.page();
    let mut views = Vec::with_capacity(items.len());
    for (principal, member) in items {
        let (name, email) = shown(tables, viewer, principal)?.unwrap_or_default();
        let is_expired = !access::is_live(&member, viewer.now());
        views.push(MemberView { principal, name, email, member, is_expired });
    }
    Ok(Ok(Page { items: views, total }))
}

/// The name to show for somebody, and a user's address; nothing for a group that is gone.
pub(super) fn shown(
    tables: &dyn Reader,
    viewer: &Viewer,
    principal: Principal,
) -> Result<Option<(String, Option<String>)>, TableError> {
    let tenant = viewer.tenant();
    Ok(match principal {
        Principal::User(user) => table::get::<Users>(tables, &(tenant, user))?
            .map(|user| (user.display_name, Some(user.email))),
        Principal::Group(group) => {
            table::get::<Groups>(tables, &(tenant, group))?.map(|group| (group.name, None))
        }
    })
}

/// The invitations to a share, the oldest first, for who manages its permissions.
pub fn invitations(
    tables: &dyn Reader,
    viewer: &Viewer,
    share: ShareId,
    offset: u64,
    limit: u32,
) -> Reply<Page<(InvitationId, Invitation)>> {
    match self::share(tables, viewer, share)? {
        None => return Ok(Err(Refusal::NotFound(Noun::Share))),
        Some(view) if !view.mask.contains(Permission::ManagePermissions) => {
            return Ok(Err(Refusal::PermissionDenied));
        }
        Some(_) => {}
    }
    let mut pager = Pager::new(offset, limit);
    let prefix = (viewer.tenant(), share);
    table::scan::<Invitations>(tables, &prefix, &mut |(_, _, id), row| {
        pager.push((id, row));
        ControlFlow::Continue(())
    })?;
    Ok(Ok(pager.page()))
}

/// An invitation to the viewer, with the share's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MyInvitation {
    pub id: InvitationId,
    pub share: ShareId,
    pub share_name: String,
    pub invitation: Invitation,
}

/// Invitations to the viewer's address that wait for an answer.
pub fn my_invitations(
    tables: &dyn Reader,
    viewer: &Viewer,
) -> Result<Vec<MyInvitation>, TableError> {
    let tenant = viewer.tenant();
    let Some(me) = table::get::<Users>(tables, &(tenant, viewer.user()))? else {
        return Ok(Vec::new());
    };
    let mut found = Vec::new();
    let prefix = (tenant, folded(&me.email));
    for ((_, _, id), share) in table::all::<InvitationsByEmail>(tables, &prefix)? {
        let row = table::get::<Invitations>(tables, &(tenant, share, id))?;
        let is_open = |row: &Invitation| {
            row.state == InvitationState::Pending && viewer.now() < row.expires_at
        };
        let chain = Chain::root(tables, tenant, share)?.filter(|chain| !chain.is_trashed());
        if let (Some(invitation), Some(chain)) = (row.filter(is_open), chain) {
            let share_name = chain.share.name;
            found.push(MyInvitation { id, share, share_name, invitation });
        }
    }
    Ok(found)
}
