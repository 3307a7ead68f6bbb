//! Looking at one run again: its trace as text, or as a page.

use std::collections::BTreeSet;

use node_base::Duration;
use tracing::Level;

use crate::options::{Options, Seed};
use crate::run::{Found, Run};
use crate::{report, timeline};

/// What is to be seen of a run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Replay {
    /// Every line of the trace.
    pub(crate) trace: bool,
    /// Up to this virtual time.
    pub(crate) until: Option<Duration>,
    /// These faults of the plan alone.
    pub(crate) only: Option<BTreeSet<usize>>,
    pub(crate) html: bool,
    /// Down to which level what nodes log is in the trace.
    pub(crate) log: Option<Level>,
}

/// What there is to see.
pub(crate) struct Seen {
    pub(crate) run: Run,
    pub(crate) found: Found,
    pub(crate) page: Option<String>,
}

impl Replay {
    pub(crate) fn run(&self, seed: Seed) -> Seen {
        let mut run = Run::of(Options::draw(seed));
        if let Some(only) = &self.only {
            run.plan = run.plan.only(only);
        }
        (run.kept, run.log) = (usize::MAX, self.log);
        let mut found = run.run();
        if let Some(until) = self.until {
            found.lines.retain(|line| moment(line).is_none_or(|at| at <= until));
        }
        let page = self.html.then(|| timeline::page(&run, &found));
        Seen { run, found, page }
    }
}

/// When a line of a trace happened.
pub(crate) fn moment(line: &str) -> Option<Duration> {
    line.split(' ').next()?.parse().ok().map(Duration::from_nanos)
}

impl Seen {
    /// The run as text.
    pub(crate) fn text(&self, replay: &Replay) -> String {
        let Self { run, found, .. } = self;
        let mut text = report::head(run);
        if replay.trace {
            for line in &found.lines {
                text.push('\n');
                text.push_str(line);
            }
        }
        text.push_str(&format!(
            "\n{} events in {:.3} s, trace {}",
            found.events,
            found.took.as_secs_f64(),
            found.hash
        ));
        text
    }
}

/// The fewest faults of the seed's plan, as far as leaving out in halves and one by one finds them,
/// with which a promise is still broken; nothing when none is with all of them.
pub(crate) fn shrink(seed: Seed) -> Option<(Run, Found)> {
    let mut run = Run::of(Options::draw(seed));
    let mut found = run.run();
    if found.violations.is_empty() {
        return None;
    }
    let mut size = run.plan.0.len().div_ceil(2);
    while size > 0 {
        let mut start = 0;
        while start < run.plan.0.len() {
            let mut fewer = run.clone();
            let end = (start + size).min(fewer.plan.0.len());
            fewer.plan.0.drain(start..end);
            let without = fewer.run();
            if without.violations.is_empty() {
                start = end;
            } else {
                (run, found) = (fewer, without);
            }
        }
        size /= 2;
    }
    Some((run, found))
}
