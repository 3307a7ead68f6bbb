//! Proposals: gathered into batches where this node leads, sent to the leader where it does not.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, PoisonError, Weak};

use bytes::Bytes;
use node_base::limits::COMMAND_MAX;
use node_base::{Duration, NodeId};
use node_world::{Class, Instant, NetError, Peer};
use openraft::error::{ClientWriteError, Fatal};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};

use crate::batch::{FULL_BYTES, FULL_COUNT, join};
use crate::group::{Group, Leader};
use crate::members::REMOVED;
use crate::wire::{Control, ControlReply, Raw, pack, unpack_reply};

/// Why a proposal has no outcome.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// Nothing happened.
    #[error("a command of {size} bytes is over the limit of {max}")]
    TooLarge { size: usize, max: usize },
    /// Nothing happened; try again after a while.
    #[error("the cluster has no leader that can be reached")]
    Unavailable { retry_after: Duration },
    /// It may have happened, or may yet happen.
    #[error("whether the command was applied is not known")]
    Uncertain { retry_after: Duration },
    /// Nothing happened.
    #[error("this node has left the agreement: {0}")]
    Stopped(String),
}

impl ProposeError {
    pub(crate) fn uncertain() -> Self {
        Self::Uncertain { retry_after: RETRY_AFTER }
    }
}

/// When to try again.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// How long a leader that is none any more may still answer.
const GRACE: Duration = Duration::from_millis(100);
/// How many batches are under way: one being synced, the other being applied.
const BATCHES_MAX: usize = 2;

/// A proposal that waits for its outcome.
pub(crate) struct Waiting {
    proposal: Bytes,
    answer: oneshot::Sender<Result<Bytes, Unanswered>>,
    _room: OwnedSemaphorePermit,
}

/// Why a leader gave no outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unanswered {
    /// Nothing happened.
    NotLeader,
    Uncertain,
    /// Nothing happened.
    Stopped(String),
}

impl From<Result<Bytes, Unanswered>> for ControlReply {
    fn from(result: Result<Bytes, Unanswered>) -> Self {
        match result {
            Ok(outcome) => Self::Outcome(outcome.to_vec()),
            Err(Unanswered::NotLeader | Unanswered::Stopped(_)) => Self::NotLeader,
            Err(Unanswered::Uncertain) => Self::Uncertain,
        }
    }
}

impl Group {
    /// Has an encoded proposal agreed and applied, wherever the leader is. One that is keyed has
    /// the outcome of its first time the second time, so it is repeated where that is not known.
    pub(crate) async fn propose(
        &self,
        proposal: Bytes,
        is_keyed: bool,
    ) -> Result<Bytes, ProposeError> {
        let (size, max) = (proposal.len(), COMMAND_MAX);
        if size > max {
            return Err(ProposeError::TooLarge { size, max });
        }
        let until = self.world.now().after(self.settings.patience());
        let mut may_have_happened = false;
        loop {
            let left = until.since(self.world.now());
            if left.is_zero() && may_have_happened {
                return Err(ProposeError::uncertain());
            }
            if left.is_zero() {
                return Err(ProposeError::Unavailable { retry_after: RETRY_AFTER });
            }
            let answered = match self.leader() {
                Leader::This => {
                    let answer = self.propose_here(proposal.clone());
                    self.world.within(left, answer).await.unwrap_or(Err(Unanswered::Uncertain))
                }
                Leader::Other(peer) => self.forward(peer, &proposal, left).await,
                Leader::Unknown => Err(Unanswered::NotLeader),
            };
            match answered {
                Ok(outcome) => return Ok(outcome),
                Err(Unanswered::NotLeader) => self.pause().await,
                Err(Unanswered::Uncertain) if is_keyed => {
                    may_have_happened = true;
                    self.pause().await;
                }
                Err(Unanswered::Uncertain) => return Err(ProposeError::uncertain()),
                Err(Unanswered::Stopped(_)) if may_have_happened => {
                    return Err(ProposeError::uncertain());
                }
                Err(Unanswered::Stopped(why)) => return Err(ProposeError::Stopped(why)),
            }
        }
    }

    /// Proposes as the leader.
    pub(crate) async fn propose_here(&self, proposal: Bytes) -> Result<Bytes, Unanswered> {
        if proposal.len() > COMMAND_MAX || self.is_handing_over() {
            return Err(Unanswered::NotLeader);
        }
        let stopped = || Unanswered::Stopped("it is stopping".to_owned());
        let room = u32::try_from(proposal.len() / 1024 + 1).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room).acquire_many_owned(room).await.map_err(|_| stopped())?;
        let (answer, answered) = oneshot::channel();
        let waiting = Waiting { proposal, answer, _room: room };
        self.proposals.send(waiting).map_err(|_| stopped())?;
        answered.await.unwrap_or(Err(Unanswered::Uncertain))
    }

    /// Proposes what another node sent, once for all copies of its message.
    ///
    /// A copy that comes late meets a leader of a later term, also when this node was restarted in
    /// between; or it is here the second time, and waits for the outcome of the first.
    pub(crate) async fn propose_for_other(
        self: &Arc<Self>,
        term: u64,
        message: u128,
        proposal: Bytes,
    ) -> ControlReply {
        if self.raft.metrics().borrow().current_term != term {
            return ControlReply::NotLeader;
        }
        let mut reply = {
            let mut forwarded = self.forwarded.lock().unwrap_or_else(PoisonError::into_inner);
            match forwarded.get(message) {
                Some(reply) => reply,
                None => {
                    let (tell, reply) = watch::channel(None);
                    let kept_until = self.world.now().after(self.settings.patience() * 2);
                    forwarded.put(self.world.now(), kept_until, message, reply.clone());
                    let group = Arc::clone(self);
                    let propose = async move {
                        let outcome = group.propose_here(proposal).await;
                        tell.send_replace(Some(outcome.into()));
                    };
                    drop(self.world.spawn(propose));
                    reply
                }
            }
        };
        let reply = reply.wait_for(Option::is_some).await.map(|reply| reply.clone());
        reply.ok().flatten().unwrap_or(ControlReply::Uncertain)
    }

    /// Ready when another node leads for a while: what a former leader does not answer by then is
    /// not worth the wait, because whoever asked can ask the new one.
    async fn deposed(&self, leader: NodeId) {
        let mut metrics = self.raft.metrics();
        let other = |now: &Option<u64>| now.is_some_and(|now| now != leader.0);
        if metrics.wait_for(|now| other(&now.current_leader)).await.is_err() {
            return;
        }
        self.world.sleep(GRACE).await;
    }

    async fn forward(
        &self,
        leader: Peer,
        proposal: &Bytes,
        limit: Duration,
    ) -> Result<Bytes, Unanswered> {
        let term = self.raft.metrics().borrow().current_term;
        let message = self.world.random();
        let ask = Control::Propose { term, message, proposal: Raw(proposal) };
        let request = pack(*self.cluster.borrow(), &ask);
        let node = leader.node;
        let call = self.world.net().call(leader, Class::Control, request, limit);
        let answered = tokio::select! {
            biased;
            answered = call => answered,
            () = self.deposed(node) => Err(NetError::Elapsed),
        };
        match answered {
            Ok(reply) => match unpack_reply(&reply) {
                Ok(ControlReply::Outcome(outcome)) => Ok(Bytes::from(outcome)),
                Ok(ControlReply::NotLeader) => Err(Unanswered::NotLeader),
                Ok(ControlReply::Removed) => {
                    self.was_removed();
                    Err(Unanswered::Stopped(REMOVED.to_owned()))
                }
                _ => Err(Unanswered::Uncertain),
            },
            Err(NetError::Removed) => {
                self.was_removed();
                Err(Unanswered::Stopped(REMOVED.to_owned()))
            }
            // A node refuses a message before it does anything about it.
            Err(NetError::Refused(_) | NetError::Unreachable(_)) => Err(Unanswered::NotLeader),
            Err(_) => Err(Unanswered::Uncertain),
        }
    }
}

/// The messages that came a while ago or are being answered.
#[derive(Default)]
pub(crate) struct Forwarded {
    replies: BTreeMap<u128, watch::Receiver<Option<ControlReply>>>,
    /// Oldest first.
    kept_until: VecDeque<(Instant, u128)>,
}

impl Forwarded {
    fn get(&self, message: u128) -> Option<watch::Receiver<Option<ControlReply>>> {
        self.replies.get(&message).cloned()
    }

    fn put(
        &mut self,
        now: Instant,
        kept_until: Instant,
        message: u128,
        reply: watch::Receiver<Option<ControlReply>>,
    ) {
        while let Some((_, old)) = self.kept_until.pop_front_if(|(until, _)| *until <= now) {
            self.replies.remove(&old);
        }
        self.kept_until.push_back((kept_until, message));
        self.replies.insert(message, reply);
    }
}

/// Makes batches of what waits, in the order it came, until the group is gone.
pub(crate) async fn run(group: Weak<Group>, mut proposals: mpsc::UnboundedReceiver<Waiting>) {
    let slots = Arc::new(Semaphore::new(BATCHES_MAX));
    while let Some(first) = proposals.recv().await {
        // While the slots are taken, more proposals come to share the next batch.
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
        let Some(group) = group.upgrade() else { return };
        let batch = gather(first, &mut proposals);
        let joined = join(batch.iter().map(|waiting| &waiting.proposal));
        match group.raft.client_write_ff(joined).await {
            Ok(answer) => {
                let task = async move {
                    tell(batch, answer.await.ok());
                    drop(slot);
                };
                drop(group.world.spawn(task));
            }
            Err(error) => stop(batch, &error),
        }
    }
}

fn gather(first: Waiting, proposals: &mut mpsc::UnboundedReceiver<Waiting>) -> Vec<Waiting> {
    let mut bytes = first.proposal.len();
    let mut batch = vec![first];
    while bytes < FULL_BYTES && batch.len() < FULL_COUNT {
        let Ok(next) = proposals.try_recv() else { break };
        bytes += next.proposal.len();
        batch.push(next);
    }
    batch
}

type Written =
    Result<openraft::raft::ClientWriteResponse<crate::types::Types>, ClientWriteError<u64, String>>;

/// Tells everybody of a batch what came of it. Who no longer waits does not hear it.
fn tell(batch: Vec<Waiting>, written: Option<Written>) {
    let outcomes = match written {
        Some(Ok(response)) if response.data.len() == batch.len() => response.data,
        // The batch was never appended, or was cut from the log.
        Some(Err(_)) => return refuse(batch, &Unanswered::NotLeader),
        _ => return refuse(batch, &Unanswered::Uncertain),
    };
    for (waiting, outcome) in batch.into_iter().zip(outcomes) {
        let _ = waiting.answer.send(Ok(outcome));
    }
}

fn stop(batch: Vec<Waiting>, error: &Fatal<u64>) {
    refuse(batch, &Unanswered::Stopped(error.to_string()));
}

fn refuse(batch: Vec<Waiting>, why: &Unanswered) {
    for waiting in batch {
        let _ = waiting.answer.send(Err(why.clone()));
    }
}
