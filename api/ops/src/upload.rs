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
use crate::content::Pace;
use crate::error::OpError;
use crate::transfers::Transfer;

/// Chunks of one batch that are on their way to the drives; more wait.
const IN_FLIGHT_MAX: usize = 16 << 20;
/// Chunks of a batch go on their way together once there are so many bytes of them.
const GROUP_BYTES: usize = 1 << 20;

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

/// A chunk that came.
struct Arrived {
    index: u64,
    bytes: Bytes,
    /// What the caller says its hash is.
    declared: Option<Sha256>,
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

impl Expected {
    /// Whether a chunk of `len` bytes may be what is expected; what its hash must be, if that is
    /// known.
    fn check(
        &self,
        index: u64,
        len: usize,
        declared: Option<Sha256>,
    ) -> Result<Option<Sha256>, Refusal> {
        if len as u64 != u64::from(self.size) {
            let rule = format!("chunk {index} has {} bytes, {len} came", self.size);
            return Err(Refusal::invalid("size", Invalid::Rule(rule)));
        }
        match (self.hash, declared) {
            (Some(hash), Some(declared)) if hash != declared => Err(Refusal::ChecksumMismatch),
            (hash, declared) => Ok(hash.or(declared)),
        }
    }

    /// The chunk as it is to be written. Its generation is its own in the session, by this number:
    /// what becomes of one chunk's copy says nothing of another's.
    fn new_chunk(
        &self,
        tenant: TenantId,
        number: u64,
        plain: Bytes,
        expected: Option<Sha256>,
    ) -> Result<chunkstore::NewChunk, OpError> {
        let count = number % Generation::PER_WRITER;
        let generation = Generation::new(self.writer, count).ok_or(OpError::unavailable())?;
        Ok(chunkstore::NewChunk { tenant, generation, plain, expected })
    }
}

/// What was found out about a chunk before its bytes are looked at.
#[derive(Debug, Clone, Copy)]
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
        let arrived = Arrived { index, bytes: bytes.clone(), declared };
        let taken = self.take_chunks(call, upload, vec![arrived]).await?.pop();
        let Taken { chunk, known } = taken.unwrap_or(Err(OpError::Unknown))?;
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
            gathered: Vec::new(),
            gathered_bytes: 0,
            in_flight: Vec::new(),
            in_flight_bytes: 0,
            settled: Vec::new(),
            _transfer: self.transfers().begin(),
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
        match self.hash_content(call, Content::Paged(id), upload.size, Pace::AtOnce).await {
            Ok(hash) => Ok(Some(hash)),
            // Somebody else may complete it meanwhile; and what is unreadable now may not be soon.
            Err(error) => {
                tracing::debug!(%error, "an upload is not read back; its checksum stays pending");
                Ok(None)
            }
        }
    }

    /// Checks chunks against their session and makes durable what is not here already; answers for
    /// each in the order given.
    async fn take_chunks(
        &self,
        call: &Call,
        upload: UploadId,
        chunks: Vec<Arrived>,
    ) -> Result<Vec<Result<Taken, OpError>>, OpError> {
        let asked = chunks.iter().map(|chunk| (chunk.index, chunk.declared)).collect();
        let looked = self.look_at(call, upload, asked).await?;
        let mut taken: BTreeMap<usize, Result<Taken, OpError>> = BTreeMap::new();
        let (mut here, mut new, mut new_known) = (Vec::new(), Vec::new(), Vec::new());
        for (at, (Arrived { index, bytes, declared }, looked)) in
            chunks.into_iter().zip(looked).enumerate()
        {
            let checked = looked.and_then(|looked| {
                Ok((looked, looked.expected.check(index, bytes.len(), declared)?))
            });
            match checked {
                Ok((Looked { present: true, known, .. }, Some(hash))) => {
                    here.push((at, known, bytes, hash));
                }
                Ok((Looked { expected, known, .. }, hash)) => {
                    new.push(expected.new_chunk(call.tenant(), index, bytes, hash)?);
                    new_known.push((at, known));
                }
                Err(refusal) => {
                    taken.insert(at, Err(refusal.into()));
                }
            }
        }
        if !here.is_empty() {
            taken.extend(self.verify(here).await);
        }
        let written = self.write_chunks(new).await;
        taken.extend(
            new_known
                .into_iter()
                .zip(written)
                .map(|((at, known), written)| (at, written.map(|chunk| Taken { chunk, known }))),
        );
        Ok(taken.into_values().collect())
    }

    /// What a session expects at indexes, and whether the chunks are here. What this node knows
    /// mostly is enough; what it refuses is asked again of the whole cluster, where the session may
    /// be newer.
    async fn look_at(
        &self,
        call: &Call,
        upload: UploadId,
        indexes: Vec<(u64, Option<Sha256>)>,
    ) -> Result<Vec<Result<Looked, Refusal>>, OpError> {
        let who = (call.tenant(), call.caller.user);
        let question = move |tables: &dyn Reader, _: &Viewer| {
            let each = indexes.iter();
            let each = each.map(|(index, declared)| look(tables, who, upload, *index, *declared));
            let settled = each.map(|looked| match looked {
                Ok(looked) => Ok(Ok(looked)),
                Err(Denied::Refused(refusal)) => Ok(Err(refusal)),
                Err(other) => Err(other),
            });
            settled.collect::<Result<Vec<_>, Denied>>()
        };
        let here = Call { consistency: Consistency::Stale, ..call.clone() };
        match self.ask(&here, question.clone()).await {
            Ok(looked) if looked.iter().all(Result::is_ok) => Ok(looked),
            Ok(_) | Err(OpError::Refused(_)) => self.ask(call, question).await,
            Err(error) => Err(error),
        }
    }

    /// Chunks that are here already: their bytes must be what they are said to be all the same.
    async fn verify(
        &self,
        chunks: Vec<(usize, bool, Bytes, Sha256)>,
    ) -> Vec<(usize, Result<Taken, OpError>)> {
        let each = |(at, known, bytes, hash): (usize, bool, Bytes, Sha256)| {
            let chunk = NewChunk { hash, size: bytes.len() as u32, written: None };
            match node_base::sha256(&bytes) == hash {
                true => (at, Ok(Taken { chunk, known })),
                false => (at, Err(Refusal::ChecksumMismatch.into())),
            }
        };
        self.world.blocking(move || chunks.into_iter().map(each).collect()).await
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
                // The generation may be spent: by another chunk that came for the same place before.
                let number = self.world.random() as u64;
                let new = expected.new_chunk(who.0, number, chunk, Some(hash))?;
                let written = self.write_chunks(vec![new]).await.pop();
                let written = written.unwrap_or(Err(OpError::Unknown))?;
                for received in chunks.iter_mut().filter(|c| c.chunk.hash == hash) {
                    received.chunk = written;
                }
            }
        }
    }
}

/// Looks an index of a session up.
fn look(
    tables: &dyn Reader,
    who: (TenantId, node_base::UserId),
    upload: UploadId,
    index: u64,
    declared: Option<Sha256>,
) -> Result<Looked, Denied> {
    let expected = expected(tables, who, upload, index)?;
    let Some(hash) = expected.hash.or(declared) else {
        return Ok(Looked { expected, present: false, known: false });
    };
    let present = query::chunk::present(tables, who.0, hash)?.is_some();
    let known = query::chunk::visible(tables, who.0, expected.share, hash)?.is_some();
    Ok(Looked { expected, present, known })
}

/// Chunks of a batch on their way to the drives.
struct InFlight {
    chunks: Vec<(u64, Bytes)>,
    taken: Task<Result<Vec<Result<Taken, OpError>>, OpError>>,
}

/// Chunks of one request, taken one after the other and reported together.
pub struct ChunkBatch {
    ops: Ops,
    call: Call,
    upload: UploadId,
    gathered: Vec<(u64, Bytes)>,
    gathered_bytes: usize,
    in_flight: Vec<InFlight>,
    in_flight_bytes: usize,
    settled: Vec<(u64, Bytes, Result<Taken, Refusal>)>,
    _transfer: Transfer,
}

impl ChunkBatch {
    /// Takes the next chunk; waits while too many are on their way to the drives.
    ///
    /// # Errors
    /// Why chunks cannot be stored at all just now; what is wrong with one is its own outcome.
    pub async fn push(&mut self, index: u64, bytes: Bytes) -> Result<(), OpError> {
        self.gathered_bytes += bytes.len();
        self.gathered.push((index, bytes));
        if self.gathered_bytes >= GROUP_BYTES { self.send().await } else { Ok(()) }
    }

    /// Reports all that was taken, and says what became of each.
    ///
    /// # Errors
    /// Why nothing could be reported.
    pub async fn finish(mut self) -> Result<Vec<BatchedChunk>, OpError> {
        self.send().await?;
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

    /// Sends what was gathered on its way.
    async fn send(&mut self) -> Result<(), OpError> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        if self.in_flight_bytes + self.gathered_bytes > IN_FLIGHT_MAX {
            self.settle().await?;
        }
        self.in_flight_bytes += std::mem::take(&mut self.gathered_bytes);
        let chunks = std::mem::take(&mut self.gathered);
        let arrived = |(index, bytes): &(u64, Bytes)| Arrived {
            index: *index,
            bytes: bytes.clone(),
            declared: None,
        };
        let arrived: Vec<Arrived> = chunks.iter().map(arrived).collect();
        let (ops, call, upload) = (self.ops.clone(), self.call.clone(), self.upload);
        let task = async move { ops.take_chunks(&call, upload, arrived).await };
        self.in_flight.push(InFlight { chunks, taken: self.ops.world.spawn(task) });
        Ok(())
    }

    async fn settle(&mut self) -> Result<(), OpError> {
        for InFlight { chunks, taken } in std::mem::take(&mut self.in_flight) {
            let taken = taken.await.map_err(|_| OpError::unavailable())??;
            for ((index, bytes), chunk) in chunks.into_iter().zip(taken) {
                let chunk = match chunk {
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
        }
        self.in_flight_bytes = 0;
        Ok(())
    }
}
