//! P6: what timed out happened wholly or not at all, and its idempotency key tells which.
//!
//! From outside: asked again under its key, an operation is answered as it was. From inside:
//! everything there is was brought by an operation, each by one, and by none that was refused.

use std::collections::BTreeSet;

use node_base::VersionId;
use raft_meta::table::item::ItemId;

use super::Violation;
use super::facts::{Facts, Standing, Stored};
use crate::client::content::Content;
use crate::client::{Client, answer, request};
use crate::history::{Answer, Ask, History, Operation};
use crate::workload::ground::{Kind, Site};

const PROMISE: &str = "P6 whole or not at all";
const PROMISED_IN: &str = "ARCHITECTURE.md, section 9, P6";
/// Operations that are asked for once more: all whose answers were lost first, and some more.
const AGAIN_MAX: usize = 60;

/// Asks for operations that were done once more, under their keys.
pub(super) async fn ask_again(
    history: &History,
    client: impl Fn(usize) -> Client,
) -> Vec<Violation> {
    let done = |op: &&Operation| op.is_done() && !op.ask.is_read() && can_be_repeated(&op.ask);
    let lost = history.operations.iter().filter(|op| op.lost > 0).filter(done);
    let others = history.operations.iter().rev().filter(|op| op.lost == 0).filter(done);
    let mut violations = Vec::new();
    for op in lost.chain(others).take(AGAIN_MAX) {
        let person = history.people.iter().position(|person| person.user == op.user);
        let Some(client) = person.map(&client) else { continue };
        let request = request::of(op.share, &op.ask, Some(op.number));
        let reply = Box::pin(client.send(&request)).await.reply;
        let told = reply.map(|reply| answer::read(&op.ask, &reply));
        if told.as_ref() != Some(&Ok(op.answer.clone())) {
            violations.push(violation(op, &format!("its key now tells {told:?}")));
        }
    }
    violations
}

/// What is answered as it was then, and not as it is.
const fn can_be_repeated(ask: &Ask) -> bool {
    !matches!(ask, Ask::Member { .. } | Ask::Entry { .. })
}

/// Looks for what nobody, or somebody twice, or somebody who was refused, brought about.
pub(super) fn check(history: &History, facts: &Facts) -> Vec<Violation> {
    let sites = history.sites.iter();
    sites
        .flat_map(|site| match site.kind {
            Kind::Loose => sent(history, facts, site),
            Kind::Open | Kind::Guarded | Kind::Tight => share(history, facts, site),
        })
        .collect()
}

fn share(history: &History, facts: &Facts, site: &Site) -> Vec<Violation> {
    let operations: Vec<&Operation> =
        history.operations.iter().filter(|op| op.share == site.share).collect();
    let told: BTreeSet<VersionId> =
        operations.iter().filter_map(|op| Some(op.item()?.version?.0)).collect();
    let made: BTreeSet<ItemId> = operations
        .iter()
        .filter(|op| matches!(op.ask, Ask::Folder { .. }))
        .filter_map(|op| Some(op.item()?.item))
        .collect();
    let mut doubtful: Vec<&Operation> =
        operations.iter().filter(|op| op.is_doubtful()).copied().collect();
    let mut violations = Vec::new();
    let here = |stored: &Stored| {
        let item = facts.items.get(&ItemId::File(stored.file));
        item.is_some_and(|fact| fact.share == site.share)
    };
    for (version, stored) in facts.versions.iter().filter(|(_, stored)| here(stored)) {
        if !told.contains(version) {
            let by = doubtful.iter().position(|op| may_have_brought(op, stored));
            let by = by.map(|at| doubtful.remove(at));
            violations.extend(unasked(by, &format!("{version} of {}", stored.file)));
        }
    }
    for (item, fact) in &facts.items {
        let is_folder = matches!(item, ItemId::Folder(_)) && fact.share == site.share;
        if is_folder && fact.state != Standing::Purging && !made.contains(item) {
            let by = doubtful.iter().position(|op| matches!(op.ask, Ask::Folder { .. }));
            let by = by.map(|at| doubtful.remove(at));
            violations.extend(unasked(by, &format!("the folder {item:?}, {:?}", fact.name)));
        }
    }
    violations
}

/// Where conflicts make versions and files of their own, and files come from other shares: all
/// there is was sent by somebody.
fn sent(history: &History, facts: &Facts, site: &Site) -> Vec<Violation> {
    let contents: Vec<&Content> =
        history.operations.iter().filter_map(|op| op.ask.content()).collect();
    let here = |stored: &Stored| {
        let item = facts.items.get(&ItemId::File(stored.file));
        item.is_some_and(|fact| fact.share == site.share)
    };
    let stored = facts.versions.iter().filter(|(_, stored)| here(stored));
    let strange = stored.filter(|(_, stored)| !contents.iter().any(|sent| stored.stuff.is(sent)));
    strange
        .filter_map(|(version, stored)| unasked(None, &format!("{version} of {}", stored.file)))
        .collect()
}

fn may_have_brought(op: &Operation, stored: &Stored) -> bool {
    match &op.ask {
        Ask::File { content, .. } => stored.number == 1 && stored.stuff.is(content),
        Ask::Replace { file, content, .. } => *file == stored.file && stored.stuff.is(content),
        Ask::Revive { file, .. } => *file == stored.file,
        _ => false,
    }
}

/// What is there by an operation that nobody was told of the success of.
fn unasked(by: Option<&Operation>, what: &str) -> Option<Violation> {
    match by {
        None => Some(Violation {
            promise: PROMISE,
            promised_in: PROMISED_IN,
            what: format!("{what} is there, and nobody's operation brought it, or one did twice"),
            touching: Vec::new(),
        }),
        Some(op) => match op.answer {
            Answer::Refused(_) => {
                Some(violation(op, &format!("{what} is there, and its key tells of a refusal")))
            }
            Answer::Unknown | Answer::Done(_) => None,
        },
    }
}

fn violation(op: &Operation, what: &str) -> Violation {
    Violation::by(op, PROMISE, PROMISED_IN, what)
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::check::example::Example;
    use crate::history::Answer;

    #[test]
    fn what_was_asked_for_or_lost_is_in_order() {
        let mut example = Example::default();
        example.file("a", 1);
        example.folder("b");
        example.file("c", 2);
        let lost = example.last();
        (lost.answer, lost.lost) = (Answer::Unknown, 1);
        assert_eq!(check(&example.history, &example.facts), []);
    }

    #[test]
    fn what_came_twice_or_against_a_refusal_is_found() {
        let mut example = Example::default();
        let file = example.file("a", 1);
        let twice = example.file("b", 1);
        example.history.operations.pop();
        let found = check(&example.history, &example.facts);
        assert!(found[0].what.contains("one did twice"), "{found:?}");

        example.facts.items.remove(&twice.item);
        example.facts.versions.remove(&twice.version);
        assert_eq!(check(&example.history, &example.facts), []);
        let op = example.last();
        assert_eq!(op.item().map(|seen| seen.item), Some(file.item));
        op.answer = Example::refusal(409, None);
        op.lost = 1;
        let found = check(&example.history, &example.facts);
        assert!(found[0].what.contains("tells of a refusal"), "{found:?}");
    }
}
