//! Pretend drives: one tree of files per node, kept across its incarnations.
//!
//! Everything that was synced survives a crash; the rest may be lost, torn or reordered. On top of
//! that a drive may be full, slow, rot, fail to read or write in the wrong place, as
//! [`DiskFaults`] has it.

mod content;
mod file;
mod names;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use node_base::Duration;
use node_world::{Disk, Entry, File, OpenMode, Space};
use rand_chacha::ChaCha8Rng;

use crate::node::Outside;
use content::Content;
use file::PretendFile;
use names::{Names, Node};

/// What a drive says it holds when nothing limits it.
const CAPACITY: u64 = 1 << 40;

/// What goes wrong on a node's drives. Nothing, by default.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct DiskFaults {
    /// How many bytes fit; no limit when absent.
    pub capacity: Option<u64>,
    /// The chance that a read fails.
    pub read_error: f64,
    /// The chance, at a read, that one bit of what is read has turned, for good.
    pub rot: f64,
    /// The chance that a write lands on another sector of its file.
    pub misdirected: f64,
    /// Blocking work takes up to this much longer.
    pub slow: Duration,
}

/// The drives of one node.
#[derive(Default)]
pub(crate) struct Drives(Mutex<State>);

#[derive(Default)]
struct State {
    names: Names,
    locks: BTreeSet<PathBuf>,
    /// By folder; the nearest one above a file counts.
    faults: BTreeMap<PathBuf, DiskFaults>,
    /// The node crashes instead of the change after this many.
    changes_left: Option<u64>,
}

impl State {
    /// What goes wrong with a file or folder, and for which folder that was said.
    fn faults(&self, path: &Path) -> (&Path, DiskFaults) {
        let said = path.ancestors().find_map(|above| self.faults.get_key_value(above));
        let none = (Path::new(""), DiskFaults::default());
        said.map_or(none, |(folder, faults)| (folder.as_path(), *faults))
    }

    /// The bytes in a folder.
    fn used(&self, folder: &Path) -> u64 {
        let len = |node: &Node| match node {
            Node::Folder => 0,
            Node::File(content) => lock(content).len(),
        };
        self.names.below(folder).map(|(_, node)| len(node)).sum()
    }

    /// How many of the bytes that would make a file `growth` longer still fit.
    fn room(&self, path: &Path, growth: u64) -> u64 {
        match self.faults(path) {
            (_, DiskFaults { capacity: None, .. }) => growth,
            (folder, DiskFaults { capacity: Some(capacity), .. }) => {
                growth.min(capacity.saturating_sub(self.used(folder)))
            }
        }
    }
}

/// A panic while one was held is reported by the run itself; what it guards is only pretend.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drives {
    pub(crate) fn set_faults(&self, folder: &Path, faults: DiskFaults) -> io::Result<()> {
        let folder = normal(folder)?;
        if faults == DiskFaults::default() {
            lock(&self.0).faults.remove(&folder);
        } else {
            lock(&self.0).faults.insert(folder, faults);
        }
        Ok(())
    }

    pub(crate) fn slowness(&self) -> Duration {
        lock(&self.0).faults.values().map(|faults| faults.slow).max().unwrap_or_default()
    }

    pub(crate) fn crash_instead_of_change(&self, after: u64) {
        lock(&self.0).changes_left = Some(after);
    }

    /// The power goes.
    pub(crate) fn crash(&self, chance: &mut ChaCha8Rng) {
        let mut state = lock(&self.0);
        state.names.crash(chance);
        state.locks.clear();
        state.changes_left = None;
    }

    /// Turns a bit of a file, for good; whether there is such a byte.
    pub(crate) fn rot(&self, path: &Path, offset: u64, bit: u8) -> bool {
        let found = normal(path).ok().and_then(|path| lock(&self.0).names.get(&path));
        let Some(Node::File(content)) = found else { return false };
        let mut content = lock(&content);
        content.rot(offset, bit);
        offset < content.len()
    }

    /// Takes a file or a whole folder away, for good, as a drive that died does.
    pub(crate) fn lose(&self, path: &Path) -> io::Result<()> {
        let path = normal(path)?;
        let mut state = lock(&self.0);
        state.names.lose(&path);
        Ok(())
    }
}

/// The path from the root, without `.`; there is no way up.
fn normal(path: &Path) -> io::Result<PathBuf> {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => normal.push(name),
            Component::RootDir | Component::CurDir => {}
            Component::ParentDir | Component::Prefix(_) => {
                return Err(io::Error::new(io::ErrorKind::InvalidInput, "a path only goes down"));
            }
        }
    }
    Ok(normal)
}

fn dead() -> io::Error {
    io::Error::other("this node incarnation has ended")
}

/// The drives as one incarnation of their node sees them.
pub(crate) struct PretendDisk(pub(crate) Outside);

impl Outside {
    fn disk_line(&self, what: &str, path: &Path) {
        self.line(format_args!("{what} {}", path.display()));
    }

    /// Before anything that only looks.
    fn look(&self) -> io::Result<MutexGuard<'_, State>> {
        if self.is_alive() { Ok(lock(&self.drives().0)) } else { Err(dead()) }
    }

    /// Before anything that changes the drives: here the power may go.
    fn change(&self) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.look()?;
        match &mut state.changes_left {
            None => return Ok(state),
            Some(0) => {}
            Some(left) => {
                *left -= 1;
                return Ok(state);
            }
        }
        drop(state);
        self.crash();
        Err(dead())
    }
}

impl PretendDisk {
    fn handle(&self, path: PathBuf, content: Arc<Mutex<Content>>, mode: OpenMode) -> Arc<dyn File> {
        let writable = mode != OpenMode::Read;
        Arc::new(PretendFile { outside: self.0.clone(), path, content, writable })
    }
}

impl Disk for PretendDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let path = normal(path)?;
        let found = self.0.look()?.names.get(&path);
        match (found, mode) {
            (Some(Node::Folder), _) => Err(io::ErrorKind::IsADirectory.into()),
            (Some(Node::File(_)), OpenMode::CreateNew) => Err(io::ErrorKind::AlreadyExists.into()),
            (Some(Node::File(content)), _) => Ok(self.handle(path, content, mode)),
            (None, OpenMode::Read | OpenMode::Write) => Err(io::ErrorKind::NotFound.into()),
            (None, OpenMode::Create | OpenMode::CreateNew) => {
                let mut state = self.0.change()?;
                is_folder(&state.names, path.parent().unwrap_or(Path::new("")))?;
                let content = Arc::<Mutex<Content>>::default();
                state.names.link(path.clone(), Node::File(Arc::clone(&content)));
                drop(state);
                self.0.disk_line("create", &path);
                Ok(self.handle(path, content, mode))
            }
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (from, to) = (normal(from)?, normal(to)?);
        let mut state = self.0.change()?;
        let node = match state.names.get(&from) {
            None => return Err(io::ErrorKind::NotFound.into()),
            Some(Node::Folder) => return Err(io::ErrorKind::IsADirectory.into()),
            Some(file) => file,
        };
        is_folder(&state.names, to.parent().unwrap_or(Path::new("")))?;
        if matches!(state.names.get(&to), Some(Node::Folder)) {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        if from != to {
            state.names.rename(from.clone(), to.clone(), node);
        }
        drop(state);
        self.0.line(format_args!("rename {} {}", from.display(), to.display()));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let path = normal(path)?;
        let mut state = self.0.change()?;
        match state.names.get(&path) {
            None => return Err(io::ErrorKind::NotFound.into()),
            Some(Node::Folder) => return Err(io::ErrorKind::IsADirectory.into()),
            Some(Node::File(_)) => state.names.unlink(path.clone()),
        }
        drop(state);
        self.0.disk_line("remove", &path);
        Ok(())
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<Entry>> {
        let folder = normal(folder)?;
        let state = self.0.look()?;
        is_folder(&state.names, &folder)?;
        let here = state.names.below(&folder).filter(|(path, _)| path.parent() == Some(&folder));
        let mut entries: Vec<Entry> = here
            .map(|(path, node)| {
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                match node {
                    Node::Folder => Entry { name, is_folder: true, len: 0 },
                    Node::File(content) => {
                        Entry { name, is_folder: false, len: lock(content).len() }
                    }
                }
            })
            .collect();
        entries.sort();
        Ok(entries)
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        let path = normal(path)?;
        let mut state = self.0.change()?;
        let above: Vec<&Path> = path.ancestors().collect();
        for folder in above.into_iter().rev() {
            match state.names.get(folder) {
                Some(Node::Folder) => {}
                Some(Node::File(_)) if folder == path => {
                    return Err(io::ErrorKind::AlreadyExists.into());
                }
                Some(Node::File(_)) => return Err(io::ErrorKind::NotADirectory.into()),
                None => state.names.link(folder.to_path_buf(), Node::Folder),
            }
        }
        drop(state);
        self.0.disk_line("create-folder", &path);
        Ok(())
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        let path = normal(path)?;
        let mut state = self.0.change()?;
        is_folder(&state.names, &path)?;
        state.names.sync(&path);
        drop(state);
        self.0.disk_line("sync-folder", &path);
        Ok(())
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>> {
        drop(self.open(path, OpenMode::Create)?);
        let path = normal(path)?;
        if !self.0.look()?.locks.insert(path.clone()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.0.disk_line("lock", &path);
        Ok(Box::new(Locked { outside: self.0.clone(), path }))
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        let path = normal(path)?;
        let state = self.0.look()?;
        if state.names.get(&path).is_none() {
            return Err(io::ErrorKind::NotFound.into());
        }
        let (folder, faults) = state.faults(&path);
        let total = faults.capacity.unwrap_or(CAPACITY);
        Ok(Space { total, free: total.saturating_sub(state.used(folder)) })
    }
}

fn is_folder(names: &Names, path: &Path) -> io::Result<()> {
    match names.get(path) {
        Some(Node::Folder) => Ok(()),
        Some(Node::File(_)) => Err(io::ErrorKind::NotADirectory.into()),
        None => Err(io::ErrorKind::NotFound.into()),
    }
}

struct Locked {
    outside: Outside,
    path: PathBuf,
}

impl Drop for Locked {
    fn drop(&mut self) {
        // After a crash the next incarnation may hold it already.
        if let Ok(mut state) = self.outside.look() {
            state.locks.remove(&self.path);
        }
    }
}
