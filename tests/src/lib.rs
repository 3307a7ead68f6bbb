//! Black box: real processes, real sockets, real clients.
//!
//! [`Server`] is a running `scaidrived` with a data directory of its own; [`Client`] is `scaidrive`
//! signed in to it. The tests stand in `tests/tests/main.rs`, one binary for all.
//!
//! Never here: any package of the server.

// These are tools of tests: they look at real files and processes, and a failure ends the test.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stderr,
    reason = "black-box tests handle the machine's files, clocks and processes themselves"
)]

mod api;
mod bench;
mod client;
mod link;
mod server;

pub use api::{Api, Sent, root_children};
pub use bench::{Bench, Member, wait};
pub use client::{Client, Ran};
pub use server::{Server, Start, binary};
