//! Whole clusters in one thread; faults, workloads, invariants.
//!
//! A run is decided by its seed alone, so a seed is a bug report. People call it from a shell; each
//! command prints what it found on stdout and why it failed on stderr, and ends with 0, or with 1
//! when what it checks does not hold, or with 2 when it was called wrongly.
//!
//! Never here: node-os, sockets; and, but where many runs are handed out, real time and threads.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it speaks to people")]

mod check;
mod client;
mod cluster;
mod command;
mod determinism;
mod fault;
mod history;
mod log;
mod options;
mod plant;
mod replay;
mod report;
mod run;
mod scenario;
mod swarm;
mod timeline;
mod workload;

use std::process::ExitCode;

use clap::Parser;

/// A run allocates all the time, on one thread: with this it takes a tenth
/// less time than with the system's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match command::Arguments::parse().command.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(command::Failure::Broken(what)) => {
            eprintln!("{what}");
            ExitCode::FAILURE
        }
        Err(command::Failure::Called(why)) => {
            eprintln!("error: {why}");
            ExitCode::from(2)
        }
    }
}
