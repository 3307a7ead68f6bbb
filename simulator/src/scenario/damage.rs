//! Bytes that rot while something else is away.

use node_base::NodeId;

use super::calm;
use crate::fault::{Plan, Planned};
use crate::options::{Options, Seed, Tuning, Workload};
use crate::run::Run;

/// Found by seed 1.1208: a node stood in for one that was down, and brought its copy to where the
/// other one had just rotted, instead of having that made anew. There it rotted as well.
pub(super) fn beside_a_node_that_is_down() -> Vec<Run> {
    let run = |seed| {
        let calm = calm(Seed(seed), 3, 30_000);
        let options = Options {
            tuning: Tuning { care_seconds: 1, ..calm.tuning.clone() },
            // Small files are kept as whole copies, which bear it that one node is down and another
            // one's rot.
            workload: Workload { file_bytes_max: 20_000, ..calm.workload.clone() },
            ..calm
        };
        let down = Planned::crash(0, NodeId(2), 4_000, 24_000);
        let plan = Plan(vec![down, Planned::rot(1, NodeId(3), 6_000, 20_000)]);
        Run { plan, ..Run::of(options) }
    };
    (1..=3).map(run).collect()
}
