//! What the store is made of and has done, in numbers.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use node_base::{DriveId, Epoch};

use super::Store;

/// A drive, in numbers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DriveStats {
    pub id: DriveId,
    pub folder: PathBuf,
    /// Of the file system it is on; nothing while that does not answer.
    pub total_bytes: Option<u64>,
    pub free_bytes: Option<u64>,
    pub shards: u64,
    /// Of live shards with their heads.
    pub live_bytes: u64,
    /// Of the packs; what is not live is garbage.
    pub pack_bytes: u64,
    pub trashed_shards: u64,
    /// Found unreadable and not mended yet.
    pub rotten_shards: u64,
    pub is_suspect: bool,
    /// Of the scrub cycle under way.
    pub scrubbed_bytes: u64,
    pub scrub_cycles: u64,
    /// Since that cycle began, while a node had the drive.
    pub scrub_seconds: u64,
}

/// The store, in numbers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stats {
    pub drives: Vec<DriveStats>,
    /// Since the start: shards written anew because they were missing, rotten or astray.
    pub mended_shards: u64,
    /// Since the start: chunks found without enough sound shards.
    pub lost_chunks: u64,
    /// Since the start: chunks written again with another profile.
    pub recoded_chunks: u64,
    /// Since the start: bytes that compaction gave back.
    pub compacted_bytes: u64,
    /// By the last survey: shards that this node has to make anew, and those of its own that lie
    /// elsewhere than they belong.
    pub shards_to_repair: u64,
    pub misplaced_shards: u64,
    /// The newest map by which a survey of this node found every chunk whole and at home. What all
    /// nodes have settled by, those before it are not needed for any more.
    pub settled: Option<Epoch>,
    /// Since the start: calls of other nodes that had no answer.
    pub failed_calls: u64,
    /// Since the start: messages of others that are not of this cluster, or not to be read.
    pub refused_messages: u64,
}

#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) mended_shards: AtomicU64,
    pub(crate) lost_chunks: AtomicU64,
    pub(crate) recoded_chunks: AtomicU64,
    pub(crate) compacted_bytes: AtomicU64,
    pub(crate) shards_to_repair: AtomicU64,
    pub(crate) misplaced_shards: AtomicU64,
    /// One more than the epoch; zero before any.
    pub(crate) settled: AtomicU64,
    pub(crate) failed_calls: AtomicU64,
    pub(crate) refused_messages: AtomicU64,
}

pub(crate) fn add(count: &AtomicU64, more: u64) {
    count.fetch_add(more, Ordering::Relaxed);
}

impl Store {
    /// The numbers of now.
    pub fn stats(&self) -> Stats {
        let counts = &self.0.counts;
        let drives = self.0.drives.iter().map(|drive| {
            let space = drive.space().ok();
            let progress = self.0.progress(drive.id);
            drive.with_index(|index| DriveStats {
                id: drive.id,
                folder: drive.folder.clone(),
                total_bytes: space.map(|space| space.total),
                free_bytes: space.map(|space| space.free),
                shards: index.shard_count(),
                live_bytes: index.live_bytes(),
                pack_bytes: index.pack_bytes(),
                trashed_shards: index.trashed_count(),
                rotten_shards: index.rotten_count(),
                is_suspect: drive.is_suspect(),
                scrubbed_bytes: progress.done_bytes,
                scrub_cycles: progress.cycles,
                scrub_seconds: progress.elapsed.as_secs(),
            })
        });
        Stats {
            drives: drives.collect(),
            mended_shards: counts.mended_shards.load(Ordering::Relaxed),
            lost_chunks: counts.lost_chunks.load(Ordering::Relaxed),
            recoded_chunks: counts.recoded_chunks.load(Ordering::Relaxed),
            compacted_bytes: counts.compacted_bytes.load(Ordering::Relaxed),
            shards_to_repair: counts.shards_to_repair.load(Ordering::Relaxed),
            misplaced_shards: counts.misplaced_shards.load(Ordering::Relaxed),
            settled: counts.settled.load(Ordering::Relaxed).checked_sub(1).map(Epoch),
            failed_calls: counts.failed_calls.load(Ordering::Relaxed),
            refused_messages: counts.refused_messages.load(Ordering::Relaxed),
        }
    }
}
