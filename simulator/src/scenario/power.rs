//! The power goes.

use node_base::NodeId;

use crate::fault::{Plan, Planned};
use crate::options::{Damages, Options, Rates, Seed};
use crate::run::Run;

/// Found by seed 1.14: the node had made its data directory, and never the name of that durable. It
/// came up empty and founded another cluster.
pub(super) fn soon_after_the_first_start() -> Vec<Run> {
    let run = |seed| {
        let options = Options {
            nodes: 1,
            drives: 1,
            length_ms: 8_000,
            faults: Rates::default(),
            damages: Damages::Promised,
            ..Options::draw(Seed(seed))
        };
        let plan = Plan(vec![Planned::crash(0, NodeId(1), 4_000, 500)]);
        Run { plan, ..Run::of(options) }
    };
    (1..=4).map(run).collect()
}
