//! Copying what reaches an item into its own list, so that nobody's effective mask changes.
//!
//! A copied entry keeps its place in the order by its layer: how many levels up it came from. Where
//! lists above hold copies themselves, or the item has copies from before, layers move on as far as
//! needed: only their order matters.

use node_base::{AceId, PermissionSet, TenantId, Timestamp};

use crate::access::is_live;
use crate::apply::Stop;
use crate::apply::people::field;
use crate::chain::Chain;
use crate::outcome::Refusal;
use crate::table::acl::{AppliesTo, Effect, Entry, Lists, Membership, Target, Trustee};
use crate::table::people::Principal;
use crate::table::share::Members;
use crate::table::{self};
use crate::tables::{Reader, TableError};

/// An entry that reaches an item: from how many levels up, and what it becomes there.
#[derive(Debug, Clone)]
pub(crate) struct Reaching {
    distance: u32,
    /// With the layer it has in its list.
    entry: Entry,
}

/// Everything above the item at the bottom of the chain that reaches it, nearest first.
pub(crate) fn reaching(
    tables: &dyn Reader,
    now: Timestamp,
    chain: &Chain,
    tenant: TenantId,
) -> Result<Vec<Reaching>, TableError> {
    let mut found = Vec::new();
    let Some(((item_id, item), above)) = chain.items.split_first() else { return Ok(found) };
    let is_folder = matches!(item_id, crate::table::item::ItemId::Folder(_));
    let mut push = |distance: u32, entry: Entry| {
        let made = own_forms(entry, Principal::User(item.owner).into(), is_folder);
        found.extend(made.into_iter().map(|entry| Reaching { distance, entry }));
    };
    let mut distance = 0;
    for (id, folder) in above {
        distance += 1;
        let list = table::get::<Lists>(tables, &(tenant, Target::Item(*id)))?;
        list.unwrap_or_default().into_iter().for_each(|entry| push(distance, entry));
        if !folder.inherits {
            return Ok(found);
        }
    }
    distance += 1;
    let list = table::get::<Lists>(tables, &(tenant, Target::Share(chain.share_id)))?;
    list.unwrap_or_default().into_iter().for_each(|entry| push(distance, entry));
    let members = table::all::<Members>(tables, &(tenant, chain.share_id))?;
    let live = members.into_iter().filter(|(_, member)| is_live(member, now));
    let principals = live.map(|((_, _, principal), _)| Some(principal));
    for principal in principals.chain(chain.share.is_public.then_some(None)) {
        push(distance, reference(Membership { share: chain.share_id, principal }));
    }
    Ok(found)
}

/// A membership as an entry: it gives what the membership gives at the time.
fn reference(membership: Membership) -> Entry {
    Entry {
        id: AceId::from(0),
        trustee: membership.principal.map_or(Trustee::Everyone, Trustee::from),
        effect: Effect::Allow,
        permissions: PermissionSet::NONE,
        applies_to: AppliesTo::ThisAndChildren,
        layer: 0,
        membership: Some(membership),
    }
}

/// What an inherited entry becomes as an item's own: it reaches the item and all below. What spoke
/// of the creator speaks of the item's owner here, and of each owner below.
fn own_forms(entry: Entry, owner: Trustee, is_folder: bool) -> Vec<Entry> {
    match (entry.applies_to, entry.trustee) {
        (AppliesTo::ThisOnly, _) => Vec::new(),
        (_, Trustee::CreatorOwner) => {
            let here = Entry { trustee: owner, applies_to: AppliesTo::ThisOnly, ..entry.clone() };
            let below = Entry { applies_to: AppliesTo::ChildrenOnly, ..entry };
            if is_folder { vec![here, below] } else { vec![here] }
        }
        _ => vec![Entry { applies_to: AppliesTo::ThisAndChildren, ..entry }],
    }
}

/// Puts what reached the item into its own list, behind all that is there.
pub(crate) fn adopt(
    entries: &mut Vec<Entry>,
    reaching: Vec<Reaching>,
    mut new_id: impl FnMut() -> AceId,
) -> Result<(), Stop> {
    let mut last = entries.iter().map(|entry| u32::from(entry.layer)).max().unwrap_or(0);
    let (mut base, mut at) = (0, 0);
    for Reaching { distance, entry } in reaching {
        if distance != at {
            (base, at) = (distance.max(last + 1), distance);
        }
        let layer = base + u32::from(entry.layer);
        last = last.max(layer);
        let layer = u16::try_from(layer).map_err(|_| -> Refusal {
            field::rule("copy_inherited", "would copy a copy of a copy too often")
        })?;
        let copy = Entry { layer, ..entry };
        let same = entries.iter_mut().find(|known| key(known) == key(&copy));
        match same {
            Some(known) => known.permissions = known.permissions | copy.permissions,
            None => entries.push(Entry { id: new_id(), ..copy }),
        }
    }
    Ok(())
}

/// What no two entries of a list have in common.
fn key(entry: &Entry) -> (Trustee, Effect, AppliesTo, u16, Option<Membership>) {
    (entry.trustee, entry.effect, entry.applies_to, entry.layer, entry.membership)
}
