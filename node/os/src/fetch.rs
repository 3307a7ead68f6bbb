//! HTTP to parties that are not nodes, with TLS as the machine trusts it.

use std::error::Error;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use node_base::Duration;
use node_world::{BoxFuture, Fetch, FetchError, FetchReply, FetchRequest};
use reqwest::redirect::Policy;
use reqwest::{Client, Method, Response};
use tokio::sync::OnceCell;

use crate::cause::chain;

const CONNECT_MAX: Duration = Duration::from_secs(10);

/// The client is made when it is first needed: it reads the machine's certificates, which a node
/// that asks nobody outside need not have.
#[derive(Clone, Default)]
pub(crate) struct RealFetch(Arc<OnceCell<Client>>);

impl RealFetch {
    async fn client(&self) -> Result<&Client, FetchError> {
        self.0.get_or_try_init(build).await
    }

    async fn answer(self, request: FetchRequest) -> Result<FetchReply, FetchError> {
        let method = Method::from_bytes(request.method.as_bytes())
            .map_err(|_| FetchError::Address(format!("'{}' is no method", request.method)))?;
        let mut asked = self
            .client()
            .await?
            .request(method, &request.url)
            .timeout(request.limit)
            .body(request.body);
        for (name, value) in request.headers {
            asked = asked.header(name, value);
        }
        let answer = asked.send().await.map_err(|error| failure(&error))?;
        let status = answer.status().as_u16();
        let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into();
        let headers = answer
            .headers()
            .iter()
            .map(|(name, value)| (name.as_str().to_owned(), text(value)))
            .collect();
        let body = body(answer, request.body_max).await?;
        Ok(FetchReply { status, headers, body })
    }
}

async fn build() -> Result<Client, FetchError> {
    let failed = |error: &dyn Error| FetchError::Connection(chain(error));
    // Reading the certificates waits for a drive.
    #[expect(clippy::disallowed_methods, reason = "World's fetch is made here")]
    let built = tokio::task::spawn_blocking(|| {
        // The process has one provider; whoever was first chose the same one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Client::builder().redirect(Policy::none()).connect_timeout(CONNECT_MAX).build()
    });
    built.await.map_err(|error| failed(&error))?.map_err(|error| failed(&error))
}

async fn body(mut answer: Response, max: usize) -> Result<Bytes, FetchError> {
    if answer.content_length().is_some_and(|len| len > max as u64) {
        return Err(FetchError::TooLarge(max));
    }
    let mut body = BytesMut::new();
    while let Some(part) = answer.chunk().await.map_err(|error| failure(&error))? {
        if part.len() > max - body.len() {
            return Err(FetchError::TooLarge(max));
        }
        body.extend_from_slice(&part);
    }
    Ok(body.freeze())
}

fn failure(error: &reqwest::Error) -> FetchError {
    if error.is_timeout() {
        FetchError::Elapsed
    } else if error.is_builder() {
        FetchError::Address(chain(error))
    } else {
        FetchError::Connection(chain(error))
    }
}

impl Fetch for RealFetch {
    fn fetch(&self, request: FetchRequest) -> BoxFuture<Result<FetchReply, FetchError>> {
        Box::pin(self.clone().answer(request))
    }
}
