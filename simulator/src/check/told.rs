//! P2: who follows the change feed, from wherever they were, has what there is.

use std::collections::BTreeSet;

use raft_meta::table::item::ItemId;

use super::Violation;
use super::facts::Facts;
use crate::client::Client;
use crate::history::History;
use crate::workload::ground::Kind;
use crate::workload::replica::{Replica, Tree, snapshot};

const PROMISE: &str = "P2 told";
const PROMISED_IN: &str = "ARCHITECTURE.md, section 9, P2";
/// Differences that are told of.
const SHOWN: usize = 8;

/// Lets every replica catch up, from where it is, from where it was, and from nothing, and compares
/// it with what there is. `client` makes a client of a person.
pub(super) async fn check(
    history: &History,
    facts: &Facts,
    client: impl Fn(usize) -> Client,
) -> Vec<Violation> {
    let mut violations = Vec::new();
    for replica in &history.replicas {
        let person = history.people.iter().position(|person| person.user == replica.user);
        let Some(client) = person.map(&client) else { continue };
        let is_guarded = history
            .sites
            .iter()
            .any(|site| site.share == replica.share && site.kind == Kind::Guarded);
        let truth = if is_guarded {
            Box::pin(snapshot(&client, replica.share, None)).await.unwrap_or_default()
        } else {
            facts.tree(replica.share)
        };
        violations.extend(problems(replica));
        let earlier = replica.earlier.iter().cloned();
        let stands = earlier.chain([replica.now.clone(), Default::default()]);
        for stand in stands {
            let from = stand.last;
            let mut follower = Replica { now: stand, ..Replica::new(replica.user, replica.share) };
            if Box::pin(follower.catch_up(&client, 1_000)).await.is_err() {
                follower.problems.push("the feed does not answer".to_owned());
            }
            violations.extend(problems(&follower));
            violations.extend(compare(&follower, &truth, from));
        }
    }
    violations
}

fn problems(replica: &Replica) -> impl Iterator<Item = Violation> {
    replica.problems.iter().map(|problem| violation(replica, problem.clone(), Vec::new()))
}

fn compare(replica: &Replica, truth: &Tree, from: u64) -> Option<Violation> {
    let known = &replica.now.tree;
    let all: BTreeSet<&ItemId> = known.keys().chain(truth.keys()).collect();
    let differing = all.into_iter().filter(|item| known.get(item) != truth.get(item));
    let items: Vec<ItemId> = differing.copied().take(SHOWN).collect();
    if items.is_empty() {
        return None;
    }
    let line = |item: &ItemId| {
        format!("\n  {item:?}: told {:?}, is {:?}", known.get(item), truth.get(item))
    };
    let lines: String = items.iter().map(line).collect();
    let what = format!("followed from change {from}, the share is not what it is:{lines}");
    Some(violation(replica, what, items.iter().map(super::text).collect()))
}

fn violation(replica: &Replica, what: String, touching: Vec<String>) -> Violation {
    let what = format!("{} in {}: {what}", replica.user, replica.share);
    Violation { promise: PROMISE, promised_in: PROMISED_IN, what, touching }
}

#[cfg(test)]
mod tests {
    use super::{compare, problems};
    use crate::check::example::Example;
    use crate::workload::replica::{Known, Replica};

    #[test]
    fn a_gap_a_ghost_and_a_repetition_are_found() {
        let mut example = Example::default();
        let made = [example.file("a", 1), example.file("b", 2)];
        let truth = example.facts.tree(example.share);
        let mut replica = Replica::new(example.user, example.share);
        replica.now.tree = truth.clone();
        assert_eq!(compare(&replica, &truth, 0), None);
        assert_eq!(problems(&replica).count(), 0);

        replica.now.tree.remove(&made[0].item);
        let gap = compare(&replica, &truth, 0).expect("a gap");
        assert_eq!(gap.touching, [super::super::text(&made[0].item)]);

        let mut fewer = truth.clone();
        let ghost = fewer.remove(&made[1].item).expect("it is there");
        replica.now.tree = truth;
        assert!(compare(&replica, &fewer, 0).expect("a ghost").what.contains("is None"));

        fewer.insert(made[1].item, Known { name: "c".to_owned(), ..ghost });
        assert!(compare(&replica, &fewer, 0).is_some(), "another name");

        replica.problems.push("change 3 was told after change 3".to_owned());
        assert_eq!(problems(&replica).count(), 1);
    }
}
