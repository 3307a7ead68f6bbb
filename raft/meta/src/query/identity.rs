//! What the built-in issuer reads.

use std::ops::ControlFlow;

use node_base::{Duration, Sha256, TenantId, Timestamp, UserId};

use crate::apply::identity::user_code_key;
use crate::table::identity::{
    Grant, GrantKind, Grants, Password, Passwords, SigningKey, SigningKeys,
};
use crate::table::{self};
use crate::tables::{Reader, TableError};

/// Wrong attempts that cost nothing; each one more doubles the wait, from a second up to the most.
const FREE_ATTEMPTS: u32 = 5;
const WAIT_MAX: Duration = Duration::from_secs(15 * 60);

/// A user's password row: its hash, and the wrong attempts since the last right one.
pub fn password(
    tables: &dyn Reader,
    tenant: TenantId,
    user: UserId,
) -> Result<Option<Password>, TableError> {
    table::get::<Passwords>(tables, &(tenant, user))
}

/// Until when no attempt is taken; nothing when there were few wrong ones.
pub fn throttled_until(password: &Password) -> Option<Timestamp> {
    let over = password.failures.checked_sub(FREE_ATTEMPTS)?;
    let seconds = 1u64.checked_shl(over).unwrap_or(u64::MAX);
    let wait = Duration::from_secs(seconds).min(WAIT_MAX);
    password.failed_at.map(|failed_at| failed_at.after(wait))
}

/// All signing keys by name, retired ones too: what they signed may still live.
pub fn signing_keys(tables: &dyn Reader) -> Result<Vec<(String, SigningKey)>, TableError> {
    let rows = table::all::<SigningKeys>(tables, &())?;
    Ok(rows.into_iter().map(|((kid,), key)| (kid, key)).collect())
}

/// The grant that this secret's hash stands for, if it is good now.
pub fn grant(
    tables: &dyn Reader,
    now: Timestamp,
    secret: Sha256,
) -> Result<Option<Grant>, TableError> {
    let grant = table::get::<Grants>(tables, &(secret,))?;
    let Some(grant) = grant.filter(|grant| now < grant.expires_at) else { return Ok(None) };
    let is_good = match grant.kind {
        GrantKind::Code { .. } | GrantKind::Session | GrantKind::Device { denied: false, .. } => {
            true
        }
        GrantKind::Refresh { family, used } => !used && table::has::<Grants>(tables, &(family,))?,
        GrantKind::Device { denied: true, .. }
        | GrantKind::UserCode { .. }
        | GrantKind::Family
        | GrantKind::Spent { .. } => false,
    };
    Ok(is_good.then_some(grant))
}

/// The device code that shows this user code, with the hash it stands under; it may have expired.
pub fn device(tables: &dyn Reader, user_code: &str) -> Result<Option<(Sha256, Grant)>, TableError> {
    let alias = table::get::<Grants>(tables, &(user_code_key(user_code),))?;
    let Some(GrantKind::UserCode { device }) = alias.map(|alias| alias.kind) else {
        return Ok(None);
    };
    Ok(table::get::<Grants>(tables, &(device,))?.map(|grant| (device, grant)))
}

/// A user's sessions and refresh tokens, by the hashes of their secrets.
pub fn grants_of(
    tables: &dyn Reader,
    tenant: TenantId,
    user: UserId,
) -> Result<Vec<(Sha256, Grant)>, TableError> {
    let mut grants = Vec::new();
    table::scan::<Grants>(tables, &(), &mut |(secret,), grant| {
        let lasts = matches!(grant.kind, GrantKind::Session | GrantKind::Refresh { .. });
        if lasts && grant.user == Some((tenant, user)) {
            grants.push((secret, grant));
        }
        ControlFlow::Continue(())
    })?;
    Ok(grants)
}
