//! Content to the server: cut, ask what is missing, send only that.
//!
//! A large file is cut while its first pieces already travel. It is read once, a few groups of
//! pieces ahead of what is sent, so memory holds those and not the file. What the server holds
//! by now is kept by its session, so a run that was killed goes on where it was.

use std::collections::BTreeSet;
use std::path::PathBuf;

use api_client::{CallError, ChunkFrame};
use api_sync_core::Stamp;
use api_types::v1::error::ErrorCode;
use api_types::v1::files::File;
use api_types::v1::uploads::{
    BatchItem, BatchStatus, ChunkStatus, CompleteUpload, CreateUpload, DeclareChunks,
    DeclaredChunk, UploadStatus,
};
use api_types::{Hash, Time};
use bytes::Bytes;
use node_world::Task;
use tokio::sync::mpsc;

use crate::cutting::{self, Group, SMALL_MAX};
use crate::disk::{self, Reader};
use crate::engine::{Engine, TransferError};
use crate::failure::{self, Exit};
use crate::state::{Chunk, Resume};

/// Bytes of chunks in one request.
const BATCH_BYTES: usize = 4 << 20;
/// How often a completion may find that chunks went away meanwhile.
const COMPLETIONS_MAX: u32 = 3;
/// Requests under way for one file.
const IN_FLIGHT: usize = 4;
/// Chunks that are read again from the file together.
const PLACES_AT_ONCE: usize = 16;

/// A file here, as it was seen.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    /// How messages name it.
    pub(crate) path: String,
    pub(crate) disk: PathBuf,
    pub(crate) stamp: Stamp,
    pub(crate) executable: bool,
}

/// Where its content goes.
#[derive(Debug, Clone)]
pub(crate) struct Destination {
    pub(crate) share_id: String,
    /// Nothing: the share's root.
    pub(crate) folder_id: Option<String>,
    pub(crate) name: String,
    /// The file and its version that the content follows.
    pub(crate) replaces: Option<(String, String)>,
}

/// Content that arrived.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    pub(crate) file: File,
    pub(crate) chunks: Vec<Chunk>,
}

/// A session, and what it lacks.
struct Session {
    id: String,
    /// Chunks the server has been told of.
    declared: usize,
    /// Of those, the ones that must still be sent; known only for a session taken up again.
    missing: BTreeSet<u64>,
}

/// Takes note of a session, before its first chunk is sent.
pub(crate) type Keep<'a> = &'a (dyn Fn(Option<Resume>) -> Result<(), TransferError> + Sync);

/// Sends a file of any size.
pub(crate) async fn send(
    engine: &Engine,
    source: &Source,
    destination: &Destination,
    resume: Option<Resume>,
    keep: Keep<'_>,
) -> Result<Sent, TransferError> {
    let base = destination.replaces.as_ref().map(|(_, version_id)| version_id.clone());
    let resume =
        resume.filter(|resume| resume.stamp == source.stamp && resume.base_version_id == base);
    let session = match &resume {
        Some(resume) => take_up(engine, resume).await?,
        None => None,
    };
    let taken_up = session.is_some();
    let sent = match pump(engine, source, destination, session, keep).await {
        // The file is not what the old session was told, though its stamp is: begin anew.
        Err(TransferError::Call(error)) if taken_up && is_stale(&error) => {
            pump(engine, source, destination, None, keep).await?
        }
        other => other?,
    };
    keep(None)?;
    engine.count_file(source.stamp.size);
    Ok(sent)
}

fn is_stale(error: &CallError) -> bool {
    use ErrorCode::{ChecksumMismatch, Expired, NotFound, Validation};
    matches!(error.code(), Some(ChecksumMismatch | Expired | NotFound | Validation))
}

/// The session of an earlier run, if it still is one.
async fn take_up(engine: &Engine, resume: &Resume) -> Result<Option<Session>, TransferError> {
    match engine.client.upload_state(&resume.session_id).await {
        Ok(state) if state.status == UploadStatus::Open => Ok(Some(Session {
            id: resume.session_id.clone(),
            declared: state.received as usize + state.missing.len(),
            missing: state.missing.into_iter().collect(),
        })),
        Ok(_) => Ok(None),
        Err(error) if matches!(error.status(), Some(404 | 410)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Cuts and sends at the same time, then completes.
async fn pump(
    engine: &Engine,
    source: &Source,
    destination: &Destination,
    session: Option<Session>,
    keep: Keep<'_>,
) -> Result<Sent, TransferError> {
    let (groups, taken) = mpsc::channel(1);
    let disk = source.disk.clone();
    let cutting = engine.world.blocking(move || {
        // Nobody takes them only where the upload has failed, and that is told there.
        cutting::cut(&disk, |group| groups.blocking_send(group).is_ok())
    });
    let mut sender =
        Sender { engine, source, destination, session, chunks: Vec::new(), under_way: Vec::new() };
    let (cut, sent) = tokio::join!(cutting, sender.send_groups(taken, keep));
    let total = cut.map_err(|error| reading(source, error))?;
    sent?;
    if total != source.stamp.size || still(source)? != Some(source.stamp) {
        return Err(TransferError::ChangedHere(source.path.clone()));
    }
    sender.complete(keep).await
}

fn reading(source: &Source, error: std::io::Error) -> TransferError {
    TransferError::File { doing: "reading", path: source.path.clone(), source: error }
}

/// The stamp that the file has now.
fn still(source: &Source) -> Result<Option<Stamp>, TransferError> {
    match disk::look(&source.disk).map_err(|error| reading(source, error))? {
        Some(disk::Kind::File { stamp, .. }) => Ok(Some(stamp)),
        Some(_) | None => Ok(None),
    }
}

struct Sender<'a> {
    engine: &'a Engine,
    source: &'a Source,
    destination: &'a Destination,
    session: Option<Session>,
    /// All that was cut so far.
    chunks: Vec<Chunk>,
    under_way: Vec<Task<Result<(), TransferError>>>,
}

impl Sender<'_> {
    async fn send_groups(
        &mut self,
        mut groups: mpsc::Receiver<Group>,
        keep: Keep<'_>,
    ) -> Result<(), TransferError> {
        while let Some(group) = groups.recv().await {
            let first = self.chunks.len();
            self.chunks.extend(group.iter().map(|(chunk, _)| *chunk));
            let missing = self.declare(first, keep).await?;
            let frames: Vec<ChunkFrame> = missing
                .iter()
                .map(|&index| {
                    let bytes = group[index as usize - first].1.clone();
                    ChunkFrame { index: index as u32, bytes }
                })
                .collect();
            let all: usize = group.iter().map(|(_, bytes)| bytes.len()).sum();
            let sent: usize = frames.iter().map(|frame| frame.bytes.len()).sum();
            self.engine.count_known((group.len() - missing.len()) as u64);
            self.engine.bar.inc((all - sent) as u64);
            for batch in batches(frames) {
                self.start(batch).await?;
            }
        }
        for task in std::mem::take(&mut self.under_way) {
            self.ended(task).await?;
        }
        Ok(())
    }

    /// Tells the server of the chunks from `first` on; the indexes it wants.
    async fn declare(&mut self, first: usize, keep: Keep<'_>) -> Result<Vec<u64>, TransferError> {
        let end = self.chunks.len();
        let Some(session) = &mut self.session else { return self.open(keep).await };
        let told = session.declared.clamp(first, end);
        let missing = session.missing.range(first as u64..end as u64);
        let mut missing: Vec<u64> = missing.copied().collect();
        if told < end {
            let chunks = declared(&self.chunks[told..]);
            let answer =
                self.engine.client.declare_chunks(&session.id, &DeclareChunks { chunks }).await?;
            session.declared = end;
            missing.extend(answer.missing);
        }
        self.checked(missing, first)
    }

    /// Indexes come from outside: only those from `first` on are taken.
    fn checked(&self, missing: Vec<u64>, first: usize) -> Result<Vec<u64>, TransferError> {
        let within = |index: &u64| (first as u64..self.chunks.len() as u64).contains(index);
        if missing.iter().all(within) {
            let unique: BTreeSet<u64> = missing.into_iter().collect();
            Ok(unique.into_iter().collect())
        } else {
            Err(TransferError::NotAsAnnounced(self.source.path.clone()))
        }
    }

    async fn open(&mut self, keep: Keep<'_>) -> Result<Vec<u64>, TransferError> {
        let replaces = self.destination.replaces.clone();
        let stamp = self.source.stamp;
        let upload = CreateUpload {
            share_id: self.destination.share_id.clone(),
            file_name: self.destination.name.clone(),
            file_size: stamp.size,
            folder_id: self.destination.folder_id.clone(),
            chunk_size: None,
            chunks: Some(declared(&self.chunks)),
            mime_type: None,
            checksum_sha256: None,
            replace_file_id: replaces.as_ref().map(|(id, _)| id.clone()),
            base_version_id: replaces.as_ref().map(|(_, version_id)| version_id.clone()),
            client_modified_at: Some(Time(disk::moment_of(&stamp))),
            executable: Some(self.source.executable),
        };
        let answer = self.engine.client.create_upload(&upload).await?;
        keep(Some(Resume {
            session_id: answer.session_id.clone(),
            stamp,
            base_version_id: upload.base_version_id,
        }))?;
        let (id, declared) = (answer.session_id, self.chunks.len());
        self.session = Some(Session { id, declared, missing: BTreeSet::new() });
        self.checked(answer.missing, 0)
    }

    async fn start(&mut self, batch: Vec<ChunkFrame>) -> Result<(), TransferError> {
        if self.under_way.len() >= IN_FLIGHT {
            let oldest = self.under_way.remove(0);
            self.ended(oldest).await?;
        }
        let Some(session) = &self.session else { return Ok(()) };
        let (engine, path) = (self.engine.clone(), self.source.path.clone());
        let task = send_batch(engine, path, session.id.clone(), batch);
        self.under_way.push(self.engine.world.spawn(task));
        Ok(())
    }

    async fn ended(&self, task: Task<Result<(), TransferError>>) -> Result<(), TransferError> {
        task.await.map_err(|_| TransferError::Ended(self.source.path.clone()))?
    }

    async fn complete(self, keep: Keep<'_>) -> Result<Sent, TransferError> {
        let mut sender = self;
        if sender.session.is_none() {
            // A file without a byte has no group that would have opened it.
            sender.declare(0, keep).await?;
        }
        let id = sender.session.as_ref().map(|session| session.id.clone()).unwrap_or_default();
        for _ in 0..COMPLETIONS_MAX {
            let complete = CompleteUpload::default();
            match sender.engine.client.complete_upload(&id, &complete).await {
                Ok(done) => return Ok(Sent { file: done.file, chunks: sender.chunks }),
                Err(error) => {
                    let gone = gone(&error).ok_or(error)?;
                    sender.send_again(&gone).await?;
                }
            }
        }
        Err(TransferError::Ended(sender.source.path.clone()))
    }

    /// Sends chunks that the server had and has lost since.
    async fn send_again(&mut self, gone: &[u64]) -> Result<(), TransferError> {
        let gone: BTreeSet<u64> = gone.iter().copied().collect();
        let mut offset = 0;
        let mut places = Vec::new();
        for (index, chunk) in self.chunks.iter().enumerate() {
            if gone.contains(&(index as u64)) {
                places.push(Place { index: index as u32, offset, chunk: *chunk });
            }
            offset += u64::from(chunk.size);
        }
        for some in places.chunks(PLACES_AT_ONCE) {
            let (disk, some) = (self.source.disk.clone(), some.to_vec());
            let read = self.engine.world.blocking(move || read_frames(&disk, &some)).await;
            let frames = read
                .map_err(|error| reading(self.source, error))?
                .ok_or_else(|| TransferError::ChangedHere(self.source.path.clone()))?;
            for batch in batches(frames) {
                self.start(batch).await?;
            }
        }
        for task in std::mem::take(&mut self.under_way) {
            self.ended(task).await?;
        }
        Ok(())
    }
}

/// The chunks that a completion found missing.
fn gone(error: &CallError) -> Option<Vec<u64>> {
    let CallError::Refused(refusal) = error else { return None };
    let missing = refusal.body.as_ref()?.error.missing.clone()?;
    (!missing.is_empty()).then_some(missing)
}

fn declared(chunks: &[Chunk]) -> Vec<DeclaredChunk> {
    chunks
        .iter()
        .map(|chunk| DeclaredChunk { sha256: Hash(chunk.hash), size: chunk.size })
        .collect()
}

/// A chunk that is to be sent again, and where it is read.
#[derive(Debug, Clone, Copy)]
struct Place {
    index: u32,
    offset: u64,
    chunk: Chunk,
}

fn batches(frames: Vec<ChunkFrame>) -> Vec<Vec<ChunkFrame>> {
    let mut batches: Vec<Vec<ChunkFrame>> = Vec::new();
    let mut room = 0;
    for frame in frames {
        let size = frame.bytes.len();
        match batches.last_mut() {
            Some(batch) if size <= room => {
                room -= size;
                batch.push(frame);
            }
            _ => {
                room = BATCH_BYTES.saturating_sub(size);
                batches.push(vec![frame]);
            }
        }
    }
    batches
}

async fn send_batch(
    engine: Engine,
    path: String,
    session: String,
    batch: Vec<ChunkFrame>,
) -> Result<(), TransferError> {
    let chunks = batch.len() as u64;
    let bytes = batch.iter().map(|frame| frame.bytes.len() as u64).sum();
    let answer = engine.client.put_chunks(&session, batch).await?;
    for result in &answer.results {
        if result.status == ChunkStatus::Rejected {
            let error = result.error.as_ref();
            if error.is_some_and(|error| error.code == ErrorCode::ChecksumMismatch) {
                return Err(TransferError::ChangedHere(path));
            }
            let detail = error.map(|error| error.detail.clone()).unwrap_or_default();
            return Err(TransferError::Rejected { path, detail, exit: Exit::Failed });
        }
    }
    engine.count_sent(chunks);
    engine.bar.inc(bytes);
    Ok(())
}

fn read_frames(
    disk: &std::path::Path,
    places: &[Place],
) -> std::io::Result<Option<Vec<ChunkFrame>>> {
    let reader = Reader::open(disk)?;
    let mut frames = Vec::with_capacity(places.len());
    for place in places {
        let Some(bytes) = reader.part(place.offset, place.chunk.size as usize)? else {
            return Ok(None);
        };
        frames.push(ChunkFrame { index: place.index, bytes: Bytes::from(bytes) });
    }
    Ok(Some(frames))
}

/// A small file of a batch.
#[derive(Debug, Clone)]
pub(crate) struct Small {
    pub(crate) source: Source,
    /// Below `folder_id`, or the share's root.
    pub(crate) path: String,
    pub(crate) folder_id: Option<String>,
    pub(crate) replaces: Option<(String, String)>,
}

/// Sends many small files in one request. Each has its own outcome, in order.
pub(crate) async fn send_small(
    engine: &Engine,
    share_id: &str,
    files: Vec<Small>,
) -> Result<Vec<Result<Sent, TransferError>>, TransferError> {
    let (read, files) = engine.world.blocking(move || (read_all(&files), files)).await;
    let mut outcomes: Vec<Option<Result<Sent, TransferError>>> = Vec::new();
    let (mut items, mut contents, mut chunks) = (Vec::new(), Vec::new(), Vec::new());
    for (at, (small, read)) in files.iter().zip(read).enumerate() {
        match read {
            Ok(bytes) => {
                outcomes.push(None);
                items.push(item(at, small));
                chunks.push(bytes.1);
                contents.push(bytes.0);
            }
            Err(error) => outcomes.push(Some(Err(error))),
        }
    }
    if !items.is_empty() {
        let answer = engine.client.put_files(share_id, &items, contents).await?;
        for (result, chunk) in answer.results.into_iter().zip(chunks) {
            let at: Option<usize> = result.client_ref.parse().ok();
            let Some(at) = at.filter(|&at| at < files.len()) else { continue };
            let source = &files[at].source;
            let outcome = match (result.status, result.file, result.error) {
                (BatchStatus::Created | BatchStatus::Replaced, Some(file), _) => {
                    engine.count_file(source.stamp.size);
                    engine.count_sent(chunk.len() as u64);
                    engine.bar.inc(source.stamp.size);
                    Ok(Sent { file, chunks: chunk })
                }
                (BatchStatus::Conflict, _, _) => {
                    if let Some(conflict) = &result.conflict {
                        engine.note_conflict(conflict);
                    }
                    Err(TransferError::ChangedThere(source.path.clone()))
                }
                (_, _, error) => Err(rejected(source, error)),
            };
            outcomes[at] = Some(outcome);
        }
    }
    let silent = |small: &Small| TransferError::NotAsAnnounced(small.source.path.clone());
    let pairs = outcomes.into_iter().zip(&files);
    Ok(pairs.map(|(outcome, small)| outcome.unwrap_or_else(|| Err(silent(small)))).collect())
}

fn rejected(source: &Source, error: Option<api_types::v1::error::ItemError>) -> TransferError {
    use ErrorCode::{NameConflict, VersionConflict};
    let path = source.path.clone();
    match error {
        Some(error) if matches!(error.code, NameConflict | VersionConflict) => {
            TransferError::ChangedThere(path)
        }
        Some(error) => {
            let exit = failure::exit_of_item(error.code);
            TransferError::Rejected { path, detail: error.detail, exit }
        }
        None => TransferError::NotAsAnnounced(path),
    }
}

fn item(at: usize, small: &Small) -> BatchItem {
    BatchItem {
        client_ref: at.to_string(),
        path: small.path.clone(),
        folder_id: small.folder_id.clone(),
        replace_file_id: small.replaces.as_ref().map(|(id, _)| id.clone()),
        base_version_id: small.replaces.as_ref().map(|(_, version_id)| version_id.clone()),
        client_modified_at: Some(Time(disk::moment_of(&small.source.stamp))),
        executable: Some(small.source.executable),
    }
}

type Content = (Bytes, Vec<Chunk>);

fn read_all(files: &[Small]) -> Vec<Result<Content, TransferError>> {
    files
        .iter()
        .map(|small| {
            let source = &small.source;
            let bytes = disk::read_small(&source.disk, SMALL_MAX as usize)
                .map_err(|error| reading(source, error))?
                .filter(|bytes| bytes.len() as u64 == source.stamp.size)
                .ok_or_else(|| TransferError::ChangedHere(source.path.clone()))?;
            if still(source)? != Some(source.stamp) {
                return Err(TransferError::ChangedHere(source.path.clone()));
            }
            let chunks = if bytes.is_empty() { Vec::new() } else { vec![cutting::chunk(&bytes)] };
            Ok((Bytes::from(bytes), chunks))
        })
        .collect()
}
