//! The server binary: `scaidrived`.
//!
//! It reads settings, binds sockets, runs one node built by `node-assembly`, and speaks to people;
//! what concerns a running node it asks through the private socket in the data directory.
//!
//! Never here: rules of any kind.

mod backup;
mod check;
mod cli;
mod cluster;
mod example;
mod layers;
mod listener;
mod outcome;
mod progress;
mod report;
mod serve;
mod socket;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    // Whatever this process writes is for its owner alone: passwords, keys, contents.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    // Exactly one provider of cryptography, chosen here: only a second choice could fail.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let cli = cli::Cli::parse();
    match cli::run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.tell(),
    }
}
