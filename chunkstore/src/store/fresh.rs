//! Looking after what others wrote here a while ago.
//!
//! Who writes a chunk answers for it before its last shards are written, and may find no place for
//! some, or go down then. It need not have a shard itself, and its own surveys do not see the chunk
//! where it has none; so the nodes that have some look after it once the writer must have ended.

use std::collections::BTreeMap;
use std::sync::Mutex;

use chunkstore_core::shard::ChunkKey;
use chunkstore_core::stripe::Shape;
use node_base::Duration;
use node_world::Instant;

use super::{Inner, held};
use crate::peer::{Kept, Shard};

/// Longer than a writer tries.
const LOOKED_AFTER: Duration = Duration::from_secs(30);
/// Chunks kept in mind; where there are more, a survey looks at all.
const FRESH_MAX: usize = 100_000;

/// Chunks that others wrote shards of here lately, and when.
#[derive(Default)]
pub(super) struct Fresh(Mutex<BTreeMap<ChunkKey, (Shape, Instant)>>);

impl Inner {
    /// Keeps in mind that shards of these chunks came, as far as they were kept.
    pub(crate) fn note_fresh(&self, shards: &[(ChunkKey, Shape)], kept: &[Kept]) {
        let now = self.world.now();
        let mut fresh = held(&self.fresh.0);
        for ((key, shape), _) in shards.iter().zip(kept).filter(|(_, kept)| **kept == Kept::Durable)
        {
            if fresh.len() >= FRESH_MAX && !fresh.contains_key(key) {
                self.want_survey();
                return;
            }
            fresh.insert(*key, (*shape, now));
        }
    }

    /// Takes the chunks whose time to be looked after has come.
    pub(super) fn take_fresh(&self) -> Vec<(ChunkKey, Shape)> {
        let now = self.world.now();
        let mut due = Vec::new();
        held(&self.fresh.0).retain(|key, (shape, came)| {
            let waits = now.since(*came) < LOOKED_AFTER;
            if !waits {
                due.push((*key, *shape));
            }
            waits
        });
        due
    }
}

/// What of shards is kept in mind.
pub(crate) fn chunks(shards: &[Shard]) -> Vec<(ChunkKey, Shape)> {
    shards.iter().map(|(header, _)| (header.key, header.shape)).collect()
}
