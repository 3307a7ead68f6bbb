//! Drives: a small synchronous file interface on which the log, the tables and the packs stand.
//!
//! Calls block; make them from [`World::blocking`](crate::World::blocking). What is written is
//! durable only after `sync_data` of the file, and a name only after `sync_dir` of its folder. A
//! full drive answers [`io::ErrorKind::StorageFull`].

use std::io;
use std::path::Path;
use std::sync::Arc;

/// How a file is opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OpenMode {
    /// It must be there; nothing may be written.
    Read,
    /// It must be there.
    Write,
    /// Made when it is not there.
    Create,
    /// It must not be there.
    CreateNew,
}

/// An open file. Closed when dropped, which makes nothing durable.
pub trait File: Send + Sync {
    /// Fills `buffer` from `offset`.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] when the file ends before.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
    /// Writes all of `bytes` at `offset`, making the file longer where needed.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Like [`read_at`](Self::read_at), of bytes that nobody is likely to want again soon: the
    /// machine need not keep them in memory.
    ///
    /// # Errors
    /// As there.
    fn read_uncached_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.read_at(buffer, offset)
    }
    /// Like [`write_at`](Self::write_at), in the same way.
    ///
    /// # Errors
    /// As there.
    fn write_uncached_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write_at(bytes, offset)
    }
    /// The length.
    fn len(&self) -> io::Result<u64>;
    /// Cuts the file or fills it with zeros to this length.
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// Makes what was written, and the length, durable.
    fn sync_data(&self) -> io::Result<()>;
    /// Whether nothing is in it.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
}

/// One thing in a folder.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Entry {
    pub name: String,
    pub is_folder: bool,
    pub len: u64,
}

/// How much a drive holds, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Space {
    pub total: u64,
    pub free: u64,
}

/// The drives of a node.
pub trait Disk: Send + Sync {
    /// Opens a file.
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>>;
    /// Gives a file another name in one step, replacing what has that name.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// What is in a folder, sorted by name.
    fn list(&self, folder: &Path) -> io::Result<Vec<Entry>>;
    /// Makes a folder, and those above it, where they are not there.
    fn create_folder(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in a folder durable.
    fn sync_folder(&self, path: &Path) -> io::Result<()>;
    /// Takes the file at `path`, made when it is not there, for this process alone, until the
    /// answer is dropped.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] when another process has it.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>>;
    /// The space of the drive that `path` is on.
    fn space(&self, path: &Path) -> io::Result<Space>;
}
