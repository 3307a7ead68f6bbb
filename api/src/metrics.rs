//! What is counted, for Prometheus.
//!
//! Names are those of the contract. Labels come from closed sets: a path is the route's pattern,
//! never what a client typed, so that nobody can fill the memory with series.

use std::fmt::Write;
use std::sync::atomic::AtomicU64;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{Method, StatusCode, header};
use node_base::Duration;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::state::ApiState;

mod standing;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: &'static str,
    path: String,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    method: &'static str,
    path: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TypeLabel {
    r#type: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DimensionLabel {
    dimension: &'static str,
}

/// Counts of one node since its start.
pub struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    durations: Family<RouteLabels, Histogram>,
    rate_limited: Family<DimensionLabel, Counter>,
    conflicts: Family<TypeLabel, Counter>,
    /// Changes handed out to followers.
    pub changes_fetched: Counter,
    /// WebSockets that are open.
    pub websockets: Gauge,
    /// Seconds by which the last change handed out was older than its asking.
    pub cursor_lag_seconds: Gauge<f64, AtomicU64>,
    /// Bytes of content that came in.
    pub uploaded_bytes: Counter,
    /// Bytes of content that went out.
    pub downloaded_bytes: Counter,
    /// Chunks that came and were here already.
    pub chunks_deduplicated: Counter,
}

/// From half a millisecond to half a minute.
fn durations() -> Histogram {
    Histogram::new([
        0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
    ])
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All at zero.
    pub fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::default(),
            requests: Family::default(),
            durations: Family::new_with_constructor(durations),
            rate_limited: Family::default(),
            conflicts: Family::default(),
            changes_fetched: Counter::default(),
            websockets: Gauge::default(),
            cursor_lag_seconds: Gauge::default(),
            uploaded_bytes: Counter::default(),
            downloaded_bytes: Counter::default(),
            chunks_deduplicated: Counter::default(),
        };
        metrics.register();
        metrics
    }

    /// The library adds `_total` to the names of counters.
    fn register(&mut self) {
        let to = self.registry.sub_registry_with_prefix("scaidrive");
        to.register("requests", "Requests answered", self.requests.clone());
        let help = "Time from a request's head to its answer's";
        to.register("request_duration_seconds", help, self.durations.clone());
        let help = "Requests refused for a rate limit";
        to.register("rate_limit_rejections", help, self.rate_limited.clone());
        let help = "Changes handed out to followers";
        to.register("sync_changes_fetched", help, self.changes_fetched.clone());
        to.register("sync_conflicts", "Conflicts raised", self.conflicts.clone());
        to.register("sync_websocket_connections", "Open WebSockets", self.websockets.clone());
        let help = "Age of the oldest change in the last answer to a follower";
        to.register("sync_cursor_lag_seconds", help, self.cursor_lag_seconds.clone());
        to.register("uploads_bytes", "Bytes of content that came in", self.uploaded_bytes.clone());
        let help = "Bytes of content that went out";
        to.register("downloads_bytes", help, self.downloaded_bytes.clone());
        let help = "Chunks that came and were here already";
        to.register("chunks_deduplicated", help, self.chunks_deduplicated.clone());
    }

    /// A request was answered.
    pub fn request(&self, method: &Method, path: &str, status: StatusCode, took: Duration) {
        let method = known(method);
        let path = path.to_owned();
        let route = RouteLabels { method, path: path.clone() };
        self.durations.get_or_create(&route).observe(took.as_secs_f64());
        let labels = RequestLabels { method, path, status: status.as_u16() };
        self.requests.get_or_create(&labels).inc();
    }

    /// A request was refused for a rate limit.
    pub fn rate_limited(&self, dimension: &'static str) {
        self.rate_limited.get_or_create(&DimensionLabel { dimension }).inc();
    }

    /// A conflict of this kind was raised.
    pub fn conflict(&self, kind: &'static str) {
        self.conflicts.get_or_create(&TypeLabel { r#type: kind }).inc();
    }

    fn text(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

/// Methods are a closed set as well.
fn known(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "OTHER",
    }
}

/// The metrics listener's only address: `GET /metrics`.
pub fn router(state: ApiState) -> Router {
    Router::new().route("/metrics", get(metrics)).with_state(state)
}

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

async fn metrics(State(state): State<ApiState>) -> Response {
    let nodes = standing::nodes(&state.ops).await;
    let wrong = state.ops.coding().await.map(|(_, wrong)| wrong);
    let committed = state.ops.raft.committed_entry().await;
    let counted = state.metrics.text().and_then(|mut text| {
        let end = text.trim_end().strip_suffix("# EOF").map_or(text.len(), str::len);
        text.truncate(end);
        cluster(&mut text, &state, committed)?;
        standing::write(&mut text, &state, nodes.ok())?;
        if let Ok(wrong) = wrong {
            gauge(&mut text, "chunks_to_recode", "Chunks to be coded anew, anywhere", wrong)?;
        }
        text.push_str("# EOF\n");
        Ok(text)
    });
    match counted {
        Ok(text) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "metrics cannot be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

fn gauge(text: &mut String, name: &str, help: &str, value: u64) -> std::fmt::Result {
    writeln!(text, "# HELP scaidrive_{name} {help}.")?;
    writeln!(text, "# TYPE scaidrive_{name} gauge")?;
    writeln!(text, "scaidrive_{name} {value}")
}

/// Connections and messages of others that this node would not have, by the reason.
fn refusals(text: &mut String, state: &ApiState) -> std::fmt::Result {
    let Some(credentials) = state.world.net().credentials() else { return Ok(()) };
    writeln!(text, "# HELP scaidrive_cluster_refused Other ends that nodes' port refused.")?;
    writeln!(text, "# TYPE scaidrive_cluster_refused counter")?;
    for (reason, count) in credentials.refusals() {
        writeln!(text, "scaidrive_cluster_refused_total{{reason=\"{reason}\"}} {count}")?;
    }
    Ok(())
}

/// What the node's parts say of themselves, asked at each reading.
fn cluster(text: &mut String, state: &ApiState, committed: Option<u64>) -> std::fmt::Result {
    let raft = state.ops.raft.status();
    gauge(text, "raft_term", "Term of the agreement", raft.term)?;
    gauge(text, "raft_is_leader", "Whether this node leads", u64::from(raft.leads))?;
    gauge(text, "raft_leader", "The node that leads; 0: none", raft.leader.map_or(0, |n| n.0))?;
    let committed = committed.unwrap_or(0);
    gauge(text, "raft_commit_index", "Last entry this node knows to be agreed on", committed)?;
    gauge(text, "raft_log_index", "Last entry of this node's log", raft.last_entry.unwrap_or(0))?;
    let applied = raft.applied_entry.unwrap_or(0);
    gauge(text, "raft_apply_index", "Last entry applied on this node", applied)?;
    gauge(text, "raft_log_bytes", "Size of the log on the drive", raft.log_bytes)?;
    refusals(text, state)?;
    let stats = state.ops.store.stats();
    let sum = |of: fn(&(u64, u64, u64, u64)) -> u64, all: &[(u64, u64, u64, u64)]| {
        all.iter().map(of).sum::<u64>()
    };
    let drives: Vec<(u64, u64, u64, u64)> = stats
        .drives
        .iter()
        .map(|d| (d.shards, d.live_bytes, d.pack_bytes, d.rotten_shards))
        .collect();
    writeln!(text, "# HELP scaidrive_storage_bytes Bytes on this node's drives.")?;
    writeln!(text, "# TYPE scaidrive_storage_bytes gauge")?;
    writeln!(text, "scaidrive_storage_bytes{{type=\"live\"}} {}", sum(|d| d.1, &drives))?;
    writeln!(text, "scaidrive_storage_bytes{{type=\"packs\"}} {}", sum(|d| d.2, &drives))?;
    let space = |of: fn(Option<u64>, Option<u64>) -> Option<u64>| {
        stats.drives.iter().filter_map(|d| of(d.total_bytes, d.free_bytes)).sum::<u64>()
    };
    writeln!(text, "scaidrive_storage_bytes{{type=\"total\"}} {}", space(|total, _| total))?;
    writeln!(text, "scaidrive_storage_bytes{{type=\"free\"}} {}", space(|_, free| free))?;
    gauge(text, "shards", "Shards on this node's drives", sum(|d| d.0, &drives))?;
    gauge(text, "shards_rotten", "Shards found unreadable, not mended", sum(|d| d.3, &drives))?;
    gauge(text, "shards_mended", "Shards written anew since the start", stats.mended_shards)?;
    gauge(text, "chunks_lost", "Chunks found without enough shards", stats.lost_chunks)?;
    gauge(text, "chunks_recoded", "Chunks coded anew since the start", stats.recoded_chunks)?;
    gauge(text, "compacted_bytes", "Bytes given back by compaction", stats.compacted_bytes)?;
    let scrubbed = stats.drives.iter().map(|drive| drive.scrubbed_bytes).sum();
    gauge(text, "scrubbed_bytes", "Of the scrub cycle under way", scrubbed)
}
