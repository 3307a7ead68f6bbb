//! Why a client cannot be made, and why a call has no answer.

use api_types::v1::auth::TokenRefusal;
use api_types::v1::error::{ErrorBody, ErrorCode};
use node_base::Duration;

/// Why a client cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error("no address of a server is given")]
    NoAddress,
    #[error("'{text}' is not the address of a server, such as https://drive.example.com")]
    Address {
        text: String,
        #[source]
        source: Option<url::ParseError>,
    },
    #[error("a certificate to trust cannot be read")]
    Certificate(#[source] reqwest::Error),
    #[error("TLS cannot be set up")]
    Protocol(#[source] rustls::Error),
    #[error("the certificates of this machine cannot be loaded")]
    Tls(#[source] reqwest::Error),
}

/// An answer that says no.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub status: u16,
    /// What the server says, absent when something between us and it answered.
    pub body: Option<ErrorBody>,
    /// What an issuer says instead, when it was asked for tokens.
    pub oauth: Option<TokenRefusal>,
    /// How long it asks us to wait.
    pub retry_after: Option<Duration>,
}

impl Refusal {
    /// The code, where it came from the server itself.
    pub fn code(&self) -> Option<ErrorCode> {
        self.body.as_ref().map(|body| body.error.code)
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.body {
            Some(body) => f.write_str(&body.sentence()),
            None => write!(f, "the server answered with status {}", self.status),
        }
    }
}

/// Why a call has no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    #[error("{0}")]
    Refused(Box<Refusal>),
    #[error("the server at {address} cannot be reached")]
    Unreachable { address: String, source: reqwest::Error },
    #[error("the connection to the server broke in the middle of an answer")]
    Interrupted(#[source] reqwest::Error),
    #[error("'{url}' is not an address that can be asked")]
    Elsewhere { url: String },
    #[error("the answer of the server to {call} is not what the contract says")]
    Unreadable { call: String, source: serde_json::Error },
    #[error("the answer of the server to {call} ends before its last line")]
    Truncated { call: String },
    #[error("the request for {call} cannot be written")]
    Unwritable { call: String, source: serde_json::Error },
}

impl CallError {
    /// The server's code, where it refused.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Refused(refusal) => refusal.code(),
            Self::Unreachable { .. }
            | Self::Interrupted(_)
            | Self::Elsewhere { .. }
            | Self::Unreadable { .. }
            | Self::Truncated { .. }
            | Self::Unwritable { .. } => None,
        }
    }

    /// The status, where there was an answer.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Refused(refusal) => Some(refusal.status),
            Self::Unreachable { .. }
            | Self::Interrupted(_)
            | Self::Elsewhere { .. }
            | Self::Unreadable { .. }
            | Self::Truncated { .. }
            | Self::Unwritable { .. } => None,
        }
    }

    /// Whether trying again later may help: nobody was there, or the server asks for it.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Refused(refusal) => matches!(refusal.status, 429 | 502..=504),
            Self::Unreachable { .. } | Self::Interrupted(_) | Self::Truncated { .. } => true,
            Self::Elsewhere { .. } | Self::Unreadable { .. } | Self::Unwritable { .. } => false,
        }
    }
}
