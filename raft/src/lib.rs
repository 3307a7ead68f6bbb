//! Gets commands agreed, applied in order, and read consistently.
//!
//! [`Raft`] is one node's part of the agreement: [`Raft::propose`] has a command agreed and
//! applied, [`Raft::query`] reads the tables. Behind it stand openraft, a log and tables of our own
//! on the world's drives, and messages of our own between the nodes. openraft is known in this
//! package alone, and nothing it encodes is stored or sent.
//!
//! - A write is acknowledged once the log holds it durably, on most voters, and it was applied.
//! - A restarted node never resumes as leader: see [`log`].
//! - A node joins by a token ([`join`]); who votes follows from the agreed nodes.
//! - The tables are made durable now and then; the log makes up for the rest.
//!
//! Never here: chunks, HTTP, or any rule about files; those of the tables are `raft-meta`'s.

mod batch;
mod check;
mod copy;
mod folder;
mod group;
mod handle;
mod join;
mod log;
mod machine;
mod members;
mod network;
mod proof;
mod propose;
mod read;
mod runtime;
mod server;
mod settings;
mod snapshot;
mod succession;
mod tables;
#[cfg(test)]
mod tests;
mod types;
mod wire;

pub use check::{CheckError, Checked, TablesFound, check};
pub use copy::{CopyError, CopyReader, Moment, RestoreError, Restoring};
pub use folder::{FolderError, Identity};
pub use handle::{Dead, FoundError, Mark, OpenError, Raft, Status};
pub use join::{JoinError, JoinRequest, identity, join};
pub use log::{LogError, LogFound};
pub use proof::ProofError;
pub use propose::ProposeError;
pub use read::{Consistency, ReadError};
pub use settings::{EngineKind, Settings};
