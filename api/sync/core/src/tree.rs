//! The three trees.
//!
//! Each is a map from paths to what is there. A path is relative to what is kept in step, without a
//! slash in front; every folder of a path is an entry of its own, so that a map in order has
//! parents before what is in them.

use std::collections::{BTreeMap, BTreeSet};

use node_base::{Sha256, Timestamp};
use serde::{Deserialize, Serialize};

/// What tells cheaply that a file was not touched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Stamp {
    pub size: u64,
    /// Nanoseconds since 1970.
    pub modified: i64,
    /// 0 where the machine has no such number.
    pub inode: u64,
}

/// A file on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalFile {
    pub stamp: Stamp,
    pub executable: bool,
    /// Whether its content is what was last in step; asked for by [`crate::questions`].
    pub same_as_base: Option<bool>,
    /// Whether its content is what the server has; asked for by [`crate::questions`].
    pub same_as_remote: Option<bool>,
}

/// Something on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Local {
    /// With its inode, or 0.
    Folder(u64),
    File(LocalFile),
}

impl Local {
    /// Its inode, or 0.
    pub(crate) fn inode(&self) -> u64 {
        match self {
            Self::Folder(inode) => *inode,
            Self::File(file) => file.stamp.inode,
        }
    }
}

/// A file on the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoteFile {
    pub id: String,
    pub version_id: String,
    pub size: u64,
    pub checksum: Option<Sha256>,
    /// Absent where a change told of the file without it.
    pub modified: Option<Timestamp>,
    /// The same.
    pub executable: Option<bool>,
}

/// Something on the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Remote {
    /// With its id.
    Folder(String),
    File(RemoteFile),
}

impl Remote {
    pub fn id(&self) -> &str {
        match self {
            Self::Folder(id) => id,
            Self::File(file) => &file.id,
        }
    }
}

/// A file as it was when both sides had the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaseFile {
    pub id: String,
    pub version_id: String,
    pub stamp: Stamp,
    pub executable: bool,
}

/// Something that both sides had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Base {
    Folder {
        id: String,
        /// Here, or 0.
        inode: u64,
    },
    File(BaseFile),
}

impl Base {
    /// Of what was here, or 0.
    pub(crate) fn inode(&self) -> u64 {
        match self {
            Self::Folder { inode, .. } => *inode,
            Self::File(file) => file.stamp.inode,
        }
    }

    pub fn id(&self) -> &str {
        match self {
            Self::Folder { id, .. } => id,
            Self::File(file) => &file.id,
        }
    }
}

/// All three.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trees {
    pub local: BTreeMap<String, Local>,
    pub remote: BTreeMap<String, Remote>,
    pub base: BTreeMap<String, Base>,
    /// What the server has and is left out of `remote`, because it is not selected here or cannot
    /// be here. No folder above it is deleted there as a whole.
    pub left_there: BTreeSet<String>,
    /// Inodes of what is here and is left out of `local`, because its name cannot be told.
    pub left_here: BTreeSet<u64>,
}

impl Trees {
    /// What is left out moves along with the folder that it is in.
    pub(crate) fn rename_left_there(&mut self, from: &str, to: &str) {
        let moved: Vec<String> = self
            .left_there
            .range(format!("{from}/")..format!("{from}0"))
            .map(|path| format!("{to}{}", &path[from.len()..]))
            .collect();
        self.left_there.retain(|path| !path.starts_with(&format!("{from}/")));
        self.left_there.extend(moved);
    }

    /// Whether all that the server has below a folder is in the tree.
    pub(crate) fn shows_all_below(&self, path: &str) -> bool {
        // What follows a slash sorts before what follows the character behind it.
        self.left_there.range(format!("{path}/")..format!("{path}0")).next().is_none()
    }
}

/// Whether the local file is as it was when last in step.
pub(crate) fn untouched(local: &LocalFile, base: &BaseFile) -> bool {
    local.stamp == base.stamp || local.same_as_base == Some(true)
}

/// Whether the file on the server is as it was when last in step.
pub(crate) fn current(remote: &RemoteFile, base: &BaseFile) -> bool {
    remote.id == base.id && remote.version_id == base.version_id
}

/// The folder that a path is in; nothing at the top.
pub(crate) fn parent(path: &str) -> Option<&str> {
    path.rsplit_once('/').map(|(folder, _)| folder)
}

/// The folders above a path, outermost first.
pub(crate) fn ancestors(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(|(at, _)| &path[..at])
}

/// The entries at and below a path.
pub(crate) fn below<'a, T>(
    tree: &'a BTreeMap<String, T>,
    path: &'a str,
) -> impl Iterator<Item = (&'a String, &'a T)> {
    // What follows a slash sorts before what follows the character behind it.
    let inside = format!("{path}/")..format!("{path}0");
    tree.get_key_value(path).into_iter().chain(tree.range(inside))
}

/// Gives the entry at `from`, and all below it, another place; the new paths.
pub fn rename<T>(tree: &mut BTreeMap<String, T>, from: &str, to: &str) -> Vec<String> {
    let paths: Vec<String> = below(tree, from).map(|(path, _)| path.clone()).collect();
    let mut new = Vec::with_capacity(paths.len());
    for path in paths {
        if let Some(entry) = tree.remove(&path) {
            let place = format!("{to}{}", &path[from.len()..]);
            tree.insert(place.clone(), entry);
            new.push(place);
        }
    }
    new
}
