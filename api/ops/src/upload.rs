//! Chunks that arrive for an upload session.
//!
//! A chunk is looked up before it is written: what the tenant holds already is only hashed, and the
//! session gets its reference. What is new is made durable first and reported second, so that the
//! agreement never names bytes that a power cut could take.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use node_base::{Generation, Sha256, ShareId, TenantId, UploadId, limits};
use node_world::Task;
use raft::Consistency;
use raft_meta::access::Viewer;
use raft_meta::command::{NewChunk, Received, UploadCommand};
use raft_meta::outcome::{Expired, Invalid, Noun};
use raft_meta::query::Denied;
use raft_meta::table::item::{Content, ManifestPages};
use raft_meta::table::upload::{Cutting, UploadState, Uploads};
use raft_meta::{Answer, Command, Reader, Refusal, query, table};

use crate::call::{Call, Ops};
use crate::error::OpError;

/// Chunks of one batch that are on their way to the drives; more wait.
const IN_FLIGHT_MAX: usize = 16 << 20;

/// A file up to this size is read back at its completion.
const READ_BACK_MAX: u64 = 64 << 20;

/// A chunk that a session has now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredIndex {
    pub index: u64,
    pub hash: Sha256,
    pub size: u32,
    /// It was there already, as far as the caller may know.
    pub known: bool,
}

/// A chunk that is durable.
struct Taken {
    chunk: NewChunk,
    known: bool,
}

/// What became of one chunk of a batch.
#[derive(Debug)]
pub struct BatchedChunk {
    pub index: u64,
    pub outcome: ChunkOutcome,
}

#[derive(Debug)]
pub enum ChunkOutcome {
    Stored,
    Known,
    Rejected(Refusal),
}

/// What a session says of one index before its bytes are looked at.
#[derive(Debug, Clone, Copy)]
struct Expected {
    writer: u64,
    share: ShareId,
    hash: Option<Sha256>,
    size: u32,
}

/// What was found out about a chunk before its bytes are looked at.
struct Looked {
    expected: Expected,
    /// The tenant has it.
    present: bool,
    /// The caller may know that.
    known: bool,
}

/// What a session expects at an index.
fn expected(
    tables: &dyn Reader,
    call: (TenantId, node_base::UserId),
    upload: UploadId,
    index: u64,
) -> Result<Expected, Denied> {
    let (tenant, user) = call;
    let not_found = Refusal::NotFound(Noun::Upload);
    let row = table::get::<Uploads>(tables, &(tenant, upload))?;
    let row = row.filter(|row| row.user == user).ok_or(not_found)?;
    if row.state != UploadState::Open {
        return Err(Refusal::Expired(Expired::Upload).into());
    }
    let out_of_range = |chunks: u64| {
        let max = chunks.saturating_sub(1);
        Refusal::invalid("index", Invalid::OutOfRange { min: 0, max })
    };
    match row.cutting {
        Cutting::Fixed(chunk_size) => {
            let chunk = u64::from(chunk_size);
            let start = index.checked_mul(chunk).filter(|start| *start < row.size);
            let start = start.ok_or_else(|| out_of_range(row.size.div_ceil(chunk)))?;
            let size = u32::try_from(chunk.min(row.size - start)).unwrap_or(chunk_size);
            Ok(Expected { writer: row.writer, share: row.share, hash: None, size })
        }
        Cutting::Content => {
            let page_len = limits::MANIFEST_PAGE as u64;
            let page = u32::try_from(index / page_len).map_err(|_| out_of_range(row.chunks))?;
            let page = table::get::<ManifestPages>(tables, &(tenant, upload, page))?;
            let slot = (index % page_len) as usize;
            let chunk = page.and_then(|page| page.chunks.get(slot).copied().flatten());
            let chunk = chunk.ok_or_else(|| out_of_range(row.chunks))?;
            let (hash, size) = (Some(chunk.hash), chunk.size);
            Ok(Expected { writer: row.writer, share: row.share, hash, size })
        }
    }
}

impl Ops {
    /// Takes one chunk of a session. `declared` is what the caller says its hash is.
    ///
    /// # Errors
    /// The refusal, or why it could not be stored.
    pub async fn put_chunk(
        &self,
        call: &Call,
        upload: UploadId,
        index: u64,
        bytes: Bytes,
        declared: Option<Sha256>,
    ) -> Result<StoredIndex, OpError> {
        let taken = self.take_chunk(call, upload, index, bytes.clone(), declared).await?;
        let Taken { chunk, known } = taken;
        let bytes = BTreeMap::from([(chunk.hash, bytes)]);
        self.receive(call, upload, vec![Received { index, chunk }], &bytes).await?;
        Ok(StoredIndex { index, hash: chunk.hash, size: chunk.size, known })
    }

    /// Starts taking a batch of chunks of a session.
    pub fn chunk_batch(&self, call: &Call, upload: UploadId) -> ChunkBatch {
        ChunkBatch {
            ops: self.clone(),
            call: call.clone(),
            upload,
            in_flight: Vec::new(),
            settled: Vec::new(),
            bytes_in_flight: 0,
        }
    }

    /// Makes the file of a session's chunks. `declared` is the whole file's SHA-256, where the
    /// caller gives it only now.
    ///
    /// # Errors
    /// The refusal, or why nothing could be agreed.
    pub async fn complete_upload(
        &self,
        call: &Call,
        upload: UploadId,
        declared: Option<Sha256>,
    ) -> Result<Answer, OpError> {
        let computed = self.hash_session(call, upload).await?;
        let command = UploadCommand::Complete { upload, computed, declared };
        self.agree(call, Command::Upload(command)).await
    }

    /// The hash of a full session's bytes, where it is cheap to read them back. Of one chunk it is
    /// known already, and of many it is computed in the background.
    async fn hash_session(&self, call: &Call, id: UploadId) -> Result<Option<Sha256>, OpError> {
        let who = (call.tenant(), call.caller.user);
        let status = self.ask(call, move |tables, viewer| {
            Ok(query::upload::status(tables, viewer.now(), who, id, 0, 1)?)
        });
        let Some(status) = status.await? else { return Ok(None) };
        let upload = status.upload;
        let is_full = upload.state == UploadState::Open
            && status.missing.is_empty()
            && upload.bytes == upload.size;
        if !is_full || status.chunks <= 1 || upload.size > READ_BACK_MAX {
            return Ok(None);
        }
        match self.hash_content(call, Content::Paged(id), upload.size).await {
            Ok(hash) => Ok(Some(hash)),
            // Somebody else may complete it meanwhile; and what is unreadable now may not be soon.
            Err(error) => {
                tracing::debug!(%error, "an upload is not read back; its checksum stays pending");
                Ok(None)
            }
        }
    }

    /// Checks a chunk against its session and makes it durable, where it is not here already.
    async fn take_chunk(
        &self,
        call: &Call,
        upload: UploadId,
        index: u64,
        bytes: Bytes,
        declared: Option<Sha256>,
    ) -> Result<Taken, OpError> {
        let Looked { expected, present, known } =
            self.look_at(call, upload, index, declared).await?;
        if bytes.len() as u64 != u64::from(expected.size) {
            let size = u64::from(expected.size);
            return Err(Refusal::invalid(
                "size",
                Invalid::Rule(format!("chunk {index} has {size} bytes, {} came", bytes.len())),
            )
            .into());
        }
        let hash = match (expected.hash, declared) {
            (Some(hash), Some(declared)) if hash != declared => {
                return Err(Refusal::ChecksumMismatch.into());
            }
            (hash, declared) => hash.or(declared),
        };
        let chunk = match hash {
            Some(hash) if present => self.verify(bytes, hash).await?,
            hash => {
                let generation =
                    Generation::new(expected.writer, 0).ok_or(OpError::unavailable())?;
                self.write_chunk(call.tenant(), generation, bytes, hash).await?
            }
        };
        Ok(Taken { chunk, known })
    }

    /// What a session expects at an index, and whether the chunk is here. What this node knows
    /// mostly is enough; what it refuses is asked again of the whole cluster, where the session may
    /// be newer.
    async fn look_at(
        &self,
        call: &Call,
        upload: UploadId,
        index: u64,
        declared: Option<Sha256>,
    ) -> Result<Looked, OpError> {
        let who = (call.tenant(), call.caller.user);
        let question = move |tables: &dyn Reader, _: &Viewer| {
            let expected = expected(tables, who, upload, index)?;
            let hash = expected.hash.or(declared);
            let Some(hash) = hash else {
                return Ok(Looked { expected, present: false, known: false });
            };
            let present = query::chunk::present(tables, who.0, hash)?.is_some();
            let known = query::chunk::visible(tables, who.0, expected.share, hash)?.is_some();
            Ok(Looked { expected, present, known })
        };
        let here = Call { consistency: Consistency::Stale, ..call.clone() };
        match self.ask(&here, question).await {
            Err(OpError::Refused(_)) => self.ask(call, question).await,
            looked => looked,
        }
    }

    /// A chunk that is here already: its bytes must be what they are said to be all the same.
    async fn verify(&self, bytes: Bytes, hash: Sha256) -> Result<NewChunk, OpError> {
        let size = bytes.len() as u32;
        let computed = self.world.blocking(move || node_base::sha256(&bytes)).await;
        if computed != hash {
            return Err(Refusal::ChecksumMismatch.into());
        }
        Ok(NewChunk { hash, size, written: None })
    }

    /// Has chunks agreed on as received. Those that were here a moment ago and are gone now are
    /// written from `bytes` and reported again.
    async fn receive(
        &self,
        call: &Call,
        upload: UploadId,
        mut chunks: Vec<Received>,
        bytes: &BTreeMap<Sha256, Bytes>,
    ) -> Result<(), OpError> {
        let call = Call { remember: None, if_revision: None, ..call.clone() };
        loop {
            let command = UploadCommand::Receive { upload, chunks: chunks.clone() };
            let gone = match self.agree(&call, Command::Upload(command)).await {
                Ok(Answer::Received { superfluous }) => {
                    self.drop_superfluous(call.tenant(), &superfluous).await;
                    return Ok(());
                }
                Ok(_) => return Ok(()),
                Err(OpError::Refused(Refusal::ChunksGone { hashes })) => hashes,
                Err(OpError::Refused(Refusal::WriterClosed)) => {
                    return Err(Refusal::Expired(Expired::Upload).into());
                }
                Err(error) => return Err(error),
            };
            let who = (call.tenant(), call.caller.user);
            for hash in BTreeSet::from_iter(gone) {
                let chunk = bytes.get(&hash).cloned().ok_or(OpError::Unknown)?;
                let index = chunks.iter().find(|c| c.chunk.hash == hash).map_or(0, |c| c.index);
                let expected =
                    self.ask(&call, move |tables, _| expected(tables, who, upload, index)).await?;
                let generation =
                    Generation::new(expected.writer, 0).ok_or(OpError::unavailable())?;
                let written = self.write_chunk(who.0, generation, chunk, Some(hash)).await?;
                for received in chunks.iter_mut().filter(|c| c.chunk.hash == hash) {
                    received.chunk = written;
                }
            }
        }
    }
}

/// A chunk of a batch on its way to the drives.
struct InFlight {
    index: u64,
    bytes: Bytes,
    chunk: Task<Result<Taken, OpError>>,
}

/// Chunks of one request, taken one after the other and reported together.
pub struct ChunkBatch {
    ops: Ops,
    call: Call,
    upload: UploadId,
    in_flight: Vec<InFlight>,
    settled: Vec<(u64, Bytes, Result<Taken, Refusal>)>,
    bytes_in_flight: usize,
}

impl ChunkBatch {
    /// Takes the next chunk; waits while too many are on their way to the drives.
    ///
    /// # Errors
    /// Why chunks cannot be stored at all just now; what is wrong with one is its own outcome.
    pub async fn push(&mut self, index: u64, bytes: Bytes) -> Result<(), OpError> {
        if self.bytes_in_flight + bytes.len() > IN_FLIGHT_MAX {
            self.settle().await?;
        }
        self.bytes_in_flight += bytes.len();
        let (ops, call, upload) = (self.ops.clone(), self.call.clone(), self.upload);
        let body = bytes.clone();
        let chunk = self
            .ops
            .world
            .spawn(async move { ops.take_chunk(&call, upload, index, body, None).await });
        self.in_flight.push(InFlight { index, bytes, chunk });
        Ok(())
    }

    /// Reports all that was taken, and says what became of each.
    ///
    /// # Errors
    /// Why nothing could be reported.
    pub async fn finish(mut self) -> Result<Vec<BatchedChunk>, OpError> {
        self.settle().await?;
        let mut received = Vec::new();
        let mut bytes = BTreeMap::new();
        let mut outcomes = Vec::new();
        for (index, body, chunk) in self.settled {
            outcomes.push(match chunk {
                Ok(Taken { chunk, known }) => {
                    received.push(Received { index, chunk });
                    if chunk.written.is_none() {
                        bytes.insert(chunk.hash, body);
                    }
                    let outcome = if known { ChunkOutcome::Known } else { ChunkOutcome::Stored };
                    BatchedChunk { index, outcome }
                }
                Err(refusal) => BatchedChunk { index, outcome: ChunkOutcome::Rejected(refusal) },
            });
        }
        if !received.is_empty() {
            self.ops.receive(&self.call, self.upload, received, &bytes).await?;
        }
        Ok(outcomes)
    }

    async fn settle(&mut self) -> Result<(), OpError> {
        for InFlight { index, bytes, chunk } in std::mem::take(&mut self.in_flight) {
            let chunk = match chunk.await.map_err(|_| OpError::unavailable())? {
                Ok(chunk) => Ok(chunk),
                // A session that is not there refuses the request, not each of its chunks.
                Err(OpError::Refused(
                    refusal @ (Refusal::NotFound(_) | Refusal::Expired(_) | Refusal::Suspended),
                )) => return Err(refusal.into()),
                Err(OpError::Refused(refusal)) => Err(refusal),
                Err(error) => return Err(error),
            };
            // Bytes of what was written need not be kept: only what is only known may be gone.
            let keep = matches!(&chunk, Ok(taken) if taken.chunk.written.is_none());
            let bytes = if keep { bytes } else { Bytes::new() };
            self.settled.push((index, bytes, chunk));
        }
        self.bytes_in_flight = 0;
        Ok(())
    }
}
