//! What happened, one line an event, and a running hash over all of it.
//!
//! Two runs are the same exactly if their hashes are. A line is
//! `<nanoseconds> <node>.<incarnation> <what>`, or `- -` in place of the node for the network.

use std::collections::VecDeque;
use std::fmt::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

/// The trace of one run. Cheap to clone; all clones are the same trace.
#[derive(Clone)]
pub struct Trace(Arc<Mutex<Lines>>);

struct Lines {
    hasher: blake3::Hasher,
    /// Lines that the hasher has not seen: it is quicker with many at once.
    text: String,
    count: u64,
    kept: VecDeque<String>,
    kept_max: usize,
}

/// Bytes of text that are hashed together.
const TEXT_MAX: usize = 16 << 10;

impl Trace {
    pub(crate) fn new(kept_max: usize) -> Self {
        Self(Arc::new(Mutex::new(Lines {
            hasher: blake3::Hasher::new(),
            text: String::with_capacity(TEXT_MAX + TEXT_MAX / 4),
            count: 0,
            kept: VecDeque::new(),
            kept_max,
        })))
    }

    pub(crate) fn line(&self, line: fmt::Arguments<'_>) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = &mut *lines;
        let start = lines.text.len();
        // A text takes whatever is written.
        let _ = writeln!(lines.text, "{line}");
        lines.count += 1;
        if lines.kept_max > 0 {
            if lines.kept.len() == lines.kept_max {
                lines.kept.pop_front();
            }
            lines.kept.push_back(lines.text[start..].trim_end_matches('\n').to_owned());
        }
        if lines.text.len() >= TEXT_MAX {
            lines.hasher.update(lines.text.as_bytes());
            lines.text.clear();
        }
    }

    /// The hash over all lines up to now, in hex.
    pub fn hash(&self) -> String {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut hasher = lines.hasher.clone();
        hasher.update(lines.text.as_bytes());
        hasher.finalize().to_hex().to_string()
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
