//! Mending: shards that are missing or rotten are made anew, those astray are brought home.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use chunkstore_core::place::{Move, moves};
use chunkstore_core::shard::{ChunkKey, ShardHeader, checksum};
use chunkstore_core::stripe::{Shape, encode};
use node_base::DriveId;

use super::verify::Verdict;
use super::{Inner, stats};
use crate::drive::index::{Note, Print, Slot};
use crate::drive::{AppendError, Drive, SyncFailed, Ticket, shard_record};

/// What came of mending a chunk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mended {
    /// Nothing was amiss, or the chunk is in the trash.
    Sound,
    /// So many shards were written.
    Written(u64),
    /// Too few sound shards are here to make the others from.
    Lost,
}

/// Why a chunk could not be mended now.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MendError {
    #[error("writing a shard anew")]
    Append(#[from] AppendError),
    #[error("writing a shard anew")]
    Sync(#[from] SyncFailed),
    #[error("a drive with shards of it does not answer")]
    Unread,
    #[error("no drive takes the shard")]
    NoDrive,
}

/// What mending has written, and what it makes superfluous once durable.
#[derive(Default)]
struct Work {
    written: Vec<(usize, Ticket)>,
    superfluous: Vec<(usize, Print, Slot)>,
}

impl Inner {
    /// Mends a chunk in the background, unless enough of that is going on.
    pub(super) fn mend_soon(self: &Arc<Self>, key: ChunkKey) {
        // What finds no place now is found by the scrub.
        let Ok(place) = Arc::clone(&self.mending).try_acquire_owned() else { return };
        let inner = Arc::clone(self);
        self.world.spawn(async move {
            inner.mend_and_tell(key).await;
            drop(place);
        });
    }

    /// Mends a chunk and says so in log and numbers.
    pub(super) async fn mend_and_tell(self: &Arc<Self>, key: ChunkKey) -> Option<Mended> {
        let (hash, generation) = (key.hash, key.generation.0);
        match self.mend(key).await {
            Ok(Mended::Written(shards)) => {
                stats::add(&self.counts.mended_shards, shards);
                tracing::warn!(%hash, generation, shards, "a chunk was mended");
                Some(Mended::Written(shards))
            }
            Ok(Mended::Lost) => {
                stats::add(&self.counts.lost_chunks, 1);
                tracing::error!(%hash, generation, "too few shards of a chunk are left here");
                Some(Mended::Lost)
            }
            Ok(Mended::Sound) => Some(Mended::Sound),
            Err(error) => {
                self.survey_wanted.store(true, Ordering::Relaxed);
                tracing::warn!(%hash, generation, %error, "a chunk could not be mended yet");
                None
            }
        }
    }

    /// Brings a chunk to full redundancy, as far as this node's drives allow.
    pub(super) async fn mend(self: &Arc<Self>, key: ChunkKey) -> Result<Mended, MendError> {
        let inner = Arc::clone(self);
        let work = self.world.blocking(move || inner.mend_now(&key)).await?;
        let Some(work) = work else { return Ok(Mended::Lost) };
        let written = work.written.len() as u64;
        for (drive, ticket) in work.written {
            self.drives[drive].commit(ticket).await?;
        }
        let inner = Arc::clone(self);
        let superfluous = work.superfluous;
        let notes = self.world.blocking(move || inner.drop_shards(&superfluous)).await?;
        for (drive, ticket) in notes {
            self.drives[drive].commit(ticket).await?;
        }
        Ok(if written > 0 { Mended::Written(written) } else { Mended::Sound })
    }

    /// Writes what is amiss; nothing when the chunk cannot be put together.
    fn mend_now(&self, key: &ChunkKey) -> Result<Option<Work>, MendError> {
        let mut work = Work::default();
        if self.drives.iter().any(|drive| drive.trashed(key).is_some()) {
            return Ok(Some(work));
        }
        let examined = self.examine(key);
        let Verdict { sound, rotten, missing, .. } = &examined.verdict;
        if sound.is_empty() && rotten.is_empty() {
            // Purged meanwhile.
            return Ok(Some(work));
        }
        let Some((header, stored)) = &examined.stored else {
            return if examined.is_partial { Err(MendError::Unread) } else { Ok(None) };
        };
        let plan = self.plan(key, header.shape, sound, missing);
        let is_amiss = !plan.is_empty() || !rotten.is_empty();
        let shards =
            if is_amiss { encode(header.shape, stored).unwrap_or_default() } else { vec![] };
        for Step { index, from, to } in plan {
            let Some(body) = shards.get(usize::from(index)) else { continue };
            let to = to.ok_or(MendError::NoDrive)?;
            let header = ShardHeader { index, checksum: checksum(body), ..*header };
            let ticket = self.drives[to].append(&[shard_record(header, body.clone())], false)?;
            work.written.push((to, ticket));
            work.superfluous.extend(from.and_then(|from| self.slot_of(key, index, from)));
        }
        for (index, drive) in rotten {
            // One that was written anew in its place is not rotten any more.
            let at = self.slot_of(key, *index, *drive);
            work.superfluous.extend(at.filter(|(drive, print, _)| {
                self.drives[*drive].with_index(|known| known.is_rotten(*print))
            }));
        }
        Ok(Some(work))
    }

    /// Which shards to write where.
    fn plan(
        &self,
        key: &ChunkKey,
        shape: Shape,
        sound: &[(u8, DriveId)],
        missing: &[u8],
    ) -> Vec<Step> {
        let mut ranked = self.ranked(&self.map(), key);
        ranked.retain(|drive| !self.drives[*drive].is_suspect());
        let mut held: Vec<(u8, DriveId)> = sound.to_vec();
        let mut steps = Vec::new();
        for index in missing {
            let load =
                |drive: &usize| held.iter().filter(|(_, id)| *id == self.drives[*drive].id).count();
            let to = ranked.iter().copied().min_by_key(load);
            held.extend(to.map(|to| (*index, self.drives[to].id)));
            steps.push(Step { index: *index, from: None, to });
        }
        for Move { index, from, to } in self.astray(&ranked, shape, &held) {
            let to = self.drives.iter().position(|drive| drive.id == to);
            steps.push(Step { index, from: Some(from), to });
        }
        steps
    }

    fn astray(&self, ranked: &[usize], shape: Shape, held: &[(u8, DriveId)]) -> Vec<Move> {
        let homes = ranked.iter().take(shape.shards()).map(|drive| self.drives[*drive].id);
        moves(&homes.collect::<Vec<_>>(), held)
    }

    /// Whether anything is amiss with a chunk, by the indexes alone.
    pub(super) fn is_amiss(&self, key: &ChunkKey, shape: Shape) -> bool {
        let sources = self.sources(key);
        let held: Vec<(u8, DriveId)> =
            sources.iter().map(|(at, held)| (held.print.index(), self.drives[*at].id)).collect();
        let sound = sources.iter().filter(|(_, held)| !held.is_rotten);
        let indexes: BTreeSet<u8> = sound.map(|(_, held)| held.print.index()).collect();
        let mut ranked = self.ranked(&self.map(), key);
        ranked.retain(|drive| !self.drives[*drive].is_suspect());
        indexes.len() < shape.shards()
            || sources.iter().any(|(_, held)| held.is_rotten)
            || !self.astray(&ranked, shape, &held).is_empty()
    }

    fn slot_of(&self, key: &ChunkKey, index: u8, id: DriveId) -> Option<(usize, Print, Slot)> {
        let at = self.drives.iter().position(|drive| drive.id == id)?;
        let shards = self.drives[at].find(key).into_iter();
        let held = shards.into_iter().find(|held| held.print.index() == index)?;
        Some((at, held.print, held.slot))
    }

    /// Ends shards that lie where they were seen, and whose place others have taken.
    fn drop_shards(
        &self,
        superfluous: &[(usize, Print, Slot)],
    ) -> Result<Vec<(usize, Ticket)>, AppendError> {
        let mut notes = Vec::new();
        for (at, print, slot) in superfluous {
            let drive: &Drive = &self.drives[*at];
            if drive.with_index(|index| index.get(*print)) == Some(*slot) {
                notes.push((*at, drive.note_prints(&[*print], Note::Gone)?));
            }
        }
        Ok(notes)
    }
}

/// A shard to be written, and where it comes from when it is only moved.
struct Step {
    index: u8,
    from: Option<DriveId>,
    to: Option<usize>,
}
