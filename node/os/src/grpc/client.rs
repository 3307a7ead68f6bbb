//! Sending: one lazily opened connection per peer and class.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

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
use super::{
    CONNECTION_WINDOW, FROM, KEEP_ALIVE, KEEP_ALIVE_MAX, SERVICE, SIZE, STREAM_WINDOW, TO,
};
use crate::cause::chain;

const CONNECT_MAX: Duration = Duration::from_secs(3);

/// Connections by peer and class, each with the address it leads to.
#[derive(Default)]
pub(super) struct Channels(Mutex<BTreeMap<(NodeId, Class), (String, Channel)>>);

impl Channels {
    /// The connection to a peer; a new one when the peer has moved.
    fn channel(&self, to: &Peer, class: Class) -> Result<Channel, NetError> {
        let mut channels = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match channels.get(&(to.node, class)) {
            Some((address, channel)) if *address == to.address => Ok(channel.clone()),
            _ => {
                let channel = connect(&to.address)?;
                channels.insert((to.node, class), (to.address.clone(), channel.clone()));
                Ok(channel)
            }
        }
    }

    pub(super) async fn call(
        &self,
        from: NodeId,
        to: Peer,
        class: Class,
        request: Bytes,
        limit: Duration,
    ) -> Result<Bytes, NetError> {
        let channel = self.channel(&to, class)?;
        let mut grpc = Grpc::new(channel)
            .max_encoding_message_size(MESSAGE_MAX)
            .max_decoding_message_size(MESSAGE_MAX);
        grpc.ready().await.map_err(|error| NetError::Unreachable(chain(&error)))?;
        let mut request = Request::new(request);
        request.set_timeout(limit);
        request.metadata_mut().insert(FROM, MetadataValue::from(from.0));
        request.metadata_mut().insert(TO, MetadataValue::from(to.node.0));
        let path = PathAndQuery::try_from(format!("/{SERVICE}/{}", class.name()))
            .expect("the names of classes are made of letters and hyphens");
        let reply = grpc.unary(request, path, Plain).await;
        reply.map(tonic::Response::into_inner).map_err(|status| failure(&status))
    }
}

fn connect(address: &str) -> Result<Channel, NetError> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))
        .map_err(|error| NetError::Unreachable(format!("'{address}': {}", chain(&error))))?;
    Ok(endpoint
        .connect_timeout(CONNECT_MAX)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE_MAX)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .connect_lazy())
}

fn failure(status: &Status) -> NetError {
    match status.code() {
        // The other end is of our kind, or of another, and will not have this message.
        Code::FailedPrecondition | Code::InvalidArgument | Code::Unimplemented => {
            NetError::Refused(Refusal(status.message().to_owned()))
        }
        Code::OutOfRange => {
            let size =
                status.metadata().get(SIZE).and_then(|size| size.to_str().ok()?.parse().ok());
            NetError::TooLarge { size: size.unwrap_or(MESSAGE_MAX + 1), max: MESSAGE_MAX }
        }
        Code::DeadlineExceeded | Code::Cancelled => NetError::Elapsed,
        _ => NetError::Unreachable(chain(status)),
    }
}
