//! HTTP to parties that are not nodes: identity providers, and later connectors and webhooks.

use bytes::Bytes;
use node_base::Duration;

use crate::task::BoxFuture;

/// A request.
#[derive(Clone, Debug)]
pub struct FetchRequest {
    pub method: &'static str,
    pub url: String,
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
    /// How long it may take in all.
    pub limit: Duration,
    /// How many bytes of answer are taken.
    pub body_max: usize,
}

/// An answer, of whatever status.
#[derive(Clone, Debug)]
pub struct FetchReply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    #[error("the address cannot be used: {0}")]
    Address(String),
    #[error("no answer within the time for it")]
    Elapsed,
    #[error("the answer has more than {0} bytes")]
    TooLarge(usize),
    #[error("the connection failed: {0}")]
    Connection(String),
}

/// A client of outside HTTP servers. Redirects are answered, not followed.
pub trait Fetch: Send + Sync {
    fn fetch(&self, request: FetchRequest) -> BoxFuture<Result<FetchReply, FetchError>>;
}
