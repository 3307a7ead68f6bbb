//! Stories of what was found: each title tells the cluster, the fault and the outcome.

mod power;

use crate::run::{Found, Run};

/// A story.
pub(crate) struct Story {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    /// What it takes to tell it: chance decides in each what a crash leaves, so one may miss it.
    make: fn() -> Vec<Run>,
}

/// All of them.
pub(crate) const ALL: &[Story] = &[Story {
    name: "first-power-loss",
    title: "one node, whose power goes soon after its first start: what it acknowledged is there",
    make: power::soon_after_the_first_start,
}];

impl Story {
    /// Tells it: the first run that does not end as the title says, or the last.
    pub(crate) fn run(&self) -> Option<(Run, Found)> {
        let mut last = None;
        for run in (self.make)() {
            let found = run.run();
            let is_broken = !found.violations.is_empty();
            last = Some((run, found));
            if is_broken {
                break;
            }
        }
        last
    }
}
