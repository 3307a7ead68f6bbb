//! The power goes.

use node_base::NodeId;

use super::calm;
use crate::fault::{Plan, Planned};
use crate::options::Seed;
use crate::run::Run;

/// Found by seed 1.14: the node had made its data directory, and never the name of that durable. It
/// came up empty and founded another cluster.
pub(super) fn soon_after_the_first_start() -> Vec<Run> {
    let run = |seed| {
        let plan = Plan(vec![Planned::crash(0, NodeId(1), 4_000, 500)]);
        Run { plan, ..Run::of(calm(Seed(seed), 1, 8_000)) }
    };
    (1..=4).map(run).collect()
}
