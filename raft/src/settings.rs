//! What can be set about the agreement.

use std::error::Error;

use node_base::Duration;
use node_base::limits::MESSAGE_MAX;
use openraft::{Config, SnapshotPolicy};
use serde::{Deserialize, Serialize};

use crate::log::LogSettings;

/// Which engine holds the tables.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EngineKind {
    /// For data that must not be lost.
    #[default]
    Redb,
    /// To compare with: it loses acknowledged data with the power.
    Sled,
    /// Gone with the process. For tests.
    Memory,
}

/// The settings of one node's part in the agreement.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// How often a leader shows that it is there, in milliseconds; also how long one message of
    /// entries may take.
    pub heartbeat_ms: u64,
    /// A node that heard of no leader for between these, in milliseconds, asks to be elected. For
    /// the longer time after it heard of one it lets nobody else be elected; where a leader's
    /// process has ended, and its machine says so, the next one is elected right after that.
    pub election_min_ms: u64,
    pub election_max_ms: u64,
    /// How long a proposal or a read waits for a leader, and for its turn, in milliseconds.
    pub patience_ms: u64,
    /// How often the leader asks the other nodes how far they are, in milliseconds.
    pub probe_ms: u64,
    /// A node that is silent for this long is out, in milliseconds: what its drives hold is made
    /// again on others.
    pub out_after_ms: u64,
    /// The engine of the tables: `redb`; `sled` to compare with; `memory` for tests.
    pub engine: EngineKind,
    /// How much of the tables is kept in memory, in bytes.
    pub tables_cache_bytes: usize,
    /// How often the tables are made durable, in milliseconds. The log is durable at once; this
    /// bounds how much of it is applied again after a crash.
    pub durable_every_ms: u64,
    /// The size of one file of the log, in bytes.
    pub log_segment_bytes: u64,
    /// How much of the log is kept in memory, in bytes.
    pub log_cache_bytes: usize,
    /// The log is purged after this many entries.
    pub snapshot_entries: u64,
    /// Or when it has this many bytes.
    pub log_bytes_max: u64,
    /// How many entries stay after a purge, for nodes that are a little behind.
    pub kept_entries: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            heartbeat_ms: 200,
            election_min_ms: 400,
            election_max_ms: 600,
            patience_ms: 5_000,
            probe_ms: 1_000,
            out_after_ms: 10 * 60 * 1_000,
            engine: EngineKind::Redb,
            tables_cache_bytes: 64 << 20,
            durable_every_ms: 3_000,
            log_segment_bytes: 64 << 20,
            log_cache_bytes: 16 << 20,
            snapshot_entries: 20_000,
            log_bytes_max: 512 << 20,
            kept_entries: 5_000,
        }
    }
}

/// How long one piece of a snapshot may take.
const PIECE_LIMIT: Duration = Duration::from_secs(10);

impl Settings {
    pub(crate) fn patience(&self) -> Duration {
        Duration::from_millis(self.patience_ms)
    }

    pub(crate) fn log(&self) -> LogSettings {
        LogSettings { segment_bytes: self.log_segment_bytes, cache_bytes: self.log_cache_bytes }
    }

    pub(crate) fn openraft(&self) -> Result<Config, Box<dyn Error + Send + Sync>> {
        Config {
            cluster_name: "scaidrive".to_owned(),
            heartbeat_interval: self.heartbeat_ms,
            election_timeout_min: self.election_min_ms,
            election_timeout_max: self.election_max_ms,
            install_snapshot_timeout: PIECE_LIMIT.as_millis() as u64,
            max_payload_entries: 300,
            replication_lag_threshold: self.kept_entries,
            snapshot_policy: SnapshotPolicy::LogsSinceLast(self.snapshot_entries),
            snapshot_max_chunk_size: MESSAGE_MAX as u64,
            max_in_snapshot_log_to_keep: self.kept_entries,
            purge_batch_size: self.kept_entries.clamp(1, 256),
            ..Config::default()
        }
        .validate()
        .map_err(Into::into)
    }
}
