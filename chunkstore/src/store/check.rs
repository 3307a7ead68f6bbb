//! Looking through all drives while nothing else does: for whoever wants to know before a node
//! starts.
//!
//! The index of each drive, made of its hints, is compared with one made of the packs alone; every
//! shard's head is read, and deep, every byte: each shard by its own hash, and the chunk by its
//! SHA-256 wherever enough of it lies here.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use chunkstore_core::shard::ChunkKey;
use node_world::OpenMode;

use super::list::last_of;
use super::{Inner, Store};
use crate::drive::index::{Index, Print};
use crate::drive::record::Walk;
use crate::drive::{Drive, Held, ReadError, pack_path};

/// Shards looked at in one go.
const PAGE: usize = 256;
/// Chunks that are named, of those that are not what they should be.
const NAMED_MAX: usize = 10;

/// What was found on a drive.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct DriveCheck {
    pub folder: PathBuf,
    pub shards: u64,
    pub bytes: u64,
    /// Shards whose head, or deep, whose bytes are not what was written.
    pub rotten_shards: u64,
    /// Shards that the hints and the packs tell differently.
    pub misindexed_shards: u64,
    /// Packs, and those that cannot be read to their end.
    pub packs: u64,
    pub unread_packs: u64,
}

/// What was found on all drives.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct StoreCheck {
    pub drives: Vec<DriveCheck>,
    /// Chunks of which enough is here, read and compared with their SHA-256; deep alone.
    pub whole_chunks: u64,
    /// Those of them that came out wrong, and the first of their names.
    pub wrong_chunks: u64,
    pub named: Vec<ChunkKey>,
}

impl StoreCheck {
    /// Whether nothing is amiss.
    pub fn is_sound(&self) -> bool {
        let is_sound = |drive: &DriveCheck| {
            drive.rotten_shards + drive.misindexed_shards + drive.unread_packs == 0
        };
        self.wrong_chunks == 0 && self.drives.iter().all(is_sound)
    }
}

impl Store {
    /// Checks all drives; `progress` is told shards looked at, and how many there are.
    pub async fn check(&self, deep: bool, mut progress: impl FnMut(u64, u64)) -> StoreCheck {
        let drives = &self.0.drives;
        let all = drives.iter().map(|drive| drive.with_index(Index::shard_count)).sum();
        let (mut report, mut done) = (StoreCheck::default(), 0);
        for at in 0..drives.len() {
            let inner = Arc::clone(&self.0);
            let mut found =
                self.0.world.blocking(move || inner.check_index(&inner.drives[at])).await;
            let mut after = None;
            loop {
                let inner = Arc::clone(&self.0);
                let look = move || inner.check_page(at, after, deep);
                let Some(page) = self.0.world.blocking(look).await else { break };
                after = Some(page.last);
                done += page.shards;
                found.shards += page.shards;
                found.bytes += page.bytes;
                found.rotten_shards += page.rotten;
                report.whole_chunks += page.whole_chunks;
                report.wrong_chunks += page.wrong.len() as u64;
                let room = NAMED_MAX.saturating_sub(report.named.len());
                report.named.extend(page.wrong.into_iter().take(room));
                progress(done, all);
            }
            report.drives.push(found);
        }
        report
    }

    /// Whether this node's drives alone have enough of a chunk to read it, by their indexes.
    pub async fn has_enough(&self, keys: Vec<ChunkKey>) -> Vec<bool> {
        let inner = Arc::clone(&self.0);
        let look = move || keys.iter().map(|key| inner.is_enough(&inner.sources(key))).collect();
        self.0.world.blocking(look).await
    }
}

/// What was found on one page of a drive's shards.
struct Page {
    last: Print,
    shards: u64,
    bytes: u64,
    rotten: u64,
    whole_chunks: u64,
    wrong: Vec<ChunkKey>,
}

impl Inner {
    /// Reads all heads in the packs of a drive, and compares what they tell with its index.
    fn check_index(&self, drive: &Drive) -> DriveCheck {
        let mut report = DriveCheck { folder: drive.folder.clone(), ..DriveCheck::default() };
        let mut told = Index::default();
        for pack in drive.pack_numbers() {
            report.packs += 1;
            if let Err(error) = self.walk(drive, pack, &mut told) {
                tracing::error!(drive = %drive.id, pack, %error, "a pack cannot be read");
                report.unread_packs += 1;
            }
        }
        told.settle();
        report.misindexed_shards = drive.with_index(|index| index.differences(&told));
        report
    }

    fn walk(&self, drive: &Drive, pack: u32, told: &mut Index) -> io::Result<()> {
        let path = pack_path(&drive.folder, pack);
        let file = self.world.disk().open(&path, OpenMode::Read)?;
        let mut walk = Walk::new(&*file, drive.seal(), pack, 0, file.len()?);
        while let Some((at, record)) = walk.next()? {
            told.apply(pack, &record.entry(drive.seal(), at));
        }
        Ok(())
    }

    /// Checks the next shards of a drive; nothing behind the last.
    fn check_page(&self, at: usize, after: Option<Print>, deep: bool) -> Option<Page> {
        let drive = &self.drives[at];
        let held = drive.page(after, PAGE);
        let last = last_of(&held)?;
        let bytes = held.iter().map(|held| held.slot.record_len()).sum();
        let mut page = Page {
            last,
            shards: held.len() as u64,
            bytes,
            rotten: 0,
            whole_chunks: 0,
            wrong: Vec::new(),
        };
        let mut keys = BTreeSet::new();
        for held in held {
            match drive.read(held.print, |_| None) {
                Ok(header) if deep => {
                    page.rotten += u64::from(super::read::read_checked(drive, &held).is_err());
                    if self.is_first(at, &held, &header.key) {
                        keys.insert(header.key);
                    }
                }
                Ok(_) => {}
                Err(ReadError::Rotten | ReadError::Io(_)) => page.rotten += 1,
            }
        }
        for key in keys {
            let sources = self.sources(&key);
            if !self.is_enough(&sources) {
                continue;
            }
            page.whole_chunks += 1;
            let (plain, is_damaged) = self.read_chunk(&key, &sources);
            let is_right = plain.is_ok_and(|plain| node_base::sha256(&plain) == key.hash);
            if !is_right || is_damaged {
                page.wrong.push(key);
            }
        }
        Some(page)
    }

    /// Whether it is with this shard, of all of its chunk here, that the chunk is looked at.
    fn is_first(&self, at: usize, held: &Held, key: &ChunkKey) -> bool {
        let all = self.sources(key).into_iter();
        let first = all.map(|(on, other)| (on, other.print.index())).min();
        first == Some((at, held.print.index()))
    }
}
