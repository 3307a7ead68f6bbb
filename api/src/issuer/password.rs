//! Passwords: hashed by argon2id, off the threads that serve requests, and hard to guess in bulk.

use std::ops::ControlFlow;

use api_ops::meta::command::IdentityCommand;
use api_ops::meta::table::identity::Password;
use api_ops::meta::table::people::{Tenants, UsersByEmail};
use api_ops::meta::{Command, Reader, Refusal, TableError, query, table};
use api_ops::{OpError, Ops};
use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use node_base::{Duration, TenantId, Timestamp, UserId, limits};

use super::OwnIssuer;

/// A password longer than this is not looked at.
pub const PASSWORD_MAX: usize = 1_024;
/// A password shorter than this is not taken.
pub const PASSWORD_MIN: usize = 8;
/// Tenants in which one address may have a password.
const TENANTS_MAX: usize = 16;

/// Why nobody is signed in.
#[derive(Debug, thiserror::Error)]
pub enum SignInError {
    #[error("the address or the password is wrong")]
    Wrong,
    #[error("there were too many wrong attempts; the next may be made in {seconds} seconds")]
    Wait { seconds: u64 },
    #[error("the account is suspended")]
    Suspended,
    #[error(transparent)]
    Op(#[from] OpError),
}

/// A password that cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a password has {PASSWORD_MIN} to {PASSWORD_MAX} bytes")]
pub struct PasswordError;

struct Candidate {
    tenant: TenantId,
    user: UserId,
    password: Password,
}

/// Everybody of this address who has a password, one for each tenant.
fn candidates(tables: &dyn Reader, email: &str) -> Result<Vec<Candidate>, TableError> {
    let mut tenants = Vec::new();
    table::scan::<Tenants>(tables, &(), &mut |(tenant,), _| {
        tenants.push(tenant);
        ControlFlow::Continue(())
    })?;
    let mut found = Vec::new();
    for tenant in tenants {
        let Some(user) = table::get::<UsersByEmail>(tables, &(tenant, email.to_owned()))? else {
            continue;
        };
        let password = query::identity::password(tables, tenant, user)?;
        found.extend(password.map(|password| Candidate { tenant, user, password }));
        if found.len() == TENANTS_MAX {
            break;
        }
    }
    Ok(found)
}

/// How many seconds until another attempt may be made, if not now.
fn wait(until: Option<Timestamp>, now: Timestamp) -> Option<u64> {
    let left = until?.since(now);
    (left > Duration::ZERO).then(|| left.as_secs() + 1)
}

impl OwnIssuer {
    /// Who somebody with this address and password is.
    ///
    /// # Errors
    /// Why not; an unknown address and a wrong password are not told apart, and take equally long.
    pub(super) async fn sign_in(
        &self,
        ops: &Ops,
        email: &str,
        password: &str,
    ) -> Result<(TenantId, UserId), SignInError> {
        let email = email.trim().to_lowercase();
        if email.len() > limits::EMAIL_MAX || password.len() > PASSWORD_MAX {
            return Err(SignInError::Wrong);
        }
        let found = ops.look_now(move |tables| candidates(tables, &email)).await?;
        if found.is_empty() {
            self.hash(ops, password).await;
            return Err(SignInError::Wrong);
        }
        let mut refused = SignInError::Wrong;
        for candidate in found {
            let until = query::identity::throttled_until(&candidate.password);
            if let Some(seconds) = wait(until, ops.world.wall()) {
                refused = SignInError::Wait { seconds };
                continue;
            }
            let (tenant, user) = (candidate.tenant, candidate.user);
            let succeeded = self.fits(ops, password, candidate.password.phc).await;
            let note = IdentityCommand::NoteAttempt { tenant, user, succeeded };
            match ops.agree_as_node::<()>(Command::Identity(note)).await {
                Ok(()) if succeeded => return Ok((tenant, user)),
                Ok(()) => {}
                Err(OpError::Refused(Refusal::Suspended)) => refused = SignInError::Suspended,
                Err(OpError::Refused(Refusal::Throttled { until })) => {
                    let seconds = wait(Some(until), ops.world.wall()).unwrap_or(1);
                    refused = SignInError::Wait { seconds };
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(refused)
    }

    async fn fits(&self, ops: &Ops, password: &str, phc: String) -> bool {
        let _turn = self.hashing.acquire().await;
        let password = password.to_owned();
        let fits = move || {
            let hash = PasswordHash::new(&phc);
            hash.is_ok_and(|hash| {
                Argon2::default().verify_password(password.as_bytes(), &hash).is_ok()
            })
        };
        ops.world.blocking(fits).await
    }

    /// A password as it is stored: argon2id in PHC format.
    async fn hash(&self, ops: &Ops, password: &str) -> Option<String> {
        let _turn = self.hashing.acquire().await;
        let mut salt = [0; 16];
        ops.world.fill_random(&mut salt);
        let password = password.to_owned();
        let hash = move || {
            let hash = Argon2::default().hash_password_with_salt(password.as_bytes(), &salt);
            hash.ok().map(|hash: PasswordHash| hash.to_string())
        };
        ops.world.blocking(hash).await
    }

    /// A password that somebody chose, as it is stored.
    ///
    /// # Errors
    /// When it is too short or too long.
    pub async fn hash_chosen(&self, ops: &Ops, password: &str) -> Result<String, PasswordError> {
        if !(PASSWORD_MIN..=PASSWORD_MAX).contains(&password.len()) {
            return Err(PasswordError);
        }
        self.hash(ops, password).await.ok_or(PasswordError)
    }
}

/// A password that nobody chose: 99 random bits, in groups that can be read aloud.
pub fn generate(ops: &Ops) -> String {
    const LETTERS: &[u8; 32] = b"abcdefghjkmnpqrstuvwxyz23456789-";
    let mut bits = ops.world.random();
    let mut text = String::new();
    for at in 0..20 {
        if at > 0 && at % 5 == 0 {
            text.push('-');
        }
        // 31 letters: the hyphen is only between groups.
        text.push(char::from(LETTERS[(bits % 31) as usize]));
        bits /= 31;
    }
    text
}
