//! Who there is, and who may speak.
//!
//! Lists of people are for administrators, whom the caller of these functions has checked with
//! [`Viewer::require_role`]; what everybody may ask takes a viewer and judges for itself.

use std::ops::ControlFlow;

use node_base::{GroupId, PartnerId, Permission, TenantId, Timestamp, UserId};

use super::page::{Page, Pager, Reply};
use crate::access::Viewer;
use crate::apply::people::field::folded;
use crate::caller::{Scope, UserCaller};
use crate::chain::Chain;
use crate::outcome::{Noun, Refusal};
use crate::table::acl::Target;
use crate::table::people::{
    AdminRole, Favorites, Group, GroupMembers, Groups, Partner, Partners, Standing, Tenant,
    Tenants, User, UserGroups, UserStatus, Users, UsersByEmail,
};
use crate::table::{self};
use crate::tables::{Reader, TableError};

/// Whether a signed-in user may speak at all, now: its own status, its tenant's, its partner's.
pub fn admit(tables: &dyn Reader, caller: &UserCaller) -> Reply<()> {
    let Some(user) = table::get::<Users>(tables, &(caller.tenant, caller.user))? else {
        return Ok(Err(Refusal::NotFound(Noun::User)));
    };
    match user.status {
        UserStatus::Active => {}
        UserStatus::Pending | UserStatus::Suspended | UserStatus::Inactive => {
            return Ok(Err(Refusal::Suspended));
        }
        UserStatus::Deleted => return Ok(Err(Refusal::NotFound(Noun::User))),
    }
    let Some(tenant) = table::get::<Tenants>(tables, &(caller.tenant,))? else {
        return Ok(Err(Refusal::NotFound(Noun::Tenant)));
    };
    let partner = table::get::<Partners>(tables, &(tenant.partner,))?;
    let stands = tenant.standing == Standing::Active
        && partner.is_some_and(|partner| partner.standing == Standing::Active);
    Ok(if stands { Ok(()) } else { Err(Refusal::Suspended) })
}

/// Whether the viewer administers this partner, or, without one, all of them. To who administers
/// another, it is not there.
pub fn require_partner_admin(
    tables: &dyn Reader,
    viewer: &Viewer,
    partner: Option<PartnerId>,
) -> Reply<()> {
    let all = viewer.require_role(Scope::AdminAll, AdminRole::SuperAdmin);
    let Some(partner) = partner.filter(|_| all.is_err()) else { return Ok(all) };
    if let Err(refusal) = viewer.require_role(Scope::PartnerAdmin, AdminRole::PartnerAdmin) {
        return Ok(Err(refusal));
    }
    let tenant = table::get::<Tenants>(tables, &(viewer.tenant(),))?;
    Ok(match tenant {
        Some(tenant) if tenant.partner == partner => Ok(()),
        _ => Err(Refusal::NotFound(Noun::Partner)),
    })
}

pub fn partner(tables: &dyn Reader, partner: PartnerId) -> Result<Option<Partner>, TableError> {
    table::get::<Partners>(tables, &(partner,))
}

pub fn partners(
    tables: &dyn Reader,
    offset: u64,
    limit: u32,
) -> Result<Page<(PartnerId, Partner)>, TableError> {
    let mut pager = Pager::new(offset, limit);
    table::scan::<Partners>(tables, &(), &mut |(id,), row| {
        pager.push((id, row));
        ControlFlow::Continue(())
    })?;
    Ok(pager.page())
}

pub fn tenant(tables: &dyn Reader, tenant: TenantId) -> Result<Option<Tenant>, TableError> {
    table::get::<Tenants>(tables, &(tenant,))
}

/// The tenants of a partner, or of all.
pub fn tenants(
    tables: &dyn Reader,
    partner: Option<PartnerId>,
    offset: u64,
    limit: u32,
) -> Result<Page<(TenantId, Tenant)>, TableError> {
    let mut pager = Pager::new(offset, limit);
    table::scan::<Tenants>(tables, &(), &mut |(id,), row| {
        if partner.is_none_or(|partner| partner == row.partner) {
            pager.push((id, row));
        }
        ControlFlow::Continue(())
    })?;
    Ok(pager.page())
}

/// A user, also one that is deleted: what it made still has a maker.
pub fn user(
    tables: &dyn Reader,
    tenant: TenantId,
    user: UserId,
) -> Result<Option<User>, TableError> {
    table::get::<Users>(tables, &(tenant, user))
}

/// The user who has this address now, however it is written.
pub fn user_by_email(
    tables: &dyn Reader,
    tenant: TenantId,
    email: &str,
) -> Result<Option<(UserId, User)>, TableError> {
    let id = table::get::<UsersByEmail>(tables, &(tenant, folded(email)))?;
    with_row(tables, tenant, id)
}

fn with_row(
    tables: &dyn Reader,
    tenant: TenantId,
    id: Option<UserId>,
) -> Result<Option<(UserId, User)>, TableError> {
    let Some(id) = id else { return Ok(None) };
    Ok(table::get::<Users>(tables, &(tenant, id))?.map(|row| (id, row)))
}

/// Which users are asked for. What is not set does not matter; but deleted ones are found only by
/// their status.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserFilter {
    /// Part of the address or of a name, however it is written.
    pub search: Option<String>,
    pub status: Option<UserStatus>,
    pub is_admin: Option<bool>,
}

impl UserFilter {
    fn takes(&self, row: &User) -> bool {
        let status = match self.status {
            Some(status) => row.status == status,
            None => row.status != UserStatus::Deleted,
        };
        status
            && self.is_admin.is_none_or(|is_admin| is_admin == row.admin_role.is_some())
            && self.search.as_deref().is_none_or(|search| is_found(&folded(search), row))
    }
}

fn is_found(search: &str, row: &User) -> bool {
    [&row.email, &row.name, &row.display_name].iter().any(|text| folded(text).contains(search))
}

/// The users of a tenant that the filter takes, in the order they were made.
pub fn users(
    tables: &dyn Reader,
    tenant: TenantId,
    filter: &UserFilter,
    offset: u64,
    limit: u32,
) -> Result<Page<(UserId, User)>, TableError> {
    let mut pager = Pager::new(offset, limit);
    table::scan::<Users>(tables, &(tenant,), &mut |(_, id), row| {
        if filter.takes(&row) {
            pager.push((id, row));
        }
        ControlFlow::Continue(())
    })?;
    Ok(pager.page())
}

pub fn group(
    tables: &dyn Reader,
    tenant: TenantId,
    group: GroupId,
) -> Result<Option<Group>, TableError> {
    table::get::<Groups>(tables, &(tenant, group))
}

/// The groups of a tenant, or those with this in their name.
pub fn groups(
    tables: &dyn Reader,
    tenant: TenantId,
    search: Option<&str>,
    offset: u64,
    limit: u32,
) -> Result<Page<(GroupId, Group)>, TableError> {
    let search = search.map(folded);
    let mut pager = Pager::new(offset, limit);
    table::scan::<Groups>(tables, &(tenant,), &mut |(_, id), row| {
        if search.as_deref().is_none_or(|search| folded(&row.name).contains(search)) {
            pager.push((id, row));
        }
        ControlFlow::Continue(())
    })?;
    Ok(pager.page())
}

/// The users in a group, in the order of their ids.
pub fn group_members(
    tables: &dyn Reader,
    tenant: TenantId,
    group: GroupId,
    offset: u64,
    limit: u32,
) -> Result<Page<(UserId, User)>, TableError> {
    let mut pager = Pager::new(offset, limit);
    table::scan::<GroupMembers>(tables, &(tenant, group), &mut |(_, _, user), ()| {
        pager.push(user);
        ControlFlow::Continue(())
    })?;
    let Page { items, total } = pager.page();
    let mut users = Vec::with_capacity(items.len());
    for user in items {
        users.extend(with_row(tables, tenant, Some(user))?);
    }
    Ok(Page { items: users, total })
}

/// The groups that a user is in.
pub fn groups_of(
    tables: &dyn Reader,
    tenant: TenantId,
    user: UserId,
) -> Result<Vec<(GroupId, Group)>, TableError> {
    let mut groups = Vec::new();
    for ((_, _, id), ()) in table::all::<UserGroups>(tables, &(tenant, user))? {
        groups.extend(table::get::<Groups>(tables, &(tenant, id))?.map(|row| (id, row)));
    }
    Ok(groups)
}

/// The viewer's favorites, the newest first: those that are there and may be READ.
pub fn favorites(
    tables: &dyn Reader,
    viewer: &Viewer,
) -> Result<Vec<(Target, Timestamp)>, TableError> {
    let mut found = Vec::new();
    let prefix = (viewer.tenant(), viewer.user());
    for ((_, _, target), at) in table::all::<Favorites>(tables, &prefix)? {
        let chain = Chain::of_target(tables, viewer.tenant(), target)?;
        let Some(chain) = chain.filter(|chain| !chain.is_trashed()) else { continue };
        if viewer.mask(tables, &chain)?.contains(Permission::Read) {
            found.push((target, at));
        }
    }
    found.sort_by_key(|(target, at)| (std::cmp::Reverse(*at), *target));
    Ok(found)
}

/// Somebody whom a share can be shared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    User { id: UserId, email: String, display_name: String },
    Group { id: GroupId, name: String },
}

/// Active users and groups with this in their address or name, at most `limit` of each kind that is
/// asked for. For members of any share, and administrators.
pub fn search_principals(
    tables: &dyn Reader,
    viewer: &Viewer,
    search: &str,
    (users, groups): (bool, bool),
    limit: u32,
) -> Reply<Vec<Found>> {
    if !viewer.administers() && !super::share::is_member_anywhere(tables, viewer)? {
        return Ok(Err(Refusal::PermissionDenied));
    }
    let (search, limit) = (folded(search), limit as usize);
    let mut found = Vec::new();
    if users && limit > 0 {
        table::scan::<Users>(tables, &(viewer.tenant(),), &mut |(_, id), row| {
            if row.status == UserStatus::Active && is_found(&search, &row) {
                let User { email, display_name, .. } = row;
                found.push(Found::User { id, email, display_name });
            }
            if found.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
    }
    let most = found.len() + limit;
    if groups && limit > 0 {
        table::scan::<Groups>(tables, &(viewer.tenant(),), &mut |(_, id), row| {
            if folded(&row.name).contains(&search) {
                found.push(Found::Group { id, name: row.name });
            }
            if found.len() < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
    }
    Ok(Ok(found))
}
