//! The command line of `scaidrived`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use toml::Value;

use crate::backup;
use crate::check;
use crate::cluster;
use crate::example;
use crate::layers::{Layers, Source};
use crate::outcome::Failure;
use crate::serve;
use crate::socket;

/// A ScaiDrive node: files in sync and shared, on a cluster of equal nodes.
#[derive(Debug, Parser)]
#[command(
    name = "scaidrived",
    version,
    args_conflicts_with_subcommands = true,
    after_help = "With nothing else it runs one node: data in ./scaidrive-data, HTTP on \
                  127.0.0.1:8000.\n\nExample:\n  scaidrived --data-dir /srv/scaidrive --listen \
                  127.0.0.1:8080"
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: Serve,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the node (what happens without a command, too)
    Serve(Serve),
    /// Print every setting with its value, default and source
    #[command(after_help = "Example:\n  scaidrived settings --config /etc/scaidrive.toml\n  \
                            scaidrived settings --example > scaidrive.toml")]
    Settings(Show),
    /// Print an access token from the built-in issuer, for scripts and first steps
    Token(socket::Token),
    /// People of the built-in issuer
    #[command(subcommand)]
    User(socket::User),
    /// Tenants
    #[command(subcommand)]
    Tenant(socket::Tenant),
    /// Partners
    #[command(subcommand)]
    Partner(socket::Partner),
    /// Start a new cluster here without serving yet; prints the token to join it with
    #[command(after_help = "Example:\n  scaidrived init --data-dir /srv/a --cluster-listen \
                            10.0.0.1:8001\n  scaidrived serve --data-dir /srv/a --cluster-listen \
                            10.0.0.1:8001")]
    Init(Serve),
    /// Make this data directory a node of a cluster; then `serve` runs it
    #[command(after_help = "Example:\n  scaidrived join --data-dir /srv/b --cluster-listen \
                            10.0.0.2:8001 --via 10.0.0.1:8001 \\\n    --token \
                            \"$(ssh a scaidrived join-token --data-dir /srv/a)\"\n  \
                            scaidrived serve --data-dir /srv/b --cluster-listen 10.0.0.2:8001")]
    Join(Join),
    /// Print a token with which a node can join the running node's cluster
    JoinToken(cluster::JoinToken),
    /// Let a node vote, and count on its drives (what a new node may from the start)
    Promote(cluster::Which),
    /// Have a node follow and serve without a vote
    Demote(cluster::Which),
    /// Move what a node holds to the others, and say when it may be removed
    Drain(cluster::Drain),
    /// Remove a node from the cluster, for good
    Remove(cluster::Remove),
    /// How the cluster stands: nodes, drives, redundancy, repair, scrub
    Status(cluster::Status),
    /// Look through the data directories of a node that does not run
    #[command(
        after_help = "Example:\n  scaidrived check --deep --data-dir /srv/a\n\nExit codes: 0 \
                            all is sound; 1 something is not; 4 there is no node's data; 6 a node \
                            runs on it."
    )]
    Check(Check),
    /// Copy the cluster into a folder of backups, through the running node; only what is new there
    Backup(backup::Backup),
    /// Fill an empty data directory from a backup: the first node of a new cluster
    #[command(after_help = "Example:\n  scaidrived restore --from /mnt/backup --data-dir /srv/a \
                            --cluster-listen 10.0.0.1:8001\n  scaidrived serve --data-dir /srv/a \
                            --cluster-listen 10.0.0.1:8001")]
    Restore(Restore),
}

/// `scaidrived check`: how, and what `serve` takes.
#[derive(Debug, Args)]
struct Check {
    #[command(flatten)]
    how: check::How,
    #[command(flatten)]
    serve: Serve,
}

/// `scaidrived restore`: from what, and what `serve` takes.
#[derive(Debug, Args)]
struct Restore {
    #[command(flatten)]
    from: backup::From,
    #[command(flatten)]
    serve: Serve,
}

/// `scaidrived join`: what joining needs, and what `serve` takes.
#[derive(Debug, Args)]
struct Join {
    #[command(flatten)]
    via: cluster::Via,
    #[command(flatten)]
    serve: Serve,
}

/// `scaidrived settings`: what `serve` takes, to see what comes of it.
#[derive(Debug, Args)]
struct Show {
    /// Print a settings file instead that has every setting with its default, as a comment
    #[arg(long)]
    example: bool,
    #[command(flatten)]
    serve: Serve,
}

/// Flags that set what the settings file and the environment set as well.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Serve {
    /// A data directory; several are several drives, the first also holds the tables and the log
    #[arg(long = "data-dir", value_name = "DIR")]
    data_dirs: Vec<PathBuf>,
    /// Where people and programs connect; port 0 picks a free one
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// The certificate chain for HTTPS, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The private key for HTTPS, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Where other nodes connect
    #[arg(long, value_name = "ADDRESS")]
    cluster_listen: Option<SocketAddr>,
    /// Where metrics are read
    #[arg(long, value_name = "ADDRESS")]
    metrics_listen: Option<SocketAddr>,
    /// How other nodes reach this one
    #[arg(long, value_name = "HOST:PORT")]
    advertise: Option<String>,
    /// How people reach this node, such as https://files.example.com
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
    /// The failure domain this node is in
    #[arg(long, value_name = "NAME")]
    zone: Option<String>,
    /// A settings file, in TOML
    #[arg(long, value_name = "FILE", env = "SCAIDRIVE_CONFIG")]
    config: Option<PathBuf>,
    /// Print one JSON document instead of text
    #[arg(long)]
    json: bool,
}

impl Serve {
    fn layers(&self) -> Result<Layers, Failure> {
        let mut layers = Layers::new();
        if let Some(file) = &self.config {
            layers.file(file)?;
        }
        layers.environment()?;
        let text = |path: &PathBuf| path.to_string_lossy().into_owned();
        if !self.data_dirs.is_empty() {
            let folders = self.data_dirs.iter().map(|folder| Value::String(text(folder)));
            layers.flag("data_dirs", folders.collect::<Vec<_>>());
        }
        let flags = [
            ("listen", self.listen.map(|address| address.to_string())),
            ("cluster_listen", self.cluster_listen.map(|address| address.to_string())),
            ("metrics_listen", self.metrics_listen.map(|address| address.to_string())),
            ("tls_cert", self.tls_cert.as_ref().map(text)),
            ("tls_key", self.tls_key.as_ref().map(text)),
            ("advertise", self.advertise.clone()),
            ("public_url", self.public_url.clone()),
            ("zone", self.zone.clone()),
        ];
        for (key, value) in flags {
            if let Some(value) = value {
                layers.flag(key, value);
            }
        }
        Ok(layers)
    }
}

/// Does what the command line asks.
pub(crate) fn run(cli: Cli) -> Result<(), Failure> {
    match cli.command.unwrap_or(Command::Serve(cli.serve)) {
        Command::Serve(flags) => serve::run(&flags.layers()?.settings()?, flags.json),
        Command::Settings(show) if show.example => show_example(),
        Command::Settings(show) => show_settings(&show.serve),
        Command::Token(token) => socket::token(&token),
        Command::User(user) => socket::user(&user),
        Command::Tenant(tenant) => socket::tenant(&tenant),
        Command::Partner(partner) => socket::partner(&partner),
        Command::Init(flags) => cluster::init(&flags.layers()?.settings()?, flags.json),
        Command::Join(join) => {
            cluster::join(&join.serve.layers()?.settings()?, &join.via, join.serve.json)
        }
        Command::JoinToken(token) => cluster::join_token(&token),
        Command::Promote(which) => cluster::promote(&which),
        Command::Demote(which) => cluster::demote(&which),
        Command::Drain(drain) => cluster::drain(&drain),
        Command::Remove(remove) => cluster::remove(&remove),
        Command::Status(status) => cluster::status(&status),
        Command::Check(order) => {
            check::run(&order.serve.layers()?.settings()?, &order.how, order.serve.json)
        }
        Command::Backup(order) => backup::make(&order),
        Command::Restore(restore) => {
            let settings = restore.serve.layers()?.settings()?;
            backup::restore(&settings, &restore.from, restore.serve.json)
        }
    }
}

fn show_example() -> Result<(), Failure> {
    let layers = Layers::new();
    let text = example::text(|key| layers.default_of(key));
    text.lines().try_for_each(socket::print_line)
}

#[allow(clippy::print_stdout, reason = "printing settings is what this command does")]
fn show_settings(flags: &Serve) -> Result<(), Failure> {
    let layers = flags.layers()?;
    layers.settings()?;
    let shown = layers.shown();
    if flags.json {
        let all = shown.iter().map(|setting| {
            serde_json::json!({
                "key": setting.key,
                "value": setting.value,
                "default": setting.default,
                "unit": unit(&setting.key),
                "source": source(&setting.source),
            })
        });
        println!("{}", serde_json::Value::Array(all.collect()));
        return Ok(());
    }
    let width = shown.iter().map(|setting| setting.key.len()).max().unwrap_or(0);
    for setting in &shown {
        let unit = unit(&setting.key);
        let unit = if unit.is_empty() { String::new() } else { format!(" {unit}") };
        println!(
            "{:width$} = {}{unit}  ({}, default {})",
            setting.key,
            setting.value,
            source(&setting.source),
            setting.default,
        );
    }
    Ok(())
}

fn source(source: &Source) -> String {
    match source {
        Source::Default => "default".to_owned(),
        Source::File => "file".to_owned(),
        Source::Environment(name) => format!("environment {name}"),
        Source::Flag => "flag".to_owned(),
    }
}

/// Units stand last in a setting's name.
fn unit(key: &str) -> &'static str {
    let name = key.rsplit('.').next().unwrap_or(key);
    if name.ends_with("_ms") {
        "ms"
    } else if name.ends_with("_seconds") {
        "s"
    } else if name.contains("bytes") {
        "bytes"
    } else if name.ends_with("_entries") {
        "entries"
    } else {
        ""
    }
}
