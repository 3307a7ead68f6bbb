//! What a backup asks of a node: a moment of the tables, and the chunks that it names.
//!
//! Whoever makes a backup takes a hold first, then the tables, then chunk after chunk. What is held
//! is not reaped, so that each chunk is there until the hold ends. Chunks are read by their record
//! of now, since one may have been coded anew meanwhile; behind whatever people wait for; and
//! checked against their hash.

use bytes::Bytes;
use chunkstore::ChunkKey;
use node_base::{Sha256, TenantId};
use raft::Moment;
use raft_meta::Command;
use raft_meta::command::Upkeep;
use raft_meta::query::chunk;

use crate::call::Ops;
use crate::error::OpError;

/// How often a chunk is looked up that cannot be read as its record says.
const TRIES: usize = 2;

impl Ops {
    /// Holds what is condemned from now on, or goes on holding what `hold` names; no seconds end
    /// it. Answers its number.
    ///
    /// # Errors
    /// The refusal where it had ended, or why nothing could be agreed.
    pub async fn hold(&self, hold: Option<u64>, seconds: u32) -> Result<u64, OpError> {
        self.agree_as_node(Command::Upkeep(Upkeep::Hold { hold, seconds })).await
    }

    /// A moment of the tables that shows all that was acknowledged before.
    ///
    /// # Errors
    /// Why nothing could be read.
    pub async fn copy_tables(&self) -> Result<Moment, OpError> {
        Ok(self.raft.moment().await?)
    }

    /// The plain bytes of a tenant's chunk; nothing when it is gone from the tables.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn copy_chunk(
        &self,
        tenant: TenantId,
        hash: Sha256,
    ) -> Result<Option<Bytes>, OpError> {
        let mut tries = TRIES;
        loop {
            self.transfers().give_way(&self.world).await;
            let found = self.look(move |tables| chunk::present(tables, tenant, hash)).await?;
            let Some(found) = found else { return Ok(None) };
            let key = ChunkKey { tenant, hash, generation: found.generation };
            tries -= 1;
            match self.store.get_behind(&key).await {
                Ok(plain) => return Ok(Some(plain)),
                Err(error) if tries == 0 => return Err(error.into()),
                Err(_) => {}
            }
        }
    }
}
