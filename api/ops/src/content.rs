//! Contents, streamed out: any range of any version, a few chunks ahead of who reads.

use std::ops::Range;

use bytes::Bytes;
use chunkstore::ChunkKey;
use futures_util::stream::{self, Stream, StreamExt, TryStreamExt};
use node_base::{FileId, Sha256};
use raft::Consistency;
use raft_meta::access::Viewer;
use raft_meta::query::version::{self, ChunksPage, Numbered};
use raft_meta::table::item::{ChunkRef, Content};
use raft_meta::{Reader, TableError, query};
use sha2::Digest;

use crate::call::{Call, Ops};
use crate::error::OpError;

pub use raft_meta::query::version::Which;

/// Bytes that go to be hashed together.
const HASHED_AT_ONCE: usize = 4 << 20;
/// Bytes of chunks that are read together.
const READ_AT_ONCE: usize = 1 << 20;
/// Readings that are ahead of who reads.
const READ_AHEAD: usize = 2;

/// A version that its reader may read.
pub struct OpenContent {
    ops: Ops,
    /// Reads for the same caller, of what this node knows: the version itself never changes.
    call: Call,
    pub file: FileId,
    pub numbered: Numbered,
}

/// How bytes are read back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// Somebody waits for it.
    AtOnce,
    /// Nobody does: transfers go before.
    GivingWay,
}

/// The content was removed for good while it was read.
#[derive(Debug, thiserror::Error)]
#[error("the content was removed while it was read")]
struct Removed;

impl Ops {
    /// Opens a version for reading.
    ///
    /// # Errors
    /// The refusal, or why nothing could be read.
    pub async fn open_content(
        &self,
        call: &Call,
        file: FileId,
        which: Which,
    ) -> Result<OpenContent, OpError> {
        let numbered =
            self.ask(call, move |tables, viewer| version::get(tables, viewer, file, which)).await?;
        let call = Call { consistency: Consistency::Stale, ..Call::new(call.caller.clone()) };
        Ok(OpenContent { ops: self.clone(), call, file, numbered })
    }
}

impl OpenContent {
    /// How many bytes it has.
    pub fn size(&self) -> u64 {
        self.numbered.version.size
    }

    /// The bytes of `range`, which lies within the size. Each chunk is checked against its hash
    /// before a byte of it is given out.
    pub fn read(&self, range: Range<u64>) -> impl Stream<Item = Result<Bytes, OpError>> + use<> {
        let transfer = self.ops.transfers().begin();
        let content = self.numbered.version.content.clone();
        read(&self.ops, &self.call, content, range).inspect(move |_| {
            // The transfer goes on until the stream is dropped.
            let _ = &transfer;
        })
    }

    /// The page of the version's chunks that begins with chunk `from`; nothing behind the last.
    ///
    /// # Errors
    /// Why nothing could be read.
    pub async fn chunks(&self, from: u64) -> Result<Option<ChunksPage>, OpError> {
        let content = self.numbered.version.content.clone();
        let asked = self.ops.ask(&self.call, move |tables, viewer| {
            Ok(version::chunks(tables, viewer, &content, from)?)
        });
        asked.await
    }
}

fn read(
    ops: &Ops,
    call: &Call,
    content: Content,
    range: Range<u64>,
) -> impl Stream<Item = Result<Bytes, OpError>> + use<> {
    let walk = Walk { ops: ops.clone(), call: call.clone(), content, range, next: None };
    let ops = ops.clone();
    stream::try_unfold(walk, Walk::step)
        .map_ok(|pieces| stream::iter(together(pieces).into_iter().map(Ok::<_, OpError>)))
        .try_flatten()
        .map(move |pieces| {
            let ops = ops.clone();
            async move { Ok::<_, OpError>(stream::iter(ops.read_pieces(pieces?).await)) }
        })
        .buffered(READ_AHEAD)
        .try_flatten()
}

/// Pieces in the order given, in groups that are read together.
fn together(pieces: Vec<Piece>) -> Vec<Vec<Piece>> {
    let mut groups: Vec<Vec<Piece>> = Vec::new();
    let mut room = 0;
    for piece in pieces {
        // A chunk is read up to there at least, whatever part of it is wanted.
        let len = piece.to;
        match groups.last_mut() {
            Some(group) if len <= room => {
                room -= len;
                group.push(piece);
            }
            _ => {
                room = READ_AT_ONCE.saturating_sub(len);
                groups.push(vec![piece]);
            }
        }
    }
    groups
}

impl Ops {
    async fn read_pieces(&self, pieces: Vec<Piece>) -> Vec<Result<Bytes, OpError>> {
        let chunks = self.store.get_many(pieces.iter().map(|piece| piece.key).collect()).await;
        let each = pieces.iter().zip(chunks);
        each.map(|(piece, chunk)| Ok(chunk?.slice(piece.from..piece.to))).collect()
    }

    /// The hash of a content's `size` bytes, read back from the drives. `call` is of the content's
    /// tenant; nobody's permissions are asked.
    ///
    /// # Errors
    /// Why the bytes could not be read.
    pub(crate) async fn hash_content(
        &self,
        call: &Call,
        content: Content,
        size: u64,
        pace: Pace,
    ) -> Result<Sha256, OpError> {
        let call = Call { consistency: Consistency::Stale, ..Call::new(call.caller.clone()) };
        let mut bytes = std::pin::pin!(read(self, &call, content, 0..size));
        let mut whole = sha2::Sha256::new();
        let (mut gathered, mut gathered_bytes) = (Vec::new(), 0);
        loop {
            let piece = bytes.try_next().await?;
            let is_last = piece.is_none();
            gathered_bytes += piece.as_ref().map_or(0, Bytes::len);
            gathered.extend(piece);
            if is_last || gathered_bytes >= HASHED_AT_ONCE {
                let pieces: Vec<Bytes> = std::mem::take(&mut gathered);
                gathered_bytes = 0;
                let hashing = self.world.blocking(move || {
                    pieces.iter().for_each(|piece| whole.update(piece));
                    whole
                });
                whole = hashing.await;
            }
            if pace == Pace::GivingWay {
                self.transfers().give_way(&self.world).await;
            }
            if is_last {
                return Ok(Sha256(whole.finalize().into()));
            }
        }
    }
}

/// A part of a chunk that a reader wants.
struct Piece {
    key: ChunkKey,
    from: usize,
    to: usize,
}

/// Walks a content's pages, and says which parts of which chunks make up a range.
struct Walk {
    ops: Ops,
    call: Call,
    content: Content,
    /// What is still to be read.
    range: Range<u64>,
    /// The index of the next page's first chunk, once the first page is found.
    next: Option<u64>,
}

impl Walk {
    async fn step(mut self) -> Result<Option<(Vec<Piece>, Self)>, OpError> {
        if self.range.is_empty() {
            return Ok(None);
        }
        let (content, range, next) = (self.content.clone(), self.range.clone(), self.next);
        let found = self.ops.ask(&self.call, move |tables, viewer| {
            let page = match next {
                Some(next) => version::chunks(tables, viewer, &content, next)?,
                None => version::page_of_byte(tables, viewer, &content, range.start)?,
            };
            let Some(page) = page else { return Ok(None) };
            let pieces = pieces(tables, viewer, &page, &range)?;
            Ok(pieces.map(|pieces| (pieces, page.next)))
        });
        let removed = || OpError::Unreadable(Box::new(Removed));
        let (pieces, next) = found.await?.ok_or_else(removed)?;
        let given: u64 = pieces.iter().map(|piece| (piece.to - piece.from) as u64).sum();
        self.range.start += given;
        if next.is_none() && !self.range.is_empty() {
            return Err(removed());
        }
        self.next = next;
        Ok(Some((pieces, self)))
    }
}

/// The parts of a page's chunks that lie in a range; nothing when a chunk is gone.
fn pieces(
    tables: &dyn Reader,
    viewer: &Viewer,
    page: &ChunksPage,
    range: &Range<u64>,
) -> Result<Option<Vec<Piece>>, TableError> {
    let tenant = viewer.tenant();
    let mut pieces = Vec::new();
    let mut end = page.offset;
    for ChunkRef { hash, size } in &page.chunks {
        let start = end;
        end += u64::from(*size);
        let (from, to) = (range.start.max(start), range.end.min(end));
        if from >= to {
            continue;
        }
        let Some(row) = query::chunk::present(tables, tenant, *hash)? else { return Ok(None) };
        let key = ChunkKey { tenant, hash: *hash, generation: row.generation };
        pieces.push(Piece { key, from: (from - start) as usize, to: (to - start) as usize });
    }
    Ok(Some(pieces))
}
