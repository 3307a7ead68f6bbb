//! P1: what was acknowledged can be read, byte for byte; or somebody asked for its end.

use std::collections::{BTreeMap, BTreeSet};

use node_base::{Sha256, VersionId};
use raft_meta::table::item::ItemId;

use super::Violation;
use super::facts::{Facts, Standing};
use crate::client::Client;
use crate::history::{Answer, Ask, History, Operation, Told};

const PROMISE: &str = "P1 kept";
const PROMISED_IN: &str = "ARCHITECTURE.md, section 9, P1";

/// What came when a version was read; a word where it did not.
pub(super) type Contents = BTreeMap<VersionId, Result<Sha256, String>>;

/// Failures to read that are enough.
const FAILURES_MAX: usize = 10;

/// Reads every version that was acknowledged and can be asked for, until too many cannot be read.
pub(super) async fn read_all(client: &Client, history: &History, facts: &Facts) -> Contents {
    let mut contents = Contents::new();
    for op in &history.operations {
        let Some((version, _)) = brought(op) else { continue };
        let Some(stored) = facts.versions.get(&version) else { continue };
        let is_live = facts.standing(ItemId::File(stored.file)) == Some(Standing::Live);
        if !is_live || contents.contains_key(&version) {
            continue;
        }
        if contents.values().filter(|read| read.is_err()).count() >= FAILURES_MAX {
            break;
        }
        let ask = Ask::Read { file: stored.file, number: Some(stored.number) };
        let read = match Box::pin(client.ask(op.share, ask)).await {
            Answer::Done(Told::Content { version: told, hash, .. }) if told == version => Ok(hash),
            answer => Err(format!("{answer:?}")),
        };
        contents.insert(version, read);
    }
    contents
}

/// The version that an operation was told it made.
fn brought(op: &Operation) -> Option<(VersionId, u32)> {
    let brings = matches!(
        op.ask,
        Ask::File { .. }
            | Ask::Replace { .. }
            | Ask::Revive { .. }
            | Ask::Send { .. }
            | Ask::Copy { .. }
    );
    op.item().filter(|_| brings)?.version
}

/// `may_be_lost`: more was destroyed than the promise bears, so that a failure to read is the
/// truth.
pub(super) fn check(
    history: &History,
    facts: &Facts,
    contents: &Contents,
    may_be_lost: bool,
) -> Vec<Violation> {
    let ends = Ends::of(history);
    let mut hashes: BTreeMap<VersionId, Sha256> = BTreeMap::new();
    let mut violations = Vec::new();
    for op in &history.operations {
        let Some(seen) = op.item() else { continue };
        if let (Some((version, _)), Some(content)) = (brought(op), op.ask.content()) {
            hashes.entry(version).or_insert_with(|| content.hash());
        }
        let was_made = matches!(op.ask, Ask::Folder { .. }) || brought(op).is_some();
        if was_made && !facts.items.contains_key(&seen.item) && !ends.explain(seen.item) {
            violations.push(violation(op, "what it made is gone, and nobody asked for that"));
            continue;
        }
        let Some((version, number)) = brought(op) else { continue };
        match (facts.versions.contains_key(&version), contents.get(&version)) {
            (false, _) => {
                let is_pruned = ends.versions.contains(&(seen.item, number));
                if !is_pruned && !ends.explain(seen.item) {
                    violations
                        .push(violation(op, "its version is gone, and nobody asked for that"));
                }
            }
            (true, Some(Err(why))) if !may_be_lost => {
                violations.push(violation(op, &format!("its version cannot be read: {why}")));
            }
            (true, Some(Ok(read))) if hashes.get(&version).is_some_and(|hash| hash != read) => {
                violations.push(violation(op, "its version has other bytes than were sent"));
            }
            (true, _) => {}
        }
    }
    violations.extend(history.operations.iter().filter_map(|op| misread(op, &hashes)));
    violations
}

/// A read while the run lasted, of bytes that were never sent.
fn misread(op: &Operation, hashes: &BTreeMap<VersionId, Sha256>) -> Option<Violation> {
    let Some(Told::Content { version, hash, .. }) = op.told() else { return None };
    let sent = hashes.get(version)?;
    (sent != hash).then(|| violation(op, "it was shown other bytes than were sent"))
}

fn violation(op: &Operation, what: &str) -> Violation {
    Violation::by(op, PROMISE, PROMISED_IN, what)
}

/// What was asked to end, with every folder that anything ever lay in.
struct Ends {
    purged: BTreeSet<ItemId>,
    versions: BTreeSet<(ItemId, u32)>,
    parents: BTreeMap<ItemId, BTreeSet<ItemId>>,
}

impl Ends {
    fn of(history: &History) -> Self {
        let (mut purged, mut versions) = (BTreeSet::new(), BTreeSet::new());
        let mut parents: BTreeMap<ItemId, BTreeSet<ItemId>> = BTreeMap::new();
        for op in &history.operations {
            let may_be = op.is_done() || op.is_doubtful();
            match &op.ask {
                Ask::Purge { item } if may_be => drop(purged.insert(*item)),
                Ask::Prune { file, number } if may_be => {
                    versions.insert((ItemId::File(*file), *number));
                }
                Ask::Relocate { item, to: Some(Some(folder)), .. } if may_be => {
                    parents.entry(*item).or_default().insert(ItemId::Folder(*folder));
                }
                _ => {}
            }
            for seen in op.shown() {
                let parent = seen.parent.map(ItemId::Folder);
                parents.entry(seen.item).or_default().extend(parent);
            }
        }
        Self { purged, versions, parents }
    }

    /// Whether something was purged, or a folder it may have lain in.
    fn explain(&self, item: ItemId) -> bool {
        let (mut open, mut known) = (vec![item], BTreeSet::from([item]));
        while let Some(item) = open.pop() {
            if self.purged.contains(&item) {
                return true;
            }
            let above = self.parents.get(&item).into_iter().flatten();
            open.extend(above.filter(|parent| known.insert(**parent)));
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::{Contents, check};
    use crate::check::example::{Example, content};
    use crate::history::{Ask, Told};

    #[test]
    fn what_is_there_and_what_was_asked_to_end_is_in_order() {
        let mut example = Example::default();
        let kept = example.file("a", 1);
        let purged = example.file("b", 2);
        example.trash(purged);
        example.purge(purged);
        let contents = Contents::from([(kept.version, Ok(content(1).hash()))]);
        assert_eq!(check(&example.history, &example.facts, &contents, false), []);
    }

    #[test]
    fn what_vanished_or_changed_or_was_misread_is_found() {
        let mut example = Example::default();
        let lost = example.file("a", 1);
        let torn = example.file("b", 2);
        let rotten = example.file("c", 3);
        let bare = example.file("d", 4);
        example.facts.items.remove(&lost.item);
        example.facts.versions.remove(&torn.version);
        let told = Told::Content { version: bare.version, size: 3, hash: content(9).hash() };
        example.done(Ask::Read { file: bare.file, number: None }, told);
        let contents = Contents::from([
            (rotten.version, Ok(content(9).hash())),
            (bare.version, Err("404".to_owned())),
        ]);
        let found = check(&example.history, &example.facts, &contents, false);
        let told: Vec<&str> =
            found.iter().map(|v| v.what.split(':').next().unwrap_or("")).collect();
        let fewer = check(&example.history, &example.facts, &contents, true);
        assert_eq!(fewer.len(), found.len() - 1, "what could not be kept need not be read");
        assert_eq!(
            told,
            [
                "what it made is gone, and nobody asked for that",
                "its version is gone, and nobody asked for that",
                "its version has other bytes than were sent",
                "its version cannot be read",
                "it was shown other bytes than were sent",
            ]
        );
    }
}
