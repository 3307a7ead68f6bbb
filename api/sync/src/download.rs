//! Content from the server: see what is here already, fetch only the rest.
//!
//! What comes is written to a file beside its target and takes the target's name when it is whole
//! and durable. Each chunk is hashed before it is written, wherever it came from; what an earlier
//! run left behind is hashed again, so nothing has to be remembered about it.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use api_client::CallError;
use api_sync_core::Stamp;
use api_types::v1::files::Manifest;
use node_base::{Sha256, Timestamp, limits, sha256};
use node_os::uncached::Stretch;

use crate::cutting::SMALL_MAX;
use crate::disk::{Part, Reader};
use crate::engine::{Engine, TransferError};
use crate::state::Chunk;

/// Neighbouring chunks are asked for together, up to here.
const RANGE_MAX: u64 = 4 << 20;
/// Requests under way for one file.
const IN_FLIGHT: usize = 6;
/// How often a range is asked for again when its connection breaks without a new chunk.
const BREAKS_MAX: u32 = 5;

/// A file that is wanted.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    /// How messages name it.
    pub(crate) path: String,
    pub(crate) id: String,
    /// An old version; nothing for the current one.
    pub(crate) version: Option<u32>,
    /// What the content must be of.
    pub(crate) version_id: Option<String>,
    pub(crate) size: u64,
    pub(crate) checksum: Option<Sha256>,
    pub(crate) modified: Option<Timestamp>,
    pub(crate) executable: bool,
    pub(crate) target: PathBuf,
    pub(crate) part: PathBuf,
    /// What is at the target now.
    pub(crate) over: Option<Stamp>,
    /// Files here that may have some of it.
    pub(crate) sources: Vec<Here>,
}

/// A file here, and what it consisted of when last seen.
#[derive(Debug, Clone)]
pub(crate) struct Here {
    pub(crate) disk: PathBuf,
    pub(crate) chunks: Vec<Chunk>,
}

/// Tells where else chunks may be.
pub(crate) type Finder = Arc<dyn Fn(&[Sha256]) -> Vec<Option<(PathBuf, u64)>> + Send + Sync>;

/// Content that arrived.
#[derive(Debug, Clone)]
pub(crate) struct Fetched {
    pub(crate) stamp: Stamp,
    pub(crate) chunks: Vec<Chunk>,
}

/// Fetches a file of any size to its place.
pub(crate) async fn fetch(
    engine: &Engine,
    wanted: Wanted,
    finder: Option<Finder>,
) -> Result<Fetched, TransferError> {
    let wanted = Arc::new(wanted);
    let (path, replaces) = (wanted.part.clone(), wanted.over.is_some());
    let claim = move || Part::claim(&path, replaces);
    let part = blocking(engine, &wanted, "writing", claim).await?;
    let chunks = if wanted.size == 0 {
        Vec::new()
    } else if wanted.size <= SMALL_MAX && wanted.checksum.is_some() {
        fetch_small(engine, &wanted).await?
    } else {
        fetch_large(engine, &wanted, finder).await?
    };
    let last = Arc::clone(&wanted);
    let stamp = blocking(engine, &wanted, "writing", move || settle(&last, &part)).await?;
    let stamp = stamp.ok_or_else(|| TransferError::ChangedHere(wanted.path.clone()))?;
    engine.count_file(wanted.size);
    Ok(Fetched { stamp, chunks })
}

async fn blocking<T: Send + 'static>(
    engine: &Engine,
    wanted: &Wanted,
    doing: &'static str,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, TransferError> {
    let path = wanted.target.display().to_string();
    engine.world.blocking(work).await.map_err(|source| TransferError::File { doing, path, source })
}

/// Makes the part whole and durable, and gives it its name.
fn settle(wanted: &Wanted, part: &Part) -> io::Result<Option<Stamp>> {
    let stamp = part.finish(wanted.size, wanted.modified, wanted.executable, &wanted.target)?;
    Ok(part.take_place(&wanted.target, wanted.over)?.then_some(stamp))
}

async fn fetch_small(engine: &Engine, wanted: &Wanted) -> Result<Vec<Chunk>, TransferError> {
    let mut download = engine.client.content(&wanted.id, wanted.version).await?;
    let moved_on = |now: &str| wanted.version_id.as_deref().is_some_and(|id| id != now);
    if download.version_id().is_some_and(moved_on) {
        return Err(TransferError::ChangedThere(wanted.path.clone()));
    }
    let mut bytes = Vec::with_capacity(wanted.size as usize);
    while let Some(some) = download.next().await? {
        bytes.extend_from_slice(&some);
        if bytes.len() as u64 > wanted.size {
            break;
        }
    }
    let chunk = Chunk { hash: sha256(&bytes), size: bytes.len() as u32 };
    if bytes.len() as u64 != wanted.size || Some(chunk.hash) != wanted.checksum {
        return Err(TransferError::NotAsAnnounced(wanted.path.clone()));
    }
    engine.bar.inc(wanted.size);
    let part = wanted.part.clone();
    let write = move || Part::open(&part)?.write_at(&bytes, 0);
    blocking(engine, wanted, "writing", write).await?;
    Ok(vec![chunk])
}

async fn fetch_large(
    engine: &Engine,
    wanted: &Arc<Wanted>,
    finder: Option<Finder>,
) -> Result<Vec<Chunk>, TransferError> {
    let manifest = engine.client.manifest(&wanted.id, wanted.version).await?;
    let pieces = Arc::new(pieces(wanted, &manifest)?);
    let (here, all) = (Arc::clone(wanted), Arc::clone(&pieces));
    let missing =
        blocking(engine, wanted, "writing", move || assemble(&here, &all, finder)).await?;
    engine.count_known((pieces.len() - missing.len()) as u64);
    let absent: u64 = missing.iter().map(|&at| u64::from(pieces[at].chunk.size)).sum();
    engine.bar.inc(wanted.size.saturating_sub(absent));
    let queue = Arc::new(Mutex::new(ranges(&pieces, &missing).into_iter()));
    let start = |_| {
        let (engine, wanted, queue) = (engine.clone(), Arc::clone(wanted), Arc::clone(&queue));
        engine.world.clone().spawn(fetch_ranges(engine, wanted, queue))
    };
    let under_way: Vec<_> = (0..IN_FLIGHT).map(start).collect();
    let mut outcome = Ok(());
    for task in under_way {
        outcome = outcome.and(ended(wanted, task).await);
    }
    outcome?;
    Ok(pieces.iter().map(|piece| piece.chunk).collect())
}

async fn ended(
    wanted: &Wanted,
    task: node_world::Task<Result<(), TransferError>>,
) -> Result<(), TransferError> {
    task.await.map_err(|_| TransferError::Ended(wanted.path.clone()))?
}

/// A chunk and where it belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Piece {
    chunk: Chunk,
    offset: u64,
}

/// A manifest comes from outside: it must be of this version and cover the file without gaps.
fn pieces(wanted: &Wanted, manifest: &Manifest) -> Result<Vec<Piece>, TransferError> {
    let other = |id: &String| wanted.version_id.as_ref().is_some_and(|wanted| wanted != id);
    if manifest.version_id.as_ref().is_some_and(other) || manifest.size != wanted.size {
        return Err(TransferError::ChangedThere(wanted.path.clone()));
    }
    let mut end = 0;
    let mut pieces = Vec::with_capacity(manifest.chunks.len());
    for chunk in &manifest.chunks {
        let sound = chunk.offset == end && (1..=limits::CHUNK_MAX).contains(&(chunk.size as usize));
        if !sound {
            return Err(TransferError::NotAsAnnounced(wanted.path.clone()));
        }
        let piece = Chunk { hash: chunk.sha256.0, size: chunk.size };
        pieces.push(Piece { chunk: piece, offset: end });
        end += u64::from(chunk.size);
    }
    if end == wanted.size {
        Ok(pieces)
    } else {
        Err(TransferError::NotAsAnnounced(wanted.path.clone()))
    }
}

/// Copies what is here into the part; the pieces that are not.
fn assemble(wanted: &Wanted, pieces: &[Piece], finder: Option<Finder>) -> io::Result<Vec<usize>> {
    let part = Part::open(&wanted.part)?;
    let earlier = part.reader()?;
    let mut missing = Vec::new();
    for (at, piece) in pieces.iter().enumerate() {
        if verified(&earlier, piece.offset, piece.chunk)?.is_none() {
            missing.push(at);
        }
    }
    part.forget();
    let mut known: BTreeMap<Sha256, (usize, u64)> = BTreeMap::new();
    let mut readers = Vec::new();
    for source in &wanted.sources {
        // A source that is gone has nothing to give.
        let Ok(reader) = Reader::open(&source.disk) else { continue };
        let mut offset = 0;
        for chunk in &source.chunks {
            known.entry(chunk.hash).or_insert((readers.len(), offset));
            offset += u64::from(chunk.size);
        }
        readers.push(reader);
    }
    let copy = |at: &usize| -> io::Result<bool> {
        let piece = &pieces[*at];
        let Some(&(reader, offset)) = known.get(&piece.chunk.hash) else { return Ok(true) };
        copy(&part, &readers[reader], offset, piece)
    };
    let missing = keep_if(missing, copy)?;
    match finder {
        Some(finder) => find(&part, pieces, missing, &finder),
        None => Ok(missing),
    }
}

/// Asks where else the missing pieces are, and copies them from there.
fn find(
    part: &Part,
    pieces: &[Piece],
    missing: Vec<usize>,
    finder: &Finder,
) -> io::Result<Vec<usize>> {
    let hashes: Vec<Sha256> = missing.iter().map(|&at| pieces[at].chunk.hash).collect();
    let mut places = finder(&hashes).into_iter();
    let mut open: Option<(PathBuf, Reader)> = None;
    keep_if(missing, |at| {
        let Some((path, offset)) = places.next().flatten() else { return Ok(true) };
        if open.as_ref().is_none_or(|(now, _)| *now != path) {
            open = Reader::open(&path).ok().map(|reader| (path, reader));
        }
        match &open {
            Some((_, reader)) => copy(part, reader, offset, &pieces[*at]),
            None => Ok(true),
        }
    })
}

/// Those for which `missing` stays true.
fn keep_if(
    all: Vec<usize>,
    mut missing: impl FnMut(&usize) -> io::Result<bool>,
) -> io::Result<Vec<usize>> {
    let mut kept = Vec::new();
    for at in all {
        if missing(&at)? {
            kept.push(at);
        }
    }
    Ok(kept)
}

/// Copies a piece from another file, if it is there; whether it still is missing.
fn copy(part: &Part, from: &Reader, offset: u64, piece: &Piece) -> io::Result<bool> {
    match verified(from, offset, piece.chunk)? {
        Some(bytes) => part.write_at(&bytes, piece.offset).map(|()| false),
        None => Ok(true),
    }
}

/// The bytes of a chunk, if they are there.
fn verified(reader: &Reader, offset: u64, chunk: Chunk) -> io::Result<Option<Vec<u8>>> {
    let bytes = reader.part(offset, chunk.size as usize)?;
    Ok(bytes.filter(|bytes| sha256(bytes) == chunk.hash))
}

/// Neighbouring missing pieces, together.
fn ranges(pieces: &[Piece], missing: &[usize]) -> Vec<Vec<Piece>> {
    let mut ranges: Vec<Vec<Piece>> = Vec::new();
    let mut len = 0;
    for &at in missing {
        let piece = pieces[at];
        let size = u64::from(piece.chunk.size);
        let follows = |last: &Piece| last.offset + u64::from(last.chunk.size) == piece.offset;
        match ranges.last_mut() {
            Some(range) if len + size <= RANGE_MAX && range.last().is_some_and(follows) => {
                len += size;
                range.push(piece);
            }
            _ => {
                len = size;
                ranges.push(vec![piece]);
            }
        }
    }
    ranges
}

/// Ranges that nobody fetches yet.
type Queue = Arc<Mutex<std::vec::IntoIter<Vec<Piece>>>>;

/// Fetches ranges one after the other, through memory that is used again.
async fn fetch_ranges(
    engine: Engine,
    wanted: Arc<Wanted>,
    queue: Queue,
) -> Result<(), TransferError> {
    let mut bytes = Stretch::default();
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
        let Some(range) = next else { return Ok(()) };
        match fetch_range(&engine, &wanted, &range, bytes).await {
            Ok(again) => bytes = again,
            Err(error) => {
                // The others need not go on either.
                queue.lock().unwrap_or_else(PoisonError::into_inner).by_ref().for_each(drop);
                return Err(error);
            }
        }
    }
}

async fn fetch_range(
    engine: &Engine,
    wanted: &Arc<Wanted>,
    range: &[Piece],
    mut bytes: Stretch,
) -> Result<Stretch, TransferError> {
    let mut rest = range;
    let mut breaks = 0;
    while let (Some(first), Some(last)) = (rest.first(), rest.last()) {
        let asked = first.offset..last.offset + u64::from(last.chunk.size);
        let broken = receive(engine, wanted, asked, &mut bytes).await?;
        let done;
        (done, bytes) = keep(engine, wanted, rest, bytes).await?;
        rest = &rest[done..];
        breaks = if done > 0 { 0 } else { breaks + 1 };
        match broken {
            Some(error) if breaks >= BREAKS_MAX => return Err(error.into()),
            None if !rest.is_empty() => {
                return Err(TransferError::NotAsAnnounced(wanted.path.clone()));
            }
            Some(_) | None => {}
        }
    }
    Ok(bytes)
}

/// Receives a range into `bytes`; what broke the connection if not all of it came.
async fn receive(
    engine: &Engine,
    wanted: &Wanted,
    range: Range<u64>,
    bytes: &mut Stretch,
) -> Result<Option<CallError>, TransferError> {
    let (start, len) = (range.start, (range.end - range.start) as usize);
    let version_id = wanted.version_id.as_deref();
    let mut download =
        engine.client.content_part(&wanted.id, wanted.version, version_id, range).await?;
    if !download.is_partial() && len as u64 != wanted.size {
        return Err(TransferError::ChangedThere(wanted.path.clone()));
    }
    bytes.begin(start, len);
    let mut missing = len;
    while missing > 0 {
        match download.next().await {
            Ok(Some(some)) => {
                let some = &some[..some.len().min(missing)];
                bytes.push(some);
                missing -= some.len();
            }
            Ok(None) => break,
            Err(error) => return Ok(Some(error)),
        }
    }
    Ok(None)
}

/// Writes the pieces that are whole in `bytes`; how many those are, and the memory back.
async fn keep(
    engine: &Engine,
    wanted: &Arc<Wanted>,
    pieces: &[Piece],
    bytes: Stretch,
) -> Result<(usize, Stretch), TransferError> {
    let Some(start) = pieces.first().map(|piece| piece.offset) else { return Ok((0, bytes)) };
    let end = start + bytes.bytes().len() as u64;
    let is_whole = |piece: &&Piece| piece.offset + u64::from(piece.chunk.size) <= end;
    let whole: Vec<Chunk> = pieces.iter().take_while(is_whole).map(|piece| piece.chunk).collect();
    let (count, size) = (whole.len(), whole.iter().map(|chunk| chunk.size as usize).sum::<usize>());
    let part = wanted.part.clone();
    let write = move || Ok((write_verified(&part, &whole, &bytes, size)?, bytes));
    let (is_good, bytes) = blocking(engine, wanted, "writing", write).await?;
    if !is_good {
        return Err(TransferError::NotAsAnnounced(wanted.path.clone()));
    }
    engine.bar.inc(size as u64);
    Ok((count, bytes))
}

/// Writes chunks that follow each other, `len` bytes in all, if those are what their hashes say.
fn write_verified(part: &Path, chunks: &[Chunk], bytes: &Stretch, len: usize) -> io::Result<bool> {
    let mut rest = bytes.bytes();
    for chunk in chunks {
        let (piece, behind) = rest.split_at(chunk.size as usize);
        if sha256(piece) != chunk.hash {
            return Ok(false);
        }
        rest = behind;
    }
    Part::open(part)?.write(bytes, len).map(|()| true)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use api_types::Hash;
    use api_types::v1::files::{Manifest, ManifestChunk};
    use node_base::sha256;

    use super::{RANGE_MAX, Wanted, pieces, ranges};

    fn wanted(size: u64) -> Wanted {
        Wanted {
            path: "x".to_owned(),
            id: "fil_1".to_owned(),
            version: None,
            version_id: Some("ver_1".to_owned()),
            size,
            checksum: None,
            modified: None,
            executable: false,
            target: PathBuf::new(),
            part: PathBuf::new(),
            over: None,
            sources: Vec::new(),
        }
    }

    fn manifest(version_id: &str, chunks: &[(u64, u32)]) -> Manifest {
        let chunk = |&(offset, size)| ManifestChunk { sha256: Hash(sha256(b"")), offset, size };
        Manifest {
            size: chunks.iter().map(|(_, size)| u64::from(*size)).sum(),
            checksum_sha256: None,
            chunks: chunks.iter().map(chunk).collect(),
            version_id: Some(version_id.to_owned()),
        }
    }

    #[test]
    fn a_manifest_with_gaps_overlaps_or_of_another_version_is_not_followed() {
        let good = manifest("ver_1", &[(0, 5), (5, 3)]);
        assert_eq!(pieces(&wanted(8), &good).expect("sound").len(), 2);
        for bad in [
            manifest("ver_2", &[(0, 5), (5, 3)]),
            manifest("ver_1", &[(0, 5), (6, 3)]),
            manifest("ver_1", &[(0, 5), (4, 3)]),
            manifest("ver_1", &[(0, 8), (8, 0)]),
            manifest("ver_1", &[(0, 9)]),
        ] {
            assert!(pieces(&wanted(8), &bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn neighbours_are_fetched_together_up_to_a_limit() {
        let mib = 1 << 20;
        let chunks: Vec<(u64, u32)> = (0..20).map(|at| (at * mib, mib as u32)).collect();
        let all = pieces(&wanted(20 * mib), &manifest("ver_1", &chunks)).expect("sound");
        let lens =
            |missing: &[usize]| ranges(&all, missing).iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(lens(&[0, 1, 3, 4, 5, 9]), [2, 3, 1]);
        let limit = (RANGE_MAX / mib) as usize;
        assert_eq!(lens(&(0..20).collect::<Vec<_>>()), vec![limit; 20 / limit]);
        assert_eq!(lens(&[]), [] as [usize; 0]);
    }
}
