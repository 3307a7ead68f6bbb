//! A violation, told so that somebody can act: what was promised where, what is so instead, what
//! happened around it, and how to see it again.

use std::collections::BTreeSet;
use std::fmt::Write;

use crate::check::Violation;
use crate::options::{Options, Seed};
use crate::run::{Found, Run};

/// How many lines of the trace are shown with a violation.
const SHOWN: usize = 25;

/// What is told at once.
pub(crate) fn short(seed: Seed, found: &Found) -> String {
    let mut text = String::new();
    for violation in &found.violations {
        let _ = writeln!(text, "seed {seed} breaks a promise: {}", violation.promise);
        let _ = writeln!(text, "  promised in {}", violation.promised_in);
        let _ = writeln!(text, "  {}", violation.what);
    }
    let _ = write!(text, "  look: simulator replay {seed}");
    text
}

/// Everything about a run that broke a promise. The lines of the trace come from running it once
/// more, which must find the same.
pub(crate) fn long(run: &Run, found: &Found) -> String {
    let seed = run.options.seed();
    let again = Run { kept: usize::MAX, ..run.clone() }.run();
    let mut text = short(seed, found);
    // What is logged names the machine's own time.
    if run.log.is_none() && again.hash != found.hash {
        let _ = write!(
            text,
            "\n  and it is not the same twice: trace {}, then {}",
            found.hash, again.hash
        );
    }
    for violation in &again.violations {
        let touching = touching(&again.lines, violation);
        let _ = write!(text, "\n  last of the trace that touches it:");
        for line in touching {
            let _ = write!(text, "\n    {line}");
        }
    }
    text
}

/// The last lines that name anything of a violation, in order.
pub(crate) fn touching<'a>(lines: &'a [String], violation: &Violation) -> Vec<&'a str> {
    let names: BTreeSet<&str> = violation.touching.iter().map(String::as_str).collect();
    let touches = |line: &&String| names.iter().any(|name| line.contains(name));
    let mut found: Vec<&str> =
        lines.iter().rev().filter(touches).take(SHOWN).map(String::as_str).collect();
    found.reverse();
    found
}

/// The options and the plan, as people read them.
pub(crate) fn head(run: &Run) -> String {
    let Options { nodes, drives, length_ms, network, damages, workload, .. } = &run.options;
    let mut text = format!(
        "seed {}: {nodes} nodes with {drives} drives each, {} s\n",
        run.options.seed(),
        *length_ms as f64 / 1_000.0
    );
    let _ = writeln!(text, "network: {network:?}");
    let _ = writeln!(text, "damages: {damages:?}");
    let _ = writeln!(text, "workload: {workload:?}");
    if let Some(bug) = run.bug {
        let _ = writeln!(text, "planted: {bug:?}");
    }
    let _ = write!(text, "faults: {}", run.plan.0.len());
    for planned in &run.plan.0 {
        let _ = write!(text, "\n  {planned}");
    }
    text
}
