//! Care: what the store does by itself so that chunks stay whole and drives do not fill with
//! garbage. Scrub reads every byte in time, survey counts shards without reading them, compaction
//! gives garbage back.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use chunkstore_core::decide::{SCRUB_PERIOD, scrub_due};
use chunkstore_core::shard::ChunkKey;
use node_base::{DriveId, Duration, Timestamp};
use node_world::{Instant, OpenMode};

use super::list::last_of;
use super::mend::Mended;
use super::read::read_checked;
use super::{Inner, Store, held, stats};
use crate::drive::identity::replace;
use crate::drive::index::Print;
use crate::drive::{Drive, Held, ReadError};

/// Shards looked at in one go.
const PAGE: usize = 256;
/// No single call reads more than this share of a drive, so that a scrub that was held up catches
/// up over many calls.
const SCRUB_STEPS_MIN: u64 = 5_000;
const SCRUB_STEP: u64 = 256 << 20;
/// Packs compacted in one go.
const COMPACTIONS: usize = 16;

/// How far the scrub of a drive is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Progress {
    after: Option<Print>,
    pub(crate) done_bytes: u64,
    pub(crate) cycles: u64,
    /// Since this cycle began, up to `seen`.
    elapsed: Duration,
    seen: Instant,
}

/// What care has found and done.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CareReport {
    pub read_bytes: u64,
    /// Chunks that got shards written anew or brought home.
    pub mended_chunks: u64,
    /// Chunks without enough sound shards on this node.
    pub lost_chunks: u64,
    pub compacted_packs: u64,
}

impl CareReport {
    fn add(&mut self, mended: Option<Mended>) {
        match mended {
            Some(Mended::Written(_)) => self.mended_chunks += 1,
            Some(Mended::Lost) => self.lost_chunks += 1,
            Some(Mended::Sound) | None => {}
        }
    }
}

impl Store {
    /// Cares for the store until the node ends: run it as a task.
    pub async fn care(&self) {
        loop {
            self.0.world.sleep(self.0.settings.care_interval).await;
            self.compact().await;
            self.scrub_due().await;
            if self.0.survey_wanted.swap(false, Ordering::Relaxed) {
                self.survey().await;
            }
        }
    }

    /// Gives back what garbage takes, as far as that is worth it.
    pub async fn compact(&self) -> CareReport {
        let mut report = CareReport::default();
        for drive in &self.0.drives {
            for _ in 0..COMPACTIONS {
                match drive.compact_one().await {
                    Ok(Some(done)) => {
                        report.compacted_packs += done.packs;
                        stats::add(&self.0.counts.compacted_bytes, done.freed_bytes);
                    }
                    Ok(None) => break,
                    Err(error) => {
                        tracing::warn!(drive = %drive.id, %error, "a pack was not compacted");
                        break;
                    }
                }
            }
        }
        report
    }

    /// Reads as many bytes as are due by now, so that every byte is read in time, and mends what
    /// it comes upon.
    pub async fn scrub_due(&self) -> CareReport {
        let mut report = CareReport::default();
        for drive in &self.0.drives {
            let total = drive.with_index(crate::drive::index::Index::live_bytes);
            let progress = self.0.pass(drive.id);
            let due = scrub_due(total, progress.done_bytes, progress.elapsed);
            let most = due.min(SCRUB_STEP.max(total / SCRUB_STEPS_MIN));
            self.0.scrub(drive, most, &mut report).await;
        }
        report
    }

    /// Reads every byte now, due or not.
    pub async fn scrub_all(&self) -> CareReport {
        let mut report = CareReport::default();
        for drive in &self.0.drives {
            let cycle = self.0.pass(drive.id).cycles;
            while self.0.progress(drive.id).cycles == cycle {
                self.0.scrub(drive, u64::MAX, &mut report).await;
            }
        }
        report
    }

    /// Counts the shards of every chunk, mends chunks that lack some and brings those astray home.
    pub async fn survey(&self) -> CareReport {
        let mut report = CareReport::default();
        if self.0.drives.len() < 2 {
            // With one drive there is nothing to mend from and nowhere to go.
            return report;
        }
        for drive in &self.0.drives {
            let mut after = None;
            loop {
                let page = drive.page(after, PAGE);
                let Some(last) = last_of(&page) else { break };
                after = Some(last);
                self.0.look(drive, page, false, &mut report).await;
            }
        }
        report
    }
}

impl Inner {
    /// Scrubs up to `bytes` from where the last call ended; at the drive's end a new cycle begins.
    async fn scrub(self: &Arc<Self>, drive: &Arc<Drive>, bytes: u64, report: &mut CareReport) {
        let mut left = bytes;
        while left > 0 {
            let after = self.progress(drive.id).after;
            let mut page = drive.page(after, PAGE);
            page.sort_by_key(|held| held.print);
            let mut sum = 0;
            // At least one, so that a step smaller than a shard gets on.
            page.retain(|held| {
                let wanted = sum < left;
                sum += held.slot.record_len();
                wanted
            });
            let Some(last) = last_of(&page) else {
                self.end_cycle(drive).await;
                return;
            };
            let read = page.iter().map(|held| held.slot.record_len()).sum::<u64>();
            page.sort_by_key(|held| (held.slot.pack, held.slot.at()));
            self.look(drive, page, true, report).await;
            left = left.saturating_sub(read);
            report.read_bytes += read;
            self.with_progress(drive.id, |progress| {
                progress.after = Some(last);
                progress.done_bytes += read;
            });
        }
        if bytes > 0 {
            self.save_progress(drive).await;
        }
    }

    /// Looks at shards, with all their bytes where it is to be `deep`, and mends what is amiss.
    async fn look(
        self: &Arc<Self>,
        drive: &Arc<Drive>,
        page: Vec<Held>,
        deep: bool,
        report: &mut CareReport,
    ) {
        let (inner, on) = (Arc::clone(self), Arc::clone(drive));
        let amiss = self.world.blocking(move || inner.find_amiss(&on, &page, deep)).await;
        for key in amiss {
            report.add(self.mend_and_tell(key).await);
        }
    }

    fn find_amiss(&self, drive: &Drive, page: &[Held], deep: bool) -> Vec<ChunkKey> {
        let mut amiss = Vec::new();
        for held in page {
            let header = match drive.read(held.print, |_| None) {
                Ok(header) => header,
                Err(ReadError::Rotten) => {
                    // Whose it is can be told only by its siblings: they find it missing.
                    drive.mark_rotten(held.print, held.slot);
                    continue;
                }
                Err(ReadError::Io(error)) => {
                    tracing::warn!(drive = %drive.id, %error, "a shard could not be read");
                    continue;
                }
            };
            if drive.is_trashed(held.print) {
                continue;
            }
            let is_sound = !deep || self.is_sound(drive, held);
            if !is_sound || self.is_amiss(&header.key, header.shape) {
                amiss.push(header.key);
            }
        }
        amiss.sort_unstable();
        amiss.dedup();
        amiss
    }

    fn is_sound(&self, drive: &Drive, held: &Held) -> bool {
        match read_checked(drive, held) {
            Ok(_) => true,
            Err(ReadError::Rotten) => false,
            // A sector may fail once; twice, and the shard is written elsewhere.
            Err(ReadError::Io(_)) => {
                let again = read_checked(drive, held).is_ok();
                if !again {
                    drive.mark_rotten(held.print, held.slot);
                }
                again
            }
        }
    }

    async fn end_cycle(self: &Arc<Self>, drive: &Arc<Drive>) {
        self.with_progress(drive.id, |progress| {
            *progress = Progress {
                cycles: progress.cycles + 1,
                seen: progress.seen,
                ..Progress::default()
            };
        });
        self.save_progress(drive).await;
    }

    pub(super) fn progress(&self, drive: DriveId) -> Progress {
        held(&self.care).get(&drive).copied().unwrap_or_default()
    }

    fn with_progress(&self, drive: DriveId, change: impl FnOnce(&mut Progress)) {
        change(held(&self.care).entry(drive).or_default());
    }

    /// Counts the time that has passed to the cycle.
    fn pass(&self, drive: DriveId) -> Progress {
        let now = self.world.now();
        self.with_progress(drive, |progress| {
            progress.elapsed = progress.elapsed.saturating_add(now.since(progress.seen));
            progress.seen = now;
        });
        self.progress(drive)
    }

    /// Takes up the scrubs where the last incarnation left them.
    pub(super) fn load_progress(&self) {
        for drive in &self.drives {
            let found = self.read_progress(drive);
            if let Err(error) = &found {
                tracing::info!(drive = %drive.id, %error, "the scrub begins anew");
            }
            let progress = Progress { seen: self.world.now(), ..found.unwrap_or_default() };
            held(&self.care).insert(drive.id, progress);
        }
    }

    /// The file `scrub`, of 48 bytes, little-endian: 16 behind which shard it goes on (all ones
    /// before the first), 8 bytes done, 8 cycles, 8 milliseconds since the cycle began, 8 wall time
    /// of writing.
    fn read_progress(&self, drive: &Drive) -> io::Result<Progress> {
        let path = drive.folder.join("scrub");
        let file = match self.world.disk().open(&path, OpenMode::Read) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Progress::default()),
            file => file?,
        };
        let mut bytes = [0; 48];
        file.read_at(&mut bytes, 0)?;
        let number = |at: usize| {
            let mut number = [0; 8];
            number.copy_from_slice(&bytes[at..at + 8]);
            u64::from_le_bytes(number)
        };
        let after = u128::from(number(8)) << 64 | u128::from(number(0));
        let written = Timestamp::from_millis(number(40).cast_signed());
        // While the node was down time went on; clocks that jump cannot add more than a period.
        let down = self.world.wall().since(written).min(SCRUB_PERIOD);
        Ok(Progress {
            after: (after != u128::MAX).then_some(Print(after)),
            done_bytes: number(16),
            cycles: number(24),
            elapsed: Duration::from_millis(number(32)).saturating_add(down),
            seen: Instant::default(),
        })
    }

    async fn save_progress(self: &Arc<Self>, drive: &Arc<Drive>) {
        let (inner, on) = (Arc::clone(self), Arc::clone(drive));
        self.world.blocking(move || inner.write_progress(&on)).await;
    }

    fn write_progress(&self, drive: &Drive) {
        let progress = self.progress(drive.id);
        let elapsed_ms = u64::try_from(progress.elapsed.as_millis()).unwrap_or(u64::MAX);
        let mut bytes = Vec::with_capacity(48);
        bytes.extend_from_slice(&progress.after.map_or(u128::MAX, |after| after.0).to_le_bytes());
        bytes.extend_from_slice(&progress.done_bytes.to_le_bytes());
        bytes.extend_from_slice(&progress.cycles.to_le_bytes());
        bytes.extend_from_slice(&elapsed_ms.to_le_bytes());
        bytes.extend_from_slice(&self.world.wall().millis().to_le_bytes());
        if let Err(error) = replace(&self.world, &drive.folder, "scrub", &bytes) {
            tracing::debug!(drive = %drive.id, %error, "the scrub's progress is not kept");
        }
    }
}
