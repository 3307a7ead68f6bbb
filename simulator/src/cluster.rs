//! A cluster under test, as its clients and its checks reach it: requests to routers over a
//! pretend network between people and nodes, and the insides of a node for final inspection.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt;
use node_assembly::{Addresses, Body, Node, Ops, Router, Settings, StartError};
use node_base::{Duration, NodeId};
use node_world::{Task, World};
use simulator_world::{Chance, Sim};
use tower::ServiceExt;

use crate::options::Options;

/// Where people reach the cluster: one name for all nodes.
pub(crate) const PUBLIC_URL: &str = "http://127.0.0.1:8000";
/// The machine that all clients run on. It never breaks; what lies between it and the nodes does.
const CLIENTS: NodeId = NodeId(1_000);
/// A client gives up waiting for an answer after this long.
const CLIENT_LIMIT: Duration = Duration::from_secs(30);

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
    /// Whom to sign in as, once known.
    first: Mutex<Option<(String, String)>>,
}

/// A node that answers.
struct Up {
    world: World,
    router: Router,
    node: Node,
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
            first: Mutex::default(),
        }))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<NodeId, Option<Up>>> {
        self.0.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All nodes, up or down.
    pub(crate) fn nodes(&self) -> Vec<NodeId> {
        self.lock().keys().copied().collect()
    }

    /// Whether a node answers.
    pub(crate) fn is_up(&self, node: NodeId) -> bool {
        self.0.sim.is_up(node) && matches!(self.lock().get(&node), Some(Some(_)))
    }

    /// The first administrator's address and password.
    pub(crate) fn administrator(&self) -> Option<(String, String)> {
        self.0.first.lock().unwrap_or_else(PoisonError::into_inner).clone()
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
        self.travel().await;
        let breaks = self.0.wire.happens(self.0.options.network.client_loss);
        // Half of the connections that break do so before the node has the request.
        if breaks && self.0.wire.happens(0.5) {
            return Err(Broken::Lost);
        }
        let (world, router) = self.listener(node).ok_or(Broken::Unreachable)?;
        let request = request.map(Into::into);
        let mut handling = Handling(world.spawn(answer(router, request)));
        let answered = self.0.clients.within(CLIENT_LIMIT, &mut handling.0).await;
        let response = answered.ok().and_then(Result::ok).flatten().ok_or(Broken::Lost)?;
        self.travel().await;
        if breaks { Err(Broken::Lost) } else { Ok(response) }
    }

    fn listener(&self, node: NodeId) -> Option<(World, Router)> {
        if !self.0.sim.is_up(node) {
            return None;
        }
        let nodes = self.lock();
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

    /// A stream of chance for what clients decide.
    pub(crate) fn draw(&self) -> &Chance {
        &self.0.draws
    }

    /// The operations of a node that is up, for final inspection.
    pub(crate) fn ops(&self, node: NodeId) -> Option<Ops> {
        if !self.0.sim.is_up(node) {
            return None;
        }
        Some(self.lock().get(&node)?.as_ref()?.node.ops().clone())
    }

    /// Writes a line into the trace.
    pub(crate) fn note(&self, line: fmt::Arguments<'_>) {
        self.0.sim.note(line);
    }

    /// Starts a node that is down, on the drives that it has.
    ///
    /// # Errors
    /// Why it does not start.
    pub(crate) async fn start(&self, node: NodeId) -> Result<(), StartError> {
        let world = self.0.sim.world(node);
        let settings = settings(&self.0.options, node);
        let addresses = Addresses {
            public_url: PUBLIC_URL.to_owned(),
            cluster: self.0.sim.peer(node).address,
        };
        let inner = world.clone();
        let starting = world.spawn(Box::pin(async move {
            Node::start(inner, &settings, addresses, env!("CARGO_PKG_VERSION")).await
        }));
        // A crash while it starts is no failure to start.
        let Ok(started) = starting.await else { return Ok(()) };
        let started = started?;
        if let Some(first) = &started.first_sign_in {
            let first = (first.email.clone(), first.password.clone());
            *self.0.first.lock().unwrap_or_else(PoisonError::into_inner) = Some(first);
        }
        let up = Up { world, router: started.router(), node: started };
        self.lock().insert(node, Some(up));
        Ok(())
    }

    /// Has a node crash, if it is up, and forgets what there was of it in memory.
    pub(crate) fn crash(&self, node: NodeId) {
        self.0.sim.crash(node);
        let up = self.lock().get_mut(&node).and_then(Option::take);
        drop(up);
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
    settings.chunks.reserve_bytes = 1 << 20;
    settings.chunks.pack_bytes = 4 << 20;
    settings
}

/// The folder of a drive.
pub(crate) fn folder(node: NodeId, drive: u64) -> PathBuf {
    PathBuf::from(format!("node-{node}-drive-{drive}"))
}
