//! Looking at all shards of one chunk.

use std::collections::BTreeSet;
use std::sync::Arc;

use chunkstore_core::pack::unpack;
use chunkstore_core::shard::{ChunkKey, ShardHeader};
use chunkstore_core::stripe::Assembly;
use node_base::{DriveId, sha256};

use super::read::read_checked;
use super::{Inner, Store};
use crate::drive::ReadError;

/// What is left of a chunk on this node's drives.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Verdict {
    /// Sound shards and where they lie.
    pub sound: Vec<(u8, DriveId)>,
    /// Shards that cannot be read, or are not what was written.
    pub rotten: Vec<(u8, DriveId)>,
    /// Indexes of which no sound shard is here.
    pub missing: Vec<u8>,
    /// Whether the sound shards give back bytes of the chunk's hash.
    pub is_readable: bool,
}

/// A verdict, and what mending needs to act on it.
pub(super) struct Examined {
    pub(super) verdict: Verdict,
    /// A drive did not answer: another attempt may find more.
    pub(super) is_partial: bool,
    /// The chunk's stored bytes and the header of one of its shards.
    pub(super) stored: Option<(ShardHeader, bytes::Bytes)>,
}

impl Store {
    /// Reads every shard of a chunk and says what is left of it.
    pub async fn verify(&self, key: &ChunkKey) -> Verdict {
        let (inner, key) = (Arc::clone(&self.0), *key);
        self.0.world.blocking(move || inner.examine(&key).verdict).await
    }
}

impl Inner {
    /// Reads and checks every shard; blocks.
    pub(super) fn examine(&self, key: &ChunkKey) -> Examined {
        let mut verdict = Verdict::default();
        let mut reading: Option<(ShardHeader, Assembly)> = None;
        let (mut indexes, mut is_partial) = (BTreeSet::new(), false);
        for (at, held) in self.sources(key) {
            let drive = &self.drives[at];
            let place = (held.print.index(), drive.id);
            let (header, body) = match read_checked(drive, &held) {
                Ok(read) => read,
                Err(error) => {
                    is_partial |= matches!(error, ReadError::Io(_));
                    verdict.rotten.push(place);
                    continue;
                }
            };
            let (_, assembly) =
                reading.get_or_insert_with(|| (header, Assembly::new(header.shape)));
            if let Some(slot) = assembly.slot(usize::from(header.index)) {
                // Shards of one generation have one shape: a differing one is no shard of it.
                if slot.len() == body.len() {
                    slot.copy_from_slice(&body);
                    assembly.keep(usize::from(header.index));
                }
            }
            indexes.insert(header.index);
            verdict.sound.push(place);
        }
        let Some((header, assembly)) = reading else {
            return Examined { verdict, is_partial, stored: None };
        };
        let all = 0..u8::try_from(header.shape.shards()).unwrap_or(u8::MAX);
        verdict.missing = all.filter(|index| !indexes.contains(index)).collect();
        let stored = assembly.finish().ok().filter(|stored| {
            let plain = unpack(header.compression, header.plain_len, stored.clone());
            plain.is_ok_and(|plain| sha256(&plain) == key.hash)
        });
        verdict.is_readable = stored.is_some();
        Examined { verdict, is_partial, stored: stored.map(|stored| (header, stored)) }
    }
}
