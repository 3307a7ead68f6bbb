//! Wall clocks that are wrong and jump, forwards and back.

use std::fmt;

use node_base::NodeId;
use serde::{Deserialize, Serialize};
use simulator_world::Chance;

use super::Span;
use crate::cluster::Cluster;
use crate::options::Options;

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Clock {
    pub(super) node: NodeId,
    /// Ahead; behind where negative.
    pub(super) skew_ms: i64,
}

/// The most that a clock is wrong. More is an operator's case: log time never goes back, so a
/// clock that is a year ahead makes everything expire.
const MOST_MS: u64 = 10 * 60 * 1_000;

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the clock of node {} is wrong by {} ms", self.node, self.skew_ms)
    }
}

pub(super) fn draw(options: &Options) -> Vec<Span<Clock>> {
    let chance = Chance::new(options.seed, "clocks");
    let clock = |chance: &Chance| Clock {
        node: super::node(options, chance),
        skew_ms: chance.range(0..MOST_MS * 2).cast_signed() - MOST_MS.cast_signed(),
    };
    super::draw(options, &chance, options.faults.skew_ms, 30_000, clock)
}

impl Clock {
    pub(super) fn begin(&self, cluster: &Cluster) {
        cluster.sim().set_skew_ms(self.node, self.skew_ms);
    }

    pub(super) fn end(&self, cluster: &Cluster) {
        cluster.sim().set_skew_ms(self.node, 0);
    }
}
