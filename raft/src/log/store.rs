//! openraft's view of the log.
//!
//! One lock holds what is in memory, taken for moments; another holds the files, taken by whoever
//! writes for as long as the drive takes. An append puts its entries into memory and into a queue,
//! and starts a writer; the first writer that gets the files takes the whole queue, so all that
//! gathered while the drive was busy costs one sync.

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use node_base::NodeId;
use node_base::plant::{self, Bug};
use node_world::World;
use openraft::storage::{LogFlushed, RaftLogStorage};
use openraft::{AnyError, LogState, OptionalSend, RaftLogId, RaftLogReader, StorageIOError};
use tokio::sync::{OwnedMutexGuard, watch};

use super::files::{self, Files};
use super::index::{Index, Where};
use super::{LogError, LogSettings};
use crate::machine::Durable;
use crate::types::{Entry, LogId, StorageError, Types, Vote, decode_entry};

/// About how many bytes one message to a peer carries: more entries wait for the next.
const REPLICATED_AT_ONCE: usize = 4 << 20;

type Flushed = Box<dyn FnOnce(io::Result<()>) + Send>;

struct Memory {
    index: Index,
    /// Appended and not yet written, with whom to tell.
    queue: Vec<(Vec<Entry>, Flushed)>,
    vote: Option<Vote>,
    committed: Option<LogId>,
}

/// The log of one node. Clones are the same log.
#[derive(Clone)]
pub(crate) struct LogStore {
    world: World,
    /// How many bytes its files have.
    bytes: Arc<AtomicU64>,
    memory: Arc<Mutex<Memory>>,
    files: Arc<tokio::sync::Mutex<Files>>,
    tables: watch::Receiver<Durable>,
}

impl LogStore {
    /// Opens the log in `folder`, or makes it. `tables` tells what no longer needs it.
    ///
    /// **A restarted node never resumes as leader.** openraft takes up its leadership again at
    /// start-up when it finds its own vote committed. A leader that crashed before its last entries
    /// were synced would then give their log ids to other entries, while followers may hold the
    /// first ones. So the node's own committed vote comes back as not committed: it still has not
    /// voted for anybody else in that term, and it must be elected in a new one.
    pub(crate) async fn open(
        world: &World,
        node: NodeId,
        folder: &Path,
        settings: LogSettings,
        tables: watch::Receiver<Durable>,
    ) -> Result<Self, LogError> {
        let (inner, folder) = (world.clone(), folder.to_owned());
        let recovered = world.blocking(move || Files::open(&inner, &folder, &settings)).await?;
        let purged = recovered.facts.purged.map(LogId::from);
        let index = Index::new(purged, recovered.places, settings.cache_bytes);
        let vote = recovered.facts.vote.map(Vote::from).map(|vote| disown(vote, node));
        // What was known to be committed is believed only of an entry that is here.
        let committed = recovered.committed.filter(|id| index.has(*id)).or(purged);
        let memory = Memory { index, queue: Vec::new(), vote, committed };
        Ok(Self {
            world: world.clone(),
            bytes: Arc::new(AtomicU64::new(recovered.files.bytes())),
            memory: Arc::new(Mutex::new(memory)),
            files: Arc::new(tokio::sync::Mutex::new(recovered.files)),
            tables,
        })
    }

    /// How many bytes the files of the log have.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes entries in and has them written. They can be read at once. Those that are purged
    /// already are in the tables, and are not wanted.
    pub(super) fn enqueue(
        &self,
        mut entries: Vec<Entry>,
        mut flushed: Flushed,
    ) -> Result<(), LogError> {
        let mut memory = self.memory();
        let purged = memory.index.purged().map(|id| id.index);
        entries.retain(|entry| Some(entry.log_id.index) > purged);
        for entry in &entries {
            memory.index.push(entry.clone()).map_err(|next| {
                let index = entry.log_id.index;
                LogError::Stopped(format!("entry {index} was appended where {next} is next"))
            })?;
        }
        if plant::on(Bug::AcknowledgeBeforeSync) {
            std::mem::replace(&mut flushed, Box::new(drop))(Ok(()));
        }
        memory.queue.push((entries, flushed));
        drop(memory);
        let log = self.clone();
        drop(self.world.spawn(async move { log.files().await }));
        Ok(())
    }

    /// The files, with everything written that was appended before.
    async fn files(&self) -> OwnedMutexGuard<Files> {
        let files = Arc::clone(&self.files).lock_owned().await;
        let (queue, committed) = {
            let mut memory = self.memory();
            (std::mem::take(&mut memory.queue), memory.committed)
        };
        if queue.is_empty() {
            return files;
        }
        let (groups, waiting): (Vec<_>, Vec<_>) = queue.into_iter().unzip();
        let entries: Vec<Entry> = groups.into_iter().flatten().collect();
        let (files, result) = self.on(files, move |files| files.append(&entries, committed)).await;
        let failure = match result {
            Ok(places) => {
                self.memory().index.written(places);
                None
            }
            Err(error) => Some(error.chain()),
        };
        for flushed in waiting {
            flushed(failure.as_ref().map_or(Ok(()), |cause| Err(io::Error::other(cause.clone()))));
        }
        files
    }

    /// Does `work` with the files where it may block.
    async fn on<T: Send + 'static>(
        &self,
        mut files: OwnedMutexGuard<Files>,
        work: impl FnOnce(&mut Files) -> T + Send + 'static,
    ) -> (OwnedMutexGuard<Files>, T) {
        let work = move || {
            let output = work(&mut files);
            (files, output)
        };
        let (files, output) = self.world.blocking(work).await;
        self.bytes.store(files.bytes(), Ordering::Relaxed);
        (files, output)
    }

    async fn save_vote_durably(&self, vote: Vote) -> Result<(), LogError> {
        let files = self.files().await;
        let work = move |files: &mut Files| {
            let facts = super::slots::Facts { vote: Some(vote.into()), ..files.facts };
            files.save(facts)
        };
        let (_files, result) = self.on(files, work).await;
        result?;
        self.memory().vote = Some(vote);
        Ok(())
    }

    async fn truncate_durably(&self, since: u64) -> Result<(), LogError> {
        let files = self.files().await;
        let (_files, result) = self.on(files, move |files| files.truncate(since)).await;
        result?;
        self.memory().index.truncate(since);
        Ok(())
    }

    /// **Nothing is purged that the tables do not keep.** When openraft installs a snapshot it
    /// purges the log up to there at once, beside the installing. If the power went in between,
    /// neither the log nor the tables would have those entries, and the node never start again.
    async fn purge_durably(&self, upto: LogId) -> Result<(), LogError> {
        let mut tables = self.tables.clone();
        let is_over =
            |durable: &Durable| durable.entry >= Some(upto.index) || durable.failure.is_some();
        let failure = match tables.wait_for(is_over).await {
            Ok(durable) => durable.failure.clone(),
            Err(_) => Some("they were closed".to_owned()),
        };
        if let Some(why) = failure {
            return Err(LogError::Stopped(format!("the tables cannot be written: {why}")));
        }
        let files = self.files().await;
        let work = move |files: &mut Files| {
            let facts = super::slots::Facts { purged: Some(upto.into()), ..files.facts };
            files.save(facts)?;
            files.remove_purged(upto.index)
        };
        let (_files, result) = self.on(files, work).await;
        result?;
        self.memory().index.purge(upto);
        Ok(())
    }

    /// The entries of `start..end` that there are, but no more than about `budget` bytes of them;
    /// at least one, where there is one.
    async fn read(&self, start: u64, end: u64, budget: usize) -> Result<Vec<Entry>, LogError> {
        let mut found = self.memory().index.find(start, end);
        let mut bytes = 0;
        let fitting = found
            .iter()
            .take_while(|entry| {
                let fits = bytes < budget;
                bytes += match entry {
                    Where::Memory(entry) => crate::types::weight(entry),
                    Where::Drive(place) => place.length,
                };
                fits
            })
            .count();
        found.truncate(fitting);
        let in_memory = |found: &Where| matches!(found, Where::Memory(_));
        if found.iter().all(in_memory) {
            return found.into_iter().map(load).collect();
        }
        self.world.blocking(move || found.into_iter().map(load).collect()).await
    }

    /// The entries from an index on.
    pub(crate) async fn since(&self, index: u64) -> Result<Vec<Entry>, LogError> {
        self.read(index, u64::MAX, REPLICATED_AT_ONCE).await
    }

    #[cfg(test)]
    pub(super) fn cached(&self) -> usize {
        self.memory().index.cached()
    }
}

fn load(found: Where) -> Result<Entry, LogError> {
    match found {
        Where::Memory(entry) => Ok(entry),
        Where::Drive(place) => decode_entry(files::read(&place)?).map_err(|_| {
            let (path, offset) = (place.path.to_path_buf(), place.offset);
            LogError::Damaged { path, offset, why: "its entry cannot be decoded" }
        }),
    }
}

/// The guard of [`LogStore::open`].
fn disown(vote: Vote, node: NodeId) -> Vote {
    let own = vote.leader_id.node_id == node.0 && !plant::on(Bug::ResumeAsLeader);
    Vote { committed: vote.committed && !own, ..vote }
}

fn reading(error: &LogError) -> StorageError {
    StorageIOError::read_logs(AnyError::new(error)).into()
}

fn writing(error: &LogError) -> StorageError {
    StorageIOError::write_logs(AnyError::new(error)).into()
}

impl RaftLogReader<Types> for LogStore {
    async fn try_get_log_entries<R: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: R,
    ) -> Result<Vec<Entry>, StorageError> {
        let start = match range.start_bound() {
            Bound::Included(start) => *start,
            Bound::Excluded(before) => before.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(last) => last.saturating_add(1),
            Bound::Excluded(end) => *end,
            Bound::Unbounded => u64::MAX,
        };
        self.read(start, end, usize::MAX).await.map_err(|error| reading(&error))
    }

    async fn limited_get_log_entries(
        &mut self,
        start: u64,
        end: u64,
    ) -> Result<Vec<Entry>, StorageError> {
        self.read(start, end, REPLICATED_AT_ONCE).await.map_err(|error| reading(&error))
    }
}

impl RaftLogStorage<Types> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<Types>, StorageError> {
        let memory = self.memory();
        let last_purged_log_id = memory.index.purged();
        Ok(LogState { last_purged_log_id, last_log_id: memory.index.last() })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), StorageError> {
        let saved = self.save_vote_durably(*vote).await;
        saved.map_err(|error| StorageIOError::write_vote(AnyError::new(&error)).into())
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, StorageError> {
        Ok(self.memory().vote)
    }

    /// Only a hint, so it is written with the next entries.
    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), StorageError> {
        self.memory().committed = committed;
        Ok(())
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, StorageError> {
        Ok(self.memory().committed)
    }

    async fn append<I>(
        &mut self,
        entries: I,
        flushed: LogFlushed<Types>,
    ) -> Result<(), StorageError>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries: Vec<Entry> = entries.into_iter().collect();
        let flushed = Box::new(move |result| flushed.log_io_completed(result));
        self.enqueue(entries, flushed).map_err(|error| writing(&error))
    }

    async fn truncate(&mut self, since: LogId) -> Result<(), StorageError> {
        self.truncate_durably(since.get_log_id().index).await.map_err(|error| writing(&error))
    }

    async fn purge(&mut self, upto: LogId) -> Result<(), StorageError> {
        self.purge_durably(upto).await.map_err(|error| writing(&error))
    }
}
