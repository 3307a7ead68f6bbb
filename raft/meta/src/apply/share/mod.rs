//! Shares: made, changed, given up, restored; their members; invitations to them.

mod invitation;
mod life;
mod member;
#[cfg(test)]
mod tests;

use node_base::{Permission, ShareId, TenantId};

use super::audit::{self, Draft};
use super::feed;
use super::{Step, Stop};
use crate::access::{self, Viewer, id_text};
use crate::caller::Scope;
use crate::chain::Chain;
use crate::command::ShareCommand;
use crate::outcome::{Answer, Noun, Refusal};
use crate::table::acl::Target;
use crate::table::audit::Category;
use crate::table::change::ChangeKind;
use crate::table::people::Principal;

pub(crate) use life::make_personal;
pub(crate) use member::{drop_member, drop_member_row, put_member};

pub(crate) fn run(step: &mut Step<'_>, command: &ShareCommand) -> Result<Answer, Stop> {
    match command {
        ShareCommand::Create {
            name,
            description,
            kind,
            owner,
            is_public,
            quota_bytes,
            settings,
        } => {
            let new = life::NewShare {
                name,
                description,
                kind: *kind,
                owner: *owner,
                is_public: *is_public,
                quota_bytes: *quota_bytes,
                settings,
            };
            life::create(step, &new)
        }
        ShareCommand::Update { share, name, description, is_public, settings, quota_bytes } => {
            let update = life::Update {
                name: name.as_deref(),
                description: description.as_deref(),
                is_public: *is_public,
                settings: settings.as_ref(),
                quota_bytes: *quota_bytes,
            };
            life::update(step, *share, &update)
        }
        ShareCommand::Delete { share } => life::delete(step, *share),
        ShareCommand::Restore { share } => life::restore(step, *share),
        ShareCommand::Purge { share } => life::purge(step, *share),
        ShareCommand::AddMember { share, principal, role, expires_at } => {
            member::add(step, *share, *principal, *role, *expires_at)
        }
        ShareCommand::UpdateMember { share, principal, role, expires_at } => {
            member::update(step, *share, *principal, *role, *expires_at)
        }
        ShareCommand::RemoveMember { share, principal } => member::remove(step, *share, *principal),
        ShareCommand::Invite { share, email, role, message, days } => {
            let invite =
                invitation::Invite { email, role: *role, message: message.as_deref(), days: *days };
            invitation::invite(step, *share, &invite)
        }
        ShareCommand::ResendInvitation { share, invitation } => {
            invitation::resend(step, *share, *invitation)
        }
        ShareCommand::RevokeInvitation { share, invitation } => {
            invitation::revoke(step, *share, *invitation)
        }
        ShareCommand::AnswerInvitation { invitation, accept } => {
            invitation::answer(step, *invitation, *accept)
        }
    }
}

/// A share as the caller names it, with its tenant.
fn load(step: &Step<'_>, share: ShareId) -> Result<(TenantId, Chain), Stop> {
    let (tenant, _) = step.who()?;
    let chain = Chain::root(step.reader(), tenant, share)?;
    Ok((tenant, chain.ok_or(Refusal::NotFound(Noun::Share))?))
}

/// A share that is not in the trash, in which the caller may manage permissions.
fn manageable(step: &mut Step<'_>, share: ShareId) -> Result<(TenantId, Chain), Stop> {
    let (tenant, chain) = load(step, share)?;
    access::require(step, &chain, Permission::ManagePermissions)?;
    if chain.is_trashed() {
        return Err(Refusal::Trashed.into());
    }
    Ok((tenant, chain))
}

/// Goes on only for the owner of the thing at the bottom of the chain, or an administrator of the
/// tenant. To who has no permission on it, it is not there.
pub(crate) fn require_owner(
    step: &mut Step<'_>,
    chain: &Chain,
    owner: Principal,
) -> Result<(), Stop> {
    let viewer = Viewer::of(step.reader(), step.now, step.user()?)?;
    let verdict = viewer.verdict(step.reader(), chain)?;
    if viewer.passes_all() && viewer.administers() {
        if !viewer.is(owner) {
            let draft = Draft::warning(
                Category::Authorization,
                "permission.overridden",
                id_text(chain.target()),
                vec![("permission", "ownership".to_owned())],
            );
            audit::record(step, viewer.tenant(), draft)?;
        }
        return Ok(());
    }
    if verdict.mask().is_empty() {
        return Err(Refusal::NotFound(access::noun(chain.target())).into());
    }
    if !viewer.is(owner) {
        return Err(Refusal::OwnerOnly.into());
    }
    if !viewer.caller.scopes.contains(Scope::FilesWrite) {
        return Err(Refusal::ScopeMissing(Scope::FilesWrite).into());
    }
    Ok(())
}

/// The change row of a change of the share itself.
fn tell(
    step: &mut Step<'_>,
    tenant: TenantId,
    share: ShareId,
    kind: ChangeKind,
) -> Result<(), Stop> {
    let draft = feed::Draft {
        target: Target::Share(share),
        kind,
        parent: None,
        name: None,
        old: None,
        version: None,
        size: None,
        subtree: kind == ChangeKind::Restored,
        before: None,
    };
    feed::append(step, tenant, share, draft)
}

fn record(
    step: &mut Step<'_>,
    tenant: TenantId,
    action: &'static str,
    share: ShareId,
    payload: Vec<(&'static str, String)>,
) -> Result<(), Stop> {
    audit::record(step, tenant, Draft::info(Category::Sharing, action, share, payload))
}
