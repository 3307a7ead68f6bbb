//! The public contract, by version: the shapes of requests, answers and errors.
//!
//! Servers and clients speak through these types and nothing else. Ids are text here; whoever
//! needs an id of the cluster's own kind parses it. Field names are fixed for ever; an answer may
//! gain optional fields, so readers pass over the ones they do not know, while a value outside a
//! closed list is refused.
//!
//! Never here: axum, anything of the server, a rule about files.

pub mod patch;
pub mod text;
pub mod v1;

pub use patch::Patch;
pub use text::{Hash, Time};
