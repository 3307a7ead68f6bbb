//! Care: what the store does by itself so that chunks stay whole and drives do not fill with
//! garbage. Scrub reads every byte in time, survey asks where shards are without reading them,
//! compaction gives garbage back.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use chunkstore_core::decide::{SCRUB_PERIOD, scrub_due};
use chunkstore_core::shard::ChunkKey;
use chunkstore_core::stripe::Shape;
use futures_util::StreamExt;
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
/// Chunks that a survey keeps in mind before it mends them, and how many it mends at a time.
const AMISS_MAX: usize = 100_000;
const MENDED_TOGETHER: usize = 4;
/// At least so often all shards are counted.
const SURVEY_EVERY: Duration = Duration::from_secs(24 * 3600);
/// A survey that could not do all is repeated, ever less often, until so much of the time goes into
/// it; but no less often than the first of these wants, and no more often than the second.
const SURVEY_SHARE: u32 = 10;
const SURVEY_WAIT_MAX: Duration = Duration::from_secs(600);
const SURVEY_WAIT_MIN: Duration = Duration::from_secs(60);

/// How far the scrub of a drive is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Progress {
    after: Option<Print>,
    pub(crate) done_bytes: u64,
    pub(crate) cycles: u64,
    /// Since this cycle began, up to `seen`.
    pub(crate) elapsed: Duration,
    seen: Instant,
}

/// What care has found and done.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CareReport {
    pub read_bytes: u64,
    /// Chunks that got shards written anew or brought home.
    pub mended_chunks: u64,
    /// Chunks without enough sound shards anywhere: lost, unless they were never acknowledged.
    pub lost_chunks: u64,
    pub compacted_packs: u64,
    /// Chunks that could not be mended or judged yet, since a drive or node did not answer.
    pub postponed_chunks: u64,
}

impl CareReport {
    fn add(&mut self, mended: Option<Mended>) {
        match mended {
            Some(Mended::Written(_)) => self.mended_chunks += 1,
            Some(Mended::Lost) => self.lost_chunks += 1,
            Some(Mended::Sound) => {}
            None => self.postponed_chunks += 1,
        }
    }
}

impl Store {
    /// Cares for the store until the node ends: run it as a task.
    pub async fn care(&self) {
        tokio::join!(self.tend(), self.survey_when_due());
    }

    async fn tend(&self) {
        loop {
            self.0.world.sleep(self.0.settings.care_interval).await;
            self.compact().await;
            self.scrub_due().await;
        }
    }

    async fn survey_when_due(&self) {
        let every = self.0.settings.care_interval;
        let (mut surveyed, mut wait) = (self.0.world.now(), every);
        let mut told = BTreeMap::new();
        loop {
            self.0.world.sleep(every).await;
            self.0.tell_losses(&mut told).await;
            self.look_after_fresh().await;
            let passed = self.0.world.now().since(surveyed);
            if self.0.survey_urgent.swap(false, Ordering::Relaxed) {
                wait = every;
            } else if !(self.0.is_survey_wanted() && passed >= wait || passed >= SURVEY_EVERY) {
                continue;
            }
            let begun = self.0.world.now();
            let report = self.survey().await;
            surveyed = self.0.world.now();
            // While a node is away each survey finds the same.
            let is_held_up = report.postponed_chunks > 0;
            let longest = surveyed.since(begun).saturating_mul(SURVEY_SHARE);
            let longest = longest.clamp(SURVEY_WAIT_MIN, SURVEY_WAIT_MAX).max(every);
            wait = if is_held_up { (wait * 2).min(longest) } else { every };
        }
    }

    /// Gives back what garbage takes, as far as that is worth it.
    pub async fn compact(&self) -> CareReport {
        let mut report = CareReport::default();
        for drive in &self.0.drives {
            let rotten = drive.with_index(crate::drive::index::Index::rotten_count);
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
            if drive.with_index(crate::drive::index::Index::rotten_count) > rotten {
                self.0.want_survey();
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

    /// Looks at what others wrote here a while ago, and mends it where that is this node's to do.
    pub async fn look_after_fresh(&self) -> CareReport {
        let (mut report, mut survey) = (CareReport::default(), Survey::default());
        for page in self.0.take_fresh().chunks(PAGE) {
            self.0.judge_all(page, &mut survey).await;
        }
        self.0.mend_all(&mut survey, &mut report).await;
        report.postponed_chunks += survey.unknown;
        if report.postponed_chunks > 0 {
            self.0.want_survey();
        }
        report
    }

    /// Looks where the shards of every chunk are of which this node has one, has those made that
    /// are missing, and brings those astray home: chunks that could bear the least loss first.
    /// What a node that does not answer may have is left alone; the next survey looks again.
    pub async fn survey(&self) -> CareReport {
        let mut report = CareReport::default();
        self.0.survey_wanted.store(false, Ordering::Relaxed);
        if self.0.drives.len() < 2 && !self.0.is_shared() {
            // With one drive there is nothing to mend from and nowhere to go.
            return report;
        }
        let epoch = self.0.layout().epoch();
        let mut survey = Survey::default();
        for drive in &self.0.drives {
            let mut after = None;
            loop {
                let page = drive.page(after, PAGE);
                let Some(last) = last_of(&page) else { break };
                after = Some(last);
                self.0.look(drive, page, false, &mut survey).await;
                if survey.amiss.len() >= AMISS_MAX {
                    self.0.mend_all(&mut survey, &mut report).await;
                }
            }
        }
        let counts = &self.0.counts;
        counts.shards_to_repair.store(survey.missing, Ordering::Relaxed);
        counts.misplaced_shards.store(survey.astray, Ordering::Relaxed);
        self.0.mend_all(&mut survey, &mut report).await;
        report.postponed_chunks += survey.unknown;
        if report.mended_chunks > 0 || report.postponed_chunks > 0 {
            // Once more, to see that it is well.
            self.0.want_survey();
        } else if self.0.layout().epoch() == epoch {
            counts.settled.store(epoch.0.saturating_add(1), Ordering::Relaxed);
        }
        report
    }
}

/// What a survey found.
#[derive(Default)]
struct Survey {
    /// Chunks for this node to mend: how much more they bear to lose.
    amiss: BTreeMap<ChunkKey, usize>,
    /// Shards to be made anew, and those to be brought home.
    missing: u64,
    astray: u64,
    /// Chunks of which a node that did not answer may have shards.
    unknown: u64,
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
            let mut found = Survey::default();
            self.look(drive, page, true, &mut found).await;
            self.mend_all(&mut found, report).await;
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

    /// Looks at shards, with all their bytes where it is to be `deep`, and at where the others of
    /// their chunks are.
    async fn look(
        self: &Arc<Self>,
        drive: &Arc<Drive>,
        page: Vec<Held>,
        deep: bool,
        survey: &mut Survey,
    ) {
        let (inner, on) = (Arc::clone(self), Arc::clone(drive));
        let chunks = self.world.blocking(move || inner.chunks_of(&on, &page, deep)).await;
        self.judge_all(&chunks, survey).await;
    }

    /// Looks where the shards of these chunks are.
    async fn judge_all(self: &Arc<Self>, chunks: &[(ChunkKey, Shape)], survey: &mut Survey) {
        // What is in the trash stays as it is.
        let looked = self.look_up(chunks).await.into_iter();
        for looked in looked.filter(|looked| !looked.is_trashed()) {
            let amiss = self.judge(&looked);
            survey.unknown += u64::from(!looked.silent.is_empty());
            let own = |from: Option<DriveId>| from.is_some_and(|from| self.drive(from).is_some());
            let astray = amiss.plan.writes.iter().filter(|write| own(write.from)).count();
            survey.astray += astray as u64;
            if amiss.is_responsible {
                survey.missing += amiss.plan.missing() as u64;
            }
            if self.is_to_act(&looked, &amiss) {
                survey.amiss.insert(looked.key, looked.margin());
            }
        }
    }

    /// Mends what was found amiss, the most urgent first.
    async fn mend_all(self: &Arc<Self>, survey: &mut Survey, report: &mut CareReport) {
        let amiss = std::mem::take(&mut survey.amiss);
        let mut order: Vec<(usize, ChunkKey)> =
            amiss.into_iter().map(|(key, margin)| (margin, key)).collect();
        order.sort_unstable();
        let mends = order.into_iter().map(|(_, key)| self.mend_and_tell(key));
        let mut mends = futures_util::stream::iter(mends).buffer_unordered(MENDED_TOGETHER);
        while let Some(mended) = mends.next().await {
            report.add(mended);
        }
    }

    /// The chunks that shards of a drive are of, without those in the trash; blocks.
    fn chunks_of(&self, drive: &Drive, page: &[Held], deep: bool) -> Vec<(ChunkKey, Shape)> {
        let mut chunks = BTreeMap::new();
        for held in page {
            let read = || drive.read(held.print, |_| None);
            // A sector may fail once; twice, and its siblings have to look for whose it was.
            let header = match read().or_else(|_| read()) {
                Ok(header) => header,
                Err(error) => {
                    tracing::warn!(drive = %drive.id, %error, "a shard's head cannot be read");
                    self.note_nameless(drive, held);
                    continue;
                }
            };
            if drive.is_trashed(held.print) {
                continue;
            }
            if deep && !self.is_sound(drive, held) {
                tracing::debug!(drive = %drive.id, "a rotten shard was found");
            }
            chunks.insert(header.key, header.shape);
        }
        chunks.into_iter().collect()
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

    fn is_survey_wanted(&self) -> bool {
        self.survey_wanted.load(Ordering::Relaxed)
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
