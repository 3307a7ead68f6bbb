//! What the built-in issuer keeps: passwords, keys, and grants on their way to a token.
//!
//! Grants stand under the SHA-256 of a secret that only its holder has. A code and a device code
//! are good for one use; a refresh token is replaced at each use, and all that replaced one another
//! are one family: when a used one comes again the family ends, for then two hold it.

use node_base::{Duration, Sha256, TenantId, UserId, sha256};

use super::audit::{self, Draft};
use super::people::{field, user};
use super::{Step, Stop};
use crate::command::IdentityCommand;
use crate::outcome::{Answer, Expired, Noun, Refusal};
use crate::query;
use crate::table::audit::Category;
use crate::table::identity::{
    Grant, GrantKind, Grants, GrantsByAge, Password, Passwords, SigningKey, SigningKeys,
};
use crate::table::people::{UserStatus, Users};
use crate::table::{self};
use crate::tables::TableError;

/// How long a refresh token is good for if it is not used.
const REFRESH_KEPT: Duration = Duration::from_secs(30 * 24 * 3600);
/// Bytes of a key's name, of a key, and of the texts of a grant.
const KID_MAX: usize = 64;
const KEY_MAX: usize = 4_096;
const GRANT_TEXT_MAX: usize = 2_048;

pub(crate) fn run(step: &mut Step<'_>, command: &IdentityCommand) -> Result<Answer, Stop> {
    match command {
        IdentityCommand::SetPassword { tenant, user, phc } => {
            set_password(step, *tenant, *user, phc)
        }
        IdentityCommand::NoteAttempt { tenant, user, succeeded } => {
            note_attempt(step, *tenant, *user, *succeeded)
        }
        IdentityCommand::AddSigningKey { kid, key } => add_key(step, kid, key),
        IdentityCommand::RetireSigningKey { kid } => retire_key(step, kid),
        IdentityCommand::AddGrant { secret, grant } => add_grant(step, *secret, grant),
        IdentityCommand::AnswerDevice { user_code, user } => answer_device(step, user_code, *user),
        IdentityCommand::TakeGrant { secret, client_id, replacement } => {
            take_grant(step, *secret, client_id, *replacement)
        }
        IdentityCommand::RevokeGrant { secret } => revoke_grant(step, *secret),
    }
}

/// A new password ends sessions and refresh tokens that the old one gave.
fn set_password(
    step: &mut Step<'_>,
    tenant: TenantId,
    id: UserId,
    phc: &str,
) -> Result<Answer, Stop> {
    user::check_phc(phc)?;
    let row = table::get::<Users>(step.reader(), &(tenant, id))?;
    if row.is_none_or(|row| row.status == UserStatus::Deleted) {
        return Err(Refusal::NotFound(Noun::User).into());
    }
    let (phc, changed_at) = (phc.to_owned(), step.now);
    let row = Password { phc, changed_at, failures: 0, failed_at: None };
    table::put::<Passwords>(step.tables, &(tenant, id), &row)?;
    for (secret, grant) in query::identity::grants_of(step.reader(), tenant, id)? {
        remove_grant(step, secret, &grant)?;
    }
    note(step, tenant, "user.password_set", id)?;
    Ok(Answer::Done)
}

/// While wrong attempts are throttled none is judged, right or wrong, whichever node asks.
fn note_attempt(
    step: &mut Step<'_>,
    tenant: TenantId,
    id: UserId,
    succeeded: bool,
) -> Result<Answer, Stop> {
    let row = table::get::<Passwords>(step.reader(), &(tenant, id))?;
    let mut row = row.ok_or(Refusal::NotFound(Noun::User))?;
    if let Some(until) = query::identity::throttled_until(&row).filter(|until| step.now < *until) {
        return Err(Refusal::Throttled { until }.into());
    }
    if succeeded {
        (row.failures, row.failed_at) = (0, None);
        user::note_sign_in(step, tenant, id)?;
        note(step, tenant, "user.signed_in", id)?;
    } else {
        row.failures = row.failures.saturating_add(1);
        row.failed_at = Some(step.now);
        let draft = Draft::warning(Category::Authentication, "user.sign_in_failed", id, vec![]);
        audit::record(step, tenant, draft)?;
    }
    table::put::<Passwords>(step.tables, &(tenant, id), &row)?;
    Ok(Answer::Done)
}

fn note(
    step: &mut Step<'_>,
    tenant: TenantId,
    action: &'static str,
    user: UserId,
) -> Result<(), Stop> {
    audit::record(step, tenant, Draft::info(Category::Authentication, action, user, vec![]))
}

/// The same key again is taken as a repetition.
fn add_key(step: &mut Step<'_>, kid: &str, key: &SigningKey) -> Result<Answer, Stop> {
    field::line("kid", kid, KID_MAX)?;
    if key.private_der.is_empty() || key.private_der.len() > KEY_MAX {
        return Err(field::rule("key", "is no private key").into());
    }
    match table::get::<SigningKeys>(step.reader(), &(kid.to_owned(),))? {
        Some(known) if known.private_der == key.private_der => return Ok(Answer::Done),
        Some(_) => return Err(Refusal::AlreadyExists.into()),
        None => {}
    }
    let row = SigningKey { created_at: step.now, retired_at: None, ..key.clone() };
    table::put::<SigningKeys>(step.tables, &(kid.to_owned(),), &row)?;
    Ok(Answer::Done)
}

fn retire_key(step: &mut Step<'_>, kid: &str) -> Result<Answer, Stop> {
    let key = (kid.to_owned(),);
    let row = table::get::<SigningKeys>(step.reader(), &key)?;
    let mut row = row.ok_or(Refusal::NotFound(Noun::Grant))?;
    row.retired_at = row.retired_at.or(Some(step.now));
    table::put::<SigningKeys>(step.tables, &key, &row)?;
    Ok(Answer::Done)
}

fn put_grant(step: &mut Step<'_>, secret: Sha256, grant: &Grant) -> Result<(), TableError> {
    table::put::<GrantsByAge>(step.tables, &(grant.expires_at, secret), &())?;
    table::put::<Grants>(step.tables, &(secret,), grant)
}

/// Removes a grant with what stands for it elsewhere: a refresh token's family, a user code.
fn remove_grant(step: &mut Step<'_>, secret: Sha256, grant: &Grant) -> Result<(), TableError> {
    let beside = match &grant.kind {
        GrantKind::Refresh { family, .. } => Some(*family),
        GrantKind::Device { user_code, .. } => Some(user_code_key(user_code)),
        _ => None,
    };
    for key in beside.into_iter().chain([secret]) {
        table::delete::<Grants>(step.tables, &(key,))?;
    }
    table::delete::<GrantsByAge>(step.tables, &(grant.expires_at, secret))
}

/// Under which hash a user code finds its device code: no secret hashes to it.
pub(crate) fn user_code_key(user_code: &str) -> Sha256 {
    sha256(format!("user code {user_code}").as_bytes())
}

fn family_key(first: Sha256) -> Sha256 {
    sha256(format!("family of {first}").as_bytes())
}

fn check_grant(step: &Step<'_>, grant: &Grant) -> Result<(), Refusal> {
    let mut texts = vec![("client_id", Some(&grant.client_id)), ("scope", Some(&grant.scope))];
    match &grant.kind {
        GrantKind::Code { redirect_uri, challenge, nonce } => texts.extend([
            ("redirect_uri", Some(redirect_uri)),
            ("code_challenge", challenge.as_ref()),
            ("nonce", nonce.as_ref()),
        ]),
        GrantKind::Device { user_code, .. } => {
            field::line("user_code", user_code, KID_MAX)?;
        }
        GrantKind::Session | GrantKind::Refresh { .. } => {}
        GrantKind::UserCode { .. } | GrantKind::Family | GrantKind::Spent { .. } => {
            return Err(Refusal::WrongCaller);
        }
    }
    for (name, text) in texts {
        if text.is_some_and(|text| text.len() > GRANT_TEXT_MAX) {
            return Err(field::rule(name, "is too long"));
        }
    }
    if grant.expires_at <= step.now {
        return Err(Refusal::Expired(Expired::Grant));
    }
    Ok(())
}

fn add_grant(step: &mut Step<'_>, secret: Sha256, grant: &Grant) -> Result<Answer, Stop> {
    check_grant(step, grant)?;
    if table::has::<Grants>(step.reader(), &(secret,))? {
        return Err(Refusal::AlreadyExists.into());
    }
    match &grant.kind {
        GrantKind::Device { user_code, .. } => {
            let key = user_code_key(user_code);
            let other = table::get::<Grants>(step.reader(), &(key,))?;
            if other.is_some_and(|other| step.now < other.expires_at) {
                return Err(Refusal::AlreadyExists.into());
            }
            let kind = GrantKind::UserCode { device: secret };
            put_grant(step, key, &Grant { kind, ..grant.clone() })?;
        }
        GrantKind::Refresh { .. } => {
            let family = family_key(secret);
            put_grant(step, family, &Grant { kind: GrantKind::Family, ..grant.clone() })?;
            let kind = GrantKind::Refresh { family, used: false };
            put_grant(step, secret, &Grant { kind, ..grant.clone() })?;
            return Ok(Answer::Done);
        }
        _ => {}
    }
    put_grant(step, secret, grant)?;
    Ok(Answer::Done)
}

fn answer_device(
    step: &mut Step<'_>,
    user_code: &str,
    user: Option<(TenantId, UserId)>,
) -> Result<Answer, Stop> {
    let found = query::identity::device(step.reader(), user_code)?;
    let (secret, mut grant) = found.ok_or(Refusal::NotFound(Noun::Grant))?;
    if grant.expires_at <= step.now {
        return Err(Refusal::Expired(Expired::Grant).into());
    }
    let GrantKind::Device { denied, .. } = &mut grant.kind else {
        return Err(Refusal::NotFound(Noun::Grant).into());
    };
    if *denied || grant.user.is_some() {
        return Err(Refusal::AlreadyExists.into());
    }
    *denied = user.is_none();
    grant.user = user;
    put_grant(step, secret, &grant)?;
    Ok(Answer::Done)
}

fn take_grant(
    step: &mut Step<'_>,
    secret: Sha256,
    client_id: &str,
    replacement: Option<Sha256>,
) -> Result<Answer, Stop> {
    let grant = table::get::<Grants>(step.reader(), &(secret,))?;
    let grant = grant.filter(|grant| grant.client_id == client_id);
    let grant = grant.ok_or(Refusal::NotFound(Noun::Grant))?;
    if grant.expires_at <= step.now {
        return Err(Refusal::Expired(Expired::Grant).into());
    }
    match &grant.kind {
        GrantKind::Code { .. } => {}
        GrantKind::Device { denied: true, .. } => return Err(Refusal::PermissionDenied.into()),
        // Nobody has answered yet: the device asks again later.
        GrantKind::Device { .. } if grant.user.is_none() => {
            return Err(Refusal::PreconditionFailed.into());
        }
        GrantKind::Device { .. } => {}
        GrantKind::Refresh { family, used } => {
            return refresh(step, secret, &grant, (*family, *used), replacement);
        }
        GrantKind::Spent { family } => return end(step, &grant, *family),
        GrantKind::Session | GrantKind::UserCode { .. } | GrantKind::Family => {
            return Err(Refusal::NotFound(Noun::Grant).into());
        }
    }
    require_user(step, &grant)?;
    let family = replacement.map(family_key);
    remove_grant(step, secret, &grant)?;
    put_grant(step, secret, &Grant { kind: GrantKind::Spent { family }, ..grant.clone() })?;
    if let Some((family, replacement)) = family.zip(replacement) {
        issue(step, &grant, family, replacement)?;
    }
    Ok(Answer::Grant(grant))
}

/// Whoever a grant is for must still be allowed in.
fn require_user(step: &Step<'_>, grant: &Grant) -> Result<(), Stop> {
    let (tenant, user) = grant.user.ok_or(Refusal::NotFound(Noun::Grant))?;
    let row = table::get::<Users>(step.reader(), &(tenant, user))?;
    match row.map(|row| row.status) {
        Some(UserStatus::Active) => Ok(()),
        Some(_) => Err(Refusal::Suspended.into()),
        None => Err(Refusal::NotFound(Noun::User).into()),
    }
}

/// A refresh token of a family, which is good for as long again.
fn issue(
    step: &mut Step<'_>,
    grant: &Grant,
    family: Sha256,
    secret: Sha256,
) -> Result<(), TableError> {
    let expires_at = step.now.after(REFRESH_KEPT);
    let token = |kind| Grant { kind, expires_at, ..grant.clone() };
    put_grant(step, family, &token(GrantKind::Family))?;
    put_grant(step, secret, &token(GrantKind::Refresh { family, used: false }))
}

fn refresh(
    step: &mut Step<'_>,
    secret: Sha256,
    grant: &Grant,
    (family, used): (Sha256, bool),
    replacement: Option<Sha256>,
) -> Result<Answer, Stop> {
    if !table::has::<Grants>(step.reader(), &(family,))? {
        return Err(Refusal::NotFound(Noun::Grant).into());
    }
    let replacement =
        replacement.ok_or_else(|| field::rule("replacement", "is needed for a refresh token"))?;
    if used {
        // The very command again is answered again; the same token with another is a theft.
        let next = table::get::<Grants>(step.reader(), &(replacement,))?;
        return match next.map(|next| next.kind) {
            Some(GrantKind::Refresh { family: of, used: false }) if of == family => {
                let kind = GrantKind::Refresh { family, used: false };
                Ok(Answer::Grant(Grant { kind, ..grant.clone() }))
            }
            _ => end(step, grant, Some(family)),
        };
    }
    require_user(step, grant)?;
    let kind = GrantKind::Refresh { family, used: true };
    put_grant(step, secret, &Grant { kind, ..grant.clone() })?;
    issue(step, grant, family, replacement)?;
    Ok(Answer::Grant(grant.clone()))
}

/// Somebody used what was used up: what came of it ends.
fn end(step: &mut Step<'_>, grant: &Grant, family: Option<Sha256>) -> Result<Answer, Stop> {
    if let Some(family) = family {
        table::delete::<Grants>(step.tables, &(family,))?;
    }
    if let Some((tenant, user)) = grant.user {
        let payload = vec![("client_id", grant.client_id.clone())];
        let draft = Draft::warning(Category::Security, "grant.reused", user, payload);
        audit::record(step, tenant, draft)?;
    }
    Ok(Answer::GrantRevoked)
}

fn revoke_grant(step: &mut Step<'_>, secret: Sha256) -> Result<Answer, Stop> {
    if let Some(grant) = table::get::<Grants>(step.reader(), &(secret,))? {
        remove_grant(step, secret, &grant)?;
    }
    Ok(Answer::Done)
}

#[cfg(test)]
mod tests {
    use node_base::{Duration, Sha256, sha256};

    use crate::command::{Command, IdentityCommand};
    use crate::fixture::Fixture;
    use crate::outcome::{Answer, Expired, Noun, Outcome, Refusal};
    use crate::query;
    use crate::table::identity::{Grant, GrantKind};

    const MINUTE: Duration = Duration::from_secs(60);

    fn run(fixture: &mut Fixture, command: IdentityCommand) -> Outcome {
        fixture.run_node(Command::Identity(command))
    }

    fn grant(fixture: &Fixture, kind: GrantKind) -> Grant {
        let user = match kind {
            GrantKind::Device { .. } => None,
            _ => Some((fixture.tenant, fixture.ann)),
        };
        let expires_at = fixture.now.after(10 * MINUTE);
        let (client_id, scope) = ("web".to_owned(), "files:read".to_owned());
        Grant { kind, client_id, scope, expires_at, user }
    }

    fn code() -> GrantKind {
        GrantKind::Code { redirect_uri: "http://x/".to_owned(), challenge: None, nonce: None }
    }

    fn add(fixture: &mut Fixture, secret: &str, kind: GrantKind) -> Outcome {
        let grant = grant(fixture, kind);
        run(fixture, IdentityCommand::AddGrant { secret: sha256(secret.as_bytes()), grant })
    }

    fn take(fixture: &mut Fixture, secret: &str, replacement: Option<&str>) -> Outcome {
        let hash = |text: &str| -> Sha256 { sha256(text.as_bytes()) };
        let (secret, replacement) = (hash(secret), replacement.map(hash));
        let client_id = "web".to_owned();
        run(fixture, IdentityCommand::TakeGrant { secret, client_id, replacement })
    }

    const GONE: Outcome = Err(Refusal::NotFound(Noun::Grant));

    #[test]
    fn a_code_is_good_once_and_a_thief_ends_what_came_of_it() {
        let mut fixture = Fixture::new();
        assert_eq!(add(&mut fixture, "code", code()), Ok(Answer::Done));
        assert_eq!(add(&mut fixture, "code", code()), Err(Refusal::AlreadyExists));
        assert!(matches!(take(&mut fixture, "code", Some("r1")), Ok(Answer::Grant(_))));
        assert!(matches!(take(&mut fixture, "r1", Some("r2")), Ok(Answer::Grant(_))));
        assert_eq!(take(&mut fixture, "code", Some("x")), Ok(Answer::GrantRevoked));
        assert_eq!(take(&mut fixture, "r2", Some("r3")), GONE);
    }

    #[test]
    fn a_refresh_token_used_twice_ends_its_family() {
        let mut fixture = Fixture::new();
        assert!(add(&mut fixture, "code", code()).is_ok());
        assert!(take(&mut fixture, "code", Some("r1")).is_ok());
        let first = take(&mut fixture, "r1", Some("r2"));
        assert_eq!(take(&mut fixture, "r1", Some("r2")), first, "the very command again");
        fixture.pass(Duration::from_secs(29 * 24 * 3600));
        assert!(matches!(take(&mut fixture, "r2", Some("r3")), Ok(Answer::Grant(_))));
        assert_eq!(take(&mut fixture, "r1", Some("x")), Ok(Answer::GrantRevoked));
        assert_eq!(take(&mut fixture, "r3", Some("r4")), GONE);
    }

    #[test]
    fn what_is_late_or_another_clients_or_a_suspended_users_is_refused() {
        let mut fixture = Fixture::new();
        assert!(add(&mut fixture, "code", code()).is_ok());
        let (secret, replacement) = (sha256(b"code"), None);
        let client_id = "other".to_owned();
        let stolen = IdentityCommand::TakeGrant { secret, client_id, replacement };
        assert_eq!(run(&mut fixture, stolen), GONE);
        let (root, user) = (fixture.root, fixture.ann);
        let suspend = crate::command::People::SetSuspended { user, suspended: true };
        assert!(fixture.run(root, Command::People(suspend)).is_ok());
        assert_eq!(take(&mut fixture, "code", None), Err(Refusal::Suspended));
        fixture.pass(10 * MINUTE);
        assert_eq!(take(&mut fixture, "code", None), Err(Refusal::Expired(Expired::Grant)));
        assert_eq!(add(&mut fixture, "session", GrantKind::Session), Ok(Answer::Done));
        assert_eq!(take(&mut fixture, "session", None), GONE);
    }

    #[test]
    fn a_device_waits_for_its_person() {
        let mut fixture = Fixture::new();
        let kind = |code: &str| GrantKind::Device { user_code: code.to_owned(), denied: false };
        assert!(add(&mut fixture, "d1", kind("ABCD")).is_ok());
        assert_eq!(add(&mut fixture, "d2", kind("ABCD")), Err(Refusal::AlreadyExists));
        assert!(add(&mut fixture, "d2", kind("EFGH")).is_ok());
        assert_eq!(take(&mut fixture, "d1", Some("r")), Err(Refusal::PreconditionFailed));
        let answer =
            |code: &str, user| IdentityCommand::AnswerDevice { user_code: code.to_owned(), user };
        let ann = Some((fixture.tenant, fixture.ann));
        assert_eq!(run(&mut fixture, answer("WXYZ", ann)), GONE);
        assert_eq!(run(&mut fixture, answer("ABCD", ann)), Ok(Answer::Done));
        assert_eq!(run(&mut fixture, answer("ABCD", None)), Err(Refusal::AlreadyExists));
        assert_eq!(run(&mut fixture, answer("EFGH", None)), Ok(Answer::Done));
        assert_eq!(take(&mut fixture, "d2", Some("r")), Err(Refusal::PermissionDenied));
        let Ok(Answer::Grant(taken)) = take(&mut fixture, "d1", Some("r")) else { panic!("taken") };
        assert_eq!(taken.user, ann);
        assert_eq!(take(&mut fixture, "d1", Some("s")), Ok(Answer::GrantRevoked));
    }

    #[test]
    fn wrong_passwords_wait_longer_and_longer() {
        let mut fixture = Fixture::new();
        let (tenant, user) = (fixture.tenant, fixture.ann);
        let phc = |text: &str| IdentityCommand::SetPassword { tenant, user, phc: text.to_owned() };
        assert!(matches!(run(&mut fixture, phc("plain")), Err(Refusal::Invalid { .. })));
        assert_eq!(run(&mut fixture, phc("$argon2id$v=19$x")), Ok(Answer::Done));
        let attempt = |succeeded| IdentityCommand::NoteAttempt { tenant, user, succeeded };
        for _ in 0..5 {
            assert_eq!(run(&mut fixture, attempt(false)), Ok(Answer::Done));
        }
        let until = fixture.now.after(Duration::from_secs(1));
        let refused: Outcome = Err(Refusal::Throttled { until });
        assert_eq!(run(&mut fixture, attempt(true)), refused, "a right one neither");
        fixture.pass(Duration::from_secs(1));
        assert_eq!(run(&mut fixture, attempt(false)), Ok(Answer::Done));
        fixture.pass(Duration::from_secs(1));
        assert!(run(&mut fixture, attempt(true)).is_err());
        fixture.pass(Duration::from_secs(1));
        assert_eq!(run(&mut fixture, attempt(true)), Ok(Answer::Done));
        let row = query::identity::password(&fixture.tables, tenant, user).expect("memory");
        assert_eq!(row.map(|row| row.failures), Some(0));
    }

    #[test]
    fn a_new_password_ends_what_the_old_one_gave() {
        let mut fixture = Fixture::new();
        assert!(add(&mut fixture, "code", code()).is_ok());
        assert!(take(&mut fixture, "code", Some("r1")).is_ok());
        assert!(add(&mut fixture, "session", GrantKind::Session).is_ok());
        let (tenant, user) = (fixture.tenant, fixture.ann);
        let phc = "$argon2id$v=19$y".to_owned();
        assert!(run(&mut fixture, IdentityCommand::SetPassword { tenant, user, phc }).is_ok());
        assert_eq!(take(&mut fixture, "r1", Some("r2")), GONE);
        let session = query::identity::grant(&fixture.tables, fixture.now, sha256(b"session"));
        assert_eq!(session.expect("memory"), None);
    }
}
