//! Pretend HTTP servers: what a test registered for an origin answers.

use std::sync::Arc;

use node_base::Duration;
use node_world::{BoxFuture, Fetch, FetchError, FetchReply, FetchRequest};

use crate::node::Outside;

/// What a pretend HTTP server does with a request.
pub(crate) type Server = Arc<dyn Fn(&FetchRequest) -> FetchReply + Send + Sync>;

/// The part of a URL that names its server: scheme, host and port.
fn origin(url: &str) -> Option<&str> {
    let start = url.find("://")? + 3;
    let host = url[start..].find(['/', '?', '#']).unwrap_or(url.len() - start);
    (host > 0 && matches!(&url[..start], "http://" | "https://")).then(|| &url[..start + host])
}

impl Outside {
    #[expect(clippy::disallowed_methods, reason = "this is what World's fetch is made of")]
    async fn answer_fetch(self, request: FetchRequest) -> Result<FetchReply, FetchError> {
        let Some(origin) = origin(&request.url) else {
            return Err(FetchError::Address(request.url));
        };
        self.line(format_args!("fetch {} {}", request.method, request.url));
        let span = self.shared.between(Duration::ZERO, Duration::from_millis(50));
        tokio::time::sleep(span.min(request.limit)).await;
        if span >= request.limit {
            return Err(FetchError::Elapsed);
        }
        let Some(server) = self.shared.server(origin) else {
            return Err(FetchError::Connection(format!("nobody answers at {origin}")));
        };
        let reply = server(&request);
        if reply.body.len() > request.body_max {
            return Err(FetchError::TooLarge(request.body_max));
        }
        Ok(reply)
    }
}

impl Fetch for Outside {
    fn fetch(&self, request: FetchRequest) -> BoxFuture<Result<FetchReply, FetchError>> {
        Box::pin(self.clone().answer_fetch(request))
    }
}
