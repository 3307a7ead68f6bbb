//! Streams of pretend chance, one per purpose, all from one seed.
//!
//! Separate streams keep plans apart: a node that asks for one more random number shifts neither
//! the faults nor the schedule. ChaCha is specified bit for bit, so an old seed keeps its meaning
//! on every machine.

use std::sync::{Mutex, MutexGuard, PoisonError};

use rand::SeedableRng;
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

/// 32 bytes that differ for every seed and purpose.
pub(crate) fn derive(seed: u64, purpose: &str) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key("scaidrive simulator stream v1");
    hasher.update(&seed.to_le_bytes());
    hasher.update(purpose.as_bytes());
    *hasher.finalize().as_bytes()
}
