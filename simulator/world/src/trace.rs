//! What happened, one line an event, and a running hash over all of it.
//!
//! Two runs are the same exactly if their hashes are. A line is
//! `<nanoseconds> <node>.<incarnation> <what>`, or `- -` in place of the node for the network.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// The trace of one run. Cheap to clone; all clones are the same trace.
#[derive(Clone)]
pub struct Trace(Arc<Mutex<Lines>>);

struct Lines {
    hasher: blake3::Hasher,
    count: u64,
    kept: VecDeque<String>,
    kept_max: usize,
}

impl Trace {
    pub(crate) fn new(kept_max: usize) -> Self {
        let lines =
            Lines { hasher: blake3::Hasher::new(), count: 0, kept: VecDeque::new(), kept_max };
        Self(Arc::new(Mutex::new(lines)))
    }

    pub(crate) fn line(&self, line: fmt::Arguments<'_>) {
        let line = line.to_string();
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.hasher.update(line.as_bytes());
        lines.hasher.update(b"\n");
        lines.count += 1;
        if lines.kept_max > 0 {
            if lines.kept.len() == lines.kept_max {
                lines.kept.pop_front();
            }
            lines.kept.push_back(line);
        }
    }

    /// The hash over all lines up to now, in hex.
    pub fn hash(&self) -> String {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.hasher.finalize().to_hex().to_string()
    }

    /// How many lines there have been.
    pub fn count(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).count
    }

    /// The latest lines, as many as [`Options::trace_kept`](crate::Options) says.
    pub fn lines(&self) -> Vec<String> {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.kept.iter().cloned().collect()
    }
}

/// A short name for bytes, so that a trace tells contents apart without holding them.
pub(crate) struct Digest<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Digest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hash = blake3::hash(self.0);
        let short = hash.as_bytes().first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        write!(f, "{}:{short:016x}", self.0.len())
    }
}
