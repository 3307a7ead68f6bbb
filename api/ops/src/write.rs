//! The content of a file, written while it arrives.
//!
//! Bytes come in pieces of any size. They are cut by content, each chunk goes to the drives as soon
//! as it is complete, and only hashes stay here: memory does not grow with the file.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use chunkstore::{ChunkKey, Cutter, StoredChunk};
use node_base::{Generation, Sha256, TenantId};
use node_world::Task;
use raft_meta::command::{NewChunk, Written};
use sha2::Digest;

use crate::call::Ops;
use crate::error::OpError;
use crate::lease::Ticket;

/// Bytes of one file on their way to the drives; more wait.
const IN_FLIGHT_MAX: usize = 16 << 20;

/// Writes one file's content under this node's lease.
pub struct FileWriter {
    ops: Ops,
    tenant: TenantId,
    ticket: Ticket,
    cutter: Cutter,
    lengths: Vec<usize>,
    uncut: BytesMut,
    whole: sha2::Sha256,
    size: u64,
    chunks: Vec<NewChunk>,
    in_flight: VecDeque<(usize, Task<Result<NewChunk, OpError>>)>,
    in_flight_bytes: usize,
}

/// A content whose chunks are all durable, and that no commit names yet.
pub struct Finished {
    pub size: u64,
    pub sha256: Sha256,
    pub chunks: Vec<NewChunk>,
    /// Keeps the lease open until the commit is answered.
    pub(crate) ticket: Ticket,
}

impl FileWriter {
    pub(crate) fn new(ops: &Ops, tenant: TenantId, ticket: Ticket) -> Self {
        Self {
            ops: ops.clone(),
            tenant,
            ticket,
            cutter: Cutter::by_content(),
            lengths: Vec::new(),
            uncut: BytesMut::new(),
            whole: sha2::Sha256::new(),
            size: 0,
            chunks: Vec::new(),
            in_flight: VecDeque::new(),
            in_flight_bytes: 0,
        }
    }

    /// How many bytes came so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Takes the next bytes; waits while too many are on their way to the drives.
    ///
    /// # Errors
    /// Why a chunk before could not be written.
    pub async fn push(&mut self, bytes: &[u8]) -> Result<(), OpError> {
        self.size += bytes.len() as u64;
        self.whole.update(bytes);
        self.uncut.extend_from_slice(bytes);
        self.cutter.feed(bytes, &mut self.lengths);
        for length in std::mem::take(&mut self.lengths) {
            let chunk = self.uncut.split_to(length).freeze();
            self.send(chunk).await?;
        }
        Ok(())
    }

    /// Waits until all is durable.
    ///
    /// # Errors
    /// Why a chunk could not be written.
    pub async fn finish(mut self) -> Result<Finished, OpError> {
        let rest = std::mem::replace(&mut self.cutter, Cutter::by_content()).finish();
        if rest.is_some() {
            let chunk = self.uncut.split().freeze();
            self.send(chunk).await?;
        }
        while !self.in_flight.is_empty() {
            self.settle_one().await?;
        }
        Ok(Finished {
            size: self.size,
            sha256: Sha256(self.whole.finalize().into()),
            chunks: self.chunks,
            ticket: self.ticket,
        })
    }

    async fn send(&mut self, chunk: Bytes) -> Result<(), OpError> {
        while self.in_flight_bytes + chunk.len() > IN_FLIGHT_MAX && !self.in_flight.is_empty() {
            self.settle_one().await?;
        }
        let generation = self.ticket.next().ok_or(OpError::unavailable())?;
        let (ops, tenant, size) = (self.ops.clone(), self.tenant, chunk.len());
        let written = self
            .ops
            .world
            .spawn(async move { ops.write_chunk(tenant, generation, chunk, None).await });
        self.in_flight_bytes += size;
        self.in_flight.push_back((size, written));
        Ok(())
    }

    async fn settle_one(&mut self) -> Result<(), OpError> {
        if let Some((size, written)) = self.in_flight.pop_front() {
            self.in_flight_bytes -= size;
            self.chunks.push(written.await.map_err(|_| OpError::unavailable())??);
        }
        Ok(())
    }
}

impl Ops {
    /// Makes a chunk durable under a generation.
    ///
    /// # Errors
    /// [`raft_meta::Refusal::ChecksumMismatch`] when it is not what was expected, or why it could
    /// not be stored.
    pub(crate) async fn write_chunk(
        &self,
        tenant: TenantId,
        generation: Generation,
        chunk: Bytes,
        expected: Option<Sha256>,
    ) -> Result<NewChunk, OpError> {
        let stored = self.store.put(tenant, generation, chunk, expected).await?;
        Ok(written(generation, stored))
    }

    /// Makes chunks durable together; answers for each in the order given, as
    /// [`Ops::write_chunk`] does.
    pub(crate) async fn write_chunks(
        &self,
        chunks: Vec<chunkstore::NewChunk>,
    ) -> Vec<Result<NewChunk, OpError>> {
        let generations: Vec<Generation> = chunks.iter().map(|chunk| chunk.generation).collect();
        let stored = self.store.put_many(chunks).await.into_iter();
        let pairs = stored.zip(generations);
        pairs.map(|(stored, generation)| Ok(written(generation, stored?))).collect()
    }

    /// Deletes written copies that the agreement did not need. What fails here is found again by
    /// the search for orphans.
    pub(crate) async fn drop_superfluous(&self, tenant: TenantId, copies: &[(Sha256, Generation)]) {
        let key =
            |(hash, generation): &(_, _)| ChunkKey { tenant, hash: *hash, generation: *generation };
        let keys: Vec<ChunkKey> = copies.iter().map(key).collect();
        if keys.is_empty() {
            return;
        }
        // Nobody was ever told of these, so they need not wait in the trash.
        if let Err(error) = self.store.withdraw(keys).await {
            tracing::debug!(%error, "superfluous copies stay for the search for orphans");
        }
    }
}

/// How the agreement is told of a chunk that is durable.
fn written(generation: Generation, stored: StoredChunk) -> NewChunk {
    let stored_size = u32::try_from(stored.stored_size).unwrap_or(u32::MAX);
    let written = Written { generation, stored_size, profile: stored.profile };
    NewChunk { hash: stored.hash, size: stored.size, written: Some(written) }
}
