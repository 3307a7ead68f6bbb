//! Compaction: what lives in a pack is written again at the end of the log, then the pack goes.
//!
//! A copy is an ordinary append: durable before the pack is removed, and left out where the shard
//! died or moved meanwhile. What has rotted is copied as well, since it may be mended yet by hand,
//! and known to be rotten from then on. A crash in between leaves both, of which the later one
//! counts.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use chunkstore_core::decide::choose_compaction;

use super::append::{AppendError, Condition, NewRecord, SyncFailed};
use super::record::{Record, SHARD_PREFIX, Walk};
use super::{Drive, held, hint_path, pack_path};

/// Bytes copied before the next look at who else wants the drive.
const BATCH: usize = 4 << 20;

/// What compaction remembers.
#[derive(Default)]
pub(super) struct Compaction {
    /// Packs with live shards whose heads cannot be read: they are kept until those are written
    /// anew from elsewhere, or given up.
    held_back: BTreeSet<u32>,
}

/// Why a pack was not compacted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CompactError {
    #[error("reading or removing a pack")]
    Io(#[from] io::Error),
    #[error("copying what lives in a pack")]
    Append(#[from] AppendError),
    #[error("copying what lives in a pack")]
    Sync(#[from] SyncFailed),
}

/// What a compaction did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Compacted {
    pub(crate) packs: u64,
    /// How many bytes the packs took less afterwards.
    pub(crate) freed_bytes: u64,
}

impl Drive {
    /// Compacts the pack that is most worth it, if one is.
    ///
    /// # Errors
    /// When the drive fails; nothing is lost then, and the next attempt begins anew.
    pub(crate) async fn compact_one(self: &Arc<Self>) -> Result<Option<Compacted>, CompactError> {
        if self.has_lost_a_sync() {
            // What the index believes to be copied may not be there: packs stay until a start has
            // looked.
            return Ok(None);
        }
        let open = held(&self.appender).pack;
        let free = self.space()?.free;
        let before = self.with_index(super::Index::pack_bytes);
        let packs = {
            let compaction = held(&self.compacting);
            let mut packs = held(&self.index).closed_packs(open);
            packs.retain(|pack| {
                pack.garbage >= pack.bytes || !compaction.held_back.contains(&pack.number)
            });
            packs
        };
        let Some(pack) = choose_compaction(&packs, free) else { return Ok(None) };
        let mut from = 0;
        loop {
            let drive = Arc::clone(self);
            match self.world.blocking(move || drive.copy_batch(pack, from)).await? {
                Some(next) => from = next,
                None => break,
            }
        }
        if self.is_inhabited(pack) {
            return Ok(Some(Compacted::default()));
        }
        // Nothing comes to live in a closed pack again. What took the place of its last shards,
        // copies or what others wrote meanwhile, is written by now, and durable after this.
        self.settle().await?;
        let drive = Arc::clone(self);
        self.world.blocking(move || drive.remove_pack(pack)).await?;
        let after = self.with_index(super::Index::pack_bytes);
        Ok(Some(Compacted { packs: 1, freed_bytes: before.saturating_sub(after) }))
    }

    /// Copies what lives from `from` on, up to a batch; answers where the next one begins.
    fn copy_batch(&self, pack: u32, from: u64) -> Result<Option<u64>, CompactError> {
        let file = match self.pack_file(pack) {
            // An earlier attempt got this far.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let mut walk = Walk::new(&*file, &self.seal, pack, from, file.len()?);
        let (mut records, mut bytes, mut next) = (Vec::new(), 0, None);
        while let Some((at, record)) = walk.next()? {
            if bytes >= BATCH {
                next = Some(at);
                break;
            }
            let entry = record.entry(&self.seal, at);
            let condition = match record {
                Record::Note(..) => Condition::StillSays(pack),
                Record::Shard(_) => match held(&self.index).get(entry.print) {
                    Some(slot) if (slot.pack, slot.at()) == (pack, at) => {
                        Condition::LiesAt(entry.print, slot)
                    }
                    _ => continue,
                },
            };
            let mut body = vec![0; entry.body_len as usize];
            if !body.is_empty() {
                file.read_uncached_at(&mut body, at + SHARD_PREFIX as u64)?;
            }
            if let (Record::Shard(header), Condition::LiesAt(print, slot)) = (&record, condition)
                && !header.matches(&body)
            {
                self.mark_rotten(print, slot);
            }
            bytes += entry.len() as usize;
            records.push(NewRecord { record, body: Bytes::from(body), condition });
        }
        // That they are durable is made sure of once, at the end.
        drop(self.append(&records, true)?);
        Ok(next)
    }

    /// Whether shards are left that could not be copied: the pack is kept then.
    fn is_inhabited(&self, pack: u32) -> bool {
        let is_inhabited = held(&self.index).is_inhabited(pack);
        if is_inhabited {
            tracing::warn!(drive = %self.id, pack, "a pack holds shards that cannot be read");
            held(&self.compacting).held_back.insert(pack);
        }
        is_inhabited
    }

    /// Removes a pack in which nothing lives any more.
    fn remove_pack(&self, pack: u32) -> io::Result<()> {
        held(&self.files).remove(&pack);
        for path in [pack_path(&self.folder, pack), hint_path(&self.folder, pack)] {
            match self.world.disk().remove(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        self.world.disk().sync_folder(&self.folder.join("packs"))?;
        held(&self.index).forget_pack(pack);
        Ok(())
    }
}
