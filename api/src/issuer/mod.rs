//! The built-in issuer: an OpenID provider inside the node, so that a fresh install is usable with
//! nothing else.
//!
//! Its people, passwords, keys and grants are rows of the agreement: every node gives out the same
//! tokens and believes those of all others. The access tokens are plain JWTs (RFC 9068) that
//! [`crate::auth`] checks like anybody's. It has one client, ours, which is public: every code is
//! bound to its asker by PKCE, and browsers are sent back to loopback addresses or to our own page
//! alone.
//!
//! Secrets (codes, refresh tokens, sessions) are 256 random bits; the tables hold their hashes.

mod authorize;
mod device;
mod endpoints;
mod form;
mod grant;
pub mod password;
mod sign;

use api_ops::Ops;
use api_ops::meta::table::people::AdminRole;
use api_ops::meta::{Scope, Scopes};
use axum::Router;
use axum::routing::{get, post};
use tokio::sync::Semaphore;

pub(crate) use form::{FormError, read as read_form};
pub use grant::{DEVICE_GRANT, ExchangeError, OAuthError, exchange};
pub(crate) use sign::published;
pub use sign::{MintError, rotate};

use crate::state::ApiState;

/// Whom our access tokens are for. Not the client's name: an ID token is no access token.
const AUDIENCE: &str = "scaidrive-api";
/// The client of our own command line, desktop client and console.
pub const CLIENT_ID: &str = "scaidrive";
/// Passwords that are hashed at the same time: each takes 19 MiB.
const HASHING_MAX: usize = 4;

/// Where the issuer is below a node's address.
const PATH: &str = "/oidc";

/// Whether a token's issuer is named like a node's own.
pub(crate) fn is_built_in(issuer: &str) -> bool {
    issuer.strip_suffix(PATH).is_some_and(|url| !url.ends_with('/') && url.starts_with("http"))
}

/// The issuer that this node runs.
pub struct OwnIssuer {
    public_url: String,
    issuer: String,
    hashing: Semaphore,
}

impl OwnIssuer {
    /// The issuer at `public_url`, such as `http://127.0.0.1:8000`.
    pub fn new(public_url: &str) -> Self {
        let public_url = public_url.trim_end_matches('/').to_owned();
        let issuer = format!("{public_url}{PATH}");
        Self { public_url, issuer, hashing: Semaphore::new(HASHING_MAX) }
    }

    /// Its name in tokens, and where it is found.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    pub fn audience(&self) -> &'static str {
        AUDIENCE
    }

    /// Where a browser shows a code to somebody whose client listens nowhere.
    pub fn callback_url(&self) -> String {
        format!("{}/api/v1/auth/callback", self.public_url)
    }

    /// Whether cookies may only travel encrypted.
    fn is_encrypted(&self) -> bool {
        self.public_url.starts_with("https://")
    }
}

/// All that a stored role allows: what a token has that nobody asked less for.
pub fn scopes_of(role: Option<AdminRole>) -> Scopes {
    let administrative: &[Scope] = match role {
        None => &[],
        Some(AdminRole::TenantAdmin) => &[Scope::TenantAdmin],
        Some(AdminRole::PartnerAdmin) => &[Scope::TenantAdmin, Scope::PartnerAdmin],
        Some(AdminRole::SuperAdmin) => &[Scope::TenantAdmin, Scope::PartnerAdmin, Scope::AdminAll],
    };
    let files = [Scope::FilesRead, Scope::FilesWrite];
    let names: Vec<&str> = files.iter().chain(administrative).map(|scope| scope.name()).collect();
    Scopes::parse(&names.join(" ")).unwrap_or(Scopes::DEFAULT)
}

/// Scopes as a token writes them.
pub(crate) fn scope_text(scopes: Scopes) -> String {
    let words: Vec<&str> = scopes.iter().map(Scope::name).collect();
    words.join(" ")
}

/// Those of `wanted` that `allowed` has too; who wants nothing of ours gets what is for everybody.
pub(crate) fn narrowed(wanted: &str, allowed: Scopes) -> Scopes {
    let wanted = Scopes::parse(wanted).unwrap_or(Scopes::DEFAULT);
    let both: Vec<&str> =
        wanted.iter().filter(|scope| allowed.contains(*scope)).map(Scope::name).collect();
    Scopes::parse(&both.join(" ")).unwrap_or(Scopes::NONE)
}

/// A secret that nobody guesses, and what the tables know it by.
fn secret(ops: &Ops) -> (String, node_base::Sha256) {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let mut bytes = [0; 32];
    ops.world.fill_random(&mut bytes);
    let text = URL_SAFE_NO_PAD.encode(bytes);
    let hash = node_base::sha256(text.as_bytes());
    (text, hash)
}

/// The issuer's addresses. Where it is off they answer as if they were not there.
pub(crate) fn routes() -> Router<ApiState> {
    Router::new()
        .route("/oidc/.well-known/openid-configuration", get(endpoints::discovery))
        .route("/oidc/jwks", get(endpoints::jwks))
        .route("/oidc/authorize", get(authorize::ask).post(authorize::answer))
        .route("/oidc/token", post(endpoints::token))
        .route("/oidc/device_authorization", post(device::authorization))
        .route("/oidc/device", get(device::ask).post(device::answer))
        .route("/oidc/userinfo", get(endpoints::userinfo).post(endpoints::userinfo))
        .route("/oidc/revoke", post(endpoints::revoke))
        .route("/oidc/logout", get(endpoints::end_session).post(endpoints::end_session))
}

#[cfg(test)]
mod tests {
    use api_ops::meta::table::people::AdminRole;

    use super::{narrowed, scope_text, scopes_of};

    #[test]
    fn a_token_has_what_was_asked_as_far_as_the_role_goes() {
        let given = |wanted, role| scope_text(narrowed(wanted, scopes_of(role)));
        assert_eq!(given("openid", None), "files:read files:write");
        assert_eq!(given("files:read", None), "files:read");
        assert_eq!(given("openid files:read tenant:admin", None), "files:read");
        assert_eq!(given("tenant:admin", None), "");
        assert_eq!(given("tenant:admin", Some(AdminRole::TenantAdmin)), "tenant:admin");
        assert_eq!(
            given("*", Some(AdminRole::PartnerAdmin)),
            "files:read files:write tenant:admin partner:admin"
        );
        assert_eq!(given("openid", Some(AdminRole::SuperAdmin)), "files:read files:write");
    }
}
