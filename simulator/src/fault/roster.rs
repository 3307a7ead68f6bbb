//! Nodes come and go: they join, may not vote for a while, are removed or drained, are lost with
//! their machine and replaced by others, and stop in good order to come back as another version.
//!
//! Who goes for good takes its shards along, so that it is the node whose drives may be damaged:
//! an acknowledged write bears the loss of one.

use std::fmt;

use node_base::NodeId;
use raft_meta::table::cluster::Seat;
use serde::{Deserialize, Serialize};
use simulator_world::Chance;

use super::{Span, damage};
use crate::cluster::Cluster;
use crate::options::{Leave, Options};

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) enum Roster {
    Join { node: NodeId },
    Upgrade { node: NodeId },
    Demote { node: NodeId },
    Remove { node: NodeId },
    Drain { node: NodeId },
    Replace { node: NodeId, by: NodeId },
}

impl fmt::Display for Roster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Join { node } => write!(f, "node {node} joins"),
            Self::Upgrade { node } => {
                write!(f, "node {node} stops in good order, to be another version")
            }
            Self::Demote { node } => write!(f, "node {node} may not vote"),
            Self::Remove { node } => write!(f, "node {node} is removed"),
            Self::Drain { node } => write!(f, "node {node} is drained, and removed then"),
            Self::Replace { node, by } => {
                write!(f, "node {node} is lost with its drives, and node {by} takes its place")
            }
        }
    }
}

pub(super) fn draw(options: &Options) -> Vec<Span<Roster>> {
    let chance = Chance::new(options.seed, "upgrades");
    let mut spans = super::draw(options, &chance, options.faults.upgrade_ms, 4_000, |chance| {
        Roster::Upgrade { node: super::node(options, chance) }
    });
    let chance = Chance::new(options.seed, "joins");
    let at = || chance.range(0..options.length_ms);
    for joiner in 1..=options.members.joiners {
        let fault = Roster::Join { node: NodeId(options.nodes + joiner) };
        spans.push(Span { at_ms: at(), for_ms: 1, fault });
    }
    let leave = options.members.leave;
    // Who votes must be many while a voter is lost for good.
    let may_demote = leave != Some(Leave::Replaced);
    let rate = options.faults.demotion_ms.filter(|_| may_demote);
    let chance = Chance::new(options.seed, "demotions");
    spans.extend(super::draw(options, &chance, rate, 20_000, |chance| Roster::Demote {
        node: super::node(options, chance),
    }));
    let (node, _) = damage::victim(options);
    let fault = leave.map(|leave| match leave {
        Leave::Removed => Roster::Remove { node },
        Leave::Drained => Roster::Drain { node },
        Leave::Replaced => Roster::Replace { node, by: options.successor() },
    });
    let at_ms = Chance::new(options.seed, "leaving").range(0..options.length_ms);
    spans.extend(fault.map(|fault| Span { at_ms, for_ms: 1, fault }));
    spans
}

impl Roster {
    /// Whether a node goes with all it has.
    pub(super) const fn is_for_good(&self) -> bool {
        matches!(self, Self::Remove { .. } | Self::Replace { .. })
    }

    /// Who is not there for a while.
    pub(super) const fn pauses(&self) -> Option<NodeId> {
        match self {
            Self::Upgrade { node } => Some(*node),
            Self::Join { .. }
            | Self::Demote { .. }
            | Self::Remove { .. }
            | Self::Drain { .. }
            | Self::Replace { .. } => None,
        }
    }

    pub(super) fn begin(&self, cluster: &Cluster) {
        match *self {
            Self::Join { node } => cluster.admit(node),
            Self::Upgrade { node } => cluster.stop(node),
            Self::Demote { node } => cluster.seat(node, Seat::Learns),
            Self::Remove { node } => cluster.remove(node),
            Self::Drain { node } => cluster.drain(node),
            Self::Replace { node, by } => cluster.replace(node, by),
        }
    }

    pub(super) fn end(&self, cluster: &Cluster) {
        match *self {
            Self::Upgrade { node } => cluster.release(node),
            Self::Demote { node } => cluster.seat(node, Seat::MayVote),
            // Who is to join or to leave does so in the end.
            Self::Join { .. } | Self::Remove { .. } | Self::Drain { .. } | Self::Replace { .. } => {
            }
        }
    }
}
