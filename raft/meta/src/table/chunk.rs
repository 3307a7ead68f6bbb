//! Chunks: which there are, who needs them, and which are on their way out.

use node_base::{Generation, Profile, Sha256, ShareId, TenantId, Timestamp};
use serde::{Deserialize, Serialize};

use super::tables;

tables! {
    Chunks(70, "chunks"): (TenantId, Sha256) => Chunk;
    /// How often a share's manifests name a chunk: what an upload to it may be told of.
    ShareChunks(71, "share_chunks"): (TenantId, ShareId, Sha256) => u64;
    /// Chunks without a reference, by the log index at which they lost the last.
    Condemned(72, "condemned"): (u64, TenantId, Sha256) => ();
    /// Chunks that are gone from the tables, by the log index of their reaping: drives delete
    /// these.
    Reaped(73, "reaped"): (u64, TenantId, Sha256, Generation) => Timestamp;
    /// Generations that no commit may name any more though their writer is open: drives have
    /// deleted them, or may at any time. Without this a commit that comes twice could take up
    /// bytes that are gone.
    Spent(74, "spent"): (Generation,) => ();
    /// How many chunks of a tenant are coded with so many data and parity shards.
    Coded(75, "coded"): (TenantId, u8, u8) => u64;
    /// Backups under way, by the log index at which each began, and until when it holds by log
    /// time. No chunk is reaped that was condemned after one began.
    Holds(76, "holds"): (u64,) => Timestamp;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunk {
    pub generation: Generation,
    pub size: u32,
    /// What all its shards take together, after compression.
    pub stored_size: u32,
    pub profile: Profile,
    /// How often manifests, sealed or open, and inline versions name it. It may only err high.
    pub references: u64,
    /// The log index at which the last reference went.
    pub condemned_at: Option<u64>,
}
