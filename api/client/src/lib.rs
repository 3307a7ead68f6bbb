//! A typed client of the HTTP API: retries by error code, fails over between addresses, counts what
//! travels.
//!
//! Programs outside the cluster call it: the sync client, the tests. It knows the contract
//! (`api-types`) and HTTP, and asks for pauses and random bits of whoever holds it.
//!
//! Never here: anything of the server, a file of the machine, a clock.

mod admin;
mod answer;
mod auth;
mod call;
mod error;
mod items;
mod retry;
mod send;
mod shares;
mod sync;
mod tls;
mod uploads;

#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use api_types::v1::auth::Tokens;
use node_base::Duration;
use reqwest::Url;

pub use answer::Download;
pub use auth::TokenAnswer;
pub use call::{Call, Payload};
pub use error::{BuildError, CallError, Refusal};
pub use retry::Patience;
pub use sync::SnapshotLines;
pub use uploads::ChunkFrame;

/// What the client asks of the machine it runs on.
pub trait Machine: Send + Sync {
    /// Waits for this long.
    fn pause(&self, span: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>>;
    /// 128 random bits.
    fn random(&self) -> u128;
}

/// The tokens that a keeper has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    pub access_token: String,
    pub refresh_token: Option<String>,
}

/// Where tokens outlive this process, and where other processes of the same user find them.
pub trait Keeper: Send + Sync {
    /// Waits until no other process renews the tokens; none does while the answer is held. A
    /// refresh token is good for one use, and a second one may end the whole sign-in.
    fn hold(&self) -> Pin<Box<dyn Future<Output = Box<dyn Send>> + Send + '_>>;
    /// What is kept now.
    fn load(&self) -> Option<Kept>;
    /// Keeps new tokens.
    fn keep(&self, tokens: &Tokens);
}

/// A token, and what renews it.
#[derive(Clone, Default)]
pub struct Credentials {
    pub access_token: Option<String>,
    pub refresh_token: Option<String>,
    /// Who the refresh token was given to.
    pub client_id: Option<String>,
    /// Told of every renewal, and asked before one.
    pub keeper: Option<Arc<dyn Keeper>>,
}

/// What a client is made of.
pub struct Settings {
    /// Any nodes of one cluster, such as `https://drive.example.com`.
    pub addresses: Vec<String>,
    pub credentials: Credentials,
    pub patience: Patience,
    /// Certificates in PEM that are trusted beside those of the machine.
    pub extra_roots_pem: Vec<Vec<u8>>,
    /// What the client calls itself.
    pub user_agent: String,
}

/// What travelled, in bytes of bodies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    pub sent: u64,
    pub received: u64,
}

#[derive(Default)]
struct Counters {
    sent: AtomicU64,
    received: AtomicU64,
}

struct Inner {
    http: reqwest::Client,
    addresses: Vec<Url>,
    /// The address that answered last.
    current: AtomicUsize,
    credentials: RwLock<Credentials>,
    /// Held by the one that renews the token.
    renewing: tokio::sync::Mutex<()>,
    patience: Patience,
    machine: Box<dyn Machine>,
    counters: Arc<Counters>,
}

/// A client. Cheap to clone; clones share connections, token and counters.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

impl Client {
    /// # Errors
    /// An address that is none, a certificate that cannot be read.
    pub fn new(settings: Settings, machine: impl Machine + 'static) -> Result<Self, BuildError> {
        let addresses = addresses(&settings.addresses)?;
        let encrypted = addresses.iter().any(|address| address.scheme() == "https");
        let http = tls::client(encrypted, &settings.extra_roots_pem, &settings.user_agent)?;
        Ok(Self(Arc::new(Inner {
            http,
            addresses,
            current: AtomicUsize::new(0),
            credentials: RwLock::new(settings.credentials),
            renewing: tokio::sync::Mutex::new(()),
            patience: settings.patience,
            machine: Box::new(machine),
            counters: Arc::default(),
        })))
    }

    /// What travelled so far, retries included.
    pub fn traffic(&self) -> Traffic {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Traffic { sent: load(&self.0.counters.sent), received: load(&self.0.counters.received) }
    }

    fn credentials(&self) -> Credentials {
        // A poisoned lock still holds whole credentials: they are replaced in one assignment.
        self.0.credentials.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_credentials(&self, credentials: Credentials) {
        *self.0.credentials.write().unwrap_or_else(PoisonError::into_inner) = credentials;
    }
}

fn addresses(texts: &[String]) -> Result<Vec<Url>, BuildError> {
    if texts.is_empty() {
        return Err(BuildError::NoAddress);
    }
    let parse = |text: &String| {
        let address = Url::parse(text)
            .map_err(|source| BuildError::Address { text: text.clone(), source: Some(source) })?;
        let usable = matches!(address.scheme(), "http" | "https") && address.has_host();
        usable.then_some(address).ok_or(BuildError::Address { text: text.clone(), source: None })
    };
    texts.iter().map(parse).collect()
}
