//! Stories of what was found: each title tells the cluster, the fault and the outcome.

mod damage;
mod leases;
mod power;
mod seats;

use crate::options::{Damages, Members, Options, Rates, Seed};
use crate::run::{Found, Run};

/// A story.
pub(crate) struct Story {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    /// What it takes to tell it: chance decides in each what a crash leaves, so one may miss it.
    make: fn() -> Vec<Run>,
}

/// All of them.
pub(crate) const ALL: &[Story] = &[
    Story {
        name: "first-power-loss",
        title: "one node, whose power goes soon after its first start: what it acknowledged is \
                there",
        make: power::soon_after_the_first_start,
    },
    Story {
        name: "rot-beside-a-node-down",
        title: "three nodes, of which one is down while bits turn on another: small files stay",
        make: damage::beside_a_node_that_is_down,
    },
    Story {
        name: "leases-of-a-restart",
        title: "three nodes, of which one crashes again and again: bytes that nobody names go",
        make: leases::of_a_node_that_starts_again,
    },
    Story {
        name: "leases-of-a-removed-node",
        title: "three nodes, of which one is removed while it writes: bytes that nobody names go",
        make: leases::of_a_node_that_is_removed,
    },
    Story {
        name: "the-only-voter-removed",
        title: "three nodes, of which the only one that votes is removed: the others go on",
        make: seats::of_the_only_voter,
    },
];

/// A cluster to which nothing happens but what a plan says.
fn calm(seed: Seed, nodes: u64, length_ms: u64) -> Options {
    Options {
        nodes,
        drives: 1,
        members: Members::default(),
        length_ms,
        faults: Rates::default(),
        damages: Damages::Promised,
        ..Options::draw(seed)
    }
}

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
