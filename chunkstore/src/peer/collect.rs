//! Reading a chunk whose shards lie on several nodes.
//!
//! What lies here comes first, then the nodes on which the chunk belongs by the newest map, then by
//! earlier ones, and in the end all others. So many are asked at once as shards are lacking; when
//! the answers take longer than most lately did, one more is asked, so that a slow node holds up
//! nobody. Nothing leaves that was not hashed.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use chunkstore_core::gather::{Gather, Whole};
use chunkstore_core::shard::ChunkKey;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use node_base::{Duration, NodeId};
use node_world::{BoxFuture, Class};

use super::{Reply, Request, Shard};
use crate::store::{Inner, held};

/// After this long without an answer, background work asks somebody else besides.
const BACKGROUND_SPARE: Duration = Duration::from_secs(5);

/// What came of reading a chunk.
pub(crate) struct Collected {
    /// The chunk, where enough of it was found.
    pub(crate) whole: Option<Whole>,
    /// Sound shards that were found, and how many are needed, where one tells.
    pub(crate) sound: usize,
    pub(crate) needed: Option<usize>,
    /// Nodes that did not answer.
    pub(crate) silent: usize,
    /// Shards were found that are not what they should be, or missed where they belong.
    pub(crate) is_damaged: bool,
}

/// A node's answer: its shards, or nothing.
type Came = (NodeId, Option<Vec<Shard>>, Duration);

struct Reading {
    inner: Arc<Inner>,
    key: ChunkKey,
    class: Class,
    gather: Gather<NodeId>,
    /// Nodes to be asked yet, and whether to have them check what they hand out.
    next: VecDeque<(NodeId, bool)>,
    asked_again: BTreeSet<NodeId>,
    /// Nodes that have nothing of it.
    empty: BTreeSet<NodeId>,
    guess: usize,
    silent: usize,
    is_damaged: bool,
}

impl Inner {
    /// Puts a chunk together from what all nodes have of it.
    pub(crate) async fn collect(self: &Arc<Self>, key: ChunkKey, class: Class) -> Collected {
        let layout = self.layout();
        let profile = layout.current().profile();
        let mut nodes = layout.nodes_of(&key, profile.shards());
        nodes.extend(
            self.others().into_iter().filter(|node| layout.drives_of(*node).next().is_none()),
        );
        nodes.retain(|node| *node != self.settings.node);
        let homes = layout.ranked(&key, profile.shards());
        let homes: Vec<NodeId> = homes.into_iter().filter_map(|d| layout.node_of(d)).collect();
        let rank = |node: &NodeId| {
            let zone = layout.zone_of(*node) != Some(&*self.settings.zone);
            (self.is_away(*node), !homes.contains(node), zone)
        };
        // Sorting keeps the order of those that are alike.
        nodes.sort_by_key(rank);
        let reading = Reading {
            inner: Arc::clone(self),
            key,
            class,
            gather: Gather::new(key),
            next: nodes.into_iter().map(|node| (node, false)).collect(),
            asked_again: BTreeSet::new(),
            empty: BTreeSet::new(),
            guess: usize::from(profile.data),
            silent: 0,
            is_damaged: false,
        };
        reading.run().await
    }
}

impl Reading {
    async fn run(mut self) -> Collected {
        self.read_here().await;
        let mut running = FuturesUnordered::new();
        let mut spares = 0;
        loop {
            if let Some(whole) = self.try_finish().await {
                return self.end(Some(whole));
            }
            let wanted = self.gather.lacking().unwrap_or(self.guess).max(1) + spares;
            while running.len() < wanted {
                let Some((node, check)) = self.next.pop_front() else { break };
                running.push(self.ask(node, check));
            }
            let spare_after = match self.class {
                // Nobody waits for it: a spare would only be more load.
                Class::ShardBackground => BACKGROUND_SPARE,
                _ => held(&self.inner.peers.pace).spare_after(),
            };
            tokio::select! {
                biased;
                came = running.next(), if !running.is_empty() => match came {
                    Some(came) => self.take(came),
                    None => return self.end(None),
                },
                () = self.inner.world.sleep(spare_after), if !self.next.is_empty() => spares += 1,
                else => return self.end(None),
            }
        }
    }

    async fn read_here(&mut self) {
        let (inner, key) = (Arc::clone(&self.inner), self.key);
        let read = move || inner.read_some(&key, &[], usize::from(u8::MAX), false);
        let (shards, is_damaged) = self.inner.world.blocking(read).await;
        self.is_damaged |= is_damaged;
        let own = self.inner.settings.node;
        for (header, body) in shards {
            self.gather.add(own, header, body);
        }
    }

    fn ask(&self, node: NodeId, check: bool) -> BoxFuture<Came> {
        let inner = Arc::clone(&self.inner);
        let lacking = self.gather.lacking().unwrap_or(self.guess).clamp(1, 255);
        let request = Request::Get {
            key: self.key.into(),
            // A node that is asked again may send what it sent before, sound this time.
            skip: self.gather.indexes(),
            count: lacking as u8,
            check,
        };
        let class = self.class;
        Box::pin(async move {
            let begun = inner.world.now();
            let reply = inner.ask(node, class, &request, &[]).await;
            let shards = match reply {
                Ok((Reply::Get, shards)) => Some(shards),
                _ => None,
            };
            (node, shards, inner.world.now().since(begun))
        })
    }

    fn take(&mut self, (node, shards, took): Came) {
        let Some(shards) = shards else {
            self.silent += 1;
            return;
        };
        if shards.is_empty() {
            self.empty.insert(node);
        } else if self.class == Class::ShardForeground {
            held(&self.inner.peers.pace).record(took);
        }
        for (header, body) in shards {
            self.gather.add(node, header, body);
        }
    }

    /// Puts the chunk together when enough is in. Who sent what is not right is asked again, and
    /// looks at it himself then.
    async fn try_finish(&mut self) -> Option<Whole> {
        while self.gather.lacking() == Some(0) {
            let mut gather = std::mem::replace(&mut self.gather, Gather::new(self.key));
            let finish = move || {
                let result = gather.finish();
                (gather, result)
            };
            let (gather, result) = self.inner.world.blocking(finish).await;
            self.gather = gather;
            let bad = match result {
                Ok(whole) => return Some(whole),
                Err(bad) => bad,
            };
            self.is_damaged = true;
            for (node, index) in bad {
                if node == self.inner.settings.node {
                    self.inner.doubt(&self.key, index).await;
                } else if self.asked_again.insert(node) {
                    self.next.push_back((node, true));
                }
            }
        }
        None
    }

    fn end(mut self, whole: Option<Whole>) -> Collected {
        if let Some(whole) = whole.as_ref().filter(|_| !self.empty.is_empty()) {
            let layout = self.inner.layout();
            let homes = layout.ranked(&self.key, whole.header.shape.shards()).into_iter();
            let mut homes = homes.filter_map(|home| layout.node_of(home));
            self.is_damaged |= homes.any(|home| self.empty.contains(&home));
        }
        Collected {
            whole,
            sound: self.gather.indexes().len(),
            needed: self.gather.needed(),
            silent: self.silent,
            is_damaged: self.is_damaged,
        }
    }
}

impl Inner {
    /// A shard here did not give its chunk back: it is read once more, and marked if it is rotten.
    async fn doubt(self: &Arc<Self>, key: &ChunkKey, index: u8) {
        let (inner, key) = (Arc::clone(self), *key);
        let look = move || {
            for (at, held) in inner.sources(&key) {
                if held.print.index() == index {
                    // What is rotten is marked on the way.
                    drop(crate::store::read::read_checked(&inner.drives[at], &held));
                }
            }
        };
        self.world.blocking(look).await;
    }
}
