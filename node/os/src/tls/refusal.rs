//! Whom this node will have nothing to do with, and why: told, logged, counted.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use node_base::{Duration, NodeId};

/// Why the other end of a connection is refused.
#[derive(Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error("it does not speak TLS, as nodes of a cluster do")]
    NotTls,
    #[error("it did not finish saying who it is in time")]
    Silent,
    #[error("it shows no certificate of a node, and may ask to join and nothing else")]
    NoCertificate,
    #[error("its certificate is not of this cluster's authority")]
    Stranger,
    #[error("it is a node of another cluster")]
    OtherCluster,
    #[error("it is node {0}, and another was meant")]
    OtherNode(NodeId),
    #[error("its certificate has expired, or the clock of one of the two machines is wrong")]
    Expired,
    #[error("its certificate is not valid yet: the clock of one of the two machines is wrong")]
    NotYet,
    #[error("it was removed from the cluster")]
    Removed,
    #[error("its clock differs by {0} seconds: set the clock of its machine, or of this one")]
    Clock(i64),
    #[error("it does not do TLS 1.3 as nodes of a cluster do")]
    Handshake,
    #[error("it does not believe this node, and hung up")]
    NotBelieved,
}

/// The names in metrics, in the order of [`Refused::place`].
const REASONS: [&str; 12] = [
    "not_tls",
    "silent",
    "no_certificate",
    "stranger",
    "other_cluster",
    "other_node",
    "expired",
    "not_valid_yet",
    "removed",
    "clock",
    "handshake",
    "not_believed",
];

/// The sentence: libraries that carry it on show an error in this way.
impl fmt::Debug for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Refused {
    const fn place(self) -> usize {
        match self {
            Self::NotTls => 0,
            Self::Silent => 1,
            Self::NoCertificate => 2,
            Self::Stranger => 3,
            Self::OtherCluster => 4,
            Self::OtherNode(_) => 5,
            Self::Expired => 6,
            Self::NotYet => 7,
            Self::Removed => 8,
            Self::Clock(_) => 9,
            Self::Handshake => 10,
            Self::NotBelieved => 11,
        }
    }
}

/// Counts of refusals since the start. One of each kind is logged in so much time at most: whoever
/// can reach a port can be refused all day.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    counts: [AtomicU64; REASONS.len()],
    logged: Mutex<[Option<Instant>; REASONS.len()]>,
}

const LOGGED_EVERY: Duration = Duration::from_secs(5);

impl Refusals {
    /// Notes that somebody is refused. `whom` is an address, or a node.
    pub(crate) fn note(&self, whom: &dyn fmt::Display, why: Refused) {
        let total = self.counts[why.place()].fetch_add(1, Ordering::Relaxed) + 1;
        #[expect(clippy::disallowed_methods, reason = "the log is not of a world's time")]
        let now = Instant::now();
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        let last = &mut logged[why.place()];
        if last.is_none_or(|at| now.duration_since(at) >= LOGGED_EVERY) {
            *last = Some(now);
            let reason = REASONS[why.place()];
            tracing::warn!(%whom, reason, total, "another end is refused: {why}");
        }
    }

    pub(crate) fn counts(&self) -> Vec<(&'static str, u64)> {
        let counts = self.counts.iter().map(|count| count.load(Ordering::Relaxed));
        REASONS.into_iter().zip(counts).collect()
    }
}
