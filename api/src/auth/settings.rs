//! Which issuers of tokens are trusted, and how their tokens are read.

use node_base::TenantId;
use serde::{Deserialize, Serialize};

/// Who may sign people in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IdentitySettings {
    /// The issuer inside the node. Without a value: on while no outside issuer is configured and
    /// the node listens on loopback alone.
    pub built_in: Option<bool>,
    /// Outside OIDC issuers.
    pub issuers: Vec<IssuerSettings>,
}

/// One outside OIDC issuer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuerSettings {
    /// Its address, as its tokens name it in `iss`.
    pub issuer: String,
    /// What `aud` of its tokens must contain.
    #[serde(default)]
    pub audience: Option<String>,
    /// The client that people sign in by.
    #[serde(default)]
    pub client_id: Option<String>,
    /// The tenant of all its users.
    #[serde(default)]
    pub tenant: Option<String>,
    /// The claim that names the tenant instead.
    #[serde(default)]
    pub tenant_claim: Option<String>,
    /// The names of its claims.
    #[serde(default)]
    pub claims: ClaimNames,
    /// What a token without any scope of ours acts with, as a space-separated list.
    #[serde(default)]
    pub default_scopes: Option<String>,
    /// Take `http://` addresses of it. On loopback alone.
    #[serde(default)]
    pub allow_plain_http: bool,
}

/// What an issuer calls things.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClaimNames {
    pub sub: String,
    pub email: String,
    pub name: String,
    pub groups: String,
}

impl Default for ClaimNames {
    fn default() -> Self {
        Self {
            sub: "sub".to_owned(),
            email: "email".to_owned(),
            name: "name".to_owned(),
            groups: "groups".to_owned(),
        }
    }
}

/// What is wrong with an issuer's settings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IssuerSettingsError {
    #[error("identity.issuers: '{issuer}' is not an https:// address")]
    Address { issuer: String },
    #[error(
        "identity.issuers: '{issuer}' is plain http, which is allowed on loopback alone and with \
         allow_plain_http = true"
    )]
    PlainHttp { issuer: String },
    #[error("identity.issuers: '{issuer}' stands there twice")]
    Twice { issuer: String },
    #[error("identity.issuers: '{issuer}' needs a tenant (tnt_…) or a tenant_claim")]
    Tenant { issuer: String },
    #[error("identity.issuers: '{issuer}' has default_scopes without any scope known here")]
    Scopes { issuer: String },
}

impl IdentitySettings {
    /// Checks every issuer.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self) -> Result<(), IssuerSettingsError> {
        for (at, settings) in self.issuers.iter().enumerate() {
            let issuer = || settings.issuer.clone();
            if self.issuers[..at].iter().any(|other| other.issuer == settings.issuer) {
                return Err(IssuerSettingsError::Twice { issuer: issuer() });
            }
            if let Some(rest) = settings.issuer.strip_prefix("http://") {
                if !settings.allow_plain_http || !is_loopback(rest) {
                    return Err(IssuerSettingsError::PlainHttp { issuer: issuer() });
                }
            } else if !settings.issuer.starts_with("https://") {
                return Err(IssuerSettingsError::Address { issuer: issuer() });
            }
            let tenant = settings.tenant.as_deref().map(str::parse::<TenantId>);
            if matches!(tenant, Some(Err(_))) || tenant.is_none() && settings.tenant_claim.is_none()
            {
                return Err(IssuerSettingsError::Tenant { issuer: issuer() });
            }
            let scopes = settings.default_scopes.as_deref();
            if scopes.is_some_and(|scopes| api_ops::meta::Scopes::parse(scopes).is_none()) {
                return Err(IssuerSettingsError::Scopes { issuer: issuer() });
            }
        }
        Ok(())
    }
}

/// Whether what stands behind `http://` is on this machine.
fn is_loopback(rest: &str) -> bool {
    let authority = rest.split('/').next().unwrap_or_default();
    let host = match authority.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    let address = host.parse().map(|ip: std::net::IpAddr| ip.is_loopback());
    host == "localhost" || address.unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::{IdentitySettings, IssuerSettingsError, is_loopback};

    fn check(toml: &str) -> Result<(), IssuerSettingsError> {
        let settings: IdentitySettings = serde_json::from_str(toml).expect("well-formed");
        settings.check()
    }

    #[test]
    fn plain_http_is_for_loopback_and_only_when_asked_for() {
        let tenant = node_base::TenantId::from(7);
        let with = |issuer: &str, allow: bool| {
            check(&format!(
                r#"{{"issuers":[{{"issuer":"{issuer}","tenant":"{tenant}",
                "allow_plain_http":{allow}}}]}}"#
            ))
        };
        assert_eq!(with("https://id.example.com", false), Ok(()));
        assert_eq!(with("http://127.0.0.1:9", true), Ok(()));
        for (issuer, allow) in [("http://127.0.0.1:9", false), ("http://id.example.com", true)] {
            let issuer_name = issuer.to_owned();
            let refused = IssuerSettingsError::PlainHttp { issuer: issuer_name };
            assert_eq!(with(issuer, allow), Err(refused));
        }
    }

    #[test]
    fn loopback_is_told_from_what_looks_like_it() {
        for rest in ["localhost/x", "127.0.0.1:80", "[::1]:80/realm"] {
            assert!(is_loopback(rest), "{rest}");
        }
        for rest in ["127.0.0.1.example.com", "localhost.example.com", "10.0.0.1", "[::2]"] {
            assert!(!is_loopback(rest), "{rest}");
        }
    }
}
