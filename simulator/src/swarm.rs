//! Many seeds on many threads. Each run is a simulation on a thread of its own; here they are only
//! handed out and counted.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
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

struct Work {
    swarm: Swarm,
    start: Instant,
    next: AtomicU64,
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

    /// The next seed, while there is time for one.
    fn take(&self) -> Option<u64> {
        if self.is_over.load(Ordering::Relaxed) {
            return None;
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let more = match self.swarm.amount {
            Amount::Seeds(seeds) => number < seeds,
            Amount::Minutes(minutes) => self.elapsed().as_secs_f64() < minutes * 60.0,
        };
        more.then(|| self.swarm.from.wrapping_add(number))
    }

    fn run_seeds(&self) {
        while let Some(seed) = self.take() {
            let found = Run::of(Options::draw(Seed(seed))).run();
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
            next: AtomicU64::new(0),
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
