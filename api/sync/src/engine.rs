//! What moves content: the connection, the machine, the figures.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use api_client::{CallError, Client, Machine};
use api_types::v1::conflicts::Conflict;
use indicatif::ProgressBar;
use node_base::Duration;
use node_world::{Instant, World};
use serde::Serialize;

use crate::failure::{self, Exit, Failure};

/// The client's pauses and random bits come from the world, too.
pub(crate) struct WorldMachine(pub(crate) World);

impl Machine for WorldMachine {
    fn pause(&self, span: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let world = self.0.clone();
        Box::pin(async move { world.sleep(span).await })
    }

    fn random(&self) -> u128 {
        self.0.random()
    }
}

/// What a run did, as people and programs are told.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Figures {
    pub(crate) files: u64,
    pub(crate) bytes: u64,
    pub(crate) sent_bytes: u64,
    pub(crate) received_bytes: u64,
    pub(crate) chunks_sent: u64,
    pub(crate) chunks_known: u64,
    pub(crate) conflicts: u64,
    pub(crate) seconds: f64,
}

#[derive(Default)]
struct Tally {
    files: AtomicU64,
    bytes: AtomicU64,
    chunks_sent: AtomicU64,
    chunks_known: AtomicU64,
    conflicts: AtomicU64,
}

/// Cheap to clone; clones count together.
#[derive(Clone)]
pub(crate) struct Engine {
    pub(crate) client: Client,
    pub(crate) world: World,
    pub(crate) bar: ProgressBar,
    tally: Arc<Tally>,
    /// The smallest file that a quota had no room for.
    refused: Arc<AtomicU64>,
    /// Conflicts that the server has noted down of what this run sent.
    raised: Arc<Mutex<Vec<String>>>,
    started: Instant,
}

impl Engine {
    pub(crate) fn new(client: Client, world: World, bar: ProgressBar) -> Self {
        let started = world.now();
        let refused = Arc::new(AtomicU64::new(u64::MAX));
        Self { client, world, bar, tally: Arc::default(), refused, raised: Arc::default(), started }
    }

    /// Takes note that there was no room for a file of this size.
    pub(crate) fn note_full(&self, size: u64) {
        self.refused.fetch_min(size, Ordering::Relaxed);
    }

    /// Whether it makes sense to send a file of this size.
    pub(crate) fn fits(&self, size: u64) -> bool {
        size < self.refused.load(Ordering::Relaxed)
    }

    /// Takes note of a conflict that the server keeps open.
    pub(crate) fn note_conflict(&self, conflict: &Conflict) {
        self.raised.lock().unwrap_or_else(PoisonError::into_inner).push(conflict.id.clone());
    }

    /// The conflicts that this run raised and nobody has settled.
    pub(crate) fn take_raised(&self) -> Vec<String> {
        std::mem::take(&mut self.raised.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A whole file came or went.
    pub(crate) fn count_file(&self, bytes: u64) {
        self.tally.files.fetch_add(1, Ordering::Relaxed);
        self.tally.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn count_sent(&self, chunks: u64) {
        self.tally.chunks_sent.fetch_add(chunks, Ordering::Relaxed);
    }

    /// Chunks that did not have to travel.
    pub(crate) fn count_known(&self, chunks: u64) {
        self.tally.chunks_known.fetch_add(chunks, Ordering::Relaxed);
    }

    pub(crate) fn count_conflicts(&self, conflicts: u64) {
        self.tally.conflicts.fetch_add(conflicts, Ordering::Relaxed);
    }

    pub(crate) fn figures(&self) -> Figures {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let traffic = self.client.traffic();
        Figures {
            files: load(&self.tally.files),
            bytes: load(&self.tally.bytes),
            sent_bytes: traffic.sent,
            received_bytes: traffic.received,
            chunks_sent: load(&self.tally.chunks_sent),
            chunks_known: load(&self.tally.chunks_known),
            conflicts: load(&self.tally.conflicts),
            seconds: self.world.now().since(self.started).as_secs_f64(),
        }
    }
}

/// Why one file did not come or go.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TransferError {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("{doing} {path}")]
    File { doing: &'static str, path: String, source: std::io::Error },
    #[error("{0} changed while it was read")]
    ChangedHere(String),
    #[error("{0} changed on the server meanwhile")]
    ChangedThere(String),
    #[error("{path} was refused: {detail}")]
    Rejected { path: String, detail: String, exit: Exit },
    #[error("what came for {0} is not what was announced")]
    NotAsAnnounced(String),
    #[error("the folder of {0} could not be made on the server")]
    NoFolder(String),
    #[error("a part of the work on {0} ended early")]
    Ended(String),
    #[error("the state cannot be written")]
    State(#[from] crate::state::StateError),
}

impl TransferError {
    /// Whether the next run will see to it by itself: somebody was quicker.
    pub(crate) fn is_overtaken(&self) -> bool {
        match self {
            Self::ChangedHere(_) | Self::ChangedThere(_) => true,
            Self::Call(error) => matches!(error.status(), Some(404 | 409 | 410 | 412)),
            Self::File { .. }
            | Self::Rejected { .. }
            | Self::NotAsAnnounced(_)
            | Self::NoFolder(_)
            | Self::Ended(_)
            | Self::State(_) => false,
        }
    }

    /// Whether every other file would meet the same.
    pub(crate) fn ends_the_run(&self) -> bool {
        match self {
            Self::Call(error) => error.is_transient() || error.status() == Some(401),
            Self::State(_) => true,
            Self::File { .. }
            | Self::Rejected { .. }
            | Self::ChangedHere(_)
            | Self::ChangedThere(_)
            | Self::NotAsAnnounced(_)
            | Self::NoFolder(_)
            | Self::Ended(_) => false,
        }
    }
}

impl TransferError {
    /// There is no room on the server for a file.
    pub(crate) fn no_room(path: String) -> Self {
        let detail = "the quota has no room for it".to_owned();
        Self::Rejected { path, detail, exit: Exit::Quota }
    }

    /// Whether a quota has no room.
    pub(crate) fn is_quota(&self) -> bool {
        match self {
            Self::Call(error) => failure::exit_of(error) == Exit::Quota,
            Self::Rejected { exit, .. } => *exit == Exit::Quota,
            Self::File { .. }
            | Self::ChangedHere(_)
            | Self::ChangedThere(_)
            | Self::NotAsAnnounced(_)
            | Self::NoFolder(_)
            | Self::Ended(_)
            | Self::State(_) => false,
        }
    }

    /// The conflict that the server has noted down.
    pub(crate) fn conflict(&self) -> Option<&Conflict> {
        let Self::Call(CallError::Refused(refusal)) = self else { return None };
        refusal.body.as_ref()?.error.conflict.as_deref()
    }

    /// The failure of one file among many: it names the file.
    pub(crate) fn of(self, path: &str) -> Failure {
        Failure::from(self).about(path)
    }
}

impl From<TransferError> for Failure {
    fn from(error: TransferError) -> Self {
        match error {
            TransferError::Call(error) => error.into(),
            TransferError::State(error) => error.into(),
            TransferError::File { doing, path, source } => {
                Self::file(doing, std::path::Path::new(&path), &source)
            }
            TransferError::Rejected { exit, .. } => {
                let failure = Self::new(exit, error.to_string());
                if exit == Exit::Quota { failure.hint(failure::QUOTA_HINT) } else { failure }
            }
            TransferError::ChangedHere(_) | TransferError::ChangedThere(_) => {
                Self::new(Exit::Conflict, error.to_string()).hint("run it again")
            }
            TransferError::NoFolder(_) => Self::new(Exit::Failed, error.to_string()),
            TransferError::NotAsAnnounced(_) | TransferError::Ended(_) => {
                Self::new(Exit::Failed, error.to_string()).hint("run it again")
            }
        }
    }
}
