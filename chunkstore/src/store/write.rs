//! Storing chunks: hash, pack, code and write in one go, then wait until enough of it is durable.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use chunkstore_core::decide::is_acknowledged;
use chunkstore_core::pack::Packer;
use chunkstore_core::shard::{ChunkKey, ShardHeader, checksum};
use chunkstore_core::stripe::{Form, Shape, encode};
use futures_util::future::join_all;
use node_base::limits::CHUNK_MAX;
use node_base::{ClusterMap, Generation, Profile, Sha256, TenantId, sha256};
use node_world::Class;

use super::error::PutError;
use super::{Inner, Store, held};
use crate::drive::{AppendError, SyncFailed, Ticket, shard_record};
use crate::peer::spread;

/// A chunk to be stored.
#[derive(Clone, Debug)]
pub struct NewChunk {
    pub tenant: TenantId,
    pub generation: Generation,
    pub plain: Bytes,
    /// What its hash must be.
    pub expected: Option<Sha256>,
}

/// What became of a chunk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StoredChunk {
    pub hash: Sha256,
    /// Plain bytes.
    pub size: u32,
    /// Bytes of all its shards together, without their heads.
    pub stored_size: u64,
    pub profile: Profile,
}

impl Store {
    /// Stores a chunk: when the answer is there it is durable.
    ///
    /// # Errors
    /// When the chunk is not what it should be, or not enough drives took it.
    pub async fn put(
        &self,
        tenant: TenantId,
        generation: Generation,
        plain: Bytes,
        expected: Option<Sha256>,
    ) -> Result<StoredChunk, PutError> {
        let chunk = NewChunk { tenant, generation, plain, expected };
        let put = Arc::clone(&self.0).put_batch(vec![chunk], Class::ShardForeground);
        let mut results = put.await;
        results.pop().unwrap_or(Err(PutError::NotDurable { durable: 0 }))
    }

    /// Stores chunks that share their syncs; answers for each in the order given.
    pub async fn put_many(&self, chunks: Vec<NewChunk>) -> Vec<Result<StoredChunk, PutError>> {
        let mut batches: Vec<Vec<NewChunk>> = Vec::new();
        let mut room = 0;
        for chunk in chunks {
            let len = chunk.plain.len();
            match batches.last_mut() {
                Some(batch) if len <= room => batch.push(chunk),
                _ => {
                    room = CHUNK_MAX;
                    batches.push(vec![chunk]);
                }
            }
            room = room.saturating_sub(len);
        }
        let put = |batch| Arc::clone(&self.0).put_batch(batch, Class::ShardForeground);
        let batches = batches.into_iter().map(put);
        join_all(batches).await.into_iter().flatten().collect()
    }
}

impl Inner {
    /// Stores chunks that share their syncs; `class` is how they travel to other nodes.
    pub(super) async fn put_batch(
        self: Arc<Self>,
        chunks: Vec<NewChunk>,
        class: Class,
    ) -> Vec<Result<StoredChunk, PutError>> {
        let bytes = chunks.iter().map(|chunk| chunk.plain.len().min(CHUNK_MAX)).sum::<usize>();
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX).min(self.settings.in_flight_bytes);
        // The semaphore is never closed.
        let in_flight = Arc::clone(&self.writing).acquire_many_owned(bytes).await;
        let inner = Arc::clone(&self);
        if self.layout().is_shared(self.settings.node) {
            let batch = self.world.blocking(move || Batch::code_all(inner, chunks)).await;
            let coded = |chunk: Coded| (chunk.stored, chunk.shape);
            let chunks = batch.chunks.into_iter().map(|chunk| chunk.map(coded)).collect();
            return spread(self, chunks, batch.pending, class, in_flight).await;
        }
        let mut batch = self.world.blocking(move || Batch::code_all(inner, chunks).write()).await;
        while !batch.written.is_empty() {
            let written = std::mem::take(&mut batch.written);
            let commits = written.into_iter().map(|Written { drive, shards, ticket }| {
                let on = Arc::clone(&self.drives[drive]);
                async move { (drive, shards, on.commit(ticket).await) }
            });
            for (drive, shards, result) in join_all(commits).await {
                batch.committed(drive, shards, result);
            }
            if !batch.pending.is_empty() {
                batch = self.world.blocking(move || batch.write()).await;
            }
        }
        batch.end()
    }
}

/// Chunks on their way to the drives.
struct Batch {
    inner: Arc<Inner>,
    chunks: Vec<Result<Coded, PutError>>,
    /// Shards that are on no drive yet.
    pending: Vec<Pending>,
    /// Shards that are written, but perhaps not durable.
    written: Vec<Written>,
    /// Drives that failed this batch, or lately.
    failed: BTreeSet<usize>,
    is_full: bool,
}

struct Coded {
    stored: StoredChunk,
    shape: Shape,
    ranked: Vec<usize>,
    /// Shards by the drive they are written on, and those of them that are durable.
    placed: BTreeMap<usize, usize>,
    durable: BTreeMap<usize, usize>,
}

/// A shard of a batch's chunk, to be written.
pub(crate) struct Pending {
    pub(crate) chunk: usize,
    pub(crate) header: ShardHeader,
    pub(crate) body: Bytes,
}

struct Written {
    drive: usize,
    shards: Vec<Pending>,
    ticket: Ticket,
}

impl Batch {
    /// Makes the shards of all chunks; blocks.
    fn code_all(inner: Arc<Inner>, chunks: Vec<NewChunk>) -> Self {
        let mut suspects: BTreeSet<usize> = (0..inner.drives.len()).collect();
        suspects.retain(|drive| inner.drives[*drive].is_suspect());
        if suspects.len() == inner.drives.len() {
            suspects.clear();
        }
        let mut batch = Self {
            inner: Arc::clone(&inner),
            chunks: Vec::with_capacity(chunks.len()),
            pending: Vec::new(),
            written: Vec::new(),
            failed: suspects,
            is_full: false,
        };
        let layout = inner.layout();
        let kept = held(&inner.packers).pop();
        match kept.map_or_else(Packer::new, Ok) {
            Ok(mut packer) => {
                for chunk in chunks {
                    let coded = batch.code(layout.current(), &mut packer, &chunk);
                    batch.chunks.push(coded);
                }
                held(&inner.packers).push(packer);
            }
            Err(error) => {
                let kind = error.kind();
                let failed = chunks.iter().map(|_| Err(PutError::Compressor(kind.into())));
                batch.chunks.extend(failed);
            }
        }
        batch
    }

    /// Checks a chunk and makes its shards.
    fn code(
        &mut self,
        map: &ClusterMap,
        packer: &mut Packer,
        chunk: &NewChunk,
    ) -> Result<Coded, PutError> {
        let size = chunk.plain.len();
        if !(1..=CHUNK_MAX).contains(&size) {
            return Err(PutError::Size { size });
        }
        let hash = sha256(&chunk.plain);
        if let Some(expected) = chunk.expected.filter(|expected| *expected != hash) {
            return Err(PutError::Checksum { expected, actual: hash });
        }
        let key = ChunkKey { tenant: chunk.tenant, hash, generation: chunk.generation };
        let packed = packer.pack(&chunk.plain);
        let profile = map.profile();
        let shape = Shape::new(profile, packed.bytes.len());
        let shards = encode(shape, &packed.bytes)?;
        let of_copies = checksum(&shards[0]);
        for (index, body) in shards.into_iter().enumerate() {
            let checksum = match shape.form {
                Form::Copies => of_copies,
                Form::Stripe if index == 0 => of_copies,
                Form::Stripe => checksum(&body),
            };
            let compression = packed.compression;
            // A profile has fewer than 256 shards.
            let index = index as u8;
            let header = ShardHeader { key, shape, compression, index, plain_len: size, checksum };
            self.pending.push(Pending { chunk: self.chunks.len(), header, body });
        }
        let stored_size = (shape.shards() * shape.shard_len()) as u64;
        Ok(Coded {
            // At most CHUNK_MAX.
            stored: StoredChunk { hash, size: size as u32, stored_size, profile },
            shape,
            // Where several nodes have drives, they are ranked together.
            ranked: match self.inner.layout().is_shared(self.inner.settings.node) {
                true => Vec::new(),
                false => self.inner.ranked(map, &key),
            },
            placed: BTreeMap::new(),
            durable: BTreeMap::new(),
        })
    }

    /// Writes what is pending, each shard to the best drive that still takes it; blocks.
    fn write(mut self) -> Self {
        while !self.pending.is_empty() {
            let mut by_drive: BTreeMap<usize, Vec<Pending>> = BTreeMap::new();
            for shard in std::mem::take(&mut self.pending) {
                // Where no drive is left the shard stays unwritten; the end of the batch judges.
                if let Some(drive) = self.choose(&shard) {
                    by_drive.entry(drive).or_default().push(shard);
                }
            }
            for (drive, shards) in by_drive {
                self.write_to(drive, shards);
            }
        }
        self
    }

    fn choose(&mut self, shard: &Pending) -> Option<usize> {
        let (drives, failed) = (&self.inner.drives, &self.failed);
        let coded = self.chunks[shard.chunk].as_mut().ok()?;
        let usable: Vec<usize> =
            coded.ranked.iter().copied().filter(|drive| !failed.contains(drive)).collect();
        let mut sound = usable.clone();
        sound.retain(|drive| !drives[*drive].is_suspect());
        let candidates = if sound.is_empty() { usable } else { sound };
        let load = |drive: &usize| coded.placed.get(drive).copied().unwrap_or(0);
        let best = candidates.into_iter().min_by_key(load)?;
        *coded.placed.entry(best).or_default() += 1;
        let homes = &coded.ranked[..coded.ranked.len().min(coded.shape.shards())];
        if !homes.contains(&best) || coded.placed[&best] > 1 {
            self.inner.want_survey();
        }
        Some(best)
    }

    fn write_to(&mut self, drive: usize, shards: Vec<Pending>) {
        let record = |shard: &Pending| shard_record(shard.header, shard.body.clone());
        let records: Vec<_> = shards.iter().map(record).collect();
        match self.inner.drives[drive].append(&records, false) {
            Ok(ticket) => self.written.push(Written { drive, shards, ticket }),
            Err(error) => {
                self.is_full |= matches!(error, AppendError::Full);
                self.fail(drive, shards);
            }
        }
    }

    /// These shards have to go elsewhere.
    fn fail(&mut self, drive: usize, shards: Vec<Pending>) {
        self.failed.insert(drive);
        for shard in &shards {
            if let Ok(coded) = &mut self.chunks[shard.chunk] {
                *coded.placed.entry(drive).or_default() -= 1;
            }
        }
        self.pending.extend(shards);
    }

    fn committed(&mut self, drive: usize, shards: Vec<Pending>, result: Result<(), SyncFailed>) {
        if result.is_err() {
            return self.fail(drive, shards);
        }
        for shard in shards {
            if let Ok(coded) = &mut self.chunks[shard.chunk] {
                *coded.durable.entry(drive).or_default() += 1;
            }
        }
    }

    fn end(self) -> Vec<Result<StoredChunk, PutError>> {
        let (failed, is_full) = (self.failed, self.is_full);
        let judge = |coded: Coded| {
            let usable = coded.ranked.iter().filter(|drive| !failed.contains(drive)).count();
            let (drives, shards) = (coded.durable.len(), coded.durable.values().sum::<usize>());
            let is_whole = shards == coded.shape.shards() || drives > coded.shape.needed();
            match is_whole && is_acknowledged(coded.shape, drives, coded.durable.len().max(usable))
            {
                true => Ok(coded.stored),
                false if is_full => Err(PutError::Full),
                false => Err(PutError::NotDurable { durable: drives }),
            }
        };
        self.chunks.into_iter().map(|chunk| chunk.and_then(judge)).collect()
    }
}
