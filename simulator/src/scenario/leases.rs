//! Leases that their node does not come back for.

use node_base::NodeId;

use super::calm;
use crate::fault::{Plan, Planned};
use crate::options::{Options, Seed, Tuning, Workload};
use crate::run::Run;

/// Leases change hands at each second, in a cluster that brings a lot.
fn changing(seed: u64) -> Options {
    let calm = calm(Seed(seed), 3, 20_000);
    Options {
        tuning: Tuning {
            lease_seconds: 1,
            round_ms: 200,
            orphan_seconds: 5,
            trash_seconds: 1,
            ..calm.tuning.clone()
        },
        workload: Workload { uploaders: 3, pause_ms_max: 800, ..calm.workload.clone() },
        ..calm
    }
}

/// Found by seeds 2.3 and 2.41: the lease that was open last was closed when the node started
/// again, and those before it, which had waited for what was under way, never.
pub(super) fn of_a_node_that_starts_again() -> Vec<Run> {
    let run = |seed| {
        let crash = |number, at_ms| Planned::crash(number, NodeId(2), at_ms, 500);
        let plan = Plan((0..6).map(|n| crash(n, 3_000 + 2_500 * n as u64)).collect());
        Run { plan, ..Run::of(changing(seed)) }
    };
    (1..=4).map(run).collect()
}

/// Found by seeds 2.63 and 2.19: the same for a node that is removed.
pub(super) fn of_a_node_that_is_removed() -> Vec<Run> {
    let run = |seed| {
        let plan = Plan(vec![Planned::removal(0, NodeId(3), 8_000)]);
        Run { plan, ..Run::of(changing(seed)) }
    };
    (1..=4).map(run).collect()
}
