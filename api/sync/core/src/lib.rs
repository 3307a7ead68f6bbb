//! Three trees in, a plan out.
//!
//! What is on this machine, what is on the server, and what both had when they were last in step:
//! from these the planner decides what moves where. An edit beats a deletion, two edits are both
//! kept, and nothing is ever deleted because it could not be seen.
//!
//! The sync client calls it: [`questions`] tells which contents must be compared, [`plan`] decides.
//! The same trees always give the same plan.
//!
//! Never here: I/O, a clock, HTTP.

mod losses;
mod moves;
mod names;
mod plan;
mod questions;
mod step;
mod tree;
mod visit;

#[cfg(test)]
mod model;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod stories;

pub use names::NotHere;
pub use plan::{Options, Plan, Skipped, plan};
pub use questions::{Compare, Question, questions};
pub use step::{Replaced, Step};
pub use tree::{Base, BaseFile, Local, LocalFile, Remote, RemoteFile, Stamp, Trees, rename};
