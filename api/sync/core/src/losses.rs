//! Losses that look like an accident.
//!
//! A disk that is not mounted, another disk in its place, an old backup, a share that was emptied
//! by mistake: each looks like many deletions. Such deletions wait until somebody says that they
//! are meant. What comes besides, such as a file that a file manager leaves in every folder it
//! shows, makes no side look alive: only what was in step counts.

use std::collections::BTreeMap;

use crate::tree::{Base, Local, Remote, Trees, ancestors};

/// So many may always be lost.
const FEW: u64 = 20;

#[derive(Debug, Clone, Copy, Default)]
struct Count {
    kept: u64,
    lost: u64,
}

impl Count {
    fn take(&mut self, is_kept: bool) {
        if is_kept {
            self.kept += 1;
        } else {
            self.lost += 1;
        }
    }
}

/// Whether one side has no file at all any more; or lost, of the files that were in step, more than
/// a few, and more than half; or more than a few, and all in a folder that is still there.
pub(crate) fn alarm(trees: &Trees) -> bool {
    let here = |path: &str| trees.local.get(path).map(|local| matches!(local, Local::Folder(_)));
    let there =
        |path: &str| trees.remote.get(path).map(|remote| matches!(remote, Remote::Folder(_)));
    let none_here = !trees.local.values().any(|local| matches!(local, Local::File(_)));
    let none_there = !trees.remote.values().any(|remote| matches!(remote, Remote::File(_)));
    is_alarming(trees, none_here, &here, &there) || is_alarming(trees, none_there, &there, &here)
}

/// Whether something is there, and is a folder.
type Look<'a> = dyn Fn(&str) -> Option<bool> + 'a;

/// What one side lost and the other still has.
fn is_alarming(trees: &Trees, is_empty: bool, side: &Look<'_>, other: &Look<'_>) -> bool {
    let files = || {
        let file = |(path, base): (&'_ String, &Base)| match base {
            Base::File(_) => Some((path.clone(), side(path) == Some(false))),
            Base::Folder { .. } => None,
        };
        let is_kept_or_lost =
            |(path, is_kept): &(String, bool)| *is_kept || other(path) == Some(false);
        trees.base.iter().filter_map(file).filter(is_kept_or_lost)
    };
    let mut all = Count::default();
    files().for_each(|(_, is_kept)| all.take(is_kept));
    if all.lost <= FEW {
        return all.lost > 0 && is_empty;
    }
    if all.lost > all.kept {
        return true;
    }
    let mut folders: BTreeMap<String, Count> = BTreeMap::new();
    for (path, is_kept) in files() {
        for folder in ancestors(&path).filter(|folder| side(folder) == Some(true)) {
            match folders.get_mut(folder) {
                Some(count) => count.take(is_kept),
                None => {
                    let mut count = Count::default();
                    count.take(is_kept);
                    folders.insert(folder.to_owned(), count);
                }
            }
        }
    }
    folders.values().any(|count| count.kept == 0 && count.lost > FEW)
}

#[cfg(test)]
mod tests {
    use crate::Options;
    use crate::model::{Model, options};

    /// Sixty files: 25 in `d/e`, the rest in `f`.
    fn in_step() -> Model {
        let mut model = Model::default();
        for folder in ["d", "d/e", "f"] {
            model.fold_here(folder);
        }
        for at in 0..60 {
            let folder = if at < 25 { "d/e" } else { "f" };
            model.write_here(&format!("{folder}/{at}"), at);
        }
        model.sync(&options());
        model
    }

    /// Loses on each side in turn; whether deletions wait.
    fn check(lose: impl Fn(&mut dyn FnMut(&str)), expected: bool) {
        for is_here in [true, false] {
            let mut model = in_step();
            // What comes in the place of what went says nothing.
            let mut gone = |path: &str| {
                if is_here { model.remove_here(path) } else { model.remove_there(path) }
            };
            lose(&mut gone);
            if is_here {
                model.write_here(".DS_Store", 1000);
            } else {
                model.write_there(".DS_Store", 1000);
            }
            let plan = model.plan(&Options { accept_deletions: false, ..options() });
            assert_eq!(!plan.held.is_empty(), expected, "here: {is_here}: {:?}", plan.held);
            assert_eq!(plan.steps.is_empty(), expected);
        }
    }

    fn files(range: std::ops::Range<u32>) -> impl Fn(&mut dyn FnMut(&str)) {
        move |gone| {
            for at in range.clone() {
                let folder = if at < 25 { "d/e" } else { "f" };
                gone(&format!("{folder}/{at}"));
            }
        }
    }

    #[test]
    fn many_deletions_wait_when_they_look_like_an_accident() {
        // All; all but a few; more than half.
        check(files(0..60), true);
        check(files(0..59), true);
        check(files(29..60), true);
        // All of a folder that is still there: a disk inside of ours that is not mounted.
        check(files(0..25), true);
        check(|gone| gone("d/e"), true);
    }

    #[test]
    fn deletions_that_people_make_do_not_wait() {
        check(files(0..24), false);
        check(files(30..60), false);
        check(|gone| gone("d"), false);
    }

    #[test]
    fn what_was_moved_was_not_lost() {
        let mut model = in_step();
        model.move_here("d", "n");
        model.move_here("f", "m");
        let plan = model.plan(&Options { accept_deletions: false, ..options() });
        assert_eq!((plan.held.len(), plan.steps.len()), (0, 2));
    }

    #[test]
    fn in_a_folder_that_is_another_one_than_before_every_deletion_waits() {
        let mut model = in_step();
        model.remove_here("d/e/1");
        let careful = Options { accept_deletions: false, other_folder: true, ..options() };
        assert_eq!(model.plan(&careful).held.len(), 1);
        let mut model = in_step();
        model.remove_there("d/e/1");
        assert_eq!(model.plan(&careful).held.len(), 0);
    }
}
