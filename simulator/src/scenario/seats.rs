//! Votes that go.

use node_base::NodeId;

use super::calm;
use crate::fault::{Plan, Planned};
use crate::options::Seed;
use crate::run::Run;

/// Found by seed 3.892: of three nodes one may not vote, so that one of the two others does, alone.
/// The others refused it from the moment it was to be removed, and could not agree without it.
pub(super) fn of_the_only_voter() -> Vec<Run> {
    let run = |seed| {
        let plan = Plan(vec![
            Planned::demotion(0, NodeId(1), 3_000, 12_000),
            Planned::removal(1, NodeId(2), 8_000),
        ]);
        Run { plan, ..Run::of(calm(Seed(seed), 3, 15_000)) }
    };
    (1..=4).map(run).collect()
}
