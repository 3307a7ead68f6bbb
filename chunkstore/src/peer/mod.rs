//! Other nodes' drives: what is asked of them, and what they ask of ours.
//!
//! Every call has a time limit. A node that did not answer is a suspect: it is asked last, since
//! whoever waits for it waits in vain, and tried in the background until it answers again.

mod collect;
mod serve;
mod spread;
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};

use chunkstore_core::pace::Pace;
use node_base::{Duration, NodeId};
use node_world::{Class, NetError, Peer, World};

use crate::store::{Inner, Store, held, stats};
pub(crate) use collect::Collected;
pub(crate) use serve::Server;
pub(crate) use spread::spread;
pub(crate) use wire::{Found, KEYS_MAX, Kept, Key, Reply, Request, Shard};

/// How often a node that did not answer is tried again.
const TRIED_EVERY: Duration = Duration::from_secs(5);
/// What a call may take, and how much longer for each of its bytes.
const FOREGROUND_MAX: Duration = Duration::from_secs(3);
const BACKGROUND_MAX: Duration = Duration::from_secs(15);
const BYTES_PER_SECOND_MIN: u64 = 1 << 20;

/// What is known of the other nodes.
#[derive(Default)]
pub(crate) struct Peers {
    addresses: RwLock<BTreeMap<NodeId, Peer>>,
    suspects: Mutex<BTreeSet<NodeId>>,
    pace: Mutex<Pace>,
}

/// Why another node's answer is none.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    #[error("the node's address is not known")]
    NoAddress,
    #[error(transparent)]
    Net(#[from] NetError),
    #[error("reading the node's reply")]
    Wire(#[from] wire::WireError),
}

impl Store {
    /// Where other nodes are reached from now on. One that is missing here is not asked, and counts
    /// as one that does not answer.
    pub fn set_peers(&self, peers: impl IntoIterator<Item = Peer>) {
        let own = self.0.settings.node;
        let peers = peers.into_iter().filter(|peer| peer.node != own);
        let peers: BTreeMap<NodeId, Peer> = peers.map(|peer| (peer.node, peer)).collect();
        let known = &self.0.peers;
        let mut addresses = known.addresses.write().unwrap_or_else(PoisonError::into_inner);
        // Who moved may be sound where it is now.
        held(&known.suspects).retain(|node| addresses.get(node) == peers.get(node));
        *addresses = peers;
        drop(addresses);
        self.0.want_survey_now();
    }
}

impl Inner {
    /// Asks another node.
    pub(crate) async fn ask(
        self: &Arc<Self>,
        node: NodeId,
        class: Class,
        request: &Request,
        shards: &[Shard],
    ) -> Result<(Reply, Vec<Shard>), AskError> {
        let result = self.try_ask(node, class, request, shards).await;
        match &result {
            Ok(_) => {
                if held(&self.peers.suspects).remove(&node) {
                    // What was handed to others while it was away can go home.
                    self.want_survey_now();
                }
            }
            Err(error) => {
                stats::add(&self.counts.failed_calls, 1);
                tracing::debug!(%node, %error, "another node's drives cannot be asked");
                if held(&self.peers.suspects).insert(node) {
                    self.world.spawn(try_again(self.world.clone(), Arc::downgrade(self), node));
                }
            }
        }
        result
    }

    fn is_suspect(&self, node: NodeId) -> bool {
        held(&self.peers.suspects).contains(&node)
    }

    async fn try_ask(
        &self,
        node: NodeId,
        class: Class,
        request: &Request,
        shards: &[Shard],
    ) -> Result<(Reply, Vec<Shard>), AskError> {
        let address = {
            let known = self.peers.addresses.read().unwrap_or_else(PoisonError::into_inner);
            known.get(&node).cloned().ok_or(AskError::NoAddress)?
        };
        let cluster = self.settings.cluster;
        let message = if shards.is_empty() {
            wire::encode(cluster, request, &[])
        } else {
            // Copying shards into a message is work like any other.
            let (request, shards) = (request.clone(), shards.to_vec());
            self.world.blocking(move || wire::encode(cluster, &request, &shards)).await
        };
        let limit = match class {
            Class::ShardBackground => BACKGROUND_MAX,
            _ => FOREGROUND_MAX,
        };
        let by_size = Duration::from_secs(message.len() as u64 / BYTES_PER_SECOND_MIN);
        let reply = self.world.net().call(address, class, message, limit + by_size).await?;
        Ok(wire::reply(cluster, request, reply)?)
    }

    /// Whether a node did not answer lately, or cannot be asked at all.
    pub(crate) fn is_away(&self, node: NodeId) -> bool {
        if node == self.settings.node {
            return false;
        }
        let addresses = self.peers.addresses.read().unwrap_or_else(PoisonError::into_inner);
        !addresses.contains_key(&node) || self.is_suspect(node)
    }

    /// All nodes that shards may lie on, but for this one.
    pub(crate) fn others(&self) -> Vec<NodeId> {
        let addresses = self.peers.addresses.read().unwrap_or_else(PoisonError::into_inner);
        let mut others = self.layout().nodes();
        others.extend(addresses.keys());
        others.remove(&self.settings.node);
        others.into_iter().collect()
    }

    /// Whether shards may lie on other nodes.
    pub(crate) fn is_shared(&self) -> bool {
        let addresses = self.peers.addresses.read().unwrap_or_else(PoisonError::into_inner);
        !addresses.is_empty() || self.layout().is_shared(self.settings.node)
    }

    /// Asks several nodes the same at once; those that do not answer are left out.
    pub(crate) async fn ask_all(
        self: &Arc<Self>,
        asked: Vec<(NodeId, Request)>,
    ) -> Vec<(NodeId, Option<Reply>)> {
        let calls = asked.into_iter().map(|(node, request)| async move {
            let reply = self.ask(node, Class::ShardBackground, &request, &[]).await;
            (node, reply.ok().map(|(reply, _)| reply))
        });
        futures_util::future::join_all(calls).await
    }
}

/// Tries a suspect until it answers, or is none any more: nobody else need find out.
async fn try_again(world: World, inner: Weak<Inner>, node: NodeId) {
    loop {
        world.sleep(TRIED_EVERY).await;
        let Some(inner) = inner.upgrade().filter(|inner| inner.is_suspect(node)) else { return };
        let nothing = Request::Find { keys: Vec::new() };
        if inner.try_ask(node, Class::ShardBackground, &nothing, &[]).await.is_ok() {
            if held(&inner.peers.suspects).remove(&node) {
                inner.want_survey_now();
            }
            return;
        }
    }
}
