//! Keeps shards on this node's drives and moves them between nodes.
//!
//! Whoever writes a chunk hands its plain bytes to [`Store::put`] and gets an answer once they are
//! durable; [`Store::get`] hands them out again, never without having hashed them on the way. What
//! happens in between — packing, coding, drives that fail, bits that rot, garbage — stays in here.
//! Chunks are known by [`ChunkKey`] alone. When one may be deleted is for the caller to know.
//!
//! The stores of a cluster's nodes are one: [`Store::set_map`] says where shards belong,
//! [`Store::set_peers`] where other nodes are reached, and any node hands out any chunk.
//!
//! Never here: the agreed tables or how they are agreed, HTTP, and what chunks are chunks of.

mod drive;
mod peer;
mod settings;
mod store;
#[cfg(test)]
mod tests;

pub use chunkstore_core::cut::{Cutter, Parameters};
pub use chunkstore_core::shard::ChunkKey;
pub use drive::identity::OpenError;
pub use settings::{Settings, SettingsError};
pub use store::Store;
pub use store::care::CareReport;
pub use store::check::{DriveCheck, StoreCheck};
pub use store::error::{DeleteError, GetError, ListError, PutError};
pub use store::list::{ListCursor, ListPage, Listed};
pub use store::recode::RecodeError;
pub use store::stats::{DriveStats, Stats};
pub use store::told::Told;
pub use store::verify::Verdict;
pub use store::write::{NewChunk, StoredChunk};
