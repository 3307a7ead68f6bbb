//! One run: a cluster starts, breaks and is used at the same time, heals, comes to rest, and is
//! looked at.
//!
//! *Safety*: while faults last, nothing that was acknowledged may be lost, and nothing wrong may be
//! answered. *Liveness*: once all is healed, everything that waits must end within a time.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;

use node_base::Duration;
use node_base::plant::{self, Bug};
use simulator_world::{Sim, Simulation, Trace};
use tracing::Level;

use crate::check::{self, Violation, Watch};
use crate::cluster::Cluster;
use crate::fault::Plan;
use crate::history::History;
use crate::log;
use crate::options::Options;
use crate::workload;

/// How long nodes may take to be up after all is healed, or at the beginning.
const UP_WITHIN: Duration = Duration::from_secs(60);
/// How long clients may take to end what they began.
const ENDS_WITHIN: Duration = Duration::from_secs(120);
/// Between two looks at something that takes its time.
const LOOK: Duration = Duration::from_millis(250);
/// Between two looks at the agreement, of which every so many take in the tables.
const WATCH: Duration = Duration::from_millis(100);
const WATCH_TABLES: u64 = 50;

/// What is run.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Run {
    pub(crate) options: Options,
    pub(crate) plan: Plan,
    pub(crate) bug: Option<Bug>,
    /// How many of the latest lines of the trace are kept.
    pub(crate) kept: usize,
    /// Down to which level what nodes log is in the trace.
    pub(crate) log: Option<Level>,
}

/// What came of it.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Found {
    pub(crate) violations: Vec<Violation>,
    /// Virtual time.
    pub(crate) took: Duration,
    pub(crate) events: u64,
    /// Over the whole trace.
    pub(crate) hash: String,
    pub(crate) lines: Vec<String>,
}

impl Run {
    /// What a seed decides.
    pub(crate) fn of(options: Options) -> Self {
        Self { plan: Plan::draw(&options), options, bug: None, kept: 0, log: None }
    }

    /// Runs it to its end, on this thread and one of its own.
    pub(crate) fn run(&self) -> Found {
        let seen: OnceLock<Sim> = OnceLock::new();
        let world = simulator_world::Options {
            limit: LIMIT,
            events_max: EVENTS_MAX,
            trace_kept: self.kept,
            ..simulator_world::Options::default()
        };
        let ran = catch_unwind(AssertUnwindSafe(|| {
            Simulation::new(self.options.seed, world).run(async |sim| {
                // Nobody sets it before.
                let _ = seen.set(sim.clone());
                plant::plant(self.bug);
                let _following = self.log.map(|level| log::follow(&sim, level));
                let (violations, took) = Box::pin(self.live(&sim)).await;
                (violations, took, sim.trace())
            })
        }));
        match ran {
            Ok((violations, took, trace)) => Found::of(violations, took, &trace),
            Err(panic) => {
                let violation = panicked(panic.as_ref());
                let trace = seen.get().map(Sim::trace);
                match trace {
                    Some(trace) => Found::of(vec![violation], Duration::ZERO, &trace),
                    None => Found {
                        violations: vec![violation],
                        took: Duration::ZERO,
                        events: 0,
                        hash: String::new(),
                        lines: Vec::new(),
                    },
                }
            }
        }
    }

    async fn live(&self, sim: &Sim) -> (Vec<Violation>, Duration) {
        let cluster = Cluster::new(sim, &self.options);
        cluster.start_all();
        let mut violations = Vec::new();
        if let Err(violation) = all_up(&cluster, "at the beginning").await {
            return (vec![violation], sim.elapsed());
        }
        cluster.note(format_args!("phase safety"));
        let history = tokio::select! {
            biased;
            history = Box::pin(self.use_and_break(&cluster)) => history,
            violation = Box::pin(watch_over(&cluster)) => Err(violation),
        };
        let history = match history {
            Ok(history) => history,
            Err(violation) => {
                violations.push(violation);
                return (violations, sim.elapsed());
            }
        };
        cluster.note(format_args!("phase checks"));
        violations.extend(unexcused(&cluster));
        violations.extend(Box::pin(check::after(&cluster, &history, &self.options)).await);
        (violations, sim.elapsed())
    }

    /// Both phases, up to where everybody has stopped.
    async fn use_and_break(&self, cluster: &Cluster) -> Result<History, Violation> {
        let running = workload::start(cluster, &self.options);
        let faults = async {
            self.plan.happen(cluster).await;
            std::future::pending::<()>().await;
        };
        // Nothing of a plan is waited for when its time is over.
        let _ = within(cluster, self.options.length(), Box::pin(faults)).await;
        cluster.note(format_args!("phase liveness"));
        self.plan.heal(cluster);
        all_up(cluster, "after all was healed").await?;
        let stopped = within(cluster, ENDS_WITHIN, Box::pin(running.stop())).await;
        stopped.ok_or_else(|| stuck("what clients began has not ended", ENDS_WITHIN))
    }
}

/// A run longer than this in virtual time has got stuck.
const LIMIT: Duration = Duration::from_secs(3_600);
/// A run with more events than this goes in circles.
const EVENTS_MAX: u64 = 20_000_000;

impl Found {
    fn of(violations: Vec<Violation>, took: Duration, trace: &Trace) -> Self {
        Self { violations, took, events: trace.count(), hash: trace.hash(), lines: trace.lines() }
    }
}

/// Looks at the agreement again and again, until it breaks one of its own promises.
async fn watch_over(cluster: &Cluster) -> Violation {
    let mut watch = Watch::default();
    for look in 0_u64.. {
        cluster.sleep(WATCH).await;
        let with_tables = look.is_multiple_of(WATCH_TABLES);
        let found = Box::pin(check::during(cluster, &mut watch, with_tables)).await;
        if let Some(first) = found.into_iter().next() {
            return first;
        }
    }
    std::future::pending().await
}

async fn within<T>(
    cluster: &Cluster,
    limit: Duration,
    future: impl Future<Output = T>,
) -> Option<T> {
    tokio::select! {
        biased;
        output = future => Some(output),
        () = cluster.sleep(limit) => None,
    }
}

/// Waits until all nodes answer.
async fn all_up(cluster: &Cluster, when: &str) -> Result<(), Violation> {
    let up = async {
        while !cluster.nodes().into_iter().all(|node| cluster.is_up(node)) {
            cluster.sleep(LOOK).await;
        }
    };
    if within(cluster, UP_WITHIN, up).await.is_some() {
        return Ok(());
    }
    let down = cluster.nodes().into_iter().filter(|node| !cluster.is_up(*node));
    let down: Vec<String> = down.map(|node| node.to_string()).collect();
    let last = cluster.failures().pop().map_or(String::new(), |failure| failure.what);
    Err(stuck(&format!("nodes {} are not up {when} ({last})", down.join(", ")), UP_WITHIN))
}

fn unexcused(cluster: &Cluster) -> Vec<Violation> {
    let failures = cluster.failures().into_iter().filter(|failure| !failure.is_excused);
    let violation = |failure: crate::cluster::Failure| Violation {
        promise: "a node goes on as long as its drives do",
        promised_in: "STYLE.md, Failure: an assertion is for our own mistakes",
        what: format!(
            "node {} at {:.3} s: {}",
            failure.node,
            failure.at.as_secs_f64(),
            failure.what
        ),
        touching: vec![format!("failed {}", failure.node)],
    };
    failures.map(violation).collect()
}

fn stuck(what: &str, within: Duration) -> Violation {
    Violation {
        promise: "everything that waits ends once all is healed",
        promised_in: "ARCHITECTURE.md, 10 The simulator",
        what: format!("{what}, {} s after", within.as_secs()),
        touching: vec!["phase".to_owned(), "failed".to_owned()],
    }
}

fn panicked(panic: &(dyn Any + Send)) -> Violation {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no words");
    Violation {
        promise: "no input makes a node panic",
        promised_in: "STYLE.md, Failure: an assertion is for our own mistakes",
        what: format!("a panic: {text}"),
        touching: Vec::new(),
    }
}
