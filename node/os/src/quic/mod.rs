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
use node_base::{Duration, NodeId, Sha256, sha256};
use node_world::{Class, Entropy, NetError, Peer};
use quinn::crypto::{CryptoError, HmacKey};
use quinn::{ConnectionId, ConnectionIdGenerator, Endpoint, EndpointConfig, TokioRuntime, VarInt};

use crate::clock::RealEntropy;
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
    let mut config = EndpointConfig::new(Arc::new(ResetKey::new(shared.node, &socket)?));
    // Any connection may be one of this node's, from before it was started again.
    config.cid_generator(|| Box::new(Numbers));
    let endpoint = Endpoint::new(config, None, socket, runtime)?;
    server::start(shared, &endpoint);
    Ok(Arc::new(Quic { shared: Arc::clone(shared), endpoint, ways: Ways::default() }))
}

/// Numbers of connections, that nobody guesses.
struct Numbers;

const NUMBER_LEN: usize = 8;

impl ConnectionIdGenerator for Numbers {
    fn generate_cid(&mut self) -> ConnectionId {
        let mut number = [0; NUMBER_LEN];
        RealEntropy.fill(&mut number);
        ConnectionId::new(&number)
    }

    fn cid_len(&self) -> usize {
        NUMBER_LEN
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

/// Ends the connections of this node's process before this one, when their next packet comes: a
/// peer that does not hear so waits until its patience ends.
///
/// It is the same after each start, and no secret: whoever sees a connection's packets can end it.
/// So they can by holding them back, and others do not know the connection's number.
struct ResetKey(Sha256);

impl ResetKey {
    fn new(node: NodeId, socket: &UdpSocket) -> io::Result<Self> {
        let whom = format!("stateless reset of node {node} at {}", socket.local_addr()?);
        Ok(Self(sha256(whom.as_bytes())))
    }

    fn of(&self, data: &[u8]) -> Sha256 {
        sha256(&[&self.0.0, data].concat())
    }
}

impl HmacKey for ResetKey {
    fn sign(&self, data: &[u8], signature: &mut [u8]) {
        signature.copy_from_slice(&self.of(data).0);
    }

    fn signature_len(&self) -> usize {
        self.0.0.len()
    }

    fn verify(&self, data: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
        if self.of(data).0 == signature { Ok(()) } else { Err(CryptoError) }
    }
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
