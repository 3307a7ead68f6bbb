//! The plan: steps in an order in which they can be done.

use node_base::NamePolicy;

use crate::losses;
use crate::moves;
use crate::names::{self, NotHere};
use crate::step::Step;
use crate::tree::{Trees, ancestors};
use crate::visit::Visit;

/// What a plan must know beside the trees.
#[derive(Debug, Clone)]
pub struct Options {
    /// The share's.
    pub policy: NamePolicy,
    /// This machine takes names that differ only in case for one.
    pub folds_case: bool,
    /// Goes before the extension of what steps aside: ` (conflict of DEVICE 2026-11-23 14.05.09)`.
    pub mark: String,
    /// The folder here is another one than was last in step, though it is at the same path.
    pub other_folder: bool,
    /// Deletions that look like an accident are meant.
    pub accept_deletions: bool,
}

/// Something that is left alone, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    pub path: String,
    pub reason: NotHere,
}

/// What to do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    pub steps: Vec<Step>,
    pub skipped: Vec<Skipped>,
    /// Deletions that wait for [`Options::accept_deletions`], because they look like an accident;
    /// then there are no steps.
    pub held: Vec<Step>,
    /// How many pairs of contents were both kept.
    pub conflicts: u64,
}

/// Decides what to do. Where there is no trustworthy base, as after the server's history was
/// replaced, give an empty one: then both sides are brought together and nothing is deleted.
pub fn plan(trees: Trees, options: &Options) -> Plan {
    let mut trees = trees;
    let skipped = names::leave_out(&mut trees, options.policy, options.folds_case);
    let moved = moves::find(&mut trees);
    let mut visit = Visit::new(&trees, &options.mark);
    visit.all();
    let (mut later, conflicts) = visit.finish();
    drop_subsumed(&mut later);
    if !options.accept_deletions && must_wait(&trees, &later, options) {
        // Not even the rest is done: one file that comes would make the side look alive.
        let held = later.into_iter().map(|(_, step)| step).filter(Step::deletes).collect();
        return Plan { held, skipped, ..Plan::default() };
    }
    later.sort_by(|(a, x), (b, y)| a.cmp(b).then_with(|| place(*a, x).cmp(&place(*b, y))));
    let mut steps = moved;
    steps.extend(later.into_iter().map(|(_, step)| step));
    Plan { steps, skipped, held: Vec::new(), conflicts }
}

/// Whether there are deletions that must be meant before they are made.
fn must_wait(trees: &Trees, steps: &[(Phase, Step)], options: &Options) -> bool {
    let is_there = |(_, step): &(Phase, Step)| matches!(step, Step::DeleteRemote { .. });
    steps.iter().any(|(_, step)| step.deletes())
        && (losses::alarm(trees) || (options.other_folder && steps.iter().any(is_there)))
}

/// When a step is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// What is in the way steps aside.
    Aside,
    /// What is in the way and was deleted on the other side goes.
    ClearFiles,
    ClearFolders,
    Folders,
    Content,
    DeleteFiles,
    DeleteFolders,
}

/// The order in a phase: parents first, but last where folders go.
fn place(phase: Phase, step: &Step) -> (usize, &Step) {
    let depth = ancestors(step.path()).count();
    let rank = match phase {
        Phase::ClearFolders | Phase::DeleteFolders => usize::MAX - depth,
        Phase::Folders => depth,
        Phase::Aside | Phase::ClearFiles | Phase::Content | Phase::DeleteFiles => 0,
    };
    (rank, step)
}

/// A folder that is deleted on the server takes along what is in it.
fn drop_subsumed(steps: &mut Vec<(Phase, Step)>) {
    let folders: std::collections::BTreeSet<String> = steps
        .iter()
        .filter_map(|(_, step)| match step {
            Step::DeleteRemote { path, is_folder: true, .. } => Some(path.clone()),
            _ => None,
        })
        .collect();
    steps.retain(|(_, step)| match step {
        Step::DeleteRemote { path, .. } => !ancestors(path).any(|folder| folders.contains(folder)),
        _ => true,
    });
}
