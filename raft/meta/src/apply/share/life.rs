//! The life of a share: made, changed, in the trash and back, and gone.

use node_base::{PermissionSet, Role, ShareId, TenantId, UserId};

use super::{load, manageable, member, record, require_owner, tell};
use crate::access;
use crate::apply::people::field;
use crate::apply::{Step, Stop, permission, quota};
use crate::caller::Scope;
use crate::command::ShareSettingsChange;
use crate::outcome::{Answer, Invalid, Refusal};
use crate::table::acl::Target;
use crate::table::change::ChangeKind;
use crate::table::item::Trashed;
use crate::table::people::{Principal, Tenants, UserGroups, UserStatus, Users};
use crate::table::quota::QuotaTarget;
use crate::table::share::{Member, PurgedShares, Share, ShareKind, ShareSettings, Shares};
use crate::table::{self};
use crate::tables::TableError;

/// The largest quota: an exbibyte.
const QUOTA_MAX: u64 = 1 << 60;

/// What a share is made of.
pub(super) struct NewShare<'a> {
    pub(super) name: &'a str,
    pub(super) description: &'a str,
    pub(super) kind: ShareKind,
    pub(super) owner: Principal,
    pub(super) is_public: bool,
    pub(super) quota_bytes: Option<u64>,
    pub(super) settings: &'a ShareSettingsChange,
}

pub(super) fn create(step: &mut Step<'_>, new: &NewShare<'_>) -> Result<Answer, Stop> {
    let (tenant, user) = step.who()?;
    let is_admin = access::require_admin(step).is_ok();
    match new.kind {
        ShareKind::Personal => {
            let sentence = "cannot be personal: that one comes with the user";
            return Err(field::rule("share_type", sentence).into());
        }
        ShareKind::Central => access::require_admin(step)?,
        ShareKind::Project if is_admin => {}
        ShareKind::Project => require_may_own(step, new.owner)?,
    }
    permission::require_known(step.reader(), tenant, new.owner).map_err(|stop| match stop {
        Stop::Refused(_) => Refusal::invalid("owner_id", Invalid::UnknownPrincipal).into(),
        stop @ Stop::Failed(_) => stop,
    })?;
    let quota_bytes = quota_for(step, tenant, new.quota_bytes, is_admin)?;
    let share = make(step, tenant, user, new, quota_bytes)?;
    let payload = vec![("name", new.name.to_owned())];
    record(step, tenant, "share.created", share, payload)?;
    Ok(Answer::Share(share))
}

/// Who is no administrator makes shares only for itself or a group of its own.
fn require_may_own(step: &Step<'_>, owner: Principal) -> Result<(), Stop> {
    let caller = step.user()?;
    if !caller.scopes.contains(Scope::FilesWrite) {
        return Err(Refusal::ScopeMissing(Scope::FilesWrite).into());
    }
    let is_mine = match owner {
        Principal::User(user) => user == caller.user,
        Principal::Group(group) => {
            table::has::<UserGroups>(step.reader(), &(caller.tenant, caller.user, group))?
        }
    };
    if is_mine {
        return Ok(());
    }
    Err(field::rule("owner_id", "must be you or a group of yours").into())
}

/// The quota a new share gets: what was asked for, within what the tenant gives by default.
fn quota_for(
    step: &Step<'_>,
    tenant: TenantId,
    wanted: Option<u64>,
    is_admin: bool,
) -> Result<Option<u64>, Stop> {
    let row = table::get::<Tenants>(step.reader(), &(tenant,))?;
    let default = row.and_then(|row| row.settings.default_share_quota_bytes);
    match (wanted, default) {
        (Some(wanted), Some(default)) if wanted > default && !is_admin => {
            Err(Refusal::RoleMissing.into())
        }
        (Some(wanted), _) => {
            field::within("quota_bytes", wanted, 0, QUOTA_MAX)?;
            Ok(Some(wanted))
        }
        (None, default) => Ok(default),
    }
}

/// A user's own share, made with the user.
pub(crate) fn make_personal(
    step: &mut Step<'_>,
    tenant: TenantId,
    user: UserId,
    name: &str,
) -> Result<ShareId, Stop> {
    let quota_bytes = quota_for(step, tenant, None, true)?;
    let new = NewShare {
        name,
        description: "",
        kind: ShareKind::Personal,
        owner: Principal::User(user),
        is_public: false,
        quota_bytes,
        settings: &ShareSettingsChange::default(),
    };
    make(step, tenant, user, &new, quota_bytes)
}

fn make(
    step: &mut Step<'_>,
    tenant: TenantId,
    created_by: UserId,
    new: &NewShare<'_>,
    quota_bytes: Option<u64>,
) -> Result<ShareId, Stop> {
    field::display_name("name", new.name)?;
    field::description("description", new.description)?;
    check_settings(step, tenant, new.settings)?;
    let share: ShareId = step.new_id();
    let row = Share {
        name: new.name.to_owned(),
        description: new.description.to_owned(),
        kind: new.kind,
        owner: new.owner,
        is_public: new.is_public,
        trashed: None,
        purging: false,
        settings: new.settings.of(&ShareSettings::default()),
        created_by,
        created_at: step.now,
        modified_at: step.now,
        revision: step.index,
        incarnation: step.index,
    };
    table::put::<Shares>(step.tables, &(tenant, share), &row)?;
    let (added_by, added_at) = (created_by, step.now);
    let owner = Member { role: Role::Owner, expires_at: None, added_by, added_at };
    member::put_member(step, tenant, share, new.owner, &owner)?;
    if quota_bytes.is_some() {
        quota::set_limit(step, QuotaTarget::Share(tenant, share), quota_bytes)?;
    }
    permission::name_public(step, tenant, share, new.is_public)?;
    tell(step, tenant, share, ChangeKind::Created)?;
    Ok(share)
}

/// A share may keep less than its tenant, never more. What it was given before the tenant became
/// tighter may stay: the tighter of both counts.
fn check_settings(
    step: &Step<'_>,
    tenant: TenantId,
    change: &ShareSettingsChange,
) -> Result<(), Stop> {
    let row = table::get::<Tenants>(step.reader(), &(tenant,))?;
    let tenant = row.ok_or(TableError::Invariant("a share's tenant is not there"))?.settings;
    for (name, days, most) in [
        ("trash_retention_days", change.trash_retention_days, tenant.trash_retention_days),
        ("version_retention_days", change.version_retention_days, tenant.version_retention_days),
    ] {
        if let Some(days) = days.flatten() {
            field::within(name, u64::from(days), 0, u64::from(most))?;
        }
    }
    if let Some(versions) = change.max_versions.flatten() {
        let most = u64::from(tenant.max_versions.unwrap_or(u32::MAX));
        field::within("max_versions", u64::from(versions), 1, most)?;
    }
    Ok(())
}

/// What changes of a share; nothing where it stays.
pub(super) struct Update<'a> {
    pub(super) name: Option<&'a str>,
    pub(super) description: Option<&'a str>,
    pub(super) is_public: Option<bool>,
    pub(super) settings: Option<&'a ShareSettingsChange>,
    pub(super) quota_bytes: Option<Option<u64>>,
}

pub(super) fn update(
    step: &mut Step<'_>,
    share: ShareId,
    update: &Update<'_>,
) -> Result<Answer, Stop> {
    let (tenant, chain) = manageable(step, share)?;
    access::require_revision(step, chain.share.revision)?;
    if let Some(quota_bytes) = update.quota_bytes {
        access::require_admin(step)?;
        field::within("quota_bytes", quota_bytes.unwrap_or(0), 0, QUOTA_MAX)?;
        quota::set_limit(step, QuotaTarget::Share(tenant, share), quota_bytes)?;
    }
    let mut row = chain.share.clone();
    let was_public = row.is_public;
    if let Some(name) = update.name {
        field::display_name("name", name)?;
        name.clone_into(&mut row.name);
    }
    if let Some(description) = update.description {
        field::description("description", description)?;
        description.clone_into(&mut row.description);
    }
    if let Some(change) = update.settings {
        check_settings(step, tenant, change)?;
        row.settings = change.of(&row.settings);
    }
    row.is_public = update.is_public.unwrap_or(was_public);
    (row.modified_at, row.revision) = (step.now, step.index);
    let kind = if row.name == chain.share.name { ChangeKind::Updated } else { ChangeKind::Renamed };
    let is_public = row.is_public;
    table::put::<Shares>(step.tables, &(tenant, share), &row)?;
    tell(step, tenant, share, kind)?;
    if is_public != was_public {
        permission::name_public(step, tenant, share, is_public)?;
        let gave = if was_public { PermissionSet::READ } else { PermissionSet::NONE };
        let tables = step.reader();
        let before = permission::membership_before(tables, tenant, &chain, None, gave)?;
        permission::tell(step, tenant, &chain, before)?;
    }
    let payload = vec![("name", row.name), ("is_public", is_public.to_string())];
    record(step, tenant, "share.updated", share, payload)?;
    Ok(Answer::Share(share))
}

/// To the trash.
pub(super) fn delete(step: &mut Step<'_>, share: ShareId) -> Result<Answer, Stop> {
    let (tenant, chain) = load(step, share)?;
    require_owner(step, &chain, chain.share.owner)?;
    access::require_revision(step, chain.share.revision)?;
    if chain.is_trashed() {
        return Ok(Answer::Share(share));
    }
    require_orphaned(step, tenant, &chain.share)?;
    let (at, by) = (step.now, step.who()?.1);
    save(step, tenant, share, Share { trashed: Some(Trashed { at, by }), ..chain.share })?;
    tell(step, tenant, share, ChangeKind::Deleted)?;
    record(step, tenant, "share.deleted", share, Vec::new())?;
    Ok(Answer::Share(share))
}

/// A personal share stays as long as its user.
fn require_orphaned(step: &Step<'_>, tenant: TenantId, share: &Share) -> Result<(), Stop> {
    let (ShareKind::Personal, Principal::User(owner)) = (share.kind, share.owner) else {
        return Ok(());
    };
    let user = table::get::<Users>(step.reader(), &(tenant, owner))?;
    if user.is_some_and(|user| user.status != UserStatus::Deleted) {
        return Err(field::rule("id", "is a personal share: it goes with its user").into());
    }
    Ok(())
}

/// Out of the trash.
pub(super) fn restore(step: &mut Step<'_>, share: ShareId) -> Result<Answer, Stop> {
    let (tenant, chain) = load(step, share)?;
    require_owner(step, &chain, chain.share.owner)?;
    access::require_revision(step, chain.share.revision)?;
    if !chain.is_trashed() {
        return Ok(Answer::Share(share));
    }
    save(step, tenant, share, Share { trashed: None, ..chain.share })?;
    tell(step, tenant, share, ChangeKind::Restored)?;
    record(step, tenant, "share.restored", share, Vec::new())?;
    Ok(Answer::Share(share))
}

/// For good. What is in it is released later, a bounded amount at a time; to every caller the share
/// is gone now.
pub(super) fn purge(step: &mut Step<'_>, share: ShareId) -> Result<Answer, Stop> {
    let (tenant, chain) = load(step, share)?;
    require_owner(step, &chain, chain.share.owner)?;
    access::require_revision(step, chain.share.revision)?;
    if !chain.is_trashed() {
        let sentence = "is not in the trash: delete it first";
        return Err(field::rule("permanent", sentence).into());
    }
    save(step, tenant, share, Share { purging: true, ..chain.share })?;
    permission::forget(step, tenant, share, Target::Share(share))?;
    permission::name_public(step, tenant, share, false)?;
    table::put::<PurgedShares>(step.tables, &(tenant, share), &())?;
    record(step, tenant, "share.purged", share, Vec::new())?;
    Ok(Answer::Done)
}

fn save(
    step: &mut Step<'_>,
    tenant: TenantId,
    share: ShareId,
    mut row: Share,
) -> Result<(), TableError> {
    (row.modified_at, row.revision) = (step.now, step.index);
    table::put::<Shares>(step.tables, &(tenant, share), &row)
}
