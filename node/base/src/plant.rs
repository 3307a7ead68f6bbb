//! Bugs that are planted on purpose, to see that the simulator's checks find them.
//!
//! The product asks [`on`] in the places where each would bite. Only a build with the feature
//! `planted` can answer yes, only the simulator asks for that feature, and even then a bug is
//! there on the one thread that planted it. In every other build the answer is a constant, and
//! nothing of a bug is compiled.

/// A bug that can be planted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Bug {
    /// An entry of the log counts as durable before it is.
    AcknowledgeBeforeSync,
    /// A read answers from this node's tables without asking how far they must be.
    ReadWithoutIndex,
    /// A chunk that a session or a commit came back for is collected all the same.
    CollectPinned,
    /// A chunk that comes back gets the generation that it had.
    ReuseGeneration,
    /// A leader that restarts goes on in its old term.
    ResumeAsLeader,
    /// A chunk in two versions is counted once.
    CountOnce,
    /// The outcome of a request with an idempotency key is not kept.
    ForgetOutcome,
    /// Of two changes that were committed together, a reader is told of the first.
    SkipChange,
    /// A shard's bytes are handed out as they come from the drive.
    UncheckedShard,
}

impl Bug {
    pub const ALL: [Self; 9] = [
        Self::AcknowledgeBeforeSync,
        Self::ReadWithoutIndex,
        Self::CollectPinned,
        Self::ReuseGeneration,
        Self::ResumeAsLeader,
        Self::CountOnce,
        Self::ForgetOutcome,
        Self::SkipChange,
        Self::UncheckedShard,
    ];
}

#[cfg(feature = "planted")]
thread_local! {
    static PLANTED: std::cell::Cell<Option<Bug>> = const { std::cell::Cell::new(None) };
}

/// Plants a bug on this thread; the one before is gone.
#[cfg(feature = "planted")]
pub fn plant(bug: Option<Bug>) {
    PLANTED.set(bug);
}

/// Whether this bug is planted here.
#[cfg(feature = "planted")]
pub fn on(bug: Bug) -> bool {
    PLANTED.get() == Some(bug)
}

/// Whether this bug is planted here: it cannot be.
#[cfg(not(feature = "planted"))]
pub const fn on(_: Bug) -> bool {
    false
}
