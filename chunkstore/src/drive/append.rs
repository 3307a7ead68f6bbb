//! The one writer of a drive: records go to the end of the open pack, and one sync serves all that
//! wait for one.

use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use node_world::{File, OpenMode, World};
use tokio::sync::oneshot;

use super::index::{Entry, Index, Print, Slot};
use super::record::{ALIGN, Record, Seal};
use super::{hint, pack_path};

/// Bodies from this size on are written from where they lie; smaller ones are gathered.
const GATHERED_MAX: usize = 64 << 10;
const GATHER: usize = 1 << 20;
/// After so much new in the pack its hints are written.
const HINT_BYTES: u64 = 64 << 20;
const HINT_ENTRIES: usize = hint::ENTRIES_MAX / 2;

/// A record to be written.
pub(crate) struct NewRecord {
    pub(crate) record: Record,
    pub(crate) body: Bytes,
    pub(crate) condition: Condition,
}

/// What must hold at the moment of writing; otherwise the record is left out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Condition {
    Always,
    /// The shard still lies there.
    LiesAt(Print, Slot),
    /// The shard is there.
    Lives(Print),
    /// The note, from a pack that is going, still has something to say.
    StillSays(u32),
}

impl Condition {
    fn holds(self, index: &Index, record: &Record) -> bool {
        match (self, record) {
            (Self::LiesAt(print, slot), _) => index.get(print) == Some(slot),
            (Self::Lives(print), _) => index.get(print).is_some(),
            (Self::StillSays(going), Record::Note(print, what)) => {
                index.still_says(*print, *what, going)
            }
            (Self::Always | Self::StillSays(_), _) => true,
        }
    }
}

/// Why records were not written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AppendError {
    #[error("the drive is full")]
    Full,
    #[error("the drive cannot be written")]
    Io(#[source] io::Error),
}

impl From<io::Error> for AppendError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full,
            _ => Self::Io(error),
        }
    }
}

/// Written bytes could not be made durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the drive did not make durable what was written")]
pub(crate) struct SyncFailed;

/// Records that are written; durable once the drive says so.
pub(crate) struct Ticket(pub(super) Option<oneshot::Receiver<Result<(), SyncFailed>>>);

/// The end of the open pack.
pub(super) struct Appender {
    pub(super) pack: u32,
    pub(super) file: Arc<dyn File>,
    /// Where the next record begins.
    pub(super) end: u64,
    /// Nothing more is written to this pack: a write or sync of it failed, and what the drive kept
    /// of it is unknown.
    broken: bool,
    waiting: Vec<oneshot::Sender<Result<(), SyncFailed>>>,
    hints: Hints,
}

/// The hints of the open pack.
pub(super) struct Hints {
    /// Nothing once they could not be written: they can be done without.
    file: Option<Arc<dyn File>>,
    end: u64,
    told: u64,
    pending: Vec<Entry>,
}

impl Hints {
    pub(super) fn new(file: Option<Arc<dyn File>>, told: hint::Told, pending: Vec<Entry>) -> Self {
        Self { file, end: told.end, told: told.to, pending }
    }

    /// Writes what is pending of the pack up to `durable`.
    pub(super) fn write(&mut self, seal: &Seal, pack: u32, durable: u64) {
        let Some(file) = self.file.clone() else { return self.pending.clear() };
        let ready = self.pending.partition_point(|entry| entry.at < durable);
        let entries: Vec<Entry> = self.pending.drain(..ready).collect();
        let (mut bytes, mut from) = (Vec::new(), self.told);
        let mut blocks = entries.chunks(hint::ENTRIES_MAX).peekable();
        while let Some(block) = blocks.next() {
            let to = blocks.peek().map_or(durable, |next| next[0].at);
            let at = self.end + bytes.len() as u64;
            hint::write(seal, pack, at, (from, to), block, &mut bytes);
            from = to;
        }
        match file.write_at(&bytes, self.end) {
            Ok(()) => (self.end, self.told) = (self.end + bytes.len() as u64, from),
            Err(error) => {
                tracing::debug!(pack, %error, "hints are left out");
                self.file = None;
            }
        }
    }
}

/// Makes the open pack of this number, for writing from `end` on.
pub(super) fn open_pack(
    world: &World,
    folder: &Path,
    pack: u32,
    end: u64,
    hints: Hints,
) -> io::Result<Appender> {
    let file = world.disk().open(&pack_path(folder, pack), OpenMode::Create)?;
    world.disk().sync_folder(&folder.join("packs"))?;
    Ok(Appender { pack, file, end, broken: false, waiting: Vec::new(), hints })
}

/// The hint file of a pack, for writing.
pub(super) fn open_hints(world: &World, folder: &Path, pack: u32) -> Option<Arc<dyn File>> {
    world.disk().open(&super::hint_path(folder, pack), OpenMode::Create).ok()
}

impl Appender {
    /// Writes records at the end. `index` is asked for the conditions and told of what was written.
    pub(super) fn append(
        &mut self,
        seal: &Seal,
        index: &std::sync::Mutex<Index>,
        records: &[NewRecord],
    ) -> Result<Ticket, AppendError> {
        let wanted: Vec<&NewRecord> = {
            let index = super::held(index);
            records.iter().filter(|new| new.condition.holds(&index, &new.record)).collect()
        };
        if wanted.is_empty() {
            return Ok(Ticket(None));
        }
        let (entries, end) = match self.write(seal, &wanted) {
            Ok(written) => written,
            Err(error) => {
                self.give_back(&error);
                return Err(error.into());
            }
        };
        self.end = end;
        let mut index = super::held(index);
        for (entry, new) in entries.iter().zip(wanted) {
            // What is copied as it lies is no better at its new place.
            let is_copy = matches!(new.condition, Condition::LiesAt(..));
            let was_rotten = is_copy && index.is_rotten(entry.print);
            index.apply(self.pack, entry);
            if let Some(slot) = index.get(entry.print).filter(|_| was_rotten) {
                index.mark_rotten(entry.print, slot);
            }
        }
        drop(index);
        self.hints.pending.extend(entries);
        Ok(self.ticket())
    }

    /// A ticket for all that is written.
    pub(super) fn ticket(&mut self) -> Ticket {
        let (done, ticket) = oneshot::channel();
        self.waiting.push(done);
        Ticket(Some(ticket))
    }

    /// The batch was not written: the next one takes its place, or goes to another pack.
    fn give_back(&mut self, error: &io::Error) {
        self.broken |= error.kind() != io::ErrorKind::StorageFull;
        if let Err(error) = self.file.set_len(self.end) {
            tracing::debug!(pack = self.pack, %error, "a torn tail stays in the pack");
        }
    }

    fn write(&self, seal: &Seal, records: &[&NewRecord]) -> io::Result<(Vec<Entry>, u64)> {
        let mut entries = Vec::with_capacity(records.len());
        let mut buffer = Vec::new();
        let (mut written, mut at) = (self.end, self.end);
        for new in records {
            // The gap before the record, if any, is part of the buffer, or a hole before it.
            if buffer.is_empty() {
                written = at;
            } else {
                buffer.resize((at - written) as usize, 0);
            }
            entries.push(new.record.entry(seal, at));
            seal.write(self.pack, at, &new.record, &mut buffer);
            let (head, body) = new.record.lens();
            at = (at + head + body).next_multiple_of(ALIGN);
            if new.body.len() < GATHERED_MAX {
                buffer.extend_from_slice(&new.body);
            } else {
                self.file.write_at(&buffer, written)?;
                self.file.write_uncached_at(&new.body, written + buffer.len() as u64)?;
                buffer.clear();
            }
            if buffer.len() >= GATHER {
                self.file.write_at(&buffer, written)?;
                buffer.clear();
            }
        }
        if !buffer.is_empty() {
            self.file.write_at(&buffer, written)?;
        }
        Ok((entries, at))
    }

    /// Whether records of `len` bytes in all call for another pack.
    pub(super) fn is_closing(&self, len: u64, pack_bytes: u64) -> bool {
        self.broken || (self.end > 0 && self.end + len > pack_bytes)
    }

    pub(super) fn is_broken(&self) -> bool {
        self.broken
    }

    /// Makes this pack durable for good and starts the next.
    pub(super) fn roll(
        &mut self,
        world: &World,
        folder: &Path,
        seal: &Seal,
        index: &std::sync::Mutex<Index>,
    ) -> io::Result<()> {
        let durable = if self.broken { Err(SyncFailed) } else { self.close(seal) };
        self.answer(durable);
        if durable.is_err() && !self.broken {
            self.broken = true;
            return Err(io::Error::other(SyncFailed));
        }
        super::held(index).reaches(self.pack, self.end);
        let pack = self.pack + 1;
        let told = hint::Told { to: 0, end: 0 };
        let hints = Hints::new(open_hints(world, folder, pack), told, Vec::new());
        *self = open_pack(world, folder, pack, 0, hints)?;
        super::held(index).reaches(pack, 0);
        Ok(())
    }

    /// Makes the pack durable and its hints complete.
    pub(super) fn close(&mut self, seal: &Seal) -> Result<(), SyncFailed> {
        if self.broken {
            return Err(SyncFailed);
        }
        self.file.sync_data().map_err(|error| {
            tracing::warn!(pack = self.pack, %error, "a pack could not be made durable");
            SyncFailed
        })?;
        self.hints.write(seal, self.pack, self.end);
        if let Some(Err(error)) = self.hints.file.as_ref().map(|file| file.sync_data()) {
            tracing::debug!(pack = self.pack, %error, "hints are not durable");
        }
        Ok(())
    }

    fn answer(&mut self, durable: Result<(), SyncFailed>) {
        for waiting in self.waiting.drain(..) {
            // Who does not wait any more does not mind.
            let _ = waiting.send(durable);
        }
    }

    /// What one sync serves.
    pub(super) fn begin_sync(&mut self) -> Option<Syncing> {
        let waiting = std::mem::take(&mut self.waiting);
        let (pack, end, file) = (self.pack, self.end, Arc::clone(&self.file));
        (!waiting.is_empty()).then_some(Syncing { pack, end, file, waiting })
    }

    /// The sync has come back.
    pub(super) fn end_sync(&mut self, seal: &Seal, syncing: Syncing, result: io::Result<()>) {
        let durable = result.map_err(|error| {
            tracing::warn!(pack = syncing.pack, %error, "a pack could not be made durable");
            SyncFailed
        });
        if self.pack == syncing.pack {
            let new = syncing.end.saturating_sub(self.hints.told);
            if durable.is_err() {
                // A later sync of the same file may succeed without what this one lost.
                self.broken = true;
                self.answer(durable);
            } else if new >= HINT_BYTES || self.hints.pending.len() >= HINT_ENTRIES {
                self.hints.write(seal, syncing.pack, syncing.end);
            }
        }
        for waiting in syncing.waiting {
            // Who does not wait any more does not mind.
            let _ = waiting.send(durable);
        }
    }
}

/// A sync under way, without the appender's lock.
pub(super) struct Syncing {
    pack: u32,
    end: u64,
    pub(super) file: Arc<dyn File>,
    waiting: Vec<oneshot::Sender<Result<(), SyncFailed>>>,
}
