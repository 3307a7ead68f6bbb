//! The pieces of work that move content, each on its own.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use api_client::Client;
use api_sync_core::{RemoteFile, Step};
use api_types::Patch;
use api_types::v1::files::PatchFile;
use node_base::Sha256;
use node_world::BoxFuture;
use tokio::sync::Semaphore;

use crate::cutting::SMALL_MAX;
use crate::download::{self, Fetched, Finder, Here, Wanted};
use crate::engine::{Engine, TransferError};
use crate::failure::{self, Exit};
use crate::feed::remote_file;
use crate::scan;
use crate::state::{Edit, State};
use crate::upload::{self, Destination, Sent, Small, Source};

/// Small files in one request.
const BATCH_FILES: usize = 250;
const BATCH_BYTES: u64 = 4 << 20;

/// What became of a file.
pub(crate) enum Moved {
    Up(Box<Sent>),
    Down(RemoteFile, Fetched),
    Nothing,
}

/// Work under way, and what became of each of its steps.
pub(crate) type Job = BoxFuture<Vec<(Step, Result<Moved, TransferError>)>>;

/// Small files that go together.
#[derive(Default)]
pub(crate) struct Batch {
    pub(crate) files: Vec<(Step, Small)>,
    bytes: u64,
}

impl Batch {
    /// Takes a file; the batch so far, if it is full now.
    pub(crate) fn push(
        &mut self,
        step: Step,
        small: Option<Small>,
        size: u64,
    ) -> Option<Vec<(Step, Small)>> {
        self.files.push((step, small?));
        self.bytes += size;
        let full = self.files.len() >= BATCH_FILES || self.bytes >= BATCH_BYTES;
        full.then(|| std::mem::take(self).files)
    }
}

/// Changes the Unix bit on the server.
pub(crate) fn mark(client: Client, step: Step, id: String, executable: bool) -> Job {
    Box::pin(async move {
        let patch = PatchFile { executable: Patch::Set(executable), ..PatchFile::default() };
        let result = client.patch_file(&id, &patch).await;
        vec![(step, result.map(|_| Moved::Nothing).map_err(Into::into))]
    })
}

/// Sends small files together.
pub(crate) fn small(engine: Engine, share_id: String, files: Vec<(Step, Small)>) -> Job {
    Box::pin(async move {
        let (fit, too_large): (Vec<_>, Vec<_>) =
            files.into_iter().partition(|(_, small)| engine.fits(small.source.stamp.size));
        let (steps, files): (Vec<Step>, Vec<Small>) = fit.into_iter().unzip();
        let sizes: Vec<u64> = files.iter().map(|small| small.source.stamp.size).collect();
        let mut results = match upload::send_small(&engine, &share_id, files).await {
            Ok(results) => {
                let moved = |sent| Moved::Up(Box::new(sent));
                let results = results.into_iter().map(|result| result.map(moved));
                steps.into_iter().zip(results).collect()
            }
            Err(error) => refused_together(steps, error),
        };
        for ((_, result), size) in results.iter().zip(sizes) {
            note(&engine, result, size);
        }
        results.extend(too_large.into_iter().map(|(step, _)| no_room(step)));
        results
    })
}

/// Takes note of what else depends on how a file's way up ended.
fn note<T>(engine: &Engine, result: &Result<T, TransferError>, size: u64) {
    let Err(error) = result else { return };
    if error.is_quota() {
        engine.note_full(size);
    }
    if let Some(conflict) = error.conflict() {
        engine.note_conflict(conflict);
    }
}

fn no_room(step: Step) -> (Step, Result<Moved, TransferError>) {
    let error = TransferError::no_room(step.path().to_owned());
    (step, Err(error))
}

/// Sends one large file, when it is its turn.
pub(crate) fn large(
    engine: Engine,
    state: Arc<State>,
    step: Step,
    source: Source,
    destination: Destination,
    turns: Arc<Semaphore>,
) -> Job {
    Box::pin(async move {
        let _turn = turns.acquire_owned().await;
        let size = source.stamp.size;
        if !engine.fits(size) {
            return vec![no_room(step)];
        }
        let result = send_large(&engine, &state, &source, &destination).await;
        note(&engine, &result, size);
        vec![(step, result.map(|sent| Moved::Up(Box::new(sent))))]
    })
}

/// Fetches one file, a large one when it is its turn.
pub(crate) fn download(
    engine: Engine,
    state: Arc<State>,
    step: Step,
    root: PathBuf,
    target: PathBuf,
    turns: Arc<Semaphore>,
) -> Job {
    Box::pin(async move {
        let large = matches!(&step, Step::Download { size, .. } if *size > SMALL_MAX);
        let _turn = if large { turns.acquire_owned().await.ok() } else { None };
        let result = fetch(&engine, &state, &root, target, &step).await;
        vec![(step, result)]
    })
}

fn refused_together(
    steps: Vec<Step>,
    error: TransferError,
) -> Vec<(Step, Result<Moved, TransferError>)> {
    let exit = exit_of(&error);
    let detail = error.to_string();
    let ends = error.ends_the_run();
    let mut results: Vec<_> = steps
        .into_iter()
        .map(|step| {
            let path = step.path().to_owned();
            let detail = detail.clone();
            (step, Err(TransferError::Rejected { path, detail, exit }))
        })
        .collect();
    // One of them carries the error itself, so that what ends the run is seen as that.
    if let Some(first) = results.first_mut().filter(|_| ends) {
        first.1 = Err(error);
    }
    results
}

async fn send_large(
    engine: &Engine,
    state: &Arc<State>,
    source: &Source,
    destination: &Destination,
) -> Result<Sent, TransferError> {
    let resume = state.upload(&source.path)?;
    let keep = |resume| {
        let path = source.path.clone();
        state.write(&[Edit::Upload { path, resume }]).map_err(TransferError::from)
    };
    upload::send(engine, source, destination, resume, &keep).await
}

async fn fetch(
    engine: &Engine,
    state: &Arc<State>,
    root: &Path,
    target: PathBuf,
    step: &Step,
) -> Result<Moved, TransferError> {
    let Step::Download { path, id, version_id, size, checksum, modified, executable, over } = step
    else {
        return Ok(Moved::Nothing);
    };
    let mut remote = RemoteFile {
        id: id.clone(),
        version_id: version_id.clone(),
        size: *size,
        checksum: *checksum,
        modified: *modified,
        executable: *executable,
    };
    if remote.executable.is_none() {
        remote = remote_file(&engine.client.file(id).await?);
    }
    let chunks = state.chunks(path)?.unwrap_or_default();
    let part = target.with_file_name(scan::part_name(path, &remote.version_id));
    let wanted = Wanted {
        path: path.clone(),
        id: id.clone(),
        version: None,
        version_id: Some(remote.version_id.clone()),
        size: remote.size,
        checksum: remote.checksum,
        modified: remote.modified,
        executable: remote.executable.unwrap_or_default(),
        sources: vec![Here { disk: target.clone(), chunks }],
        target,
        part,
        over: *over,
    };
    let fetched = download::fetch(engine, wanted, Some(finder(state, root))).await?;
    Ok(Moved::Down(remote, fetched))
}

/// Looks chunks up in what was in step before.
fn finder(state: &Arc<State>, root: &Path) -> Finder {
    let (state, root) = (Arc::clone(state), root.to_owned());
    Arc::new(move |hashes: &[Sha256]| {
        // A hint that cannot be read costs a transfer, no more.
        let places = state.places(hashes).unwrap_or_default();
        places.into_iter().map(|place| place.map(|at| (root.join(at.path), at.offset))).collect()
    })
}

fn exit_of(error: &TransferError) -> Exit {
    match error {
        TransferError::Rejected { exit, .. } => *exit,
        TransferError::Call(error) => failure::exit_of(error),
        TransferError::File { .. }
        | TransferError::ChangedHere(_)
        | TransferError::ChangedThere(_)
        | TransferError::NotAsAnnounced(_)
        | TransferError::NoFolder(_)
        | TransferError::Ended(_)
        | TransferError::State(_) => Exit::Failed,
    }
}
