//! A drive: a folder of pack files, and the index of what lies in them.
//!
//! ```text
//! <folder>/drive            which drive of which cluster this is
//! <folder>/lock             held by the process that has it
//! <folder>/packs/N.pack     records, appended; only the last pack grows
//! <folder>/packs/N.hint     what the pack holds, so that a start is quick; may be deleted
//! <folder>/scrub            how far the scrub is
//! ```
//!
//! The packs alone are the truth: everything else can be made from them. They are one log in the
//! order of their numbers, where a later record of a shard replaces an earlier one. All writing
//! goes through [`append::Appender`], under one lock, so that the order on the drive is the order
//! in which the index changed.

mod append;
mod compact;
mod hint;
pub(crate) mod identity;
pub(crate) mod index;
mod load;
pub(crate) mod record;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chunkstore_core::shard::{ChunkKey, ShardHeader};
use node_base::{DriveId, Duration, Timestamp};
use node_world::{File, Instant, OpenMode, Space, World};

use append::Appender;
pub(crate) use append::{AppendError, Condition, NewRecord, SyncFailed, Ticket};
use index::{Index, Note, Print, Slot};
use record::{Record, SHARD_PREFIX, Seal};

/// A drive that failed is left alone for this long.
const SUSPECT_FOR: Duration = Duration::from_secs(30);
/// Packs kept open for reading.
const OPEN_FILES_MAX: usize = 128;

/// How a drive is kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DriveSettings {
    pub(crate) cluster: u128,
    pub(crate) pack_bytes: u64,
    pub(crate) reserve_bytes: u64,
}

/// One drive of this node.
pub(crate) struct Drive {
    pub(crate) id: DriveId,
    pub(crate) folder: PathBuf,
    world: World,
    settings: DriveSettings,
    seal: Seal,
    index: Mutex<Index>,
    appender: Mutex<Appender>,
    files: Mutex<BTreeMap<u32, Arc<dyn File>>>,
    /// Whose turn it is to sync for all who wait.
    turn: tokio::sync::Mutex<()>,
    suspect_until: Mutex<Option<Instant>>,
    lost_a_sync: AtomicBool,
    /// Something was written here that could not be read when the drive was opened.
    pub(crate) is_torn: bool,
    compacting: Mutex<compact::Compaction>,
    _lock: Box<dyn Send + Sync>,
}

/// A shard found on a drive.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Held {
    pub(crate) print: Print,
    pub(crate) slot: Slot,
    pub(crate) is_rotten: bool,
}

/// Why a shard could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error("the shard cannot be read")]
    Io(#[source] io::Error),
    #[error("what lies there is not the shard")]
    Rotten,
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What the locks guard is changed in single steps that cannot panic half-way.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn pack_path(folder: &Path, pack: u32) -> PathBuf {
    folder.join("packs").join(format!("{pack:08}.pack"))
}

fn hint_path(folder: &Path, pack: u32) -> PathBuf {
    folder.join("packs").join(format!("{pack:08}.hint"))
}

impl Drive {
    /// Writes records behind one another; durable once [`Drive::commit`] of the ticket says so.
    ///
    /// # Errors
    /// [`AppendError::Full`] when the reserve would be touched, unless `reserve` opens it: deleting
    /// and compacting must go on when storing cannot.
    pub(crate) fn append(
        &self,
        records: &[NewRecord],
        reserve: bool,
    ) -> Result<Ticket, AppendError> {
        let len: u64 = records
            .iter()
            .map(|new| {
                let (h, b) = new.record.lens();
                h + b + 8
            })
            .sum();
        let kept = if reserve { 0 } else { self.settings.reserve_bytes };
        if self.space()?.free < len.saturating_add(kept) {
            return Err(AppendError::Full);
        }
        let result = self.append_now(records, len);
        if let Err(AppendError::Io(error)) = &result {
            tracing::warn!(drive = %self.id, %error, "a write failed");
            self.suspect();
        }
        result
    }

    fn append_now(&self, records: &[NewRecord], len: u64) -> Result<Ticket, AppendError> {
        let mut appender = held(&self.appender);
        if appender.is_closing(len, self.settings.pack_bytes) {
            let rolled = appender.roll(&self.world, &self.folder, &self.seal, &self.index);
            if appender.is_broken() {
                self.lost_a_sync.store(true, Ordering::Relaxed);
            }
            rolled?;
        }
        appender.append(&self.seal, &self.index, records)
    }

    /// Waits until what the ticket is for is durable.
    ///
    /// Who comes first syncs for all who have written by then; the others find it done when their
    /// turn comes.
    pub(crate) async fn commit(self: &Arc<Self>, ticket: Ticket) -> Result<(), SyncFailed> {
        let Some(mut answer) = ticket.0 else { return Ok(()) };
        let turn = self.turn.lock().await;
        if let Ok(done) = answer.try_recv() {
            return done;
        }
        let drive = Arc::clone(self);
        self.world.blocking(move || drive.sync()).await;
        drop(turn);
        answer.await.unwrap_or(Err(SyncFailed))
    }

    /// Waits until all that is written is durable.
    ///
    /// # Errors
    /// When it is not known to be, now or ever.
    pub(crate) async fn settle(self: &Arc<Self>) -> Result<(), SyncFailed> {
        let ticket = held(&self.appender).ticket();
        self.commit(ticket).await?;
        if self.has_lost_a_sync() { Err(SyncFailed) } else { Ok(()) }
    }

    /// Makes all durable, and tells in the hints what the open pack holds, so that the next start
    /// need not read it; blocks.
    pub(crate) fn close(&self) {
        if let Err(error) = held(&self.appender).close(&self.seal) {
            tracing::warn!(drive = %self.id, %error, "the next start reads the last pack");
        }
    }

    /// Syncs for all who wait; blocks.
    fn sync(&self) {
        let Some(syncing) = held(&self.appender).begin_sync() else { return };
        let result = syncing.file.sync_data();
        if result.is_err() {
            self.lost_a_sync.store(true, Ordering::Relaxed);
            self.suspect();
        }
        held(&self.appender).end_sync(&self.seal, syncing, result);
    }

    /// The shards of a chunk on this drive.
    pub(crate) fn find(&self, key: &ChunkKey) -> Vec<Held> {
        let index = held(&self.index);
        let shards = index.shards(self.seal.print(key, 0)).into_iter();
        shards
            .map(|(print, slot)| Held { print, slot, is_rotten: index.is_rotten(print) })
            .collect()
    }

    /// Reads a shard's header, asks `place` where its bytes shall go, and puts them there.
    ///
    /// # Errors
    /// When the shard cannot be read; that its bytes are whole is for the caller to check.
    pub(crate) fn read<'b>(
        &self,
        print: Print,
        place: impl FnOnce(&ShardHeader) -> Option<&'b mut [u8]>,
    ) -> Result<ShardHeader, ReadError> {
        let (file, slot, header) = self.read_header(print)?;
        if let Some(body) = place(&header) {
            let at = slot.at() + SHARD_PREFIX as u64;
            file.read_uncached_at(body, at).map_err(ReadError::Io)?;
        }
        Ok(header)
    }

    fn read_header(&self, print: Print) -> Result<(Arc<dyn File>, Slot, ShardHeader), ReadError> {
        let mut last = None;
        loop {
            let slot = held(&self.index).get(print).ok_or(ReadError::Rotten)?;
            if last == Some(slot) {
                return Err(ReadError::Rotten);
            }
            let result = self.header_at(print, slot);
            match result {
                Ok(found) => return Ok(found),
                // Compaction may have moved it meanwhile: then it lies elsewhere now.
                Err(ReadError::Rotten) => last = Some(slot),
                Err(ReadError::Io(error)) if error.kind() == io::ErrorKind::NotFound => {
                    last = Some(slot);
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn header_at(
        &self,
        print: Print,
        slot: Slot,
    ) -> Result<(Arc<dyn File>, Slot, ShardHeader), ReadError> {
        let file = self.pack_file(slot.pack).map_err(ReadError::Io)?;
        let mut head = [0; SHARD_PREFIX];
        file.read_at(&mut head, slot.at()).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => ReadError::Rotten,
            _ => ReadError::Io(error),
        })?;
        match self.seal.read(slot.pack, slot.at(), &head) {
            Some(Record::Shard(header)) if self.seal.print(&header.key, header.index) == print => {
                Ok((file, slot, header))
            }
            _ => Err(ReadError::Rotten),
        }
    }

    fn pack_file(&self, pack: u32) -> io::Result<Arc<dyn File>> {
        if let Some(file) = held(&self.files).get(&pack) {
            return Ok(Arc::clone(file));
        }
        let file = self.world.disk().open(&pack_path(&self.folder, pack), OpenMode::Read)?;
        let mut files = held(&self.files);
        while files.len() >= OPEN_FILES_MAX {
            files.pop_first();
        }
        files.insert(pack, Arc::clone(&file));
        Ok(file)
    }

    /// Remembers that a shard cannot be read where it lies; whether that was not known.
    pub(crate) fn mark_rotten(&self, print: Print, slot: Slot) -> bool {
        held(&self.index).mark_rotten(print, slot)
    }

    /// Writes a note for certain shards.
    pub(crate) fn note_prints(&self, prints: &[Print], note: Note) -> Result<Ticket, AppendError> {
        let record = |print: &Print| NewRecord {
            record: Record::Note(*print, note),
            body: bytes::Bytes::new(),
            condition: Condition::Lives(*print),
        };
        let notes: Vec<NewRecord> = prints.iter().map(record).collect();
        self.append(&notes, true)
    }

    /// Up to `count` shards behind `after`, in the order in which they lie on the drive.
    pub(crate) fn page(&self, after: Option<Print>, count: usize) -> Vec<Held> {
        let index = held(&self.index);
        let mut page: Vec<Held> = index
            .page(after, count)
            .into_iter()
            .map(|(print, slot)| Held { print, slot, is_rotten: index.is_rotten(print) })
            .collect();
        page.sort_by_key(|held| (held.slot.pack, held.slot.at()));
        page
    }

    /// Up to `count` shards that were in the trash by then.
    pub(crate) fn trashed_by(&self, by: Timestamp, count: usize) -> Vec<Print> {
        held(&self.index).trashed_by(by, count).into_iter().map(|(print, _)| print).collect()
    }

    /// Whether the shard is in the trash.
    pub(crate) fn is_trashed(&self, print: Print) -> bool {
        held(&self.index).trashed(print).is_some()
    }

    pub(crate) fn space(&self) -> io::Result<Space> {
        self.world.disk().space(&self.folder)
    }

    /// The numbers of its packs, rising; none where the drive does not answer.
    pub(crate) fn pack_numbers(&self) -> Vec<u32> {
        load::pack_numbers(&self.world, &self.folder).unwrap_or_default()
    }

    pub(crate) fn seal(&self) -> &record::Seal {
        &self.seal
    }

    /// Asks something of the index.
    pub(crate) fn with_index<T>(&self, ask: impl FnOnce(&Index) -> T) -> T {
        ask(&held(&self.index))
    }

    fn has_lost_a_sync(&self) -> bool {
        self.lost_a_sync.load(Ordering::Relaxed)
    }

    /// Leaves the drive alone for a while.
    pub(crate) fn suspect(&self) {
        *held(&self.suspect_until) = Some(self.world.now().after(SUSPECT_FOR));
    }

    /// Whether the drive failed lately.
    pub(crate) fn is_suspect(&self) -> bool {
        held(&self.suspect_until).is_some_and(|until| self.world.now() < until)
    }
}

/// A shard to be written.
pub(crate) fn shard_record(header: ShardHeader, body: bytes::Bytes) -> NewRecord {
    NewRecord { record: Record::Shard(header), body, condition: Condition::Always }
}
