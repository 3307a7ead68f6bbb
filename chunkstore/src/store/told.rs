//! What each node says of its drives, for whoever looks after the cluster.

use node_base::{Duration, NodeId};
use node_world::Class;
use serde::{Deserialize, Serialize};

use super::Store;
use super::stats::Stats;
use crate::peer::{Reply, Request};

/// How long somebody who asks how things stand waits for a node that may be gone.
const PATIENCE: Duration = Duration::from_millis(1_500);

/// A node's drives in sum, as the node says it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Told {
    pub drives: u64,
    /// Drives that failed lately.
    pub suspect_drives: u64,
    pub total_bytes: u64,
    pub free_bytes: u64,
    pub shards: u64,
    pub live_bytes: u64,
    pub pack_bytes: u64,
    pub rotten_shards: u64,
    /// By the last survey: to be made anew by this node, and lying elsewhere than they belong.
    pub shards_to_repair: u64,
    pub misplaced_shards: u64,
    /// Since the node's start.
    pub mended_shards: u64,
    pub lost_chunks: u64,
    /// Of the scrub cycle under way, and cycles that all drives have been through.
    pub scrubbed_bytes: u64,
    pub scrub_cycles: u64,
    /// Of the drive whose cycle began longest ago.
    pub scrub_seconds: u64,
    /// The newest map by which all was whole and at home; none before the first survey.
    pub settled_epoch: Option<u64>,
    /// Shards that wait in the trash.
    pub trashed_shards: u64,
    /// Since the node's start.
    pub recoded_chunks: u64,
    pub compacted_bytes: u64,
}

impl From<Stats> for Told {
    fn from(stats: Stats) -> Self {
        let drives = &stats.drives;
        let sum = |of: fn(&super::stats::DriveStats) -> u64| drives.iter().map(of).sum();
        Self {
            drives: drives.len() as u64,
            suspect_drives: sum(|drive| u64::from(drive.is_suspect)),
            total_bytes: sum(|drive| drive.total_bytes.unwrap_or(0)),
            free_bytes: sum(|drive| drive.free_bytes.unwrap_or(0)),
            shards: sum(|drive| drive.shards),
            live_bytes: sum(|drive| drive.live_bytes),
            pack_bytes: sum(|drive| drive.pack_bytes),
            rotten_shards: sum(|drive| drive.rotten_shards),
            shards_to_repair: stats.shards_to_repair,
            misplaced_shards: stats.misplaced_shards,
            mended_shards: stats.mended_shards,
            lost_chunks: stats.lost_chunks,
            scrubbed_bytes: sum(|drive| drive.scrubbed_bytes),
            scrub_cycles: drives.iter().map(|drive| drive.scrub_cycles).min().unwrap_or(0),
            scrub_seconds: drives.iter().map(|drive| drive.scrub_seconds).max().unwrap_or(0),
            settled_epoch: stats.settled.map(|epoch| epoch.0),
            trashed_shards: sum(|drive| drive.trashed_shards),
            recoded_chunks: stats.recoded_chunks,
            compacted_bytes: stats.compacted_bytes,
        }
    }
}

impl Store {
    /// What every node says of its drives; nothing of those that do not answer.
    pub async fn told(&self) -> Vec<(NodeId, Option<Told>)> {
        let inner = &self.0;
        let asked = inner.others().into_iter().map(|node| async move {
            let ask = inner.ask(node, Class::ShardForeground, &Request::Tell, &[]);
            match inner.world.within(PATIENCE, ask).await {
                Ok(Ok((Reply::Told(told), _))) => (node, Some(told)),
                _ => (node, None),
            }
        });
        let mut told = futures_util::future::join_all(asked).await;
        told.push((self.0.settings.node, Some(self.stats().into())));
        told.sort_by_key(|(node, _)| *node);
        told
    }
}
