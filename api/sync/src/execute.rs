//! Doing what a plan says.
//!
//! Steps are done in runs: what is done here, what is done to the server's tree, and content. Each
//! run ends before the next begins; within content many files move at once. What is done is written
//! down as it is done, so a run that was killed loses at most a repetition.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use api_sync_core::{Base, BaseFile, Local, Remote, Stamp, Step};
use api_types::Patch;
use api_types::v1::Item;
use api_types::v1::files::PatchFile;
use futures_util::{StreamExt, stream};
use node_base::Sha256;
use node_world::BoxFuture;
use tokio::sync::Semaphore;

use crate::cutting::SMALL_MAX;
use crate::disk;
use crate::download::{self, Fetched, Finder, Here, Wanted};
use crate::engine::{Engine, TransferError};
use crate::failure::{Exit, Failure};
use crate::feed::{Feed, remote_file};
use crate::scan;
use crate::server_steps;
use crate::state::{Edit, State};
use crate::sync::{Pair, Round};
use crate::upload::{self, Destination, Sent, Small, Source};

/// Files that move at once; of them, large ones.
const FILES_IN_FLIGHT: usize = 12;
const LARGE_IN_FLIGHT: usize = 2;
/// Small files in one request.
const BATCH_FILES: usize = 250;
const BATCH_BYTES: u64 = 4 << 20;
/// Results that are written down together.
const WRITE_EVERY: usize = 256;

/// How it went.
#[derive(Debug, Default)]
pub(crate) struct Done {
    /// Paths that this run does not try again.
    pub(crate) failed: Vec<String>,
    pub(crate) problems: Vec<Failure>,
    /// What somebody else changed at the same moment: the next round sees what is so now.
    pub(crate) overtaken: Vec<Failure>,
    /// What came up would stop everything else, too.
    pub(crate) stopped: bool,
}

pub(crate) struct Executor<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) pair: &'a Pair,
    pub(crate) state: Arc<State>,
    pub(crate) feed: &'a mut Feed,
    pub(crate) round: Round,
    /// Not yet written down.
    pub(crate) edits: Vec<Edit>,
    pub(crate) done: Done,
}

/// Who does a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Here,
    Server,
    Content,
}

fn side(step: &Step) -> Side {
    match step {
        Step::MoveLocal { .. }
        | Step::KeepBeside { .. }
        | Step::DeleteLocalFile { .. }
        | Step::DeleteLocalFolder { .. }
        | Step::MakeLocalFolder { .. } => Side::Here,
        Step::MoveRemote { .. } | Step::DeleteRemote { .. } | Step::MakeRemoteFolder { .. } => {
            Side::Server
        }
        Step::Adopt { .. }
        | Step::MarkRemote { .. }
        | Step::MarkLocal { .. }
        | Step::Download { .. }
        | Step::Upload { .. }
        | Step::Forget { .. } => Side::Content,
    }
}

impl<'a> Executor<'a> {
    pub(crate) fn new(
        engine: &'a Engine,
        pair: &'a Pair,
        state: Arc<State>,
        feed: &'a mut Feed,
        round: Round,
    ) -> Self {
        Self { engine, pair, state, feed, round, edits: Vec::new(), done: Done::default() }
    }

    /// Does all steps. What one file meets does not stop the others, unless they would meet it too.
    pub(crate) async fn run(mut self, steps: Vec<Step>) -> Result<Done, Failure> {
        for run in steps.chunk_by(|a, b| side(a) == side(b)) {
            match run.first().map(side) {
                Some(Side::Here) => run.iter().for_each(|step| self.here(step)),
                Some(Side::Server) => server_steps::perform(&mut self, run).await?,
                Some(Side::Content) => self.content(run).await?,
                None => {}
            }
            self.write().await?;
            if self.done.stopped {
                break;
            }
        }
        self.clear_parts();
        self.write().await?;
        Ok(self.done)
    }

    async fn write(&mut self) -> Result<(), Failure> {
        let mut edits = std::mem::take(&mut self.edits);
        edits.extend(self.feed.take_edits());
        let state = Arc::clone(&self.state);
        self.engine.world.blocking(move || state.write(&edits)).await?;
        Ok(())
    }

    /// Content on its way that no step of this run will finish; what failed may go on later.
    fn clear_parts(&self) {
        if !self.done.failed.is_empty() || self.done.stopped {
            return;
        }
        for part in &self.round.scan.parts {
            // Most have just taken their places.
            let _ = disk::remove_part(part);
        }
    }

    fn disk(&self, path: &str) -> PathBuf {
        self.pair.root.join(self.round.scan.on_disk(path))
    }

    pub(crate) fn fail(&mut self, path: &str, error: TransferError) {
        let overtaken = error.is_overtaken();
        self.done.stopped |= error.ends_the_run();
        let mut failure = Failure::from(error);
        failure.message = format!("{path}: {}", failure.message);
        if overtaken {
            self.done.overtaken.push(failure);
        } else {
            self.done.failed.push(path.to_owned());
            self.done.problems.push(failure);
        }
    }

    fn fail_here(&mut self, doing: &'static str, path: &str, source: std::io::Error) {
        self.fail(path, TransferError::File { doing, path: path.to_owned(), source });
    }

    /// Steps on this machine's files.
    fn here(&mut self, step: &Step) {
        match step {
            Step::MoveLocal { from, to } => {
                let moved = disk::shift(&self.disk(from), &self.disk(to));
                match moved {
                    Ok(()) => {
                        self.round.scan.moved(from, to);
                        self.edits.push(Edit::Move { from: from.clone(), to: to.clone() });
                    }
                    Err(error) => self.fail_here("moving", from, error),
                }
            }
            Step::KeepBeside { from, to } => match disk::shift(&self.disk(from), &self.disk(to)) {
                Ok(()) => {
                    self.round.scan.moved(from, to);
                    self.edits.push(Edit::Forget { path: from.clone() });
                }
                Err(error) => self.fail_here("moving", from, error),
            },
            Step::DeleteLocalFile { path, stamp } => {
                match disk::remove_seen(&self.disk(path), *stamp) {
                    Ok(true) => self.edits.push(Edit::Forget { path: path.clone() }),
                    // It was changed since: the next round judges it anew.
                    Ok(false) => {}
                    Err(error) => self.fail_here("deleting", path, error),
                }
            }
            Step::DeleteLocalFolder { path } => match disk::remove_empty(&self.disk(path)) {
                Ok(true) => self.edits.push(Edit::Forget { path: path.clone() }),
                Ok(false) => {
                    // Things that are left alone are in it.
                    self.done.failed.push(path.clone());
                }
                Err(error) => self.fail_here("deleting", path, error),
            },
            Step::MakeLocalFolder { path, id } => {
                let disk = self.disk(path);
                let made = disk::make_folder(&disk).and_then(|()| disk::look(&disk));
                match made {
                    Ok(Some(disk::Kind::Folder { inode })) => {
                        let base = Base::Folder { id: id.clone(), inode };
                        self.edits.push(Edit::Base { path: path.clone(), base, chunks: None });
                    }
                    Ok(_) => {}
                    Err(error) => self.fail_here("making", path, error),
                }
            }
            _ => {}
        }
    }

    /// Content, and what is only written down.
    async fn content(&mut self, steps: &[Step]) -> Result<(), Failure> {
        let jobs = self.jobs(steps);
        let world = self.engine.world.clone();
        let mut results =
            stream::iter(jobs).map(|job| world.spawn(job)).buffer_unordered(FILES_IN_FLIGHT);
        let mut unwritten = 0;
        while let Some(ended) = results.next().await {
            for (step, result) in ended.unwrap_or_default() {
                unwritten += 1;
                self.take(&step, result);
            }
            if unwritten >= WRITE_EVERY {
                unwritten = 0;
                self.write().await?;
            }
            if self.done.stopped {
                break;
            }
        }
        Ok(())
    }

    fn take(&mut self, step: &Step, result: Result<Moved, TransferError>) {
        let path = step.path();
        match result {
            Ok(Moved::Up(sent)) => self.took_up(step, *sent),
            Ok(Moved::Down(remote, fetched)) => {
                let executable = remote.executable.unwrap_or_default();
                let base = Base::File(BaseFile {
                    id: remote.id,
                    version_id: remote.version_id,
                    stamp: fetched.stamp,
                    executable,
                });
                let chunks = Some(fetched.chunks);
                self.edits.push(Edit::Base { path: path.to_owned(), base, chunks });
            }
            Ok(Moved::Nothing) => {}
            Err(error) => self.fail(path, error),
        }
    }

    fn took_up(&mut self, step: &Step, sent: Sent) {
        let Step::Upload { path, stamp, executable, .. } = step else { return };
        let base = Base::File(BaseFile {
            id: sent.file.id.clone(),
            version_id: sent.file.version_id.clone(),
            stamp: *stamp,
            executable: *executable,
        });
        self.edits.push(Edit::Base { path: path.clone(), base, chunks: Some(sent.chunks) });
        self.edits.push(Edit::Upload { path: path.clone(), resume: None });
        self.feed.note(Item::File(sent.file));
    }

    fn jobs(&mut self, steps: &[Step]) -> Vec<Job> {
        let large = Arc::new(Semaphore::new(LARGE_IN_FLIGHT));
        let (mut jobs, mut small) = (Vec::new(), Batch::default());
        for step in steps {
            match step {
                Step::Upload { stamp, .. } if stamp.size <= SMALL_MAX => {
                    if let Some(full) = small.push(step.clone(), self.small(step), stamp.size) {
                        jobs.push(self.small_job(full));
                    }
                }
                Step::Upload { .. } => jobs.extend(self.large_job(step, &large)),
                Step::Download { .. } => jobs.push(self.download_job(step, &large)),
                Step::Adopt { path } => self.adopt(path),
                Step::MarkLocal { path, executable } => self.mark_local(path, *executable),
                Step::MarkRemote { path, id, executable } => {
                    let (path, id) = (path.clone(), id.clone());
                    self.adopt(&path);
                    jobs.push(self.mark_job(step, id, *executable));
                }
                Step::Forget { path } => self.edits.push(Edit::Forget { path: path.clone() }),
                _ => {}
            }
        }
        if !small.files.is_empty() {
            jobs.push(self.small_job(small.files));
        }
        jobs
    }

    fn source(&self, path: &str, stamp: Stamp, executable: bool) -> Source {
        Source { path: path.to_owned(), disk: self.disk(path), stamp, executable }
    }

    /// Both sides have it already: note how it looks here and there.
    fn adopt(&mut self, path: &str) {
        let remote = self.round.trees.remote.get(path);
        let base = match (self.round.scan.tree.get(path), remote) {
            (Some(Local::File(local)), Some(Remote::File(remote))) => Base::File(BaseFile {
                id: remote.id.clone(),
                version_id: remote.version_id.clone(),
                stamp: local.stamp,
                executable: local.executable,
            }),
            (Some(Local::Folder(inode)), Some(Remote::Folder(id))) => {
                Base::Folder { id: id.clone(), inode: *inode }
            }
            _ => return,
        };
        let chunks = self.round.known.get(path).cloned();
        self.edits.push(Edit::Base { path: path.to_owned(), base, chunks });
    }

    fn mark_local(&mut self, path: &str, executable: bool) {
        if let Err(error) = disk::mark(&self.disk(path), executable) {
            return self.fail_here("marking", path, error);
        }
        if let Some(Local::File(file)) = self.round.scan.tree.get_mut(path) {
            file.executable = executable;
        }
        self.adopt(path);
    }

    fn mark_job(&self, step: &Step, id: String, executable: bool) -> Job {
        let (client, step) = (self.engine.client.clone(), step.clone());
        Box::pin(async move {
            let patch = PatchFile { executable: Patch::Set(executable), ..PatchFile::default() };
            let result = client.patch_file(&id, &patch).await;
            vec![(step, result.map(|_| Moved::Nothing).map_err(Into::into))]
        })
    }

    fn small(&self, step: &Step) -> Option<Small> {
        let Step::Upload { path, stamp, executable, replaces } = step else { return None };
        Some(Small {
            source: self.source(path, *stamp, *executable),
            path: path.clone(),
            folder_id: self.pair.folder_id.clone(),
            replaces: replaces.as_ref().map(|old| (old.id.clone(), old.version_id.clone())),
        })
    }

    fn small_job(&self, files: Vec<(Step, Small)>) -> Job {
        let (engine, share_id) = (self.engine.clone(), self.pair.share_id.clone());
        Box::pin(async move {
            let (steps, files): (Vec<Step>, Vec<Small>) = files.into_iter().unzip();
            let results = match upload::send_small(&engine, &share_id, files).await {
                Ok(results) => results,
                Err(error) => return refused_together(steps, error),
            };
            let moved = |sent| Moved::Up(Box::new(sent));
            let results = results.into_iter().map(|result| result.map(moved));
            steps.into_iter().zip(results).collect()
        })
    }

    fn large_job(&self, step: &Step, large: &Arc<Semaphore>) -> Option<Job> {
        let Step::Upload { path, stamp, executable, replaces } = step else { return None };
        let source = self.source(path, *stamp, *executable);
        let (folder, name) = match path.rsplit_once('/') {
            Some((folder, name)) => (self.round.folder_id(folder).map(str::to_owned), name),
            None => (self.pair.folder_id.clone(), path.as_str()),
        };
        let destination = Destination {
            share_id: self.pair.share_id.clone(),
            folder_id: folder,
            name: name.to_owned(),
            replaces: replaces.as_ref().map(|old| (old.id.clone(), old.version_id.clone())),
        };
        let (engine, state) = (self.engine.clone(), Arc::clone(&self.state));
        let (step, large) = (step.clone(), Arc::clone(large));
        Some(Box::pin(async move {
            let _turn = large.acquire_owned().await;
            let result = send_large(&engine, &state, &source, &destination).await;
            vec![(step, result.map(|sent| Moved::Up(Box::new(sent))))]
        }))
    }

    fn download_job(&self, step: &Step, large: &Arc<Semaphore>) -> Job {
        let (engine, state) = (self.engine.clone(), Arc::clone(&self.state));
        let (root, target) = (self.pair.root.clone(), self.disk(step.path()));
        let (step, large) = (step.clone(), Arc::clone(large));
        Box::pin(async move {
            let big = matches!(&step, Step::Download { size, .. } if *size > SMALL_MAX);
            let _turn = if big { large.acquire_owned().await.ok() } else { None };
            let result = fetch(&engine, &state, &root, target, &step).await;
            vec![(step, result)]
        })
    }
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
    let mut remote = api_sync_core::RemoteFile {
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

/// What became of a file.
enum Moved {
    Up(Box<Sent>),
    Down(api_sync_core::RemoteFile, Fetched),
    Nothing,
}

type Job = BoxFuture<Vec<(Step, Result<Moved, TransferError>)>>;

#[derive(Default)]
struct Batch {
    files: Vec<(Step, Small)>,
    bytes: u64,
}

impl Batch {
    /// Takes a file; the batch so far, if it is full now.
    fn push(&mut self, step: Step, small: Option<Small>, size: u64) -> Option<Vec<(Step, Small)>> {
        self.files.push((step, small?));
        self.bytes += size;
        let full = self.files.len() >= BATCH_FILES || self.bytes >= BATCH_BYTES;
        full.then(|| std::mem::take(self).files)
    }
}

fn exit_of(error: &TransferError) -> Exit {
    match error {
        TransferError::Rejected { exit, .. } => *exit,
        TransferError::Call(error) => crate::failure::exit_of(error),
        TransferError::File { .. }
        | TransferError::ChangedHere(_)
        | TransferError::ChangedThere(_)
        | TransferError::NotAsAnnounced(_)
        | TransferError::Ended(_)
        | TransferError::State(_) => Exit::Failed,
    }
}
