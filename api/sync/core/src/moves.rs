//! What was moved, on either side, and has not to be sent again.
//!
//! On the server a thing is known by its id. Here it is known by its inode, size and time together,
//! and a folder by its inode and one file in it. A move that is found is planned at once, and the
//! trees are changed as if it were done, so that what was moved *and* edited is judged in its new
//! place. What does not fit is no move: it is planned as a deletion and a new thing, and content
//! that is already on the other side still does not travel.

use std::collections::BTreeMap;

use crate::step::Step;
use crate::tree::{Base, Local, Remote, Trees, ancestors, below, parent, rename};

pub(crate) fn find(trees: &mut Trees) -> Vec<Step> {
    let mut steps = Vec::new();
    let places = Places::of(trees);
    moved_remotely(trees, places, &mut steps);
    let places = Places::of(trees);
    moved_locally(trees, places, &mut steps);
    steps
}

/// Where in the base each id is.
struct Places(BTreeMap<String, String>);

impl Places {
    fn of(trees: &Trees) -> Self {
        Self(trees.base.iter().map(|(path, base)| (base.id().to_owned(), path.clone())).collect())
    }

    /// Takes note that base entries were renamed.
    fn follow(&mut self, trees: &Trees, renamed: &[String]) {
        for path in renamed {
            if let Some(base) = trees.base.get(path) {
                self.0.insert(base.id().to_owned(), path.clone());
            }
        }
    }
}

fn moved_remotely(trees: &mut Trees, mut places: Places, steps: &mut Vec<Step>) {
    let paths: Vec<String> = trees.remote.keys().cloned().collect();
    for to in paths {
        let Some(from) = places.0.get(trees.remote[&to].id()).cloned() else { continue };
        if from == to || !fits_remotely(trees, &from, &to) || !local_parents(trees, &to, steps) {
            continue;
        }
        rename(&mut trees.local, &from, &to);
        let renamed = rename(&mut trees.base, &from, &to);
        places.follow(trees, &renamed);
        steps.push(Step::MoveLocal { from, to });
    }
}

fn fits_remotely(trees: &Trees, from: &str, to: &str) -> bool {
    let inside = to.strip_prefix(from).is_some_and(|rest| rest.starts_with('/'));
    let same_kind = matches!(
        (trees.base.get(from), trees.local.get(from), trees.remote.get(to)),
        (Some(Base::File(_)), Some(Local::File(_)), Some(Remote::File(_)))
            | (Some(Base::Folder { .. }), Some(Local::Folder(_)), Some(Remote::Folder(_)))
    );
    // Another thing may have taken the old place on the server; it is then no longer this one's.
    let left = trees.remote.get(from).is_none_or(|now| now.id() != trees.remote[to].id());
    same_kind && !inside && left && !taken(&trees.local, to) && !taken(&trees.base, to)
}

fn taken<T>(tree: &BTreeMap<String, T>, path: &str) -> bool {
    below(tree, path).next().is_some()
}

/// Plans the folders above `to` that are missing here. Whether there can be such folders.
fn local_parents(trees: &mut Trees, to: &str, steps: &mut Vec<Step>) -> bool {
    let fits = ancestors(to).all(|folder| {
        matches!(trees.remote.get(folder), Some(Remote::Folder(_)))
            && !matches!(trees.local.get(folder), Some(Local::File(_)))
            && (trees.local.contains_key(folder) || !taken(&trees.base, folder))
    });
    if fits {
        for folder in ancestors(to) {
            if trees.local.contains_key(folder) {
                continue;
            }
            let id = trees.remote[folder].id().to_owned();
            trees.local.insert(folder.to_owned(), Local::Folder(0));
            let base = Base::Folder { id: id.clone(), inode: 0 };
            trees.base.insert(folder.to_owned(), base);
            steps.push(Step::MakeLocalFolder { path: folder.to_owned(), id });
        }
    }
    fits
}

fn moved_locally(trees: &mut Trees, mut places: Places, steps: &mut Vec<Step>) {
    let mut inodes: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    for base in trees.base.values() {
        let inode = base.inode();
        if inode != 0 {
            inodes.entry(inode).or_default().push(base.id().to_owned());
        }
    }
    let new: Vec<String> = trees
        .local
        .keys()
        .filter(|path| !trees.base.contains_key(*path) && !trees.remote.contains_key(*path))
        .cloned()
        .collect();
    for to in new {
        let inode = trees.local[&to].inode();
        let ids = inodes.get(&inode).map(Vec::as_slice).unwrap_or_default();
        let from = ids
            .iter()
            .filter_map(|id| places.0.get(id))
            .find(|from| fits_locally(trees, from, &to));
        let Some(from) = from.cloned() else { continue };
        if !remote_parents(trees, &to, steps) {
            continue;
        }
        let (id, is_folder) = match &trees.remote[&from] {
            Remote::Folder(id) => (id.clone(), true),
            Remote::File(file) => (file.id.clone(), false),
        };
        rename(&mut trees.remote, &from, &to);
        trees.rename_left_there(&from, &to);
        let renamed = rename(&mut trees.base, &from, &to);
        places.follow(trees, &renamed);
        steps.push(Step::MoveRemote { from, to, id, is_folder });
    }
}

fn fits_locally(trees: &Trees, from: &str, to: &str) -> bool {
    let inside = to.strip_prefix(from).is_some_and(|rest| rest.starts_with('/'));
    if inside
        || trees.local.contains_key(from)
        || taken(&trees.base, to)
        || taken(&trees.remote, to)
    {
        return false;
    }
    let (Some(base), Some(remote)) = (trees.base.get(from), trees.remote.get(from)) else {
        return false;
    };
    let same_thing = base.id() == remote.id();
    match (base, &trees.local[to], remote) {
        (Base::File(base), Local::File(local), Remote::File(_)) => {
            same_thing && local.stamp == base.stamp
        }
        (Base::Folder { .. }, Local::Folder(_), Remote::Folder(_)) => {
            same_thing && knows_a_file(trees, from, to)
        }
        _ => false,
    }
}

/// An inode alone may have been given to another folder; a file that came along is proof.
fn knows_a_file(trees: &Trees, from: &str, to: &str) -> bool {
    below(&trees.base, from).any(|(path, base)| {
        let Base::File(base) = base else { return false };
        let there = format!("{to}{}", &path[from.len()..]);
        matches!(trees.local.get(&there), Some(Local::File(local)) if local.stamp == base.stamp)
    })
}

/// Plans the folders above `to` that are missing on the server. Whether there can be such folders.
fn remote_parents(trees: &mut Trees, to: &str, steps: &mut Vec<Step>) -> bool {
    let fits = ancestors(to).all(|folder| {
        matches!(trees.local.get(folder), Some(Local::Folder(_)))
            && !matches!(trees.remote.get(folder), Some(Remote::File(_)))
            && (trees.remote.contains_key(folder) || !taken(&trees.base, folder))
    });
    if fits {
        for folder in ancestors(to) {
            if trees.remote.contains_key(folder) {
                continue;
            }
            // The server gives the id when the step is done; nothing here compares it.
            trees.remote.insert(folder.to_owned(), Remote::Folder(String::new()));
            let inode = match trees.local.get(folder) {
                Some(Local::Folder(inode)) => *inode,
                Some(Local::File(_)) | None => 0,
            };
            trees.base.insert(folder.to_owned(), Base::Folder { id: String::new(), inode });
            steps.push(Step::MakeRemoteFolder { path: folder.to_owned() });
        }
    }
    debug_assert!(parent(to).is_none_or(|folder| !fits || trees.remote.contains_key(folder)));
    fits
}
