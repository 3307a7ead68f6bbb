//! Chores: what runs every test, and what measures.
//!
//! `cargo xtask` alone lists them. Started before anything else is built, therefore made of little:
//! the standard library and JSON.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a tool for people, outside the product: it runs programs and tells what they did"
)]

mod bench;
mod ci;
mod cluster;
mod coverage;
mod failure;
mod project;
mod python;

use std::process::ExitCode;

use failure::Failure;
use project::Project;

const USAGE: &str = "\
usage: cargo xtask CHORE

  ci                        check the form, lint, build, and run every test
  python                    make target/python, the tools that tests use from Python
  bench [--yardsticks] [--only SCENARIO]... [--shrink N]
                            measure against yardsticks taken in the same run;
                            a table, and JSON in target/bench.json
                            scenarios: large, delta, small, requests
  coverage [--seeds N] [--from SEED]
                            which lines of the parts that agree and store are
                            reached by the simulator's seeds
  cluster [up [N]|status|down|chaos [SECONDS]|...]
                            a cluster on this machine, to be broken by hand;
                            without a word, all that can be done to it

example: cargo xtask bench --only delta";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let chore = arguments.first().map(String::as_str);
    let rest = arguments.get(1..).unwrap_or_default();
    let done = match chore {
        None | Some("help" | "-h" | "--help") => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Some("ci") if rest.is_empty() => Project::find().and_then(|project| ci::run(&project)),
        Some("python") if rest.is_empty() => Project::find().and_then(|project| {
            let folder = python::prepare(&project)?;
            println!("{}", folder.display());
            Ok(())
        }),
        Some("bench") => {
            bench::Options::read(rest).and_then(|options| bench::run(&Project::find()?, &options))
        }
        Some("coverage") => coverage::Options::read(rest)
            .and_then(|options| coverage::run_seeds(&Project::find()?, &options)),
        Some("cluster") => Project::find().and_then(|project| cluster::obey(&project, rest)),
        Some(_) => Err(Failure::Usage),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Usage) => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
        Err(failure) => {
            eprintln!("xtask: {failure}");
            ExitCode::FAILURE
        }
    }
}
