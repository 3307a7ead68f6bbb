//! Opening a drive: the index is made from the hints and from what the packs hold beyond them.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

use node_world::{OpenMode, World};

use super::append::{Hints, open_hints, open_pack};
use super::identity::{self, OpenError};
use super::index::{Entry, Index};
use super::record::{ALIGN, Record, SHARD_PREFIX, Seal, Walk};
use super::{Drive, DriveSettings, hint, hint_path, pack_path};

impl Drive {
    /// Opens the drive in `folder`; an empty folder becomes a new one. Blocks.
    ///
    /// # Errors
    /// When the folder is not a drive of this cluster that this process may have, or fails.
    pub(crate) fn open(
        world: &World,
        folder: &Path,
        settings: DriveSettings,
    ) -> Result<Self, OpenError> {
        let (id, lock) = identity::take(world, folder, settings.cluster)?;
        let seal = Seal::new(id);
        let failed = |source| OpenError::Io { path: folder.to_owned(), source };
        let mut index = Index::default();
        let (appender, is_torn) = load(world, folder, &seal, &mut index).map_err(failed)?;
        index.settle();
        Ok(Self {
            id,
            folder: folder.to_owned(),
            world: world.clone(),
            settings,
            seal,
            index: Mutex::new(index),
            appender: Mutex::new(appender),
            files: Mutex::new(BTreeMap::new()),
            turn: tokio::sync::Mutex::new(()),
            suspect_until: Mutex::new(None),
            lost_a_sync: AtomicBool::new(false),
            is_torn,
            compacting: Mutex::default(),
            _lock: lock,
        })
    }
}

fn load(
    world: &World,
    folder: &Path,
    seal: &Seal,
    index: &mut Index,
) -> io::Result<(super::Appender, bool)> {
    let packs = pack_numbers(world, folder)?;
    let last = packs.last().copied().unwrap_or(0);
    let (mut open, mut is_torn) = (None, false);
    for pack in packs {
        let loaded = load_pack(world, folder, seal, pack, pack == last, index)?;
        is_torn |= loaded.is_torn;
        index.reaches(pack, if pack == last { loaded.end } else { loaded.len });
        if pack != last && !loaded.pending.is_empty() {
            complete_hints(world, folder, seal, pack, loaded)?;
        } else {
            open = Some(loaded);
        }
    }
    let Some(open) = open else {
        index.reaches(last, 0);
        let told = hint::Told { to: 0, end: 0 };
        let hints = Hints::new(open_hints(world, folder, last), told, Vec::new());
        return Ok((open_pack(world, folder, last, 0, hints)?, is_torn));
    };
    let file = world.disk().open(&pack_path(folder, last), OpenMode::Write)?;
    if open.len > open.end {
        // What was being written when the power went: never acknowledged.
        tracing::info!(pack = last, bytes = open.len - open.end, "a torn tail is cut off");
        file.set_len(open.end)?;
    }
    // What the last incarnation wrote and did not sync is in the index from here on.
    file.sync_data()?;
    drop(file);
    let mut hints = Hints::new(open_hints(world, folder, last), open.told, open.pending);
    hints.write(seal, last, open.end);
    Ok((open_pack(world, folder, last, open.end, hints)?, is_torn))
}

/// Writes the hints that a closed pack lacks, so that the next start is quick again.
fn complete_hints(
    world: &World,
    folder: &Path,
    seal: &Seal,
    pack: u32,
    loaded: Loaded,
) -> io::Result<()> {
    // Hints tell only of what is durable, and this pack may have been left without a sync.
    world.disk().open(&pack_path(folder, pack), OpenMode::Write)?.sync_data()?;
    let end = loaded.len.next_multiple_of(ALIGN);
    let hints = open_hints(world, folder, pack);
    Hints::new(hints, loaded.told, loaded.pending).write(seal, pack, end);
    Ok(())
}

/// The numbers of the packs, rising; hints that lost their pack are removed.
pub(super) fn pack_numbers(world: &World, folder: &Path) -> io::Result<Vec<u32>> {
    let number = |name: &str, ending: &str| name.strip_suffix(ending)?.parse::<u32>().ok();
    let entries = world.disk().list(&folder.join("packs"))?;
    let packs: Vec<u32> = entries.iter().filter_map(|entry| number(&entry.name, ".pack")).collect();
    for pack in entries.iter().filter_map(|entry| number(&entry.name, ".hint")) {
        if !packs.contains(&pack) {
            world.disk().remove(&hint_path(folder, pack))?;
        }
    }
    Ok(packs)
}

/// What was found of a pack.
struct Loaded {
    len: u64,
    /// Behind the last record.
    end: u64,
    /// There is something between the records, or behind them, that is none.
    is_torn: bool,
    told: hint::Told,
    /// What the hints do not tell yet.
    pending: Vec<Entry>,
}

fn load_pack(
    world: &World,
    folder: &Path,
    seal: &Seal,
    pack: u32,
    is_last: bool,
    index: &mut Index,
) -> io::Result<Loaded> {
    let file = world.disk().open(&pack_path(folder, pack), OpenMode::Read)?;
    let len = file.len()?;
    let hints = match world.disk().open(&hint_path(folder, pack), OpenMode::Read) {
        Ok(hints) => Some(hints),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let told = match &hints {
        Some(hints) => {
            let reach = len.next_multiple_of(ALIGN);
            hint::read(&**hints, seal, pack, reach, |entry| index.apply(pack, entry))?
        }
        None => hint::Told { to: 0, end: 0 },
    };
    // Only a pack's unsynced end can be torn. Where no hints are left, earlier packs are taken at
    // their heads' word: the scrub reads their bodies soon enough.
    let is_doubtful = is_last || hints.is_some();
    let mut walk = Walk::new(&*file, seal, pack, told.to, len);
    let (mut pending, mut end, mut body) = (Vec::new(), told.to, Vec::new());
    let mut is_torn = false;
    while let Some((at, record)) = walk.next()? {
        if let (Record::Shard(header), true) = (&record, is_doubtful) {
            body.resize(header.shape.shard_len(), 0);
            file.read_uncached_at(&mut body, at + SHARD_PREFIX as u64)?;
            if !header.matches(&body) {
                continue;
            }
        }
        let entry = record.entry(seal, at);
        index.apply(pack, &entry);
        is_torn |= at != end.next_multiple_of(ALIGN);
        end = at + entry.len();
        pending.push(entry);
    }
    is_torn |= len > end.next_multiple_of(ALIGN);
    Ok(Loaded { len, end, is_torn, told, pending })
}
