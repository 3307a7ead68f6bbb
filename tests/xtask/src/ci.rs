//! Every check and every test, in the order in which they are cheap to fail.

use std::ffi::OsString;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::failure::Failure;
use crate::project::{self, Project, cargo, describe};
use crate::python;

struct Step {
    name: &'static str,
    arguments: &'static [&'static str],
    /// What the program is told that cargo runs.
    told: &'static [&'static str],
}

/// Runs the simulator, in a profile of its own: it is slow without optimisation.
const SIMULATOR: [&str; 7] =
    ["run", "--profile", "simulate", "--package", "simulator", "--locked", "--quiet"];

impl Step {
    fn command(&self, project: &Project) -> (&'static str, Command) {
        let mut command = cargo(self.arguments);
        if !self.told.is_empty() {
            command.arg("--").args(self.told);
        }
        command.current_dir(&project.root);
        (self.name, command)
    }
}

/// What needs nothing but the sources.
///
/// These steps and the later ones select the whole workspace, so that cargo unifies features once
/// and no crate is built twice for a difference in them.
const READING: [Step; 2] = [
    Step { name: "form", arguments: &["fmt", "--all", "--check"], told: &[] },
    Step {
        name: "lints",
        arguments: &[
            "clippy",
            "--workspace",
            "--all-targets",
            "--locked",
            "--quiet",
            "--",
            "-D",
            "warnings",
        ],
        told: &[],
    },
];

/// What needs the tools from Python as well.
const RUNNING: [Step; 6] = [
    // Black-box tests start the binaries, and cargo builds those of another package for nobody.
    // With the tests beside them, so that both are built with the features that tests ask for:
    // without, some crates below are built twice.
    Step {
        name: "build",
        arguments: &["build", "--workspace", "--bins", "--tests", "--locked"],
        told: &[],
    },
    Step { name: "tests", arguments: &["test", "--workspace", "--locked"], told: &[] },
    Step {
        name: "seeds",
        arguments: &SIMULATOR,
        told: &["swarm", "--from", "1", "--seeds", "276"],
    },
    // Seeds that nobody has run before: the first line says which.
    Step { name: "fresh seeds", arguments: &SIMULATOR, told: &["swarm", "--seeds", "24"] },
    Step { name: "stories", arguments: &SIMULATOR, told: &["scenario", "--all"] },
    // Bugs planted in the product: checks that do not find them are none.
    Step { name: "plants", arguments: &SIMULATOR, told: &["plant", "--all"] },
];

fn run_steps<'a>(
    commands: impl IntoIterator<Item = (&'a str, Command)>,
) -> Result<Vec<(&'a str, Duration)>, Failure> {
    let mut took = Vec::new();
    for (name, mut command) in commands {
        println!("== {name}: {}", describe(&command));
        let start = Instant::now();
        let done = project::run(&mut command);
        let span = start.elapsed();
        if let Err(failure) = done {
            println!(
                "== {name}: FAILED after {:.1} s; nothing after it was run",
                span.as_secs_f64()
            );
            return Err(failure);
        }
        println!("== {name}: {:.1} s", span.as_secs_f64());
        took.push((name, span));
    }
    Ok(took)
}

pub(crate) fn run(project: &Project) -> Result<(), Failure> {
    let start = Instant::now();
    let mut took = run_steps(READING.iter().map(|step| step.command(project)))?;

    println!("== python tools: as in tests/xtask/python.txt");
    let before = Instant::now();
    let programs = OsString::from(python::prepare(project)?);
    took.push(("python tools", before.elapsed()));

    let commands = RUNNING.iter().map(|step| {
        let (name, mut command) = step.command(project);
        command.env(python::VARIABLE, &programs);
        (name, command)
    });
    took.extend(run_steps(commands)?);
    let parts: Vec<String> =
        took.iter().map(|(name, span)| format!("{name} {:.0} s", span.as_secs_f64())).collect();
    println!("== all passed in {:.0} s: {}", start.elapsed().as_secs_f64(), parts.join(", "));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(line: &str) -> Command {
        let mut parts = line.split(' ');
        let mut command = Command::new(parts.next().expect("a program"));
        command.args(parts);
        command
    }

    #[test]
    fn the_first_failure_ends_it() {
        let mut started = Vec::new();
        let lines = ["true", "false", "true"];
        let commands = lines.iter().map(|line| {
            started.push(*line);
            (*line, command(line))
        });
        let failure = run_steps(commands).expect_err("the second one fails");
        assert!(matches!(&failure, Failure::Exit { command, .. } if command == "false"));
        assert_eq!(started, ["true", "false"]);
    }

    #[test]
    fn every_step_is_timed() {
        let took = run_steps([("a", command("true")), ("b", command("true"))]).expect("both pass");
        assert_eq!(took.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["a", "b"]);
    }
}
