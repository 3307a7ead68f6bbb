//! Tables in a redb file on the world's drives: the engine that acknowledged data stands on.
//!
//! Commits of entries ask for no durability, as the log has them. A durable commit takes redb's
//! quick repair along, so that the tables open in milliseconds after a crash, whatever their size.

use std::fmt::{self, Debug};
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use node_world::{File, OpenMode, World};
use raft_meta::tables::Visitor;
use raft_meta::{Reader, TableError, Writer};
use redb::{
    Database, Durability, ReadOnlyTable, ReadableDatabase, ReadableTable, StorageBackend, Table,
    TableDefinition, WriteTransaction,
};

use super::{Engine, Replacement, Row, Snapshot, Work, engine};
use crate::folder;

const ROWS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("rows");
const NOTES: TableDefinition<'_, u8, &[u8]> = TableDefinition::new("notes");
/// The one note's key.
const NOTE: u8 = 0;

/// The file of the tables in use, and of those that will replace them.
const FILE: &str = "tables.redb";
const INCOMING: &str = "incoming.redb";

/// A file of the world as redb wants it.
struct Backend(Arc<dyn File>);

impl Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Backend")
    }
}

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read_at(out, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write_at(data, offset)
    }
}

/// See the module.
pub(crate) struct Redb {
    database: Database,
    place: Place,
}

#[derive(Clone)]
struct Place {
    world: World,
    folder: PathBuf,
    cache_bytes: usize,
}

impl Redb {
    /// Opens the tables in `folder`, or makes them.
    pub(crate) fn open(
        world: &World,
        folder: &Path,
        cache_bytes: usize,
    ) -> Result<Self, TableError> {
        folder::make(world.disk(), folder).map_err(engine)?;
        let place = Place { world: world.clone(), folder: folder.to_owned(), cache_bytes };
        place.clear_incoming()?;
        place.open(FILE, OpenMode::Create)
    }
}

impl Redb {
    /// Opens the tables in `folder`, which must be there, and says whether all their pages are what
    /// was written.
    pub(crate) fn open_checked(
        world: &World,
        folder: &Path,
        cache_bytes: usize,
    ) -> Result<(Self, bool), TableError> {
        // Opening makes what is not there.
        drop(world.disk().open(&folder.join(FILE), OpenMode::Read).map_err(engine)?);
        let mut redb = Self::open(world, folder, cache_bytes)?;
        let is_whole = redb.database.check_integrity().map_err(engine)?;
        Ok((redb, is_whole))
    }
}

impl Place {
    fn open(self, name: &str, mode: OpenMode) -> Result<Redb, TableError> {
        let disk = self.world.disk();
        let file = disk.open(&self.folder.join(name), mode).map_err(engine)?;
        disk.sync_folder(&self.folder).map_err(engine)?;
        let database = Database::builder()
            .set_cache_size(self.cache_bytes)
            .create_with_backend(Backend(file))
            .map_err(engine)?;
        let redb = Redb { database, place: self };
        // Readers expect the tables to be there.
        redb.commit(true, |transaction| {
            transaction.open_table(ROWS).map_err(engine)?;
            transaction.open_table(NOTES).map_err(engine)?;
            Ok(())
        })?;
        Ok(redb)
    }

    /// Removes what an interrupted replacement left.
    fn clear_incoming(&self) -> Result<(), TableError> {
        match self.world.disk().remove(&self.folder.join(INCOMING)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(engine(error)),
            _ => Ok(()),
        }
    }
}

impl Redb {
    fn commit(
        &self,
        durable: bool,
        work: impl FnOnce(&WriteTransaction) -> Result<(), TableError>,
    ) -> Result<(), TableError> {
        let mut transaction = self.database.begin_write().map_err(engine)?;
        let durability = if durable { Durability::Immediate } else { Durability::None };
        transaction.set_durability(durability).map_err(engine)?;
        transaction.set_quick_repair(durable);
        work(&transaction)?;
        transaction.commit().map_err(engine)
    }
}

fn set_note(transaction: &WriteTransaction, note: &[u8]) -> Result<(), TableError> {
    let mut notes = transaction.open_table(NOTES).map_err(engine)?;
    notes.insert(NOTE, note).map_err(engine)?;
    Ok(())
}

impl Engine for Redb {
    fn snapshot(&self) -> Result<Box<dyn Snapshot>, TableError> {
        let transaction = self.database.begin_read().map_err(engine)?;
        let rows = transaction.open_table(ROWS).map_err(engine)?;
        let notes = transaction.open_table(NOTES).map_err(engine)?;
        Ok(Box::new(RedbSnapshot { rows, notes }))
    }

    fn write(&self, work: Work<'_>, durable: bool) -> Result<(), TableError> {
        self.commit(durable, |transaction| {
            let rows = transaction.open_table(ROWS).map_err(engine)?;
            let note = work(&mut RedbWriter(rows))?;
            set_note(transaction, &note)
        })
    }

    fn sync(&self) -> Result<(), TableError> {
        self.commit(true, |_| Ok(()))
    }

    fn replacement(&self) -> Result<Box<dyn Replacement>, TableError> {
        let place = self.place.clone();
        place.clear_incoming()?;
        Ok(Box::new(place.open(INCOMING, OpenMode::CreateNew)?))
    }
}

impl Replacement for Redb {
    fn put(&mut self, rows: &[Row]) -> Result<(), TableError> {
        self.commit(false, |transaction| {
            let mut table = transaction.open_table(ROWS).map_err(engine)?;
            for (key, value) in rows {
                table.insert(key.as_slice(), value.as_slice()).map_err(engine)?;
            }
            Ok(())
        })
    }

    fn finish(self: Box<Self>, note: &[u8]) -> Result<Arc<dyn Engine>, TableError> {
        self.commit(true, |transaction| set_note(transaction, note))?;
        let (disk, folder) = (self.place.world.disk(), &self.place.folder);
        disk.rename(&folder.join(INCOMING), &folder.join(FILE)).map_err(engine)?;
        disk.sync_folder(folder).map_err(engine)?;
        Ok(Arc::new(*self))
    }
}

type Bytes = &'static [u8];

fn get(
    table: &impl ReadableTable<Bytes, Bytes>,
    key: &[u8],
) -> Result<Option<Vec<u8>>, TableError> {
    let value = table.get(key).map_err(engine)?;
    Ok(value.map(|value| value.value().to_vec()))
}

fn scan(
    table: &impl ReadableTable<Bytes, Bytes>,
    (from, to): (&[u8], &[u8]),
    back: bool,
    visit: Visitor<'_>,
) -> Result<(), TableError> {
    if from >= to {
        return Ok(());
    }
    let mut rows = table.range(from..to).map_err(engine)?;
    while let Some(row) = if back { rows.next_back() } else { rows.next() } {
        let (key, value) = row.map_err(engine)?;
        if visit(key.value(), value.value()) == ControlFlow::Break(()) {
            break;
        }
    }
    Ok(())
}

struct RedbSnapshot {
    rows: ReadOnlyTable<Bytes, Bytes>,
    notes: ReadOnlyTable<u8, Bytes>,
}

impl Reader for RedbSnapshot {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, TableError> {
        get(&self.rows, key)
    }

    fn scan(&self, from: &[u8], to: &[u8], visit: Visitor<'_>) -> Result<(), TableError> {
        scan(&self.rows, (from, to), false, visit)
    }

    fn scan_back(&self, from: &[u8], to: &[u8], visit: Visitor<'_>) -> Result<(), TableError> {
        scan(&self.rows, (from, to), true, visit)
    }
}

impl Snapshot for RedbSnapshot {
    fn note(&self) -> Result<Option<Vec<u8>>, TableError> {
        let note = self.notes.get(NOTE).map_err(engine)?;
        Ok(note.map(|note| note.value().to_vec()))
    }
}

struct RedbWriter<'a>(Table<'a, Bytes, Bytes>);

impl Reader for RedbWriter<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, TableError> {
        get(&self.0, key)
    }

    fn scan(&self, from: &[u8], to: &[u8], visit: Visitor<'_>) -> Result<(), TableError> {
        scan(&self.0, (from, to), false, visit)
    }

    fn scan_back(&self, from: &[u8], to: &[u8], visit: Visitor<'_>) -> Result<(), TableError> {
        scan(&self.0, (from, to), true, visit)
    }
}

impl Writer for RedbWriter<'_> {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), TableError> {
        self.0.insert(key, value).map_err(engine)?;
        Ok(())
    }

    fn delete(&mut self, key: &[u8]) -> Result<(), TableError> {
        self.0.remove(key).map_err(engine)?;
        Ok(())
    }
}
