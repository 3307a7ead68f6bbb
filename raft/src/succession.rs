//! Who leads next, when a leader stops or its process ends.
//!
//! openraft elects another when nothing was heard of the leader for a while: that is right where
//! it is silent, and slow where its end is known. So each voter has a question lie with the
//! leader. A leader that stops answers it to the one that should follow. One that ended takes the
//! connection with it; when its machine says then that nobody listens there any more, the others
//! elect as soon as they may.
//!
//! - For `election_max_ms` after they heard of a leader, the others let nobody be elected. A leader
//!   that hands over is silent for as long, takes no proposals, and lets reads wait.
//! - Of those who know of the end of a leader, the one of the lowest number asks first. One that
//!   lacks entries is refused, and the next asks.
//! - Whoever cannot reach a leader that others hear, hears it as well, and does nothing.

use std::sync::Weak;

use node_base::{Duration, NodeId};
use node_world::{Class, NetError, Peer};
use openraft::{RaftMetrics, ServerState};

use crate::group::{Group, Leader};
use crate::types::Vote;
use crate::wire::{Control, ControlReply, pack, unpack_reply};

/// How long the question lies with a leader before it is asked anew.
const WATCH_MAX: Duration = Duration::from_secs(30);
/// How long it is left alone by whom it does not answer.
const PAUSE: Duration = Duration::from_secs(1);
/// By how much one lets the other elect itself first.
const STAGGER: Duration = Duration::from_millis(60);
/// How long the handing over may take.
const HAND_OVER_MAX: Duration = Duration::from_secs(3);

type Metrics = RaftMetrics<u64, String>;

/// Who is to lead after this node.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Successor {
    /// This node goes on.
    #[default]
    None,
    /// This node leads nobody any more, and has not said who does.
    Sought,
    Chosen(NodeId),
}

/// How the question to a leader ended.
enum Ended {
    /// This node should lead.
    TakeOver,
    /// The connection broke, or there is none.
    Broken(Watched),
    /// There is nobody to be asked, or it does not answer this.
    Unanswered,
    /// To be asked anew.
    Anew,
}

/// A leader, and the vote that made it one.
struct Watched {
    leader: Peer,
    vote: Vote,
}

/// Watches the leader while another node leads, until the group is gone.
pub(crate) async fn run(weak: Weak<Group>) {
    while let Some(group) = weak.upgrade() {
        let world = group.world.clone();
        let watching = group.watch();
        drop(group);
        let ended = watching.await;
        let Some(group) = weak.upgrade() else { return };
        match ended {
            Ended::TakeOver => {
                tracing::info!("the leader stops, and hands over to this node");
                group.elect().await;
                // The old leader says the same until it hears of the new one.
                drop(group);
                world.sleep(PAUSE).await;
            }
            Ended::Broken(watched) => {
                if !group.follow(watched).await {
                    drop(group);
                    world.sleep(PAUSE).await;
                }
            }
            Ended::Unanswered => {
                drop(group);
                world.sleep(PAUSE).await;
            }
            Ended::Anew => group.pause().await,
        }
    }
}

impl Group {
    /// Asks the leader to tell when it stops, and waits for that.
    fn watch(&self) -> impl Future<Output = Ended> + Send + use<> {
        let mut metrics = self.raft.metrics();
        let now = metrics.borrow_and_update().clone();
        let votes = now.membership_config.membership().voter_ids().any(|id| id == self.node.0);
        let (cluster, world) = (*self.cluster.borrow(), self.world.clone());
        let leader = match self.leader() {
            Leader::Other(leader) if votes => Some(leader),
            _ => None,
        };
        async move {
            let vote = now.vote;
            let Some(leader) = leader else {
                // Nothing to watch until that changes.
                let is_other = |next: &Metrics| {
                    next.vote != vote
                        || next.current_leader != now.current_leader
                        || next.membership_config != now.membership_config
                };
                let _ = world.within(WATCH_MAX, metrics.wait_for(is_other)).await;
                return Ended::Anew;
            };
            let request = pack(cluster, &Control::Watch);
            let call = world.net().call(leader.clone(), Class::Control, request, WATCH_MAX);
            let reply = tokio::select! {
                biased;
                reply = call => reply,
                _ = metrics.wait_for(|now| now.vote != vote) => return Ended::Anew,
            };
            match reply {
                Ok(reply) => match unpack_reply(&reply) {
                    Ok(ControlReply::TakeOver) => Ended::TakeOver,
                    Ok(ControlReply::NotLeader) => Ended::Anew,
                    _ => Ended::Unanswered,
                },
                Err(NetError::Broken(_) | NetError::Unreachable(_)) => {
                    Ended::Broken(Watched { leader, vote })
                }
                Err(NetError::Elapsed) => Ended::Anew,
                Err(_) => Ended::Unanswered,
            }
        }
    }

    /// Has this node elected after a leader whose process has ended; whether it had.
    async fn follow(&self, watched: Watched) -> bool {
        let Watched { leader, vote } = watched;
        let (node, since) = (leader.node, self.world.now());
        let request = pack(*self.cluster.borrow(), &Control::Probe);
        let limit = Duration::from_millis(self.settings.election_min_ms);
        let answer = self.world.net().call(leader, Class::Control, request, limit).await;
        if !matches!(answer, Err(NetError::Unreachable(_))) {
            // It is there, or its silence tells the rest.
            return answer.is_ok();
        }
        let metrics = self.raft.metrics();
        let before = {
            let now = metrics.borrow();
            let voters = now.membership_config.membership().voter_ids();
            voters.filter(|id| *id < self.node.0 && *id != node.0).count()
        };
        let lease = Duration::from_millis(self.settings.election_max_ms);
        let stagger = STAGGER * u32::try_from(before).unwrap_or(u32::MAX);
        // A little later than the others may let it be elected.
        self.world.sleep(lease + STAGGER / 4 + stagger).await;
        let is_unheard = *self.heard.borrow() <= since;
        if is_unheard && metrics.borrow().vote == vote {
            tracing::info!(leader = %node, "the leader's process has ended: another is elected");
            self.elect().await;
        }
        true
    }

    async fn elect(&self) {
        // A core that has stopped is reported elsewhere.
        let _ = self.raft.trigger().elect().await;
    }

    /// Answers a voter when this node does not lead any more, and tells the one that should.
    pub(crate) async fn watched(&self, from: NodeId) -> ControlReply {
        let mut successor = self.successor.subscribe();
        let mut metrics = self.raft.metrics();
        tokio::select! {
            biased;
            chosen = successor.wait_for(|next| *next == Successor::Chosen(from)) => match chosen {
                Ok(_) => ControlReply::TakeOver,
                Err(_) => ControlReply::NotLeader,
            },
            _ = metrics.wait_for(|now| now.state != ServerState::Leader) => ControlReply::NotLeader,
        }
    }

    /// Whether this node leads nobody any more, although nobody else does yet.
    pub(crate) fn is_handing_over(&self) -> bool {
        *self.successor.borrow() != Successor::None
    }

    /// Has another voter lead, if this node does; not for longer than it takes to elect one.
    pub(crate) async fn hand_over(&self) {
        let handing_over = async {
            let mut metrics = self.raft.metrics();
            let leads = metrics.borrow().state == ServerState::Leader;
            if !leads || self.next().is_none() {
                return;
            }
            self.successor.send_replace(Successor::Sought);
            self.raft.runtime_config().heartbeat(false);
            // What was proposed before goes on: it must be there before another leads.
            let is_done = |now: &Metrics| now.last_applied.map(|id| id.index) >= now.last_log_index;
            let done = metrics.wait_for(is_done);
            if done.await.is_err() {
                return;
            }
            let lease = Duration::from_millis(self.settings.election_max_ms);
            self.world.sleep(lease + STAGGER / 4).await;
            let Some(next) = self.next() else { return };
            tracing::info!(%next, "this node stops, and another leads");
            self.successor.send_replace(Successor::Chosen(next));
            let other = |now: &Option<u64>| now.is_some_and(|now| now != self.node.0);
            let _ = metrics.wait_for(|now| other(&now.current_leader)).await;
        };
        if self.world.within(HAND_OVER_MAX, handing_over).await.is_err() {
            tracing::warn!("nobody took over the leadership in time; the others will elect one");
        }
    }

    /// The other voter that has most of the log.
    fn next(&self) -> Option<NodeId> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow();
        let others = metrics.replication.as_ref()?.iter();
        let votes = |id: &u64| metrics.membership_config.membership().voter_ids().any(|v| v == *id);
        let others = others.filter(|(id, _)| **id != self.node.0 && votes(id));
        others.max_by_key(|(_, matched)| **matched).map(|(id, _)| NodeId(*id))
    }
}
