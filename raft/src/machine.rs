//! openraft's view of the tables: applies entries, and gives and takes snapshots.

use std::sync::{Arc, Mutex, PoisonError, RwLock};

use bytes::Bytes;
use node_world::World;
use openraft::storage::RaftStateMachine;
use openraft::{
    AnyError, EntryPayload, OptionalSend, RaftSnapshotBuilder, StorageIOError, StoredMembership,
};
use raft_meta::{Outcome, Proposal, TableError, Writer};
use tokio::sync::{oneshot, watch};

use crate::batch;
use crate::snapshot::{Note, SnapshotData, part};
use crate::tables::{Engine, Snapshot};
use crate::types::{Entry, LogId, SnapshotMeta, StorageError, StoredMembers, Types, encode};

type Moment = openraft::Snapshot<Types>;

/// Applies one encoded proposal as the command with this number, and answers the encoded outcome.
pub(crate) type Apply = fn(&mut dyn Writer, u64, &[u8]) -> Result<Vec<u8>, TableError>;

/// What is agreed on: the product's commands, or those of a test.
#[derive(Clone, Copy)]
pub(crate) struct Rules {
    /// Whether bytes are a proposal that can be applied.
    pub(crate) check: fn(&[u8]) -> bool,
    pub(crate) apply: Apply,
}

/// The rules of the product.
pub(crate) const RULES: Rules =
    Rules { check: |proposal| Proposal::decode(proposal).is_ok(), apply: apply_proposal };

fn apply_proposal(
    tables: &mut dyn Writer,
    number: u64,
    proposal: &[u8],
) -> Result<Vec<u8>, TableError> {
    // It was checked when it was proposed: a replica that skipped it would part from the others.
    let proposal = Proposal::decode(proposal)
        .map_err(|_| TableError::Invariant("a proposal of the log cannot be decoded"))?;
    let outcome: Outcome = raft_meta::apply(tables, number, &proposal)?;
    Ok(encode(&outcome))
}

/// How far the tables of this node are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Progress {
    /// The index of the last entry applied.
    pub(crate) entry: Option<u64>,
    /// The number of the last command applied.
    pub(crate) command: u64,
}

/// What of the tables is kept even when the power goes.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Durable {
    /// The index of the last entry that they hold.
    pub(crate) entry: Option<u64>,
    /// Why no more will be: the tables could not be written.
    pub(crate) failure: Option<String>,
}

/// The tables of one node. Clones are the same tables.
#[derive(Clone)]
pub(crate) struct Machine(Arc<Shared>);

struct Shared {
    world: World,
    apply: Apply,
    /// Replaced when a snapshot is installed.
    tables: RwLock<Arc<dyn Engine>>,
    note: Mutex<Note>,
    /// Whether a snapshot was built or installed since the start.
    has_snapshot: Mutex<bool>,
    /// Whether anything was written since the last durable commit.
    is_dirty: Mutex<bool>,
    progress: watch::Sender<Progress>,
    durable: watch::Sender<Durable>,
    /// Dropped after the tables, which tells that they are closed.
    _open: oneshot::Sender<()>,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn progress(note: &Note) -> Progress {
    Progress { entry: note.applied.map(|id| id.index), command: note.commands }
}

impl Machine {
    /// Takes up the tables where they are. The receiver ends when they are closed. Blocks.
    pub(crate) fn new(
        world: &World,
        tables: Arc<dyn Engine>,
        apply: Apply,
    ) -> Result<(Self, oneshot::Receiver<()>), TableError> {
        let note = Note::of(&*tables.snapshot()?)?;
        let (open, closed) = oneshot::channel();
        let shared = Shared {
            world: world.clone(),
            apply,
            tables: RwLock::new(tables),
            progress: watch::channel(progress(&note)).0,
            // What is found at a start was found on the drive.
            durable: watch::channel(Durable { entry: progress(&note).entry, failure: None }).0,
            note: Mutex::new(note),
            has_snapshot: Mutex::new(false),
            is_dirty: Mutex::new(false),
            _open: open,
        };
        Ok((Self(Arc::new(shared)), closed))
    }

    fn tables(&self) -> Arc<dyn Engine> {
        Arc::clone(&self.0.tables.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn progress(&self) -> watch::Receiver<Progress> {
        self.0.progress.subscribe()
    }

    /// Up to where the tables no longer need the log.
    pub(crate) fn durable(&self) -> watch::Receiver<Durable> {
        self.0.durable.subscribe()
    }

    /// Does `work` with the tables where it may block.
    pub(crate) async fn on_tables<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Engine) -> T + Send + 'static,
    ) -> T {
        let tables = self.tables();
        self.0.world.blocking(move || work(&*tables)).await
    }

    /// Makes the tables durable, if there is anything to.
    pub(crate) async fn sync(&self) -> Result<(), TableError> {
        if std::mem::take(&mut *lock(&self.0.is_dirty)) {
            self.make_durable().await?;
        }
        Ok(())
    }

    async fn make_durable(&self) -> Result<(), TableError> {
        // What is noted was written before.
        let written = progress(&lock(&self.0.note)).entry;
        self.on_tables(|tables| tables.sync()).await?;
        self.kept(written);
        Ok(())
    }

    fn kept(&self, entry: Option<u64>) {
        self.0.durable.send_modify(|durable| durable.entry = durable.entry.max(entry));
    }

    /// Tells openraft that the tables cannot be written, and whoever waits until they are.
    fn failed(&self, error: &TableError) -> StorageError {
        self.0.durable.send_modify(|durable| durable.failure = Some(error.to_string()));
        StorageIOError::write_state_machine(AnyError::new(error)).into()
    }

    fn arrived(&self, note: Note) {
        let now = progress(&note);
        *lock(&self.0.note) = note;
        self.0.progress.send_replace(now);
    }

    async fn apply_all(&self, entries: Vec<Entry>) -> Result<Vec<Vec<Bytes>>, TableError> {
        *lock(&self.0.is_dirty) = true;
        let (apply, before) = (self.0.apply, lock(&self.0.note).clone());
        let write = move |tables: &dyn Engine| {
            let (mut note, mut outcomes) = (before.clone(), Vec::new());
            let mut work = |rows: &mut dyn Writer| {
                (note, outcomes) = (before.clone(), Vec::with_capacity(entries.len()));
                for entry in &entries {
                    outcomes.push(apply_entry(rows, &mut note, entry, apply)?);
                }
                Ok(note.encode())
            };
            tables.write(&mut work, false)?;
            Ok((note, outcomes))
        };
        let (note, outcomes) = self.on_tables(write).await?;
        self.arrived(note);
        Ok(outcomes)
    }

    /// A moment of the tables, with what openraft wants to know of it.
    pub(crate) async fn moment(&self) -> Result<(Note, Box<dyn Snapshot>), TableError> {
        self.on_tables(|tables| {
            let tables = tables.snapshot()?;
            Ok((Note::of(&*tables)?, tables))
        })
        .await
    }

    async fn install(&self, meta: &SnapshotMeta, data: SnapshotData) -> Result<(), TableError> {
        let old = self.tables();
        let fill = move || match data {
            SnapshotData::Received(tables, note) => Ok((tables.finish(&note.encode())?, note)),
            SnapshotData::Reading(source) => copy(&*old, &*source),
            SnapshotData::Empty => Err(TableError::Invariant("an empty snapshot was installed")),
        };
        let (tables, note) = self.0.world.blocking(fill).await?;
        if note.applied != meta.last_log_id {
            return Err(TableError::Invariant("a snapshot is not of the entry it is said to be"));
        }
        let old = {
            let mut current = self.0.tables.write().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *current, tables)
        };
        // Closing tables writes to them.
        self.0.world.blocking(move || drop(old)).await;
        *lock(&self.0.has_snapshot) = true;
        let entry = progress(&note).entry;
        self.arrived(note);
        self.kept(entry);
        Ok(())
    }
}

/// Applies one entry; the outcomes are those of its proposals, none for other entries.
fn apply_entry(
    rows: &mut dyn Writer,
    note: &mut Note,
    entry: &Entry,
    apply: Apply,
) -> Result<Vec<Bytes>, TableError> {
    note.applied = Some(entry.log_id);
    match &entry.payload {
        EntryPayload::Blank => Ok(Vec::new()),
        EntryPayload::Membership(members) => {
            note.members = StoredMembership::new(Some(entry.log_id), members.clone());
            Ok(Vec::new())
        }
        EntryPayload::Normal(batch) => batch::split(batch.clone())
            .map_err(|_| TableError::Invariant("an entry of the log is no batch of proposals"))?
            .iter()
            .map(|proposal| {
                note.commands += 1;
                apply(rows, note.commands, proposal).map(Bytes::from)
            })
            .collect(),
    }
}

/// Fills new tables from a moment of others.
fn copy(old: &dyn Engine, source: &dyn Snapshot) -> Result<(Arc<dyn Engine>, Note), TableError> {
    let note = Note::of(source)?;
    let mut tables = old.replacement()?;
    let mut from = Some(Vec::new());
    while let Some(start) = from {
        let (rows, rest) = part(source, &start, 1 << 20)?;
        tables.put(&rows)?;
        from = rest;
    }
    Ok((tables.finish(&note.encode())?, note))
}

fn reading(error: &TableError) -> StorageError {
    StorageIOError::read_state_machine(AnyError::new(error)).into()
}

impl RaftStateMachine<Types> for Machine {
    type SnapshotBuilder = Self;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembers), StorageError> {
        let note = lock(&self.0.note);
        Ok((note.applied, note.members.clone()))
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<Vec<Bytes>>, StorageError>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries = entries.into_iter().collect();
        self.apply_all(entries).await.map_err(|error| self.failed(&error))
    }

    async fn get_snapshot_builder(&mut self) -> Self {
        self.clone()
    }

    async fn begin_receiving_snapshot(&mut self) -> Result<Box<SnapshotData>, StorageError> {
        Ok(Box::new(SnapshotData::Empty))
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        snapshot: Box<SnapshotData>,
    ) -> Result<(), StorageError> {
        self.install(meta, *snapshot).await.map_err(|error| self.failed(&error))
    }

    /// The tables as they are now: a snapshot that was kept since it was built would keep every
    /// row that was replaced since, and be older for nothing.
    async fn get_current_snapshot(&mut self) -> Result<Option<Moment>, StorageError> {
        if !*lock(&self.0.has_snapshot) {
            return Ok(None);
        }
        let (note, tables) = self.moment().await.map_err(|error| reading(&error))?;
        Ok(Some(snapshot(&note, tables)))
    }
}

fn snapshot(note: &Note, tables: Box<dyn Snapshot>) -> Moment {
    Moment { meta: note.meta(), snapshot: Box::new(SnapshotData::Reading(tables)) }
}

impl RaftSnapshotBuilder<Types> for Machine {
    /// Nothing is copied: the tables are the snapshot. They are made durable, since openraft now
    /// purges the log up to here.
    async fn build_snapshot(&mut self) -> Result<Moment, StorageError> {
        let (note, tables) = self.moment().await.map_err(|error| reading(&error))?;
        self.make_durable().await.map_err(|error| self.failed(&error))?;
        *lock(&self.0.has_snapshot) = true;
        Ok(snapshot(&note, tables))
    }
}
