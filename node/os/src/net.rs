//! The way to other nodes: gRPC over TCP for what has to be agreed, QUIC for shards, so that bulk
//! bytes never stand in the way of a heartbeat. Both prove who speaks.

#![expect(clippy::disallowed_types, reason = "sockets are opened here")]

use std::collections::BTreeMap;
use std::net::UdpSocket;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use bytes::Bytes;
use node_base::limits::MESSAGE_MAX;
use node_base::{Duration, NodeId, Timestamp};
use node_world::{BoxFuture, Class, Credentials, Handler, Net, NetError, Peer, Refusal};
use tokio::sync::oneshot;

use crate::grpc;
use crate::listen::Listener;
use crate::quic::{self, Quic};
use crate::tls::{Keychain, Refused};

/// How far two nodes' clocks may differ. Certificates and whatever expires go by clocks, so one
/// that is far off is an operator's case: that node is heard no more until it is set.
const CLOCKS_DIFFER_MAX: Duration = Duration::from_secs(30 * 60);
/// The largest message of somebody who is not certified, who can only ask to join.
const STRANGER_MAX: usize = 16 << 10;

/// What both transports need.
pub(crate) struct Shared {
    pub(crate) node: NodeId,
    pub(crate) keychain: Arc<Keychain>,
    handlers: Mutex<BTreeMap<Class, Arc<dyn Handler>>>,
}

impl Shared {
    fn handlers(&self) -> MutexGuard<'_, BTreeMap<Class, Arc<dyn Handler>>> {
        self.handlers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What this node's own handler says.
    pub(crate) async fn handle(
        &self,
        from: NodeId,
        class: Class,
        request: Bytes,
    ) -> Result<Bytes, NetError> {
        let handler = self.handlers().get(&class).map(Arc::clone);
        let Some(handler) = handler else {
            let nobody = Refusal(format!("nobody serves {} messages here", class.name()));
            return Err(NetError::Refused(nobody));
        };
        let reply = handler.handle(from, request).await.map_err(NetError::Refused)?;
        check_size(&reply)?;
        Ok(reply)
    }

    /// Whether a message may be handled: `from` was proved by the connection that it came on.
    pub(crate) fn admit(
        &self,
        from: NodeId,
        to: NodeId,
        class: Class,
        sent_at: Timestamp,
    ) -> Result<(), NetError> {
        let refuse = |why: Refused| {
            self.keychain.refusals.note(&format_args!("node {from}"), why);
            NetError::Refused(Refusal(format!("{why}, says node {}", self.node)))
        };
        if from == NodeId::default() && class != Class::Control {
            return Err(refuse(Refused::NoCertificate));
        }
        if self.keychain.is_removed(from) {
            let _ = refuse(Refused::Removed);
            return Err(NetError::Removed);
        }
        let difference = sent_at.millis().saturating_sub(now().millis());
        if u128::from(difference.unsigned_abs()) > CLOCKS_DIFFER_MAX.as_millis() {
            return Err(refuse(Refused::Clock(difference / 1_000)));
        }
        if to != self.node && to != NodeId::default() {
            let moved = Refusal("another node has this address now".to_owned());
            return Err(NetError::Refused(moved));
        }
        Ok(())
    }

    /// How large a message may be.
    pub(crate) fn size_max(from: NodeId) -> usize {
        if from == NodeId::default() { STRANGER_MAX } else { MESSAGE_MAX }
    }
}

/// What the wall shows, as each message says it.
#[expect(clippy::disallowed_methods, reason = "this is what World's net is made of")]
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

#[expect(clippy::disallowed_methods, reason = "this is what World's net is made of")]
pub(crate) async fn within<T>(limit: Duration, future: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(limit, future).await.ok()
}

#[expect(clippy::disallowed_methods, reason = "this is what World's net is made of")]
pub(crate) async fn pause(span: Duration) {
    tokio::time::sleep(span).await;
}

pub(crate) fn check_size(message: &Bytes) -> Result<(), NetError> {
    let (size, max) = (message.len(), MESSAGE_MAX);
    if size > max { Err(NetError::TooLarge { size, max }) } else { Ok(()) }
}

/// Both ways to other nodes. Dropped, it takes no more messages.
pub(crate) struct RealNet {
    shared: Arc<Shared>,
    channels: Arc<grpc::Channels>,
    quic: Option<Arc<Quic>>,
    _serving: Option<oneshot::Sender<()>>,
}

impl RealNet {
    /// Sends as `node`, and takes messages from the sockets where there are any. Call it within the
    /// runtime.
    pub(crate) fn start(
        node: NodeId,
        sockets: Option<(Listener, UdpSocket)>,
    ) -> std::io::Result<Self> {
        let keychain = Arc::new(Keychain::new());
        let shared = Arc::new(Shared { node, keychain, handlers: Mutex::default() });
        let channels = Arc::new(grpc::Channels::new(&shared));
        let (mut serving, mut quic) = (None, None);
        if let Some((listener, socket)) = sockets {
            quic = Some(quic::start(&shared, socket)?);
            serving = Some(grpc::serve(&shared, listener));
        }
        Ok(Self { shared, channels, quic, _serving: serving })
    }
}

impl Net for RealNet {
    fn call(
        &self,
        to: Peer,
        class: Class,
        request: Bytes,
        limit: Duration,
    ) -> BoxFuture<Result<Bytes, NetError>> {
        let shared = Arc::clone(&self.shared);
        let (channels, quic) = (Arc::clone(&self.channels), self.quic.clone());
        Box::pin(async move {
            check_size(&request)?;
            let answer = async {
                if to.node == shared.node && shared.node != NodeId::default() {
                    return shared.handle(shared.node, class, request).await;
                }
                match class {
                    Class::Consensus | Class::Control => {
                        channels.call(to, class, request, limit).await
                    }
                    Class::ShardForeground | Class::ShardBackground => match quic {
                        Some(quic) => quic.call(to, class, request, limit).await,
                        None => {
                            let why = "this process takes no part in a cluster".to_owned();
                            Err(NetError::Unreachable(why))
                        }
                    },
                }
            };
            within(limit, answer).await.unwrap_or(Err(NetError::Elapsed))
        })
    }

    fn serve(&self, class: Class, handler: Arc<dyn Handler>) {
        self.shared.handlers().insert(class, handler);
    }

    fn credentials(&self) -> Option<&dyn Credentials> {
        Some(&*self.shared.keychain)
    }
}
