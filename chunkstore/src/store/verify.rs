//! Looking at all shards of one chunk.

use std::collections::BTreeSet;
use std::sync::Arc;

use chunkstore_core::pack::unpack;
use chunkstore_core::shard::{ChunkKey, ShardHeader};
use chunkstore_core::stripe::Assembly;
use node_base::{DriveId, sha256};

use super::read::read_checked;
use super::{Inner, Store};

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

impl Store {
    /// Reads every shard of a chunk on this node's drives and says what is left of it here.
    pub async fn verify(&self, key: &ChunkKey) -> Verdict {
        let (inner, key) = (Arc::clone(&self.0), *key);
        self.0.world.blocking(move || inner.examine(&key)).await
    }
}

impl Inner {
    /// Reads and checks every shard; blocks.
    fn examine(&self, key: &ChunkKey) -> Verdict {
        let mut verdict = Verdict::default();
        let mut reading: Option<(ShardHeader, Assembly)> = None;
        let mut indexes = BTreeSet::new();
        for (at, held) in self.sources(key) {
            let drive = &self.drives[at];
            let place = (held.print.index(), drive.id);
            let Ok((header, body)) = read_checked(drive, &held) else {
                verdict.rotten.push(place);
                continue;
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
        let Some((header, assembly)) = reading else { return verdict };
        let all = 0..u8::try_from(header.shape.shards()).unwrap_or(u8::MAX);
        verdict.missing = all.filter(|index| !indexes.contains(index)).collect();
        verdict.is_readable = assembly.finish().is_ok_and(|stored| {
            let plain = unpack(header.compression, header.plain_len, stored);
            plain.is_ok_and(|plain| sha256(&plain) == key.hash)
        });
        verdict
    }
}
