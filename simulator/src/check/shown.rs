//! P7: nobody was shown, or let do, what the permissions in force denied.
//!
//! A guest is let into a share and out again. While a change is under way either answer is right.
//! An operation that began when the guest had been shown the door, with nothing under way that
//! could have let it in again, must be refused.

use node_base::UserId;

use super::Violation;
use crate::history::{Ask, History, Operation, Told};
use crate::workload::ground::{Kind, Site};

const PROMISE: &str = "P7 not shown";
const PROMISED_IN: &str = "ARCHITECTURE.md, section 9, P7";

pub(super) fn check(history: &History) -> Vec<Violation> {
    let guarded = history.sites.iter().filter(|site| site.kind == Kind::Guarded);
    guarded.flat_map(|site| door(history, site)).collect()
}

/// A change of who may come in.
struct Turn<'a> {
    op: &'a Operation,
    joins: bool,
}

fn door(history: &History, site: &Site) -> Vec<Violation> {
    let Some(guest) = site.guest else { return Vec::new() };
    let here = || history.operations.iter().filter(|op| op.share == site.share);
    let turns: Vec<Turn<'_>> = here().filter_map(|op| turn(op, guest)).collect();
    let shown = here().filter(|op| op.user == guest && shows(op));
    shown
        .filter_map(|op| {
            let why = why_not(&turns, op)?;
            Some(Violation::by(op, PROMISE, PROMISED_IN, &format!("{why}, and yet")))
        })
        .collect()
}

fn turn(op: &Operation, guest: UserId) -> Option<Turn<'_>> {
    match op.ask {
        Ask::Member { user, joins } | Ask::Entry { user, joins }
            if user == guest && (op.is_done() || op.is_doubtful()) =>
        {
            Some(Turn { op, joins })
        }
        _ => None,
    }
}

/// Whether an answer showed anything, or said that something was done.
fn shows(op: &Operation) -> bool {
    match op.told() {
        None | Some(Told::Changes { is_shown: false }) => false,
        // The snapshot of a share that shows nothing of itself is refused, so that one is a sight.
        Some(_) => true,
    }
}

/// Why the guest could not be inside at any time of this operation.
fn why_not(turns: &[Turn<'_>], op: &Operation) -> Option<String> {
    let may_let_in = |turn: &Turn<'_>| turn.joins && turn.op.began < op.ended;
    let outs = turns.iter().filter(|turn| !turn.joins && turn.op.is_done());
    let before = outs.filter(|turn| turn.op.ended < op.began);
    let Some(out) = before.max_by_key(|turn| turn.op.began) else {
        let never = !turns.iter().any(may_let_in);
        return never.then(|| "nobody had let the guest in".to_owned());
    };
    let again = turns
        .iter()
        .any(|turn| may_let_in(turn) && (turn.op.is_doubtful() || turn.op.ended > out.op.began));
    (!again).then(|| format!("operation {} had shown the guest the door", out.op.number))
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::check::example::Example;
    use crate::history::{Answer, Ask, Told};

    #[test]
    fn a_sight_before_after_and_between_is_judged() {
        let mut example = Example::guarded();
        let sight = |example: &mut Example| {
            example.as_guest(
                Ask::Changes { cursor: None, limit: 1, wait: 0 },
                Told::Changes { is_shown: true },
            );
            check(&example.history).len()
        };
        assert_eq!(sight(&mut example), 1, "before anybody let it in");
        example.history.operations.clear();
        example.member(true);
        assert_eq!(sight(&mut example), 0, "inside");
        example.member(false);
        assert_eq!(sight(&mut example), 1, "outside again");
        example.history.operations.pop();
        example.member(true);
        assert_eq!(sight(&mut example), 0, "and in again");
    }

    #[test]
    fn while_the_door_turns_either_is_right() {
        let mut example = Example::guarded();
        example.member(true);
        example.member(false);
        example.as_guest(Ask::Stat { item: example.top() }, Told::Nothing);
        let (out, sight) = (1, 2);
        assert_eq!(check(&example.history).len(), 1);
        let began = example.history.operations[sight].began;
        example.history.operations[out].ended = began + 1;
        assert_eq!(check(&example.history), [], "it was still under way");
        example.history.operations[out].ended = began - 1;
        example.member(true);
        let mut late = example.history.operations.pop().expect("just made");
        (late.began, late.answer, late.lost) = (began - 1, Answer::Unknown, 1);
        example.history.operations.push(late);
        assert_eq!(check(&example.history), [], "it may have been let in again");
    }
}
