//! Sending a call until it is answered or hopeless.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use futures_util::stream;
use node_base::Duration;
use reqwest::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Response, Url};
use serde::de::DeserializeOwned;
use tracing::debug;

use crate::call::{Call, Payload};
use crate::error::{CallError, Refusal};
use crate::retry::{Failure, Next};
use crate::{Client, Counters};

/// A refusal is read up to here; more is not one of ours.
const REFUSAL_MAX: usize = 1 << 20;
/// No server makes us wait longer than this before we say so.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(120);

impl Client {
    /// Sends a call and reads its answer.
    ///
    /// # Errors
    /// What was refused, or stayed without an answer after all attempts.
    pub async fn ask<T: DeserializeOwned>(&self, call: Call) -> Result<T, CallError> {
        let name = call.name();
        let body = self.body(self.send(call).await?).await?;
        serde_json::from_slice(&body).map_err(|source| CallError::Unreadable { call: name, source })
    }

    /// Sends a call whose answer has no body.
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub async fn tell(&self, call: Call) -> Result<(), CallError> {
        let answer = self.send(call).await?;
        self.body(answer).await.map(drop)
    }

    /// Deletes: what a repeated attempt finds gone, an earlier one deleted.
    pub(crate) async fn remove(&self, call: Call) -> Result<(), CallError> {
        let mut attempts = 0;
        match self.send_counting(call, &mut attempts).await {
            Err(error) if attempts > 1 && matches!(error.status(), Some(404 | 410)) => Ok(()),
            other => self.body(other?).await.map(drop),
        }
    }

    /// Sends a call; the answer is a good one, its body not yet read.
    pub(crate) async fn send(&self, call: Call) -> Result<Response, CallError> {
        self.send_counting(call, &mut 0).await
    }

    async fn send_counting(&self, call: Call, attempts: &mut u32) -> Result<Response, CallError> {
        let mut call = call;
        if call.keyed {
            call.headers.push(("idempotency-key", format!("{:032x}", self.0.machine.random())));
        }
        let mut renewed = false;
        loop {
            *attempts += 1;
            let current = self.0.current.load(Ordering::Relaxed);
            let address = &self.0.addresses[current % self.0.addresses.len()];
            let token = self.credentials().access_token.filter(|_| !call.open);
            let error = match self.attempt(address, &call, token.as_deref()).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            if error.status() == Some(401) && !renewed && !call.open {
                renewed = true;
                if self.renew(token.as_deref()).await {
                    continue;
                }
            }
            let failure = match &error {
                CallError::Refused(refusal) => Failure::Refused(refusal),
                _ => Failure::Connection,
            };
            let jitter = self.0.machine.random() as u64;
            let addresses = self.0.addresses.len();
            let next = self.0.patience.after(*attempts, &failure, call.harmless, addresses, jitter);
            let Next::Again { pause, elsewhere } = next else { return Err(error) };
            debug!(call = call.name(), %error, ?pause, "asking again");
            if elsewhere {
                // Whoever saw the failure first moves everyone on; the others find it done.
                let _ = self.0.current.compare_exchange(
                    current,
                    (current + 1) % addresses,
                    Ordering::Relaxed,
                    Ordering::Relaxed,
                );
            }
            if !pause.is_zero() {
                self.0.machine.pause(pause).await;
            }
        }
    }

    /// Sends a call once, to this address.
    pub(crate) async fn attempt(
        &self,
        address: &Url,
        call: &Call,
        token: Option<&str>,
    ) -> Result<Response, CallError> {
        let url = if call.elsewhere { address.clone() } else { target(address, call) };
        let mut request = self.0.http.request(call.method.clone(), url);
        if let Some(token) = token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        for (name, value) in &call.headers {
            request = request.header(*name, value);
        }
        let counters = &self.0.counters;
        request = match &call.payload {
            Payload::Empty => request,
            Payload::Whole(bytes, kind) => {
                counters.sent.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                request.header(CONTENT_TYPE, kind).body(bytes.clone())
            }
            Payload::Parts(parts, kind) => {
                let len: usize = parts.iter().map(Bytes::len).sum();
                let request = request.header(CONTENT_TYPE, kind).header(CONTENT_LENGTH, len);
                request.body(streamed(parts.clone(), Arc::clone(counters)))
            }
        };
        let answer = request.send().await.map_err(|source| CallError::Unreachable {
            address: address.as_str().trim_end_matches('/').to_owned(),
            source: source.without_url(),
        })?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        Err(CallError::Refused(Box::new(self.refusal(answer).await)))
    }

    async fn refusal(&self, answer: Response) -> Refusal {
        let status = answer.status().as_u16();
        let seconds = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let retry_after = seconds
            .and_then(|text| text.trim().parse().ok())
            .map(|seconds| Duration::from_secs(seconds).min(RETRY_AFTER_MAX));
        let body = match answer.content_length() {
            Some(len) if len > REFUSAL_MAX as u64 => None,
            _ => self.body_up_to(answer, REFUSAL_MAX).await,
        };
        let bytes = body.unwrap_or_default();
        let body = serde_json::from_slice(&bytes).ok();
        let oauth = serde_json::from_slice(&bytes).ok();
        Refusal { status, body, oauth, retry_after }
    }

    async fn body_up_to(&self, mut answer: Response, max: usize) -> Option<Vec<u8>> {
        let mut body = Vec::new();
        while let Some(part) = answer.chunk().await.ok()? {
            self.0.counters.received.fetch_add(part.len() as u64, Ordering::Relaxed);
            body.extend_from_slice(&part);
            if body.len() > max {
                return None;
            }
        }
        Some(body)
    }

    pub(crate) async fn body(&self, answer: Response) -> Result<Bytes, CallError> {
        let body = answer.bytes().await;
        let body = body.map_err(|source| CallError::Interrupted(source.without_url()))?;
        self.0.counters.received.fetch_add(body.len() as u64, Ordering::Relaxed);
        Ok(body)
    }
}

fn target(address: &Url, call: &Call) -> Url {
    let mut url = address.clone();
    // Addresses with a host always have a path: see `addresses`.
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend(["api", "v1"]).extend(&call.segments);
    }
    url.set_query(Some(call.query.as_str()).filter(|query| !query.is_empty()));
    url
}

fn streamed(parts: Vec<Bytes>, counters: Arc<Counters>) -> reqwest::Body {
    reqwest::Body::wrap_stream(stream::iter(parts.into_iter().map(move |part| {
        counters.sent.fetch_add(part.len() as u64, Ordering::Relaxed);
        Ok::<_, std::convert::Infallible>(part)
    })))
}
