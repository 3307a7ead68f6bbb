//! P3: of two concurrent edits neither is lost: one wins, and the other is a conflict.

use std::collections::BTreeMap;

use node_base::{FileId, VersionId};

use super::Violation;
use super::facts::Facts;
use crate::history::{Answer, Ask, History, Operation};

const PROMISE: &str = "P3 both survive";
const PROMISED_IN: &str = "ARCHITECTURE.md, section 9, P3";

pub(super) fn check(history: &History, facts: &Facts) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut winners: BTreeMap<(FileId, VersionId), &Operation> = BTreeMap::new();
    for op in &history.operations {
        let Ask::Replace { file, base, content, .. } = &op.ask else { continue };
        if let Answer::Refused(refused) = &op.answer
            && let Some(conflict) = refused.conflict
        {
            let kept = facts.conflicts.get(&conflict).and_then(Option::as_ref);
            if !kept.is_some_and(|kept| kept.is(content)) {
                let what = format!("{conflict} does not have the content that lost");
                violations.push(violation(op, &what));
            }
        }
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
