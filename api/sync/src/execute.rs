//! Doing what a plan says.
//!
//! Steps are done in runs: what is done here, what is done to the server's tree, and content. Each
//! run ends before the next begins; within content many files move at once. What is done is written
//! down as it is done, so a run that was killed loses at most a repetition.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use api_sync_core::{Base, BaseFile, Local, Remote, Stamp, Step};
use api_types::v1::Item;
use api_types::v1::folders::ROOT;
use futures_util::{StreamExt, stream};
use tokio::sync::Semaphore;

use crate::cutting::SMALL_MAX;
use crate::deletions;
use crate::disk;
use crate::engine::{Engine, TransferError};
use crate::failure::{Exit, Failure};
use crate::feed::Feed;
use crate::jobs::{self, Batch, Job, Moved};
use crate::server_steps;
use crate::state::{Edit, State};
use crate::sync::{Pair, Round};
use crate::upload::{Destination, Sent, Small, Source};

/// Files that move at once; of them, large ones.
const FILES_IN_FLIGHT: usize = 12;
const LARGE_IN_FLIGHT: usize = 2;
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
    /// Folders here in which names came or went, and the machine may not have kept that yet.
    touched: BTreeSet<PathBuf>,
    pub(crate) done: Done,
}

/// Who does a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Here,
    Server,
    /// On the server too, but not before one more look.
    Deletion,
    Content,
}

fn side(step: &Step) -> Side {
    match step {
        Step::MoveLocal { .. }
        | Step::KeepBeside { .. }
        | Step::DeleteLocalFile { .. }
        | Step::DeleteLocalFolder { .. }
        | Step::MakeLocalFolder { .. } => Side::Here,
        Step::MoveRemote { .. } | Step::MakeRemoteFolder { .. } => Side::Server,
        Step::DeleteRemote { .. } => Side::Deletion,
        Step::Adopt { .. }
        | Step::MarkRemote { .. }
        | Step::MarkLocal { .. }
        | Step::Download { .. }
        | Step::Upload { .. }
        | Step::Forget { .. } => Side::Content,
    }
}

/// The paths here that something appears at, or vanishes from.
fn names_changed(step: &Step) -> Vec<&str> {
    match step {
        Step::MoveLocal { from, to } | Step::KeepBeside { from, to } => vec![from, to],
        Step::DeleteLocalFile { path, .. }
        | Step::DeleteLocalFolder { path }
        | Step::MakeLocalFolder { path, .. }
        | Step::Download { path, .. } => vec![path],
        Step::MoveRemote { .. }
        | Step::DeleteRemote { .. }
        | Step::MakeRemoteFolder { .. }
        | Step::Adopt { .. }
        | Step::MarkRemote { .. }
        | Step::MarkLocal { .. }
        | Step::Upload { .. }
        | Step::Forget { .. } => Vec::new(),
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
        let (edits, touched, done) = (Vec::new(), BTreeSet::new(), Done::default());
        Self { engine, pair, state, feed, round, edits, touched, done }
    }

    /// Does all steps. What one file meets does not stop the others, unless they would meet it too.
    pub(crate) async fn run(mut self, steps: Vec<Step>) -> Result<Done, Failure> {
        for run in steps.chunk_by(|a, b| side(a) == side(b)) {
            match run.first().map(side) {
                Some(Side::Here) => run.iter().for_each(|step| self.here(step)),
                Some(Side::Server) => server_steps::perform(&mut self, run).await?,
                Some(Side::Deletion) => {
                    let steps = deletions::confirmed(&mut self, run).await;
                    server_steps::perform(&mut self, &steps).await?;
                }
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
        let (state, touched) = (Arc::clone(&self.state), std::mem::take(&mut self.touched));
        let write = move || {
            // What is written down as in step must not be lost with the power: then it would be
            // taken for deleted, or its old content for an edit.
            for folder in touched {
                disk::sync_folder(&folder)
                    .map_err(|error| Failure::file("writing", &folder, &error))?;
            }
            Ok(state.write(&edits)?)
        };
        self.engine.world.blocking(write).await
    }

    /// Takes note of the folders here whose names a step changes.
    fn touch(&mut self, step: &Step) {
        for path in names_changed(step) {
            self.touched.extend(self.disk(path).parent().map(Path::to_owned));
        }
    }

    /// Content on its way that no step of this run will finish; what failed may go on later.
    fn clear_parts(&self) {
        if !self.done.failed.is_empty() || self.done.stopped {
            return;
        }
        for part in &self.round.scan.parts {
            // Most have just taken their places.
            let _ = disk::clear_part(part);
        }
    }

    pub(crate) fn disk(&self, path: &str) -> PathBuf {
        self.pair.root.join(self.round.scan.on_disk(path))
    }

    pub(crate) fn fail(&mut self, path: &str, error: TransferError) {
        let overtaken = error.is_overtaken();
        self.done.stopped |= error.ends_the_run();
        let failure = error.of(path);
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
        self.touch(step);
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
            let Ok(results) = ended else {
                let text = "a part of the work ended early: this is a bug";
                self.done.problems.push(Failure::new(Exit::Failed, text));
                self.done.stopped = true;
                break;
            };
            unwritten += results.len();
            for (step, result) in results {
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
        self.touch(step);
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
                        jobs.push(self.batch(full));
                    }
                }
                Step::Upload { .. } => jobs.extend(self.large(step, &large)),
                Step::Download { .. } => jobs.push(self.download(step, &large)),
                Step::Adopt { path } => self.adopt(path),
                Step::MarkLocal { path, executable } => self.mark_local(path, *executable),
                Step::MarkRemote { path, id, executable } => {
                    let (path, id) = (path.clone(), id.clone());
                    self.adopt(&path);
                    let client = self.engine.client.clone();
                    jobs.push(jobs::mark(client, step.clone(), id, *executable));
                }
                Step::Forget { path } => self.edits.push(Edit::Forget { path: path.clone() }),
                _ => {}
            }
        }
        if !small.files.is_empty() {
            jobs.push(self.batch(small.files));
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

    fn small(&self, step: &Step) -> Option<Small> {
        let Step::Upload { path, stamp, executable, replaces } = step else { return None };
        Some(Small {
            source: self.source(path, *stamp, *executable),
            path: path.clone(),
            folder_id: self.pair.folder_id.clone(),
            replaces: replaces.as_ref().map(|old| (old.id.clone(), old.version_id.clone())),
        })
    }

    /// The id of the folder that `path` is in on the server; nothing if it could not be made.
    pub(crate) fn above(&self, path: &str) -> Option<String> {
        match path.rsplit_once('/') {
            Some((folder, _)) => self.round.folder_id(folder).map(str::to_owned),
            None => Some(self.pair.folder_id.clone().unwrap_or_else(|| ROOT.to_owned())),
        }
    }

    fn large(&mut self, step: &Step, turns: &Arc<Semaphore>) -> Option<Job> {
        let Step::Upload { path, stamp, executable, replaces } = step else { return None };
        let Some(folder) = self.above(path) else {
            self.fail(path, TransferError::NoFolder(path.clone()));
            return None;
        };
        let name = path.rsplit_once('/').map_or(path.as_str(), |(_, name)| name).to_owned();
        let replaces = replaces.as_ref().map(|old| (old.id.clone(), old.version_id.clone()));
        let source = self.source(path, *stamp, *executable);
        let share_id = self.pair.share_id.clone();
        let destination = Destination { share_id, folder_id: Some(folder), name, replaces };
        let (engine, state) = (self.engine.clone(), Arc::clone(&self.state));
        Some(jobs::large(engine, state, step.clone(), source, destination, Arc::clone(turns)))
    }

    fn download(&self, step: &Step, turns: &Arc<Semaphore>) -> Job {
        let (engine, state) = (self.engine.clone(), Arc::clone(&self.state));
        let (root, target) = (self.pair.root.clone(), self.disk(step.path()));
        jobs::download(engine, state, step.clone(), root, target, Arc::clone(turns))
    }

    fn batch(&self, files: Vec<(Step, Small)>) -> Job {
        jobs::small(self.engine.clone(), self.pair.share_id.clone(), files)
    }
}

#[cfg(test)]
mod tests {
    use api_sync_core::{Stamp, Step};

    use super::names_changed;

    #[test]
    fn each_step_tells_which_names_it_changes_here() {
        let text = str::to_owned;
        let stamp = Stamp { size: 0, modified: 0, inode: 0 };
        let path = text("d/x");
        let (from, to) = (text("d/x"), text("e/y"));
        let cases: [(Step, &[&str]); 7] = [
            (Step::MoveLocal { from: from.clone(), to: to.clone() }, &["d/x", "e/y"]),
            (Step::KeepBeside { from, to }, &["d/x", "e/y"]),
            (Step::DeleteLocalFile { path: path.clone(), stamp }, &["d/x"]),
            (Step::DeleteLocalFolder { path: path.clone() }, &["d/x"]),
            (Step::MakeLocalFolder { path: path.clone(), id: text("fld_1") }, &["d/x"]),
            (
                Step::Download {
                    path: path.clone(),
                    id: text("fil_1"),
                    version_id: text("ver_1"),
                    size: 0,
                    checksum: None,
                    modified: None,
                    executable: None,
                    over: None,
                },
                &["d/x"],
            ),
            (Step::Adopt { path }, &[]),
        ];
        for (step, expected) in cases {
            assert_eq!(names_changed(&step), expected, "{step:?}");
        }
    }
}
