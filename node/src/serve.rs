//! `scaidrived serve`: one node, from its sockets to its last answer.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use node_assembly::{Addresses, Node, ServeSettings, Settings, StartError};
use node_base::NodeId;
use node_os::{ListenError, RealWorld, listen};
use node_world::{Task, World};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::listener::{Private, Tcp};
use crate::outcome::{Exit, Failure};

/// The private socket's name in the data directory.
pub(crate) const SOCKET: &str = "private.sock";

pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What is said once the node is ready.
#[derive(serde::Serialize)]
struct Ready {
    status: &'static str,
    url: String,
    listen: String,
    cluster_listen: String,
    metrics_listen: String,
    data_dir: PathBuf,
    version: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_sign_in: Option<FirstSignIn>,
}

#[derive(serde::Serialize)]
struct FirstSignIn {
    email: String,
    password: String,
    kept_in: PathBuf,
}

/// Runs a node until it is told to stop.
pub(crate) fn run(settings: &Settings, json: bool) -> Result<(), Failure> {
    start_log(&settings.log)?;
    let runtime = node_os::runtime("scaidrived")
        .map_err(|error| Failure::because("starting threads", &error))?;
    runtime.block_on(serve(settings, json))
}

pub(crate) fn start_log(filter: &str) -> Result<(), Failure> {
    let filter = filter.parse::<tracing_subscriber::EnvFilter>().map_err(|error| {
        Failure::new(Exit::Usage, format!("the setting log = \"{filter}\": {error}"))
    })?;
    let colours = std::io::IsTerminal::is_terminal(&std::io::stderr());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(colours)
        .with_writer(std::io::stderr)
        .init();
    Ok(())
}

async fn serve(settings: &Settings, json: bool) -> Result<(), Failure> {
    let mut told = Told::listen()?;
    let sockets = Sockets::open(settings)?;
    let handle = tokio::runtime::Handle::current();
    let Some(bears) = unless_told(&mut told, number(&handle, settings)).await else {
        return Ok(());
    };
    let bears = bears?;
    let real = RealWorld::node(&handle, bears, settings.cluster_listen)
        .map_err(|error| listen_failure("cluster_listen", &error))?;
    let addresses = Addresses {
        node: bears,
        public_url: settings.public_url.clone().unwrap_or_else(|| sockets.url()),
        cluster: settings.advertise.clone().unwrap_or_else(|| real.address.to_string()),
    };
    sockets.warn_of_eavesdroppers();
    let starting = Node::start(real.world.clone(), settings, addresses.clone(), VERSION);
    let Some(node) = unless_told(&mut told, Box::pin(starting)).await else { return Ok(()) };
    let node = node.map_err(|error| start_failure(&error))?;
    let home = settings.data_dirs.first().cloned().unwrap_or_default();
    let private = private_socket(&home)?;
    let ready = Ready {
        status: "ready",
        url: addresses.public_url,
        listen: sockets.public_address.to_string(),
        cluster_listen: real.address.to_string(),
        metrics_listen: sockets.metrics_address.to_string(),
        version: VERSION,
        first_sign_in: node.first_sign_in.clone().map(|first| FirstSignIn {
            email: first.email,
            password: first.password,
            kept_in: home.join("first-sign-in"),
        }),
        data_dir: home,
    };
    let serving = Serving::start(&real.world, sockets, private, &node, &settings.http);
    say_ready(&ready, json);
    // A task of its own: this thread would be woken at each step of the agreement.
    let dead = real.world.spawn(node.dead());
    let died = tokio::select! {
        () = told.wait() => None,
        dead = dead => Some(dead.map_or_else(|ended| ended.to_string(), |dead| dead.to_string())),
    };
    if let Some(why) = died {
        serving.stop.send_replace(true);
        return Err(Failure::new(Exit::Failed, why)
            .hint("the log above tells why; start the node again once the cause is mended"));
    }
    tracing::info!("stopping: running requests are let finish");
    // Who cannot wait says so twice.
    tokio::select! {
        () = node.leave() => {}
        () = told.wait() => {}
    }
    serving.end(&node).await;
    node.stop().await.map_err(|error| Failure::because("making the tables durable", &error))?;
    tracing::info!("stopped");
    Ok(())
}

/// What comes of the work, unless the process is told to stop first: a start waits for other nodes,
/// and that may take for ever. What was not finished is taken up at the next start, as after a
/// crash.
async fn unless_told<T>(told: &mut Told, work: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        done = work => Some(done),
        () = told.wait() => {
            tracing::info!("told to stop before the node has started");
            None
        }
    }
}

/// The number that this node bears in its cluster. One that has none yet asks for it without a
/// world of its own, for that is made under the number.
async fn number(handle: &tokio::runtime::Handle, settings: &Settings) -> Result<NodeId, Failure> {
    let address = settings.advertise.clone();
    let address = address.unwrap_or_else(|| settings.cluster_listen.to_string());
    let entered = node_assembly::enter(&RealWorld::client(handle), settings, &address, None).await;
    entered.map_err(|error| start_failure(&error))
}

/// The listening sockets for people, programs and monitoring.
struct Sockets {
    public: node_os::Listener,
    public_address: SocketAddr,
    tls: Option<Arc<rustls::ServerConfig>>,
    metrics: node_os::Listener,
    metrics_address: SocketAddr,
}

impl Sockets {
    fn open(settings: &Settings) -> Result<Self, Failure> {
        let tls = tls_config(settings)?;
        let public = bind("listen", settings.listen)?;
        let metrics = bind("metrics_listen", settings.metrics_listen)?;
        let address = |listener: &node_os::Listener| {
            listener.address().map_err(|error| Failure::because("asking for an address", &error))
        };
        let (public_address, metrics_address) = (address(&public)?, address(&metrics)?);
        Ok(Self { public, public_address, tls, metrics, metrics_address })
    }

    fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.public_address)
    }

    fn warn_of_eavesdroppers(&self) {
        if self.tls.is_none() && !self.public_address.ip().is_loopback() {
            tracing::warn!(
                listen = %self.public_address,
                "people's files and tokens travel unencrypted: give --tls-cert and --tls-key, or \
                 listen on loopback behind a proxy that encrypts"
            );
        }
    }
}

/// What answers on the sockets.
struct Serving {
    stop: watch::Sender<bool>,
    tasks: [Task<()>; 3],
}

impl Serving {
    fn start(
        world: &World,
        sockets: Sockets,
        private: tokio::net::UnixListener,
        node: &Node,
        http: &ServeSettings,
    ) -> Self {
        let (stop, stopping) = watch::channel(false);
        let stopped = move || {
            let mut stopping = stopping.clone();
            async move {
                // A dropped sender stops as well as a word.
                let _ = stopping.wait_for(|stop| *stop).await;
            }
        };
        let tasks = [
            world.spawn(node_assembly::serve(
                world.clone(),
                Tcp(sockets.public),
                sockets.tls,
                node.router(),
                http.clone(),
                stopped(),
            )),
            world.spawn(node_assembly::serve(
                world.clone(),
                Tcp(sockets.metrics),
                None,
                node.metrics_router(),
                http.clone(),
                stopped(),
            )),
            world.spawn(node_assembly::serve(
                world.clone(),
                Private(private),
                None,
                node.socket_router(),
                http.clone(),
                stopped(),
            )),
        ];
        Self { stop, tasks }
    }

    /// Lets running requests finish, but no one wait any longer for what may come.
    async fn end(self, node: &Node) {
        self.stop.send_replace(true);
        node.ops().stop_waiting();
        for task in self.tasks {
            // A listener that panicked has said so; the others still stop in order.
            let _ = task.await;
        }
    }
}

/// The signals that ask the process to stop. Once they are listened for, none ends it unheard.
struct Told {
    interrupt: Signal,
    terminate: Signal,
}

impl Told {
    fn listen() -> Result<Self, Failure> {
        let listen =
            |kind| signal(kind).map_err(|error| Failure::because("waiting for signals", &error));
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
        })
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

fn bind(setting: &str, address: SocketAddr) -> Result<node_os::Listener, Failure> {
    listen(address).map_err(|error| listen_failure(setting, &error))
}

fn listen_failure(setting: &str, error: &ListenError) -> Failure {
    Failure::because(&format!("the setting {setting}"), error)
        .hint("choose another address, or port 0 for a free one")
}

pub(crate) fn start_failure(error: &StartError) -> Failure {
    Failure::because("the node does not start", error)
}

/// The socket by which commands on this machine reach the running node. The lock on the data
/// directory is held by now: a socket that is there is a dead node's.
fn private_socket(home: &Path) -> Result<tokio::net::UnixListener, Failure> {
    let path = home.join(SOCKET);
    #[allow(clippy::disallowed_methods, reason = "a socket is not a file of the node's data")]
    let removed = std::fs::remove_file(&path);
    if let Err(error) = removed
        && error.kind() != std::io::ErrorKind::NotFound
    {
        return Err(Failure::because("removing the old private socket", &error));
    }
    tokio::net::UnixListener::bind(&path)
        .map_err(|error| Failure::because(&format!("binding {}", path.display()), &error))
}

fn tls_config(settings: &Settings) -> Result<Option<Arc<rustls::ServerConfig>>, Failure> {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    let (cert, key) = match (&settings.tls_cert, &settings.tls_key) {
        (None, None) => return Ok(None),
        (Some(cert), Some(key)) => (cert, key),
        _ => {
            let message = "tls_cert and tls_key are given together or not at all";
            return Err(Failure::new(Exit::Usage, message));
        }
    };
    let unusable = |path: &Path, error: &dyn std::fmt::Display| {
        Failure::new(Exit::Usage, format!("{} cannot be used: {error}", path.display()))
    };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(cert)
        .and_then(Iterator::collect)
        .map_err(|error| unusable(cert, &error))?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| unusable(key, &error))?;
    let mut config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(|error| unusable(cert, &error))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Some(Arc::new(config)))
}

#[allow(clippy::print_stdout, reason = "the ready line is what this command prints")]
fn say_ready(ready: &Ready, json: bool) {
    if json {
        println!("{}", serde_json::to_string(ready).expect("plain data"));
        return;
    }
    println!("ScaiDrive {} is ready at {}", ready.version, ready.url);
    match &ready.first_sign_in {
        Some(first) => {
            println!("  first sign-in   {}  {}", first.email, first.password);
            println!("                  (kept in {})", first.kept_in.display());
        }
        None => println!("  data            {}", ready.data_dir.display()),
    }
    let token = format!("$(scaidrived token --user {ADMIN})");
    println!("  next            scaidrive login {} --token {token}", ready.url);
    println!("  Ctrl-C stops it; starting again finds everything.");
}

/// The first administrator, as the assembly names it.
const ADMIN: &str = node_assembly::FIRST_EMAIL;
