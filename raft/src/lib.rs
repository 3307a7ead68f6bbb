//! Gets commands agreed, applied in order, and read consistently.

mod log;
mod runtime;
mod snapshot;
mod tables;
mod types;
