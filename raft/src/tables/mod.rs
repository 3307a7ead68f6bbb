//! Engines behind the seam to the tables ([`raft_meta::Reader`], [`raft_meta::Writer`]).
//!
//! An engine holds rows, and one *note* that is written in the same transaction as the rows it
//! speaks of: up to where the log is applied. What it wrote without `durable` may be lost with the
//! power, but only from the end, whole transactions at a time: the log has it still.
//!
//! [`redb`] is the engine that keeps acknowledged data; [`memory`] is for tests and models; and
//! [`sled`] is kept to compare with. What was measured is in README.md beside this file.

mod layer;
pub(crate) mod memory;
pub(crate) mod redb;
pub(crate) mod sled;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use raft_meta::{Reader, TableError, Writer};

/// All keys are below this: their first byte names a table, and none is named by 255.
pub(crate) const END: &[u8] = &[0xff];

/// A key and a value.
pub(crate) type Row = (Vec<u8>, Vec<u8>);

/// One moment of the tables and of the note. While it is held, what it shows is kept.
pub(crate) trait Snapshot: Reader + Send {
    fn note(&self) -> Result<Option<Vec<u8>>, TableError>;
}

/// Writes rows and answers the note.
pub(crate) type Work<'a> = &'a mut dyn FnMut(&mut dyn Writer) -> Result<Vec<u8>, TableError>;

/// Tables on a drive or in memory. All calls block.
pub(crate) trait Engine: Send + Sync {
    /// The tables as they are now.
    fn snapshot(&self) -> Result<Box<dyn Snapshot>, TableError>;
    /// Does `work` in the one write transaction: all of it is kept, or none where it fails. With
    /// `durable`, it and all before it are kept even when the power goes.
    fn write(&self, work: Work<'_>, durable: bool) -> Result<(), TableError>;
    /// Makes everything written so far durable.
    fn sync(&self) -> Result<(), TableError>;
    /// Begins tables that are to take the place of these. Given up when dropped.
    fn replacement(&self) -> Result<Box<dyn Replacement>, TableError>;
}

/// Tables being filled.
pub(crate) trait Replacement: Send {
    fn put(&mut self, rows: &[Row]) -> Result<(), TableError>;
    /// Makes these tables, with this note, the ones that are found at the next start: in one step,
    /// durably. Snapshots of the old ones can still be read.
    fn finish(self: Box<Self>, note: &[u8]) -> Result<Arc<dyn Engine>, TableError>;
}

/// An engine's own failure.
fn engine<E: std::error::Error + Send + Sync + 'static>(error: E) -> TableError {
    TableError::Engine(Box::new(error))
}
