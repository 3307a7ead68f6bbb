//! The seam to the tables: ordered keys and values, one writer, readers that see one moment.
//!
//! Rows are read and written through it by everything in this package; engines stand behind it
//! elsewhere. Keys are compared as bytes. A failure of an engine is never an answer to a command:
//! it stops the node, because replicas must not part.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

/// The engine failed. What it says is for the log; nobody decides by it.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    #[error("the tables cannot be read or written")]
    Engine(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("a row of table {table} cannot be decoded")]
    Row { table: &'static str, source: postcard::Error },
    #[error("the tables contradict themselves: {0}")]
    Invariant(&'static str),
}

/// Is shown each row in turn and says whether to go on.
pub type Visitor<'a> = &'a mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>;

/// One moment of the tables.
pub trait Reader {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, TableError>;
    /// Visits the rows of `from..to` in the order of their keys.
    fn scan(&self, from: &[u8], to: &[u8], visit: Visitor<'_>) -> Result<(), TableError>;
    /// Visits the rows of `from..to` in the reverse order.
    fn scan_back(&self, from: &[u8], to: &[u8], visit: Visitor<'_>) -> Result<(), TableError>;
}

/// The one write transaction. It reads what it has written.
pub trait Writer: Reader {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), TableError>;
    fn delete(&mut self, key: &[u8]) -> Result<(), TableError>;
}

/// Tables in memory: for models and tests. Every change is there at once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemoryTables(BTreeMap<Vec<u8>, Vec<u8>>);

impl MemoryTables {
    /// All rows in the order of their keys.
    pub fn rows(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.0.iter().map(|(key, value)| (key.as_slice(), value.as_slice()))
    }
}

impl Reader for MemoryTables {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, TableError> {
        Ok(self.0.get(key).cloned())
    }

    fn scan(&self, from: &[u8], to: &[u8], visit: Visitor<'_>) -> Result<(), TableError> {
        if from < to {
            let mut rows = self.0.range(from.to_vec()..to.to_vec());
            let _ = rows.try_for_each(|(key, value)| visit(key, value));
        }
        Ok(())
    }

    fn scan_back(&self, from: &[u8], to: &[u8], visit: Visitor<'_>) -> Result<(), TableError> {
        if from < to {
            let mut rows = self.0.range(from.to_vec()..to.to_vec()).rev();
            let _ = rows.try_for_each(|(key, value)| visit(key, value));
        }
        Ok(())
    }
}

impl Writer for MemoryTables {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), TableError> {
        self.0.insert(key.to_vec(), value.to_vec());
        Ok(())
    }

    fn delete(&mut self, key: &[u8]) -> Result<(), TableError> {
        self.0.remove(key);
        Ok(())
    }
}
