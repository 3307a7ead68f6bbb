//! Users: made by administrators, by nodes, or at the first sight of a token.

use node_base::{ShareId, TenantId, UserId, limits};

use super::field;
use crate::access::{self, Viewer};
use crate::apply::audit::{self, Draft};
use crate::apply::{Step, Stop, share};
use crate::caller::Caller;
use crate::chain::Chain;
use crate::command::NewUser;
use crate::outcome::{Answer, Invalid, Noun, Refusal};
use crate::table::acl::Target;
use crate::table::audit::Category;
use crate::table::identity::{Password, Passwords};
use crate::table::people::{
    AdminRole, FavoredBy, Favorites, LeftUsers, Principal, ProvisioningSource, Tenants, User,
    UserGroups, UserStatus, Users, UsersByEmail, UsersBySubject,
};
use crate::table::share::PrincipalShares;
use crate::table::{self};
use crate::tables::TableError;

/// An argon2id hash in PHC format is about a hundred bytes.
const PHC_MAX: usize = 512;
/// Favorites of one user.
const FAVORITES_MAX: usize = 1_000;

/// Makes a user, with a personal share unless it is a service account.
pub(super) fn create(step: &mut Step<'_>, new: &NewUser) -> Result<Answer, Stop> {
    if let Caller::User(caller) = step.caller {
        access::require_admin(step)?;
        if caller.tenant != new.tenant {
            return Err(Refusal::NotFound(Noun::Tenant).into());
        }
        require_may_give(new.admin_role)?;
    }
    if let Some(phc) = &new.password {
        check_phc(phc)?;
    }
    let row = User {
        email: new.email.clone(),
        name: new.name.clone(),
        display_name: new.display_name.clone(),
        avatar_url: None,
        status: UserStatus::Active,
        admin_role: new.admin_role,
        source: new.source,
        is_service_account: new.is_service_account,
        created_at: step.now,
        last_login_at: None,
        personal_share: None,
        revision: step.index,
    };
    let subject = new.subject.as_ref().map(|(issuer, subject)| (&**issuer, &**subject));
    let user = add(step, new.tenant, row, subject)?;
    if let Some(phc) = &new.password {
        let (phc, changed_at) = (phc.clone(), step.now);
        let row = Password { phc, changed_at, failures: 0, failed_at: None };
        table::put::<Passwords>(step.tables, &(new.tenant, user), &row)?;
    }
    Ok(Answer::User { user, created: true })
}

/// Administrators give their own role; higher ones come from a node alone.
fn require_may_give(role: Option<AdminRole>) -> Result<(), Refusal> {
    match role {
        None | Some(AdminRole::TenantAdmin) => Ok(()),
        Some(AdminRole::PartnerAdmin | AdminRole::SuperAdmin) => Err(Refusal::RoleMissing),
    }
}

pub(crate) fn check_phc(phc: &str) -> Result<(), Refusal> {
    let is_plain = phc.bytes().all(|byte| byte.is_ascii_graphic());
    if phc.starts_with("$argon2id$") && phc.len() <= PHC_MAX && is_plain {
        Ok(())
    } else {
        Err(field::rule("password", "is kept as an argon2id hash in PHC format"))
    }
}

fn check_subject((issuer, subject): (&str, &str)) -> Result<(), Refusal> {
    field::line("issuer", issuer, limits::SUBJECT_MAX)?;
    field::line("subject", subject, limits::SUBJECT_MAX)
}

fn add(
    step: &mut Step<'_>,
    tenant: TenantId,
    mut row: User,
    subject: Option<(&str, &str)>,
) -> Result<UserId, Stop> {
    if !table::has::<Tenants>(step.reader(), &(tenant,))? {
        return Err(Refusal::NotFound(Noun::Tenant).into());
    }
    field::display_name("name", &row.name)?;
    field::display_name("display_name", &row.display_name)?;
    let user: UserId = step.new_id();
    take_email(step, tenant, user, &row.email)?;
    if let Some((issuer, subject)) = subject {
        check_subject((issuer, subject))?;
        let key = (tenant, issuer.to_owned(), subject.to_owned());
        if table::has::<UsersBySubject>(step.reader(), &key)? {
            return Err(Refusal::AlreadyExists.into());
        }
        table::put::<UsersBySubject>(step.tables, &key, &user)?;
    }
    // The row comes first: the share's owner must be there.
    table::put::<Users>(step.tables, &(tenant, user), &row)?;
    if !row.is_service_account {
        let personal: ShareId = share::make_personal(step, tenant, user, &row.display_name)?;
        row.personal_share = Some(personal);
        table::put::<Users>(step.tables, &(tenant, user), &row)?;
    }
    let payload = vec![("email", row.email)];
    audit::record(step, tenant, Draft::info(Category::Admin, "user.created", user, payload))?;
    Ok(user)
}

/// Claims an address for a user; refused where it is another's.
fn take_email(
    step: &mut Step<'_>,
    tenant: TenantId,
    user: UserId,
    email: &str,
) -> Result<(), Stop> {
    field::email("email", email)?;
    let key = (tenant, field::folded(email));
    match table::get::<UsersByEmail>(step.reader(), &key)? {
        Some(other) if other != user => Err(Refusal::AlreadyExists.into()),
        _ => Ok(table::put::<UsersByEmail>(step.tables, &key, &user)?),
    }
}

/// What a token says of a person.
pub(super) struct Seen<'a> {
    pub(super) issuer: &'a str,
    pub(super) subject: &'a str,
    pub(super) email: &'a str,
    pub(super) name: &'a str,
}

/// The user that a token speaks of, made at first sight. A user whom an administrator has entered
/// by address, and as whom nobody has signed in yet, is taken to be the same person.
pub(super) fn provision(
    step: &mut Step<'_>,
    tenant: TenantId,
    seen: &Seen<'_>,
) -> Result<Answer, Stop> {
    check_subject((seen.issuer, seen.subject))?;
    let by_subject = (tenant, seen.issuer.to_owned(), seen.subject.to_owned());
    if let Some(user) = table::get::<UsersBySubject>(step.reader(), &by_subject)? {
        return sign_in(step, tenant, user);
    }
    let by_email = (tenant, field::folded(seen.email));
    if let Some(user) = table::get::<UsersByEmail>(step.reader(), &by_email)? {
        let row = load(step, tenant, user)?;
        if row.last_login_at.is_some() || row.source != ProvisioningSource::Admin {
            return Err(Refusal::AlreadyExists.into());
        }
        table::put::<UsersBySubject>(step.tables, &by_subject, &user)?;
        return sign_in(step, tenant, user);
    }
    let name = if seen.name.trim().is_empty() { seen.email } else { seen.name };
    let row = User {
        email: seen.email.to_owned(),
        name: name.to_owned(),
        display_name: name.to_owned(),
        avatar_url: None,
        status: UserStatus::Active,
        admin_role: None,
        source: ProvisioningSource::Token,
        is_service_account: false,
        created_at: step.now,
        last_login_at: Some(step.now),
        personal_share: None,
        revision: step.index,
    };
    let user = add(step, tenant, row, Some((seen.issuer, seen.subject)))?;
    Ok(Answer::User { user, created: true })
}

/// Notes that somebody signed in as this user, if the user may.
fn sign_in(step: &mut Step<'_>, tenant: TenantId, user: UserId) -> Result<Answer, Stop> {
    note_sign_in(step, tenant, user)?;
    Ok(Answer::User { user, created: false })
}

pub(crate) fn note_sign_in(
    step: &mut Step<'_>,
    tenant: TenantId,
    user: UserId,
) -> Result<(), Stop> {
    let row = table::get::<Users>(step.reader(), &(tenant, user))?;
    let mut row = row.ok_or(Refusal::NotFound(Noun::User))?;
    match row.status {
        UserStatus::Active => {}
        UserStatus::Pending => row.status = UserStatus::Active,
        UserStatus::Suspended | UserStatus::Inactive | UserStatus::Deleted => {
            return Err(Refusal::Suspended.into());
        }
    }
    row.last_login_at = Some(step.now);
    table::put::<Users>(step.tables, &(tenant, user), &row)?;
    Ok(())
}

/// A user that is not deleted.
fn load(step: &Step<'_>, tenant: TenantId, user: UserId) -> Result<User, Stop> {
    let row = table::get::<Users>(step.reader(), &(tenant, user))?;
    let live = row.filter(|row| row.status != UserStatus::Deleted);
    Ok(live.ok_or(Refusal::NotFound(Noun::User))?)
}

/// The user whom an administrator, or a node, speaks of, with its tenant. Nobody administers who
/// has a higher role.
fn load_for_admin(step: &Step<'_>, user: UserId) -> Result<(TenantId, User), Stop> {
    let Caller::User(caller) = step.caller else {
        for ((tenant,), _) in table::all::<Tenants>(step.reader(), &())? {
            if table::has::<Users>(step.reader(), &(tenant, user))? {
                return Ok((tenant, load(step, tenant, user)?));
            }
        }
        return Err(Refusal::NotFound(Noun::User).into());
    };
    access::require_admin(step)?;
    let row = load(step, caller.tenant, user)?;
    let mine = load(step, caller.tenant, caller.user)?.admin_role;
    if row.admin_role > mine {
        return Err(Refusal::RoleMissing.into());
    }
    Ok((caller.tenant, row))
}

pub(super) fn update(
    step: &mut Step<'_>,
    user: UserId,
    display_name: Option<&str>,
    email: Option<&str>,
    admin_role: Option<Option<AdminRole>>,
) -> Result<Answer, Stop> {
    let (tenant, mut row) = load_for_admin(step, user)?;
    access::require_revision(step, row.revision)?;
    let mut payload = Vec::new();
    if let Some(display_name) = display_name {
        field::display_name("display_name", display_name)?;
        display_name.clone_into(&mut row.display_name);
        payload.push(("display_name", display_name.to_owned()));
    }
    if let Some(email) = email {
        take_email(step, tenant, user, email)?;
        if field::folded(email) != field::folded(&row.email) {
            let old = (tenant, field::folded(&row.email));
            table::delete::<UsersByEmail>(step.tables, &old)?;
        }
        email.clone_into(&mut row.email);
        payload.push(("email", email.to_owned()));
    }
    if let Some(role) = admin_role {
        if matches!(step.caller, Caller::User(_)) && role != row.admin_role {
            require_may_give(role)?;
        }
        row.admin_role = role;
        payload.push(("admin_role", role.map_or("none", role_name).to_owned()));
    }
    row.revision = step.index;
    table::put::<Users>(step.tables, &(tenant, user), &row)?;
    audit::record(step, tenant, Draft::info(Category::Admin, "user.updated", user, payload))?;
    Ok(Answer::User { user, created: false })
}

fn role_name(role: AdminRole) -> &'static str {
    match role {
        AdminRole::TenantAdmin => "tenant_admin",
        AdminRole::PartnerAdmin => "partner_admin",
        AdminRole::SuperAdmin => "super_admin",
    }
}

/// A suspended user is refused from the next command and the next request on, on every node.
pub(super) fn set_suspended(
    step: &mut Step<'_>,
    user: UserId,
    suspended: bool,
) -> Result<Answer, Stop> {
    let (tenant, mut row) = load_for_admin(step, user)?;
    access::require_revision(step, row.revision)?;
    require_other(step, user)?;
    row.status = if suspended { UserStatus::Suspended } else { UserStatus::Active };
    row.revision = step.index;
    table::put::<Users>(step.tables, &(tenant, user), &row)?;
    let action = if suspended { "user.suspended" } else { "user.activated" };
    audit::record(step, tenant, Draft::warning(Category::Admin, action, user, Vec::new()))?;
    Ok(Answer::User { user, created: false })
}

/// Nobody locks themselves out.
fn require_other(step: &Step<'_>, user: UserId) -> Result<(), Refusal> {
    match step.caller {
        Caller::User(caller) if caller.user == user => {
            Err(field::rule("user_id", "is your own: another administrator must do this"))
        }
        Caller::User(_) | Caller::Node(_) => Ok(()),
    }
}

/// The row stays, so that what the user made still has a maker. The address is free again; the
/// subject is not, so that a token of the deleted user does not make a new one. Devices and what
/// lists say of the user may be many: they go with upkeep.
pub(super) fn delete(step: &mut Step<'_>, user: UserId) -> Result<Answer, Stop> {
    let (tenant, mut row) = load_for_admin(step, user)?;
    access::require_revision(step, row.revision)?;
    require_other(step, user)?;
    table::delete::<UsersByEmail>(step.tables, &(tenant, field::folded(&row.email)))?;
    table::delete::<Passwords>(step.tables, &(tenant, user))?;
    for ((_, _, group), ()) in table::all::<UserGroups>(step.reader(), &(tenant, user))? {
        super::group::unlink(step, tenant, group, user)?;
    }
    let principal = Principal::User(user);
    for ((_, _, of), ()) in table::all::<PrincipalShares>(step.reader(), &(tenant, principal))? {
        share::drop_member(step, tenant, of, principal)?;
    }
    for ((_, _, target), _) in table::all::<Favorites>(step.reader(), &(tenant, user))? {
        drop_favorite(step, tenant, user, target)?;
    }
    table::put::<LeftUsers>(step.tables, &(tenant, user), &())?;
    row.status = UserStatus::Deleted;
    row.admin_role = None;
    row.revision = step.index;
    table::put::<Users>(step.tables, &(tenant, user), &row)?;
    audit::record(step, tenant, Draft::warning(Category::Admin, "user.deleted", user, Vec::new()))?;
    Ok(Answer::Done)
}

pub(super) fn set_favorite(
    step: &mut Step<'_>,
    target: Target,
    favorite: bool,
) -> Result<Answer, Stop> {
    let (tenant, user) = step.who()?;
    let key = (tenant, user, target);
    if !favorite {
        drop_favorite(step, tenant, user, target)?;
        return Ok(Answer::Done);
    }
    let chain = Chain::of_target(step.reader(), tenant, target)?;
    let chain = chain.ok_or(Refusal::NotFound(access::noun(target)))?;
    let viewer = Viewer::of(step.reader(), step.now, step.user()?)?;
    let verdict = viewer.verdict(step.reader(), &chain)?;
    access::require_verdict(step, verdict, &chain, node_base::Permission::Read)?;
    let favorites = table::all::<Favorites>(step.reader(), &(tenant, user))?;
    if favorites.len() >= FAVORITES_MAX {
        let most = Invalid::TooMany { max: FAVORITES_MAX as u64 };
        return Err(Refusal::invalid("resource_id", most).into());
    }
    table::put::<Favorites>(step.tables, &key, &step.now)?;
    table::put::<FavoredBy>(step.tables, &(tenant, target, user), &())?;
    Ok(Answer::Done)
}

fn drop_favorite(
    step: &mut Step<'_>,
    tenant: TenantId,
    user: UserId,
    target: Target,
) -> Result<(), TableError> {
    table::delete::<Favorites>(step.tables, &(tenant, user, target))?;
    table::delete::<FavoredBy>(step.tables, &(tenant, target, user))
}

/// What is removed for good is nobody's favorite, after at most `limit` of them; answers how many.
pub(crate) fn forget_favorite(
    step: &mut Step<'_>,
    tenant: TenantId,
    target: Target,
    limit: usize,
) -> Result<usize, TableError> {
    let users = table::some::<FavoredBy>(step.reader(), &(tenant, target), limit)?;
    for (_, _, user) in &users {
        drop_favorite(step, tenant, *user, target)?;
    }
    Ok(users.len())
}
