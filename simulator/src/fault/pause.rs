//! A process stands still, as on a machine that swaps or migrates, and goes on as if nothing were.

use std::fmt;

use node_base::NodeId;
use serde::{Deserialize, Serialize};
use simulator_world::Chance;

use super::Span;
use crate::cluster::Cluster;
use crate::options::Options;

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Pause {
    pub(super) node: NodeId,
}

impl fmt::Display for Pause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node {} stands still", self.node)
    }
}

pub(super) fn draw(options: &Options) -> Vec<Span<Pause>> {
    let chance = Chance::new(options.seed, "pauses");
    let pause = |chance: &Chance| Pause { node: super::node(options, chance) };
    super::draw(options, &chance, options.faults.pause_ms, 6_000, pause)
}

impl Pause {
    pub(super) fn begin(&self, cluster: &Cluster) {
        cluster.sim().pause(self.node);
    }

    pub(super) fn end(&self, cluster: &Cluster) {
        cluster.sim().resume(self.node);
    }
}
