//! Sending: one lazily opened connection per peer and class.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::uri::PathAndQuery;
use node_base::limits::MESSAGE_MAX;
use node_base::{Duration, NodeId};
use node_world::{Class, NetError, Peer, Refusal};
use tonic::client::Grpc;
use tonic::metadata::MetadataValue;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

use super::codec::Plain;
use super::secure::{dial, is_unconnected, refusal};
use super::{AT, CONNECTION_WINDOW, KEEP_ALIVE, KEEP_ALIVE_MAX, SERVICE, SIZE, STREAM_WINDOW, TO};
use crate::cause::chain;
use crate::net::{Shared, now};

/// Whom a connection leads to. Node 0 may be another at each address.
type Whom = (NodeId, String, Class);

/// Connections by peer and class.
pub(crate) struct Channels {
    shared: Arc<Shared>,
    open: Mutex<BTreeMap<(NodeId, Class), (Whom, Channel)>>,
}

impl Channels {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        Self { shared: Arc::clone(shared), open: Mutex::default() }
    }

    /// The connection to a peer; a new one when the peer has moved.
    fn channel(&self, to: &Peer, class: Class) -> Result<Channel, NetError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let whom = (to.node, to.address.clone(), class);
        match open.get(&(to.node, class)) {
            Some((same, channel)) if *same == whom => Ok(channel.clone()),
            _ => {
                let channel = connect(&self.shared, to)?;
                open.insert((to.node, class), (whom, channel.clone()));
                Ok(channel)
            }
        }
    }

    pub(crate) async fn call(
        &self,
        to: Peer,
        class: Class,
        request: Bytes,
        limit: Duration,
    ) -> Result<Bytes, NetError> {
        let channel = self.channel(&to, class)?;
        let mut grpc = Grpc::new(channel)
            .max_encoding_message_size(MESSAGE_MAX)
            .max_decoding_message_size(MESSAGE_MAX);
        grpc.ready().await.map_err(|error| {
            refusal(&error).unwrap_or_else(|| NetError::Unreachable(chain(&error)))
        })?;
        let mut request = Request::new(request);
        request.set_timeout(limit);
        request.metadata_mut().insert(TO, MetadataValue::from(to.node.0));
        request.metadata_mut().insert(AT, MetadataValue::from(now().millis()));
        let path = PathAndQuery::try_from(format!("/{SERVICE}/{}", class.name()))
            .expect("the names of classes are made of letters and hyphens");
        let reply = grpc.unary(request, path, Plain).await;
        reply.map(tonic::Response::into_inner).map_err(|status| failure(&status))
    }
}

fn connect(shared: &Arc<Shared>, to: &Peer) -> Result<Channel, NetError> {
    // TLS is the connector's: to the library this is plain HTTP/2.
    let endpoint = Endpoint::from_shared(format!("http://{}", to.address))
        .map_err(|error| NetError::Unreachable(format!("'{}': {}", to.address, chain(&error))))?;
    let (shared, to) = (Arc::clone(shared), to.clone());
    let connector = tower::service_fn(move |_: http::Uri| dial(Arc::clone(&shared), to.clone()));
    Ok(endpoint
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE_MAX)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .connect_with_connector_lazy(connector))
}

fn failure(status: &Status) -> NetError {
    match status.code() {
        // The other end is of our kind, or of another, and will not have this message.
        Code::FailedPrecondition | Code::InvalidArgument | Code::Unimplemented => {
            NetError::Refused(Refusal(status.message().to_owned()))
        }
        Code::PermissionDenied => NetError::Removed,
        Code::OutOfRange => {
            let size =
                status.metadata().get(SIZE).and_then(|size| size.to_str().ok()?.parse().ok());
            NetError::TooLarge { size: size.unwrap_or(MESSAGE_MAX + 1), max: MESSAGE_MAX }
        }
        Code::DeadlineExceeded | Code::Cancelled => NetError::Elapsed,
        _ => refusal(status).unwrap_or_else(|| {
            let why = chain(status);
            if is_unconnected(status) { NetError::Unreachable(why) } else { NetError::Broken(why) }
        }),
    }
}
