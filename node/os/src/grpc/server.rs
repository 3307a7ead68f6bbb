//! Receiving: one service, one method a class.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::stream::unfold;
use node_base::NodeId;
use node_base::limits::MESSAGE_MAX;
use node_world::{BoxFuture, Class, NetError};
use tokio::sync::oneshot;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::server::{Grpc, NamedService};
use tonic::transport::Server;
use tonic::{Request, Response, Status};

use super::codec::Plain;
use super::{CONNECTION_WINDOW, FROM, KEEP_ALIVE, KEEP_ALIVE_MAX, SERVICE, STREAM_WINDOW, TO};
use super::{SIZE, Shared};
use crate::listen::Listener;

/// Calls at once on one connection; more wait at the sender.
const CALLS_MAX: u32 = 1024;
/// How much of a refusal is sent: it travels in a header.
const REFUSAL_MAX: usize = 1024;

/// Takes messages until the answer is dropped.
#[expect(clippy::disallowed_methods, reason = "this is what World's net is made of")]
pub(super) fn start(shared: &Arc<Shared>, listener: Listener) -> oneshot::Sender<()> {
    let (serving, ended) = oneshot::channel::<()>();
    let connections = Box::pin(unfold(listener, async |listener| {
        let (stream, _from) = listener.accept().await;
        Some((Ok::<_, Infallible>(stream), listener))
    }));
    let service = Messages(Arc::clone(shared));
    let server = Server::builder()
        .http2_keepalive_interval(Some(KEEP_ALIVE))
        .http2_keepalive_timeout(Some(KEEP_ALIVE_MAX))
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(CALLS_MAX)
        .add_service(service);
    tokio::spawn(async move {
        let ended = async move { drop(ended.await) };
        if let Err(error) = server.serve_with_incoming_shutdown(connections, ended).await {
            tracing::error!(%error, "taking messages from other nodes ended");
        }
    });
    serving
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
        let taking = Taking { shared: Arc::clone(&self.0), class };
        Box::pin(async move {
            let mut grpc = Grpc::new(Plain)
                .max_decoding_message_size(MESSAGE_MAX)
                .max_encoding_message_size(MESSAGE_MAX);
            Ok(grpc.unary(taking, request).await)
        })
    }
}

/// Messages of one class.
struct Taking {
    shared: Arc<Shared>,
    class: Class,
}

impl Service<Request<Bytes>> for Taking {
    type Response = Response<Bytes>;
    type Error = Status;
    type Future = BoxFuture<Result<Response<Bytes>, Status>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let (shared, class) = (Arc::clone(&self.shared), self.class);
        Box::pin(async move {
            let from = number(request.metadata(), FROM)?;
            let to = number(request.metadata(), TO)?;
            if to != shared.node && to != NodeId::default() {
                return Err(Status::failed_precondition("another node has this address now"));
            }
            let reply = shared.handle(from, class, request.into_inner()).await;
            reply.map(Response::new).map_err(status)
        })
    }
}

fn number(metadata: &MetadataMap, key: &'static str) -> Result<NodeId, Status> {
    let number = metadata.get(key).and_then(|value| value.to_str().ok()?.parse().ok());
    number.map(NodeId).ok_or_else(|| Status::invalid_argument(format!("{key} is not a node")))
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
        NetError::Elapsed => Status::deadline_exceeded("no reply within the time for it"),
        NetError::Unreachable(why) => Status::unavailable(why),
    }
}
