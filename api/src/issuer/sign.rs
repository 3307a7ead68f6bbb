//! Tokens of the built-in issuer, and the keys they are signed by.

use api_ops::meta::command::IdentityCommand;
use api_ops::meta::table::identity::{SigningAlgorithm, SigningKey};
use api_ops::meta::table::people::User;
use api_ops::meta::{Command, UserCaller, query};
use api_ops::{OpError, Ops};
use jsonwebtoken::jwk::{Jwk, JwkSet, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use node_base::{Duration, UserId};
use serde::Serialize;

use super::{AUDIENCE, CLIENT_ID, OwnIssuer, scope_text};
use crate::auth::{Claims, TokenError, Unverified};
use crate::error::ApiError;

/// What RFC 9068 calls an access token in `typ`.
const ACCESS_TYPE: &str = "at+jwt";

/// Why no token could be given out.
#[derive(Debug, thiserror::Error)]
pub enum MintError {
    #[error(transparent)]
    Op(#[from] OpError),
    #[error("the token could not be signed")]
    Sign(#[source] jsonwebtoken::errors::Error),
}

/// What an access token says.
#[derive(Serialize)]
struct AccessClaims<'a> {
    iss: &'a str,
    aud: &'a str,
    sub: String,
    tenant_id: String,
    scope: String,
    client_id: &'a str,
    iat: i64,
    exp: i64,
    jti: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    act: Option<Actor<'a>>,
}

/// The client that acts for the subject (RFC 8693).
#[derive(Serialize)]
struct Actor<'a> {
    client_id: &'a str,
}

/// What an ID token says.
#[derive(Serialize)]
struct IdClaims<'a> {
    iss: &'a str,
    aud: &'a str,
    sub: String,
    iat: i64,
    exp: i64,
    email: &'a str,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    nonce: Option<&'a str>,
}

fn seconds(span: Duration) -> i64 {
    i64::try_from(span.as_secs()).unwrap_or(i64::MAX)
}

impl OwnIssuer {
    /// Checks the signature of a token of this issuer.
    ///
    /// # Errors
    /// What is wrong with it.
    pub async fn verify(&self, ops: &Ops, token: &Unverified<'_>) -> Result<Claims, ApiError> {
        if token.header.typ.as_deref() != Some(ACCESS_TYPE) {
            return Err(crate::auth::refused(TokenError::NotAccess));
        }
        let mut verified = token.verify(&published(ops).await?);
        if matches!(verified, Err(TokenError::Key)) {
            // It may be a key that this node has not heard of yet.
            let keys = ops.look_now(query::identity::signing_keys).await?;
            verified = token.verify(&public_halves(keys));
        }
        verified.map_err(crate::auth::refused)
    }

    /// Gives out an access token for a user.
    ///
    /// # Errors
    /// Why it could not be agreed on or signed.
    pub async fn mint(
        &self,
        ops: &Ops,
        user: &UserCaller,
        lifetime: Duration,
    ) -> Result<String, MintError> {
        let now = ops.world.wall().millis().div_euclid(1_000);
        let actor = user.service_account.as_deref();
        let claims = AccessClaims {
            iss: &self.issuer,
            aud: AUDIENCE,
            sub: user.user.to_string(),
            tenant_id: user.tenant.to_string(),
            scope: scope_text(user.scopes),
            client_id: CLIENT_ID,
            iat: now,
            exp: now.saturating_add(seconds(lifetime)),
            jti: format!("{:032x}", ops.world.random()),
            act: actor.map(|client_id| Actor { client_id }),
        };
        self.sign(ops, ACCESS_TYPE, &claims).await
    }

    /// An ID token: to tell the client who signed in, and of no use elsewhere.
    pub(super) async fn mint_id(
        &self,
        ops: &Ops,
        id: UserId,
        user: &User,
        nonce: Option<&str>,
        lifetime: Duration,
    ) -> Result<String, MintError> {
        let now = ops.world.wall().millis().div_euclid(1_000);
        let claims = IdClaims {
            iss: &self.issuer,
            aud: CLIENT_ID,
            sub: id.to_string(),
            iat: now,
            exp: now.saturating_add(seconds(lifetime)),
            email: &user.email,
            name: &user.display_name,
            nonce,
        };
        self.sign(ops, "JWT", &claims).await
    }

    async fn sign(
        &self,
        ops: &Ops,
        kind: &str,
        claims: &impl Serialize,
    ) -> Result<String, MintError> {
        let (kid, key) = signing_key(ops).await?;
        let typ = Some(kind.to_owned());
        let header = Header { typ, kid: Some(kid), ..Header::new(Algorithm::EdDSA) };
        let key = EncodingKey::from_ed_der(&key.private_der);
        jsonwebtoken::encode(&header, claims, &key).map_err(MintError::Sign)
    }
}

/// The key that signs now: the youngest that is not retired; made when there is none.
async fn signing_key(ops: &Ops) -> Result<(String, SigningKey), OpError> {
    loop {
        let active = keys(ops).await?.into_iter().filter(|(_, key)| key.retired_at.is_none());
        if let Some(youngest) = active.max_by_key(|(_, key)| key.created_at) {
            return Ok(youngest);
        }
        add_key(ops).await?;
    }
}

async fn add_key(ops: &Ops) -> Result<String, OpError> {
    let kid = format!("{:016x}", ops.world.random() >> 64);
    let mut seed = [0; 32];
    ops.world.fill_random(&mut seed);
    let key = SigningKey {
        private_der: ed25519_der(&seed),
        algorithm: SigningAlgorithm::EdDsa,
        created_at: ops.world.wall(),
        retired_at: None,
    };
    let command = IdentityCommand::AddSigningKey { kid: kid.clone(), key };
    ops.agree_as_node::<()>(Command::Identity(command)).await?;
    Ok(kid)
}

/// Signs by a new key from now on. The old ones stay published while their tokens may live.
///
/// # Errors
/// Why it could not be agreed.
pub async fn rotate(ops: &Ops) -> Result<String, OpError> {
    let old = keys(ops).await?;
    let new = add_key(ops).await?;
    for (kid, _) in old.into_iter().filter(|(_, key)| key.retired_at.is_none()) {
        let command = Command::Identity(IdentityCommand::RetireSigningKey { kid });
        ops.agree_as_node::<()>(command).await?;
    }
    Ok(new)
}

/// An Ed25519 private key in PKCS #8 (RFC 8410, section 7): a fixed head and the seed.
fn ed25519_der(seed: &[u8; 32]) -> Vec<u8> {
    const HEAD: [u8; 16] = [
        0x30, 0x2e, // SEQUENCE of 46 bytes
        0x02, 0x01, 0x00, // version 0
        0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, // algorithm 1.3.101.112
        0x04, 0x22, 0x04, 0x20, // OCTET STRING in an OCTET STRING of 32 bytes
    ];
    [HEAD.as_slice(), seed].concat()
}

async fn keys(ops: &Ops) -> Result<Vec<(String, SigningKey)>, OpError> {
    ops.look(query::identity::signing_keys).await
}

/// The public halves of all keys that tokens in use may be signed by.
///
/// # Errors
/// Why they could not be read.
pub(crate) async fn published(ops: &Ops) -> Result<JwkSet, OpError> {
    Ok(public_halves(keys(ops).await?))
}

fn public_halves(keys: Vec<(String, SigningKey)>) -> JwkSet {
    let keys = keys.into_iter().filter_map(|(kid, key)| {
        let private = EncodingKey::from_ed_der(&key.private_der);
        let mut jwk = Jwk::from_encoding_key(&private, Algorithm::EdDSA).ok()?;
        jwk.common.key_id = Some(kid);
        jwk.common.public_key_use = Some(PublicKeyUse::Signature);
        jwk.common.key_algorithm = Some(KeyAlgorithm::EdDSA);
        Some(jwk)
    });
    JwkSet { keys: keys.collect() }
}
