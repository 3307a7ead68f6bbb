//! The published keys and addresses of an outside issuer.

use bytes::Bytes;
use jsonwebtoken::jwk::JwkSet;
use node_base::Duration;
use node_world::{FetchError, FetchReply, FetchRequest, Instant, World};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::sync::Mutex;

use super::settings::IssuerSettings;
use super::token::{Claims, TokenError, Unverified};

/// How long what an issuer publishes is taken to be so.
const KEPT: Duration = Duration::from_secs(300);
/// Keys that are not known are asked for again, but not more often than this.
const ASKED_AGAIN_AFTER: Duration = Duration::from_secs(10);
/// How long an issuer may take to answer, and how much it may say.
const FETCH_LIMIT: Duration = Duration::from_secs(10);
const ANSWER_MAX: usize = 1 << 20;

/// Why an issuer could not be asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum IssuerError {
    #[error(transparent)]
    Token(#[from] TokenError),
    #[error("the identity provider did not answer in time")]
    TimedOut,
    #[error("the identity provider failed: {0}")]
    Failed(String),
}

/// What an issuer says of itself (OpenID Connect Discovery 1.0).
#[derive(Debug, Clone, Deserialize)]
pub struct Discovery {
    issuer: String,
    jwks_uri: String,
    pub authorization_endpoint: Option<String>,
    pub token_endpoint: Option<String>,
    pub device_authorization_endpoint: Option<String>,
}

/// A set of keys (RFC 7517, 5) of which some may be of kinds that are not known here.
#[derive(Deserialize)]
struct Published {
    keys: Vec<serde_json::Value>,
}

#[derive(Default)]
struct Known {
    discovery: Option<(Discovery, Instant)>,
    keys: Option<(JwkSet, Instant)>,
}

/// An outside issuer.
pub struct Outside {
    pub settings: IssuerSettings,
    world: World,
    // Held while the issuer is asked: whoever else needs the answer waits for the same one.
    known: Mutex<Known>,
}

impl Outside {
    pub fn new(settings: IssuerSettings, world: World) -> Self {
        Self { settings, world, known: Mutex::default() }
    }

    /// Checks a token of this issuer.
    ///
    /// # Errors
    /// What is wrong with the token, or why the issuer could not be asked.
    pub async fn verify(&self, token: &Unverified<'_>) -> Result<Claims, IssuerError> {
        let mut known = self.known.lock().await;
        let now = self.world.now();
        if known.keys.as_ref().is_none_or(|(_, asked)| now.since(*asked) >= KEPT) {
            self.ask_for_keys(&mut known).await?;
        }
        let verdict = known.keys.as_ref().map(|(keys, asked)| (token.verify(keys), *asked));
        match verdict {
            Some((Err(TokenError::Key), asked)) if now.since(asked) >= ASKED_AGAIN_AFTER => {
                self.ask_for_keys(&mut known).await?;
            }
            Some((verdict, _)) => return Ok(verdict?),
            None => {}
        }
        let (keys, _) = known.keys.as_ref().ok_or(TokenError::Key)?;
        Ok(token.verify(keys)?)
    }

    /// What the issuer says of itself.
    ///
    /// # Errors
    /// Why it could not be asked.
    pub async fn discovery(&self) -> Result<Discovery, IssuerError> {
        let mut known = self.known.lock().await;
        self.discover(&mut known).await
    }

    async fn discover(&self, known: &mut Known) -> Result<Discovery, IssuerError> {
        let now = self.world.now();
        if let Some((discovery, asked)) = &known.discovery
            && now.since(*asked) < KEPT
        {
            return Ok(discovery.clone());
        }
        let base = self.settings.issuer.trim_end_matches('/');
        let url = format!("{base}/.well-known/openid-configuration");
        let discovery: Discovery = self.get(url).await?;
        if discovery.issuer != self.settings.issuer {
            return Err(IssuerError::Failed("it calls itself by another name".to_owned()));
        }
        let token = discovery.token_endpoint.iter();
        let plain = |url: &&String| !url.starts_with("https://");
        if token.chain([&discovery.jwks_uri]).any(|url| plain(&url))
            && !self.settings.allow_plain_http
        {
            return Err(IssuerError::Failed("it names addresses of plain http".to_owned()));
        }
        known.discovery = Some((discovery.clone(), now));
        Ok(discovery)
    }

    async fn ask_for_keys(&self, known: &mut Known) -> Result<(), IssuerError> {
        let discovery = self.discover(known).await?;
        let published: Published = self.get(discovery.jwks_uri).await?;
        let keys = published.keys.into_iter().filter_map(|key| serde_json::from_value(key).ok());
        known.keys = Some((JwkSet { keys: keys.collect() }, self.world.now()));
        Ok(())
    }

    /// Hands a form to the issuer's token endpoint, and its answer back.
    ///
    /// # Errors
    /// Why it could not be asked.
    pub async fn trade(&self, form: String) -> Result<FetchReply, IssuerError> {
        let discovery = self.discovery().await?;
        let none = || IssuerError::Failed("it has no token endpoint".to_owned());
        let url = discovery.token_endpoint.ok_or_else(none)?;
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let headers = vec![
            header("accept", "application/json"),
            header("content-type", "application/x-www-form-urlencoded"),
        ];
        self.fetch("POST", url, headers, form.into()).await
    }

    async fn fetch(
        &self,
        method: &'static str,
        url: String,
        headers: Vec<(String, String)>,
        body: Bytes,
    ) -> Result<FetchReply, IssuerError> {
        let (limit, body_max) = (FETCH_LIMIT, ANSWER_MAX);
        let request = FetchRequest { method, url, headers, body, limit, body_max };
        self.world.fetch().fetch(request).await.map_err(|error| match error {
            FetchError::Elapsed => IssuerError::TimedOut,
            error => IssuerError::Failed(error.to_string()),
        })
    }

    async fn get<T: DeserializeOwned>(&self, url: String) -> Result<T, IssuerError> {
        let headers = vec![("accept".to_owned(), "application/json".to_owned())];
        let reply = self.fetch("GET", url, headers, Bytes::new()).await?;
        if reply.status != 200 {
            return Err(IssuerError::Failed(format!("it answered with status {}", reply.status)));
        }
        serde_json::from_slice(&reply.body)
            .map_err(|_| IssuerError::Failed("its answer cannot be read".to_owned()))
    }
}
