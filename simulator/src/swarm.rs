//! Many seeds on many threads. Each run is a simulation on a thread of its own; here they are only
//! handed out and counted.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use node_base::Duration;

use crate::options::{Options, Seed};
use crate::report;
use crate::run::{Found, Run};

/// Which seeds, and how many at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Swarm {
    pub(crate) from: u64,
    pub(crate) amount: Amount,
    pub(crate) jobs: u64,
    /// Goes on after a violation.
    pub(crate) keep_going: bool,
    /// Those alone whose cluster begins with so many nodes.
    pub(crate) nodes: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Amount {
    Seeds(u64),
    Minutes(f64),
}

/// What a swarm came to.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) seeds: u64,
    pub(crate) simulated: Duration,
    pub(crate) events: u64,
    /// By seed.
    pub(crate) violated: BTreeMap<u64, Found>,
}

/// Between two lines of progress on a terminal.
const PROGRESS: Duration = Duration::from_millis(500);

/// Seeds that were looked at, and those of them that were handed out.
#[derive(Default)]
struct Handed {
    seen: u64,
    out: u64,
}

struct Work {
    swarm: Swarm,
    start: Instant,
    handed: Mutex<Handed>,
    is_over: AtomicBool,
    tally: Mutex<Tally>,
}

impl Work {
    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[expect(clippy::disallowed_methods, reason = "people are told how fast it goes")]
    fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// The next seed with its options, while there is time for one.
    fn take(&self) -> Option<(u64, Options)> {
        if self.is_over.load(Ordering::Relaxed) {
            return None;
        }
        let mut handed = self.handed.lock().unwrap_or_else(PoisonError::into_inner);
        let more = match self.swarm.amount {
            Amount::Seeds(seeds) => handed.out < seeds,
            Amount::Minutes(minutes) => self.elapsed().as_secs_f64() < minutes * 60.0,
        };
        if !more {
            return None;
        }
        loop {
            let seed = self.swarm.from.wrapping_add(handed.seen);
            handed.seen += 1;
            let options = Options::draw(Seed(seed));
            if self.swarm.nodes.is_none_or(|nodes| nodes == options.nodes) {
                handed.out += 1;
                return Some((seed, options));
            }
        }
    }

    fn run_seeds(&self) {
        while let Some((seed, options)) = self.take() {
            let found = Run::of(options).run();
            let mut tally = self.tally();
            tally.seeds += 1;
            tally.simulated += found.took;
            tally.events += found.events;
            if !found.violations.is_empty() {
                tally.violated.insert(seed, found);
                if !self.swarm.keep_going {
                    self.is_over.store(true, Ordering::Relaxed);
                }
            }
        }
    }

    fn line(&self) -> String {
        let tally = self.tally();
        let minutes = self.elapsed().as_secs_f64() / 60.0;
        format!(
            "{} seeds, {:.1} simulated hours, {} violations, {:.0} seeds a minute",
            tally.seeds,
            tally.simulated.as_secs_f64() / 3_600.0,
            tally.violated.len(),
            tally.seeds as f64 / minutes.max(1e-6)
        )
    }
}

impl Swarm {
    /// Runs all seeds, with a line of progress on standard error, and tells of each violation as
    /// it is found.
    #[expect(clippy::disallowed_methods, reason = "seeds share nothing, so they get threads")]
    pub(crate) fn run(self) -> Tally {
        let work = Work {
            swarm: self,
            start: Instant::now(),
            handed: Mutex::default(),
            is_over: AtomicBool::new(false),
            tally: Mutex::default(),
        };
        std::thread::scope(|threads| {
            let runners: Vec<_> =
                (0..self.jobs).map(|_| threads.spawn(|| work.run_seeds())).collect();
            let mut told = BTreeSet::new();
            loop {
                let is_done = runners.iter().all(std::thread::ScopedJoinHandle::is_finished);
                tell_new(&work, &mut told);
                if is_done {
                    break;
                }
                progress(&work.line());
                std::thread::sleep(PROGRESS);
            }
        });
        println!("{}", work.line());
        work.tally.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells of violations that nobody has been told of.
fn tell_new(work: &Work, told: &mut BTreeSet<u64>) {
    let tally = work.tally();
    for (seed, found) in &tally.violated {
        if told.insert(*seed) {
            eprintln!("\r\x1b[K{}", report::short(Seed(*seed), found));
        }
    }
}

/// One line that is written over.
fn progress(line: &str) {
    let mut out = std::io::stderr().lock();
    // Nobody looks where it cannot be written.
    let _ = write!(out, "\r\x1b[K{line}").and_then(|()| out.flush());
}
