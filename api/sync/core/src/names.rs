//! Names that one side has and the other cannot hold.

use std::collections::BTreeMap;

use node_base::{Name, NameError, NamePolicy};

use crate::plan::Skipped;
use crate::tree::{Base, Trees, below, parent};

/// Why something stays where it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum NotHere {
    #[error("the share cannot hold the name: {0}")]
    Name(String),
    #[error("its name differs only in case or form from '{0}'")]
    Clash(String),
}

/// What the server would refuse is left out of the local tree, with all below it; what this machine
/// cannot hold is left out of the remote one. The base loses it too, so that its absence is never
/// taken for a deletion.
pub(crate) fn leave_out(trees: &mut Trees, policy: NamePolicy, folds_case: bool) -> Vec<Skipped> {
    let mut skipped = Vec::new();
    leave_out_local(trees, policy, &mut skipped);
    if folds_case {
        leave_out_remote(trees, &mut skipped);
    }
    keep_renamed(trees);
    skipped
}

fn leave_out_local(trees: &mut Trees, policy: NamePolicy, skipped: &mut Vec<Skipped>) {
    let new: Vec<String> = trees
        .local
        .keys()
        .filter(|path| !trees.remote.contains_key(*path) && !trees.base.contains_key(*path))
        .cloned()
        .collect();
    if new.is_empty() {
        return;
    }
    let mut taken = BTreeMap::new();
    for path in trees.remote.keys().chain(trees.base.keys()) {
        taken.entry(key(path, policy)).or_insert_with(|| path.clone());
    }
    for path in new {
        // A folder that was left out took what is below it along.
        if !trees.local.contains_key(&path) {
            continue;
        }
        let reason = match Name::new(last(&path), policy) {
            Err(error) => Some(NotHere::Name(told(&error))),
            Ok(_) => {
                let first = taken.entry(key(&path, policy)).or_insert_with(|| path.clone());
                let gone = !trees.local.contains_key(first) && !trees.remote.contains_key(first);
                // A file that only changed the case of its name here is a move: see `moves`.
                let renamed = !trees.local.contains_key(first) && trees.base.contains_key(first);
                (*first != path && !gone && !renamed).then(|| NotHere::Clash(first.clone()))
            }
        };
        if let Some(reason) = reason {
            let left = below(&trees.local, &path).map(|(_, local)| local.inode());
            trees.left_here.extend(left);
            drop_below(&mut trees.local, &path);
            skipped.push(Skipped { path, reason });
        }
    }
}

fn leave_out_remote(trees: &mut Trees, skipped: &mut Vec<Skipped>) {
    let mut taken: BTreeMap<String, String> = BTreeMap::new();
    let paths: Vec<String> = trees.remote.keys().cloned().collect();
    for path in paths {
        if !trees.remote.contains_key(&path) {
            continue;
        }
        let key = key(&path, NamePolicy::Portable);
        match taken.get(&key) {
            Some(first) => {
                let reason = NotHere::Clash(first.clone());
                trees.left_there.insert(path.clone());
                drop_below(&mut trees.remote, &path);
                drop_below(&mut trees.base, &path);
                skipped.push(Skipped { path, reason });
            }
            None => drop(taken.insert(key, path)),
        }
    }
}

/// What has a name here that the share cannot hold may be something that was in step and was
/// renamed. Then it is not deleted there: the server's copy stays where it is.
fn keep_renamed(trees: &mut Trees) {
    let is_renamed = |(path, base): &(&String, &Base)| {
        let inode = base.inode();
        inode != 0 && trees.left_here.contains(&inode) && !trees.local.contains_key(*path)
    };
    let renamed: Vec<String> =
        trees.base.iter().filter(is_renamed).map(|(path, _)| path.clone()).collect();
    for path in renamed {
        drop_below(&mut trees.base, &path);
        drop_below(&mut trees.remote, &path);
        trees.left_there.insert(path);
    }
}

fn drop_below<T>(tree: &mut BTreeMap<String, T>, path: &str) {
    let paths: Vec<String> = below(tree, path).map(|(path, _)| path.clone()).collect();
    for path in paths {
        tree.remove(&path);
    }
}

fn last(path: &str) -> &str {
    parent(path).map_or(path, |folder| &path[folder.len() + 1..])
}

fn told(error: &NameError) -> String {
    error.to_string()
}

/// What two paths may not have in common.
fn key(path: &str, policy: NamePolicy) -> String {
    if policy == NamePolicy::Any {
        return path.to_owned();
    }
    let component = |part| match Name::new(part, NamePolicy::Any) {
        Ok(name) => String::from_utf8_lossy(name.key(policy).as_bytes()).into_owned(),
        Err(_) => String::new(),
    };
    path.split('/').map(component).collect::<Vec<_>>().join("/")
}
