//! Invitations: by address, answered by the user who has it.

use node_base::{Duration, InvitationId, Role, ShareId, TenantId, UserId, limits};

use super::{manageable, member, record};
use crate::access;
use crate::apply::people::field;
use crate::apply::{Step, Stop};
use crate::chain::Chain;
use crate::outcome::{Answer, Expired, Invalid, Noun, Refusal};
use crate::table::people::{Principal, Users, UsersByEmail};
use crate::table::share::{Invitation, InvitationState, Invitations, InvitationsByEmail};
use crate::table::{self};

const DAYS_MAX: u64 = 365;

/// What an invitation says.
pub(super) struct Invite<'a> {
    pub(super) email: &'a str,
    pub(super) role: Role,
    pub(super) message: Option<&'a str>,
    pub(super) days: u32,
}

fn span(days: u32) -> Duration {
    Duration::from_secs(u64::from(days) * 24 * 3600)
}

pub(super) fn invite(
    step: &mut Step<'_>,
    share: ShareId,
    invite: &Invite<'_>,
) -> Result<Answer, Stop> {
    let (tenant, _) = manageable(step, share)?;
    let (_, invited_by) = step.who()?;
    member::check_role(invite.role)?;
    field::email("email", invite.email)?;
    field::description("message", invite.message.unwrap_or_default())?;
    field::within("expires_in_days", u64::from(invite.days), 1, DAYS_MAX)?;
    require_new(step, tenant, share, invite.email)?;
    let invitation: InvitationId = step.new_id();
    let row = Invitation {
        email: invite.email.to_owned(),
        role: invite.role,
        message: invite.message.map(str::to_owned),
        invited_by,
        created_at: step.now,
        sent_at: step.now,
        expires_at: step.now.after(span(invite.days)),
        state: InvitationState::Pending,
    };
    table::put::<Invitations>(step.tables, &(tenant, share, invitation), &row)?;
    let by_email = (tenant, field::folded(invite.email), invitation);
    table::put::<InvitationsByEmail>(step.tables, &by_email, &share)?;
    note(step, tenant, share, "share.invitation_created", &row)?;
    Ok(Answer::Invitation { share, invitation })
}

/// Nobody is invited twice at a time, nor who is a member already.
fn require_new(step: &Step<'_>, tenant: TenantId, share: ShareId, email: &str) -> Result<(), Stop> {
    let folded = field::folded(email);
    let rows = table::all::<Invitations>(step.reader(), &(tenant, share))?;
    let is_open =
        |row: &Invitation| row.state == InvitationState::Pending && step.now < row.expires_at;
    let open = rows.iter().filter(|(_, row)| is_open(row));
    let mut same = open.clone().filter(|(_, row)| field::folded(&row.email) == folded);
    if same.next().is_some() {
        return Err(Refusal::AlreadyExists.into());
    }
    if open.count() >= limits::INVITATIONS_MAX {
        let most = Invalid::TooMany { max: limits::INVITATIONS_MAX as u64 };
        return Err(Refusal::invalid("email", most).into());
    }
    if let Some(user) = table::get::<UsersByEmail>(step.reader(), &(tenant, folded))?
        && member::live_role(step, tenant, share, Principal::User(user))?.is_some()
    {
        return Err(Refusal::AlreadyExists.into());
    }
    Ok(())
}

fn load(
    step: &Step<'_>,
    tenant: TenantId,
    share: ShareId,
    invitation: InvitationId,
) -> Result<Invitation, Stop> {
    let row = table::get::<Invitations>(step.reader(), &(tenant, share, invitation))?;
    let row = row.ok_or(Refusal::NotFound(Noun::Invitation))?;
    access::require_row::<Invitations>(step, &row)?;
    Ok(row)
}

fn require_pending(row: &Invitation) -> Result<(), Refusal> {
    match row.state {
        InvitationState::Pending => Ok(()),
        InvitationState::Accepted { .. } | InvitationState::Declined { .. } => {
            Err(Refusal::AlreadyExists)
        }
    }
}

/// Sent anew, it is good for as long as it was at first; one that had expired as well.
pub(super) fn resend(
    step: &mut Step<'_>,
    share: ShareId,
    invitation: InvitationId,
) -> Result<Answer, Stop> {
    let (tenant, _) = manageable(step, share)?;
    let mut row = load(step, tenant, share, invitation)?;
    require_pending(&row)?;
    let good_for = row.expires_at.since(row.sent_at);
    row.sent_at = step.now;
    row.expires_at = step.now.after(good_for);
    table::put::<Invitations>(step.tables, &(tenant, share, invitation), &row)?;
    note(step, tenant, share, "share.invitation_resent", &row)?;
    Ok(Answer::Invitation { share, invitation })
}

pub(super) fn revoke(
    step: &mut Step<'_>,
    share: ShareId,
    invitation: InvitationId,
) -> Result<Answer, Stop> {
    let (tenant, _) = manageable(step, share)?;
    let row = load(step, tenant, share, invitation)?;
    table::delete::<Invitations>(step.tables, &(tenant, share, invitation))?;
    let by_email = (tenant, field::folded(&row.email), invitation);
    table::delete::<InvitationsByEmail>(step.tables, &by_email)?;
    note(step, tenant, share, "share.invitation_revoked", &row)?;
    Ok(Answer::Done)
}

/// Only who has the invited address answers; to all others the invitation is not there.
pub(super) fn answer(
    step: &mut Step<'_>,
    invitation: InvitationId,
    accept: bool,
) -> Result<Answer, Stop> {
    let (tenant, user) = step.who()?;
    let me = table::get::<Users>(step.reader(), &(tenant, user))?;
    let me = me.ok_or(Refusal::NotFound(Noun::User))?;
    let by_email = (tenant, field::folded(&me.email), invitation);
    let share = table::get::<InvitationsByEmail>(step.reader(), &by_email)?;
    let share = share.ok_or(Refusal::NotFound(Noun::Invitation))?;
    let chain = Chain::root(step.reader(), tenant, share)?.filter(|chain| !chain.is_trashed());
    let chain = chain.ok_or(Refusal::NotFound(Noun::Invitation))?;
    let mut row = load(step, tenant, share, invitation)?;
    require_pending(&row)?;
    if row.expires_at <= step.now {
        return Err(Refusal::Expired(Expired::Invitation).into());
    }
    let at = step.now;
    if accept {
        enter(step, tenant, &chain, user, row.role)?;
        row.state = InvitationState::Accepted { at, by: user };
    } else {
        row.state = InvitationState::Declined { at, by: user };
    }
    table::put::<Invitations>(step.tables, &(tenant, share, invitation), &row)?;
    let action = if accept { "share.invitation_accepted" } else { "share.invitation_declined" };
    note(step, tenant, share, action, &row)?;
    Ok(Answer::Invitation { share, invitation })
}

/// Who is a member already keeps the higher role.
fn enter(
    step: &mut Step<'_>,
    tenant: TenantId,
    chain: &Chain,
    user: UserId,
    role: Role,
) -> Result<(), Stop> {
    let principal = Principal::User(user);
    match member::live_role(step, tenant, chain.share_id, principal)? {
        Some(has) if has >= role => Ok(()),
        _ => member::join(step, tenant, chain, principal, role, None),
    }
}

fn note(
    step: &mut Step<'_>,
    tenant: TenantId,
    share: ShareId,
    action: &'static str,
    row: &Invitation,
) -> Result<(), Stop> {
    let payload = vec![("email", row.email.clone()), ("role", row.role.name().to_owned())];
    record(step, tenant, action, share, payload)
}
