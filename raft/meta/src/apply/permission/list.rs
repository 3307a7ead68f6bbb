//! A list as it is stored, with the rows that repeat what it says, and its change row.

use std::collections::BTreeSet;

use node_base::{NamePolicy, PermissionSet, Role, ShareId, TenantId};

use crate::access::{is_live, sort};
use crate::apply::feed::{self, Draft};
use crate::apply::{Step, Stop};
use crate::chain::Chain;
use crate::query::children;
use crate::table::acl::{
    AppliesTo, Effect, Entry, Listed, Lists, Membership, Named, Target, Trustee,
};
use crate::table::change::{ChangeKind, Grouping, ListBefore};
use crate::table::item::{Child, Children, Item, ItemId, ItemState, Items};
use crate::table::people::Principal;
use crate::table::share::{Members, Shares};
use crate::table::{self};
use crate::tables::{Reader, TableError};

/// A list and whether it goes on above.
#[derive(Debug, Clone)]
pub(super) struct Rights {
    pub(super) entries: Vec<Entry>,
    pub(super) inherits: bool,
}

/// The list of the thing at the bottom of the chain.
pub(super) fn rights(
    tables: &dyn Reader,
    tenant: TenantId,
    chain: &Chain,
) -> Result<Rights, TableError> {
    let entries = table::get::<Lists>(tables, &(tenant, chain.target()))?.unwrap_or_default();
    Ok(Rights { entries, inherits: chain.item().is_none_or(|item| item.inherits) })
}

/// The same, as a change row keeps it.
pub(crate) fn before(
    tables: &dyn Reader,
    tenant: TenantId,
    chain: &Chain,
) -> Result<ListBefore, TableError> {
    let Rights { entries, inherits } = rights(tables, tenant, chain)?;
    Ok(ListBefore { entries, inherits, owner: None, grouping: None })
}

/// Writes the list of the thing at the bottom of the chain, which gets a new revision, and whatever
/// repeats what the list says.
pub(super) fn save(
    step: &mut Step<'_>,
    tenant: TenantId,
    chain: &Chain,
    mut rights: Rights,
) -> Result<(), TableError> {
    let target = chain.target();
    sort(&mut rights.entries);
    name(step, tenant, target, &rights.entries)?;
    let has_own_entries = !rights.entries.is_empty();
    if has_own_entries {
        table::put::<Lists>(step.tables, &(tenant, target), &rights.entries)?;
    } else {
        table::delete::<Lists>(step.tables, &(tenant, target))?;
    }
    let Some((id, item)) = chain.items.first() else {
        name_public(step, tenant, chain.share_id, chain.share.is_public)?;
        let mut share = chain.share.clone();
        share.revision = step.index;
        return table::put::<Shares>(step.tables, &(tenant, chain.share_id), &share);
    };
    let mut item = item.clone();
    (item.has_own_entries, item.inherits) = (has_own_entries, rights.inherits);
    item.revision = step.index;
    table::put::<Items>(step.tables, &(tenant, *id), &item)?;
    let listed = (tenant, item.share, *id);
    if has_own_entries || !rights.inherits {
        table::put::<Listed>(step.tables, &listed, &())?;
    } else {
        table::delete::<Listed>(step.tables, &listed)?;
    }
    mark_child(step, tenant, *id, &item)
}

/// Takes somebody who is no more out of a list. Nobody else's rights change by that, so nobody is
/// told.
pub(crate) fn drop_trustee(
    step: &mut Step<'_>,
    tenant: TenantId,
    target: Target,
    trustee: Trustee,
) -> Result<(), TableError> {
    // What is being removed for good takes its list with it.
    let Some(chain) = Chain::of_target(step.reader(), tenant, target)? else { return Ok(()) };
    let mut rights = rights(step.reader(), tenant, &chain)?;
    rights.entries.retain(|entry| entry.trustee != trustee);
    save(step, tenant, &chain, rights)
}

/// Keeps the rows by name in step with a list.
fn name(
    step: &mut Step<'_>,
    tenant: TenantId,
    target: Target,
    entries: &[Entry],
) -> Result<(), TableError> {
    let stored = table::get::<Lists>(step.reader(), &(tenant, target))?.unwrap_or_default();
    let named = |entries: &[Entry]| -> BTreeSet<Trustee> {
        entries.iter().map(|entry| entry.trustee).collect()
    };
    let (before, after) = (named(&stored), named(entries));
    for trustee in before.difference(&after) {
        table::delete::<Named>(step.tables, &(tenant, *trustee, target))?;
    }
    for trustee in after.difference(&before) {
        table::put::<Named>(step.tables, &(tenant, *trustee, target), &())?;
    }
    Ok(())
}

/// A public share names everyone, as its list may do too.
pub(crate) fn name_public(
    step: &mut Step<'_>,
    tenant: TenantId,
    share: ShareId,
    is_public: bool,
) -> Result<(), TableError> {
    let target = Target::Share(share);
    let key = (tenant, Trustee::Everyone, target);
    let list = table::get::<Lists>(step.reader(), &(tenant, target))?.unwrap_or_default();
    if is_public || list.iter().any(|entry| entry.trustee == Trustee::Everyone) {
        table::put::<Named>(step.tables, &key, &())
    } else {
        table::delete::<Named>(step.tables, &key)
    }
}

/// Tells listings whether to look closer at the item.
fn mark_child(
    step: &mut Step<'_>,
    tenant: TenantId,
    id: ItemId,
    item: &Item,
) -> Result<(), TableError> {
    if item.state != ItemState::Live {
        return Ok(());
    }
    let own_permissions = item.has_own_entries || !item.inherits;
    for policy in [NamePolicy::Portable, NamePolicy::Any] {
        let key = (tenant, item.share, item.parent, children::key(&item.name, policy));
        let child = table::get::<Children>(step.reader(), &key)?;
        if child.is_some_and(|child| child.item == id) {
            return table::put::<Children>(step.tables, &key, &Child { item: id, own_permissions });
        }
    }
    Err(TableError::Invariant("an item is not listed in its folder"))
}

/// A list goes with what it belonged to.
pub(crate) fn forget(
    step: &mut Step<'_>,
    tenant: TenantId,
    share: ShareId,
    target: Target,
) -> Result<(), TableError> {
    name(step, tenant, target, &[])?;
    table::delete::<Lists>(step.tables, &(tenant, target))?;
    match target {
        Target::Item(id) => table::delete::<Listed>(step.tables, &(tenant, share, id)),
        Target::Share(_) => Ok(()),
    }
}

/// The change row of a change of rights on the thing at the bottom of the chain.
pub(crate) fn tell(
    step: &mut Step<'_>,
    tenant: TenantId,
    chain: &Chain,
    before: ListBefore,
) -> Result<(), Stop> {
    let item = chain.item();
    let draft = Draft {
        target: chain.target(),
        kind: ChangeKind::Permissions,
        parent: item.and_then(|item| item.parent),
        name: item.map(|item| item.name.clone()),
        old: None,
        version: None,
        size: None,
        subtree: !matches!(chain.target(), Target::Item(ItemId::File(_))),
        before: Some(before),
    };
    feed::append(step, tenant, chain.share_id, draft)
}

/// How a share's root was before a membership (of nobody: the share's being public) changed from
/// `role`. The change itself may have been written already.
pub(crate) fn membership_before(
    tables: &dyn Reader,
    tenant: TenantId,
    chain: &Chain,
    principal: Option<Principal>,
    permissions: PermissionSet,
) -> Result<ListBefore, TableError> {
    let mut before = before(tables, tenant, chain)?;
    before.entries.push(Entry {
        id: 0.into(),
        trustee: principal.map_or(Trustee::Everyone, Trustee::from),
        effect: Effect::Allow,
        permissions,
        applies_to: AppliesTo::ThisAndChildren,
        layer: 0,
        membership: Some(Membership { share: chain.share_id, principal }),
    });
    Ok(before)
}

/// What a role gave before; nothing where there was none.
pub(crate) fn given(role: Option<Role>) -> PermissionSet {
    role.map_or(PermissionSet::NONE, Role::permissions)
}

/// The change row for a user's joining or leaving a group that is a member of the share.
pub(crate) fn tell_grouping(
    step: &mut Step<'_>,
    tenant: TenantId,
    share: ShareId,
    grouping: Grouping,
) -> Result<(), Stop> {
    let Some(chain) = Chain::root(step.reader(), tenant, share)? else { return Ok(()) };
    // The membership may be gone when this is read: what it gave is written down.
    let principal = Principal::Group(grouping.group);
    let member = table::get::<Members>(step.reader(), &(tenant, share, principal))?;
    let live = member.filter(|member| is_live(member, step.now));
    let gave = given(live.map(|member| member.role));
    let before = membership_before(step.reader(), tenant, &chain, Some(principal), gave)?;
    tell(step, tenant, &chain, ListBefore { grouping: Some(grouping), ..before })
}
