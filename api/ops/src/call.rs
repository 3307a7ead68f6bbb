//! A call: who asks, how it is to be remembered, and the two ways to have it done.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use chunkstore::Store;
use node_base::{NodeId, Sha256, TenantId};
use node_world::World;
use raft::{Consistency, ProposeError, Raft, ReadError};
use raft_meta::access::Viewer;
use raft_meta::query::{Denied, outcome, people};
use raft_meta::{
    Answer, Caller, Command, Proposal, Reader, Refusal, Remember, TableError, UserCaller,
};
use tokio::sync::watch;

use crate::error::OpError;
use crate::lease::Lease;
use crate::passes::Recorded;
use crate::transfers::Transfers;

/// One request of one caller.
#[derive(Debug, Clone)]
pub struct Call {
    pub caller: UserCaller,
    /// The caller's idempotency key, and what it stands for.
    pub remember: Option<Remember>,
    /// `If-Match`: the revisions that the target may have.
    pub if_revision: Option<Vec<u64>>,
    pub consistency: Consistency,
    pub course: Course,
}

/// What has become of a call, as all its copies see it.
#[derive(Debug, Clone, Default)]
pub struct Course(Arc<AtomicU8>);

impl Course {
    /// The tables were asked: the answer may say more than the outcome of its command.
    const ASKED: u8 = 1;
    /// Its command was agreed on, and the outcome is remembered under its key.
    const REMEMBERED: u8 = 2;
    /// Its key stands for more than was known when it began.
    const COVERING: u8 = 4;

    fn note(&self, what: u8) {
        self.0.fetch_or(what, Ordering::Relaxed);
    }

    fn has(&self, what: u8) -> bool {
        self.0.load(Ordering::Relaxed) & what == what
    }
}

impl Call {
    /// A plain call: linearizable, nothing remembered.
    pub fn new(caller: UserCaller) -> Self {
        Self {
            caller,
            remember: None,
            if_revision: None,
            consistency: Consistency::Linearizable,
            course: Course::default(),
        }
    }

    /// Whether what came of it was read from the tables, and under which key it is asked for again.
    /// What its command's outcome alone says needs no keeping: it is said again.
    pub(crate) fn read_under_key(&self) -> Option<&Remember> {
        let course = &self.course;
        let read = course.has(Course::ASKED) && !course.has(Course::COVERING);
        self.remember.as_ref().filter(|_| read)
    }

    /// Whether the outcome of its command is remembered.
    pub(crate) fn is_remembered(&self) -> bool {
        self.course.has(Course::REMEMBERED)
    }

    /// The same call, whose idempotency key stands for this as well: the digest of what a body said
    /// that was read only after the call had begun.
    #[must_use]
    pub fn covering(mut self, said: Sha256) -> Self {
        if let Some(remember) = &mut self.remember {
            remember.request = node_base::sha256(&[remember.request.0, said.0].concat());
            self.course.note(Course::COVERING);
        }
        self
    }

    pub(crate) fn tenant(&self) -> TenantId {
        self.caller.tenant
    }
}

/// What operations are made of.
pub struct OpsParts {
    pub node: NodeId,
    pub world: World,
    pub raft: Arc<Raft>,
    pub store: Store,
    pub lease: Lease,
}

/// The operations of a node.
struct Inner {
    parts: OpsParts,
    leaving: AtomicBool,
    stopping: watch::Sender<bool>,
    transfers: Transfers,
    recorded: Recorded,
}

/// The operations of one node. Cheap to clone.
#[derive(Clone)]
pub struct Ops(Arc<Inner>);

impl std::ops::Deref for Ops {
    type Target = OpsParts;

    fn deref(&self) -> &OpsParts {
        &self.0.parts
    }
}

/// An answer as the kind of thing that the command answers.
pub trait FromAnswer: Sized {
    /// Nothing when the answer is of another kind.
    fn from_answer(answer: Answer) -> Option<Self>;
}

/// For commands whose only answer is that they are done.
impl FromAnswer for () {
    fn from_answer(answer: Answer) -> Option<Self> {
        matches!(answer, Answer::Done).then_some(())
    }
}

impl FromAnswer for Answer {
    fn from_answer(answer: Answer) -> Option<Self> {
        Some(answer)
    }
}

macro_rules! answers {
    ($($variant:ident => $kind:ty),* $(,)?) => {$(
        impl FromAnswer for $kind {
            fn from_answer(answer: Answer) -> Option<Self> {
                match answer {
                    Answer::$variant(value) => Some(value),
                    _ => None,
                }
            }
        }
    )*};
}

answers!(
    Partner => node_base::PartnerId,
    Tenant => node_base::TenantId,
    Group => node_base::GroupId,
    Share => node_base::ShareId,
    Entry => node_base::AceId,
    Item => raft_meta::outcome::ItemView,
    Upload => raft_meta::outcome::UploadAnswer,
    Device => node_base::DeviceId,
    Conflict => node_base::ConflictId,
    Grant => raft_meta::table::identity::Grant,
    Lease => u64,
    Worked => u32,
);

impl Ops {
    pub fn new(parts: OpsParts) -> Self {
        let stopping = watch::Sender::new(false);
        let leaving = AtomicBool::new(false);
        let (transfers, recorded) = (Transfers::default(), Recorded::default());
        Self(Arc::new(Inner { parts, leaving, stopping, transfers, recorded }))
    }

    /// Has this node say that it is not ready, while it still answers: it stops soon.
    pub fn leave(&self) {
        self.0.leaving.store(true, Ordering::Relaxed);
    }

    /// Whether the node stops soon.
    pub fn is_leaving(&self) -> bool {
        self.0.leaving.load(Ordering::Relaxed)
    }

    /// Lets go of everybody who waits for changes: the node is about to stop.
    pub fn stop_waiting(&self) {
        self.0.stopping.send_replace(true);
    }

    /// Ready when the node is about to stop.
    pub async fn stopping(&self) {
        let mut stopping = self.0.stopping.subscribe();
        // The sender lives as long as these operations.
        let _ = stopping.wait_for(|stop| *stop).await;
    }

    /// Whether the node is about to stop.
    pub fn is_stopping(&self) -> bool {
        *self.0.stopping.borrow()
    }

    /// Has a caller's command agreed on and applied.
    ///
    /// # Errors
    /// The refusal, or why nothing could be agreed.
    pub async fn agree<A: FromAnswer>(&self, call: &Call, command: Command) -> Result<A, OpError> {
        let proposal = Proposal {
            at: self.world.wall(),
            seed: self.world.id_seed(),
            caller: Caller::User(call.caller.clone()),
            remember: call.remember.clone(),
            if_revision: call.if_revision.clone(),
            command,
        };
        let answer = self.propose(&proposal).await?;
        if call.remember.is_some() {
            call.course.note(Course::REMEMBERED);
        }
        Ok(answer)
    }

    /// Has a command of this node itself agreed on and applied. A node that was removed speaks for
    /// nobody: whoever asked it asks another.
    ///
    /// # Errors
    /// The refusal, or why nothing could be agreed.
    pub async fn agree_as_node<A: FromAnswer>(&self, command: Command) -> Result<A, OpError> {
        let (at, seed) = (self.world.wall(), self.world.id_seed());
        let proposal = Proposal::of_node(self.node, at, seed, command);
        match self.propose(&proposal).await {
            Err(OpError::Refused(Refusal::WrongCaller)) => Err(OpError::unavailable()),
            agreed => agreed,
        }
    }

    /// What a command was answered under its key before, else this error: for whoever finds, while
    /// getting ready to ask once more, that things are not as they were.
    ///
    /// # Errors
    /// The one given, unless the key tells of an answer; or why nothing could be read.
    pub async fn answered_before<A: FromAnswer, E: From<OpError>>(
        &self,
        call: &Call,
        refused: E,
    ) -> Result<A, E> {
        match self.recalled(call).await? {
            // The same request asks for the same kind of answer.
            Some(answer) => A::from_answer(answer).ok_or(refused),
            None => Err(refused),
        }
    }

    /// What a command was answered under its key before.
    ///
    /// # Errors
    /// When the key stands for another request; or why nothing could be read.
    pub(crate) async fn recalled(&self, call: &Call) -> Result<Option<Answer>, OpError> {
        let Some(remember) = call.remember.clone() else { return Ok(None) };
        let recalled = self
            .ask(call, move |tables, viewer| Ok(outcome::remembered(tables, viewer, &remember)?));
        Ok(recalled.await?.transpose()?)
    }

    async fn propose<A: FromAnswer>(&self, proposal: &Proposal) -> Result<A, OpError> {
        let answer = self.raft.propose(proposal).await??;
        Ok(A::from_answer(answer).expect("apply answers each command with its own kind"))
    }

    /// Reads for a caller: the tables of one moment, and what the caller is at that moment. What
    /// its stored role alone lets it read is on record before this answers.
    ///
    /// # Errors
    /// The refusal, or why nothing could be read.
    pub async fn ask<T: Send + 'static>(
        &self,
        call: &Call,
        question: impl FnOnce(&dyn Reader, &Viewer) -> Result<T, Denied> + Send + 'static,
    ) -> Result<T, OpError> {
        call.course.note(Course::ASKED);
        let caller = call.caller.clone();
        let answer = self
            .raft
            .query(call.consistency, move |tables| {
                // As these tables say: who let the caller in may not have heard of a suspension.
                if let Err(refusal) = people::admit(tables, &caller)? {
                    return Ok(Err(refusal));
                }
                let now = raft_meta::query::log_time(tables)?;
                let viewer = Viewer::of(tables, now, &caller)?;
                let answer = settle(question(tables, &viewer))?;
                Ok(answer.map(|answer| (answer, viewer.into_passes())))
            })
            .await?;
        let (answer, passes) = answer?;
        if !passes.is_empty() {
            Box::pin(self.record(call, passes)).await?;
        }
        Ok(answer)
    }

    pub(crate) fn recorded(&self) -> &Recorded {
        &self.0.recorded
    }

    /// The transfers under way on this node.
    pub(crate) fn transfers(&self) -> &Transfers {
        &self.0.transfers
    }

    /// Reads the tables as this node has them, for its own purposes.
    ///
    /// # Errors
    /// Why nothing could be read.
    pub async fn look<T: Send + 'static>(
        &self,
        question: impl FnOnce(&dyn Reader) -> Result<T, TableError> + Send + 'static,
    ) -> Result<T, OpError> {
        Ok(self.raft.query(Consistency::Stale, question).await?)
    }

    /// Reads the tables as everybody has them, for this node's own purposes.
    ///
    /// # Errors
    /// Why nothing could be read.
    pub async fn look_now<T: Send + 'static>(
        &self,
        question: impl FnOnce(&dyn Reader) -> Result<T, TableError> + Send + 'static,
    ) -> Result<T, OpError> {
        Ok(self.raft.query(Consistency::Linearizable, question).await?)
    }
}

fn settle<T>(answer: Result<T, Denied>) -> Result<Result<T, Refusal>, TableError> {
    match answer {
        Ok(value) => Ok(Ok(value)),
        Err(Denied::Refused(refusal)) => Ok(Err(refusal)),
        Err(Denied::Failed(error)) => Err(error),
    }
}

impl From<ProposeError> for OpError {
    fn from(error: ProposeError) -> Self {
        match error {
            ProposeError::Unavailable { retry_after } => Self::Unavailable { retry_after },
            ProposeError::Uncertain { .. } => Self::Unknown,
            ProposeError::TooLarge { max, .. } => Self::TooLarge { max },
            error @ ProposeError::Stopped(_) => Self::Failed(Box::new(error)),
        }
    }
}

impl From<ReadError> for OpError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Unavailable { retry_after } => Self::Unavailable { retry_after },
            error @ ReadError::Tables(_) => Self::Failed(Box::new(error)),
        }
    }
}
