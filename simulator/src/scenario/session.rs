//! Upload sessions.

use super::calm;
use crate::fault::Plan;
use crate::options::{Options, Seed, Workload};
use crate::run::Run;

/// Found by seed 2.142: the chunks of a session were written under one generation. Where one of
/// them came in by another session meanwhile, that generation was spent, and none of the others
/// could be taken up any more.
pub(super) fn of_chunks_that_others_bring_too() -> Vec<Run> {
    let run = |seed| {
        let calm = calm(Seed(seed), 1, 40_000);
        let workload = Workload {
            users: 4,
            shares: 1,
            uploaders: 8,
            minglers: 4,
            pause_ms_max: 300,
            ..calm.workload.clone()
        };
        Run { plan: Plan::default(), ..Run::of(Options { workload, ..calm }) }
    };
    (1..=3).map(run).collect()
}
