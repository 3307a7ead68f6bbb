//! What the cluster agrees on: commands, apply, tables, queries, permissions, quotas.
//!
//! A [`Proposal`] that the cluster agreed on comes to [`apply`], which judges it against the tables
//! as they are at its log index, changes them, and says what came of it. [`query`] reads them for
//! everybody else. Both ask the same evaluator of permissions.
//!
//! Never here: tokio, openraft, the world, HTTP; no clock and no randomness either, both come
//! inside the commands.

pub mod access;
pub mod apply;
pub mod caller;
pub mod chain;
pub mod command;
#[cfg(test)]
mod fixture;
pub mod outcome;
mod overlay;
pub mod query;
pub mod restore;
pub mod table;
pub mod tables;

pub use apply::apply;
pub use caller::{Caller, Proposal, Remember, Scope, Scopes, UserCaller};
pub use command::Command;
pub use outcome::{Answer, Outcome, Refusal};
pub use tables::{MemoryTables, Reader, TableError, Writer};
