//! All black-box tests, in one binary.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "black-box tests handle the machine's files, clocks and processes themselves"
)]

mod kills;
mod specification;
mod starts;
mod tour;

use rand::RngExt;

/// Random bytes that no compressor shrinks.
fn random_bytes(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    rand::rng().fill(&mut bytes[..]);
    bytes
}
