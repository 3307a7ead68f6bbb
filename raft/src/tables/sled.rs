//! Tables in sled 0.34, to compare with. Not for data that anybody was told is kept.
//!
//! sled opens its own files and flushes them with `sync_file_range`, which asks no drive to make
//! anything durable: with power losses simulated under it, it lost acknowledged writes or did not
//! open again 50 times out of 50 (README.md beside this file). It cannot run on the world's drives
//! either, so this module is the one place of the package that lets a library reach the machine's
//! files by itself, and no simulation covers it. Once the log is purged, only the tables have what
//! was acknowledged; hence the default is redb.
//!
//! sled has no snapshots. Each reader is given the old values of what is written while it reads.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use raft_meta::tables::Visitor;
use raft_meta::{Reader, TableError};
use sled::{Batch, Db, Tree};

use super::layer::{Changes, Staged, page, visit_pages};
use super::{Engine, Replacement, Row, Snapshot, Work, engine};

/// Names the tree in use.
const CURRENT: &[u8] = b"current";
/// The note's key, and what stands before each row's key.
const NOTE: &[u8] = &[0];
const ROW: u8 = 1;

fn row_key(key: &[u8]) -> Vec<u8> {
    [&[ROW], key].concat()
}

/// See the module.
pub(crate) struct Sled {
    database: Db,
    number: u64,
    shared: Arc<Shared>,
}

struct Shared {
    rows: Rows,
    next_reader: AtomicU64,
    /// The old values of what was written since each reader began, the note's under [`NOTE`].
    readers: Mutex<BTreeMap<u64, Changes>>,
}

impl Shared {
    fn readers(&self) -> MutexGuard<'_, BTreeMap<u64, Changes>> {
        self.readers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn tree_name(number: u64) -> String {
    format!("tables-{number}")
}

impl Sled {
    /// Opens the tables in `folder`, or makes them.
    pub(crate) fn open(folder: &Path, cache_bytes: usize) -> Result<Self, TableError> {
        let database = sled::Config::new()
            .path(folder.join("sled"))
            .cache_capacity(cache_bytes as u64)
            .flush_every_ms(None)
            .open()
            .map_err(engine)?;
        let current = database.get(CURRENT).map_err(engine)?;
        let number = match current.map(|bytes| <[u8; 8]>::try_from(bytes.as_ref())) {
            None => 0,
            Some(Ok(bytes)) => u64::from_be_bytes(bytes),
            Some(Err(_)) => return Err(TableError::Invariant("sled does not name its tree")),
        };
        Self::new(database, number)
    }

    fn new(database: Db, number: u64) -> Result<Self, TableError> {
        let tree = database.open_tree(tree_name(number)).map_err(engine)?;
        let shared =
            Shared { rows: Rows(tree), next_reader: AtomicU64::new(0), readers: Mutex::default() };
        Ok(Self { database, number, shared: Arc::new(shared) })
    }
}

impl Engine for Sled {
    fn snapshot(&self) -> Result<Box<dyn Snapshot>, TableError> {
        let number = self.shared.next_reader.fetch_add(1, Ordering::Relaxed);
        self.shared.readers().insert(number, Changes::new());
        Ok(Box::new(SledSnapshot { shared: Arc::clone(&self.shared), number }))
    }

    fn write(&self, work: Work<'_>, durable: bool) -> Result<(), TableError> {
        let rows = &self.shared.rows;
        let mut staged = Staged { base: rows, changes: Changes::new() };
        let note = work(&mut staged)?;
        let mut changes: Changes =
            staged.changes.into_iter().map(|(key, value)| (row_key(&key), value)).collect();
        changes.insert(NOTE.to_vec(), Some(note));
        let mut readers = self.shared.readers();
        let mut batch = Batch::default();
        for (key, value) in changes {
            if !readers.is_empty() {
                let old = rows.0.get(&key).map_err(engine)?.map(|old| old.to_vec());
                for seen in readers.values_mut() {
                    seen.entry(key.clone()).or_insert_with(|| old.clone());
                }
            }
            match value {
                Some(value) => batch.insert(key, value),
                None => batch.remove(key),
            }
        }
        rows.0.apply_batch(batch).map_err(engine)?;
        drop(readers);
        if durable { self.sync() } else { Ok(()) }
    }

    fn sync(&self) -> Result<(), TableError> {
        self.database.flush().map_err(engine)?;
        Ok(())
    }

    fn replacement(&self) -> Result<Box<dyn Replacement>, TableError> {
        let number = self.number + 1;
        self.database.drop_tree(tree_name(number)).map_err(engine)?;
        Ok(Box::new(Self::new(self.database.clone(), number)?))
    }
}

impl Replacement for Sled {
    fn put(&mut self, rows: &[Row]) -> Result<(), TableError> {
        let mut batch = Batch::default();
        for (key, value) in rows {
            batch.insert(row_key(key), value.as_slice());
        }
        self.shared.rows.0.apply_batch(batch).map_err(engine)
    }

    fn finish(self: Box<Self>, note: &[u8]) -> Result<Arc<dyn Engine>, TableError> {
        self.shared.rows.0.insert(NOTE, note).map_err(engine)?;
        self.sync()?;
        self.database.insert(CURRENT, &self.number.to_be_bytes()).map_err(engine)?;
        self.sync()?;
        Ok(Arc::new(*self))
    }
}

/// The rows of a tree, without the byte before their keys.
struct Rows(Tree);

impl Rows {
    fn each(
        &self,
        from: &[u8],
        to: &[u8],
        back: bool,
        visit: Visitor<'_>,
    ) -> Result<(), TableError> {
        if from >= to {
            return Ok(());
        }
        let mut rows = self.0.range(row_key(from)..row_key(to));
        while let Some(row) = if back { rows.next_back() } else { rows.next() } {
            let (key, value) = row.map_err(engine)?;
            if visit(&key[1..], &value) == ControlFlow::Break(()) {
                break;
            }
        }
        Ok(())
    }
}

impl Reader for Rows {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, TableError> {
        Ok(self.0.get(row_key(key)).map_err(engine)?.map(|value| value.to_vec()))
    }

    fn scan(&self, from: &[u8], to: &[u8], visit: Visitor<'_>) -> Result<(), TableError> {
        self.each(from, to, false, visit)
    }

    fn scan_back(&self, from: &[u8], to: &[u8], visit: Visitor<'_>) -> Result<(), TableError> {
        self.each(from, to, true, visit)
    }
}

struct SledSnapshot {
    shared: Arc<Shared>,
    number: u64,
}

impl SledSnapshot {
    /// What stood under this key of the tree when the reader began. Holding the readers holds off
    /// writers, so that what is read and what was kept of it belong together.
    fn old(&self, key: &[u8]) -> Result<Option<Vec<u8>>, TableError> {
        let readers = self.shared.readers();
        match readers.get(&self.number).and_then(|seen| seen.get(key)) {
            Some(old) => Ok(old.clone()),
            None => Ok(self.shared.rows.0.get(key).map_err(engine)?.map(|value| value.to_vec())),
        }
    }

    fn each(
        &self,
        from: &[u8],
        to: &[u8],
        back: bool,
        visit: Visitor<'_>,
    ) -> Result<(), TableError> {
        visit_pages((from, to), back, visit, |(from, to)| {
            let readers = self.shared.readers();
            let seen = readers.get(&self.number);
            let seen: Changes = seen
                .into_iter()
                .flat_map(|seen| seen.range(row_key(from)..row_key(to)))
                .map(|(key, old)| (key[1..].to_vec(), old.clone()))
                .collect();
            page(&self.shared.rows, &seen, (from, to), back)
        })
    }
}

impl Reader for SledSnapshot {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, TableError> {
        self.old(&row_key(key))
    }

    fn scan(&self, from: &[u8], to: &[u8], visit: Visitor<'_>) -> Result<(), TableError> {
        self.each(from, to, false, visit)
    }

    fn scan_back(&self, from: &[u8], to: &[u8], visit: Visitor<'_>) -> Result<(), TableError> {
        self.each(from, to, true, visit)
    }
}

impl Snapshot for SledSnapshot {
    fn note(&self) -> Result<Option<Vec<u8>>, TableError> {
        self.old(NOTE)
    }
}

impl Drop for SledSnapshot {
    fn drop(&mut self) {
        self.shared.readers().remove(&self.number);
    }
}
