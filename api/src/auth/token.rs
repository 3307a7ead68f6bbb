//! Tokens: what they say, and whether they may be believed.
//!
//! The library checks the signature; everything that needs a clock or a rule of ours is checked
//! here. A token says which key signed it only by name: the key itself always comes from the
//! issuer's published set, and its kind must fit the algorithm.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{Jwk, JwkSet, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Header, Validation};
use node_base::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value};

/// Clocks of issuers and nodes may differ by this many seconds.
const LEEWAY_SECONDS: i64 = 60;
/// A token longer than this is not looked at.
const TOKEN_MAX: usize = 16 << 10;

/// Algorithms that are believed: never `none`, never a shared secret.
const ALGORITHMS: [Algorithm; 3] = [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA];

/// Why a token is not believed. What it says goes to the caller: no secret is in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    #[error("the token is not a JSON Web Token")]
    Malformed,
    #[error("the token is signed by an algorithm that is not accepted")]
    Algorithm,
    #[error("the token asks for an extension that is not known")]
    Critical,
    #[error("the token's issuer is not trusted here")]
    Issuer,
    #[error("the token's key is not one of its issuer's")]
    Key,
    #[error("the token's signature is wrong")]
    Signature,
    #[error("the token has expired")]
    Expired,
    #[error("the token is not valid yet")]
    NotYet,
    #[error("the token is for another audience")]
    Audience,
    #[error("the token is not an access token")]
    NotAccess,
    #[error("the token lacks the claim '{0}'")]
    Missing(String),
}

/// A token taken apart, of which nothing is believed yet.
#[derive(Debug)]
pub struct Unverified<'a> {
    text: &'a str,
    pub header: Header,
    pub issuer: String,
}

/// The claims that are read before the signature is.
#[derive(Deserialize)]
struct IssuerClaim {
    iss: String,
}

impl<'a> Unverified<'a> {
    /// Takes a token apart.
    ///
    /// # Errors
    /// When it is no JSON Web Token, or of a kind that is never believed.
    pub fn parse(text: &'a str) -> Result<Self, TokenError> {
        let parts: Vec<&str> = text.split('.').collect();
        if text.len() > TOKEN_MAX || parts.len() != 3 {
            return Err(TokenError::Malformed);
        }
        // Each part by itself: members named twice are refused where they are read.
        let header = URL_SAFE_NO_PAD.decode(parts[0]).map_err(|_| TokenError::Malformed)?;
        let raw: Map<String, Value> = unique(&header)?;
        let algorithm = raw.get("alg").and_then(Value::as_str).unwrap_or_default();
        if !["RS256", "ES256", "EdDSA"].contains(&algorithm) {
            return Err(TokenError::Algorithm);
        }
        if raw.contains_key("crit") {
            return Err(TokenError::Critical);
        }
        let header = jsonwebtoken::decode_header(text).map_err(|_| TokenError::Malformed)?;
        let claims = URL_SAFE_NO_PAD.decode(parts[1]).map_err(|_| TokenError::Malformed)?;
        let _: Map<String, Value> = unique(&claims)?;
        let IssuerClaim { iss } =
            serde_json::from_slice(&claims).map_err(|_| TokenError::Missing("iss".to_owned()))?;
        Ok(Self { text, header, issuer: iss })
    }

    /// Whether `key` may have signed it.
    pub fn fits(&self, key: &Jwk) -> bool {
        let named = match (&self.header.kid, &key.common.key_id) {
            (Some(wanted), Some(kid)) => wanted == kid,
            (Some(_), None) => false,
            (None, _) => true,
        };
        let for_signatures = !matches!(key.common.public_key_use, Some(PublicKeyUse::Encryption));
        let algorithm = match key.common.key_algorithm {
            None => true,
            Some(KeyAlgorithm::RS256) => self.header.alg == Algorithm::RS256,
            Some(KeyAlgorithm::ES256) => self.header.alg == Algorithm::ES256,
            Some(KeyAlgorithm::EdDSA) => self.header.alg == Algorithm::EdDSA,
            Some(_) => false,
        };
        named && for_signatures && algorithm
    }

    /// Checks the signature by the issuer's keys.
    ///
    /// # Errors
    /// [`TokenError::Key`] when none of them fits, [`TokenError::Signature`] when those that fit
    /// did not sign it.
    pub fn verify(&self, keys: &JwkSet) -> Result<Claims, TokenError> {
        let mut fitting = keys.keys.iter().filter(|key| self.fits(key)).peekable();
        if fitting.peek().is_none() {
            return Err(TokenError::Key);
        }
        let mut validation = Validation::new(self.header.alg);
        validation.algorithms =
            ALGORITHMS.iter().copied().filter(|a| *a == self.header.alg).collect();
        // Time and audience are checked below, by the node's own clock.
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
        validation.validate_aud = false;
        let claims = fitting.find_map(|key| {
            let key = DecodingKey::from_jwk(key).ok()?;
            jsonwebtoken::decode::<Map<String, Value>>(self.text, &key, &validation).ok()
        });
        claims.map(|data| Claims(data.claims)).ok_or(TokenError::Signature)
    }
}

/// An object in which no member is named twice.
fn unique(json: &[u8]) -> Result<Map<String, Value>, TokenError> {
    struct Unique(Map<String, Value>);
    impl<'de> Deserialize<'de> for Unique {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Visitor;
            impl<'de> serde::de::Visitor<'de> for Visitor {
                type Value = Unique;
                fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str("an object")
                }
                fn visit_map<A: serde::de::MapAccess<'de>>(
                    self,
                    mut access: A,
                ) -> Result<Unique, A::Error> {
                    let mut members = Map::new();
                    while let Some((name, value)) = access.next_entry::<String, Value>()? {
                        if members.insert(name, value).is_some() {
                            return Err(serde::de::Error::custom("a member is named twice"));
                        }
                    }
                    Ok(Unique(members))
                }
            }
            deserializer.deserialize_map(Visitor)
        }
    }
    let Unique(members) = serde_json::from_slice(json).map_err(|_| TokenError::Malformed)?;
    Ok(members)
}

/// Claims whose signature was right.
#[derive(Debug, Clone)]
pub struct Claims(Map<String, Value>);

impl Claims {
    /// Checks time and audience.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn check(&self, now: Timestamp, audience: Option<&str>) -> Result<(), TokenError> {
        let now = now.millis().div_euclid(1_000);
        let moment = |name: &str| match self.0.get(name) {
            None => Ok(None),
            Some(value) => match value.as_f64() {
                Some(seconds) if seconds.is_finite() => Ok(Some(seconds as i64)),
                _ => Err(TokenError::Malformed),
            },
        };
        let expires = moment("exp")?.ok_or_else(|| TokenError::Missing("exp".to_owned()))?;
        if expires.saturating_add(LEEWAY_SECONDS) <= now {
            return Err(TokenError::Expired);
        }
        for name in ["nbf", "iat"] {
            if moment(name)?.is_some_and(|from| from.saturating_sub(LEEWAY_SECONDS) > now) {
                return Err(TokenError::NotYet);
            }
        }
        match audience {
            Some(audience) if !self.audiences().contains(&audience) => Err(TokenError::Audience),
            _ => Ok(()),
        }
    }

    /// When it stops being valid, leeway included.
    pub fn valid_until(&self) -> Timestamp {
        let seconds = self.0.get("exp").and_then(Value::as_f64).unwrap_or(0.0) as i64;
        Timestamp::from_millis(seconds.saturating_add(LEEWAY_SECONDS).saturating_mul(1_000))
    }

    fn audiences(&self) -> Vec<&str> {
        match self.0.get("aud") {
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        }
    }

    /// A claim that is text and not empty.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    /// A claim that must be there.
    ///
    /// # Errors
    /// [`TokenError::Missing`] when it is not, or is too long to be one.
    pub fn required(&self, name: &str) -> Result<&str, TokenError> {
        let sane = |text: &&str| text.len() <= 255 && !text.contains('\0');
        self.text(name).filter(sane).ok_or_else(|| TokenError::Missing(name.to_owned()))
    }

    /// The scopes: `scope` as RFC 8693 writes it, or a list under `scp`.
    pub fn scopes(&self) -> String {
        if let Some(scope) = self.text("scope") {
            return scope.to_owned();
        }
        match self.0.get("scp") {
            Some(Value::String(one)) => one.clone(),
            Some(Value::Array(all)) => {
                let words: Vec<&str> = all.iter().filter_map(Value::as_str).collect();
                words.join(" ")
            }
            _ => String::new(),
        }
    }

    /// The client that acts for the subject (RFC 8693 `act`).
    pub fn actor(&self) -> Option<&str> {
        let act = self.0.get("act")?;
        let client = act.get("client_id").or_else(|| act.get("sub"))?;
        client.as_str()
    }
}
