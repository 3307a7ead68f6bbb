//! Tables in memory, for tests and models. Nothing is durable.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use raft_meta::tables::Visitor;
use raft_meta::{MemoryTables, Reader, TableError, Writer};

use super::layer::{Changes, Staged};
use super::{Engine, Replacement, Row, Snapshot, Work};

/// A moment of them. Copied when it is written to while somebody reads.
#[derive(Clone, Default)]
struct Moment {
    rows: MemoryTables,
    note: Option<Vec<u8>>,
}

/// See the module.
#[derive(Default)]
pub(crate) struct Memory(Mutex<Arc<Moment>>);

impl Memory {
    fn now(&self) -> MutexGuard<'_, Arc<Moment>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Engine for Memory {
    fn snapshot(&self) -> Result<Box<dyn Snapshot>, TableError> {
        Ok(Box::new(MemorySnapshot(Arc::clone(&self.now()))))
    }

    fn write(&self, work: Work<'_>, _durable: bool) -> Result<(), TableError> {
        let mut now = self.now();
        let mut staged = Staged { base: &now.rows, changes: Changes::new() };
        let note = work(&mut staged)?;
        let changes = staged.changes;
        let moment = Arc::make_mut(&mut now);
        for (key, value) in changes {
            match value {
                Some(value) => moment.rows.put(&key, &value)?,
                None => moment.rows.delete(&key)?,
            }
        }
        moment.note = Some(note);
        Ok(())
    }

    fn sync(&self) -> Result<(), TableError> {
        Ok(())
    }

    fn replacement(&self) -> Result<Box<dyn Replacement>, TableError> {
        Ok(Box::new(Moment::default()))
    }
}

impl Replacement for Moment {
    fn put(&mut self, rows: &[Row]) -> Result<(), TableError> {
        rows.iter().try_for_each(|(key, value)| self.rows.put(key, value))
    }

    fn finish(mut self: Box<Self>, note: &[u8]) -> Result<Arc<dyn Engine>, TableError> {
        self.note = Some(note.to_vec());
        Ok(Arc::new(Memory(Mutex::new(Arc::new(*self)))))
    }
}

struct MemorySnapshot(Arc<Moment>);

impl Reader for MemorySnapshot {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, TableError> {
        self.0.rows.get(key)
    }

    fn scan(&self, from: &[u8], to: &[u8], visit: Visitor<'_>) -> Result<(), TableError> {
        self.0.rows.scan(from, to, visit)
    }

    fn scan_back(&self, from: &[u8], to: &[u8], visit: Visitor<'_>) -> Result<(), TableError> {
        self.0.rows.scan_back(from, to, visit)
    }
}

impl Snapshot for MemorySnapshot {
    fn note(&self) -> Result<Option<Vec<u8>>, TableError> {
        Ok(self.0.note.clone())
    }
}
