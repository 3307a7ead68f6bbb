//! Handing chunks out: no byte leaves unchecked. What this node has is enough, or others are asked.
//!
//! A shard that is the whole of the stored chunk is checked against its own BLAKE3, which was
//! computed when the chunk's SHA-256 had been, from the same bytes; what is put together of several
//! is hashed again and compared with the chunk's own hash.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use chunkstore_core::buffer::Buffers;
use chunkstore_core::pack::unpack;
use chunkstore_core::shard::{ChunkKey, ShardHeader};
use chunkstore_core::stripe::Assembly;
use futures_util::future::join_all;
use node_base::plant::{self, Bug};
use node_base::sha256;
use node_world::Class;
use tokio::sync::SemaphorePermit;

use super::error::GetError;
use super::{Inner, Store};
use crate::drive::{Drive, Held, ReadError};
use crate::peer::Collected;

/// What a chunk that lies on other nodes alone is taken for, in bytes.
const REMOTE_GUESS: u64 = 1 << 20;

impl Store {
    /// The plain bytes of a chunk. Damage that is found on the way is mended in the background.
    ///
    /// # Errors
    /// When the chunk is not here, or too little of it.
    pub async fn get(&self, key: &ChunkKey) -> Result<Bytes, GetError> {
        self.get_many(vec![*key]).await.pop().unwrap_or(Err(GetError::NotFound))
    }

    /// The plain bytes of each of several chunks, in the order given. Together they are read at
    /// less cost than one by one.
    pub async fn get_many(&self, keys: Vec<ChunkKey>) -> Vec<Result<Bytes, GetError>> {
        if self.0.is_shared() {
            return join_all(keys.into_iter().map(|key| self.get_shared(key))).await;
        }
        let inner = Arc::clone(&self.0);
        let sources: Vec<_> = keys.iter().map(|key| inner.sources(key)).collect();
        let _in_flight = self.0.reading_room(sources.iter().map(|of| on_drives(of)).sum()).await;
        let read = move || {
            let each = keys.into_iter().zip(sources);
            each.map(|(key, sources)| (key, inner.read_chunk(&key, &sources))).collect()
        };
        let read: Vec<(ChunkKey, (_, bool))> = self.0.world.blocking(read).await;
        let each = read.into_iter().map(|(key, (plain, is_damaged))| {
            if is_damaged {
                self.0.mend_soon(key);
            }
            plain
        });
        each.collect()
    }

    /// The same where other nodes have shards: this one's own are enough, or theirs are asked for.
    async fn get_shared(&self, key: ChunkKey) -> Result<Bytes, GetError> {
        let sources = self.0.sources(&key);
        // What others have of it is as long again, or not known yet.
        let bytes = on_drives(&sources).saturating_mul(2).max(REMOTE_GUESS);
        let _in_flight = self.0.reading_room(bytes).await;
        let (plain, is_damaged) = self.0.read_shared(key, sources).await;
        if is_damaged {
            self.0.mend_soon(key);
        }
        plain
    }
}

/// Bytes of shards on this node's drives.
fn on_drives(sources: &[(usize, Held)]) -> u64 {
    sources.iter().map(|(_, held)| held.slot.record_len()).sum()
}

/// Reads a shard and makes sure that its bytes are whole.
pub(crate) fn read_checked(
    drive: &Drive,
    held: &Held,
) -> Result<(ShardHeader, Vec<u8>), ReadError> {
    let mut body = Vec::new();
    let out = &mut body;
    let result = drive.read(held.print, move |header| {
        out.resize(header.shape.shard_len(), 0);
        Some(&mut out[..])
    });
    let result = match result {
        Ok(header) if header.matches(&body) => Ok((header, body)),
        Ok(_) => Err(ReadError::Rotten),
        Err(error) => Err(error),
    };
    if matches!(result, Err(ReadError::Rotten)) {
        drive.mark_rotten(held.print, held.slot);
    }
    result
}

/// A chunk on its way out.
#[derive(Default)]
struct Reading {
    assembly: Option<(ShardHeader, Assembly)>,
    sound: usize,
    is_damaged: bool,
    failed: Option<std::io::Error>,
}

impl Inner {
    /// Waits until so many bytes may be on their way out.
    async fn reading_room(&self, bytes: u64) -> Option<SemaphorePermit<'_>> {
        let most = self.settings.in_flight_bytes;
        let bytes = u32::try_from(bytes).unwrap_or(most).min(most);
        // The semaphore is never closed.
        self.reading.acquire_many(bytes).await.ok()
    }

    async fn read_shared(
        self: &Arc<Self>,
        key: ChunkKey,
        sources: Vec<(usize, Held)>,
    ) -> (Result<Bytes, GetError>, bool) {
        let inner = Arc::clone(self);
        let read = move || inner.is_enough(&sources).then(|| inner.read_chunk(&key, &sources));
        if let Some((Ok(plain), is_damaged)) = self.world.blocking(read).await {
            return (Ok(plain), is_damaged);
        }
        let collected = self.collect(key, Class::ShardForeground).await;
        let is_damaged = collected.is_damaged;
        (plain_of(collected), is_damaged)
    }

    /// Whether these shards, if they are sound, give their chunk back; blocks.
    pub(super) fn is_enough(&self, sources: &[(usize, Held)]) -> bool {
        let Some((at, held)) = sources.first() else { return false };
        let indexes: BTreeSet<u8> = sources.iter().map(|(_, held)| held.print.index()).collect();
        let header = self.drives[*at].read(held.print, |_| None);
        header.is_ok_and(|header| indexes.len() >= header.shape.needed())
    }

    /// The chunk's plain bytes, and whether damage was met.
    pub(super) fn read_chunk(
        &self,
        key: &ChunkKey,
        sources: &[(usize, Held)],
    ) -> (Result<Bytes, GetError>, bool) {
        if sources.is_empty() {
            return (Err(GetError::NotFound), false);
        }
        // Shards are taken at their word first: the chunk's own hash tells at the end. Only when it
        // does not come out is each one looked at.
        let reading = self.read_shards(sources, false);
        let is_damaged = reading.is_damaged;
        if let Ok(plain) = reading.plain(key) {
            return (Ok(plain), is_damaged);
        }
        let reading = self.read_shards(sources, true);
        let is_damaged = reading.is_damaged;
        (reading.plain(key), is_damaged)
    }

    fn read_shards(&self, sources: &[(usize, Held)], check: bool) -> Reading {
        let mut reading = Reading::default();
        for (at, held) in sources {
            if reading.assembly.as_ref().is_some_and(|(_, assembly)| assembly.is_enough()) {
                break;
            }
            let drive = &self.drives[*at];
            let result = if check {
                let whole = read_checked(drive, held);
                whole.map(|(header, body)| reading.take(header, &body, &self.buffers))
            } else {
                let assembly = &mut reading.assembly;
                let buffers = &self.buffers;
                let result = drive.read(held.print, |header| slot(assembly, header, buffers));
                result.map(|header| reading.keep(&header))
            };
            match result {
                Ok(()) => {}
                Err(ReadError::Rotten) => {
                    drive.mark_rotten(held.print, held.slot);
                    reading.is_damaged = true;
                }
                Err(ReadError::Io(error)) => {
                    reading.is_damaged = true;
                    reading.failed.get_or_insert(error);
                }
            }
        }
        reading
    }
}

/// The chunk that was put together of what several nodes have, or why there is none.
pub(super) fn plain_of(collected: Collected) -> Result<Bytes, GetError> {
    let Collected { whole, sound, needed, silent, is_damaged } = collected;
    match (whole, needed) {
        (Some(whole), _) => Ok(whole.plain),
        (None, needed) if silent > 0 => Err(GetError::Unanswered { silent, sound, needed }),
        (None, Some(needed)) => Err(GetError::Damaged { sound, needed }),
        (None, None) if is_damaged => Err(GetError::Damaged { sound, needed: 1 }),
        (None, None) => Err(GetError::NotFound),
    }
}

/// Where a shard's bytes go; nowhere when it does not belong to those that came before.
fn slot<'a>(
    assembly: &'a mut Option<(ShardHeader, Assembly)>,
    header: &ShardHeader,
    buffers: &Buffers,
) -> Option<&'a mut [u8]> {
    let (first, assembly) =
        assembly.get_or_insert_with(|| (*header, Assembly::reusing(header.shape, buffers)));
    if belongs(first, header) { assembly.slot(usize::from(header.index)) } else { None }
}

fn belongs(first: &ShardHeader, header: &ShardHeader) -> bool {
    let index = first.index;
    ShardHeader { index, checksum: first.checksum, ..*header } == *first
}

impl Reading {
    fn keep(&mut self, header: &ShardHeader) {
        match &mut self.assembly {
            Some((first, assembly)) if belongs(first, header) => {
                assembly.keep(usize::from(header.index));
                self.sound += 1;
            }
            _ => self.is_damaged = true,
        }
    }

    fn take(&mut self, header: ShardHeader, body: &[u8], buffers: &Buffers) {
        if let Some(slot) = slot(&mut self.assembly, &header, buffers) {
            slot.copy_from_slice(body);
            self.keep(&header);
        }
    }

    fn plain(self, key: &ChunkKey) -> Result<Bytes, GetError> {
        let Some((header, assembly)) = self.assembly else {
            return Err(self
                .failed
                .map_or(GetError::Damaged { sound: 0, needed: 1 }, GetError::Io));
        };
        if !assembly.is_enough() {
            let damaged = GetError::Damaged { sound: self.sound, needed: header.shape.needed() };
            return Err(self.failed.map_or(damaged, GetError::Io));
        }
        let stored = assembly.finish().map_err(|_| GetError::Checksum)?;
        let is_checked = header.shape.needed() == 1
            && header.shape.shard_len() == stored.len()
            && header.key == *key
            && header.matches(&stored);
        let plain = unpack(header.compression, header.plain_len, stored);
        let plain = plain.map_err(|_| GetError::Checksum)?;
        let is_sound = is_checked || plant::on(Bug::UncheckedShard) || sha256(&plain) == key.hash;
        if is_sound { Ok(plain) } else { Err(GetError::Checksum) }
    }
}
