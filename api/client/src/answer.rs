//! An answer that is read as it comes.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use reqwest::Response;
use reqwest::header::ETAG;

use crate::Counters;
use crate::error::CallError;

/// Content on its way.
pub struct Download {
    answer: Response,
    counters: Arc<Counters>,
}

impl Download {
    pub(crate) fn new(answer: Response, counters: Arc<Counters>) -> Self {
        Self { answer, counters }
    }

    /// Whether it is the part that was asked for, not the whole.
    pub fn is_partial(&self) -> bool {
        self.answer.status().as_u16() == 206
    }

    /// The version that the content is of, where the server says so.
    pub fn version_id(&self) -> Option<&str> {
        let etag = self.answer.headers().get(ETAG)?.to_str().ok()?;
        Some(etag.trim_matches('"'))
    }

    /// The next bytes; nothing at the end.
    ///
    /// # Errors
    /// The connection broke; what came before is good.
    pub async fn next(&mut self) -> Result<Option<Bytes>, CallError> {
        let part = self.answer.chunk().await;
        let part = part.map_err(|source| CallError::Interrupted(source.without_url()))?;
        if let Some(part) = &part {
            self.counters.received.fetch_add(part.len() as u64, Ordering::Relaxed);
        }
        Ok(part)
    }
}
