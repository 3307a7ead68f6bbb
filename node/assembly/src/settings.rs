//! What can be set about a node: the parts' own settings, put together.

use std::net::SocketAddr;
use std::path::PathBuf;

use api::auth::IdentitySettings;
use api::serve::ServeSettings;
use api_ops::BackgroundSettings;
use serde::{Deserialize, Serialize};

/// Everything that can be set about a node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Where the node keeps its data. Each is a drive; the first also holds the tables and the log.
    pub data_dirs: Vec<PathBuf>,
    /// Where people and programs connect. Port 0 picks a free one.
    pub listen: SocketAddr,
    /// Where other nodes connect.
    pub cluster_listen: SocketAddr,
    /// Where metrics are read.
    pub metrics_listen: SocketAddr,
    /// How other nodes reach this one; `cluster_listen` when it is not set.
    pub advertise: Option<String>,
    /// How people reach this node, such as `https://files.example.com`; made of `listen` when it is
    /// not set. The built-in issuer is named by it.
    pub public_url: Option<String>,
    /// The certificate chain and key for HTTPS, in PEM files.
    pub tls_cert: Option<PathBuf>,
    pub tls_key: Option<PathBuf>,
    /// The failure domain this node is in.
    pub zone: String,
    /// How a node without data enters a cluster: it joins one, where this is set, and founds one
    /// where it is not. A node with data is what its data says.
    pub join: Option<JoinSettings>,
    /// What the log shows, as `level` or `target=level,…`.
    pub log: String,
    /// Connections and requests.
    pub http: ServeSettings,
    /// Who may sign people in.
    pub identity: IdentitySettings,
    /// The agreement: its log and tables.
    pub raft: raft::Settings,
    /// Packs of chunks on the drives.
    pub chunks: ChunkSettings,
    /// What the node does by itself.
    pub upkeep: BackgroundSettings,
}

impl Default for Settings {
    fn default() -> Self {
        let loopback = |port| SocketAddr::from(([127, 0, 0, 1], port));
        Self {
            data_dirs: vec![PathBuf::from("scaidrive-data")],
            listen: loopback(8000),
            cluster_listen: loopback(8001),
            metrics_listen: loopback(8002),
            advertise: None,
            public_url: None,
            tls_cert: None,
            tls_key: None,
            zone: "default".to_owned(),
            join: None,
            log: "info,openraft=off".to_owned(),
            http: ServeSettings::default(),
            identity: IdentitySettings::default(),
            raft: raft::Settings::default(),
            chunks: ChunkSettings::default(),
            upkeep: BackgroundSettings::default(),
        }
    }
}

impl Settings {
    /// Whether the built-in issuer is on.
    pub fn built_in_issuer(&self) -> bool {
        let default = self.identity.issuers.is_empty() && self.listen.ip().is_loopback();
        self.identity.built_in.unwrap_or(default)
    }
}

/// The cluster that a node without data joins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JoinSettings {
    /// Addresses at which nodes of the cluster listen for other nodes.
    pub via: Vec<String>,
    /// A token made by the cluster.
    pub token: String,
}

/// Packs of chunks on the drives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ChunkSettings {
    /// Bytes at which a pack file is closed.
    pub pack_bytes: u64,
    /// Bytes kept free on each drive, so that deleting goes on when it is full.
    pub reserve_bytes: u64,
    /// Bytes of chunks being written, and being read, at any time.
    pub in_flight_bytes: u32,
    /// Seconds between two looks of scrub and compaction for something to do.
    pub care_seconds: u64,
}

impl Default for ChunkSettings {
    fn default() -> Self {
        let defaults = chunkstore::Settings::default();
        Self {
            pack_bytes: defaults.pack_bytes,
            reserve_bytes: defaults.reserve_bytes,
            in_flight_bytes: defaults.in_flight_bytes,
            care_seconds: defaults.care_interval.as_secs(),
        }
    }
}
