//! What the cluster agrees on: commands, apply, tables, queries, permissions, quotas.
//!
//! Never here: tokio, openraft, the world, HTTP; no clock and no randomness either, both come
//! inside the commands.

pub mod tables;

pub use tables::{MemoryTables, Reader, TableError, Writer};
