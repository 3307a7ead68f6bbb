//! `scaidrived serve`: one node, from its sockets to its last answer.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use node_assembly::{Addresses, Node, Settings, StartError};
use node_base::NodeId;
use node_os::{ListenError, RealWorld, listen};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::listener::{Private, Tcp};
use crate::outcome::{Exit, Failure};

/// The private socket's name in the data directory.
pub(crate) const SOCKET: &str = "private.sock";

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
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("scaidrived")
        .build()
        .map_err(|error| Failure::because("starting threads", &error))?;
    runtime.block_on(serve(settings, json))
}

fn start_log(filter: &str) -> Result<(), Failure> {
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
    let tls = tls_config(settings)?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    let public = bind("listen", settings.listen)?;
    let metrics = bind("metrics_listen", settings.metrics_listen)?;
    let handle = tokio::runtime::Handle::current();
    let real = RealWorld::node(&handle, NodeId(1), settings.cluster_listen)
        .map_err(|error| listen_failure("cluster_listen", &error))?;
    let address = |listener: &node_os::Listener| {
        listener.address().map_err(|error| Failure::because("asking for an address", &error))
    };
    let (public_address, metrics_address) = (address(&public)?, address(&metrics)?);
    let addresses = Addresses {
        public_url: settings
            .public_url
            .clone()
            .unwrap_or_else(|| format!("{scheme}://{public_address}")),
        cluster: settings.advertise.clone().unwrap_or_else(|| real.address.to_string()),
    };
    if tls.is_none() && !public_address.ip().is_loopback() {
        tracing::warn!(
            listen = %public_address,
            "people's files and tokens travel unencrypted: give --tls-cert and --tls-key, or \
             listen on loopback behind a proxy that encrypts"
        );
    }
    let world = real.world;
    let version = env!("CARGO_PKG_VERSION");
    let node = Node::start(world.clone(), settings, addresses.clone(), version)
        .await
        .map_err(|error| start_failure(&error))?;
    let home = settings.data_dirs.first().cloned().unwrap_or_default();
    let private = private_socket(&home)?;
    let (stop, stopping) = watch::channel(false);
    let stopped = move || {
        let mut stopping = stopping.clone();
        async move {
            // A dropped sender stops as well as a word.
            let _ = stopping.wait_for(|stop| *stop).await;
        }
    };
    let http = settings.http.clone();
    let serving = [
        world.spawn(node_assembly::serve(
            world.clone(),
            Tcp(public),
            tls,
            node.router(),
            http.clone(),
            stopped(),
        )),
        world.spawn(node_assembly::serve(
            world.clone(),
            Tcp(metrics),
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
            http,
            stopped(),
        )),
    ];
    say_ready(
        &Ready {
            status: "ready",
            url: addresses.public_url,
            listen: public_address.to_string(),
            cluster_listen: real.address.to_string(),
            metrics_listen: metrics_address.to_string(),
            version,
            first_sign_in: node.first_sign_in.clone().map(|first| FirstSignIn {
                email: first.email,
                password: first.password,
                kept_in: home.join("first-sign-in"),
            }),
            data_dir: home,
        },
        json,
    );
    let died = tokio::select! {
        () = told.wait() => None,
        dead = node.dead() => Some(dead.to_string()),
    };
    stop.send_replace(true);
    if let Some(why) = died {
        return Err(Failure::new(Exit::Failed, why)
            .hint("the log above tells why; start the node again once the cause is mended"));
    }
    tracing::info!("stopping: running requests are let finish");
    node.ops().stop_waiting();
    for task in serving {
        // A listener that panicked has said so; the others still stop in order.
        let _ = task.await;
    }
    node.stop().await.map_err(|error| Failure::because("making the tables durable", &error))?;
    tracing::info!("stopped");
    Ok(())
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

fn bind(setting: &str, address: std::net::SocketAddr) -> Result<node_os::Listener, Failure> {
    listen(address).map_err(|error| listen_failure(setting, &error))
}

fn listen_failure(setting: &str, error: &ListenError) -> Failure {
    Failure::because(&format!("the setting {setting}"), error)
        .hint("choose another address, or port 0 for a free one")
}

fn start_failure(error: &StartError) -> Failure {
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
