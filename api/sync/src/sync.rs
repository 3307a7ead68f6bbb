//! Keeping a folder and a share in step, once: pull, scan, compare, plan, do; again until there is
//! nothing to do.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use api_client::CallError;
use api_sync_core::{
    Base, Local, NotHere, Options, Plan, Remote, Step, Trees, plan, questions, rename,
};
use api_types::v1::conflicts::Strategy;
use api_types::v1::sync::{AcknowledgeCursor, RegisterDevice};
use node_base::{NamePolicy, Timestamp};

use crate::answers::{self, Known};
use crate::disk;
use crate::engine::Engine;
use crate::execute::Executor;
use crate::failure::{Exit, Failure};
use crate::feed::{Feed, Pulled};
use crate::scan::{self, LeftAlone, Scan, Selection};
use crate::state::{Edit, State};

/// Somebody else may change things while we work; then another round sees to it. More rounds than
/// this would be a race, and the next run goes on.
const ROUNDS_MAX: usize = 5;

/// What is kept in step, and how.
pub(crate) struct Pair {
    pub(crate) root: PathBuf,
    pub(crate) share_id: String,
    /// The folder of the share; nothing for all of it.
    pub(crate) folder_id: Option<String>,
    pub(crate) policy: NamePolicy,
    pub(crate) selection: Selection,
    pub(crate) accept_deletions: bool,
    /// Forget what was in step: bring both together and delete nothing.
    pub(crate) merge: bool,
    pub(crate) device: String,
}

/// What there is to tell at the end.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) left_alone: Vec<LeftAlone>,
    pub(crate) problems: Vec<Failure>,
    /// What could not be looked at or read in the last round.
    unread: Vec<Failure>,
    /// Deletions that wait for the person's word.
    pub(crate) held: usize,
    /// The server's history is another one than before.
    pub(crate) merged: bool,
}

/// Brings both sides in step.
pub(crate) async fn once(engine: &Engine, pair: &Pair, state: State) -> Result<Outcome, Failure> {
    let state = Arc::new(state);
    if pair.merge {
        state.write(&[Edit::ForgetAll])?;
    }
    let (nodes, cursor) = (state.nodes()?, state.cursor()?);
    let before = cursor.clone();
    let mut feed = Feed::new(pair.share_id.clone(), pair.folder_id.clone(), nodes, cursor);
    let mut outcome = Outcome::default();
    let mut failed: BTreeSet<String> = BTreeSet::new();
    let folder = disk::identity(&pair.root)
        .map_err(|error| Failure::file("looking at", &pair.root, &error))?;
    let was = state.folder()?;
    let is_other = was.is_some() && folder.is_some() && was != folder;
    for round_number in 1..=ROUNDS_MAX {
        pull(engine, &mut feed, &state, &mut outcome).await?;
        let mut round = look(engine, pair, &mut feed, &state).await?;
        let mut plan = decide(engine, pair, &state, &mut round, is_other).await?;
        tell(&mut outcome, &round.scan, &plan);
        plan.steps.retain(|step| !failed.contains(step.path()));
        if plan.steps.is_empty() {
            break;
        }
        engine.count_conflicts(plan.conflicts);
        engine.bar.inc_length(plan.steps.iter().map(volume).sum());
        let executor = Executor::new(engine, pair, Arc::clone(&state), &mut feed, round);
        let done = executor.run(plan.steps).await?;
        failed.extend(done.failed);
        outcome.problems.extend(done.problems);
        if round_number == ROUNDS_MAX || done.stopped {
            outcome.problems.extend(done.overtaken);
        }
        if done.stopped {
            break;
        }
    }
    outcome.problems.append(&mut outcome.unread);
    state.write(&feed.take_edits())?;
    // Until what is missing in another folder is settled, it is not the one that is in step.
    if let Some(folder) = folder.filter(|_| was.is_none() || (is_other && outcome.is_settled())) {
        state.write(&[Edit::Folder(folder)])?;
    }
    if outcome.is_settled() {
        settle_conflicts(engine).await;
    }
    if feed.cursor() != before.as_deref() {
        acknowledge(engine, pair, &feed).await;
    }
    Ok(outcome)
}

/// What one round looks at.
pub(crate) struct Round {
    pub(crate) scan: Scan,
    pub(crate) trees: Trees,
    /// Contents that were compared, in pieces.
    pub(crate) known: Known,
}

async fn pull(
    engine: &Engine,
    feed: &mut Feed,
    state: &State,
    outcome: &mut Outcome,
) -> Result<(), Failure> {
    let pulled = feed.pull(&engine.client).await?;
    let mut edits = Vec::new();
    if pulled == Pulled::HistoryLost {
        edits.push(Edit::ForgetAll);
        outcome.merged = true;
    }
    edits.extend(feed.take_edits());
    state.write(&edits)?;
    Ok(())
}

async fn look(
    engine: &Engine,
    pair: &Pair,
    feed: &mut Feed,
    state: &State,
) -> Result<Round, Failure> {
    let (root, policy, selection) = (pair.root.clone(), pair.policy, pair.selection.clone());
    let scanned = engine.world.blocking(move || scan::scan(&root, policy, &selection)).await;
    let scan = scanned.map_err(|error| Failure::file("looking into", &pair.root, &error))?;
    let (remote, mut base) = (feed.tree(), state.base()?);
    forget_unselected(pair, state, &mut base)?;
    // What is not selected, and what is in the way here, is left out of all three trees.
    let in_step =
        |path: &String| pair.selection.takes_all_of(path) && !is_blocked(&scan.blocked, path);
    let left_there = remote.keys().filter(|path| !in_step(path)).cloned().collect();
    let trees = Trees {
        local: scan.tree.clone(),
        remote: keep(remote, in_step),
        base: keep(base, in_step),
        left_there,
        left_here: scan.unnamed.clone(),
    };
    Ok(Round { scan, trees, known: Known::default() })
}

/// What is not selected is not in step any more: somebody may clear it away here to make room. When
/// it is selected again, both sides are brought together.
fn forget_unselected(
    pair: &Pair,
    state: &State,
    base: &mut BTreeMap<String, Base>,
) -> Result<(), Failure> {
    let mut edits: Vec<Edit> = Vec::new();
    let mut top: Option<String> = None;
    base.retain(|path, _| {
        let is_selected = pair.selection.takes_all_of(path);
        let is_below = top.as_ref().is_some_and(|top| {
            path.strip_prefix(top.as_str()).is_some_and(|rest| rest.starts_with('/'))
        });
        if !is_selected && !is_below {
            edits.push(Edit::Forget { path: path.clone() });
            top = Some(path.clone());
        }
        is_selected
    });
    Ok(state.write(&edits)?)
}

fn is_blocked(blocked: &BTreeSet<String>, path: &str) -> bool {
    !blocked.is_empty()
        && (blocked.contains(path)
            || path.match_indices('/').any(|(at, _)| blocked.contains(&path[..at])))
}

fn keep<T>(tree: BTreeMap<String, T>, wanted: impl Fn(&String) -> bool) -> BTreeMap<String, T> {
    tree.into_iter().filter(|(path, _)| wanted(path)).collect()
}

async fn decide(
    engine: &Engine,
    pair: &Pair,
    state: &Arc<State>,
    round: &mut Round,
    other_folder: bool,
) -> Result<Plan, Failure> {
    let asked = questions(&round.trees);
    if !asked.is_empty() {
        round.known = answers::find(engine, pair, state, round, asked).await?;
    }
    let options = Options {
        policy: pair.policy,
        folds_case: cfg!(any(windows, target_os = "macos")),
        mark: mark(&pair.device, engine.world.wall()),
        other_folder,
        accept_deletions: pair.accept_deletions,
    };
    let trees = round.trees.clone();
    Ok(engine.world.blocking(move || plan(trees, &options)).await)
}

/// ` (conflict of DEVICE 2026-11-23 14.05.09)`
fn mark(device: &str, now: Timestamp) -> String {
    let text = now.to_string();
    let (date, time) = text.split_once('T').unwrap_or((&text, ""));
    let time: String = time.chars().take(8).map(|c| if c == ':' { '.' } else { c }).collect();
    format!(" (conflict of {device} {date} {time})")
}

fn volume(step: &Step) -> u64 {
    match step {
        Step::Download { size, .. } => *size,
        Step::Upload { stamp, .. } => stamp.size,
        _ => 0,
    }
}

/// What is left alone is told as it is in the last round.
fn tell(outcome: &mut Outcome, scan: &Scan, plan: &Plan) {
    outcome.held = plan.held.len();
    outcome.left_alone.clone_from(&scan.left_alone);
    outcome.unread.clone_from(&scan.problems);
    outcome.left_alone.extend(plan.skipped.iter().map(|skipped| {
        let reason = match &skipped.reason {
            reason @ (NotHere::Name(_) | NotHere::Clash(_)) => reason.to_string(),
        };
        LeftAlone { path: skipped.path.clone(), reason }
    }));
    outcome.left_alone.sort_by(|a, b| a.path.cmp(&b.path));
}

/// Ends the conflicts that this run raised: the server's side has its place, and what was here has
/// gone up under a name of its own.
async fn settle_conflicts(engine: &Engine) {
    for id in engine.take_raised() {
        if let Err(error) = engine.client.resolve_conflict(&id, Strategy::ServerWins).await {
            // Somebody else may settle it yet; nothing is lost by it.
            tracing::debug!(%error, id, "a conflict stays open");
        }
    }
}

/// Lets the server know how far this device is. Nothing depends on it but what others are shown.
async fn acknowledge(engine: &Engine, pair: &Pair, feed: &Feed) {
    let Some(cursor) = feed.cursor() else { return };
    let cursor = AcknowledgeCursor {
        share_id: pair.share_id.clone(),
        device_id: pair.device_id(),
        cursor: cursor.to_owned(),
    };
    let told = match engine.client.acknowledge(&cursor).await {
        Err(error) if error.status() == Some(404) => match register(engine, pair).await {
            Ok(()) => engine.client.acknowledge(&cursor).await,
            Err(error) => Err(error),
        },
        other => other,
    };
    if let Err(error) = told {
        tracing::debug!(%error, "the server was not told how far this device is");
    }
}

/// Makes this device known to the server.
pub(crate) async fn register(engine: &Engine, pair: &Pair) -> Result<(), CallError> {
    let device = RegisterDevice {
        device_id: pair.device_id(),
        device_name: pair.device.clone(),
        platform: Some(std::env::consts::OS.to_owned()),
        client_version: Some(env!("CARGO_PKG_VERSION").to_owned()),
    };
    engine.client.register_device(&device).await.map(drop)
}

impl Pair {
    pub(crate) fn device_id(&self) -> String {
        format!("dev_{}", self.device)
    }
}

impl Round {
    /// The inode of a folder here, or 0.
    pub(crate) fn inode(&self, path: &str) -> u64 {
        match self.scan.tree.get(path) {
            Some(Local::Folder(inode)) => *inode,
            Some(Local::File(_)) | None => 0,
        }
    }

    /// Leaves paths, and what is below them, out of this round on both sides.
    pub(crate) fn leave_out(&mut self, paths: &BTreeSet<String>) {
        if paths.is_empty() {
            return;
        }
        let stays = |path: &String| !is_blocked(paths, path);
        self.trees.local.retain(|path, _| stays(path));
        self.trees.base.retain(|path, _| stays(path));
        let left = self.trees.remote.keys().filter(|path| !stays(path)).cloned();
        self.trees.left_there.extend(left);
        self.trees.remote.retain(|path, _| stays(path));
    }

    /// Takes note that something was moved on the server.
    pub(crate) fn remote_moved(&mut self, from: &str, to: &str) {
        rename(&mut self.trees.remote, from, to);
    }

    /// The id of a folder on the server.
    pub(crate) fn folder_id(&self, path: &str) -> Option<&str> {
        match self.trees.remote.get(path) {
            Some(Remote::Folder(id)) => Some(id),
            Some(Remote::File(_)) | None => None,
        }
    }
}

impl Outcome {
    fn is_settled(&self) -> bool {
        self.held == 0 && self.problems.is_empty()
    }

    /// What the process is to say at its end, if not that all is well.
    pub(crate) fn failure(&self) -> Option<Failure> {
        if let Some(first) = self.problems.first() {
            let count = self.problems.len();
            let files = if count == 1 { "thing is" } else { "things are" };
            let failure = Failure::new(first.exit, format!("{count} {files} not in step"));
            return Some(match &first.hint {
                Some(hint) => failure.hint(hint.clone()),
                None => failure,
            });
        }
        (self.held > 0).then(|| {
            let message = format!(
                "much of what was in step is gone on one side, or the folder is another one than \
                 before; {} deletions on the other side were not made",
                self.held
            );
            Failure::new(Exit::Failed, message).hint(
                "if they are meant, run it again with --accept-deletions; if not, --merge brings \
                 everything back",
            )
        })
    }
}
