//! The files of the log, and what is done to them. Everything here blocks.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use node_world::{File, World};

use super::frame::{HEAD, Kind, put};
use super::segment::{Found, START, Scan, Segment, number};
use super::slots::{Facts, Slots};
use super::{LogError, LogSettings};
use crate::folder;
use crate::types::{Entry, LogId, LogIdShape, decode_entry_id, encode, encode_entry};

/// Where an entry is.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) log_id: LogId,
    pub(super) path: Arc<Path>,
    pub(super) file: Arc<dyn File>,
    pub(super) offset: u64,
    /// Of the whole frame.
    pub(super) length: usize,
}

/// What was found when the log was opened.
pub(super) struct Recovered {
    pub(super) files: Files,
    pub(super) facts: Facts,
    pub(super) places: VecDeque<Place>,
    pub(super) committed: Option<LogId>,
}

/// The files, held by whoever writes.
pub(super) struct Files {
    world: World,
    folder: PathBuf,
    segment_bytes: u64,
    /// Oldest first; frames go to the last.
    segments: VecDeque<Segment>,
    slots: Slots,
    pub(super) facts: Facts,
    /// The path of the last segment, shared by its entries' places.
    path: Arc<Path>,
    /// What stopped the log: what a failed write or sync left on the drive is not known.
    stopped: Option<String>,
}

impl Files {
    /// Opens the log in `folder` and reads it from its start.
    pub(super) fn open(
        world: &World,
        folder: &Path,
        settings: &LogSettings,
    ) -> Result<Recovered, LogError> {
        let disk = world.disk();
        folder::make(disk, folder).map_err(|s| LogError::disk("make", folder, s))?;
        let mut numbers: Vec<u64> = disk
            .list(folder)
            .map_err(|s| LogError::disk("list", folder, s))?
            .iter()
            .filter_map(|entry| number(&entry.name))
            .collect();
        numbers.sort_unstable();
        let (slots, facts) = Slots::open(disk, folder, numbers.is_empty())?;
        let mut replay = Replay::new(facts.purged.map(LogId::from));
        let mut segments = open_segments(world, folder, &numbers, replay.purged)?;
        let count = segments.len();
        for (i, segment) in segments.iter_mut().enumerate() {
            replay.segment(segment, i + 1 == count)?;
        }
        if segments.is_empty() {
            let next = numbers.last().map_or(1, |last| last + 1);
            segments.push_back(Segment::begin(disk, folder, next, replay.next_index())?);
        }
        let last = segments.back().expect("one was just begun if there was none");
        let path = Arc::from(last.path.as_path());
        let files = Self {
            world: world.clone(),
            folder: folder.to_owned(),
            segment_bytes: settings.segment_bytes,
            segments,
            slots,
            facts,
            path,
            stopped: None,
        };
        Ok(Recovered { files, facts, places: replay.places, committed: replay.committed })
    }

    /// How many bytes the segments have.
    pub(super) fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.len).sum()
    }

    /// Runs `work`; after its first failure nothing is done any more.
    fn guarded<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, LogError>,
    ) -> Result<T, LogError> {
        if let Some(cause) = &self.stopped {
            return Err(LogError::Stopped(cause.clone()));
        }
        work(self).inspect_err(|error| self.stopped = Some(error.chain()))
    }

    /// Writes `entries` behind the last one, and syncs once.
    pub(super) fn append(
        &mut self,
        entries: &[Entry],
        committed: Option<LogId>,
    ) -> Result<Vec<Place>, LogError> {
        let Some(first) = entries.first() else { return Ok(Vec::new()) };
        self.guarded(|files| {
            files.roll(first.log_id.index)?;
            let segment = files.segments.back_mut().expect("there is always one");
            let synced = segment.len;
            let mut bytes = Vec::new();
            if let Some(committed) = committed {
                let shape = LogIdShape::from(committed);
                put(&mut bytes, Kind::Committed, synced, |out| out.extend(encode(&shape)));
            }
            let mut places = Vec::with_capacity(entries.len());
            for entry in entries {
                let start = bytes.len();
                put(&mut bytes, Kind::Entry, synced, |out| encode_entry(entry, out));
                places.push(Place {
                    log_id: entry.log_id,
                    path: Arc::clone(&files.path),
                    file: Arc::clone(&segment.file),
                    offset: synced + start as u64,
                    length: bytes.len() - start,
                });
            }
            write(segment, &bytes)?;
            Ok(places)
        })
    }

    /// Makes entries from `since` on void, durably.
    pub(super) fn truncate(&mut self, since: u64) -> Result<(), LogError> {
        self.guarded(|files| {
            let segment = files.segments.back_mut().expect("there is always one");
            let mut bytes = Vec::new();
            put(&mut bytes, Kind::Truncate, segment.len, |out| {
                out.extend_from_slice(&since.to_le_bytes());
            });
            write(segment, &bytes)
        })
    }

    /// Writes the facts, durably.
    pub(super) fn save(&mut self, facts: Facts) -> Result<(), LogError> {
        self.guarded(|files| {
            files.slots.write(&facts)?;
            files.facts = facts;
            Ok(())
        })
    }

    /// Removes the segments that hold nothing above the index `purged`.
    pub(super) fn remove_purged(&mut self, purged: u64) -> Result<(), LogError> {
        self.guarded(|files| {
            let disk = files.world.disk();
            let mut removed = false;
            while files.segments.get(1).is_some_and(|next| next.first <= purged + 1) {
                let segment = files.segments.pop_front().expect("the second one is there");
                disk.remove(&segment.path)
                    .map_err(|source| LogError::disk("remove", &segment.path, source))?;
                removed = true;
            }
            if removed {
                disk.sync_folder(&files.folder)
                    .map_err(|source| LogError::disk("sync", &files.folder, source))?;
            }
            Ok(())
        })
    }

    /// Begins the next segment when the last is full.
    fn roll(&mut self, first: u64) -> Result<(), LogError> {
        let last = self.segments.back().expect("there is always one");
        if last.len >= self.segment_bytes {
            let next = Segment::begin(self.world.disk(), &self.folder, last.number + 1, first)?;
            self.path = Arc::from(next.path.as_path());
            self.segments.push_back(next);
        }
        Ok(())
    }
}

fn write(segment: &mut Segment, bytes: &[u8]) -> Result<(), LogError> {
    segment
        .file
        .write_at(bytes, segment.len)
        .and_then(|()| segment.file.sync_data())
        .map_err(|source| LogError::disk("write", &segment.path, source))?;
    segment.len += bytes.len() as u64;
    Ok(())
}

/// Opens the segments that are needed and removes the others.
///
/// Segments are purged oldest first, but their names may vanish in any order when power is lost
/// then; so whatever lies before a gap in the numbers is a leftover, if what follows the gap
/// reaches down to the purged index.
fn open_segments(
    world: &World,
    folder: &Path,
    numbers: &[u64],
    purged: Option<LogId>,
) -> Result<VecDeque<Segment>, LogError> {
    let disk = world.disk();
    let mut segments = VecDeque::new();
    for (i, &number) in numbers.iter().enumerate() {
        match Segment::open(disk, folder, number)? {
            Some(segment) => segments.push_back(segment),
            None if i + 1 == numbers.len() => {
                let path = super::segment::path(folder, number);
                disk.remove(&path)
                    .and_then(|()| disk.sync_folder(folder))
                    .map_err(|source| LogError::disk("remove", &path, source))?;
            }
            None => {
                let path = super::segment::path(folder, number);
                return Err(LogError::Damaged { path, offset: 0, why: "it has no header" });
            }
        }
    }
    let gap = (1..segments.len())
        .rev()
        .find(|&i| segments[i].number != segments[i - 1].number + 1)
        .unwrap_or(0);
    let leftovers: Vec<Segment> = segments.drain(..gap).collect();
    let needed = purged.map_or(0, |id| id.index + 1);
    let oldest = segments.front();
    if let Some(segment) = oldest.filter(|s| s.first > needed && s.number > 1) {
        return Err(LogError::Missing { folder: folder.to_owned(), number: segment.number - 1 });
    }
    for segment in leftovers {
        disk.remove(&segment.path)
            .map_err(|source| LogError::disk("remove", &segment.path, source))?;
    }
    Ok(segments)
}

/// What the frames read so far add up to.
struct Replay {
    purged: Option<LogId>,
    places: VecDeque<Place>,
    last_index: Option<u64>,
    committed: Option<LogId>,
}

impl Replay {
    fn new(purged: Option<LogId>) -> Self {
        Self { purged, places: VecDeque::new(), last_index: None, committed: None }
    }

    fn next_index(&self) -> u64 {
        let purged = self.purged.map(|id| id.index);
        self.last_index.max(purged).map_or(0, |index| index + 1)
    }

    /// Reads a segment. A torn tail of the last one is cut off.
    fn segment(&mut self, segment: &mut Segment, is_last: bool) -> Result<(), LogError> {
        let path: Arc<Path> = Arc::from(segment.path.as_path());
        let damaged = |offset, why| LogError::Damaged { path: segment.path.clone(), offset, why };
        let mut scan = Scan::new(segment);
        let mut at = START;
        let torn = loop {
            match scan.at(at)? {
                Found::End => break false,
                Found::Damage => break true,
                Found::Frame { kind, payload, next } => {
                    let place = || Place {
                        log_id: LogId::default(),
                        path: Arc::clone(&path),
                        file: Arc::clone(&segment.file),
                        offset: at,
                        length: (next - at) as usize,
                    };
                    self.frame(kind, payload, place).map_err(|why| damaged(at, why))?;
                    at = next;
                }
            }
        };
        if torn {
            if !is_last || scan.was_synced(at)? {
                return Err(damaged(at, "a record is not what was written"));
            }
            tracing::warn!(path = %path.display(), offset = at, "cut an unsynced tail of the log");
            segment
                .file
                .set_len(at)
                .and_then(|()| segment.file.sync_data())
                .map_err(|source| LogError::disk("cut", &path, source))?;
        }
        segment.len = at;
        Ok(())
    }

    fn frame(
        &mut self,
        kind: Kind,
        payload: &[u8],
        place: impl FnOnce() -> Place,
    ) -> Result<(), &'static str> {
        match kind {
            Kind::Entry => {
                let log_id = decode_entry_id(payload).map_err(|_| "an entry has no id")?;
                self.entry(Place { log_id, ..place() })
            }
            Kind::Truncate => {
                let since = payload.try_into().map_err(|_| "a truncation has no index")?;
                self.truncate(u64::from_le_bytes(since));
                Ok(())
            }
            Kind::Committed => {
                let shape: LogIdShape =
                    postcard::from_bytes(payload).map_err(|_| "a committed id cannot be read")?;
                self.committed = Some(shape.into());
                Ok(())
            }
        }
    }

    fn entry(&mut self, place: Place) -> Result<(), &'static str> {
        let index = place.log_id.index;
        let purged = self.purged.map(|id| id.index);
        // A snapshot may have replaced entries that never were in this log; then they are purged.
        let follows = self.last_index.is_none_or(|last| {
            index == last + 1 || index > last && purged.is_some_and(|purged| index <= purged + 1)
        });
        if !follows {
            return Err("an entry does not follow the one before");
        }
        self.last_index = Some(index);
        if purged.is_none_or(|purged| index > purged) {
            self.places.push_back(place);
        }
        Ok(())
    }

    fn truncate(&mut self, since: u64) {
        while self.places.back().is_some_and(|place| place.log_id.index >= since) {
            self.places.pop_back();
        }
        if self.last_index.is_some_and(|last| last >= since) {
            self.last_index = since.checked_sub(1);
        }
    }
}

/// Reads the payload of one entry and checks it.
pub(super) fn read(place: &Place) -> Result<bytes::Bytes, LogError> {
    let mut frame = vec![0; place.length];
    place
        .file
        .read_at(&mut frame, place.offset)
        .map_err(|source| LogError::disk("read", &place.path, source))?;
    let good = super::frame::Head::parse(&frame).is_some_and(|head| head.fits(&frame));
    if !good {
        let (path, offset) = (place.path.to_path_buf(), place.offset);
        return Err(LogError::Damaged { path, offset, why: "a record is not what was written" });
    }
    Ok(bytes::Bytes::from(frame).slice(HEAD..))
}
