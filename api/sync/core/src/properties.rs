//! Whatever two people do, both sides end alike, and nothing vanishes that nobody deleted.

use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, Strategy, any, prop_assert, prop_assert_eq, proptest};

use crate::Options;
use crate::model::{Here, Model, There, options, take_if_there};
use crate::tree::rename;

/// One thing that a person does on one side. Numbers pick among what is there.
#[derive(Debug, Clone, Copy)]
enum Act {
    Write { at: usize, name: usize },
    WriteSame { at: usize, name: usize },
    Fold { at: usize, name: usize },
    Edit { at: usize },
    Delete { at: usize },
    Move { at: usize, into: usize, name: usize },
    Touch { at: usize },
    Mark { at: usize },
}

const NAMES: [&str; 4] = ["a", "b", "c", "a (conflict)"];

fn act() -> impl Strategy<Value = Act> {
    (0..10_u8, any::<usize>(), any::<usize>(), any::<usize>()).prop_map(|(kind, at, into, name)| {
        match kind {
            0 | 1 => Act::Write { at, name },
            2 => Act::WriteSame { at, name },
            3 => Act::Fold { at, name },
            4 => Act::Edit { at },
            5 | 6 => Act::Delete { at },
            7 => Act::Touch { at },
            8 => Act::Mark { at },
            _ => Act::Move { at, into, name },
        }
    })
}

/// A name in one of the folders, or at the top.
fn place(folders: &[String], at: usize, name: usize) -> String {
    let name = NAMES[name % NAMES.len()];
    match at % (folders.len() + 1) {
        0 => name.to_owned(),
        n => format!("{}/{name}", folders[n - 1]),
    }
}

fn pick(all: &[String], at: usize) -> Option<String> {
    (!all.is_empty()).then(|| all[at % all.len()].clone())
}

impl Model {
    fn act_here(&mut self, act: Act) {
        let is_folder = |(_, here): &(&String, &Here)| matches!(here, Here::Folder { .. });
        let all: Vec<String> = self.here.keys().cloned().collect();
        let (folders, files): (Vec<_>, Vec<_>) = self.here.iter().partition(is_folder);
        let folders: Vec<String> = folders.into_iter().map(|(path, _)| path.clone()).collect();
        let files: Vec<String> = files.into_iter().map(|(path, _)| path.clone()).collect();
        let fresh = 1000 + self.next();
        match act {
            Act::Write { at, name } | Act::WriteSame { at, name } => {
                let path = place(&folders, at, name);
                let content = if matches!(act, Act::Write { .. }) { fresh } else { 7 };
                take_if_there(&mut self.here, &path);
                self.write_here(&path, content);
            }
            Act::Fold { at, name } => {
                let path = place(&folders, at, name);
                take_if_there(&mut self.here, &path);
                self.fold_here(&path);
            }
            Act::Edit { at } => {
                if let Some(path) = pick(&files, at) {
                    self.write_here(&path, fresh);
                }
            }
            Act::Delete { at } => {
                if let Some(path) = pick(&all, at) {
                    self.remove_here(&path);
                }
            }
            Act::Move { at, into, name } => {
                let to = place(&folders, into, name);
                if let Some(from) = pick(&all, at).filter(|from| movable(from, &to)) {
                    take_if_there(&mut self.here, &to);
                    rename(&mut self.here, &from, &to);
                }
            }
            Act::Touch { at } => {
                if let Some(path) = pick(&files, at) {
                    let Here::File { content, .. } = self.here[&path] else { return };
                    self.write_here(&path, content);
                }
            }
            Act::Mark { at } => {
                let path = pick(&files, at).unwrap_or_default();
                if let Some(Here::File { executable, .. }) = self.here.get_mut(&path) {
                    *executable = !*executable;
                }
            }
        }
    }

    fn act_there(&mut self, act: Act) {
        let is_folder = |(_, there): &(&String, &There)| matches!(there, There::Folder { .. });
        let all: Vec<String> = self.there.keys().cloned().collect();
        let (folders, files): (Vec<_>, Vec<_>) = self.there.iter().partition(is_folder);
        let folders: Vec<String> = folders.into_iter().map(|(path, _)| path.clone()).collect();
        let files: Vec<String> = files.into_iter().map(|(path, _)| path.clone()).collect();
        let fresh = 1000 + self.next();
        match act {
            Act::Write { at, name } | Act::WriteSame { at, name } => {
                let path = place(&folders, at, name);
                let content = if matches!(act, Act::Write { .. }) { fresh } else { 7 };
                take_if_there(&mut self.there, &path);
                self.write_there(&path, content);
            }
            Act::Fold { at, name } => {
                let path = place(&folders, at, name);
                take_if_there(&mut self.there, &path);
                self.fold_there(&path);
            }
            Act::Edit { at } | Act::Touch { at } => {
                if let Some(path) = pick(&files, at) {
                    self.write_there(&path, fresh);
                }
            }
            Act::Delete { at } => {
                if let Some(path) = pick(&all, at) {
                    self.remove_there(&path);
                }
            }
            Act::Move { at, into, name } => {
                let to = place(&folders, into, name);
                if let Some(from) = pick(&all, at).filter(|from| movable(from, &to)) {
                    take_if_there(&mut self.there, &to);
                    rename(&mut self.there, &from, &to);
                }
            }
            Act::Mark { at } => {
                let path = pick(&files, at).unwrap_or_default();
                if let Some(There::File { executable, .. }) = self.there.get_mut(&path) {
                    *executable = !*executable;
                }
            }
        }
    }
}

/// Neither into itself nor over what holds it.
fn movable(from: &str, to: &str) -> bool {
    let inside = |outer: &str, inner: &str| {
        inner == outer || inner.strip_prefix(outer).is_some_and(|rest| rest.starts_with('/'))
    };
    !inside(from, to) && !inside(to, from)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn both_sides_end_alike_and_nothing_vanishes_that_nobody_deleted(
        before in vec(act(), 0..14),
        here in vec(act(), 0..8),
        there in vec(act(), 0..8),
        trusted in any::<bool>(),
    ) {
        let mut model = Model::default();
        before.into_iter().for_each(|act| model.act_here(act));
        model.sync(&options());
        let (was, _) = model.contents();
        here.into_iter().for_each(|act| model.act_here(act));
        there.into_iter().for_each(|act| model.act_there(act));
        if !trusted {
            model.forget_all();
        }
        let (left, right) = model.contents();
        model.sync(&options());
        prop_assert_eq!(model.listing_here(), model.listing_there());
        let (after, _) = model.contents();
        for content in left.intersection(&right) {
            // 7 is the one content that several files have; one of each side may be deleted.
            prop_assert!(after.contains(content) || *content == 7, "{} vanished", content);
        }
        for content in left.union(&right) {
            let new = !was.contains(content) || !trusted;
            prop_assert!(after.contains(content) || !new, "new content {} vanished", content);
        }
    }

    #[test]
    fn without_acceptance_neither_side_is_ever_emptied(
        before in vec(act(), 0..14),
        there in vec(act(), 0..3),
        gone_here in any::<bool>(),
    ) {
        let mut model = Model::default();
        before.into_iter().for_each(|act| model.act_here(act));
        model.sync(&options());
        let (was, _) = model.contents();
        if gone_here {
            model.here.clear();
            there.into_iter().for_each(|act| model.act_there(act));
        } else {
            model.there.clear();
        }
        let (left, right) = model.contents();
        model.sync(&Options { accept_deletions: false, ..options() });
        let (here, there) = model.contents();
        if !was.is_empty() {
            let (after, before) = if gone_here { (there, right) } else { (here, left) };
            prop_assert_eq!(after, before);
        }
    }
}
