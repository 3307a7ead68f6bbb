//! Streams of pretend chance, one per purpose, all from one seed.
//!
//! Separate streams keep plans apart: a node that asks for one more random number shifts neither
//! the faults nor the schedule. ChaCha is specified bit for bit, so an old seed keeps its meaning
//! on every machine.

use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// One stream.
pub(crate) struct Stream(Mutex<ChaCha8Rng>);

impl Stream {
    /// The stream of this seed for this purpose.
    pub(crate) fn new(seed: u64, purpose: &str) -> Self {
        Self(Mutex::new(ChaCha8Rng::from_seed(derive(seed, purpose))))
    }

    /// The generator behind it, for a few draws.
    pub(crate) fn draw(&self) -> MutexGuard<'_, ChaCha8Rng> {
        // A panic between two draws leaves a generator that is as good as before.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A stream for whoever plans a run: its options, its faults, what its clients do. It exists apart
/// from the run, so what is drawn from it can be known before anything happens.
pub struct Chance(Stream);

impl Chance {
    /// The stream of this seed for this purpose.
    pub fn new(seed: u64, purpose: &str) -> Self {
        Self(Stream::new(seed, &format!("chance of {purpose}")))
    }

    /// A number in the range; its start where the range is empty.
    pub fn range(&self, range: Range<u64>) -> u64 {
        if range.is_empty() { range.start } else { self.0.draw().random_range(range) }
    }

    /// Whether something with this probability happens.
    pub fn happens(&self, chance: f64) -> bool {
        chance > 0.0 && self.0.draw().random_bool(chance.min(1.0))
    }

    /// Fills `bytes`.
    pub fn fill(&self, bytes: &mut [u8]) {
        self.0.draw().fill_bytes(bytes);
    }
}

/// 32 bytes that differ for every seed and purpose.
pub(crate) fn derive(seed: u64, purpose: &str) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key("scaidrive simulator stream v1");
    hasher.update(&seed.to_le_bytes());
    hasher.update(purpose.as_bytes());
    *hasher.finalize().as_bytes()
}
