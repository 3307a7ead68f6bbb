//! Writing chunks to the drives of several nodes.
//!
//! Each shard goes to a drive of its own, in the chunk's rank; what a node does not take in time
//! goes to the next. A chunk is answered for as soon as it is durable on one node more than reading
//! it needs; its other shards go on being written behind that. A shard that found no place, or one
//! elsewhere than where it belongs, is left to the survey.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chunkstore_core::decide::{is_acknowledged, is_reachable};
use chunkstore_core::place::rank;
use chunkstore_core::stripe::Shape;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use node_base::limits::CHUNK_MAX;
use node_base::{DriveId, NodeId};
use node_world::{BoxFuture, Class};
use tokio::sync::oneshot;

use super::{Kept, Reply, Request, Shard};
use crate::store::Inner;
use crate::store::error::PutError;
use crate::store::layout::Layout;
use crate::store::write::{Pending, StoredChunk};

/// Drives of a chunk's rank that are tried: homes, and then the next.
const TRIED_MAX: usize = 64;
/// Shards of one message to another node: in bytes, and how many.
const MESSAGE_BYTES: usize = CHUNK_MAX + CHUNK_MAX / 2;
const PART_MAX: usize = super::wire::SHARDS_MAX;

type Answer = Result<StoredChunk, PutError>;

/// A chunk whose shards are on their way.
struct Chunk {
    stored: StoredChunk,
    shape: Shape,
    ranked: Vec<(DriveId, NodeId)>,
    /// How many of its shards were sent to each drive.
    placed: BTreeMap<DriveId, usize>,
    durable: Vec<NodeId>,
    answer: Option<oneshot::Sender<Answer>>,
}

/// Shards that went to a node together, and what became of each.
struct Sent {
    node: NodeId,
    shards: Vec<(DriveId, Pending)>,
    /// Nothing when the node did not answer.
    kept: Option<Vec<Kept>>,
}

struct Spread {
    inner: Arc<Inner>,
    layout: Arc<Layout>,
    class: Class,
    chunks: Vec<Option<Chunk>>,
    pending: Vec<Pending>,
    failed: BTreeSet<DriveId>,
    /// Nodes that did not answer, and those that are asked only when no other is left.
    failed_nodes: BTreeSet<NodeId>,
    avoided: BTreeSet<NodeId>,
    is_full: bool,
}

/// Writes the shards of chunks that are coded; answers for each in order. What `held` keeps is kept
/// until all is written.
pub(crate) async fn spread(
    inner: Arc<Inner>,
    chunks: Vec<Result<(StoredChunk, Shape), PutError>>,
    pending: Vec<Pending>,
    class: Class,
    held: impl Send + 'static,
) -> Vec<Answer> {
    let layout = inner.layout();
    let mut answers = Vec::with_capacity(chunks.len());
    let mut waiting = Vec::with_capacity(chunks.len());
    for (at, chunk) in chunks.into_iter().enumerate() {
        let (chunk, answer) = match chunk {
            Ok((stored, shape)) => {
                let (sender, receiver) = oneshot::channel();
                let key = pending.iter().find(|shard| shard.chunk == at).map(|s| s.header.key);
                let ranked = key.map(|key| {
                    rank(layout.current(), key.tenant, key.hash, TRIED_MAX)
                        .into_iter()
                        .filter_map(|drive| Some((drive, layout.node_of(drive)?)))
                        .collect()
                });
                let (placed, durable) = (BTreeMap::new(), Vec::new());
                let ranked = ranked.unwrap_or_default();
                let answer = Some(sender);
                (Some(Chunk { stored, shape, ranked, placed, durable, answer }), Ok(receiver))
            }
            Err(error) => (None, Err(error)),
        };
        waiting.push(chunk);
        answers.push(answer);
    }
    let avoided = inner.others().into_iter().filter(|node| inner.is_away(*node)).collect();
    let spread = Spread {
        inner: Arc::clone(&inner),
        layout,
        class,
        chunks: waiting,
        pending,
        failed: BTreeSet::new(),
        failed_nodes: BTreeSet::new(),
        avoided,
        is_full: false,
    };
    inner.world.spawn(async move {
        spread.run().await;
        drop(held);
    });
    let mut results = Vec::with_capacity(answers.len());
    for answer in answers {
        results.push(match answer {
            Ok(receiver) => receiver.await.unwrap_or(Err(PutError::NotDurable { durable: 0 })),
            Err(error) => Err(error),
        });
    }
    results
}

impl Spread {
    async fn run(mut self) {
        let mut running = FuturesUnordered::new();
        running.extend(self.send());
        while let Some(sent) = running.next().await {
            self.take(sent);
            running.extend(self.send());
            self.answer(false);
        }
        self.answer(true);
    }

    /// Sends what is pending, each shard to the best drive that may still take it.
    fn send(&mut self) -> Vec<BoxFuture<Sent>> {
        let mut by_node: BTreeMap<NodeId, Vec<(DriveId, Pending)>> = BTreeMap::new();
        for shard in std::mem::take(&mut self.pending) {
            match self.choose(&shard) {
                Some((drive, node)) => by_node.entry(node).or_default().push((drive, shard)),
                // The end of the batch judges.
                None => self.inner.want_survey(),
            }
        }
        let mut calls = Vec::with_capacity(by_node.len());
        for (node, shards) in by_node {
            let mut part = Vec::new();
            let mut bytes = 0;
            for (drive, shard) in shards {
                let len = shard.body.len();
                if !part.is_empty() && (bytes + len > MESSAGE_BYTES || part.len() == PART_MAX) {
                    calls.push(self.call(node, std::mem::take(&mut part)));
                    bytes = 0;
                }
                bytes += len;
                part.push((drive, shard));
            }
            calls.push(self.call(node, part));
        }
        calls
    }

    fn choose(&mut self, shard: &Pending) -> Option<(DriveId, NodeId)> {
        let (failed, failed_nodes) = (&self.failed, &self.failed_nodes);
        let chunk = self.chunks[shard.chunk].as_mut()?;
        let may = |(drive, node): &&(DriveId, NodeId)| {
            !failed.contains(drive) && !failed_nodes.contains(node)
        };
        let usable: Vec<(DriveId, NodeId)> = chunk.ranked.iter().filter(may).copied().collect();
        let mut sound = usable.clone();
        sound.retain(|(drive, node)| !self.avoided.contains(node) && !self.inner.is_weak(*drive));
        // Too few of them would have the write refused: then those that did not answer lately are
        // tried, for they may be back.
        let nodes = |drives: &[(DriveId, NodeId)]| {
            distinct(&drives.iter().map(|(_, node)| *node).collect::<Vec<_>>())
        };
        let profile = self.layout.current().profile();
        let suffice = is_reachable(profile, nodes(&chunk.ranked), nodes(&sound));
        let candidates = if suffice { sound } else { usable };
        let load = |(drive, _): &(DriveId, NodeId)| chunk.placed.get(drive).copied().unwrap_or(0);
        let best = candidates.into_iter().min_by_key(load)?;
        *chunk.placed.entry(best.0).or_default() += 1;
        Some(best)
    }

    fn call(&self, node: NodeId, shards: Vec<(DriveId, Pending)>) -> BoxFuture<Sent> {
        let (inner, class) = (Arc::clone(&self.inner), self.class);
        let away = shards.iter().any(|(drive, shard)| self.is_away_from_home(*drive, shard));
        if away {
            inner.want_survey();
        }
        let drives: Vec<DriveId> = shards.iter().map(|(drive, _)| *drive).collect();
        let bodies: Vec<Shard> =
            shards.iter().map(|(_, shard)| (shard.header, shard.body.clone())).collect();
        Box::pin(async move {
            if node == inner.settings.node {
                let kept = Some(inner.keep(drives, bodies, false).await);
                return Sent { node, shards, kept };
            }
            let request = Request::Put { drives, away };
            let reply = inner.ask(node, class, &request, &bodies).await;
            let kept = match reply {
                Ok((Reply::Put(kept), _)) => Some(kept),
                _ => None,
            };
            Sent { node, shards, kept }
        })
    }

    fn is_away_from_home(&self, drive: DriveId, shard: &Pending) -> bool {
        let Some(chunk) = &self.chunks[shard.chunk] else { return false };
        let homes = chunk.ranked.iter().take(chunk.shape.shards());
        chunk.placed.get(&drive).is_some_and(|count| *count > 1)
            || !homes.into_iter().any(|(home, _)| *home == drive)
    }

    fn take(&mut self, sent: Sent) {
        let Sent { node, shards, kept } = sent;
        if kept.is_none() {
            self.failed_nodes.insert(node);
        }
        for (at, (drive, shard)) in shards.into_iter().enumerate() {
            let kept = kept.as_ref().and_then(|kept| kept.get(at));
            if kept == Some(&Kept::Durable) {
                if let Some(chunk) = &mut self.chunks[shard.chunk] {
                    chunk.durable.push(node);
                }
                continue;
            }
            self.is_full |= kept == Some(&Kept::Full);
            self.failed.insert(drive);
            if let Some(chunk) = &mut self.chunks[shard.chunk] {
                *chunk.placed.entry(drive).or_default() -= 1;
            }
            self.pending.push(shard);
        }
    }

    /// Answers for the chunks that are safe; at the end for all.
    fn answer(&mut self, is_end: bool) {
        for at in 0..self.chunks.len() {
            let Some(chunk) = &self.chunks[at] else { continue };
            let result = match self.is_safe(chunk) {
                true => Ok(chunk.stored),
                false if !is_end => continue,
                false if self.is_full => Err(PutError::Full),
                false => Err(PutError::NotDurable { durable: distinct(&chunk.durable) }),
            };
            if let Some(answer) = self.chunks[at].as_mut().and_then(|chunk| chunk.answer.take()) {
                // Who does not wait any more does not mind.
                let _ = answer.send(result);
            }
        }
    }

    fn is_safe(&self, chunk: &Chunk) -> bool {
        let nodes = distinct(&chunk.durable);
        let is_whole = chunk.durable.len() == chunk.shape.shards() || nodes > chunk.shape.needed();
        let takes = |(drive, node): &&(DriveId, NodeId)| {
            !self.failed.contains(drive)
                && !self.failed_nodes.contains(node)
                && !self.avoided.contains(node)
        };
        let usable: Vec<NodeId> =
            chunk.ranked.iter().filter(takes).map(|(_, node)| *node).collect();
        let usable = distinct(&usable).max(nodes);
        let all: Vec<NodeId> = chunk.ranked.iter().map(|(_, node)| *node).collect();
        is_whole
            && is_acknowledged(chunk.shape, nodes, usable)
            && is_reachable(self.layout.current().profile(), distinct(&all), usable)
    }
}

fn distinct(nodes: &[NodeId]) -> usize {
    nodes.iter().collect::<BTreeSet<_>>().len()
}
