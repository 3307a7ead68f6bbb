//! All black-box tests, in one binary.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stderr,
    reason = "black-box tests handle the machine's files, clocks and processes themselves"
)]

mod backup;
mod chaos;
mod check;
mod cluster;
mod deployment;
mod failover;
mod kills;
mod losses;
mod specification;
mod starts;
mod tour;

use std::sync::atomic::{AtomicU64, Ordering};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Bytes that no compressor shrinks, other ones with each call, and the same with each run.
fn random_bytes(len: usize) -> Vec<u8> {
    static CALLS: AtomicU64 = AtomicU64::new(0);
    let mut bytes = vec![0; len];
    let seed = CALLS.fetch_add(1, Ordering::Relaxed);
    ChaCha8Rng::seed_from_u64(seed).fill_bytes(&mut bytes);
    bytes
}
