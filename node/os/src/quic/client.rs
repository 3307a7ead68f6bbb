//! Sending: a connection per peer and class, kept for as long as it answers.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use node_base::{Duration, NodeId};
use node_world::{Class, NetError, Peer, Refusal};
use quinn::{ClientConfig, Connection, ConnectionError, Endpoint};
use tokio::net::TcpStream;

use super::frame::{FrameError, Request, read_reply};
use super::{ENDING, REFUSED, settings};
use crate::cause::chain;
use crate::net::{Shared, now, pause, within};

const CONNECT_MAX: Duration = Duration::from_secs(3);
/// How long a connection is used: the next one shows the certificates as they are then.
const AGE_MAX: Duration = Duration::from_secs(24 * 3_600);

/// A connection on which nothing comes back for this long, while something is waited for, is given
/// up: below what any message about shards may take.
const SILENT_MAX: Duration = Duration::from_secs(2);
/// A message without a reply for this long casts doubt on its peer. A process that has ended says
/// nothing over UDP, but its machine refuses connections over TCP, at the same port.
const DOUBT_AFTER: Duration = Duration::from_millis(200);
/// How long the answer to that may take: a machine that is away gives none.
const DOUBT_MAX: Duration = Duration::from_secs(1);

#[expect(clippy::disallowed_methods, reason = "this is what World's net is made of")]
fn clock() -> Instant {
    Instant::now()
}

/// Ways to peers.
#[derive(Default)]
pub(super) struct Ways(Mutex<BTreeMap<(NodeId, Class), Arc<Way>>>);

/// The way to one peer for one class.
struct Way {
    address: String,
    /// Whoever holds it makes the connection for all that wait.
    open: tokio::sync::Mutex<Option<Open>>,
    /// Whether somebody finds out if the peer's process is there: one is enough.
    in_doubt: AtomicBool,
}

#[derive(Clone)]
struct Open {
    connection: Connection,
    made: Instant,
    /// Replies that came: a connection that takes messages and brings none back is of no use.
    replies: Arc<AtomicU64>,
}

impl Open {
    fn is_good(&self) -> bool {
        let age = clock().duration_since(self.made);
        self.connection.close_reason().is_none() && age < AGE_MAX
    }
}

/// Notes that no reply came, when the wait for it is given up.
struct Waiting<'a> {
    open: &'a Open,
    replies: u64,
    begun: Instant,
    answered: bool,
}

impl<'a> Waiting<'a> {
    fn begin(open: &'a Open) -> Self {
        let replies = open.replies.load(Ordering::Relaxed);
        Self { open, replies, begun: clock(), answered: false }
    }

    fn end(mut self) {
        self.answered = true;
        self.open.replies.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        // The peer may have restarted without this end's noticing: the next message finds out. Who
        // waits no longer because another node was quicker has nothing to say about this one.
        let waited = clock().duration_since(self.begun) >= SILENT_MAX;
        let replies = self.open.replies.load(Ordering::Relaxed);
        if !self.answered && waited && replies == self.replies {
            self.open.connection.close(ENDING, b"no reply");
        }
    }
}

impl Ways {
    fn way(&self, to: &Peer, class: Class) -> Arc<Way> {
        let mut ways = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match ways.get(&(to.node, class)) {
            Some(way) if way.address == to.address => Arc::clone(way),
            _ => {
                let (address, open) = (to.address.clone(), tokio::sync::Mutex::new(None));
                let way = Arc::new(Way { address, open, in_doubt: AtomicBool::new(false) });
                ways.insert((to.node, class), Arc::clone(&way));
                way
            }
        }
    }

    pub(super) async fn call(
        &self,
        shared: &Shared,
        endpoint: &Endpoint,
        to: Peer,
        class: Class,
        request: Bytes,
        limit: Duration,
    ) -> Result<Bytes, NetError> {
        let way = self.way(&to, class);
        let head = Request { class, to: to.node, at: now(), limit, len: request.len() };
        let mut open = way.get(shared, endpoint, &to, class).await?;
        let first = way.exchange(&open, head, request.clone()).await;
        // It broke before, and nobody had noticed: what was sent on it was not handled.
        if matches!(&first, Err(Broken { sent: false, .. })) {
            open = way.get(shared, endpoint, &to, class).await?;
            let second = way.exchange(&open, head, request).await;
            return second.unwrap_or_else(|broken| Err(broken.why));
        }
        first.unwrap_or_else(|broken| Err(broken.why))
    }
}

/// The connection broke.
struct Broken {
    /// Whether the other end may have handled the message.
    sent: bool,
    why: NetError,
}

async fn exchange(
    open: &Open,
    head: Request,
    request: Bytes,
) -> Result<Result<Bytes, NetError>, Broken> {
    let unsent = |error: &ConnectionError| Broken { sent: false, why: failure(error) };
    let (mut send, mut receive) =
        open.connection.open_bi().await.map_err(|error| unsent(&error))?;
    let waiting = Waiting::begin(open);
    let broken = |error: FrameError| {
        let lost = open.connection.close_reason();
        let why = lost.map_or_else(|| NetError::Broken(chain(&error)), |why| failure(&why));
        let why = match why {
            NetError::Unreachable(why) => NetError::Broken(why),
            why => why,
        };
        Broken { sent: true, why }
    };
    let write = send.write_all_chunks(&mut [head.encode(), request]).await;
    // Who stops a message that is too much for it still says why.
    if !matches!(write, Ok(()) | Err(quinn::WriteError::Stopped(_))) {
        return Err(broken(write.map_err(FrameError::from).err().unwrap_or(FrameError::Unknown)));
    }
    // Only a stream that was finished or stopped before cannot be.
    let _ = send.finish();
    let reply = read_reply(&mut receive).await.map_err(broken)?;
    // Which end's patience ends first is chance, and must not make a difference.
    if reply != Err(NetError::Elapsed) {
        waiting.end();
    }
    Ok(reply)
}

impl Way {
    /// Sends a message and waits for its reply, while the peer's process is there.
    async fn exchange(
        &self,
        open: &Open,
        head: Request,
        request: Bytes,
    ) -> Result<Result<Bytes, NetError>, Broken> {
        tokio::select! {
            biased;
            reply = exchange(open, head, request) => reply,
            () = self.has_ended() => {
                // All others that wait on it hear it too.
                open.connection.close(ENDING, b"no process");
                Err(Broken { sent: true, why: NetError::Broken(NO_PROCESS.to_owned()) })
            }
        }
    }

    /// Ready once the peer's machine says that its process has ended.
    async fn has_ended(&self) {
        let mut doubt_after = DOUBT_AFTER;
        loop {
            pause(doubt_after).await;
            doubt_after = (doubt_after * 2).min(DOUBT_MAX);
            if self.in_doubt.swap(true, Ordering::Relaxed) {
                continue;
            }
            let free = Free(&self.in_doubt);
            let refuses = refuses(&self.address).await;
            drop(free);
            if refuses {
                return;
            }
        }
    }

    async fn get(
        &self,
        shared: &Shared,
        endpoint: &Endpoint,
        to: &Peer,
        class: Class,
    ) -> Result<Open, NetError> {
        let mut slot = self.open.lock().await;
        if let Some(open) = slot.as_ref().filter(|open| open.is_good()) {
            return Ok(open.clone());
        }
        let made = async {
            let connecting = connect(shared, endpoint, to, class);
            let nobody = async {
                if !refuses(&to.address).await {
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                made = connecting => made,
                () = nobody => Err(NetError::Unreachable(NO_PROCESS.to_owned())),
            }
        };
        let connection = within(CONNECT_MAX, made).await.unwrap_or_else(|| {
            Err(NetError::Unreachable(format!("nothing answers at {} over UDP", to.address)))
        })?;
        let open = Open { connection, made: clock(), replies: Arc::default() };
        *slot = Some(open.clone());
        Ok(open)
    }
}

const NO_PROCESS: &str = "no process listens there";

/// Lets the next one find out.
struct Free<'a>(&'a AtomicBool);

impl Drop for Free<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

/// Whether a machine says that nobody listens there.
async fn refuses(address: &str) -> bool {
    let connected = within(DOUBT_MAX, TcpStream::connect(address)).await;
    let refused = |error: io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
    connected.and_then(Result::err).is_some_and(refused)
}

async fn connect(
    shared: &Shared,
    endpoint: &Endpoint,
    to: &Peer,
    class: Class,
) -> Result<Connection, NetError> {
    let unreachable = |why: String| NetError::Unreachable(why);
    let not_certified = || unreachable("this node is not certified by its cluster yet".to_owned());
    let shown = shared.keychain.shown().ok_or_else(not_certified)?;
    let name = shown.name_of(to.node).ok_or_else(not_certified)?;
    let mut config = ClientConfig::new(shown.quic_client.clone());
    config.transport_config(settings::transport(class));
    let address = resolve(endpoint, &to.address).await?;
    let connecting = endpoint
        .connect_with(config, address, &name)
        .map_err(|error| unreachable(format!("'{}': {error}", to.address)))?;
    connecting.await.map_err(|error| failure(&error))
}

/// An address that can be reached from the endpoint's own.
async fn resolve(endpoint: &Endpoint, address: &str) -> Result<SocketAddr, NetError> {
    let unknown =
        |why: &dyn std::fmt::Display| NetError::Unreachable(format!("'{address}': {why}"));
    let own = endpoint.local_addr().map_err(|error| unknown(&error))?;
    let found = tokio::net::lookup_host(address).await.map_err(|error| unknown(&error))?;
    let reachable = |found: &SocketAddr| own.is_ipv6() || found.is_ipv4();
    found.into_iter().find(reachable).ok_or_else(|| unknown(&"it has no address of this kind"))
}

fn failure(error: &ConnectionError) -> NetError {
    match error {
        ConnectionError::TransportError(error) => {
            NetError::Refused(Refusal(format!("the connection is refused: {error}")))
        }
        ConnectionError::ConnectionClosed(close) => {
            NetError::Refused(Refusal(format!("the other end refuses the connection: {close}")))
        }
        ConnectionError::ApplicationClosed(close) if close.error_code == REFUSED => {
            NetError::Refused(Refusal(String::from_utf8_lossy(&close.reason).into_owned()))
        }
        error => NetError::Unreachable(chain(error)),
    }
}
