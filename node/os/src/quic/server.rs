//! Receiving: whoever proved to be a node, a stream a message.

use std::sync::Arc;

use node_base::limits::MESSAGE_MAX;
use node_base::{Duration, NodeId};
use node_world::{Class, NetError};
use quinn::{Connection, Endpoint, Incoming, RecvStream, SendStream, ServerConfig};
use rustls::pki_types::CertificateDer;
use tokio::sync::Semaphore;

use super::frame::{FrameError, Request, body, write_reply};
use super::{REFUSED, settings};
use crate::net::{Shared, within};
use crate::tls::{Refused, Shown, node_of};

/// How long the other end may take to say who it is.
const HANDSHAKE_MAX: Duration = Duration::from_secs(5);
/// Kibibytes of messages that one connection has in memory before they are whole.
const ROOM_KIB: usize = 64 << 10;
/// The head of a message follows the opening of its stream.
const HEAD_MAX: Duration = Duration::from_secs(10);

const _: () = assert!(MESSAGE_MAX >> 10 < ROOM_KIB, "there is room for every message");

fn config(shown: &Shown) -> ServerConfig {
    let mut config = ServerConfig::with_crypto(shown.quic_server.clone());
    config.transport_config(settings::transport(Class::ShardForeground));
    config.max_incoming(settings::INCOMING_MAX);
    // A node stays where it is.
    config.migration(false);
    config
}

/// Takes connections, from when this node is certified until the endpoint is closed.
#[expect(clippy::disallowed_methods, reason = "this is what World's net is made of")]
pub(super) fn start(shared: &Arc<Shared>, endpoint: &Endpoint) {
    let (mut certified, certifying) = (shared.keychain.watch(), endpoint.clone());
    tokio::spawn(async move {
        while certified.changed().await.is_ok() {
            let config = certified.borrow_and_update().as_deref().map(config);
            certifying.set_server_config(config);
        }
    });
    let (shared, endpoint) = (Arc::clone(shared), endpoint.clone());
    tokio::spawn(async move {
        while let Some(incoming) = endpoint.accept().await {
            if endpoint.open_connections() > settings::CONNECTIONS_MAX {
                incoming.refuse();
                continue;
            }
            tokio::spawn(take(Arc::clone(&shared), incoming));
        }
    });
}

/// One connection, until it ends.
#[expect(clippy::disallowed_methods, reason = "this is what World's net is made of")]
async fn take(shared: Arc<Shared>, incoming: Incoming) {
    let from = incoming.remote_address();
    let made = match within(HANDSHAKE_MAX, async { incoming.accept()?.await }).await {
        Some(Ok(connection)) => Ok(connection),
        Some(Err(error)) => {
            // A certificate that was refused is logged by who looked at it.
            tracing::debug!(%from, %error, "a connection ended while it was made");
            return;
        }
        None => Err(Refused::Silent),
    };
    let connection = match made {
        Ok(connection) => connection,
        Err(why) => return shared.keychain.refusals.note(&from, why),
    };
    let Some(node) = resident(&connection) else {
        shared.keychain.refusals.note(&from, Refused::NoCertificate);
        connection.close(REFUSED, Refused::NoCertificate.to_string().as_bytes());
        return;
    };
    let room = Arc::new(Semaphore::new(ROOM_KIB));
    while let Ok((send, receive)) = connection.accept_bi().await {
        let (shared, room) = (Arc::clone(&shared), Arc::clone(&room));
        tokio::spawn(async move {
            if let Err(error) = answer(&shared, node, send, receive, &room).await {
                tracing::debug!(%node, %error, "a message about shards was broken off");
            }
        });
    }
}

/// Which node proved to be at the other end.
fn resident(connection: &Connection) -> Option<NodeId> {
    let chain = connection.peer_identity()?.downcast::<Vec<CertificateDer<'static>>>().ok()?;
    node_of(Some(&chain))
}

async fn answer(
    shared: &Shared,
    from: NodeId,
    mut send: SendStream,
    mut receive: RecvStream,
    room: &Semaphore,
) -> Result<(), FrameError> {
    let request = within(HEAD_MAX, Request::read(&mut receive)).await;
    let request = request.ok_or(FrameError::Unknown)??;
    let is_shards = matches!(request.class, Class::ShardForeground | Class::ShardBackground);
    if !is_shards {
        return Err(FrameError::Unknown);
    }
    let handled = async {
        shared.admit(from, request.to, request.class, request.at)?;
        let kib = u32::try_from(request.len.div_ceil(1 << 10)).unwrap_or(u32::MAX);
        // The semaphore is never closed.
        let taken = room.acquire_many(kib).await;
        let body = body(&mut receive, request.len).await;
        drop(taken);
        let body = body.map_err(|error| NetError::Unreachable(error.to_string()))?;
        shared.handle(from, request.class, body).await
    };
    let gone = send.stopped();
    let reply = tokio::select! {
        // Nobody waits for the reply any more.
        _ = gone => return Ok(()),
        reply = within(request.limit, handled) => reply.unwrap_or(Err(NetError::Elapsed)),
    };
    write_reply(&mut send, reply).await
}
