//! Time and entropy.

use node_base::{Duration, Timestamp};

use crate::task::BoxFuture;

/// A moment of monotonic time: nanoseconds since this node incarnation's world began.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Instant(u64);

impl Instant {
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    pub const fn nanos(self) -> u64 {
        self.0
    }

    /// The moment that much later.
    pub fn after(self, span: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// How long ago `earlier` was; zero when it was not earlier.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// A limit of time came before the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the time for it ran out")]
pub struct Elapsed;

/// Clocks.
pub trait Clock: Send + Sync {
    /// Monotonic time.
    fn now(&self) -> Instant;
    /// Wall time as this node believes it.
    fn wall(&self) -> Timestamp;
    /// Ready once [`Clock::now`] has reached `moment`.
    fn sleep_until(&self, moment: Instant) -> BoxFuture<()>;
}

/// Random bits: from the machine, or from a seed.
pub trait Entropy: Send + Sync {
    fn fill(&self, bytes: &mut [u8]);
}
