//! A run: what it is made of, and what a scenario does to it.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::panic::resume_unwind;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use node_base::{Duration, NodeId};
use node_world::{FetchReply, FetchRequest, Peer, World};
use rand::RngExt;
use tokio::runtime::{Builder, RngSeed};
use tokio::sync::Notify;

use crate::disk::{DiskFaults, Drives};
use crate::fetch::Server;
use crate::net::{NetFaults, Network, address};
use crate::node::Outside;
use crate::random::{Stream, derive};
use crate::trace::Trace;

/// How a run goes, apart from its seed.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Options {
    /// The chance that a task yields before it is polled.
    pub yield_chance: f64,
    /// Blocking work takes up to this long.
    pub blocking_max: Duration,
    /// A run that takes longer than this in virtual time has got stuck, and fails.
    pub limit: Duration,
    /// A run with more events than this goes in circles, and fails.
    pub events_max: u64,
    /// How many of the latest lines of the trace are kept for reading.
    pub trace_kept: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            yield_chance: 0.2,
            blocking_max: Duration::from_millis(2),
            limit: Duration::from_secs(300 * 24 * 3600),
            events_max: 5_000_000,
            trace_kept: 0,
        }
    }
}

/// A run about to start.
pub struct Simulation {
    seed: u64,
    options: Options,
}

/// A run under way, as its scenario sees it. Cheap to clone.
#[derive(Clone)]
pub struct Sim(Arc<Shared>);

/// Everything that belongs to a run.
pub(crate) struct Shared {
    pub(crate) seed: u64,
    pub(crate) options: Options,
    /// Decides what breaks.
    pub(crate) faults: Stream,
    /// Decides who comes first: on the network and among tasks.
    pub(crate) schedule: Stream,
    pub(crate) network: Network,
    /// Told whenever a node went down or a task panicked.
    pub(crate) changed: Notify,
    start: tokio::time::Instant,
    trace: Trace,
    nodes: Mutex<BTreeMap<NodeId, Node>>,
    servers: Mutex<BTreeMap<String, Server>>,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
    tasks: AtomicU64,
}

/// What stays of a node from one incarnation to the next.
#[derive(Default)]
struct Node {
    drives: Arc<Drives>,
    incarnations: u64,
    up: Option<Outside>,
    skew_ms: i64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[expect(clippy::disallowed_methods, reason = "virtual time is tokio's paused clock")]
fn instant() -> tokio::time::Instant {
    tokio::time::Instant::now()
}

impl Shared {
    fn new(seed: u64, options: Options) -> Self {
        Self {
            seed,
            options,
            faults: Stream::new(seed, "faults"),
            schedule: Stream::new(seed, "schedule"),
            network: Network::default(),
            changed: Notify::new(),
            start: instant(),
            trace: Trace::new(options.trace_kept),
            nodes: Mutex::default(),
            servers: Mutex::default(),
            panic: Mutex::default(),
            tasks: AtomicU64::new(0),
        }
    }

    pub(crate) fn instant(&self) -> tokio::time::Instant {
        instant()
    }

    pub(crate) fn elapsed(&self) -> Duration {
        instant().duration_since(self.start)
    }

    pub(crate) fn line(&self, what: fmt::Arguments<'_>) {
        self.trace.line(format_args!("{} {what}", self.elapsed().as_nanos()));
        if self.trace.count() > self.options.events_max {
            self.changed.notify_waiters();
        }
    }

    pub(crate) fn next_task(&self) -> u64 {
        self.tasks.fetch_add(1, Ordering::Relaxed)
    }

    /// A span between two, as the schedule has it.
    pub(crate) fn between(&self, least: Duration, most: Duration) -> Duration {
        let nanos = |span: Duration| u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        let (least, most) = (nanos(least), nanos(most));
        Duration::from_nanos(self.schedule.draw().random_range(least..=most.max(least)))
    }

    pub(crate) fn skew_ms(&self, node: NodeId) -> i64 {
        lock(&self.nodes).get(&node).map_or(0, |node| node.skew_ms)
    }

    /// The incarnation of a node that is up.
    pub(crate) fn outside(&self, node: NodeId) -> Option<Outside> {
        let nodes = lock(&self.nodes);
        nodes.get(&node)?.up.clone().filter(Outside::is_alive)
    }

    pub(crate) fn server(&self, origin: &str) -> Option<Server> {
        lock(&self.servers).get(origin).cloned()
    }

    /// A panic in a living node fails the run; the first one counts.
    pub(crate) fn report_panic(&self, panic: Box<dyn Any + Send>) {
        lock(&self.panic).get_or_insert(panic);
        self.changed.notify_waiters();
    }

    async fn failed(&self) -> Failure {
        loop {
            let changed = self.changed.notified();
            if let Some(panic) = lock(&self.panic).take() {
                return Failure::Panicked(panic);
            }
            let events_max = self.options.events_max;
            if self.trace.count() > events_max {
                return Failure::Stuck(format!("going in circles after {events_max} events"));
            }
            changed.await;
        }
    }
}

/// Why a run has no output.
enum Failure {
    Panicked(Box<dyn Any + Send>),
    Stuck(String),
}

impl Simulation {
    pub fn new(seed: u64, options: Options) -> Self {
        Self { seed, options }
    }

    /// Runs a scenario to its end, with whatever it did not wait for.
    ///
    /// # Panics
    /// When the scenario does, when a task of a node that is up does, and when the run passes
    /// [`Options::limit`] or [`Options::events_max`].
    #[expect(clippy::disallowed_methods, reason = "the run is itself no part of a world")]
    pub fn run<T: Send>(self, scenario: impl AsyncFnOnce(Sim) -> T + Send) -> T {
        // A thread of its own: what libraries keep per thread cannot leak from one run to the next.
        std::thread::scope(|threads| {
            let thread = std::thread::Builder::new()
                .name(format!("simulation {}", self.seed))
                .stack_size(16 << 20)
                .spawn_scoped(threads, || self.run_here(scenario))
                .expect("the machine gives a thread");
            thread.join().unwrap_or_else(|panic| resume_unwind(panic))
        })
    }

    fn run_here<T>(self, scenario: impl AsyncFnOnce(Sim) -> T) -> T {
        let runtime = Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .rng_seed(RngSeed::from_bytes(&derive(self.seed, "runtime")))
            .build()
            .expect("a runtime without I/O asks nothing of the machine");
        let output = runtime.block_on(drive(self.seed, self.options, scenario));
        drop(runtime);
        match output {
            Ok(output) => output,
            // The panic was told where it happened.
            Err(Failure::Panicked(panic)) => resume_unwind(panic),
            Err(Failure::Stuck(why)) => panic!("seed {}: {why}", self.seed),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the run itself belongs to no node's world")]
async fn drive<T>(
    seed: u64,
    options: Options,
    scenario: impl AsyncFnOnce(Sim) -> T,
) -> Result<T, Failure> {
    let shared = Arc::new(Shared::new(seed, options));
    let sim = Sim(Arc::clone(&shared));
    let stuck = || Failure::Stuck(format!("stuck after {:?} of virtual time", options.limit));
    let output = tokio::select! {
        biased;
        failure = shared.failed() => Err(failure),
        output = scenario(sim.clone()) => Ok(output),
        () = tokio::time::sleep(options.limit) => Err(stuck()),
    };
    sim.crash_all();
    output
}

impl Sim {
    /// Starts an incarnation of a node; one that is up crashes first. Its drives are as the last
    /// one left them.
    pub fn world(&self, node: NodeId) -> World {
        self.crash(node);
        let mut nodes = lock(&self.0.nodes);
        let state = nodes.entry(node).or_default();
        state.incarnations += 1;
        let outside = Outside::new(&self.0, node, state.incarnations, Arc::clone(&state.drives));
        outside.line(format_args!("start"));
        state.up = Some(outside.clone());
        drop(nodes);
        outside.world()
    }

    /// Ends a node's incarnation, if it is up: no task of it takes another step, and its drives
    /// keep no more of what was not synced than chance will have it.
    pub fn crash(&self, node: NodeId) {
        if let Some(outside) = self.0.outside(node) {
            outside.crash();
        }
    }

    /// Stops a node where it stands, as a machine does that swaps or migrates: its tasks wait, and
    /// time passes without them.
    pub fn pause(&self, node: NodeId) {
        if let Some(outside) = self.0.outside(node) {
            outside.line(format_args!("pause"));
            outside.pause();
        }
    }

    /// Lets a paused node go on.
    pub fn resume(&self, node: NodeId) {
        if let Some(outside) = self.0.outside(node) {
            outside.line(format_args!("resume"));
            outside.resume();
        }
    }

    /// Has a node crash instead of the change to its drives that comes after this many. Blocking
    /// work runs without a pause, so this is how a crash comes in the middle of it.
    pub fn crash_instead_of_change(&self, node: NodeId, after: u64) {
        self.drives(node).crash_instead_of_change(after);
    }

    /// How many incarnations of the node there have been.
    pub fn incarnations(&self, node: NodeId) -> u64 {
        lock(&self.0.nodes).get(&node).map_or(0, |state| state.incarnations)
    }

    /// Whether an incarnation of the node is up.
    pub fn is_up(&self, node: NodeId) -> bool {
        self.0.outside(node).is_some()
    }

    /// Waits until the node is down.
    pub async fn down(&self, node: NodeId) {
        loop {
            let changed = self.0.changed.notified();
            if !self.is_up(node) {
                return;
            }
            changed.await;
        }
    }

    fn crash_all(&self) {
        let up: Vec<NodeId> = lock(&self.0.nodes).keys().copied().collect();
        up.into_iter().for_each(|node| self.crash(node));
        lock(&self.0.nodes).clear();
        lock(&self.0.servers).clear();
    }

    fn drives(&self, node: NodeId) -> Arc<Drives> {
        Arc::clone(&lock(&self.0.nodes).entry(node).or_default().drives)
    }

    /// Sets what goes wrong on a node's drives from now on.
    pub fn set_disk_faults(&self, node: NodeId, faults: DiskFaults) {
        // The root is a path.
        let _ = self.set_disk_faults_below(node, Path::new(""), faults);
    }

    /// Sets what goes wrong in a folder on a node's drives from now on; what was said for a folder
    /// nearer to a file counts for it.
    ///
    /// # Errors
    /// When the path is none.
    pub fn set_disk_faults_below(
        &self,
        node: NodeId,
        folder: &Path,
        faults: DiskFaults,
    ) -> io::Result<()> {
        self.drives(node).set_faults(folder, faults)
    }

    /// Turns one bit of a file on a node's drives, for good; whether the file reaches that far.
    pub fn rot(&self, node: NodeId, path: &Path, offset: u64, bit: u8) -> bool {
        self.0.line(format_args!("- rot {node} {} {offset} {bit}", path.display()));
        self.drives(node).rot(path, offset, bit)
    }

    /// Takes a file, or a folder with all in it, from a node's drives, as a dead drive does.
    ///
    /// # Errors
    /// When the path is none.
    pub fn lose(&self, node: NodeId, path: &Path) -> io::Result<()> {
        self.0.line(format_args!("- lose {node} {}", path.display()));
        self.drives(node).lose(path)
    }

    /// Sets how far a node's wall clock is ahead, or behind where negative.
    pub fn set_skew_ms(&self, node: NodeId, skew_ms: i64) {
        lock(&self.0.nodes).entry(node).or_default().skew_ms = skew_ms;
    }

    /// Sets how the network treats messages from now on.
    pub fn set_net_faults(&self, faults: NetFaults) {
        self.0.network.set_faults(faults);
    }

    /// Nothing passes between the two any more.
    pub fn partition(&self, a: NodeId, b: NodeId) {
        self.partition_one_way(a, b);
        self.partition_one_way(b, a);
    }

    /// Nothing passes from one to the other any more; the other way is open.
    pub fn partition_one_way(&self, from: NodeId, to: NodeId) {
        self.0.line(format_args!("- partition {from} {to}"));
        self.0.network.cut(from, to);
    }

    /// Ends all partitions.
    pub fn heal(&self) {
        self.0.line(format_args!("- heal"));
        self.0.network.mend();
    }

    /// Where to reach a node.
    pub fn peer(&self, node: NodeId) -> Peer {
        Peer { node, address: address(node) }
    }

    /// Has requests to an origin, such as `https://issuer.example`, answered from now on.
    pub fn serve_http(
        &self,
        origin: &str,
        server: impl Fn(&FetchRequest) -> FetchReply + Send + Sync + 'static,
    ) {
        lock(&self.0.servers).insert(origin.to_owned(), Arc::new(server));
    }

    /// Virtual time since the run began.
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }

    /// Lets virtual time pass.
    #[expect(clippy::disallowed_methods, reason = "the run itself belongs to no node's world")]
    pub async fn sleep(&self, span: Duration) {
        tokio::time::sleep(span).await;
    }

    /// A span between two, from the stream that decides who comes first.
    pub fn delay(&self, least: Duration, most: Duration) -> Duration {
        self.0.between(least, most)
    }

    /// Writes a line of the scenario's own into the trace.
    pub fn note(&self, what: fmt::Arguments<'_>) {
        self.0.line(format_args!("- {what}"));
    }

    /// A number in the range, from the stream that decides the faults.
    pub fn draw(&self, range: std::ops::Range<u64>) -> u64 {
        self.0.faults.draw().random_range(range)
    }

    /// What happened up to now.
    pub fn trace(&self) -> Trace {
        self.0.trace.clone()
    }
}
