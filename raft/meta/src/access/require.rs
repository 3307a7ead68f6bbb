//! Checks inside a step of applying, with the refusal each failure deserves.

use node_base::{PartnerId, Permission};

use super::{Extent, Verdict, Viewer};
use crate::apply::audit::{self, Draft};
use crate::apply::{Step, Stop};
use crate::caller::Scope;
use crate::chain::Chain;
use crate::outcome::{Noun, Refusal};
use crate::query;
use crate::table::acl::Target;
use crate::table::audit::{Category, Severity};
use crate::table::item::ItemId;
use crate::table::people::AdminRole;
use crate::table::{self, Table};

/// What a thing with a list is called.
pub(crate) fn noun(target: Target) -> Noun {
    match target {
        Target::Share(_) => Noun::Share,
        Target::Item(ItemId::Folder(_)) => Noun::Folder,
        Target::Item(ItemId::File(_)) => Noun::File,
    }
}

/// The text of its id.
pub(crate) fn id_text(target: Target) -> String {
    match target {
        Target::Share(share) => share.to_string(),
        Target::Item(ItemId::Folder(folder)) => folder.to_string(),
        Target::Item(ItemId::File(file)) => file.to_string(),
    }
}

/// Goes on only if the caller has the permission on the thing at the bottom of the chain.
///
/// Refused as if it were not there when the caller has none on it. A pass that the lists alone
/// would not have given is recorded.
pub(crate) fn require(
    step: &mut Step<'_>,
    chain: &Chain,
    permission: Permission,
) -> Result<(), Stop> {
    let viewer = Viewer::of(step.reader(), step.now, step.user()?)?;
    let verdict = viewer.verdict(step.reader(), chain)?;
    require_verdict(step, verdict, chain, permission)
}

/// The same for a verdict that is known already.
pub(crate) fn require_verdict(
    step: &mut Step<'_>,
    verdict: Verdict,
    chain: &Chain,
    permission: Permission,
) -> Result<(), Stop> {
    if verdict.mask().is_empty() {
        return Err(Refusal::NotFound(noun(chain.target())).into());
    }
    if !verdict.mask().contains(permission) {
        return Err(match (verdict.uncapped().contains(permission), permission) {
            (false, _) => Refusal::PermissionDenied,
            (true, Permission::Read) => Refusal::ScopeMissing(Scope::FilesRead),
            (true, _) => Refusal::ScopeMissing(Scope::FilesWrite),
        }
        .into());
    }
    if verdict.is_override(permission) {
        record_pass(step, chain, permission, Extent::Itself)?;
    }
    Ok(())
}

/// Goes on, and records it, only if the caller's stored role passes what lies below the bottom of
/// the chain, whatever the lists there say.
pub(crate) fn require_below(
    step: &mut Step<'_>,
    chain: &Chain,
    permission: Permission,
) -> Result<(), Stop> {
    let viewer = Viewer::of(step.reader(), step.now, step.user()?)?;
    if !viewer.passes_all() || !viewer.cap().contains(permission) {
        return Err(Refusal::PermissionDenied.into());
    }
    record_pass(step, chain, permission, Extent::Below)
}

fn record_pass(
    step: &mut Step<'_>,
    chain: &Chain,
    permission: Permission,
    extent: Extent,
) -> Result<(), Stop> {
    let extent = match extent {
        Extent::Itself => "itself",
        Extent::Below => "below",
    };
    let draft = Draft {
        category: Category::Authorization,
        severity: Severity::Warning,
        action: "permission.overridden",
        resource: Some(id_text(chain.target())),
        payload: vec![("permission", permission.name().to_owned()), ("extent", extent.to_owned())],
    };
    audit::record(step, step.user()?.tenant, draft)
}

fn require_role(step: &Step<'_>, scope: Scope, least: AdminRole) -> Result<(), Stop> {
    let viewer = Viewer::of(step.reader(), step.now, step.user()?)?;
    Ok(viewer.require_role(scope, least)?)
}

/// Goes on only for an administrator with the tenant's scope.
pub(crate) fn require_admin(step: &Step<'_>) -> Result<(), Stop> {
    require_role(step, Scope::TenantAdmin, AdminRole::TenantAdmin)
}

/// Goes on only for who administers this partner, or, without one, all of them.
pub(crate) fn require_partner_admin(
    step: &Step<'_>,
    partner: Option<PartnerId>,
) -> Result<(), Stop> {
    let viewer = Viewer::of(step.reader(), step.now, step.user()?)?;
    Ok(query::people::require_partner_admin(step.reader(), &viewer, partner)??)
}

/// Goes on only if the caller named this revision, or none at all (`If-Match`).
pub(crate) fn require_revision(step: &Step<'_>, revision: u64) -> Result<(), Refusal> {
    match step.if_revision {
        Some(revisions) if !revisions.contains(&revision) => Err(Refusal::PreconditionFailed),
        _ => Ok(()),
    }
}

/// The same for a row that does not count its changes: its mark stands for the revision.
pub(crate) fn require_row<T: Table>(step: &Step<'_>, row: &T::Row) -> Result<(), Stop> {
    Ok(require_revision(step, table::mark::<T>(row)?)?)
}
