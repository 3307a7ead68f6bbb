//! Who votes and who learns: the leader brings the group in line with the nodes' table.
//!
//! The table says which nodes there are and which of them may vote; that is agreed like everything
//! else, and whoever leads works towards it, one change at a time. A leader that fails half-way
//! leaves nothing behind that the next one would not find in the table and the members.
//!
//! - A node that joined learns first. It votes when it has caught up, and answers.
//! - Voters are an odd number, at most seven, spread over the zones; who votes already is
//!   preferred, and a node that has been down for long comes last.
//! - Nobody is made a voter, and nobody stops being one, unless most of the new voters answer.
//! - A node that was removed is refused by all once it does not vote. It ends when it hears of it.
//!
//! The leader also tells who has been silent for too long, and has it agreed that such a node is
//! out, and in again when it answers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{PoisonError, Weak};

use futures_util::future::join_all;
use node_base::{Duration, NodeId};
use node_world::{Class, Instant, Peer};
use openraft::{ChangeMembers, ServerState};
use raft_meta::command::ClusterCommand;
use raft_meta::table::cluster::{Node, Nodes, Seat};
use raft_meta::{Command, TableError, table};

use crate::group::Group;
use crate::types::Members;
use crate::wire::{Control, ControlReply, pack, unpack_reply};

/// Voters at most.
const VOTERS_MAX: usize = 7;
/// How many entries behind a node may be that is made a voter.
const LAG_MAX: u64 = 200;
/// How many probes in a row stay unanswered before a node counts as down.
const SILENT_PROBES: u64 = 3;
/// Between two rounds of a leader that has no certificate yet.
const UNPROVED_PAUSE: Duration = Duration::from_millis(50);

type Change = ChangeMembers<u64, String>;

/// How the nodes answer, as the leader of a term sees it.
#[derive(Default)]
struct Watch {
    term: u64,
    /// When each was last heard of, or first missed.
    heard: BTreeMap<u64, Instant>,
    /// Which do not answer, as it was said last.
    down: BTreeSet<u64>,
}

/// Works towards the table while this node leads, until the group is gone.
pub(crate) async fn run(weak: Weak<Group>) {
    let (mut watch, mut certified) = (Watch::default(), None);
    while let Some(group) = weak.upgrade() {
        let mut every = Duration::from_millis(group.settings.probe_ms.max(1));
        let world = group.world.clone();
        let leads = group.raft.metrics().borrow().state == ServerState::Leader;
        group.keep_proof(leads, &mut certified).await;
        if leads && certified.is_none() && world.net().credentials().is_some() {
            // A restored cluster has no authority yet, and others may want to join.
            every = every.min(UNPROVED_PAUSE);
        }
        group.keep_members(&mut watch).await;
        drop(group);
        world.sleep(every).await;
    }
}

impl Group {
    async fn keep_members(&self, watch: &mut Watch) {
        let read = |tables: &dyn crate::tables::Engine| {
            let tables = tables.snapshot()?;
            table::all::<Nodes>(&*tables, &())
        };
        let rows: Vec<Node> = match self.machine.on_tables(read).await {
            Ok(rows) => rows.into_iter().map(|(_, node)| node).collect(),
            Err(error) => {
                tracing::debug!(%error, "the nodes' table cannot be read");
                return;
            }
        };
        let metrics = self.raft.metrics().borrow().clone();
        let members = metrics.membership_config.membership();
        // Who votes is heard until the others can agree without it: it may be all that votes.
        let votes = |node: &Node| members.voter_ids().any(|voter| voter == node.id.0);
        let removed = rows.iter().filter(|node| node.seat == Seat::Removed && !votes(node));
        let removed: BTreeSet<NodeId> = removed.map(|node| node.id).collect();
        let leads = metrics.state == ServerState::Leader;
        if removed.contains(&self.node) && !leads {
            self.was_removed();
        }
        if let Some(credentials) = self.world.net().credentials() {
            credentials.revoke(removed.clone());
        }
        *self.removed.lock().unwrap_or_else(PoisonError::into_inner) = removed;
        if !leads {
            *watch = Watch::default();
            return;
        }
        if watch.term != metrics.current_term {
            *watch = Watch { term: metrics.current_term, ..Watch::default() };
        }
        let answers = self.probe(&rows).await;
        self.note(watch, &rows, &answers).await;
        let silent = Duration::from_millis(self.settings.probe_ms * SILENT_PROBES);
        let now = self.world.now();
        let up = |node: u64| {
            let heard = watch.heard.get(&node);
            node == self.node.0 || heard.is_some_and(|at| now.since(*at) <= silent)
        };
        for row in rows.iter().filter(|row| row.seat != Seat::Removed) {
            let (node, is_up) = (row.id, up(row.id.0));
            if !is_up && watch.down.insert(node.0) {
                tracing::warn!(%node, address = row.address, "a node does not answer");
            } else if is_up && watch.down.remove(&node.0) {
                tracing::info!(%node, address = row.address, "a node answers again");
            }
        }
        let mine = metrics.last_applied.map_or(0, |id| id.index);
        let ready = |node: u64| answers.get(&node).is_some_and(|at| at + LAG_MAX >= mine);
        if let Some(change) = next_change(members, &rows, up, ready) {
            self.change(change).await;
        }
    }

    /// How far the other nodes are that answer, by their number.
    pub(crate) async fn progress(&self) -> Result<BTreeMap<u64, u64>, TableError> {
        let read =
            |tables: &dyn crate::tables::Engine| table::all::<Nodes>(&*tables.snapshot()?, &());
        let rows = self.machine.on_tables(read).await?;
        let rows: Vec<Node> = rows.into_iter().map(|(_, node)| node).collect();
        Ok(self.probe(&rows).await)
    }

    /// Asks every other node how far it is.
    async fn probe(&self, rows: &[Node]) -> BTreeMap<u64, u64> {
        let limit = self.settings.election_min_ms.max(self.settings.probe_ms);
        let limit = Duration::from_millis(limit);
        let others = rows.iter().filter(|row| row.seat != Seat::Removed && row.id != self.node);
        let ask = |row: &Node| {
            let peer = Peer { node: row.id, address: row.address.clone() };
            let request = pack(*self.cluster.borrow(), &Control::Probe);
            let call = self.world.net().call(peer, Class::Control, request, limit);
            let node = row.id.0;
            async move {
                match unpack_reply(&call.await.ok()?) {
                    Ok(ControlReply::Applied(entry)) => Some((node, entry.unwrap_or(0))),
                    _ => None,
                }
            }
        };
        join_all(others.map(ask)).await.into_iter().flatten().collect()
    }

    /// Notes who answered, and has it agreed who is out and who is in again.
    async fn note(&self, watch: &mut Watch, rows: &[Node], answers: &BTreeMap<u64, u64>) {
        let now = self.world.now();
        let out_after = Duration::from_millis(self.settings.out_after_ms);
        for row in rows.iter().filter(|row| row.seat != Seat::Removed && row.id != self.node) {
            let heard = watch.heard.entry(row.id.0).or_insert(now);
            let answers = answers.contains_key(&row.id.0);
            if answers {
                *heard = now;
            }
            let is_out = !answers && (row.is_out || now.since(*heard) >= out_after);
            if is_out == row.is_out {
                continue;
            }
            if is_out {
                tracing::warn!(node = %row.id, "a node is silent for too long, and is out");
            } else {
                tracing::info!(node = %row.id, "a node answers again, and is in");
            }
            let command = ClusterCommand::SetOut { node: row.id, is_out };
            if let Err(error) = self.agree(Command::Cluster(command)).await {
                tracing::debug!(%error, "it will be agreed later");
            }
        }
    }

    async fn change(&self, change: Change) {
        tracing::info!(?change, "the members of the group change");
        let (raft, limit) = (self.raft.clone(), self.settings.patience());
        let changing = self.world.spawn(async move { raft.change_membership(change, true).await });
        match self.world.within(limit, changing).await {
            Ok(Ok(Ok(_))) => {}
            Ok(Ok(Err(error))) => tracing::debug!(%error, "the members do not change yet"),
            // It goes on by itself, or the next leader does it.
            _ => tracing::debug!("the members have not changed yet"),
        }
    }

    /// Whether the table says that this node was removed.
    pub(crate) fn is_removed(&self, node: NodeId) -> bool {
        self.removed.lock().unwrap_or_else(PoisonError::into_inner).contains(&node)
    }

    /// Another node, or the table, says that this one is of the cluster no more.
    pub(crate) fn was_removed(&self) {
        self.broken.send_if_modified(|why| {
            let is_news = why.is_none();
            why.get_or_insert(REMOVED.to_owned());
            is_news
        });
    }
}

/// Why a node that was removed leaves the agreement.
pub(crate) const REMOVED: &str = "it was removed from the cluster";

/// The next change that brings the members closer to the table; nothing when they are there, or
/// must wait.
fn next_change(
    members: &Members,
    rows: &[Node],
    up: impl Fn(u64) -> bool,
    ready: impl Fn(u64) -> bool,
) -> Option<Change> {
    let known: BTreeMap<u64, &String> = members.nodes().map(|(node, at)| (*node, at)).collect();
    let here = || rows.iter().filter(|row| row.seat != Seat::Removed && !row.address.is_empty());
    let new: BTreeMap<u64, String> = here()
        .filter(|row| !known.contains_key(&row.id.0))
        .map(|row| (row.id.0, row.address.clone()))
        .collect();
    if !new.is_empty() {
        return Some(Change::AddNodes(new));
    }
    let moved: BTreeMap<u64, String> = here()
        .filter(|row| known.get(&row.id.0).is_some_and(|at| **at != row.address))
        .map(|row| (row.id.0, row.address.clone()))
        .collect();
    if !moved.is_empty() {
        return Some(Change::SetNodes(moved));
    }
    let joint = members.get_joint_config();
    let votes: BTreeSet<u64> = joint.last().cloned().unwrap_or_default();
    let wanted = voters(rows, &votes, &up, &ready);
    let answering = wanted.iter().filter(|node| up(**node)).count();
    if (joint.len() > 1 || wanted != votes) && answering * 2 > wanted.len() {
        return Some(Change::ReplaceAllVoters(wanted));
    }
    let gone: BTreeSet<u64> = rows
        .iter()
        .filter(|row| row.seat == Seat::Removed)
        .map(|row| row.id.0)
        .filter(|node| known.contains_key(node) && !joint.iter().any(|set| set.contains(node)))
        .collect();
    (!gone.is_empty()).then_some(Change::RemoveNodes(gone))
}

/// Who should vote: an odd number, over as many zones as there are.
fn voters(
    rows: &[Node],
    votes: &BTreeSet<u64>,
    up: impl Fn(u64) -> bool,
    ready: impl Fn(u64) -> bool,
) -> BTreeSet<u64> {
    let can = |row: &&Node| {
        let id = row.id.0;
        row.seat == Seat::MayVote && (votes.contains(&id) || (ready(id) && up(id) && !row.is_out))
    };
    let mut left: Vec<&Node> = rows.iter().filter(can).collect();
    let count = left.len().min(VOTERS_MAX);
    let count = if count.is_multiple_of(2) { count.saturating_sub(1) } else { count };
    let mut zones: BTreeMap<&str, usize> = BTreeMap::new();
    let mut chosen = BTreeSet::new();
    while chosen.len() < count {
        let rank = |row: &Node| {
            let id = row.id.0;
            let crowd = zones.get(row.zone.as_str()).copied().unwrap_or(0);
            (row.is_out, crowd, !votes.contains(&id), !up(id), id)
        };
        let best = (0..left.len()).min_by_key(|at| rank(left[*at]));
        let Some(best) = best.map(|at| left.swap_remove(at)) else { break };
        *zones.entry(&best.zone).or_default() += 1;
        chosen.insert(best.id.0);
    }
    chosen
}

#[cfg(test)]
mod tests;
