//! The small facts beside the log: the vote, and up to where the log is purged.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{Buf, BufMut};
use node_world::{Disk, File, OpenMode};
use serde::{Deserialize, Serialize};

use super::LogError;
use crate::types::{LogIdShape, VoteShape, encode};

const MAGIC: u32 = u32::from_le_bytes(*b"SdVt");
const HEAD: usize = 20;
/// Slots lie in pages of their own, so that a torn write never touches both.
const SLOT: u64 = 4096;

/// What must not be forgotten.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(super) struct Facts {
    pub(super) vote: Option<VoteShape>,
    pub(super) purged: Option<LogIdShape>,
}

/// The file `vote`: the facts, twice.
///
/// ```text
///    0  slot ┐ checksum u32  CRC-32C of what follows
///            │ magic    u32  "SdVt"
///            │ length   u32  of the facts
///            │ count    u64  of writes so far: the higher slot holds
///            ┘ facts         in postcard
/// 4096  slot
/// ```
///
/// A write syncs the first slot before it touches the second. So a torn write leaves one good slot,
/// and rot in either costs nothing: a forgotten vote would let this node vote twice in a term.
pub(super) struct Slots {
    path: PathBuf,
    file: Arc<dyn File>,
    count: u64,
}

fn slot(count: u64, facts: &Facts) -> Vec<u8> {
    let body = encode(facts);
    let mut bytes = vec![0; 4];
    bytes.put_u32_le(MAGIC);
    bytes.put_u32_le(u32::try_from(body.len()).expect("facts are a few bytes"));
    bytes.put_u64_le(count);
    bytes.extend(body);
    let checksum = crc32c::crc32c(&bytes[4..]);
    bytes[..4].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

fn parse(page: &[u8]) -> Option<(u64, Facts)> {
    let mut head = page.get(..HEAD)?;
    let checksum = head.get_u32_le();
    let magic = head.get_u32_le();
    let length = head.get_u32_le() as usize;
    let count = head.get_u64_le();
    let whole = page.get(4..HEAD.checked_add(length)?)?;
    let good = magic == MAGIC && crc32c::crc32c(whole) == checksum;
    good.then(|| postcard::from_bytes(&page[HEAD..HEAD + length]).ok())
        .flatten()
        .map(|f| (count, f))
}

impl Slots {
    /// Opens the file, or makes it when the log has nothing yet.
    ///
    /// # Errors
    /// [`LogError::Damaged`] when neither slot is good though the log is not new.
    pub(super) fn open(
        disk: &dyn Disk,
        folder: &Path,
        log_is_new: bool,
    ) -> Result<(Self, Facts), LogError> {
        let path = folder.join("vote");
        let fault = |source| LogError::disk("open", &path, source);
        let file = disk.open(&path, OpenMode::Create).map_err(fault)?;
        let len = file.len().map_err(fault)?;
        let mut best: Option<(u64, Facts)> = None;
        for start in [0, SLOT].into_iter().filter(|start| *start < len) {
            let mut page = vec![0; (len - start).min(SLOT) as usize];
            file.read_at(&mut page, start).map_err(fault)?;
            best = best.into_iter().chain(parse(&page)).max_by_key(|(count, _)| *count);
        }
        if let Some((count, facts)) = best {
            return Ok((Self { path, file, count }, facts));
        }
        if !log_is_new {
            let why = "no copy of the vote is whole";
            return Err(LogError::Damaged { path, offset: 0, why });
        }
        let mut slots = Self { path, file, count: 0 };
        slots.write(&Facts::default())?;
        disk.sync_folder(folder).map_err(|s| LogError::disk("sync", folder, s))?;
        Ok((slots, Facts::default()))
    }

    /// Writes the facts, durably.
    pub(super) fn write(&mut self, facts: &Facts) -> Result<(), LogError> {
        self.count += 1;
        let bytes = slot(self.count, facts);
        let write = || -> io::Result<()> {
            for start in [0, SLOT] {
                self.file.write_at(&bytes, start)?;
                self.file.sync_data()?;
            }
            Ok(())
        };
        write().map_err(|source| LogError::disk("write", &self.path, source))
    }
}
