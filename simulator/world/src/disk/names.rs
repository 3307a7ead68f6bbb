//! The names on a pretend drive: what programs see, what a power loss would keep, and the changes
//! between the two.
//!
//! A change of names is durable once the folder that got it was synced. At a crash, each folder
//! keeps the first few of its changes that were not, as a journal would; a rename happens whole or
//! not at all. A name whose folder is lost is lost with it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::content::Content;

/// What a name stands for.
#[derive(Clone)]
pub(super) enum Node {
    Folder,
    File(Arc<Mutex<Content>>),
}

enum Change {
    Link { path: PathBuf, node: Node },
    Unlink { path: PathBuf },
    Rename { from: PathBuf, to: PathBuf, node: Node },
}

impl Change {
    /// The folder whose sync makes it durable.
    fn folder(&self) -> &Path {
        let (Self::Link { path, .. } | Self::Unlink { path } | Self::Rename { to: path, .. }) =
            self;
        path.parent().unwrap_or(Path::new(""))
    }

    fn apply(self, tree: &mut BTreeMap<PathBuf, Node>) {
        match self {
            Self::Link { path, node } => drop(tree.insert(path, node)),
            Self::Unlink { path } => drop(tree.remove(&path)),
            Self::Rename { from, to, node } => {
                tree.remove(&from);
                tree.insert(to, node);
            }
        }
    }
}

/// All names of one node's drives. The root is the empty path, and always there.
#[derive(Default)]
pub(super) struct Names {
    seen: BTreeMap<PathBuf, Node>,
    kept: BTreeMap<PathBuf, Node>,
    changes: Vec<Change>,
}

impl Names {
    pub(super) fn get(&self, path: &Path) -> Option<Node> {
        if path.as_os_str().is_empty() {
            return Some(Node::Folder);
        }
        self.seen.get(path).cloned()
    }

    /// Everything below a folder, in order.
    pub(super) fn below<'a>(
        &'a self,
        folder: &'a Path,
    ) -> impl Iterator<Item = (&'a Path, &'a Node)> {
        self.seen
            .range(folder.to_path_buf()..)
            .take_while(move |(path, _)| path.starts_with(folder))
            .filter(move |(path, _)| *path != folder)
            .map(|(path, node)| (path.as_path(), node))
    }

    pub(super) fn link(&mut self, path: PathBuf, node: Node) {
        self.seen.insert(path.clone(), node.clone());
        self.changes.push(Change::Link { path, node });
    }

    pub(super) fn unlink(&mut self, path: PathBuf) {
        self.seen.remove(&path);
        self.changes.push(Change::Unlink { path });
    }

    pub(super) fn rename(&mut self, from: PathBuf, to: PathBuf, node: Node) {
        self.seen.remove(&from);
        self.seen.insert(to.clone(), node.clone());
        self.changes.push(Change::Rename { from, to, node });
    }

    pub(super) fn sync(&mut self, folder: &Path) {
        let mut waiting: Vec<Change> = Vec::new();
        for change in self.changes.drain(..) {
            if change.folder() != folder {
                waiting.push(change);
                continue;
            }
            if let Change::Rename { from, .. } = &change {
                // The journal holds the old name's making before its going: it cannot come later.
                waiting.retain(|made| !matches!(made, Change::Link { path, .. } if path == from));
            }
            change.apply(&mut self.kept);
        }
        self.changes = waiting;
    }

    /// Takes a name, and all below it, away for good.
    pub(super) fn lose(&mut self, path: &Path) {
        self.seen.retain(|name, _| !name.starts_with(path));
        self.kept.retain(|name, _| !name.starts_with(path));
        self.changes.retain(|change| match change {
            Change::Link { path: name, .. } | Change::Unlink { path: name } => {
                !name.starts_with(path)
            }
            Change::Rename { from, to, .. } => !from.starts_with(path) && !to.starts_with(path),
        });
    }

    /// The power goes: names and bytes that were not synced may be lost.
    pub(super) fn crash(&mut self, chance: &mut ChaCha8Rng) {
        let changes = std::mem::take(&mut self.changes);
        let mut left: BTreeMap<PathBuf, usize> = BTreeMap::new();
        for change in &changes {
            *left.entry(change.folder().to_path_buf()).or_default() += 1;
        }
        left.values_mut().for_each(|count| *count = chance.random_range(0..=*count));
        for change in changes {
            let left = left.entry(change.folder().to_path_buf()).or_default();
            if *left > 0 {
                *left -= 1;
                change.apply(&mut self.kept);
            }
        }
        self.drop_orphans();
        for node in self.kept.values() {
            if let Node::File(content) = node {
                content.lock().unwrap_or_else(PoisonError::into_inner).crash(chance);
            }
        }
        self.seen = self.kept.clone();
    }

    /// Names sort after their folder's, so one pass sees every folder before what is in it.
    fn drop_orphans(&mut self) {
        let mut whole: BTreeMap<PathBuf, Node> = BTreeMap::new();
        for (path, node) in std::mem::take(&mut self.kept) {
            let folder = path.parent().unwrap_or(Path::new(""));
            let there =
                folder.as_os_str().is_empty() || matches!(whole.get(folder), Some(Node::Folder));
            if there {
                whole.insert(path, node);
            }
        }
        self.kept = whole;
    }
}
