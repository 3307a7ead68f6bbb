//! The index of a drive: which shard lies where. Kept in memory, about 45 bytes a shard, and made
//! anew at each start from the hints and the packs.

use std::collections::{BTreeMap, BTreeSet};

use chunkstore_core::decide::PackUse;
use node_base::Timestamp;

use super::record::{ALIGN, NOTE_RECORD, SHARD_PREFIX};

/// Stands for (tenant, hash, generation, shard index): 120 bits of a keyed hash, then the index, so
/// that the shards of a chunk lie side by side.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Print(pub(crate) u128);

impl Print {
    pub(crate) fn new(hash: u128, index: u8) -> Self {
        Self(hash & !0xFF | u128::from(index))
    }

    pub(crate) fn index(self) -> u8 {
        self.0 as u8
    }

    fn chunk(self) -> std::ops::RangeInclusive<Self> {
        Self(self.0 & !0xFF)..=Self(self.0 | 0xFF)
    }
}

/// What a record says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum What {
    /// Here is a shard.
    Shard,
    Note(Note),
}

/// What is noted of a shard that lies elsewhere.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Note {
    /// The shard is in the trash since that log time.
    Trash(Timestamp),
    /// It is not, after all.
    Restore,
    /// It is gone for good, whatever packs still hold of it.
    Gone,
}

/// A record, as the index and the hints know it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Entry {
    pub(crate) print: Print,
    pub(crate) at: u64,
    pub(crate) body_len: u32,
    pub(crate) what: What,
}

impl Entry {
    /// How much of the pack the record takes.
    pub(crate) fn len(&self) -> u64 {
        match self.what {
            What::Shard => shard_record_len(self.body_len),
            What::Note(_) => NOTE_RECORD as u64,
        }
    }
}

fn shard_record_len(body_len: u32) -> u64 {
    (SHARD_PREFIX as u64 + u64::from(body_len)).next_multiple_of(ALIGN)
}

/// Where a shard lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Slot {
    pub(crate) pack: u32,
    at_eighth: u32,
    body_len: u32,
}

impl Slot {
    pub(crate) fn at(self) -> u64 {
        u64::from(self.at_eighth) * ALIGN
    }

    pub(crate) fn record_len(self) -> u64 {
        shard_record_len(self.body_len)
    }
}

/// The largest offset a slot can name, and so the largest pack.
pub(crate) const PACK_MAX: u64 = 16 << 30;
const _: () = assert!(PACK_MAX / ALIGN <= u32::MAX as u64);

#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
struct Use {
    bytes: u64,
    live: u64,
}

/// All that is known of a drive's shards.
#[derive(Default, PartialEq, Eq, Debug)]
pub(crate) struct Index {
    live: BTreeMap<Print, Slot>,
    trashed: BTreeMap<Print, Timestamp>,
    /// Shards that were found unreadable where they lie, until they are written anew.
    rotten: BTreeSet<Print>,
    /// Records of shards that are not alive but still lie in a pack. A shard's `Gone` may be
    /// forgotten only when none of its records is left: else a rebuild would bring it back.
    dead: BTreeSet<(Print, u32)>,
    packs: BTreeMap<u32, Use>,
    live_bytes: u64,
}

impl Index {
    /// Takes in the next record of a pack. Records come in the order in which they were written.
    pub(crate) fn apply(&mut self, pack: u32, entry: &Entry) {
        self.packs.entry(pack).or_default().bytes += entry.len();
        match entry.what {
            What::Shard => {
                let at_eighth = (entry.at / ALIGN) as u32;
                let slot = Slot { pack, at_eighth, body_len: entry.body_len };
                self.bury(entry.print);
                self.live.insert(entry.print, slot);
                self.count(slot, true);
            }
            // The shard's record may stand in a later pack: compaction copies it there.
            What::Note(Note::Trash(at)) => {
                self.trashed.insert(entry.print, at);
            }
            What::Note(Note::Restore) => {
                self.trashed.remove(&entry.print);
            }
            What::Note(Note::Gone) => {
                self.bury(entry.print);
                self.trashed.remove(&entry.print);
            }
        }
    }

    /// Ends the life of a shard's record, if it has one.
    fn bury(&mut self, print: Print) {
        self.rotten.remove(&print);
        if let Some(slot) = self.live.remove(&print) {
            self.dead.insert((print, slot.pack));
            self.count(slot, false);
        }
    }

    fn count(&mut self, slot: Slot, born: bool) {
        let (pack, len) = (self.packs.entry(slot.pack).or_default(), slot.record_len());
        if born {
            pack.live += len;
            self.live_bytes += len;
        } else {
            pack.live -= len;
            self.live_bytes -= len;
        }
    }

    /// How many shards another index tells otherwise: where they lie, or that they are trash.
    pub(crate) fn differences(&self, other: &Self) -> u64 {
        let places = self.live.iter().filter(|(print, slot)| other.live.get(print) != Some(slot));
        let trashed =
            self.trashed.iter().filter(|(print, at)| other.trashed.get(print) != Some(at));
        let lacking = other.live.keys().filter(|print| !self.live.contains_key(print));
        (places.count() + trashed.count() + lacking.count()) as u64
    }

    /// All packs are read: forgets what was said of shards that are not there.
    pub(crate) fn settle(&mut self) {
        let live = &self.live;
        self.trashed.retain(|print, _| live.contains_key(print));
    }

    /// A pack reaches this far; what no record accounts for is garbage.
    pub(crate) fn reaches(&mut self, pack: u32, end: u64) {
        let known = self.packs.entry(pack).or_default();
        known.bytes = known.bytes.max(end);
    }

    /// Forgets a pack that was removed.
    pub(crate) fn forget_pack(&mut self, pack: u32) {
        self.packs.remove(&pack);
        self.dead.retain(|(_, at)| *at != pack);
    }

    pub(crate) fn get(&self, print: Print) -> Option<Slot> {
        self.live.get(&print).copied()
    }

    /// The shards of the chunk that `print` is of.
    pub(crate) fn shards(&self, print: Print) -> Vec<(Print, Slot)> {
        self.live.range(print.chunk()).map(|(print, slot)| (*print, *slot)).collect()
    }

    /// Up to `count` shards behind `after`, in the order of their prints.
    pub(crate) fn page(&self, after: Option<Print>, count: usize) -> Vec<(Print, Slot)> {
        let from = after.map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
        let page = self.live.range((from, std::ops::Bound::Unbounded));
        page.take(count).map(|(print, slot)| (*print, *slot)).collect()
    }

    pub(crate) fn trashed(&self, print: Print) -> Option<Timestamp> {
        self.trashed.get(&print).copied()
    }

    /// Up to `count` shards that were in the trash by then.
    pub(crate) fn trashed_by(&self, by: Timestamp, count: usize) -> Vec<(Print, Slot)> {
        let due = self.trashed.iter().filter(|(_, at)| **at <= by);
        due.filter_map(|(print, _)| Some((*print, self.get(*print)?))).take(count).collect()
    }

    /// Whether that was not known.
    pub(crate) fn mark_rotten(&mut self, print: Print, slot: Slot) -> bool {
        self.get(print) == Some(slot) && self.rotten.insert(print)
    }

    pub(crate) fn is_rotten(&self, print: Print) -> bool {
        self.rotten.contains(&print)
    }

    /// Whether a note still has something to say, and must be written again before its pack goes.
    pub(crate) fn still_says(&self, print: Print, note: Note, going: u32) -> bool {
        match note {
            Note::Trash(at) => self.trashed(print) == Some(at),
            Note::Restore => self.live.contains_key(&print) && !self.trashed.contains_key(&print),
            Note::Gone => {
                let records = (print, 0)..=(print, u32::MAX);
                let elsewhere = self.dead.range(records).any(|(_, pack)| *pack != going);
                elsewhere && !self.live.contains_key(&print)
            }
        }
    }

    /// Whether anything alive lies in the pack.
    pub(crate) fn is_inhabited(&self, pack: u32) -> bool {
        self.packs.get(&pack).is_some_and(|known| known.live > 0)
    }

    /// The packs, but for the one that is being written.
    pub(crate) fn closed_packs(&self, open: u32) -> Vec<PackUse> {
        let closed = self.packs.iter().filter(|(number, _)| **number != open);
        closed
            .map(|(number, known)| PackUse {
                number: *number,
                bytes: known.bytes,
                garbage: known.bytes.saturating_sub(known.live),
            })
            .collect()
    }

    pub(crate) fn shard_count(&self) -> u64 {
        self.live.len() as u64
    }

    pub(crate) fn trashed_count(&self) -> u64 {
        self.trashed.len() as u64
    }

    pub(crate) fn rotten_count(&self) -> u64 {
        self.rotten.len() as u64
    }

    pub(crate) fn live_bytes(&self) -> u64 {
        self.live_bytes
    }

    pub(crate) fn pack_bytes(&self) -> u64 {
        self.packs.values().map(|known| known.bytes).sum()
    }
}
