//! A cluster under test, as its clients and its checks reach it: requests to routers over a
//! pretend network between people and nodes, and the insides of a node for final inspection.

mod roster;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::{Request, Response, header};
use http_body_util::BodyExt;
use node_assembly::{Addresses, Body, JoinSettings, Node, Ops, Router, Settings};
use node_base::{Duration, NodeId};
use node_world::{Task, World};
use raft_meta::table::cluster::Seat;
use simulator_world::{Chance, DiskFaults, NetFaults, Sim};
use tower::ServiceExt;

use crate::options::Options;

/// Where people reach the cluster: one name for all nodes.
pub(crate) const PUBLIC_URL: &str = "http://127.0.0.1:8000";
/// The machine that all clients run on. It never breaks; what lies between it and the nodes does.
const CLIENTS: NodeId = NodeId(1_000);
/// A client gives up waiting for an answer after this long.
const CLIENT_LIMIT: Duration = Duration::from_secs(30);

/// The node that founds the cluster.
const FOUNDER: NodeId = NodeId(1);
/// Longer than any run.
const INVITATION_SECONDS: u32 = 24 * 3_600;
/// More than any run has nodes.
const JOINS: u32 = 100;
/// Between a node's end and its next start.
const RESTART_PAUSE: Duration = Duration::from_millis(300);

/// Why a request has no answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum Broken {
    /// Nothing happened: nobody listens there.
    #[error("the node cannot be reached")]
    Unreachable,
    /// It may have happened, or may yet happen.
    #[error("the connection broke before the answer was there")]
    Lost,
}

/// A cluster under test. Cheap to clone; all clones are the same cluster.
#[derive(Clone)]
pub(crate) struct Cluster(Arc<Inner>);

struct Inner {
    sim: Sim,
    options: Options,
    clients: World,
    /// What clients decide.
    draws: Chance,
    /// What becomes of their connections.
    wire: Chance,
    nodes: Mutex<BTreeMap<NodeId, Option<Up>>>,
    /// Nodes that must not start now.
    held: Mutex<BTreeSet<NodeId>>,
    /// Nodes that are asked to stop in good order, and those that have been another version since.
    stopping: Mutex<BTreeSet<NodeId>>,
    upgraded: Mutex<BTreeSet<NodeId>>,
    /// Nodes that are to leave the cluster, or have left it.
    leaving: Mutex<BTreeSet<NodeId>>,
    /// Which seat each node is to have.
    seats: Mutex<BTreeMap<NodeId, Seat>>,
    /// What is wrong with drives, or with their chunks alone.
    disks: Mutex<BTreeMap<(NodeId, u64, bool), DiskFaults>>,
    failures: Mutex<Vec<Failure>>,
    asked: Mutex<Asked>,
    /// What lets nodes join, once the first of them has founded the cluster.
    invitation: Mutex<Option<String>>,
}

/// Requests up to now, and who made them: a client is known by its token.
#[derive(Default)]
struct Asked {
    requests: u64,
    clients: BTreeMap<Vec<u8>, usize>,
}

impl Asked {
    /// The numbers of a request and of its client.
    fn number<B>(&mut self, request: &Request<B>) -> (u64, usize) {
        self.requests += 1;
        let token = request.headers().get(header::AUTHORIZATION);
        let token = token.map(|token| token.as_bytes().to_vec()).unwrap_or_default();
        let next = self.clients.len() + 1;
        (self.requests, *self.clients.entry(token).or_insert(next))
    }
}

/// A node that answers.
struct Up {
    world: World,
    router: Router,
    node: Node,
}

/// A node ended by itself, or did not start.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Failure {
    pub(crate) node: NodeId,
    pub(crate) at: Duration,
    pub(crate) what: String,
    /// Its drives were in trouble, so that it may well have had to.
    pub(crate) is_excused: bool,
}

impl Cluster {
    /// A cluster without nodes.
    pub(crate) fn new(sim: &Sim, options: &Options) -> Self {
        let nodes = (1..=options.nodes).map(|node| (NodeId(node), None)).collect();
        Self(Arc::new(Inner {
            sim: sim.clone(),
            options: options.clone(),
            clients: sim.world(CLIENTS),
            draws: Chance::new(options.seed, "clients"),
            wire: Chance::new(options.seed, "client network"),
            nodes: Mutex::new(nodes),
            held: Mutex::default(),
            stopping: Mutex::default(),
            upgraded: Mutex::default(),
            leaving: Mutex::default(),
            seats: Mutex::default(),
            disks: Mutex::default(),
            failures: Mutex::default(),
            asked: Mutex::default(),
            invitation: Mutex::default(),
        }))
    }

    /// All nodes of the cluster, up or down.
    pub(crate) fn nodes(&self) -> Vec<NodeId> {
        lock(&self.0.nodes).keys().copied().collect()
    }

    /// Whether a node answers.
    pub(crate) fn is_up(&self, node: NodeId) -> bool {
        self.0.sim.is_up(node) && matches!(lock(&self.0.nodes).get(&node), Some(Some(_)))
    }

    /// Starts a client, or a part of one: a task on a machine that does not break.
    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        client: impl Future<Output = T> + Send + 'static,
    ) -> Task<T> {
        self.0.clients.spawn(client)
    }

    /// Sends a request to a node and reads the whole answer. Dropping the future is what closing
    /// the connection is.
    ///
    /// # Errors
    /// See [`Broken`].
    pub(crate) async fn call<B: Into<Body>>(
        &self,
        node: NodeId,
        request: Request<B>,
    ) -> Result<Response<Bytes>, Broken> {
        let (number, client) = lock(&self.0.asked).number(&request);
        let (method, path) = (request.method(), request.uri());
        self.note(format_args!("ask {number} {client} {node} {method} {path}"));
        let answer = self.carry(node, request.map(Into::into)).await;
        match &answer {
            Ok(answer) => self.note(format_args!("told {number} {}", answer.status().as_u16())),
            Err(broken) => self.note(format_args!("told {number} broke: {broken}")),
        }
        answer
    }

    async fn carry(&self, node: NodeId, request: Request<Body>) -> Result<Response<Bytes>, Broken> {
        self.travel().await;
        let breaks = self.0.wire.happens(self.0.options.network.client_loss);
        // Half of the connections that break do so before the node has the request.
        if breaks && self.0.wire.happens(0.5) {
            return Err(Broken::Lost);
        }
        let (world, router) = self.listener(node).ok_or(Broken::Unreachable)?;
        let mut handling = Handling(world.spawn(answer(router, request)));
        let answered = self.0.clients.within(CLIENT_LIMIT, &mut handling.0).await;
        let response = answered.ok().and_then(Result::ok).flatten().ok_or(Broken::Lost)?;
        self.travel().await;
        if breaks { Err(Broken::Lost) } else { Ok(response) }
    }

    /// Asks a node over its private socket, as its own command line does: on the same machine, so
    /// that nothing comes between.
    ///
    /// # Errors
    /// See [`Broken`].
    pub(crate) async fn order<B: Into<Body>>(
        &self,
        node: NodeId,
        request: Request<B>,
    ) -> Result<Response<Bytes>, Broken> {
        let (world, _) = self.listener(node).ok_or(Broken::Unreachable)?;
        let router = lock(&self.0.nodes).get(&node).and_then(Option::as_ref).map(Up::socket);
        let router = router.ok_or(Broken::Unreachable)?;
        let mut handling = Handling(world.spawn(answer(router, request.map(Into::into))));
        let answered = self.0.clients.within(CLIENT_LIMIT, &mut handling.0).await;
        answered.ok().and_then(Result::ok).flatten().ok_or(Broken::Lost)
    }

    fn listener(&self, node: NodeId) -> Option<(World, Router)> {
        if !self.0.sim.is_up(node) {
            return None;
        }
        let nodes = lock(&self.0.nodes);
        let up = nodes.get(&node)?.as_ref()?;
        Some((up.world.clone(), up.router.clone()))
    }

    /// One way between a client and a node.
    async fn travel(&self) {
        let most = Duration::from_micros(self.0.options.network.client_delay_us_max);
        self.sleep(self.0.sim.delay(Duration::ZERO, most)).await;
    }

    /// Lets virtual time pass.
    pub(crate) async fn sleep(&self, span: Duration) {
        self.0.clients.sleep(span).await;
    }

    /// Virtual time since the run began.
    pub(crate) fn now(&self) -> Duration {
        self.0.sim.elapsed()
    }

    /// Whether bytes may be lost in this run.
    pub(crate) fn may_lose_bytes(&self) -> bool {
        self.0.options.may_lose_bytes()
    }

    /// The machine of the clients.
    pub(crate) fn machine(&self) -> World {
        self.0.clients.clone()
    }

    /// A stream of chance for what clients decide.
    pub(crate) fn draw(&self) -> &Chance {
        &self.0.draws
    }

    /// The operations of a node that is up, for final inspection.
    pub(crate) fn ops(&self, node: NodeId) -> Option<Ops> {
        if !self.0.sim.is_up(node) {
            return None;
        }
        Some(lock(&self.0.nodes).get(&node)?.as_ref()?.node.ops().clone())
    }

    /// Asks a node's operations something as one of its own tasks would; nothing when it is down or
    /// goes down meanwhile.
    pub(crate) async fn inspect<T: Send + 'static, F>(
        &self,
        node: NodeId,
        question: impl FnOnce(Ops) -> F,
    ) -> Option<T>
    where
        F: Future<Output = T> + Send + 'static,
    {
        let ops = self.ops(node)?;
        let (world, _) = self.listener(node)?;
        world.spawn(question(ops)).await.ok()
    }

    /// Writes a line into the trace.
    pub(crate) fn note(&self, line: fmt::Arguments<'_>) {
        self.0.sim.note(line);
    }

    /// The run, for whoever breaks something in it.
    pub(crate) fn sim(&self) -> &Sim {
        &self.0.sim
    }

    /// The network between nodes on a good day.
    pub(crate) fn good_network(&self) -> NetFaults {
        let delay_max = Duration::from_micros(self.0.options.network.delay_us_max);
        NetFaults { delay_max, ..NetFaults::default() }
    }

    /// Starts all nodes, and again whenever one went down, until the run ends.
    pub(crate) fn start_all(&self) {
        self.0.sim.set_net_faults(self.good_network());
        for node in self.nodes() {
            let cluster = self.clone();
            drop(self.spawn(async move { cluster.keep_up(node).await }));
        }
    }

    async fn keep_up(self, node: NodeId) {
        while lock(&self.0.nodes).contains_key(&node) {
            let may_join = node == FOUNDER || lock(&self.0.invitation).is_some();
            if may_join && !lock(&self.0.held).contains(&node) {
                match Box::pin(self.start(node)).await {
                    Ok(Some(why)) | Err(why) => self.failed(node, why),
                    Ok(None) => {}
                }
                self.crash(node);
            }
            self.sleep(RESTART_PAUSE).await;
        }
    }

    /// Starts a node on the drives that it has, and waits until it is down again or should be.
    async fn start(&self, node: NodeId) -> Result<Option<String>, String> {
        let world = self.0.sim.world(node);
        let settings = Settings { join: self.join(node), ..settings(&self.0.options, node) };
        let addresses = Addresses {
            node,
            public_url: PUBLIC_URL.to_owned(),
            cluster: self.0.sim.peer(node).address,
        };
        let inner = world.clone();
        let is_upgraded = lock(&self.0.upgraded).contains(&node);
        let version = if is_upgraded { "next" } else { env!("CARGO_PKG_VERSION") };
        let starting = world.spawn(Box::pin(async move {
            Node::start(inner, &settings, addresses, version).await
        }));
        // It may go down before it is up.
        let Ok(started) = starting.await else { return Ok(None) };
        let started = started.map_err(|error| format!("does not start: {}", chain(&error)))?;
        if node == FOUNDER && lock(&self.0.invitation).is_none() {
            let ops = started.ops().clone();
            let inviting = world.spawn(async move { ops.invite(INVITATION_SECONDS, JOINS).await });
            let Ok(invited) = inviting.await else { return Ok(None) };
            *lock(&self.0.invitation) = Some(invited.map_err(|error| chain(&error))?);
        }
        let dead = started.dead();
        let up = Up { world, router: started.router(), node: started };
        match lock(&self.0.nodes).get_mut(&node) {
            Some(slot) => *slot = Some(up),
            // It was removed meanwhile.
            None => return Ok(None),
        }
        self.note(format_args!("up {node}"));
        let died = tokio::select! {
            biased;
            () = self.0.sim.down(node) => None,
            dead = dead => Some(dead.to_string()),
        };
        if lock(&self.0.stopping).contains(&node) {
            self.0.sim.down(node).await;
            return Ok(None);
        }
        Ok(died)
    }

    /// How a node that is of no cluster yet comes into this one.
    fn join(&self, node: NodeId) -> Option<JoinSettings> {
        let token = lock(&self.0.invitation).clone().filter(|_| node != FOUNDER)?;
        let others = self.nodes().into_iter().filter(|other| *other != node);
        let via = others.map(|other| self.0.sim.peer(other).address).collect();
        Some(JoinSettings { via, token })
    }

    fn failed(&self, node: NodeId, what: String) {
        self.note(format_args!("failed {node}: {what}"));
        let is_leaving = lock(&self.0.leaving).contains(&node);
        let is_excused = is_leaving || lock(&self.0.disks).keys().any(|(at, ..)| *at == node);
        let at = self.now();
        lock(&self.0.failures).push(Failure { node, at, what, is_excused });
    }

    /// Nodes that ended by themselves or did not start, up to now.
    pub(crate) fn failures(&self) -> Vec<Failure> {
        lock(&self.0.failures).clone()
    }

    /// Has a node crash, if it is up, and forgets what there was of it in memory.
    pub(crate) fn crash(&self, node: NodeId) {
        self.0.sim.crash(node);
        let up = lock(&self.0.nodes).get_mut(&node).and_then(Option::take);
        drop(up);
    }

    /// A node that goes down stays down until it is released.
    pub(crate) fn hold(&self, node: NodeId) {
        lock(&self.0.held).insert(node);
    }

    pub(crate) fn release(&self, node: NodeId) {
        lock(&self.0.held).remove(&node);
    }

    /// Changes what is wrong with a drive, or with the chunks on it alone.
    pub(crate) fn change_disk_faults(
        &self,
        node: NodeId,
        drive: u64,
        only_chunks: bool,
        change: impl Fn(&mut DiskFaults),
    ) {
        let mut disks = lock(&self.0.disks);
        let faults = disks.entry((node, drive, only_chunks)).or_default();
        change(faults);
        let mut folder = folder(node, drive);
        if only_chunks {
            // Not what names the drive: without that it is left out for good, see `unname_drive`.
            folder.push("chunks/packs");
        }
        let set = self.0.sim.set_disk_faults_below(node, &folder, *faults);
        set.expect("the folder is a path");
        if *faults == DiskFaults::default() {
            disks.remove(&(node, drive, only_chunks));
        }
    }

    /// Damages what names a drive; nothing where a node has never started with it.
    pub(crate) fn unname_drive(&self, node: NodeId, drive: u64) {
        // A byte of the drive's id.
        self.0.sim.rot(node, &folder(node, drive).join("chunks/drive"), 9, 1);
    }

    /// Takes all chunks of a drive from a node that is down until it is released. The first drive
    /// keeps the agreement: a node that lost that is another node.
    pub(crate) fn lose_drive(&self, node: NodeId, drive: u64) {
        self.hold(node);
        self.crash(node);
        let folder = folder(node, drive);
        let lost = if drive == 0 { folder.join("chunks") } else { folder };
        self.0.sim.lose(node, &lost).expect("the folder is a path");
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An error and what caused it.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

impl Up {
    fn socket(&self) -> Router {
        self.node.socket_router()
    }
}

/// A request under way in a node; it ends when its connection does.
struct Handling(Task<Option<Response<Bytes>>>);

impl Drop for Handling {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The answer, read to its end; nothing where the node broke it off.
async fn answer(router: Router, request: Request<Body>) -> Option<Response<Bytes>> {
    let Ok(response) = router.oneshot(request).await;
    let (head, body) = response.into_parts();
    let body = body.collect().await.ok()?.to_bytes();
    Some(Response::from_parts(head, body))
}

fn settings(options: &Options, node: NodeId) -> Settings {
    let mut settings = Settings {
        data_dirs: (0..options.drives).map(|drive| folder(node, drive)).collect(),
        ..Settings::default()
    };
    let tuning = &options.tuning;
    settings.raft.snapshot_entries = tuning.snapshot_entries;
    settings.raft.kept_entries = tuning.kept_entries;
    settings.raft.log_segment_bytes = tuning.log_segment_bytes;
    settings.raft.durable_every_ms = tuning.durable_every_ms;
    settings.raft.tables_cache_bytes = 4 << 20;
    settings.raft.out_after_ms = tuning.out_after_ms;
    settings.raft.probe_ms = 500;
    settings.chunks.reserve_bytes = 1 << 20;
    settings.chunks.pack_bytes = tuning.pack_bytes;
    settings.chunks.care_seconds = tuning.care_seconds;
    settings.upkeep.round_ms = tuning.round_ms;
    settings.upkeep.rows_per_command = tuning.rows_per_command;
    settings.upkeep.lease_seconds = tuning.lease_seconds;
    settings.upkeep.trash_seconds = tuning.trash_seconds;
    settings.upkeep.orphan_seconds = tuning.orphan_seconds;
    settings.upkeep.expire_seconds = 5;
    settings
}

/// The folder of a drive.
pub(crate) fn folder(node: NodeId, drive: u64) -> PathBuf {
    PathBuf::from(format!("node-{node}-drive-{drive}"))
}
