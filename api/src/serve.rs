//! Connections: accepted, encrypted where keys are given, bounded in time, and let finish at the
//! end.
//!
//! HTTP/1.1 and HTTP/2 come in by the same door. A client that dawdles over its head or its body
//! is cut off; one that reads slowly is not.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::serve::Listener;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use node_base::Duration;
use node_world::World;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

/// How connections are treated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServeSettings {
    /// Seconds a client may take over the head of a request, and over a TLS handshake.
    pub head_seconds: u64,
    /// Seconds that may pass between two pieces of a request's body.
    pub body_idle_seconds: u64,
    /// Seconds that running requests are given when the node stops.
    pub stop_seconds: u64,
    /// Connections at the same time; more wait to be accepted.
    pub connections_max: usize,
}

impl Default for ServeSettings {
    fn default() -> Self {
        Self { head_seconds: 15, body_idle_seconds: 30, stop_seconds: 20, connections_max: 10_000 }
    }
}

/// Where a connection comes from.
#[derive(Debug, Clone, Copy)]
pub struct PeerAddress(SocketAddr);

impl PeerAddress {
    /// The address without the port, as audit events name it.
    pub fn ip(self) -> String {
        self.0.ip().to_string()
    }
}

/// The largest head of a request.
const HEAD_MAX: usize = 64 << 10;

/// Serves `router` to whoever connects, until `stop` is ready; then lets running requests finish,
/// for as long as the settings say.
pub async fn serve<L>(
    world: World,
    mut listener: L,
    tls: Option<Arc<rustls::ServerConfig>>,
    router: Router,
    settings: ServeSettings,
    stop: impl Future<Output = ()> + Send,
) where
    L: Listener<Addr = SocketAddr>,
    L::Io: Unpin,
{
    let graceful = GracefulShutdown::new();
    let places = Arc::new(tokio::sync::Semaphore::new(settings.connections_max));
    let acceptor = tls.map(TlsAcceptor::from);
    let head_limit = Duration::from_secs(settings.head_seconds);
    let mut stop = std::pin::pin!(stop);
    loop {
        let place = Arc::clone(&places).acquire_owned().await.expect("never closed");
        let (stream, address) = tokio::select! {
            biased;
            () = &mut stop => break,
            accepted = listener.accept() => accepted,
        };
        let watcher = graceful.watcher();
        let (router, acceptor, handshake) = (router.clone(), acceptor.clone(), world.clone());
        world.spawn(async move {
            match acceptor {
                None => converse(stream, address, router, head_limit, watcher).await,
                Some(acceptor) => match handshake.within(head_limit, acceptor.accept(stream)).await
                {
                    Ok(Ok(stream)) => converse(stream, address, router, head_limit, watcher).await,
                    Ok(Err(error)) => tracing::debug!(%address, %error, "TLS handshake failed"),
                    Err(_) => tracing::debug!(%address, "TLS handshake took too long"),
                },
            }
            drop(place);
        });
    }
    drop(listener);
    let limit = Duration::from_secs(settings.stop_seconds);
    if world.within(limit, graceful.shutdown()).await.is_err() {
        tracing::warn!(
            seconds = limit.as_secs(),
            "requests still run at the end of the grace time"
        );
    }
}

async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    address: SocketAddr,
    router: Router,
    head_limit: Duration,
    watcher: Watcher,
) {
    let service = router.map_request(move |mut request: http::Request<Incoming>| {
        request.extensions_mut().insert(PeerAddress(address));
        request.map(axum::body::Body::new)
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(head_limit)
        .max_buf_size(HEAD_MAX.max(256 << 10))
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(head_limit)
        .max_header_list_size(HEAD_MAX as u32)
        .max_concurrent_streams(256)
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(8 << 20)
        .adaptive_window(false);
    let connection = builder
        .serve_connection_with_upgrades(TokioIo::new(stream), TowerToHyperService::new(service));
    if let Err(error) = watcher.watch(connection.into_owned()).await {
        tracing::debug!(%address, error = &*error, "a connection ended early");
    }
}
