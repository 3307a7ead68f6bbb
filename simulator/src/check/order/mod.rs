//! P8: the reads and writes of a share are linearizable.
//!
//! Each share is a [`model`] that does one thing after the other; what clients were answered must
//! be what it answers in some order that agrees with real time. [`simulator_order`] looks for that
//! order. Operations whose answers were lost may have happened at any later time or not at all:
//! what they made is found by its content or its name. Loose shares have no model: what passes
//! between shares and what strategies make of conflicts is left to the other promises.

mod model;

use std::collections::{BTreeMap, BTreeSet};

use api_types::v1::error::ErrorCode;
use node_base::{FileId, ShareId, VersionId};
use raft_meta::table::item::ItemId;
use simulator_order::{Verdict, search};

use super::facts::Facts;
use super::{Violation, touched};
use crate::history::{Answer, Ask, History, NEVER, Operation, Refused, Seen, Told, Way};
use crate::workload::ground::{Kind, Site};
use model::{Model, Name, No, Place, Step, Version};

type Event = simulator_order::Event<Step>;

const PROMISE: &str = "P8 in order";
const PROMISED_IN: &str = "ARCHITECTURE.md, section 9, P8";
/// Steps that are tried for one share.
const STEPS_MAX: u64 = 2_000_000;

/// Checks every share; what could not be decided is told beside.
pub(super) fn check(history: &History, facts: &Facts) -> (Vec<Violation>, Vec<String>) {
    let (mut violations, mut undecided) = (Vec::new(), Vec::new());
    for site in history.sites.iter().filter(|site| site.kind != Kind::Loose) {
        let events = match Events::of(history, facts, site) {
            Ok(events) => events,
            Err(why) => {
                undecided.push(format!("order in {}: {why}", site.share));
                continue;
            }
        };
        match search::<Model>(&events, STEPS_MAX) {
            Verdict::InOrder => {}
            Verdict::Undecided => undecided.push(format!("order in {}: too many", site.share)),
            Verdict::OutOfOrder { placed, stuck } => {
                violations.push(report(history, site.share, placed, &stuck));
            }
        }
    }
    (violations, undecided)
}

fn report(history: &History, share: ShareId, placed: usize, stuck: &[u32]) -> Violation {
    let operations: Vec<&Operation> =
        history.operations.iter().filter(|op| stuck.contains(&op.number)).collect();
    let lines: Vec<String> = operations.iter().map(|op| op.line()).collect();
    Violation {
        promise: PROMISE,
        promised_in: PROMISED_IN,
        what: format!(
            "no order explains what was answered in {share}: {placed} operations have one, and \
             then none of these fits:\n  {}",
            lines.join("\n  ")
        ),
        touching: operations.iter().flat_map(|op| touched(op)).collect(),
    }
}

/// Operations on their way to be events.
struct Events<'a> {
    share: ShareId,
    facts: &'a Facts,
    names: BTreeMap<&'a str, Name>,
    /// Items and versions that somebody was told they made.
    made: BTreeSet<ItemId>,
    versions: BTreeSet<VersionId>,
    /// Items and versions that were seen.
    seen: BTreeMap<ItemId, &'a Seen>,
    seen_versions: BTreeMap<VersionId, FileId>,
    found: Vec<Event>,
}

impl<'a> Events<'a> {
    fn of(history: &'a History, facts: &'a Facts, site: &Site) -> Result<Vec<Event>, String> {
        let counts = |op: &&Operation| {
            op.share == site.share && (site.kind != Kind::Guarded || op.user == site.owner)
        };
        let operations: Vec<&Operation> = history.operations.iter().filter(counts).collect();
        let mut events = Self {
            share: site.share,
            facts,
            names: BTreeMap::new(),
            made: BTreeSet::new(),
            versions: BTreeSet::new(),
            seen: BTreeMap::new(),
            seen_versions: BTreeMap::new(),
            found: Vec::new(),
        };
        for op in &operations {
            events.hear(op);
        }
        for op in &operations {
            events.answered(op);
        }
        for op in &operations {
            if op.is_doubtful() {
                events.doubtful(op);
            }
        }
        events.all_explained()?;
        events.found.sort_by_key(|event| event.began);
        Ok(events.found)
    }

    fn name(&mut self, name: &'a str) -> Name {
        let next = self.names.len() as Name;
        *self.names.entry(name).or_insert(next)
    }

    fn hear(&mut self, op: &'a Operation) {
        for seen in op.shown().iter().filter(|seen| seen.share == self.share) {
            self.seen.entry(seen.item).or_insert(seen);
            if let (ItemId::File(file), Some((version, _))) = (seen.item, seen.version) {
                self.seen_versions.insert(version, file);
            }
        }
        if let Some(seen) = op.item() {
            if matches!(op.ask, Ask::Folder { .. } | Ask::File { .. }) {
                self.made.insert(seen.item);
            }
            let brings =
                matches!(op.ask, Ask::File { .. } | Ask::Replace { .. } | Ask::Revive { .. });
            if let Some((version, _)) = seen.version.filter(|_| brings) {
                self.versions.insert(version);
            }
        }
    }

    fn place(&mut self, seen: &'a Seen) -> Place {
        Place { parent: seen.parent, name: self.name(&seen.name), version: seen.version }
    }

    fn add(&mut self, op: &Operation, step: Step) {
        let ended = if op.is_doubtful() { NEVER } else { op.ended };
        self.found.push(Event { number: op.number, began: op.began, ended, step });
    }

    /// Takes an operation with its answer, where that says something about the share's state.
    fn answered(&mut self, op: &'a Operation) {
        let step = match &op.answer {
            Answer::Done(told) => self.done(&op.ask, told),
            Answer::Refused(refused) if op.lost == 0 || op.ask.is_read() => {
                why(refused).and_then(|no| self.refused(&op.ask, no))
            }
            Answer::Refused(_) | Answer::Unknown => None,
        };
        if let Some(step) = step {
            self.found.push(Event { number: op.number, began: op.began, ended: op.ended, step });
        }
    }

    fn done(&mut self, ask: &'a Ask, told: &'a Told) -> Option<Step> {
        Some(match (ask, told) {
            (Ask::Folder { parent, name } | Ask::File { parent, name, .. }, Told::Item(seen)) => {
                let told = Ok((seen.item, seen.version));
                Step::Create { parent: *parent, name: self.name(name), told }
            }
            (Ask::Replace { file, base, .. }, Told::Item(seen)) => {
                Step::Replace { file: *file, base: *base, told: Ok(seen.version) }
            }
            (Ask::Revive { file, .. }, Told::Item(seen)) => {
                Step::Revive { file: *file, told: Ok(seen.version) }
            }
            (Ask::Relocate { item, to, name }, Told::Item(seen)) => {
                let name = name.as_deref().map(|name| self.name(name));
                let told = Ok(Some(self.place(seen)));
                Step::Relocate { item: *item, to: *to, name, told }
            }
            (Ask::Restore { item }, Told::Item(seen)) => {
                Step::Restore { item: *item, told: Ok(Some(self.place(seen))) }
            }
            (Ask::Trash { item }, Told::Nothing) => Step::Trash { item: *item, told: Ok(()) },
            (Ask::Purge { item }, Told::Nothing) => Step::Purge { item: *item, told: Ok(()) },
            (Ask::Stat { item }, Told::Item(seen)) => {
                Step::Stat { item: *item, told: Ok(self.place(seen)) }
            }
            (Ask::List { folder }, Told::List(list)) => {
                let mut items: Vec<(Name, ItemId, Version)> = list
                    .iter()
                    .map(|seen| (self.name(&seen.name), seen.item, seen.version))
                    .collect();
                items.sort();
                Step::List { folder: *folder, told: Ok(items) }
            }
            (Ask::Read { file, number: None }, Told::Content { version, .. }) => {
                Step::Current { file: *file, told: Ok(*version) }
            }
            _ => return None,
        })
    }

    fn refused(&mut self, ask: &'a Ask, no: No) -> Option<Step> {
        Some(match ask {
            // What is gone may be the session.
            Ask::File { way: Way::Session(_), .. } | Ask::Replace { .. } if no == No::Gone => {
                return None;
            }
            Ask::Folder { parent, name } | Ask::File { parent, name, .. } => {
                Step::Create { parent: *parent, name: self.name(name), told: Err(no) }
            }
            Ask::Replace { file, base, .. } => {
                Step::Replace { file: *file, base: *base, told: Err(no) }
            }
            // What is gone may be the version.
            Ask::Revive { .. } if no == No::Gone => return None,
            Ask::Revive { file, .. } => Step::Revive { file: *file, told: Err(no) },
            Ask::Relocate { item, to, name } => {
                let name = name.as_deref().map(|name| self.name(name));
                Step::Relocate { item: *item, to: *to, name, told: Err(no) }
            }
            Ask::Restore { item } => Step::Restore { item: *item, told: Err(no) },
            Ask::Trash { item } => Step::Trash { item: *item, told: Err(no) },
            Ask::Purge { item } => Step::Purge { item: *item, told: Err(no) },
            Ask::Stat { item } => Step::Stat { item: *item, told: Err(no) },
            Ask::List { folder } => Step::List { folder: *folder, told: Err(no) },
            Ask::Read { file, number: None } => Step::Current { file: *file, told: Err(no) },
            Ask::Read { .. }
            | Ask::Prune { .. }
            | Ask::Changes { .. }
            | Ask::Snapshot { .. }
            | Ask::Member { .. }
            | Ask::Entry { .. }
            | Ask::Send { .. }
            | Ask::Resolve { .. }
            | Ask::Pass { .. }
            | Ask::Copy { .. } => return None,
        })
    }

    /// Takes an operation that may have happened as one that may.
    fn doubtful(&mut self, op: &'a Operation) {
        let step = match &op.ask {
            Ask::Folder { parent, name } => self.unclaimed_folder(name).map(|item| {
                let told = Ok((item, None));
                Step::Create { parent: *parent, name: self.name(name), told }
            }),
            Ask::File { parent, name, content, .. } => self
                .facts
                .versions_like(content)
                .find_map(|(version, fact)| {
                    let is_new = fact.number == 1 && !self.versions.contains(&version);
                    is_new.then_some((version, fact.file))
                })
                .map(|(version, file)| {
                    self.claim(ItemId::File(file), Some(version));
                    let told = Ok((ItemId::File(file), Some((version, 1))));
                    Step::Create { parent: *parent, name: self.name(name), told }
                }),
            Ask::Replace { file, base, content, .. } => {
                let mut like = self.facts.versions_like(content);
                let mine = like
                    .find(|(version, fact)| fact.file == *file && !self.versions.contains(version));
                drop(like);
                mine.map(|(version, fact)| {
                    self.claim(ItemId::File(*file), Some(version));
                    let told = Ok(Some((version, fact.number)));
                    Step::Replace { file: *file, base: *base, told }
                })
            }
            Ask::Revive { file, .. } => {
                let unclaimed = self.facts.versions.iter().find(|(version, fact)| {
                    fact.file == *file && fact.number > 1 && !self.versions.contains(version)
                });
                unclaimed.map(|(version, fact)| (*version, fact.number)).map(|(version, number)| {
                    self.claim(ItemId::File(*file), Some(version));
                    Step::Revive { file: *file, told: Ok(Some((version, number))) }
                })
            }
            Ask::Relocate { item, to, name } => {
                let name = name.as_deref().map(|name| self.name(name));
                Some(Step::Relocate { item: *item, to: *to, name, told: Ok(None) })
            }
            Ask::Trash { item } => Some(Step::Trash { item: *item, told: Ok(()) }),
            Ask::Restore { item } => Some(Step::Restore { item: *item, told: Ok(None) }),
            Ask::Purge { item } => Some(Step::Purge { item: *item, told: Ok(()) }),
            _ => None,
        };
        if let Some(step) = step {
            self.add(op, step);
        }
    }

    fn claim(&mut self, item: ItemId, version: Option<VersionId>) {
        self.made.insert(item);
        self.versions.extend(version);
    }

    /// A folder that nobody was told they made, and that was first seen under this name.
    fn unclaimed_folder(&mut self, name: &str) -> Option<ItemId> {
        let seen = self.seen.values().filter(|seen| seen.name == name).map(|seen| seen.item);
        let there = self.facts.items.iter();
        let there = there.filter(|(_, fact)| fact.share == self.share && fact.name == name);
        let mut all = seen.chain(there.map(|(item, _)| *item));
        let is_free =
            |item: &ItemId| matches!(item, ItemId::Folder(_)) && !self.made.contains(item);
        let found = all.find(is_free);
        if let Some(item) = found {
            self.claim(item, None);
        }
        found
    }

    /// Without knowing where something came from, nothing can be said.
    fn all_explained(&self) -> Result<(), String> {
        let facts = self.facts.items.iter().filter(|(_, fact)| fact.share == self.share);
        let items = self.seen.keys().chain(facts.map(|(item, _)| item));
        if let Some(item) = items.into_iter().find(|item| !self.made.contains(item)) {
            return Err(format!("nobody is known to have made {item:?}"));
        }
        match self.seen_versions.iter().find(|(version, _)| !self.versions.contains(version)) {
            Some((version, file)) => {
                Err(format!("nobody is known to have brought {version} of {file}"))
            }
            None => Ok(()),
        }
    }
}

/// What a refusal says about the share's state, if anything.
const fn why(refused: &Refused) -> Option<No> {
    match refused.code {
        Some(ErrorCode::NameConflict) => Some(No::Taken),
        Some(ErrorCode::VersionConflict) => Some(No::Stale),
        Some(ErrorCode::Trashed) => Some(No::Trashed),
        Some(ErrorCode::NotFound) => Some(No::Gone),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
