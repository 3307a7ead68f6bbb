//! Messages between nodes, as unary gRPC calls over TCP.
//!
//! A message of class `control` is a call of `/scaidrive.Messages/control` whose body is the
//! message as it is, without protobuf around it. The metadata says who sends it (`scaidrive-from`)
//! and whom it is meant for (`scaidrive-to`), because an address may have a new resident;
//! `grpc-timeout` is the sender's limit, kept by both ends. Each class has its own connections, so
//! that none waits behind another's bytes.

mod client;
mod codec;
mod server;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use node_base::limits::MESSAGE_MAX;
use node_base::{Duration, NodeId};
use node_world::{BoxFuture, Class, Handler, Net, NetError, Peer, Refusal};
use tokio::sync::oneshot;

use crate::listen::Listener;
use client::Channels;

const SERVICE: &str = "scaidrive.Messages";
const FROM: &str = "scaidrive-from";
const TO: &str = "scaidrive-to";
/// The size of a reply that is over the limit.
const SIZE: &str = "scaidrive-size";

/// How much of one message may be on its way unread, and of all on one connection.
const STREAM_WINDOW: u32 = 2 << 20;
const CONNECTION_WINDOW: u32 = 16 << 20;
/// How often an idle connection is tried, and how long it may take to answer.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
const KEEP_ALIVE_MAX: Duration = Duration::from_secs(5);

/// The way to other nodes. Dropped, it takes no more messages.
pub(crate) struct Grpc {
    shared: Arc<Shared>,
    _serving: Option<oneshot::Sender<()>>,
}

/// What both directions need.
struct Shared {
    node: NodeId,
    handlers: Mutex<BTreeMap<Class, Arc<dyn Handler>>>,
    channels: Channels,
}

impl Shared {
    fn handlers(&self) -> MutexGuard<'_, BTreeMap<Class, Arc<dyn Handler>>> {
        self.handlers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What this node's own handler says.
    async fn handle(&self, from: NodeId, class: Class, request: Bytes) -> Result<Bytes, NetError> {
        let handler = self.handlers().get(&class).map(Arc::clone);
        let Some(handler) = handler else {
            let nobody = Refusal(format!("nobody serves {} messages here", class.name()));
            return Err(NetError::Refused(nobody));
        };
        let reply = handler.handle(from, request).await.map_err(NetError::Refused)?;
        check_size(&reply)?;
        Ok(reply)
    }

    async fn call(
        &self,
        to: Peer,
        class: Class,
        request: Bytes,
        limit: Duration,
    ) -> Result<Bytes, NetError> {
        check_size(&request)?;
        let answer = async {
            if to.node == self.node && self.node != NodeId::default() {
                self.handle(self.node, class, request).await
            } else {
                self.channels.call(self.node, to, class, request, limit).await
            }
        };
        within(limit, answer).await.unwrap_or(Err(NetError::Elapsed))
    }
}

#[expect(clippy::disallowed_methods, reason = "this is what World's net is made of")]
async fn within<T>(limit: Duration, future: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(limit, future).await.ok()
}

fn check_size(message: &Bytes) -> Result<(), NetError> {
    let (size, max) = (message.len(), MESSAGE_MAX);
    if size > max { Err(NetError::TooLarge { size, max }) } else { Ok(()) }
}

impl Grpc {
    /// Sends as `node`, and takes messages from `listener` where there is one. Call it within the
    /// runtime.
    pub(crate) fn start(node: NodeId, listener: Option<Listener>) -> Self {
        let shared =
            Arc::new(Shared { node, handlers: Mutex::default(), channels: Channels::default() });
        let serving = listener.map(|listener| server::start(&shared, listener));
        Self { shared, _serving: serving }
    }
}

impl Net for Grpc {
    fn call(
        &self,
        to: Peer,
        class: Class,
        request: Bytes,
        limit: Duration,
    ) -> BoxFuture<Result<Bytes, NetError>> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move { shared.call(to, class, request, limit).await })
    }

    fn serve(&self, class: Class, handler: Arc<dyn Handler>) {
        self.shared.handlers().insert(class, handler);
    }
}
