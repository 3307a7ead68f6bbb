//! Backups: a moment of the tables and the chunks that it names, in a folder.
//!
//! ```text
//! DIR/lock                       held while a backup is made
//! DIR/00000003.backup            the manifest of the third backup: what it is made of, with hashes
//! DIR/tables/00000003.tables     its tables, as `raft` copies them
//! DIR/packs/00000007.pack        chunks, each once, whichever backups need them
//! ```
//!
//! Everything is written under another name, synced and renamed, the manifest last: a backup is
//! there once its manifest is, and what a killed one has written is used by the next. A new backup
//! copies the chunks that no pack has, and those of packs of which it needs less than half, so that
//! such packs go with the last backup that lists them. The newest backups are kept, as many as are
//! asked for; then what no manifest lists is removed.

mod manifest;
mod pack;
mod restore;
mod write;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use node_base::Sha256;
use node_world::{File, OpenMode, World};

use manifest::Manifest;
use pack::{At, Pack};
pub use raft_meta::restore::Needed;
pub(crate) use restore::NOTE;
pub use restore::{RestoreError, Restored, restore};
pub use write::{Report, Writing};

/// Why a folder of backups cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error("cannot {action} {}", path.display())]
    Disk { action: &'static str, path: PathBuf, source: io::Error },
    #[error("another backup is being made in {}", path.display())]
    InUse { path: PathBuf },
    #[error("{} holds other things than backups; choose an empty folder", path.display())]
    NotOurs { path: PathBuf },
    #[error("{} has no backup", path.display())]
    None { path: PathBuf },
    #[error("there is no backup {number} in {}", path.display())]
    Unknown { path: PathBuf, number: u32 },
    #[error("{} is damaged: {why}", path.display())]
    Damaged { path: PathBuf, why: String },
    #[error("{} was written by a newer version", path.display())]
    Newer { path: PathBuf },
    #[error("{} holds backups of another cluster", path.display())]
    OtherCluster { path: PathBuf },
    #[error("what the node sent is no copy of its tables: {0}")]
    Tables(String),
    #[error("the node sent other bytes than those of chunk {0}")]
    Chunk(Sha256),
}

fn disk(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> BackupError {
    let path = path.to_owned();
    move |source| BackupError::Disk { action, path, source }
}

fn damaged(path: &Path, why: impl Into<String>) -> BackupError {
    BackupError::Damaged { path: path.to_owned(), why: why.into() }
}

/// The file that holds the lock.
const LOCK: &str = "lock";
const TABLES: &str = "tables";
const PACKS: &str = "packs";
const NEW: &str = "new";
/// A manifest has a line for each pack.
const MANIFEST_MAX: u64 = 256 << 20;

/// A folder of backups. Its calls block.
pub(crate) struct Folder {
    world: World,
    path: PathBuf,
    /// The oldest first.
    backups: Vec<Manifest>,
    packs: BTreeMap<u32, Pack>,
    chunks: BTreeMap<Sha256, At>,
    _lock: Option<Box<dyn Send + Sync>>,
}

fn name(number: u32, ending: &str) -> String {
    format!("{number:08}.{ending}")
}

fn numbered(name: &str, ending: &str) -> Option<u32> {
    name.strip_suffix(ending)?.strip_suffix('.')?.parse().ok()
}

impl Folder {
    /// Opens the folder to read from it.
    pub(crate) fn open(world: &World, path: &Path) -> Result<Self, BackupError> {
        // Where nothing can be written, nobody else can write either.
        let lock = match world.disk().lock(&path.join(LOCK)) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Err(BackupError::InUse { path: path.to_owned() });
            }
            lock => lock.ok(),
        };
        let mut folder = Self {
            world: world.clone(),
            path: path.to_owned(),
            backups: Vec::new(),
            packs: BTreeMap::new(),
            chunks: BTreeMap::new(),
            _lock: lock,
        };
        folder.load()?;
        Ok(folder)
    }

    /// Opens the folder to write to it, or makes it.
    pub(crate) fn open_or_make(world: &World, path: &Path) -> Result<Self, BackupError> {
        let on = world.disk();
        for folder in [path.to_owned(), path.join(TABLES), path.join(PACKS)] {
            if folder != path {
                Self::check_ours(world, path)?;
            }
            on.create_folder(&folder).map_err(disk("make", &folder))?;
        }
        on.sync_folder(path).map_err(disk("sync", path))?;
        let folder = Self::open(world, path)?;
        match folder._lock {
            Some(_) => Ok(folder),
            None => {
                let source = io::Error::from(io::ErrorKind::PermissionDenied);
                Err(disk("lock", &path.join(LOCK))(source))
            }
        }
    }

    fn check_ours(world: &World, path: &Path) -> Result<(), BackupError> {
        let entries = world.disk().list(path).map_err(disk("list", path))?;
        let ours = |name: &str| {
            [LOCK, TABLES, PACKS, NEW].contains(&name) || numbered(name, "backup").is_some()
        };
        if entries.iter().all(|entry| ours(&entry.name)) {
            return Ok(());
        }
        Err(BackupError::NotOurs { path: path.to_owned() })
    }

    fn list(&self, folder: &Path, ending: &str) -> Result<Vec<u32>, BackupError> {
        let entries = self.world.disk().list(folder).map_err(disk("list", folder))?;
        let mut numbers: Vec<u32> =
            entries.iter().filter_map(|entry| numbered(&entry.name, ending)).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    fn load(&mut self) -> Result<(), BackupError> {
        for number in self.list(&self.path, "backup")? {
            let path = self.path.join(name(number, "backup"));
            let text = self.read_all(&path, MANIFEST_MAX)?;
            self.backups.push(Manifest::parse(&path, number, &text)?);
        }
        for number in self.list(&self.path.join(PACKS), "pack")? {
            let path = self.pack_path(number);
            match Pack::open(&self.world, &path) {
                Ok((pack, entries)) => {
                    for (hash, offset, len) in entries {
                        self.chunks.insert(hash, At { pack: number, offset, len });
                    }
                    self.packs.insert(number, pack);
                }
                // Whoever needs it says so, and a new backup copies again what it held.
                Err(error @ BackupError::Damaged { .. }) => tracing::warn!("{error}"),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn read_all(&self, path: &Path, max: u64) -> Result<Vec<u8>, BackupError> {
        let file = self.world.disk().open(path, OpenMode::Read).map_err(disk("open", path))?;
        let len = file.len().map_err(disk("read", path))?;
        if len > max {
            return Err(damaged(path, "it is longer than any can be"));
        }
        let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
        file.read_at(&mut bytes, 0).map_err(disk("read", path))?;
        Ok(bytes)
    }

    fn pack_path(&self, number: u32) -> PathBuf {
        self.path.join(PACKS).join(name(number, "pack"))
    }

    fn tables_path(&self, number: u32) -> PathBuf {
        self.path.join(TABLES).join(name(number, "tables"))
    }

    /// A backup, or the newest.
    fn backup(&self, number: Option<u32>) -> Result<&Manifest, BackupError> {
        let path = self.path.clone();
        match number {
            None => self.backups.last().ok_or(BackupError::None { path }),
            Some(number) => {
                let found = self.backups.iter().find(|backup| backup.number == number);
                found.ok_or(BackupError::Unknown { path, number })
            }
        }
    }

    /// Whether the packs that a backup lists are there, as it lists them.
    fn check_packs(&self, backup: &Manifest) -> Result<(), BackupError> {
        for listed in &backup.packs {
            let path = self.pack_path(listed.number);
            match self.packs.get(&listed.number) {
                Some(pack) if (pack.bytes, pack.hash) == (listed.bytes, listed.hash) => {}
                Some(_) => return Err(damaged(&path, "it is not the pack that was written")),
                None => return Err(damaged(&path, "it is missing, or no pack")),
            }
        }
        Ok(())
    }

    /// The bytes of a chunk, as they are there: whoever takes them checks their hash.
    fn read(&self, hash: Sha256) -> Result<(Vec<u8>, PathBuf), BackupError> {
        let at = self.chunks.get(&hash);
        let at = at.ok_or_else(|| damaged(&self.path, format!("no pack has chunk {hash}")))?;
        let path = self.pack_path(at.pack);
        let pack = self.packs.get(&at.pack).ok_or_else(|| damaged(&path, "it is gone"))?;
        let mut bytes = vec![0; at.len as usize];
        pack.file.read_uncached_at(&mut bytes, at.offset).map_err(disk("read", &path))?;
        Ok((bytes, path))
    }

    /// Gives a written file its name, durably.
    fn publish(&self, file: &dyn File, from: &Path, to: &Path) -> Result<(), BackupError> {
        file.sync_data().map_err(disk("write", from))?;
        self.world.disk().rename(from, to).map_err(disk("rename", from))?;
        let folder = to.parent().unwrap_or(&self.path);
        self.world.disk().sync_folder(folder).map_err(disk("sync", folder))
    }

    /// A file to be published; what was left of one is written over.
    fn new_file(&self, path: &Path) -> Result<std::sync::Arc<dyn File>, BackupError> {
        let file = self.world.disk().open(path, OpenMode::Create).map_err(disk("make", path))?;
        file.set_len(0).map_err(disk("write", path))?;
        Ok(file)
    }
}
