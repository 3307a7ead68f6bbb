//! Applying: one agreed proposal after the other, each in one step.
//!
//! Pure: the same tables, index and proposal give the same tables and outcome on every node. Checks
//! of permission, names, quotas and revisions are made here, where nothing can come between check
//! and write. A refusal changes nothing but log time.

pub(crate) mod audit;
pub(crate) mod cluster;
pub(crate) mod content;
pub(crate) mod feed;
pub(crate) mod identity;
pub(crate) mod item;
pub(crate) mod nodes;
pub(crate) mod outcomes;
pub(crate) mod people;
pub(crate) mod permission;
pub(crate) mod quota;
pub(crate) mod share;
pub(crate) mod sync;
pub(crate) mod upkeep;
pub(crate) mod upload;

use node_base::{DeviceId, IdSeed, TenantId, Timestamp, UserId};

use crate::caller::{Caller, Proposal, UserCaller};
use crate::command::Command;
use crate::outcome::{Answer, Outcome, Refusal};
use crate::overlay::Overlay;
use crate::table::cluster::Clusters;
use crate::table::{self};
use crate::tables::{Reader, TableError, Writer};

/// Why a step of applying does not go on.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The command is refused; its changes are dropped.
    Refused(Refusal),
    /// The node cannot go on.
    Failed(TableError),
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<TableError> for Stop {
    fn from(error: TableError) -> Self {
        Self::Failed(error)
    }
}

/// What every step of applying one command works with.
pub(crate) struct Step<'a> {
    pub(crate) tables: &'a mut dyn Writer,
    pub(crate) index: u64,
    /// Log time.
    pub(crate) now: Timestamp,
    pub(crate) caller: &'a Caller,
    pub(crate) if_revision: Option<&'a [u64]>,
    /// The device that a command speaks for, where it says so.
    pub(crate) device: Option<&'a DeviceId>,
    seed: IdSeed,
    ids_given: u64,
}

impl Step<'_> {
    /// The next new id.
    pub(crate) fn new_id<I: From<u128>>(&mut self) -> I {
        self.ids_given += 1;
        self.seed.nth(self.ids_given - 1)
    }

    /// The user who asks; nodes are refused.
    pub(crate) fn user(&self) -> Result<&UserCaller, Refusal> {
        match self.caller {
            Caller::User(user) => Ok(user),
            Caller::Node(_) => Err(Refusal::WrongCaller),
        }
    }

    /// The tenant and user who ask; nodes are refused.
    pub(crate) fn who(&self) -> Result<(TenantId, UserId), Refusal> {
        self.user().map(|user| (user.tenant, user.user))
    }

    pub(crate) fn reader(&self) -> &dyn Reader {
        &*self.tables
    }

    /// Takes a step whose changes are kept only if it succeeds: a refusal is handed back as a
    /// value, and the command goes on without it.
    pub(crate) fn attempt<T>(
        &mut self,
        step: impl FnOnce(&mut Step<'_>) -> Result<T, Stop>,
    ) -> Result<Result<T, Refusal>, TableError> {
        let mut overlay = Overlay::new(self.tables);
        let mut inner = Step {
            tables: &mut overlay,
            index: self.index,
            now: self.now,
            caller: self.caller,
            if_revision: self.if_revision,
            device: self.device,
            seed: self.seed,
            ids_given: self.ids_given,
        };
        let outcome = step(&mut inner);
        self.ids_given = inner.ids_given;
        match outcome {
            Ok(value) => overlay.commit().map(|()| Ok(value)),
            Err(Stop::Refused(refusal)) => Ok(Err(refusal)),
            Err(Stop::Failed(error)) => Err(error),
        }
    }
}

/// Applies one proposal at its log index.
///
/// # Errors
/// Only when the tables fail: the node must stop then, for it cannot know what the others know.
pub fn apply(
    tables: &mut dyn Writer,
    index: u64,
    proposal: &Proposal,
) -> Result<Outcome, TableError> {
    let now = advance_log_time(tables, proposal.at)?;
    let mut step = Step {
        tables,
        index,
        now,
        caller: &proposal.caller,
        if_revision: proposal.if_revision.as_deref(),
        device: proposal.command.device(),
        seed: proposal.seed,
        ids_given: 0,
    };
    if let Some(remembered) = outcomes::recall(&step, proposal)? {
        return Ok(remembered);
    }
    let outcome = step.attempt(|step| run(step, &proposal.command))?;
    outcomes::remember(&mut step, proposal, &outcome)?;
    Ok(outcome)
}

fn run(step: &mut Step<'_>, command: &Command) -> Result<Answer, Stop> {
    people::admit(step, command)?;
    match command {
        Command::People(command) => people::run(step, command),
        Command::Share(command) => share::run(step, command),
        Command::Permission(command) => permission::run(step, command),
        Command::Item(command) => item::run(step, command),
        Command::Upload(command) => upload::run(step, command),
        Command::Sync(command) => sync::run(step, command),
        Command::Quota(command) => quota::run(step, command),
        Command::Identity(command) => identity::run(step, command),
        Command::Upkeep(command) => upkeep::run(step, command),
        Command::Cluster(command) => nodes::run(step, command),
    }
}

/// Log time is the largest time that any proposal brought, and only grows.
fn advance_log_time(tables: &mut dyn Writer, at: Timestamp) -> Result<Timestamp, TableError> {
    match table::get::<Clusters>(tables, &())? {
        Some(mut cluster) if cluster.log_time < at => {
            cluster.log_time = at;
            table::put::<Clusters>(tables, &(), &cluster)?;
            Ok(at)
        }
        Some(cluster) => Ok(cluster.log_time),
        None => Ok(at),
    }
}
