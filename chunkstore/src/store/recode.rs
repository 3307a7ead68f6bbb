//! Coding a chunk anew: it is read, whatever its profile, and written again by the newest map's,
//! under another generation. Which of the two is to stand is for the caller to have agreed on.

use std::sync::Arc;

use bytes::Bytes;
use chunkstore_core::shard::ChunkKey;
use node_base::{Generation, NodeId, Sha256, TenantId};
use node_world::Class;

use super::error::{GetError, PutError};
use super::read::plain_of;
use super::write::{NewChunk, StoredChunk};
use super::{Store, stats};

/// Why a chunk was not coded anew.
#[derive(Debug, thiserror::Error)]
pub enum RecodeError {
    #[error("reading the chunk")]
    Get(#[from] GetError),
    #[error("writing the chunk")]
    Put(#[from] PutError),
}

impl Store {
    /// The node whose drive is the first home of a chunk by the newest map: of all nodes it is the
    /// one to do what has to be done once.
    pub fn first_home(&self, tenant: TenantId, hash: Sha256) -> Option<NodeId> {
        let layout = self.0.layout();
        let key = ChunkKey { tenant, hash, generation: Generation(0) };
        let first = layout.ranked(&key, 1).first().copied();
        first.and_then(|drive| layout.node_of(drive))
    }

    /// A chunk's plain bytes, checked against its SHA-256, read behind whatever people wait for.
    ///
    /// # Errors
    /// When the chunk is not here, or too little of it.
    pub async fn get_behind(&self, key: &ChunkKey) -> Result<Bytes, GetError> {
        plain_of(self.0.collect(*key, Class::ShardBackground).await)
    }

    /// Reads a chunk of about `size` bytes and stores it again under `generation`, by the newest
    /// map's profile and within the budget of repair. When the answer is there it is durable.
    ///
    /// # Errors
    /// When it cannot be read, or not enough drives take it.
    pub async fn recode(
        &self,
        key: &ChunkKey,
        size: u32,
        generation: Generation,
    ) -> Result<StoredChunk, RecodeError> {
        let in_hand = (size as usize).saturating_mul(2);
        let _in_hand = self.0.repairing.take(in_hand).await;
        let plain = self.get_behind(key).await?;
        let chunk = NewChunk { tenant: key.tenant, generation, plain, expected: Some(key.hash) };
        let put = Arc::clone(&self.0).put_batch(vec![chunk], Class::ShardBackground);
        let stored = put.await.pop().unwrap_or(Err(PutError::NotDurable { durable: 0 }))?;
        stats::add(&self.0.counts.recoded_chunks, 1);
        Ok(stored)
    }
}
