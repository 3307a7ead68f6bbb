//! Whole clusters in one thread; faults, workloads, invariants.
//!
//! A run is decided by its seed alone, so a seed is a bug report. People call it from a shell; each
//! command prints what it found on stdout and why it failed on stderr, and ends with 0, or with 1
//! when what it checks does not hold, or with 2 when it was called wrongly.
//!
//! Never here: node-os, real time, threads, sockets.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it speaks to people")]

mod cluster;
mod determinism;
mod options;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Runs clusters in a pretend world.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Shows that a seed decides everything: two nodes, a bad network, a crash.
    Determinism {
        seed: u64,
        /// Runs it in a second process too, and compares the traces.
        #[arg(long)]
        twice: bool,
    },
}

fn main() -> ExitCode {
    let Arguments { command } = Arguments::parse();
    let outcome = match command {
        Command::Determinism { seed, twice: false } => Ok(determinism::run(seed)),
        Command::Determinism { seed, twice: true } => determinism::run_twice(seed),
    };
    match outcome {
        Ok(found) => {
            println!("{found}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
