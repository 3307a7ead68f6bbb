//! Commands about the cluster: forming it, growing and shrinking it, and how it stands.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use node_assembly::{Addresses, JoinError, JoinSettings, Node, Settings, StartError};
use node_base::{Duration, NodeId};
use node_os::RealWorld;
use serde_json::{Value, json};

use crate::outcome::{Exit, Failure};
use crate::serve::{VERSION, start_failure, start_log};
use crate::socket::{At, print_json, print_line, span};

/// `scaidrived join`, beside what `serve` takes.
#[derive(Debug, Args)]
pub(crate) struct Via {
    /// The address at which a node of the cluster listens for others; several may be given
    #[arg(long, value_name = "HOST:PORT", required = true)]
    via: Vec<String>,
    /// What `scaidrived join-token` printed there
    #[arg(long, value_name = "TOKEN", env = "SCAIDRIVE_JOIN_TOKEN", hide_env_values = true)]
    token: String,
    /// The number to have; the next one without it
    #[arg(long, value_name = "NUMBER")]
    node: Option<u64>,
}

/// `scaidrived join-token`
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  scaidrived join --data-dir /srv/b --cluster-listen 10.0.0.2:8001 \
                        --via 10.0.0.1:8001 \\\n    --token \"$(scaidrived join-token \
                  --data-dir /srv/a)\""
)]
pub(crate) struct JoinToken {
    /// How long it is good for, such as 30m, 1h, 7d
    #[arg(long, value_name = "SPAN", default_value = "1h", value_parser = span)]
    ttl: u64,
    /// How many nodes may join with it
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    uses: u32,
    #[command(flatten)]
    at: At,
}

/// `scaidrived promote` and `demote`
#[derive(Debug, Args)]
pub(crate) struct Which {
    /// The node's number, as `status` shows it
    node: u64,
    #[command(flatten)]
    at: At,
}

/// `scaidrived drain`
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  scaidrived drain 3 --data-dir /srv/a && scaidrived remove 3 \
                        --data-dir /srv/a\n\n`promote` takes a node back in that drains.")]
pub(crate) struct Drain {
    /// The node's number, as `status` shows it
    node: u64,
    /// Do not wait until it may be removed
    #[arg(long)]
    no_wait: bool,
    #[command(flatten)]
    at: At,
}

/// `scaidrived remove`
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  scaidrived remove 3 --data-dir /srv/a")]
pub(crate) struct Remove {
    /// The node's number, as `status` shows it
    node: u64,
    /// Remove it even while it may hold what others lack: for a node that never comes back
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    at: At,
}

/// `scaidrived status`
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  scaidrived status --data-dir /srv/a\n  scaidrived status --json \
                        | jq '.cluster.nodes[] | {node, state, lag_entries}'"
)]
pub(crate) struct Status {
    #[command(flatten)]
    at: At,
}

pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.enable_all().build().map_err(|error| Failure::because("starting threads", &error))
}

/// Where other nodes will reach this one. It is told to them once and for all, so it has to be
/// known before the node runs.
pub(crate) fn advertised(settings: &Settings) -> Result<String, Failure> {
    if let Some(address) = &settings.advertise {
        return Ok(address.clone());
    }
    let address = settings.cluster_listen;
    let wrong =
        |what: &str| Failure::new(Exit::Usage, format!("cluster_listen = {address} {what}"));
    if address.port() == 0 {
        let hint = "give --cluster-listen with a port of its own, or --advertise";
        return Err(wrong("has no port at which other nodes could find this one").hint(hint));
    }
    if address.ip().is_unspecified() {
        let hint = "give --advertise with an address of this machine";
        return Err(wrong("is no address that other nodes could call").hint(hint));
    }
    Ok(address.to_string())
}

async fn identity(
    world: &node_world::World,
    settings: &Settings,
) -> Result<Option<NodeId>, Failure> {
    node_assembly::identity(world, settings).await.map_err(|error| start_failure(&error))
}

fn conflict(settings: &Settings, node: NodeId) -> Failure {
    let folder = home(settings).display().to_string();
    Failure::new(Exit::Conflict, format!("{folder} is node {node}'s of a cluster already"))
        .hint(format!("start it: scaidrived serve --data-dir {folder}"))
}

fn home(settings: &Settings) -> PathBuf {
    settings.data_dirs.first().cloned().unwrap_or_default()
}

/// Founds a cluster in an empty data directory, and prints a token to join it with.
pub(crate) fn init(settings: &Settings, as_json: bool) -> Result<(), Failure> {
    start_log(&settings.log)?;
    let runtime = runtime()?;
    runtime.block_on(async {
        let handle = runtime.handle();
        let address = advertised(settings)?;
        if let Some(node) = identity(&RealWorld::client(handle), settings).await? {
            return Err(conflict(settings, node));
        }
        let scheme = if settings.tls_cert.is_some() { "https" } else { "http" };
        let public_url = settings.public_url.clone();
        let addresses = Addresses {
            node: node_assembly::FIRST_NODE,
            public_url: public_url.unwrap_or_else(|| format!("{scheme}://{}", settings.listen)),
            cluster: address.clone(),
        };
        let world = RealWorld::offline(handle, addresses.node);
        let founded = Settings { join: None, ..settings.clone() };
        let node = Node::start(world, &founded, addresses, VERSION)
            .await
            .map_err(|error| start_failure(&error))?;
        let token = node.ops().invite(24 * 3_600, 1).await;
        let first = node.first_sign_in.clone();
        let stopped = node.stop().await;
        let token = token.map_err(|error| Failure::because("making a join token", &error))?;
        stopped.map_err(|error| Failure::because("making the tables durable", &error))?;
        let home = home(settings);
        if as_json {
            let first = first.map(|to| json!({ "email": to.email, "password": to.password }));
            return print_json(&json!({
                "node": node_assembly::FIRST_NODE.0,
                "join_token": token,
                "data_dir": home.display().to_string(),
                "first_sign_in": first,
            }));
        }
        print_line(&format!("a new cluster; this is node 1, at {address}"))?;
        if let Some(first) = first {
            let line = format!("  first sign-in  {}  {}", first.email, first.password);
            print_line(&line)?;
        }
        print_line(&format!("  join token     {token}"))?;
        print_line("                 (for one node, for a day)")?;
        print_line(&format!("  next           scaidrived serve --data-dir {}", home.display()))
    })
}

/// Makes this data directory a node of a cluster.
pub(crate) fn join(settings: &Settings, via: &Via, as_json: bool) -> Result<(), Failure> {
    start_log(&settings.log)?;
    let runtime = runtime()?;
    runtime.block_on(async {
        let world = RealWorld::client(runtime.handle());
        let address = advertised(settings)?;
        if let Some(node) = identity(&world, settings).await? {
            return Err(conflict(settings, node));
        }
        let join = JoinSettings { via: via.via.clone(), token: via.token.clone() };
        let joining = Settings { join: Some(join), ..settings.clone() };
        let wish = via.node.map(NodeId);
        let node = node_assembly::enter(&world, &joining, &address, wish)
            .await
            .map_err(|error| join_failure(&error))?;
        let home = home(settings).display().to_string();
        if as_json {
            return print_json(&json!({"node": node.0, "address": address, "data_dir": home}));
        }
        print_line(&format!("joined as node {node}; others reach it at {address}"))?;
        let listen: SocketAddr = settings.cluster_listen;
        print_line(&format!("  next  scaidrived serve --data-dir {home} --cluster-listen {listen}"))
    })
}

fn join_failure(error: &StartError) -> Failure {
    let StartError::Join(error) = error else { return start_failure(error) };
    let failure = Failure::because("the node does not join", error);
    let new_token = "make a new one on a node of the cluster: scaidrived join-token";
    match error {
        JoinError::Refused(refusal) if refusal.is_of_token() => {
            failure.exit(Exit::NotAllowed).hint(new_token)
        }
        JoinError::Refused(_) => failure.exit(Exit::Conflict),
        JoinError::Token => failure.exit(Exit::Usage).hint(new_token),
        JoinError::NoMember { .. } => failure.hint(
            "--via takes the address at which a node listens for nodes, port 8001 by default",
        ),
        JoinError::Unavailable(_) => failure.exit(Exit::Unavailable),
        _ => failure,
    }
}

pub(crate) fn join_token(token: &JoinToken) -> Result<(), Failure> {
    let wish = json!({ "seconds": token.ttl, "uses": token.uses });
    let answer = token.at.ask("POST", "/cluster/join-token", Some(wish))?;
    if token.at.json {
        return print_json(&answer);
    }
    print_line(answer["token"].as_str().unwrap_or_default())
}

fn order(at: &At, node: u64, seat: &str, force: bool) -> Result<Value, Failure> {
    let order = json!({ "node": node, "seat": seat, "force": force });
    at.ask("POST", "/cluster/seat", Some(order))
}

fn done(at: &At, answer: &Value, said: &str) -> Result<(), Failure> {
    if at.json { print_json(answer) } else { print_line(said) }
}

pub(crate) fn promote(which: &Which) -> Result<(), Failure> {
    let answer = order(&which.at, which.node, "may_vote", false)?;
    done(&which.at, &answer, &format!("node {} may vote, and its drives count", which.node))
}

pub(crate) fn demote(which: &Which) -> Result<(), Failure> {
    let answer = order(&which.at, which.node, "learns", false)?;
    done(&which.at, &answer, &format!("node {} follows and serves, and does not vote", which.node))
}

pub(crate) fn remove(remove: &Remove) -> Result<(), Failure> {
    let (at, node) = (&remove.at, remove.node);
    let answer = order(at, node, "removed", remove.force).map_err(|failure| {
        failure.hint("--force removes it all the same; what only it holds is lost then")
    })?;
    done(at, &answer, &format!("node {node} is of the cluster no more"))
}

/// Between two looks at a node that drains.
const DRAIN_PAUSE: Duration = Duration::from_millis(500);

pub(crate) fn drain(drain: &Drain) -> Result<(), Failure> {
    let (at, node) = (&drain.at, drain.node);
    let answer = order(at, node, "drains", false)?;
    let text = !at.json;
    if drain.no_wait {
        return done(
            at,
            &answer,
            &format!("node {node} drains; `scaidrived status` tells how far"),
        );
    }
    if text {
        print_line(&format!("node {node} drains: what its drives hold moves to the others"))?;
    }
    let mut left = None;
    loop {
        let status = at.ask("GET", "/status", None)?;
        let nodes = status["cluster"]["nodes"].as_array().cloned().unwrap_or_default();
        let Some(line) = nodes.iter().find(|line| line["node"] == node) else { break };
        if line["seat"] != "drains" {
            let message = format!("somebody gave node {node} another seat meanwhile");
            return Err(Failure::new(Exit::Conflict, message));
        }
        if line["is_needed"] == false {
            break;
        }
        let now = line["drives"]["shards"].as_u64();
        if text && now.is_some() && now != left {
            print_line(&format!("  {} shards left there", now.unwrap_or(0)))?;
            left = now;
        }
        #[allow(
            clippy::disallowed_methods,
            reason = "a command waits for a node, without a world"
        )]
        std::thread::sleep(DRAIN_PAUSE);
    }
    let next = format!("node {node} may be removed: scaidrived remove {node}");
    done(at, &json!({ "node": node, "may_be_removed": true }), &next)
}

pub(crate) fn status(status: &Status) -> Result<(), Failure> {
    let answer = status.at.ask("GET", "/status", None)?;
    if status.at.json {
        return print_json(&answer);
    }
    crate::report::lines(&answer).iter().try_for_each(|line| print_line(line))
}
