//! The commands, as people write them.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use clap::{Parser, Subcommand};
use node_base::Duration;
use node_base::plant::Bug;
use tracing::Level;

use crate::options::Seed;
use crate::replay::Replay;
use crate::scenario::{self, Story};
use crate::swarm::{Amount, Swarm};
use crate::{determinism, plant, report};

/// Runs clusters in a pretend world, and breaks them.
#[derive(Parser)]
#[command(version)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Runs many seeds, each another cluster with other faults.
    Swarm {
        /// How many.
        #[arg(long, conflicts_with = "minutes")]
        seeds: Option<u64>,
        /// For how long, instead.
        #[arg(long)]
        minutes: Option<f64>,
        /// The first seed; a fresh one by default.
        #[arg(long)]
        from: Option<String>,
        /// How many at once; as many as there are cores by default.
        #[arg(long)]
        jobs: Option<u64>,
        /// Goes on after a violation.
        #[arg(long)]
        keep_going: bool,
        /// Passes by the seeds of clusters that begin with another number of nodes.
        #[arg(long, value_parser = clap::value_parser!(u64).range(1..=7))]
        nodes: Option<u64>,
    },
    /// Runs one seed again, and shows what there is to see.
    Replay {
        seed: String,
        /// Prints every line of the trace.
        #[arg(long)]
        trace: bool,
        /// Up to this virtual second.
        #[arg(long, value_name = "SECONDS")]
        until: Option<f64>,
        /// Has what nodes log in the trace too, down to this level: error, warn, info, debug.
        #[arg(long, value_name = "LEVEL")]
        log: Option<Level>,
        /// Writes a page with a lane for each node and each client.
        #[arg(long, value_name = "FILE")]
        html: Option<PathBuf>,
        /// Has only these faults of the plan happen, by number: so a failure is shrunk.
        #[arg(long, value_delimiter = ',', value_name = "NUMBERS")]
        faults: Option<Vec<usize>>,
    },
    /// Finds the fewest faults of a plan that still break a promise.
    Shrink { seed: String },
    /// Tells a story: a cluster, a fault, an outcome.
    Scenario {
        name: Option<String>,
        #[arg(long)]
        list: bool,
        /// All of them, one after the other.
        #[arg(long)]
        all: bool,
    },
    /// Shows that a seed decides everything, in this process and others, alone and beside others.
    Determinism {
        seed: String,
        /// How many seeds, from this one on.
        #[arg(long, default_value_t = 1)]
        seeds: u64,
        /// Runs each in a second process too, and twice at the same time, and compares the traces.
        #[arg(long)]
        twice: bool,
    },
    /// Plants a bug and looks whether it is found.
    Plant {
        bug: Option<String>,
        #[arg(long)]
        list: bool,
        /// All of them, one after the other.
        #[arg(long)]
        all: bool,
        /// The first seed.
        #[arg(long, default_value = "1")]
        from: String,
        /// How many times each is hunted, from other seeds on.
        #[arg(long, default_value_t = 1)]
        hunts: u64,
    },
}

/// Why a command does not end well.
pub(crate) enum Failure {
    /// What it checks does not hold.
    Broken(String),
    /// It was called wrongly.
    Called(String),
}

fn seed(text: &str) -> Result<Seed, Failure> {
    text.parse().map_err(|error: crate::options::SeedError| Failure::Called(error.to_string()))
}

impl Command {
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Swarm { seeds, minutes, from, jobs, keep_going, nodes } => {
                let from = from.as_deref().map(seed).transpose()?.unwrap_or_else(fresh);
                let amount = match (seeds, minutes) {
                    (_, Some(minutes)) => Amount::Minutes(minutes),
                    (seeds, None) => Amount::Seeds(seeds.unwrap_or(100)),
                };
                let jobs = jobs.unwrap_or_else(cores).max(1);
                swarm(Swarm { from: from.0, amount, jobs, keep_going, nodes })
            }
            Self::Replay { seed: text, trace, until, log, html, faults } => {
                let until = until.map(Duration::try_from_secs_f64).transpose();
                let until = until.map_err(|error| Failure::Called(error.to_string()))?;
                let only = faults.map(|numbers| numbers.into_iter().collect());
                let replay = Replay { trace, until, only, log, html: html.is_some() };
                replay_seed(seed(&text)?, &replay, html)
            }
            Self::Shrink { seed: text } => shrink(seed(&text)?),
            Self::Scenario { all: true, .. } => scenario::ALL.iter().try_for_each(tell_one),
            Self::Scenario { name, list, .. } => tell(name.as_deref(), list),
            Self::Determinism { seed: text, seeds, twice } => same(seed(&text)?, seeds, twice),
            Self::Plant { bug, list, all, from, hunts } => {
                let from = seed(&from)?;
                plant_bugs(bug.as_deref(), list, all, from, hunts)
            }
        }
    }
}

fn swarm(swarm: Swarm) -> Result<(), Failure> {
    println!("seeds from {} on, {} at once", Seed(swarm.from), swarm.jobs);
    let tally = swarm.run();
    let Some((seed, found)) = tally.violated.iter().next() else { return Ok(()) };
    let run = crate::run::Run::of(crate::options::Options::draw(Seed(*seed)));
    let mut text = report::long(&run, found);
    for seed in tally.violated.keys().skip(1) {
        text.push_str(&format!("\nalso: simulator replay {}", Seed(*seed)));
    }
    Err(Failure::Broken(text))
}

fn replay_seed(seed: Seed, replay: &Replay, html: Option<PathBuf>) -> Result<(), Failure> {
    let seen = replay.run(seed);
    println!("{}", seen.text(replay));
    if let (Some(path), Some(page)) = (html, &seen.page) {
        write(&path, page)?;
        println!("look: {}", path.display());
    }
    if seen.found.violations.is_empty() {
        return Ok(());
    }
    Err(Failure::Broken(report::long(&seen.run, &seen.found)))
}

#[expect(clippy::disallowed_methods, reason = "a page is for a browser of this machine")]
fn write(path: &std::path::Path, page: &str) -> Result<(), Failure> {
    std::fs::write(path, page)
        .map_err(|error| Failure::Called(format!("writing {}: {error}", path.display())))
}

fn shrink(seed: Seed) -> Result<(), Failure> {
    match crate::replay::shrink(seed) {
        None => {
            println!("seed {seed} breaks no promise");
            Ok(())
        }
        Some((run, found)) => {
            println!("{}", report::head(&run));
            let kept: Vec<String> =
                run.plan.0.iter().map(|planned| planned.number.to_string()).collect();
            println!("look: simulator replay {seed} --faults {}", kept.join(","));
            Err(Failure::Broken(report::long(&run, &found)))
        }
    }
}

fn tell(name: Option<&str>, list: bool) -> Result<(), Failure> {
    if list || name.is_none() {
        for story in scenario::ALL {
            println!("{:<40} {}", story.name, story.title);
        }
        return Ok(());
    }
    let name = name.unwrap_or_default();
    let story = scenario::ALL.iter().find(|story| story.name == name);
    let story = story.ok_or_else(|| {
        Failure::Called(format!("there is no scenario '{name}'; see simulator scenario --list"))
    })?;
    tell_one(story)
}

fn tell_one(story: &Story) -> Result<(), Failure> {
    println!("{}", story.title);
    let Some((run, found)) = story.run() else { return Ok(()) };
    if found.violations.is_empty() {
        println!("it ends so");
        return Ok(());
    }
    Err(Failure::Broken(report::long(&run, &found)))
}

fn same(from: Seed, seeds: u64, twice: bool) -> Result<(), Failure> {
    for number in 0..seeds {
        let seed = Seed(from.0.wrapping_add(number));
        let found = if twice { determinism::run_twice(seed) } else { Ok(determinism::run(seed)) };
        println!("{}", found.map_err(|error| Failure::Broken(format!("error: {error}")))?);
    }
    Ok(())
}

fn plant_bugs(
    called: Option<&str>,
    list: bool,
    all: bool,
    from: Seed,
    hunts: u64,
) -> Result<(), Failure> {
    let bugs: Vec<Bug> = match called {
        _ if all => Bug::ALL.to_vec(),
        Some(called) => vec![plant::find(called).ok_or_else(|| {
            Failure::Called(format!("there is no bug '{called}'; see simulator plant --list"))
        })?],
        None if !list => {
            return Err(Failure::Called("name a bug, or --all; see --list".to_owned()));
        }
        None => Vec::new(),
    };
    if list {
        for bug in Bug::ALL {
            let (name, what) = plant::name(bug);
            println!("{name:<26} {what}");
        }
    }
    let missed = hunt_all(&bugs, from, hunts);
    if missed.is_empty() {
        return Ok(());
    }
    let (missed, most) = (missed.join(", "), plant::SEEDS_MAX);
    Err(Failure::Broken(format!("not found within {most} seeds: {missed}")))
}

/// Hunts bugs, as many at once as there are cores, and tells of each; answers those that were not
/// found.
#[expect(clippy::disallowed_methods, reason = "hunts share nothing, so they get threads")]
fn hunt_all(bugs: &[Bug], from: Seed, hunts: u64) -> Vec<&'static str> {
    let next = AtomicUsize::new(0);
    let missed: Mutex<Vec<&str>> = Mutex::default();
    let hunt = || {
        while let Some(bug) = bugs.get(next.fetch_add(1, Ordering::Relaxed)) {
            let (name, _) = plant::name(*bug);
            match hunt_often(*bug, from, hunts) {
                Some(told) => println!("{name:<26} {told}"),
                None => missed.lock().unwrap_or_else(PoisonError::into_inner).push(name),
            }
        }
    };
    std::thread::scope(|threads| {
        for _ in 0..cores() {
            threads.spawn(hunt);
        }
    });
    missed.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// How many seeds it took, by the median of some hunts, and what the first one found.
fn hunt_often(bug: Bug, from: Seed, hunts: u64) -> Option<String> {
    let mut taken = Vec::new();
    let mut first = None;
    for hunt in 0..hunts.max(1) {
        let start = from.0.wrapping_add(hunt * plant::SEEDS_MAX);
        let (seeds, run, found) = plant::hunt(bug, start)?;
        taken.push(seeds);
        first.get_or_insert((run.options.seed(), found));
    }
    taken.sort_unstable();
    let median = taken[taken.len() / 2];
    let (seed, found) = first?;
    let violation = found.violations.first()?;
    let what = violation.what.lines().next().unwrap_or_default();
    let promise = violation.promise;
    Some(format!("found after {median} seeds (first by {seed}: {promise}: {what})"))
}

fn cores() -> u64 {
    std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64)
}

/// A seed that nobody has run: by the clock of this machine.
#[expect(clippy::disallowed_methods, reason = "the one thing here that no seed decides")]
fn fresh() -> Seed {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Seed(now.map_or(1, |now| now.as_millis() as u64 & u64::from(u32::MAX)))
}
