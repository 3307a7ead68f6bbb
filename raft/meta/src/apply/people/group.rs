//! Groups and who is in them.

use std::ops::ControlFlow;

use node_base::{GroupId, TenantId, UserId, limits};

use super::field;
use crate::access;
use crate::apply::audit::{self, Draft};
use crate::apply::{Step, Stop, permission, share};
use crate::outcome::{Answer, Invalid, Noun, Refusal};
use crate::table::audit::Category;
use crate::table::change::Grouping;
use crate::table::people::{
    Group, GroupMembers, Groups, GroupsByName, Principal, UserGroups, UserStatus, Users,
};
use crate::table::share::PrincipalShares;
use crate::table::{self};
use crate::tables::{Reader, TableError};

/// Rows of the change log that deleting a group may write: one for each member and share.
const DELETE_CHANGES_MAX: usize = 10_000;

pub(super) fn create(step: &mut Step<'_>, name: &str, description: &str) -> Result<Answer, Stop> {
    access::require_admin(step)?;
    let (tenant, _) = step.who()?;
    field::description("description", description)?;
    let group: GroupId = step.new_id();
    take_name(step, tenant, group, name)?;
    let row =
        Group { name: name.to_owned(), description: description.to_owned(), created_at: step.now };
    table::put::<Groups>(step.tables, &(tenant, group), &row)?;
    record(step, tenant, "group.created", group, vec![("name", row.name)])?;
    Ok(Answer::Group(group))
}

fn take_name(
    step: &mut Step<'_>,
    tenant: TenantId,
    group: GroupId,
    name: &str,
) -> Result<(), Stop> {
    field::display_name("name", name)?;
    let key = (tenant, field::folded(name));
    match table::get::<GroupsByName>(step.reader(), &key)? {
        Some(other) if other != group => Err(Refusal::NameConflict { item: None }.into()),
        _ => Ok(table::put::<GroupsByName>(step.tables, &key, &group)?),
    }
}

fn load(step: &Step<'_>, group: GroupId) -> Result<(TenantId, Group), Stop> {
    access::require_admin(step)?;
    let (tenant, _) = step.who()?;
    let row = table::get::<Groups>(step.reader(), &(tenant, group))?;
    let row = row.ok_or(Refusal::NotFound(Noun::Group))?;
    access::require_row::<Groups>(step, &row)?;
    Ok((tenant, row))
}

pub(super) fn update(
    step: &mut Step<'_>,
    group: GroupId,
    name: Option<&str>,
    description: Option<&str>,
) -> Result<Answer, Stop> {
    let (tenant, mut row) = load(step, group)?;
    if let Some(name) = name {
        take_name(step, tenant, group, name)?;
        if field::folded(name) != field::folded(&row.name) {
            let old = (tenant, field::folded(&row.name));
            table::delete::<GroupsByName>(step.tables, &old)?;
        }
        name.clone_into(&mut row.name);
    }
    if let Some(description) = description {
        field::description("description", description)?;
        description.clone_into(&mut row.description);
    }
    table::put::<Groups>(step.tables, &(tenant, group), &row)?;
    record(step, tenant, "group.updated", group, vec![("name", row.name)])?;
    Ok(Answer::Group(group))
}

/// Its memberships in shares go with it; a share that it owns stays, for administrators to give to
/// somebody.
pub(super) fn delete(step: &mut Step<'_>, group: GroupId) -> Result<Answer, Stop> {
    let (tenant, row) = load(step, group)?;
    let shares = shares_of(step.reader(), tenant, group)?;
    let users = users_of(step.reader(), tenant, group)?;
    if users.len().saturating_mul(shares.len()) > DELETE_CHANGES_MAX {
        return Err(field::rule("id", "has too many users and shares: remove some first").into());
    }
    for user in users {
        unlink(step, tenant, group, user)?;
        tell_shares(step, tenant, Grouping { user, group, was_in: true })?;
    }
    for of in shares {
        share::drop_member(step, tenant, of, Principal::Group(group))?;
    }
    table::delete::<GroupsByName>(step.tables, &(tenant, field::folded(&row.name)))?;
    table::delete::<Groups>(step.tables, &(tenant, group))?;
    record(step, tenant, "group.deleted", group, vec![("name", row.name)])?;
    Ok(Answer::Done)
}

pub(super) fn add(step: &mut Step<'_>, group: GroupId, user: UserId) -> Result<Answer, Stop> {
    let (tenant, _) = load(step, group)?;
    match table::get::<Users>(step.reader(), &(tenant, user))? {
        Some(row) if row.status != UserStatus::Deleted => {}
        _ => return Err(Refusal::invalid("user_id", Invalid::UnknownPrincipal).into()),
    }
    if table::has::<GroupMembers>(step.reader(), &(tenant, group, user))? {
        return Err(Refusal::AlreadyExists.into());
    }
    let groups = table::all::<UserGroups>(step.reader(), &(tenant, user))?;
    if groups.len() >= limits::USER_GROUPS_MAX {
        let most = Invalid::TooMany { max: limits::USER_GROUPS_MAX as u64 };
        return Err(Refusal::invalid("user_id", most).into());
    }
    table::put::<GroupMembers>(step.tables, &(tenant, group, user), &())?;
    table::put::<UserGroups>(step.tables, &(tenant, user, group), &())?;
    tell_shares(step, tenant, Grouping { user, group, was_in: false })?;
    record(step, tenant, "group.member_added", group, vec![("user_id", user.to_string())])?;
    Ok(Answer::Done)
}

pub(super) fn remove(step: &mut Step<'_>, group: GroupId, user: UserId) -> Result<Answer, Stop> {
    let (tenant, _) = load(step, group)?;
    if !table::has::<GroupMembers>(step.reader(), &(tenant, group, user))? {
        return Err(Refusal::NotFound(Noun::Member).into());
    }
    unlink(step, tenant, group, user)?;
    tell_shares(step, tenant, Grouping { user, group, was_in: true })?;
    record(step, tenant, "group.member_removed", group, vec![("user_id", user.to_string())])?;
    Ok(Answer::Done)
}

/// Takes a user out of a group, and tells nobody.
pub(super) fn unlink(
    step: &mut Step<'_>,
    tenant: TenantId,
    group: GroupId,
    user: UserId,
) -> Result<(), TableError> {
    table::delete::<GroupMembers>(step.tables, &(tenant, group, user))?;
    table::delete::<UserGroups>(step.tables, &(tenant, user, group))
}

/// One change in each share that the group is a member of: those who follow learn what the user
/// gained or lost there.
fn tell_shares(step: &mut Step<'_>, tenant: TenantId, grouping: Grouping) -> Result<(), Stop> {
    for of in shares_of(step.reader(), tenant, grouping.group)? {
        permission::tell_grouping(step, tenant, of, grouping)?;
    }
    Ok(())
}

fn shares_of(
    tables: &dyn Reader,
    tenant: TenantId,
    group: GroupId,
) -> Result<Vec<node_base::ShareId>, TableError> {
    let rows = table::all::<PrincipalShares>(tables, &(tenant, Principal::Group(group)))?;
    Ok(rows.into_iter().map(|((_, _, share), ())| share).collect())
}

/// The users of a group, in the order of their ids.
fn users_of(
    tables: &dyn Reader,
    tenant: TenantId,
    group: GroupId,
) -> Result<Vec<UserId>, TableError> {
    let mut users = Vec::new();
    table::scan::<GroupMembers>(tables, &(tenant, group), &mut |(_, _, user), ()| {
        users.push(user);
        ControlFlow::Continue(())
    })?;
    Ok(users)
}

fn record(
    step: &mut Step<'_>,
    tenant: TenantId,
    action: &'static str,
    group: GroupId,
    payload: Vec<(&'static str, String)>,
) -> Result<(), Stop> {
    audit::record(step, tenant, Draft::info(Category::Admin, action, group, payload))
}
