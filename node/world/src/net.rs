//! Messages between nodes: a request, a time limit, a reply.
//!
//! Messages travel in classes that do not starve one another. A message whose reply is lost looks
//! like silence until its limit; the sender never learns whether it was handled.

use std::sync::{Arc, Weak};

use bytes::Bytes;
use node_base::{Duration, NodeId};

use crate::credentials::Credentials;
use crate::task::{BoxFuture, Task};
use crate::{Parts, World};

/// What a message is about, and so which way it takes and who may overtake it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Class {
    /// Votes, heartbeats, log entries.
    Consensus,
    /// Forwarded commands, read indexes, membership.
    Control,
    /// Shards that a person waits for.
    ShardForeground,
    /// Shards that repair, scrub and rebalance move.
    ShardBackground,
}

impl Class {
    pub const ALL: [Self; 4] =
        [Self::Consensus, Self::Control, Self::ShardForeground, Self::ShardBackground];

    /// The name in addresses, logs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Consensus => "consensus",
            Self::Control => "control",
            Self::ShardForeground => "shard-foreground",
            Self::ShardBackground => "shard-background",
        }
    }
}

/// A node and where it listens. Node 0 is whoever listens there: no node has that number.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Peer {
    pub node: NodeId,
    pub address: String,
}

impl Peer {
    /// Whoever listens there.
    pub fn at(address: &str) -> Self {
        Self { node: NodeId::default(), address: address.to_owned() }
    }
}

/// Why a message has no reply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetError {
    #[error("no reply within the time for it")]
    Elapsed,
    /// Nothing was handled.
    #[error("the node cannot be reached: {0}")]
    Unreachable(String),
    /// Whether it was handled is not known.
    #[error("the connection broke before the reply: {0}")]
    Broken(String),
    #[error("a message of {size} bytes is over the limit of {max}")]
    TooLarge { size: usize, max: usize },
    #[error("the node refused the message: {0}")]
    Refused(Refusal),
    #[error("the node says that this one was removed from the cluster")]
    Removed,
}

/// What a handler says of a message that it will not handle.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refusal(pub String);

/// What a node does with messages of one class. The future is a task of the handler's node; it may
/// be dropped once the time for the message is over or its sender is gone.
pub trait Handler: Send + Sync {
    fn handle(&self, from: NodeId, request: Bytes) -> BoxFuture<Result<Bytes, Refusal>>;
}

/// The way to other nodes.
pub trait Net: Send + Sync {
    /// Sends a request and waits for the reply, at most `limit`.
    fn call(
        &self,
        to: Peer,
        class: Class,
        request: Bytes,
        limit: Duration,
    ) -> BoxFuture<Result<Bytes, NetError>>;

    /// Has messages of `class` handled from now on; before, they are refused. A message of node 0
    /// is a stranger's, who proved nothing.
    fn serve(&self, class: Class, handler: Arc<dyn Handler>);

    /// How nodes prove who they are; nothing where none can pretend to be another.
    fn credentials(&self) -> Option<&dyn Credentials> {
        None
    }
}

/// Has every message handled as a task of the world that serves it, whoever receives it: so that
/// [`current`](crate::task::current) answers there, and a panic ends that one message.
pub(crate) struct Adopting {
    net: Box<dyn Net>,
    world: Weak<Parts>,
}

impl Adopting {
    pub(crate) fn new(net: Box<dyn Net>, world: Weak<Parts>) -> Self {
        Self { net, world }
    }
}

impl Net for Adopting {
    fn call(
        &self,
        to: Peer,
        class: Class,
        request: Bytes,
        limit: Duration,
    ) -> BoxFuture<Result<Bytes, NetError>> {
        self.net.call(to, class, request, limit)
    }

    fn serve(&self, class: Class, handler: Arc<dyn Handler>) {
        self.net.serve(class, Arc::new(Adopted { handler, world: self.world.clone() }));
    }

    fn credentials(&self) -> Option<&dyn Credentials> {
        self.net.credentials()
    }
}

struct Adopted {
    handler: Arc<dyn Handler>,
    world: Weak<Parts>,
}

/// Ends its task when nobody waits for it any more.
struct Bound<T>(Task<T>);

impl<T> Drop for Bound<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Handler for Adopted {
    fn handle(&self, from: NodeId, request: Bytes) -> BoxFuture<Result<Bytes, Refusal>> {
        let Some(world) = self.world.upgrade().map(World) else {
            let ended = Refusal("the node has ended".to_owned());
            return Box::pin(std::future::ready(Err(ended)));
        };
        let handler = Arc::clone(&self.handler);
        let task = world.spawn(async move { handler.handle(from, request).await });
        Box::pin(async move {
            let mut bound = Bound(task);
            let output = (&mut bound.0).await;
            output.unwrap_or_else(|ended| Err(Refusal(ended.to_string())))
        })
    }
}
