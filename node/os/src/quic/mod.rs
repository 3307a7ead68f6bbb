//! Messages about shards, over QUIC and mutual TLS: one stream for one message and its reply.
//!
//! A node keeps one connection to each peer for what people wait for, and one for the rest. Each
//! has windows of its own, so that a peer that does not read holds up what is meant for it and
//! nothing else, and what repair moves is never far ahead of what somebody waits for. A connection
//! is made when it is first needed, and again when it broke or went silent.
#![expect(clippy::disallowed_types, reason = "sockets are opened here")]

mod client;
mod frame;
mod server;
mod settings;

use std::io;
use std::net::UdpSocket;
use std::sync::Arc;

use bytes::Bytes;
use node_base::Duration;
use node_world::{Class, NetError, Peer};
use quinn::{Endpoint, EndpointConfig, TokioRuntime, VarInt};

use crate::net::Shared;
use client::Ways;

/// Codes with which a connection is closed: the node ends; it was not made by a node.
const ENDING: VarInt = VarInt::from_u32(0);
const REFUSED: VarInt = VarInt::from_u32(1);

/// The endpoint, and the connections from it. Dropped, it closes them all.
pub(crate) struct Quic {
    shared: Arc<Shared>,
    endpoint: Endpoint,
    ways: Ways,
}

/// Sends from a socket, and takes messages there once this node is certified. Call it within the
/// runtime.
pub(crate) fn start(shared: &Arc<Shared>, socket: UdpSocket) -> io::Result<Arc<Quic>> {
    // The machine may allow smaller ones.
    let _ = rustix::net::sockopt::set_socket_recv_buffer_size(&socket, settings::SOCKET_BUFFER);
    let _ = rustix::net::sockopt::set_socket_send_buffer_size(&socket, settings::SOCKET_BUFFER);
    let runtime = Arc::new(TokioRuntime);
    let endpoint = Endpoint::new(EndpointConfig::default(), None, socket, runtime)?;
    server::start(shared, &endpoint);
    Ok(Arc::new(Quic { shared: Arc::clone(shared), endpoint, ways: Ways::default() }))
}

impl Quic {
    pub(crate) async fn call(
        &self,
        to: Peer,
        class: Class,
        request: Bytes,
        limit: Duration,
    ) -> Result<Bytes, NetError> {
        self.ways.call(&self.shared, &self.endpoint, to, class, request, limit).await
    }
}

impl Drop for Quic {
    fn drop(&mut self) {
        self.endpoint.close(ENDING, b"the node ends");
    }
}
