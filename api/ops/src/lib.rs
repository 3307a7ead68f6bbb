//! Everything that a caller can ask for, with no HTTP in sight.
//!
//! An operation checks what can be checked before bytes move, brings names and bytes together, and
//! has the outcome agreed. [`Ops::agree`] proposes a command for a caller, [`Ops::ask`] reads for
//! one; what needs more than that (uploads, contents, following changes) has a module.
//!
//! Never here: axum, http, the public contract's types, JSON. Rules about who may do what belong in
//! the agreement's apply, and are only anticipated here to spare bytes.

mod background;
mod backup;
mod batch;
mod call;
mod cluster;
mod content;
mod error;
mod follow;
mod lease;
mod passes;
mod recode;
mod repeat;
mod transfers;
mod upload;
mod verify;
mod write;

pub use background::{Background, BackgroundSettings};
pub use batch::{BATCH_FILE_MAX, BatchItem, FileBatch, FileDetails};
pub use call::{Call, Course, FromAnswer, Ops, OpsParts};
pub use chunkstore::Told as NodeDrives;
pub use cluster::{ClusterStatus, NodeStatus};
pub use content::{OpenContent, Which};
pub use error::OpError;
pub use follow::{From as FollowFrom, Walking};
pub use lease::Lease;
pub use repeat::Told;
pub use upload::{BatchedChunk, ChunkBatch, ChunkOutcome, StoredIndex};
pub use write::{FileWriter, Finished};

/// The agreed rows, commands and questions, for those who may not name the agreement itself.
pub mod meta {
    pub use raft_meta::{
        Answer, Caller, Command, Reader, Refusal, Remember, Scope, Scopes, TableError, UserCaller,
        access, chain, command, outcome, query, table,
    };
}
pub use raft::{Consistency, Moment};

/// What operations are made of, for tests that put a node together.
pub mod parts {
    pub use chunkstore::{Settings as StoreSettings, Store};
    pub use raft::{EngineKind, Raft, Settings as RaftSettings};
}

/// What everybody who cuts files by content must agree on, to be published.
pub fn cutting() -> chunkstore::Parameters {
    chunkstore::Parameters::published()
}
