//! The sync client and command line: it keeps folders and shares in step, and does by hand what
//! the HTTP API offers.
//!
//! People and scripts call it. It decides nothing about files itself: `api-sync-core` plans,
//! `api-client` speaks, and this package scans, moves bytes and tells.
//!
//! Never here: anything of the server; a rule about what wins.

mod answers;
mod args;
mod commands;
mod cutting;
mod deletions;
mod disk;
mod download;
mod engine;
mod execute;
mod failure;
mod feed;
mod jobs;
mod output;
mod place;
mod scan;
mod server_steps;
mod session;
mod state;
mod sync;
mod upload;

#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;

use std::process::ExitCode;

use clap::Parser;
use node_os::RealWorld;
use tracing_subscriber::EnvFilter;

use crate::args::Arguments;
use crate::failure::{Exit, Failure};
use crate::output::Output;

fn main() -> ExitCode {
    // clap ends the process with 2 for wrong usage, as the manual says.
    let arguments = Arguments::parse();
    let filter = EnvFilter::try_from_env("SCAIDRIVE_LOG").unwrap_or_else(|_| "warn".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let output = Output { json: arguments.global.json };
    match run(arguments, output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output.failure(&failure);
            ExitCode::from(failure.exit as u8)
        }
    }
}

fn run(arguments: Arguments, output: Output) -> Result<(), Failure> {
    let runtime = node_os::runtime("scaidrive").map_err(|error| {
        Failure::new(Exit::Failed, format!("the runtime cannot be started: {error}"))
    })?;
    let world = RealWorld::client(runtime.handle());
    runtime.block_on(commands::run(world, arguments, output))
}
