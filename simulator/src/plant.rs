//! Bugs that are planted on purpose: each must be found within a bounded number of seeds, or the
//! checks are worth nothing.

use node_base::plant::Bug;

use crate::options::{Options, Seed};
use crate::run::{Found, Run};

/// What people call a bug, and what it is.
pub(crate) const fn name(bug: Bug) -> (&'static str, &'static str) {
    match bug {
        Bug::AcknowledgeBeforeSync => {
            ("acknowledge-before-sync", "an entry of the log counts as durable before it is")
        }
        Bug::ReadWithoutIndex => {
            ("read-without-index", "a read does not ask how much must be applied before it")
        }
        Bug::CollectPinned => {
            ("collect-pinned", "a chunk that was needed again is collected all the same")
        }
        Bug::ReuseGeneration => {
            ("reuse-generation", "a chunk that comes back gets the generation that it had")
        }
        Bug::ResumeAsLeader => {
            ("resume-as-leader", "a leader that restarts goes on in its old term")
        }
        Bug::CountOnce => ("count-once", "a chunk of two versions is counted once"),
        Bug::ForgetOutcome => {
            ("forget-outcome", "what came of a request with an idempotency key is not kept")
        }
        Bug::SkipChange => {
            ("skip-change", "of changes that were committed together, readers are told of one")
        }
        Bug::UncheckedShard => {
            ("unchecked-shard", "bytes are handed out as they come from the drive")
        }
    }
}

/// The bug of this name.
pub(crate) fn find(called: &str) -> Option<Bug> {
    Bug::ALL.into_iter().find(|bug| name(*bug).0 == called)
}

/// After so many seeds without a finding, the checks have failed.
pub(crate) const SEEDS_MAX: u64 = 300;

/// A run with the bug in it. Some bugs can only bite under conditions that a seed may not draw:
/// they are given to all.
pub(crate) fn run(bug: Bug, seed: Seed) -> Run {
    let mut options = Options::draw(seed);
    match bug {
        Bug::UncheckedShard => options.faults.disk_rot_ms = Some(5_000),
        Bug::AcknowledgeBeforeSync | Bug::ResumeAsLeader | Bug::ReuseGeneration => {
            options.faults.crash_ms = Some(5_000);
        }
        Bug::ForgetOutcome => options.network.client_loss = 0.05,
        Bug::ReadWithoutIndex | Bug::CollectPinned | Bug::CountOnce | Bug::SkipChange => {}
    }
    Run { bug: Some(bug), ..Run::of(options) }
}

/// The first seed from `from` on that finds the bug, and how many were run.
pub(crate) fn hunt(bug: Bug, from: u64) -> Option<(u64, Run, Found)> {
    (0..SEEDS_MAX).find_map(|number| {
        let run = run(bug, Seed(from.wrapping_add(number)));
        let found = run.run();
        // What breaks without the bug as well does not show that the bug is found.
        let is_found = !found.violations.is_empty()
            && Run { bug: None, ..run.clone() }.run().violations.is_empty();
        is_found.then_some((number + 1, run, found))
    })
}
