//! Giving an item or a share to somebody else.

use node_base::{Role, TenantId, UserId};

use super::list::{before, given, membership_before, tell};
use super::{chain, record, require_known};
use crate::access;
use crate::apply::people::field;
use crate::apply::quota::{self, Delta};
use crate::apply::{Step, Stop, share};
use crate::chain::Chain;
use crate::outcome::{Answer, Refusal};
use crate::table::acl::Target;
use crate::table::change::ListBefore;
use crate::table::item::{Body, Item, ItemId, Items, Versions};
use crate::table::people::Principal;
use crate::table::share::{Member, Members, Shares};
use crate::table::{self};
use crate::tables::{Reader, TableError};

pub(super) fn transfer(
    step: &mut Step<'_>,
    target: Target,
    new_owner: Principal,
) -> Result<Answer, Stop> {
    let (tenant, _) = step.who()?;
    let chain = chain(step.reader(), tenant, target)?;
    let owner = chain.item().map_or(chain.share.owner, |item| Principal::User(item.owner));
    share::require_owner(step, &chain, owner)?;
    if chain.is_trashed() {
        return Err(Refusal::Trashed.into());
    }
    let revision = chain.item().map_or(chain.share.revision, |item| item.revision);
    access::require_revision(step, revision)?;
    require_known(step.reader(), tenant, new_owner)?;
    if owner == new_owner {
        return Ok(Answer::Done);
    }
    match (chain.items.first(), new_owner) {
        (None, _) => transfer_share(step, tenant, &chain, new_owner)?,
        (Some((id, item)), Principal::User(user)) => {
            transfer_item(step, tenant, &chain, (*id, item.clone()), user)?;
        }
        (Some(_), Principal::Group(_)) => {
            return Err(field::rule("new_owner_id", "is a group: an item's owner is a user").into());
        }
    }
    let text = |principal| match principal {
        Principal::User(user) => user.to_string(),
        Principal::Group(group) => group.to_string(),
    };
    let payload = vec![("from", text(owner)), ("to", text(new_owner))];
    record(step, tenant, "ownership.transferred", target, payload)?;
    Ok(Answer::Done)
}

fn transfer_item(
    step: &mut Step<'_>,
    tenant: TenantId,
    chain: &Chain,
    (id, mut item): (ItemId, Item),
    user: UserId,
) -> Result<(), Stop> {
    let delta = counted(step.reader(), tenant, id, &item)?;
    let (old, share) = (item.owner, chain.share_id);
    quota::shift(step, tenant, (share, old), (share, user), delta)?;
    item.owner = user;
    item.revision = step.index;
    table::put::<Items>(step.tables, &(tenant, id), &item)?;
    let before = before(step.reader(), tenant, chain)?;
    tell(step, tenant, chain, ListBefore { owner: Some(old), ..before })
}

/// What counts for an item's owner: of a folder, not what lies in it.
fn counted(
    tables: &dyn Reader,
    tenant: TenantId,
    id: ItemId,
    item: &Item,
) -> Result<Delta, TableError> {
    let (ItemId::File(file), Body::File(body)) = (id, &item.body) else {
        return Ok(Delta { folders: 1, ..Delta::default() });
    };
    let mut delta = Delta { files: 1, ..Delta::default() };
    for ((_, _, number), version) in table::all::<Versions>(tables, &(tenant, file))? {
        let bytes = i64::try_from(version.size).unwrap_or(i64::MAX);
        delta.bytes = delta.bytes.saturating_add(bytes);
        if number != body.version {
            delta.version_bytes = delta.version_bytes.saturating_add(bytes);
        }
    }
    Ok(delta)
}

/// The old owner stays as an administrator; the new one's membership becomes the owner's.
fn transfer_share(
    step: &mut Step<'_>,
    tenant: TenantId,
    chain: &Chain,
    new_owner: Principal,
) -> Result<(), Stop> {
    let (id, old) = (chain.share_id, chain.share.owner);
    let key = (tenant, id, new_owner);
    let replaced = table::get::<Members>(step.reader(), &key)?;
    let live = replaced.filter(|member| access::is_live(member, step.now));
    let role_before = live.map(|member| member.role);
    quota::change_share_owner(step, tenant, id, old, new_owner)?;
    let mut row = chain.share.clone();
    row.owner = new_owner;
    (row.revision, row.modified_at) = (step.index, step.now);
    table::put::<Shares>(step.tables, &(tenant, id), &row)?;
    let (added_by, added_at) = (step.who()?.1, step.now);
    let member = |role| Member { role, expires_at: None, added_by, added_at };
    if is_there(step.reader(), tenant, old)? {
        share::put_member(step, tenant, id, old, &member(Role::Admin))?;
    } else {
        share::drop_member_row(step, tenant, id, old)?;
    }
    share::put_member(step, tenant, id, new_owner, &member(Role::Owner))?;
    let (tables, gave) = (step.reader(), given(role_before));
    let before = membership_before(tables, tenant, chain, Some(new_owner), gave)?;
    tell(step, tenant, chain, before)
}

/// Whether a user or group still is one: a deleted owner does not become an administrator.
fn is_there(
    tables: &dyn Reader,
    tenant: TenantId,
    principal: Principal,
) -> Result<bool, TableError> {
    match require_known(tables, tenant, principal) {
        Ok(()) => Ok(true),
        Err(Stop::Refused(_)) => Ok(false),
        Err(Stop::Failed(error)) => Err(error),
    }
}
