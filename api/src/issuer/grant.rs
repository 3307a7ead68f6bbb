//! What is traded for tokens: codes, refresh tokens, device codes (RFC 6749, 7636, 8628).

use api_ops::meta::command::IdentityCommand;
use api_ops::meta::table::identity::{Grant, GrantKind, Grants};
use api_ops::meta::table::people::{AdminRole, User, UserStatus, Users};
use api_ops::meta::{Answer, Command, Scopes, UserCaller, table};
use api_ops::{OpError, Ops};
use api_types::v1::auth::{TokenRefusal, TokenRequest, Tokens};
use axum::Json;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{StatusCode, header};
use node_base::{Duration, Sha256, TenantId, UserId};

use super::{CLIENT_ID, MintError, OwnIssuer, narrowed, scope_text, scopes_of, secret};
use crate::error::ApiError;

/// How long an access token is good.
const ACCESS_LIFETIME: Duration = Duration::from_secs(3_600);
/// A code is for the next moment.
const CODE_LIFETIME: Duration = Duration::from_secs(60);

/// The grant of a device code, as RFC 8628 spells it.
pub const DEVICE_GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// A refusal in OAuth's words (RFC 6749, 5.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OAuthError {
    pub error: &'static str,
    pub description: &'static str,
}

impl OAuthError {
    pub const fn new(error: &'static str, description: &'static str) -> Self {
        Self { error, description }
    }
}

impl IntoResponse for OAuthError {
    fn into_response(self) -> Response {
        let unknown_client = self.error == "invalid_client";
        let status =
            if unknown_client { StatusCode::UNAUTHORIZED } else { StatusCode::BAD_REQUEST };
        let error_description = Some(self.description.to_owned());
        let body = TokenRefusal { error: self.error.to_owned(), error_description };
        (status, [(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
    }
}

/// Why there are no tokens.
#[derive(Debug)]
pub enum ExchangeError {
    Refused(OAuthError),
    Failed(ApiError),
}

impl From<OAuthError> for ExchangeError {
    fn from(error: OAuthError) -> Self {
        Self::Refused(error)
    }
}

impl From<OpError> for ExchangeError {
    fn from(error: OpError) -> Self {
        match error {
            // Whatever stands in the way of a grant, it is no longer one.
            OpError::Refused(_) => INVALID.into(),
            error => Self::Failed(error.into()),
        }
    }
}

impl From<MintError> for ExchangeError {
    fn from(error: MintError) -> Self {
        Self::Failed(error.into())
    }
}

impl IntoResponse for ExchangeError {
    fn into_response(self) -> Response {
        match self {
            Self::Refused(error) => error.into_response(),
            Self::Failed(error) => error.into_response(),
        }
    }
}

const INVALID: OAuthError = OAuthError::new(
    "invalid_grant",
    "the grant is not valid, not any more, or not for this client",
);

/// Trades a grant for tokens.
///
/// # Errors
/// What is wrong with the grant, or why nothing could be agreed.
pub async fn exchange(
    issuer: &OwnIssuer,
    ops: &Ops,
    request: &TokenRequest,
) -> Result<Tokens, ExchangeError> {
    if request.client_id.as_deref().is_some_and(|client| client != CLIENT_ID) {
        return Err(OAuthError::new("invalid_client", "this issuer has no such client").into());
    }
    match request.grant_type.as_str() {
        "authorization_code" => by_code(issuer, ops, request).await,
        "refresh_token" => by_refresh(issuer, ops, request).await,
        DEVICE_GRANT => by_device(issuer, ops, request).await,
        _ => Err(OAuthError::new("unsupported_grant_type", "this grant type is not known").into()),
    }
}

fn needed<'a>(value: &'a Option<String>, what: &'static str) -> Result<&'a str, OAuthError> {
    value.as_deref().ok_or(OAuthError::new("invalid_request", what))
}

fn hash(secret: &str) -> Sha256 {
    node_base::sha256(secret.as_bytes())
}

/// Takes a grant; a refresh token stands under `replacement` then.
async fn take(ops: &Ops, secret: Sha256, replacement: Sha256) -> Result<Grant, ExchangeError> {
    let (client_id, replacement) = (CLIENT_ID.to_owned(), Some(replacement));
    let command = IdentityCommand::TakeGrant { secret, client_id, replacement };
    match ops.agree_as_node(Command::Identity(command)).await? {
        Answer::Grant(grant) => Ok(grant),
        // It came a second time: what came of it has ended.
        _ => Err(INVALID.into()),
    }
}

/// The grant as it stands, without taking it.
async fn look_at(ops: &Ops, secret: Sha256) -> Result<Option<Grant>, OpError> {
    ops.look_now(move |tables| table::get::<Grants>(tables, &(secret,))).await
}

async fn by_code(
    issuer: &OwnIssuer,
    ops: &Ops,
    request: &TokenRequest,
) -> Result<Tokens, ExchangeError> {
    let code = hash(needed(&request.code, "code is missing")?);
    let verifier = needed(&request.code_verifier, "code_verifier is missing: PKCE is required")?;
    let at = needed(&request.redirect_uri, "redirect_uri is missing")?;
    let kind = look_at(ops, code).await?.map(|grant| grant.kind);
    if !matches!(kind, Some(GrantKind::Code { .. } | GrantKind::Spent { .. })) {
        return Err(INVALID.into());
    }
    let (refresh, replacement) = secret(ops);
    let grant = take(ops, code, replacement).await?;
    let GrantKind::Code { redirect_uri, challenge, nonce } = &grant.kind else {
        return Err(INVALID.into());
    };
    let proof = URL_SAFE_NO_PAD.encode(hash(verifier).0);
    if challenge.as_deref() != Some(proof.as_str()) || redirect_uri != at {
        return Err(INVALID.into());
    }
    let user = grant.user.ok_or(INVALID)?;
    tokens(issuer, ops, user, Asked::all(&grant.scope), nonce.as_deref(), refresh).await
}

async fn by_device(
    issuer: &OwnIssuer,
    ops: &Ops,
    request: &TokenRequest,
) -> Result<Tokens, ExchangeError> {
    let code = hash(needed(&request.device_code, "device_code is missing")?);
    let grant = look_at(ops, code).await?.ok_or(INVALID)?;
    let GrantKind::Device { denied, .. } = grant.kind else { return Err(INVALID.into()) };
    if denied {
        return Err(OAuthError::new("access_denied", "the person at the browser said no").into());
    }
    if ops.world.wall() >= grant.expires_at {
        return Err(OAuthError::new("expired_token", "nobody answered in time").into());
    }
    let Some(user) = grant.user else {
        return Err(OAuthError::new("authorization_pending", "nobody has answered yet").into());
    };
    let (refresh, replacement) = secret(ops);
    let grant = take(ops, code, replacement).await?;
    tokens(issuer, ops, user, Asked::all(&grant.scope), None, refresh).await
}

async fn by_refresh(
    issuer: &OwnIssuer,
    ops: &Ops,
    request: &TokenRequest,
) -> Result<Tokens, ExchangeError> {
    let old = hash(needed(&request.refresh_token, "refresh_token is missing")?);
    if !matches!(look_at(ops, old).await?, Some(Grant { kind: GrantKind::Refresh { .. }, .. })) {
        return Err(INVALID.into());
    }
    let (refresh, replacement) = secret(ops);
    // One that was used before ends its whole family: it is known to somebody else.
    let grant = take(ops, old, replacement).await?;
    let user = grant.user.ok_or(INVALID)?;
    let asked = Asked { granted: &grant.scope, less: request.scope.as_deref() };
    tokens(issuer, ops, user, asked, None, refresh).await
}

/// Has a grant kept under the hash of its secret.
pub(super) async fn keep(
    ops: &Ops,
    secret: Sha256,
    kind: GrantKind,
    scope: &str,
    user: Option<(TenantId, UserId)>,
    lifetime: Duration,
) -> Result<(), OpError> {
    let grant = Grant {
        kind,
        client_id: CLIENT_ID.to_owned(),
        scope: scope.to_owned(),
        expires_at: ops.world.wall().after(lifetime),
        user,
    };
    let command = IdentityCommand::AddGrant { secret, grant };
    ops.agree_as_node::<()>(Command::Identity(command)).await
}

/// A code for a browser to carry to the client.
pub(super) async fn give_code(
    ops: &Ops,
    kind: GrantKind,
    scope: &str,
    user: (TenantId, UserId),
) -> Result<String, OpError> {
    let (code, hash) = secret(ops);
    keep(ops, hash, kind, scope, Some(user), CODE_LIFETIME).await?;
    Ok(code)
}

/// A user who may come in.
pub(super) async fn active_user(
    ops: &Ops,
    key: (TenantId, UserId),
) -> Result<Option<User>, OpError> {
    let user = ops.look_now(move |tables| table::get::<Users>(tables, &key)).await?;
    Ok(user.filter(|user| matches!(user.status, UserStatus::Active | UserStatus::Pending)))
}

/// What a token shall have: what was granted first, or less of it.
#[derive(Clone, Copy)]
struct Asked<'a> {
    granted: &'a str,
    less: Option<&'a str>,
}

impl<'a> Asked<'a> {
    const fn all(granted: &'a str) -> Self {
        Self { granted, less: None }
    }

    /// Never more than was granted, whatever is asked later. Who names nothing of ours then means
    /// what they have of it.
    fn scopes(self, role: Option<AdminRole>) -> Scopes {
        let granted = narrowed(self.granted, scopes_of(role));
        match self.less.filter(|less| Scopes::parse(less).is_some()) {
            Some(less) => narrowed(less, granted),
            None => granted,
        }
    }

    fn opens(self) -> bool {
        let names = |text: &str| text.split_ascii_whitespace().any(|word| word == "openid");
        names(self.granted) && self.less.is_none_or(names)
    }
}

async fn tokens(
    issuer: &OwnIssuer,
    ops: &Ops,
    (tenant, id): (TenantId, UserId),
    asked: Asked<'_>,
    nonce: Option<&str>,
    refresh_token: String,
) -> Result<Tokens, ExchangeError> {
    let user = active_user(ops, (tenant, id)).await?.ok_or(INVALID)?;
    let scopes = asked.scopes(user.admin_role);
    let caller =
        UserCaller { tenant, user: id, scopes, service_account: None, ip: None, user_agent: None };
    let access_token = issuer.mint(ops, &caller, ACCESS_LIFETIME).await?;
    let id_token = if asked.opens() {
        Some(issuer.mint_id(ops, id, &user, nonce, ACCESS_LIFETIME).await?)
    } else {
        None
    };
    Ok(Tokens {
        access_token,
        token_type: "Bearer".to_owned(),
        expires_in: Some(ACCESS_LIFETIME.as_secs()),
        refresh_token: Some(refresh_token),
        scope: Some(scope_text(scopes)),
        id_token,
    })
}

/// Ends what a secret stands for. One that stands for nothing is as good as ended.
pub(super) async fn revoke(ops: &Ops, secret: &str) -> Result<(), OpError> {
    let command = Command::Identity(IdentityCommand::RevokeGrant { secret: hash(secret) });
    ops.agree_as_node(command).await
}

/// Whose browser session this secret is.
pub(super) async fn session(
    ops: &Ops,
    secret: &str,
) -> Result<Option<(TenantId, UserId)>, OpError> {
    let grant = look_at(ops, hash(secret)).await?;
    let now = ops.world.wall();
    let live = grant.filter(|grant| grant.kind == GrantKind::Session && now < grant.expires_at);
    Ok(live.and_then(|grant| grant.user))
}

#[cfg(test)]
mod tests {
    use api_ops::meta::table::people::AdminRole;

    use super::Asked;
    use crate::issuer::scope_text;

    #[test]
    fn a_renewed_token_has_no_more_than_the_first() {
        let root = Some(AdminRole::SuperAdmin);
        for (granted, less, has) in [
            ("openid files:read", None, "files:read"),
            ("openid files:read", Some("openid"), "files:read"),
            ("openid files:read", Some("files:read files:write"), "files:read"),
            ("openid files:read", Some("admin:*"), ""),
            ("openid", Some("admin:*"), ""),
            ("files:read files:write tenant:admin", Some("files:read"), "files:read"),
        ] {
            let asked = Asked { granted, less };
            assert_eq!(scope_text(asked.scopes(root)), has, "{granted} {less:?}");
        }
        assert!(Asked::all("openid files:read").opens());
        assert!(!Asked { granted: "files:read", less: Some("openid") }.opens());
        assert!(!Asked { granted: "openid", less: Some("files:read") }.opens());
    }
}
