//! Mending: shards that are missing or rotten are made anew, those astray are brought home.
//!
//! Who has a shard that lies astray brings it home himself; what nobody has is made by the one node
//! that is responsible for the chunk, out of any shards that are enough. A shard is dropped only
//! once its home has vouched for another one, and while the chunk lacks none: what stands in for a
//! node that is away may be the last that another node's damage leaves.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use chunkstore_core::gather::Whole;
use chunkstore_core::home::Write;
use chunkstore_core::shard::{ChunkKey, ShardHeader, checksum};
use chunkstore_core::stripe::{Shape, encode};
use node_base::{DriveId, NodeId};
use node_world::Class;

use super::look::{Amiss, Looked};
use super::read::read_checked;
use super::{Inner, stats};
use crate::drive::{AppendError, SyncFailed};
use crate::peer::{Collected, Kept, Reply, Request, Shard};

/// What came of mending a chunk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mended {
    /// Nothing was amiss that is this node's to mend, or the chunk is in the trash.
    Sound,
    /// So many shards were written.
    Written(u64),
    /// Too few sound shards are left to make the others from.
    Lost,
}

/// Why a chunk could not be mended now.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MendError {
    #[error("noting that a shard is gone")]
    Append(#[from] AppendError),
    #[error("noting that a shard is gone")]
    Sync(#[from] SyncFailed),
    #[error("a drive or node with shards of it does not answer")]
    Unread,
    #[error("the drive where a shard belongs does not take it")]
    NotTaken,
    #[error("the drive where a shard belongs does not vouch for it")]
    NotVouched,
}

impl Inner {
    /// Mends a chunk in the background, unless enough of that is going on.
    pub(crate) fn mend_soon(self: &Arc<Self>, key: ChunkKey) {
        // What finds no place now is found by the scrub.
        let Ok(place) = Arc::clone(&self.mending).try_acquire_owned() else { return };
        let inner = Arc::clone(self);
        self.world.spawn(async move {
            if inner.mend_and_tell(key).await.is_none() {
                inner.want_survey();
            }
            drop(place);
        });
    }

    /// Mends a chunk and says so in log and numbers; nothing when it could not be done now.
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
                // Or it was never acknowledged; who knows finds out which.
                tracing::error!(%hash, generation, "too few shards of a chunk are left");
                Some(Mended::Lost)
            }
            Ok(Mended::Sound) => Some(Mended::Sound),
            Err(error) => {
                tracing::info!(%hash, generation, %error, "a chunk could not be mended yet");
                None
            }
        }
    }

    /// Brings a chunk to full redundancy, as far as that is this node's to do.
    async fn mend(self: &Arc<Self>, key: ChunkKey) -> Result<Mended, MendError> {
        let Some(shape) = self.shape_of(key).await? else { return Ok(Mended::Sound) };
        let looked = self.look_up(&[(key, shape)]).await.pop();
        let Some(mut looked) = looked else { return Ok(Mended::Sound) };
        let mut amiss = self.judge(&looked);
        if amiss.plan.missing() > 0 {
            // Before a shard is made anew, all are asked whether they have it.
            self.look_further(&mut looked).await;
            amiss = self.judge(&looked);
        }
        if looked.is_trashed() {
            return Ok(Mended::Sound);
        }
        let _in_hand = self.repairing.take(2 * shape.stored_len).await;
        let Some(shards) = self.make(&looked, &amiss).await? else { return Ok(Mended::Lost) };
        let written = self.bring(&shards).await;
        self.clear(&looked, &amiss, &written).await?;
        match (written.len(), shards.len()) {
            (0, 0) => Ok(Mended::Sound),
            (done, all) if done < all => Err(MendError::NotTaken),
            (done, _) => Ok(Mended::Written(done as u64)),
        }
    }

    /// The shape of a chunk of which this node has shards.
    async fn shape_of(self: &Arc<Self>, key: ChunkKey) -> Result<Option<Shape>, MendError> {
        let inner = Arc::clone(self);
        let read = move || {
            let sources = inner.sources(&key);
            let headers = sources.iter().map(|(at, held)| {
                let header = inner.drives[*at].read(held.print, |_| None);
                header.ok().map(|header| header.shape)
            });
            (sources.is_empty(), headers.flatten().next())
        };
        let (is_absent, shape) = self.world.blocking(read).await;
        if is_absent || shape.is_some() {
            return Ok(shape);
        }
        // Its own heads are rotten: what the others have tells.
        let collected = self.collect(key, Class::ShardBackground).await;
        match collected.whole {
            Some(whole) => Ok(Some(whole.header.shape)),
            None => Err(MendError::Unread),
        }
    }

    /// The shards that this node is to write, and where; nothing when the chunk is lost.
    async fn make(
        self: &Arc<Self>,
        looked: &Looked,
        amiss: &Amiss,
    ) -> Result<Option<Vec<(Shard, DriveId)>>, MendError> {
        let is_rotten_here = |index: u8| {
            let mut own = looked.found.iter().filter(|found| self.drive(found.drive).is_some());
            own.any(|found| found.index == index && !found.is_sound)
        };
        let (mut moves, mut anew) = (Vec::new(), Vec::new());
        for Write { index, from, to } in &amiss.plan.writes {
            match from {
                Some(from) => moves.extend(self.drive(*from).map(|_| (*index, *from, *to))),
                None if amiss.is_responsible || is_rotten_here(*index) => anew.push((*index, *to)),
                None => {}
            }
        }
        let mut shards = self.read_moved(looked.key, moves).await?;
        if anew.is_empty() {
            return Ok(Some(shards));
        }
        let Collected { whole, silent, .. } =
            self.collect(looked.key, Class::ShardBackground).await;
        let Some(whole) = whole else {
            return if silent > 0 { Err(MendError::Unread) } else { Ok(None) };
        };
        shards.extend(self.world.blocking(move || cut(&whole, &anew)).await);
        Ok(Some(shards))
    }

    /// Reads shards of this node that are to be written elsewhere.
    async fn read_moved(
        self: &Arc<Self>,
        key: ChunkKey,
        moves: Vec<(u8, DriveId, DriveId)>,
    ) -> Result<Vec<(Shard, DriveId)>, MendError> {
        let inner = Arc::clone(self);
        let read = move || {
            let mut shards = Vec::with_capacity(moves.len());
            for (index, from, to) in moves {
                let Some((on, at)) = inner.shard_at(&key, index, from) else { continue };
                let read = read_checked(&inner.drives[on], &at);
                let (header, body) = read.map_err(|_| MendError::Unread)?;
                shards.push(((header, Bytes::from(body)), to));
            }
            Ok(shards)
        };
        self.world.blocking(read).await
    }

    /// Writes shards to where they belong; answers which of them are durable there.
    async fn bring(self: &Arc<Self>, shards: &[(Shard, DriveId)]) -> Vec<(u8, DriveId)> {
        let layout = self.layout();
        let mut by_node: BTreeMap<NodeId, Vec<&(Shard, DriveId)>> = BTreeMap::new();
        for shard in shards {
            if let Some(node) = layout.node_of(shard.1) {
                by_node.entry(node).or_default().push(shard);
            }
        }
        let mut written = Vec::with_capacity(shards.len());
        for (node, shards) in by_node {
            let drives: Vec<DriveId> = shards.iter().map(|(_, to)| *to).collect();
            let bodies: Vec<Shard> = shards.iter().map(|(shard, _)| shard.clone()).collect();
            let indexes: Vec<u8> = bodies.iter().map(|(header, _)| header.index).collect();
            let kept = if node == self.settings.node {
                self.keep(drives.clone(), bodies, false).await
            } else {
                let request = Request::Put { drives: drives.clone(), away: false };
                match self.ask(node, Class::ShardBackground, &request, &bodies).await {
                    Ok((Reply::Put(kept), _)) => kept,
                    _ => Vec::new(),
                }
            };
            let all = indexes.into_iter().zip(drives).zip(kept);
            let durable = all.filter(|(_, kept)| *kept == Kept::Durable);
            written.extend(durable.map(|(place, _)| place));
        }
        written
    }

    /// Drops the shards here that others have taken the place of, once none of the chunk's is
    /// lacking.
    async fn clear(
        self: &Arc<Self>,
        looked: &Looked,
        amiss: &Amiss,
        written: &[(u8, DriveId)],
    ) -> Result<(), MendError> {
        let keepers = &amiss.plan.keepers;
        let is_there = |place: (u8, DriveId)| {
            let mut sound = looked.found.iter().filter(|found| found.is_sound);
            written.contains(&place) || sound.any(|found| (found.index, found.drive) == place)
        };
        let is_whole = keepers.len() >= looked.shape.shards()
            && keepers.iter().all(|(index, keeper)| is_there((*index, *keeper)));
        if !is_whole {
            // The next survey finds them again.
            return Ok(());
        }
        let mut are_all_gone = true;
        for found in &looked.found {
            let Some(keeper) = keepers.get(&found.index) else { continue };
            if *keeper != found.drive && self.drive(found.drive).is_some() {
                let left = self.leave(&looked.key, found.index, found.drive, *keeper).await?;
                are_all_gone &= left;
            }
        }
        if are_all_gone { Ok(()) } else { Err(MendError::NotVouched) }
    }
}

/// Cuts shards out of a chunk again.
fn cut(whole: &Whole, wanted: &[(u8, DriveId)]) -> Vec<(Shard, DriveId)> {
    // It was coded once, in this shape.
    let shards = encode(whole.header.shape, &whole.stored).unwrap_or_default();
    let cut = |(index, to): &(u8, DriveId)| {
        let body = shards.get(usize::from(*index))?.clone();
        let header = ShardHeader { index: *index, checksum: checksum(&body), ..whole.header };
        Some(((header, body), *to))
    };
    wanted.iter().filter_map(cut).collect()
}
