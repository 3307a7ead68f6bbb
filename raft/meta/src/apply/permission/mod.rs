//! Lists of entries: adding to them, taking from them, cutting them off, and giving things away.
//!
//! Each command is one small commit, whatever lies below: nothing is rewritten by inheritance. It
//! writes one change row with what was before, so that each reader can be told what came into, or
//! went out of, that reader's sight.

mod copy;
mod list;
mod owner;
#[cfg(test)]
mod tests;

use node_base::{AceId, Permission, PermissionSet, TenantId, limits};

use super::audit::{self, Draft};
use super::people::field;
use super::{Step, Stop};
use crate::access::{self, Extent, Pass, id_text};
use crate::chain::Chain;
use crate::command::{EntryFilter, PermissionCommand};
use crate::outcome::{Answer, Invalid, Noun, Refusal};
use crate::table::acl::{AppliesTo, Effect, Entry, Target, Trustee};
use crate::table::audit::Category;
use crate::table::item::ItemId;
use crate::table::people::{Groups, Principal, UserStatus, Users};
use crate::table::{self};
use crate::tables::Reader;

#[cfg(test)]
pub(crate) use copy::{adopt, reaching};
pub(crate) use list::{
    drop_trustee, forget, given, membership_before, name_public, tell, tell_grouping,
};

use list::{Rights, rights, save};

/// Passes that one command tells of.
pub(crate) const PASSES_MAX: usize = 1_000;

pub(crate) fn run(step: &mut Step<'_>, command: &PermissionCommand) -> Result<Answer, Stop> {
    match command {
        PermissionCommand::AddEntry { target, trustee, effect, permissions, applies_to } => {
            let (trustee, effect, applies_to) = (*trustee, *effect, *applies_to);
            let wanted = Wanted { trustee, effect, permissions: *permissions, applies_to };
            add_entry(step, *target, wanted)
        }
        PermissionCommand::RemoveEntries { target, which } => remove_entries(step, *target, *which),
        PermissionCommand::SetInheritance { target, inherit, copy_inherited, keep_caller } => {
            let keep = Keep { inherited: *copy_inherited, caller: *keep_caller };
            set_inheritance(step, *target, *inherit, keep)
        }
        PermissionCommand::TransferOwnership { target, new_owner } => {
            owner::transfer(step, *target, *new_owner)
        }
        PermissionCommand::NotePasses { passes } => note_passes(step, passes),
    }
}

/// What was read is judged once more: an event tells of a pass that there is at its place in the
/// log. What is gone since was read, and there is nothing more to say of it.
fn note_passes(step: &mut Step<'_>, passes: &[Pass]) -> Result<Answer, Stop> {
    if passes.len() > PASSES_MAX {
        return Err(Refusal::invalid("passes", Invalid::TooMany { max: PASSES_MAX as u64 }).into());
    }
    let (tenant, _) = step.who()?;
    for pass in passes {
        let Some(chain) = Chain::of_target(step.reader(), tenant, pass.target)? else { continue };
        match pass.extent {
            Extent::Itself => access::require(step, &chain, pass.permission)?,
            Extent::Below => access::require_below(step, &chain, pass.permission)?,
        }
    }
    Ok(Answer::Done)
}

fn chain(tables: &dyn Reader, tenant: TenantId, target: Target) -> Result<Chain, Stop> {
    let chain = Chain::of_target(tables, tenant, target)?;
    Ok(chain.ok_or(Refusal::NotFound(access::noun(target)))?)
}

/// The chain of something whose list the caller may change now.
fn manageable(step: &mut Step<'_>, target: Target) -> Result<Chain, Stop> {
    let (tenant, _) = step.who()?;
    let chain = chain(step.reader(), tenant, target)?;
    access::require(step, &chain, Permission::ManagePermissions)?;
    if chain.is_trashed() {
        return Err(Refusal::Trashed.into());
    }
    let revision = chain.item().map_or(chain.share.revision, |item| item.revision);
    access::require_revision(step, revision)?;
    Ok(chain)
}

/// An entry to be added.
#[derive(Debug, Clone, Copy)]
struct Wanted {
    trustee: Trustee,
    effect: Effect,
    permissions: PermissionSet,
    applies_to: AppliesTo,
}

impl Wanted {
    fn check(self, target: Target) -> Result<(), Refusal> {
        if self.permissions.is_empty() {
            return Err(Refusal::invalid("permissions", Invalid::Empty));
        }
        let is_file = matches!(target, Target::Item(ItemId::File(_)));
        match (self.trustee, self.applies_to) {
            (_, AppliesTo::ChildrenOnly) if is_file => {
                Err(field::rule("applies_to", "cannot be children_only: a file has no children"))
            }
            (Trustee::CreatorOwner, AppliesTo::ThisOnly) => Err(field::rule(
                "applies_to",
                "cannot be this_only: creator_owner matters only to what inherits it",
            )),
            (Trustee::CreatorOwner, _) if is_file => Err(field::rule(
                "principal_type",
                "cannot be creator_owner: nothing inherits from a file",
            )),
            _ => Ok(()),
        }
    }

    fn is_same_as(self, entry: &Entry) -> bool {
        (entry.trustee, entry.effect, entry.applies_to, entry.layer, entry.membership)
            == (self.trustee, self.effect, self.applies_to, 0, None)
    }

    fn payload(self) -> Vec<(&'static str, String)> {
        vec![
            ("principal", trustee_text(self.trustee)),
            ("ace_type", effect_text(self.effect).to_owned()),
            ("permissions", self.permissions.bits().to_string()),
            ("applies_to", applies_text(self.applies_to).to_owned()),
        ]
    }

    /// Puts it into a list; one that is there gets the new mask.
    fn put(self, entries: &mut Vec<Entry>, new_id: impl FnOnce() -> AceId) -> AceId {
        if let Some(entry) = entries.iter_mut().find(|entry| self.is_same_as(entry)) {
            entry.permissions = self.permissions;
            return entry.id;
        }
        let id = new_id();
        entries.push(Entry {
            id,
            trustee: self.trustee,
            effect: self.effect,
            permissions: self.permissions,
            applies_to: self.applies_to,
            layer: 0,
            membership: None,
        });
        id
    }
}

fn trustee_text(trustee: Trustee) -> String {
    match trustee {
        Trustee::User(user) => user.to_string(),
        Trustee::Group(group) => group.to_string(),
        Trustee::Everyone => "everyone".to_owned(),
        Trustee::CreatorOwner => "creator_owner".to_owned(),
    }
}

fn effect_text(effect: Effect) -> &'static str {
    match effect {
        Effect::Allow => "allow",
        Effect::Deny => "deny",
    }
}

fn applies_text(applies_to: AppliesTo) -> &'static str {
    match applies_to {
        AppliesTo::ThisAndChildren => "this_and_children",
        AppliesTo::ThisOnly => "this_only",
        AppliesTo::ChildrenOnly => "children_only",
    }
}

/// Goes on only if the tenant has this user or group now.
pub(crate) fn require_known(
    tables: &dyn Reader,
    tenant: TenantId,
    principal: Principal,
) -> Result<(), Stop> {
    let is_known = match principal {
        Principal::User(user) => table::get::<Users>(tables, &(tenant, user))?
            .is_some_and(|row| row.status != UserStatus::Deleted),
        Principal::Group(group) => table::has::<Groups>(tables, &(tenant, group))?,
    };
    if is_known {
        return Ok(());
    }
    Err(Refusal::invalid("principal_id", Invalid::UnknownPrincipal).into())
}

fn add_entry(step: &mut Step<'_>, target: Target, wanted: Wanted) -> Result<Answer, Stop> {
    let chain = manageable(step, target)?;
    let (tenant, _) = step.who()?;
    wanted.check(target)?;
    match wanted.trustee {
        Trustee::User(user) => require_known(step.reader(), tenant, Principal::User(user))?,
        Trustee::Group(group) => require_known(step.reader(), tenant, Principal::Group(group))?,
        Trustee::Everyone | Trustee::CreatorOwner => {}
    }
    let mut rights = rights(step.reader(), tenant, &chain)?;
    let id = wanted.put(&mut rights.entries, || step.new_id());
    change(step, &chain, rights)?;
    record(step, tenant, "permission.entry_added", target, wanted.payload())?;
    Ok(Answer::Entry(id))
}

fn remove_entries(step: &mut Step<'_>, target: Target, which: EntryFilter) -> Result<Answer, Stop> {
    let chain = manageable(step, target)?;
    let (tenant, _) = step.who()?;
    let mut rights = rights(step.reader(), tenant, &chain)?;
    let goes = |entry: &Entry| match which {
        EntryFilter::Id(id) => entry.id == id,
        EntryFilter::Of(trustee, effect) => (entry.trustee, entry.effect) == (trustee, effect),
    };
    let gone: Vec<Entry> = rights.entries.extract_if(.., |entry| goes(entry)).collect();
    if gone.is_empty() {
        return Err(Refusal::NotFound(Noun::Entry).into());
    }
    change(step, &chain, rights)?;
    for entry in gone {
        let payload = vec![
            ("principal", trustee_text(entry.trustee)),
            ("ace_type", effect_text(entry.effect).to_owned()),
            ("permissions", entry.permissions.bits().to_string()),
        ];
        record(step, tenant, "permission.entry_removed", target, payload)?;
    }
    Ok(Answer::Done)
}

/// What stays when a list is cut off from those above it.
#[derive(Debug, Clone, Copy)]
struct Keep {
    /// What reached the item becomes its own.
    inherited: bool,
    /// Without that, the caller is given everything, so as not to be locked out.
    caller: bool,
}

fn set_inheritance(
    step: &mut Step<'_>,
    target: Target,
    inherit: bool,
    keep: Keep,
) -> Result<Answer, Stop> {
    let chain = manageable(step, target)?;
    let (tenant, user) = step.who()?;
    let mut rights = rights(step.reader(), tenant, &chain)?;
    if chain.item().is_none() {
        let sentence = "has no effect on a share's root: nothing is above it";
        return Err(field::rule("inherit_from_parent", sentence).into());
    }
    if rights.inherits == inherit {
        return Ok(Answer::Done);
    }
    rights.inherits = inherit;
    if !inherit && keep.inherited {
        let copies = copy::reaching(step.reader(), step.now, &chain, tenant)?;
        copy::adopt(&mut rights.entries, copies, || step.new_id())?;
    } else if !inherit && keep.caller {
        let everything = Wanted {
            trustee: Trustee::User(user),
            effect: Effect::Allow,
            permissions: PermissionSet::ALL,
            applies_to: AppliesTo::ThisAndChildren,
        };
        everything.put(&mut rights.entries, || step.new_id());
    }
    change(step, &chain, rights)?;
    let payload = vec![
        ("inherit_from_parent", inherit.to_string()),
        ("copy_inherited", keep.inherited.to_string()),
    ];
    record(step, tenant, "permission.inheritance_set", target, payload)?;
    Ok(Answer::Done)
}

/// Writes a changed list, with its change row.
fn change(step: &mut Step<'_>, chain: &Chain, rights: Rights) -> Result<(), Stop> {
    if rights.entries.len() > limits::ACL_ENTRIES_MAX {
        let most = Invalid::TooMany { max: limits::ACL_ENTRIES_MAX as u64 };
        return Err(Refusal::invalid("entries", most).into());
    }
    let (tenant, _) = step.who()?;
    let before = list::before(step.reader(), tenant, chain)?;
    save(step, tenant, chain, rights)?;
    tell(step, tenant, chain, before)
}

fn record(
    step: &mut Step<'_>,
    tenant: TenantId,
    action: &'static str,
    target: Target,
    payload: Vec<(&'static str, String)>,
) -> Result<(), Stop> {
    let draft = Draft::info(Category::Authorization, action, id_text(target), payload);
    audit::record(step, tenant, draft)
}
