//! The log of entries, in files of our own.
//!
//! Entries are appended to segment files as checksummed frames; truncation is one more frame, and
//! purging removes whole segments, so a byte once written is never written again. The vote and the
//! purged index lie beside them in a small file of their own. Everything is synced before it is
//! acknowledged, and all entries that wait are written and synced together.
//!
//! - [`frame`]: one record, and how a torn tail is told from rot.
//! - [`segment`]: one file. [`slots`]: the vote. [`files`]: all of them, and recovery.
//! - [`index`]: what is kept in memory: where each entry is, and the last ones themselves.
//! - [`store`]: openraft's view of it.

mod files;
mod frame;
mod index;
mod segment;
mod slots;
mod store;
#[cfg(test)]
mod tests;

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};

use node_world::World;
pub(crate) use store::LogStore;

use crate::types::{LogId, Vote};

/// How the log is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct LogSettings {
    /// A segment that has this many bytes is followed by another.
    pub(crate) segment_bytes: u64,
    /// How many bytes of recent entries stay in memory.
    pub(crate) cache_bytes: usize,
}

/// Makes a log that begins behind this entry, of which nothing is kept. Blocks.
pub(crate) fn begin_behind(
    world: &World,
    folder: &Path,
    settings: LogSettings,
    entry: LogId,
    vote: Vote,
) -> Result<(), LogError> {
    let mut recovered = files::Files::open(world, folder, &settings)?;
    let facts = slots::Facts { vote: Some(vote.into()), purged: Some(entry.into()) };
    recovered.files.save(facts)
}

/// What a log holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LogFound {
    pub entries: u64,
    pub bytes: u64,
    /// The first and last index.
    pub first: Option<u64>,
    pub last: Option<u64>,
    /// Up to where it was purged.
    pub purged: Option<u64>,
}

/// Reads every frame of a log. What was torn behind its synced end is cut off, as at each start.
/// Blocks.
pub(crate) fn look(
    world: &World,
    folder: &Path,
    settings: LogSettings,
) -> Result<LogFound, LogError> {
    let recovered = files::Files::open(world, folder, &settings)?;
    for place in &recovered.places {
        files::read(place)?;
    }
    let index = |place: &files::Place| place.log_id.index;
    Ok(LogFound {
        entries: recovered.places.len() as u64,
        bytes: recovered.files.bytes(),
        first: recovered.places.front().map(index),
        last: recovered.places.back().map(index),
        purged: recovered.facts.purged.map(|id| LogId::from(id).index),
    })
}

/// Why the log cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("the log cannot {action} {}", path.display())]
    Disk { action: &'static str, path: PathBuf, source: io::Error },
    #[error("{} is damaged at byte {offset}: {why}", path.display())]
    Damaged { path: PathBuf, offset: u64, why: &'static str },
    #[error("{} is of format {found}, and this version knows up to {known}", path.display())]
    Newer { path: PathBuf, found: u32, known: u32 },
    #[error("segment {number} of the log is missing in {}", folder.display())]
    Missing { folder: PathBuf, number: u64 },
    #[error("the log stopped after a failure: {0}")]
    Stopped(String),
}

impl LogError {
    fn disk(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Disk { action, path: path.to_owned(), source }
    }

    /// The error and its causes in one line: what is left of them when the log has stopped.
    fn chain(&self) -> String {
        let cause = self.source().map(|cause| format!(": {cause}"));
        format!("{self}{}", cause.unwrap_or_default())
    }
}
