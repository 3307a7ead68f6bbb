//! Members of a share: who, with which role, until when.

use node_base::{Role, ShareId, TenantId, Timestamp, limits};

use super::{load, manageable, record};
use crate::access;
use crate::apply::people::field;
use crate::apply::{Step, Stop, permission};
use crate::chain::Chain;
use crate::outcome::{Answer, Invalid, Noun, Refusal};
use crate::table::people::Principal;
use crate::table::share::{Member, Members, PrincipalShares};
use crate::table::{self};
use crate::tables::TableError;

/// Writes a membership and the row that finds it from the other side.
pub(crate) fn put_member(
    step: &mut Step<'_>,
    tenant: TenantId,
    share: ShareId,
    principal: Principal,
    member: &Member,
) -> Result<(), TableError> {
    table::put::<Members>(step.tables, &(tenant, share, principal), member)?;
    table::put::<PrincipalShares>(step.tables, &(tenant, principal, share), &())
}

/// Removes a membership, whatever its role.
pub(crate) fn drop_member_row(
    step: &mut Step<'_>,
    tenant: TenantId,
    share: ShareId,
    principal: Principal,
) -> Result<(), TableError> {
    table::delete::<Members>(step.tables, &(tenant, share, principal))?;
    table::delete::<PrincipalShares>(step.tables, &(tenant, principal, share))
}

/// Removes the membership of a user or group that ceases to be. The owner's stays with the share,
/// for an administrator to give it away.
pub(crate) fn drop_member(
    step: &mut Step<'_>,
    tenant: TenantId,
    share: ShareId,
    principal: Principal,
) -> Result<(), TableError> {
    match table::get::<Members>(step.reader(), &(tenant, share, principal))? {
        Some(member) if member.role == Role::Owner => Ok(()),
        _ => drop_member_row(step, tenant, share, principal),
    }
}

/// The role a membership gives now; nothing for none, or one that has expired.
pub(super) fn live_role(
    step: &Step<'_>,
    tenant: TenantId,
    share: ShareId,
    principal: Principal,
) -> Result<Option<Role>, TableError> {
    let member = table::get::<Members>(step.reader(), &(tenant, share, principal))?;
    let live = member.filter(|member| access::is_live(member, step.now));
    Ok(live.map(|member| member.role))
}

pub(super) fn check_role(role: Role) -> Result<(), Refusal> {
    match role {
        Role::Owner => Err(field::rule("role", "cannot be owner: transfer the ownership")),
        Role::Reader | Role::Contributor | Role::Admin => Ok(()),
    }
}

fn check_end(step: &Step<'_>, expires_at: Option<Timestamp>) -> Result<(), Refusal> {
    match expires_at {
        Some(end) if end <= step.now => Err(field::rule("expires_at", "is in the past")),
        _ => Ok(()),
    }
}

pub(super) fn add(
    step: &mut Step<'_>,
    share: ShareId,
    principal: Principal,
    role: Role,
    expires_at: Option<Timestamp>,
) -> Result<Answer, Stop> {
    let (tenant, chain) = manageable(step, share)?;
    check_role(role)?;
    check_end(step, expires_at)?;
    permission::require_known(step.reader(), tenant, principal)?;
    if live_role(step, tenant, share, principal)?.is_some() {
        return Err(Refusal::AlreadyExists.into());
    }
    join(step, tenant, &chain, principal, role, expires_at)?;
    Ok(Answer::Done)
}

/// Makes somebody a member who is none now; told and recorded.
pub(super) fn join(
    step: &mut Step<'_>,
    tenant: TenantId,
    chain: &Chain,
    principal: Principal,
    role: Role,
    expires_at: Option<Timestamp>,
) -> Result<(), Stop> {
    let share = chain.share_id;
    let members = table::all::<Members>(step.reader(), &(tenant, share))?;
    if members.len() >= limits::SHARE_MEMBERS_MAX {
        let most = Invalid::TooMany { max: limits::SHARE_MEMBERS_MAX as u64 };
        return Err(Refusal::invalid("principal_id", most).into());
    }
    let (added_by, added_at) = (step.who()?.1, step.now);
    let member = Member { role, expires_at, added_by, added_at };
    put_member(step, tenant, share, principal, &member)?;
    tell(step, tenant, chain, principal, None)?;
    note(step, tenant, share, "share.member_added", principal, Some(role))
}

/// A membership that is there, and that is not the owner's.
fn load_member(
    step: &Step<'_>,
    tenant: TenantId,
    share: ShareId,
    principal: Principal,
) -> Result<Member, Stop> {
    let member = table::get::<Members>(step.reader(), &(tenant, share, principal))?;
    match member {
        None => Err(Refusal::NotFound(Noun::Member).into()),
        Some(member) if member.role == Role::Owner => {
            let sentence = "is the owner: transfer the ownership";
            Err(field::rule("principal_id", sentence).into())
        }
        Some(member) => {
            access::require_row::<Members>(step, &member)?;
            Ok(member)
        }
    }
}

pub(super) fn update(
    step: &mut Step<'_>,
    share: ShareId,
    principal: Principal,
    role: Option<Role>,
    expires_at: Option<Option<Timestamp>>,
) -> Result<Answer, Stop> {
    let (tenant, chain) = manageable(step, share)?;
    let mut member = load_member(step, tenant, share, principal)?;
    let before = live_role(step, tenant, share, principal)?;
    if let Some(role) = role {
        check_role(role)?;
        member.role = role;
    }
    if let Some(expires_at) = expires_at {
        check_end(step, expires_at)?;
        member.expires_at = expires_at;
    }
    put_member(step, tenant, share, principal, &member)?;
    tell(step, tenant, &chain, principal, before)?;
    note(step, tenant, share, "share.member_updated", principal, Some(member.role))?;
    Ok(Answer::Done)
}

/// By who manages the share's permissions; and everybody may leave.
pub(super) fn remove(
    step: &mut Step<'_>,
    share: ShareId,
    principal: Principal,
) -> Result<Answer, Stop> {
    let caller = step.user()?;
    let leaves = principal == Principal::User(caller.user)
        && caller.scopes.contains(crate::caller::Scope::FilesWrite)
        && live_role(step, caller.tenant, share, principal)?.is_some();
    let (tenant, chain) = if leaves { load(step, share)? } else { manageable(step, share)? };
    load_member(step, tenant, share, principal)?;
    let before = live_role(step, tenant, share, principal)?;
    drop_member_row(step, tenant, share, principal)?;
    tell(step, tenant, &chain, principal, before)?;
    note(step, tenant, share, "share.member_removed", principal, None)?;
    Ok(Answer::Done)
}

/// The change row: what it reveals to or hides from whom is found out for each reader.
fn tell(
    step: &mut Step<'_>,
    tenant: TenantId,
    chain: &Chain,
    principal: Principal,
    before: Option<Role>,
) -> Result<(), Stop> {
    let (tables, gave) = (step.reader(), permission::given(before));
    let before = permission::membership_before(tables, tenant, chain, Some(principal), gave)?;
    permission::tell(step, tenant, chain, before)
}

fn note(
    step: &mut Step<'_>,
    tenant: TenantId,
    share: ShareId,
    action: &'static str,
    principal: Principal,
    role: Option<Role>,
) -> Result<(), Stop> {
    let id = match principal {
        Principal::User(user) => user.to_string(),
        Principal::Group(group) => group.to_string(),
    };
    let role = role.map(|role| ("role", role.name().to_owned()));
    let payload = std::iter::once(("principal_id", id)).chain(role).collect();
    record(step, tenant, action, share, payload)
}
