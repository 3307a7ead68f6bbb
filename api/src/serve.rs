//! Connections: accepted, encrypted where keys are given, bounded in time, and let finish at the
//! end.
//!
//! HTTP/1.1 and HTTP/2 come in by the same door. A client that dawdles over its head or its body
//! is cut off, as is one that has nothing more to ask; one that reads slowly is not.

mod patience;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::serve::Listener;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use node_base::Duration;
use node_world::World;
use patience::{Answer, Patience, Stage, Wire};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

/// How connections are treated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServeSettings {
    /// Seconds a client may take over the head of a request, from its first byte on, and over a TLS
    /// handshake.
    pub head_seconds: u64,
    /// Seconds that a connection is kept open on which nothing is asked.
    pub idle_seconds: u64,
    /// Seconds that may pass between two pieces of a request's body.
    pub body_idle_seconds: u64,
    /// Seconds that a node of several says that it is not ready, and still takes requests, before
    /// it stops: as long as who spreads requests over nodes takes to notice.
    pub leave_seconds: u64,
    /// Seconds that running requests are given when the node stops.
    pub stop_seconds: u64,
    /// Connections at the same time; more wait to be accepted.
    pub connections_max: usize,
}

impl Default for ServeSettings {
    fn default() -> Self {
        Self {
            head_seconds: 15,
            idle_seconds: 75,
            body_idle_seconds: 30,
            leave_seconds: 1,
            stop_seconds: 20,
            connections_max: 10_000,
        }
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
    let connections_max = u32::try_from(settings.connections_max).unwrap_or(u32::MAX);
    let places = Arc::new(Semaphore::new(connections_max as usize));
    let (stopping, stopped) = watch::channel(false);
    let acceptor = tls.map(TlsAcceptor::from);
    let limit = Duration::from_secs(settings.stop_seconds);
    let door = Door { world: world.clone(), router, settings, stopped };
    let mut stop = std::pin::pin!(stop);
    loop {
        let accept = async {
            let place = Arc::clone(&places).acquire_owned().await.expect("never closed");
            (place, listener.accept().await)
        };
        let (place, (stream, address)) = tokio::select! {
            biased;
            () = &mut stop => break,
            accepted = accept => accepted,
        };
        let (door, acceptor) = (door.clone(), acceptor.clone());
        world.spawn(async move {
            match acceptor {
                None => door.converse(stream, address).await,
                Some(acceptor) => door.converse_in_secret(acceptor, stream, address).await,
            }
            drop(place);
        });
    }
    drop(listener);
    stopping.send_replace(true);
    // All have gone when all places are free.
    if world.within(limit, places.acquire_many(connections_max)).await.is_err() {
        tracing::warn!(
            seconds = limit.as_secs(),
            "requests still run at the end of the grace time"
        );
    }
}

/// What is the same for all connections.
#[derive(Clone)]
struct Door {
    world: World,
    router: Router,
    settings: ServeSettings,
    stopped: watch::Receiver<bool>,
}

/// Why a connection is to end.
enum Farewell {
    /// The other side was waited for in vain.
    Overdue(Stage),
    /// The node stops.
    Stopped,
}

impl Door {
    async fn converse_in_secret(
        self,
        acceptor: TlsAcceptor,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        address: SocketAddr,
    ) {
        let limit = Duration::from_secs(self.settings.head_seconds);
        match self.world.within(limit, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => self.converse(stream, address).await,
            Ok(Err(error)) => tracing::debug!(%address, %error, "TLS handshake failed"),
            Err(_) => tracing::debug!(%address, "TLS handshake took too long"),
        }
    }

    async fn converse(
        mut self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        address: SocketAddr,
    ) {
        let patience = Patience::new(self.world.clone());
        let (router, asked) = (self.router.clone(), patience.clone());
        let service = service_fn(move |request: http::Request<Incoming>| {
            let begun = asked.begin();
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(PeerAddress(address));
            let answer = router.clone().oneshot(request);
            async move {
                let answer = answer.await?;
                Ok::<_, Infallible>(answer.map(|body| Body::new(Answer::new(body, begun))))
            }
        });
        let wire = TokioIo::new(Wire::new(stream, patience.clone()));
        let builder = protocols(&self.settings);
        let mut connection = std::pin::pin!(builder.serve_connection_with_upgrades(wire, service));
        let [idle, head] =
            [self.settings.idle_seconds, self.settings.head_seconds].map(Duration::from_secs);
        let farewell = async {
            tokio::select! {
                _ = self.stopped.wait_for(|stopped| *stopped) => Farewell::Stopped,
                stage = patience.run_out(idle, head) => Farewell::Overdue(stage),
            }
        };
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            why = farewell => {
                connection.as_mut().graceful_shutdown();
                match why {
                    Farewell::Stopped => connection.await,
                    Farewell::Overdue(Stage::Idle) => {
                        // What was asked at the last moment is answered.
                        self.world.within(idle, connection).await.unwrap_or(Ok(()))
                    }
                    Farewell::Overdue(stage) => {
                        tracing::debug!(%address, ?stage, "a request's head took too long");
                        Ok(())
                    }
                }
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%address, error = &*error, "a connection ended early");
        }
    }
}

fn protocols(settings: &ServeSettings) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        // It would count the time between two requests as well: see `patience`.
        .header_read_timeout(None)
        // Most chunks then come in one piece, and need not be put together.
        .max_buf_size(HEAD_MAX.max(1 << 20))
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(settings.head_seconds))
        .max_header_list_size(HEAD_MAX as u32)
        .max_concurrent_streams(256)
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(8 << 20)
        .adaptive_window(false);
    builder
}
