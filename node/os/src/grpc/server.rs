//! Receiving: one service, one method a class.
#![expect(clippy::disallowed_types, reason = "sockets are opened here")]

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::stream::unfold;
use node_base::limits::MESSAGE_MAX;
use node_base::{NodeId, Timestamp};
use node_world::{BoxFuture, Class, NetError};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::server::{Grpc, NamedService};
use tonic::transport::Server;
use tonic::{Request, Response, Status};

use super::codec::Plain;
use super::secure::{From, Secured, accept};
use super::{AGE_MAX, AT, CONNECTION_WINDOW, KEEP_ALIVE, KEEP_ALIVE_MAX, STREAM_WINDOW, TO};
use super::{SERVICE, SIZE};
use crate::listen::Listener;
use crate::net::Shared;

/// Calls at once on one connection; more wait at the sender.
const CALLS_MAX: u32 = 1024;
/// Others that say who they are, at once; more wait until these are done, which is not long.
const HANDSHAKES_MAX: usize = 64;
/// How much of a refusal is sent: it travels in a header.
const REFUSAL_MAX: usize = 1024;

/// Takes messages until the answer is dropped.
#[expect(clippy::disallowed_methods, reason = "this is what World's net is made of")]
pub(crate) fn serve(shared: &Arc<Shared>, listener: Listener) -> oneshot::Sender<()> {
    let (serving, ended) = oneshot::channel::<()>();
    let (proved, connections) = mpsc::channel(HANDSHAKES_MAX);
    tokio::spawn(take(Arc::clone(shared), listener, proved));
    let connections = Box::pin(unfold(connections, async |mut connections| {
        Some((Ok::<_, Infallible>(connections.recv().await?), connections))
    }));
    let service = Messages(Arc::clone(shared));
    let server = Server::builder()
        .http2_keepalive_interval(Some(KEEP_ALIVE))
        .http2_keepalive_timeout(Some(KEEP_ALIVE_MAX))
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(CALLS_MAX)
        .max_connection_age(AGE_MAX)
        .add_service(service);
    tokio::spawn(async move {
        let ended = async move { drop(ended.await) };
        if let Err(error) = server.serve_with_incoming_shutdown(connections, ended).await {
            tracing::error!(%error, "taking messages from other nodes ended");
        }
    });
    serving
}

/// Takes connections, and has each say who it is on its own, until nobody wants them.
#[expect(clippy::disallowed_methods, reason = "this is what World's net is made of")]
async fn take(shared: Arc<Shared>, listener: Listener, proved: mpsc::Sender<Secured>) {
    let handshakes = Arc::new(Semaphore::new(HANDSHAKES_MAX));
    loop {
        let next = async {
            // The semaphore is never closed.
            let permit = Arc::clone(&handshakes).acquire_owned().await;
            (listener.accept().await, permit)
        };
        let ((stream, from), permit): ((TcpStream, SocketAddr), _) = tokio::select! {
            () = proved.closed() => return,
            next = next => next,
        };
        let (shared, proved) = (Arc::clone(&shared), proved.clone());
        tokio::spawn(async move {
            let secured = accept(&shared, stream, from).await;
            drop(permit);
            if let Some(secured) = secured {
                // Nobody takes it when the node is ending.
                let _ = proved.send(secured).await;
            }
        });
    }
}

#[derive(Clone)]
struct Messages(Arc<Shared>);

impl NamedService for Messages {
    const NAME: &'static str = SERVICE;
}

impl Service<http::Request<Body>> for Messages {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Result<http::Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let method = request.uri().path().rsplit('/').next().unwrap_or_default();
        let Some(class) = Class::ALL.into_iter().find(|class| class.name() == method) else {
            let unknown = Status::unimplemented(format!("no messages of class '{method}' here"));
            return Box::pin(std::future::ready(Ok(unknown.into_http())));
        };
        let from = request.extensions().get::<From>().map_or(NodeId::default(), |from| from.0);
        let taking = Taking { shared: Arc::clone(&self.0), class, from };
        Box::pin(async move {
            let mut grpc = Grpc::new(Plain)
                .max_decoding_message_size(Shared::size_max(from))
                .max_encoding_message_size(MESSAGE_MAX);
            Ok(grpc.unary(taking, request).await)
        })
    }
}

/// Messages of one class.
struct Taking {
    shared: Arc<Shared>,
    class: Class,
    from: NodeId,
}

impl Service<Request<Bytes>> for Taking {
    type Response = Response<Bytes>;
    type Error = Status;
    type Future = BoxFuture<Result<Response<Bytes>, Status>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let (shared, class, from) = (Arc::clone(&self.shared), self.class, self.from);
        Box::pin(async move {
            let to = NodeId(number(request.metadata(), TO)?);
            let at = Timestamp::from_millis(number(request.metadata(), AT)?);
            shared.admit(from, to, class, at).map_err(status)?;
            let reply = shared.handle(from, class, request.into_inner()).await;
            reply.map(Response::new).map_err(status)
        })
    }
}

fn number<T: std::str::FromStr>(metadata: &MetadataMap, key: &'static str) -> Result<T, Status> {
    let number = metadata.get(key).and_then(|value| value.to_str().ok()?.parse().ok());
    number.ok_or_else(|| Status::invalid_argument(format!("{key} is not a number")))
}

fn status(error: NetError) -> Status {
    match error {
        NetError::Refused(refusal) => {
            let mut text = refusal.0;
            let end = (0..=text.len().min(REFUSAL_MAX)).rev().find(|&at| text.is_char_boundary(at));
            text.truncate(end.unwrap_or(0));
            Status::failed_precondition(text)
        }
        NetError::TooLarge { size, .. } => {
            let mut status = Status::out_of_range("the reply is too large");
            status.metadata_mut().insert(SIZE, MetadataValue::from(size));
            status
        }
        NetError::Removed => Status::permission_denied("the node was removed from the cluster"),
        NetError::Elapsed => Status::deadline_exceeded("no reply within the time for it"),
        NetError::Unreachable(why) | NetError::Broken(why) => Status::unavailable(why),
    }
}
