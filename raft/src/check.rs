//! Looking through the folder of the agreement while no node runs on it.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use node_base::NodeId;
use node_world::World;
use raft_meta::{Reader, TableError, table};

use crate::folder::{Folder, FolderError, Identity};
use crate::log::{self, LogError, LogFound};
use crate::settings::{EngineKind, Settings};
use crate::snapshot::{Note, part};
use crate::tables::redb::Redb;
use crate::tables::{Engine, Row};

/// Bytes of rows that are read together.
const PART: usize = 1 << 20;
/// Rows that are named, of those that cannot be decoded.
const NAMED_MAX: usize = 20;

/// Why a folder cannot be looked through at all.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    #[error(transparent)]
    Folder(#[from] FolderError),
    #[error("{} is no node's", path.display())]
    Nobody { path: PathBuf },
    #[error("only tables of the engine redb are checked")]
    Engine,
}

/// The tables, as they were found.
#[derive(Debug, Default)]
pub struct TablesFound {
    /// Rows by table.
    pub rows: BTreeMap<&'static str, u64>,
    pub wrong_rows: u64,
    /// The first of the wrong ones: what is wrong, and the row's key in hex.
    pub named: Vec<String>,
    /// Whether all pages of the file have the checksums that they should have.
    pub is_whole: bool,
    /// How many commands they have applied.
    pub commands: u64,
    /// The last entry they have applied.
    pub applied: Option<u64>,
}

/// What was found in the folder.
pub struct Checked {
    pub node: NodeId,
    pub log: Result<LogFound, LogError>,
    pub tables: Result<TablesFound, TableError>,
    engine: Option<Box<dyn Engine>>,
    world: World,
    _folder: Folder,
}

impl Checked {
    /// Why the log and the tables do not belong together, where they do not.
    pub fn gap(&self) -> Option<String> {
        let (Ok(log), Ok(tables)) = (&self.log, &self.tables) else { return None };
        let missing = log.purged.filter(|purged| tables.applied < Some(*purged))?;
        Some(format!(
            "the log is purged up to entry {missing}, and the tables have applied none behind {}",
            tables.applied.map_or("nothing".to_owned(), |entry| entry.to_string()),
        ))
    }

    /// Reads the tables, where they can be read.
    ///
    /// # Errors
    /// When they cannot.
    pub async fn read<T: Send + 'static>(
        &mut self,
        read: impl FnOnce(&dyn Reader) -> Result<T, TableError> + Send + 'static,
    ) -> Result<Option<T>, TableError> {
        let Some(engine) = self.engine.take() else { return Ok(None) };
        let look = move || {
            let found = engine.snapshot().and_then(|tables| read(&*tables));
            (engine, found)
        };
        let (engine, found) = self.world.blocking(look).await;
        self.engine = Some(engine);
        found.map(Some)
    }
}

/// Looks through the folder of a node: every frame of its log and every row of its tables.
///
/// # Errors
/// When it is no node's, or a node runs on it.
pub async fn check(
    world: &World,
    path: PathBuf,
    settings: &Settings,
) -> Result<Checked, CheckError> {
    let (inner, settings) = (world.clone(), settings.clone());
    let look = move || {
        if settings.engine != EngineKind::Redb {
            return Err(CheckError::Engine);
        }
        let is_there = inner.disk().list(&path).is_ok_and(|entries| !entries.is_empty());
        if !is_there {
            return Err(CheckError::Nobody { path });
        }
        let folder = Folder::open(&inner, &path)?;
        let Some(Identity { node, .. }) = folder.identity() else {
            return Err(CheckError::Nobody { path });
        };
        let log = log::look(&inner, &path.join("log"), settings.log());
        // The engine asserts of some damage that it cannot be.
        let look = AssertUnwindSafe(|| look_at_tables(&inner, &path, &settings));
        let looked = catch_unwind(look).unwrap_or(Err(TableError::Invariant(
            "their file is damaged so that the engine does not open it",
        )));
        let (tables, engine) = match looked {
            Ok((found, engine)) => (Ok(found), Some(engine)),
            Err(error) => (Err(error), None),
        };
        Ok(Checked { node, log, tables, engine, world: inner, _folder: folder })
    };
    world.blocking(look).await
}

fn look_at_tables(
    world: &World,
    path: &std::path::Path,
    settings: &Settings,
) -> Result<(TablesFound, Box<dyn Engine>), TableError> {
    let (engine, is_whole) =
        Redb::open_checked(world, &path.join("tables"), settings.tables_cache_bytes)?;
    let tables = engine.snapshot()?;
    let note = Note::of(&*tables)?;
    let mut found = TablesFound {
        is_whole,
        commands: note.commands,
        applied: note.applied.map(|id| id.index),
        ..TablesFound::default()
    };
    let mut from = Some(Vec::new());
    while let Some(start) = from {
        let (rows, rest) = part(&*tables, &start, PART)?;
        rows.iter().for_each(|row| found.look(row));
        from = rest;
    }
    drop(tables);
    Ok((found, Box::new(engine)))
}

impl TablesFound {
    fn look(&mut self, (key, value): &Row) {
        match table::check(key, value) {
            Ok(name) => *self.rows.entry(name).or_default() += 1,
            Err(error) => {
                self.wrong_rows += 1;
                if self.named.len() < NAMED_MAX {
                    let key: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
                    self.named.push(format!("{error}: key {key}"));
                }
            }
        }
    }
}
