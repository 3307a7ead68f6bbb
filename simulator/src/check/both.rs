//! P3: of two concurrent edits neither is lost: one wins, and the other is a conflict.

use std::collections::BTreeMap;

use api_types::v1::conflicts::Strategy;
use node_base::{ConflictId, FileId, VersionId};

use super::Violation;
use super::facts::Facts;
use crate::client::content::Content;
use crate::history::{Answer, Ask, History, Operation, Told};

const PROMISE: &str = "P3 both survive";
const PROMISED_IN: &str = "ARCHITECTURE.md, section 9, P3";

pub(super) fn check(history: &History, facts: &Facts) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut winners: BTreeMap<(FileId, VersionId), &Operation> = BTreeMap::new();
    for op in &history.operations {
        if let (Some(conflict), Some(content)) = (conflict(op), op.ask.content())
            && !is_kept(history, facts, conflict, content)
        {
            let what = format!("{conflict} does not have the content that lost");
            violations.push(violation(op, &what));
        }
        let Ask::Replace { file, base, .. } = &op.ask else { continue };
        let made = op.item().and_then(|seen| seen.version);
        let (Some(base), Some((made, _))) = (base, made) else { continue };
        if made == *base {
            continue;
        }
        match winners.get(&(*file, *base)) {
            Some(winner)
                if winner.item().and_then(|seen| seen.version)
                    != op.item().and_then(|seen| seen.version) =>
            {
                let what = format!(
                    "operation {} replaced {base} too, and was told of no conflict",
                    winner.number
                );
                violations.push(violation(op, &what));
            }
            Some(_) => {}
            None => drop(winners.insert((*file, *base), op)),
        }
    }
    violations
}

/// The conflict that an operation was told it led to.
fn conflict(op: &Operation) -> Option<ConflictId> {
    match &op.answer {
        Answer::Refused(refused) => refused.conflict,
        Answer::Done(Told::Conflict(conflict)) => Some(*conflict),
        Answer::Done(_) | Answer::Unknown => None,
    }
}

/// Until a conflict is settled it keeps the content itself, and some version does from then on.
fn is_kept(history: &History, facts: &Facts, conflict: ConflictId, content: &Content) -> bool {
    let kept = facts.conflicts.get(&conflict).and_then(Option::as_ref);
    let settles = |op: &Operation| match &op.ask {
        Ask::Resolve { conflict: settled, .. } => {
            *settled == conflict && (op.is_done() || op.is_doubtful())
        }
        Ask::Send { strategy, .. } => {
            *strategy != Strategy::Manual && op.told() == Some(&Told::Conflict(conflict))
        }
        _ => false,
    };
    kept.is_some_and(|kept| kept.is(content))
        || facts.versions_like(content).next().is_some() && history.operations.iter().any(settles)
}

fn violation(op: &Operation, what: &str) -> Violation {
    Violation::by(op, PROMISE, PROMISED_IN, what)
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::check::example::{Example, stuff};

    #[test]
    fn one_wins_and_the_other_is_kept() {
        let mut example = Example::default();
        let file = example.file("a", 1);
        example.replace(file, Some(file.version), 2);
        let conflict = example.conflict(file, Some(file.version), 3);
        example.facts.conflicts.insert(conflict, Some(stuff(3)));
        assert_eq!(check(&example.history, &example.facts), []);

        example.facts.conflicts.insert(conflict, Some(stuff(2)));
        assert_eq!(check(&example.history, &example.facts).len(), 1, "another content");
        example.facts.conflicts.remove(&conflict);
        assert_eq!(check(&example.history, &example.facts).len(), 1, "no conflict at all");
    }

    #[test]
    fn two_winners_over_one_base_are_found() {
        let mut example = Example::default();
        let file = example.file("a", 1);
        example.replace(file, Some(file.version), 2);
        example.replace(file, Some(file.version), 3);
        assert_eq!(check(&example.history, &example.facts).len(), 1);
    }
}
