//! What can go wrong with each operation.

use std::io;

use chunkstore_core::codec::CodecError;
use node_base::Sha256;

/// Why a chunk was not stored. Nothing of it counts as stored then; orphaned shards are collected.
#[derive(Debug, thiserror::Error)]
pub enum PutError {
    #[error("a chunk has 1 to 8388608 bytes, not {size}")]
    Size { size: usize },
    #[error("the chunk's SHA-256 is {actual}, not {expected}")]
    Checksum { expected: Sha256, actual: Sha256 },
    #[error("the drives are full")]
    Full,
    #[error("the chunk became durable in {durable} places, and that is too few")]
    /// Places are nodes, where several have drives, else drives.
    NotDurable { durable: usize },
    #[error("coding the chunk")]
    Codec(#[from] CodecError),
    #[error("making a compressor")]
    Compressor(#[source] io::Error),
}

/// Why a chunk was not handed out.
#[derive(Debug, thiserror::Error)]
pub enum GetError {
    #[error("no shard of the chunk is there")]
    NotFound,
    #[error("{sound} sound shards of the chunk were found, and {needed} are needed")]
    Damaged { sound: usize, needed: usize },
    #[error("{silent} nodes did not answer; {sound} sound shards of the chunk were found")]
    Unanswered { silent: usize, sound: usize, needed: Option<usize> },
    #[error("the chunk's shards give other bytes than its hash says")]
    Checksum,
    #[error("reading the chunk's shards")]
    Io(#[source] io::Error),
}

/// Why a chunk was not deleted, restored or purged everywhere. Doing it again is harmless.
#[derive(Debug, thiserror::Error)]
pub enum DeleteError {
    #[error("the drives are full to the last byte")]
    Full,
    #[error("a drive cannot be written")]
    Io(#[source] io::Error),
    #[error("a drive did not make the deletion durable")]
    NotDurable,
}

/// Why shards were not listed.
#[derive(Debug, thiserror::Error)]
#[error("reading the head of a shard")]
pub struct ListError(#[source] pub io::Error);
