//! Stories of what was found: each title tells the cluster, the fault and the outcome.

use crate::run::{Found, Run};

/// A story.
pub(crate) struct Story {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) make: fn() -> Run,
}

/// All of them.
pub(crate) const ALL: &[Story] = &[];

impl Story {
    /// Tells it; a violation means that it does not end as its title says.
    pub(crate) fn run(&self) -> Found {
        (self.make)().run()
    }
}
