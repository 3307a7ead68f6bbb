//! The power goes: what was not synced is lost, torn or out of order. Later the node starts again.

use std::fmt;

use node_base::NodeId;
use serde::{Deserialize, Serialize};
use simulator_world::Chance;

use super::Span;
use crate::cluster::Cluster;
use crate::options::Options;

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Crash {
    pub(super) node: NodeId,
    /// In the middle of work: instead of the change to its drives that comes after so many.
    pub(super) after_changes: Option<u64>,
}

impl fmt::Display for Crash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.after_changes {
            None => write!(f, "node {} crashes", self.node),
            Some(changes) => {
                write!(f, "node {} crashes after {changes} changes to its drives", self.node)
            }
        }
    }
}

pub(super) fn draw(options: &Options) -> Vec<Span<Crash>> {
    let chance = Chance::new(options.seed, "crashes");
    let crash = |chance: &Chance| Crash {
        node: super::node(options, chance),
        after_changes: chance.happens(0.5).then(|| chance.range(0..200)),
    };
    super::draw(options, &chance, options.faults.crash_ms, 8_000, crash)
}

impl Crash {
    pub(super) const fn of(node: NodeId) -> Self {
        Self { node, after_changes: None }
    }

    pub(super) fn begin(&self, cluster: &Cluster) {
        cluster.hold(self.node);
        match self.after_changes {
            None => cluster.crash(self.node),
            Some(changes) => cluster.sim().crash_instead_of_change(self.node, changes),
        }
    }

    pub(super) fn end(&self, cluster: &Cluster) {
        // One that did not come in time does not come any more.
        cluster.sim().crash_instead_of_change(self.node, u64::MAX);
        cluster.release(self.node);
    }
}
