//! The bytes of one pretend file: what readers see, what a power loss would keep, and the changes
//! between the two.
//!
//! A drive writes sectors of 512 bytes whole or not at all, in any order, and each as it stood at
//! some moment after the last sync. So at a crash every sector that changed picks how many of the
//! changes to it had reached the drive, and the length picks how many of the changes to it had.

use std::collections::BTreeMap;
use std::sync::Arc;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

pub(crate) const SECTOR: u64 = 512;
const PAGE: u64 = 4096;
const PAGE_LEN: usize = 4096;
/// Beyond this many unsynced bytes of a file, the machine writes them back by itself.
const WRITE_BACK: usize = 64 << 20;

/// Bytes and a length; pages that are not there are zeros. Clones share pages.
#[derive(Clone, Default)]
struct Image {
    pages: BTreeMap<u64, Arc<[u8; PAGE_LEN]>>,
    len: u64,
}

/// The parts of `len` bytes at `offset` that lie in one page each: page, where in the page, where
/// in the bytes, how many.
fn parts(offset: u64, len: usize) -> impl Iterator<Item = (u64, usize, usize, usize)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        (at < len).then(|| {
            let place = offset + at as u64;
            let within = (place % PAGE) as usize;
            let count = (len - at).min(PAGE_LEN - within);
            let part = (place / PAGE, within, at, count);
            at += count;
            part
        })
    })
}

impl Image {
    fn read(&self, buffer: &mut [u8], offset: u64) {
        for (page, within, at, count) in parts(offset, buffer.len()) {
            let target = &mut buffer[at..at + count];
            match self.pages.get(&page) {
                Some(bytes) => target.copy_from_slice(&bytes[within..within + count]),
                None => target.fill(0),
            }
        }
    }

    /// Puts bytes in place without moving the end.
    fn put(&mut self, bytes: &[u8], offset: u64) {
        for (page, within, at, count) in parts(offset, bytes.len()) {
            let page = self.pages.entry(page).or_insert_with(|| Arc::new([0; PAGE_LEN]));
            Arc::make_mut(page)[within..within + count].copy_from_slice(&bytes[at..at + count]);
        }
    }

    fn set_len(&mut self, len: u64) {
        if len < self.len {
            self.pages.split_off(&len.div_ceil(PAGE));
            let within = (len % PAGE) as usize;
            if within > 0
                && let Some(last) = self.pages.get_mut(&(len / PAGE))
            {
                Arc::make_mut(last)[within..].fill(0);
            }
        }
        self.len = len;
    }
}

/// Something that happened to a file since its last sync.
enum Change {
    Write { offset: u64, bytes: Vec<u8> },
    SetLen(u64),
}

/// A file's bytes.
#[derive(Default)]
pub(crate) struct Content {
    seen: Image,
    kept: Image,
    changes: Vec<Change>,
    unsynced: usize,
}

impl Content {
    pub(crate) fn len(&self) -> u64 {
        self.seen.len
    }

    /// Fills `buffer`; whether the file reached that far.
    pub(crate) fn read(&self, buffer: &mut [u8], offset: u64) -> bool {
        let reaches = offset.checked_add(buffer.len() as u64).is_some_and(|end| end <= self.len());
        if reaches {
            self.seen.read(buffer, offset);
        }
        reaches
    }

    pub(crate) fn write(&mut self, bytes: &[u8], offset: u64) {
        if bytes.is_empty() {
            return;
        }
        self.seen.put(bytes, offset);
        self.seen.len = self.seen.len.max(offset + bytes.len() as u64);
        self.changes.push(Change::Write { offset, bytes: bytes.to_vec() });
        self.unsynced += bytes.len();
        if self.unsynced > WRITE_BACK {
            self.sync();
        }
    }

    pub(crate) fn set_len(&mut self, len: u64) {
        self.seen.set_len(len);
        self.changes.push(Change::SetLen(len));
    }

    pub(crate) fn sync(&mut self) {
        let cuts = self.changes.iter().filter_map(|change| match change {
            Change::SetLen(len) => Some(*len),
            Change::Write { .. } => None,
        });
        if let Some(shortest) = cuts.min() {
            self.kept.set_len(shortest.min(self.kept.len));
        }
        for change in self.changes.drain(..) {
            let Change::Write { offset, bytes } = change else { continue };
            for (page, ..) in parts(offset, bytes.len()) {
                match self.seen.pages.get(&page) {
                    Some(bytes) => self.kept.pages.insert(page, Arc::clone(bytes)),
                    None => self.kept.pages.remove(&page),
                };
            }
        }
        self.kept.len = self.seen.len;
        self.unsynced = 0;
    }

    /// Turns one bit, for good.
    pub(crate) fn rot(&mut self, offset: u64, bit: u8) {
        for image in [&mut self.seen, &mut self.kept] {
            if offset < image.len {
                let mut byte = [0];
                image.read(&mut byte, offset);
                image.put(&[byte[0] ^ 1 << (bit % 8)], offset);
            }
        }
    }

    /// The power goes: what was not synced is lost, kept, torn or scattered, as `chance` has it.
    pub(crate) fn crash(&mut self, chance: &mut ChaCha8Rng) {
        let changes = std::mem::take(&mut self.changes);
        if !changes.is_empty() {
            match chance.random_range(0..4) {
                0 => {}
                1 => self.keep(&changes, changes.len(), 0, |_, _| true),
                2 => self.tear(&changes, chance),
                _ => self.scatter(&changes, chance),
            }
        }
        self.seen = self.kept.clone();
        self.unsynced = 0;
    }

    /// The changes reached the drive in order, up to the middle of one.
    fn tear(&mut self, changes: &[Change], chance: &mut ChaCha8Rng) {
        let whole = chance.random_range(0..changes.len());
        let (torn, end) = match &changes[whole] {
            Change::Write { offset, bytes } => {
                let sectors = (offset % SECTOR + bytes.len() as u64).div_ceil(SECTOR);
                let torn = offset / SECTOR + chance.random_range(0..=sectors);
                let end = (offset + bytes.len() as u64).min(torn * SECTOR);
                (torn, if end > *offset { end } else { 0 })
            }
            Change::SetLen(_) => (0, 0),
        };
        // The length grows with the last sector that made it.
        self.keep(changes, whole, end, |change, sector| {
            change < whole || change == whole && sector < torn
        });
    }

    /// The sectors reached the drive in any order.
    fn scatter(&mut self, changes: &[Change], chance: &mut ChaCha8Rng) {
        let mut touched: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
        for (index, change) in changes.iter().enumerate() {
            if let Change::Write { offset, bytes } = change {
                let last = (offset + bytes.len() as u64 - 1) / SECTOR;
                (offset / SECTOR..=last).for_each(|s| touched.entry(s).or_default().push(index));
            }
        }
        // For each sector, the first of the changes that came too late.
        let late: BTreeMap<u64, usize> = touched
            .into_iter()
            .map(|(sector, indexes)| {
                let reached = chance.random_range(0..=indexes.len());
                (sector, indexes.get(reached).copied().unwrap_or(usize::MAX))
            })
            .collect();
        let lengths = chance.random_range(0..=changes.len());
        self.keep(changes, lengths, 0, |change, sector| {
            late.get(&sector).is_some_and(|late| change < *late)
        });
    }

    /// Applies to the durable image the lengths of the first `lengths` changes, or up to `end`
    /// where that is more, and the sectors that `reached` names of any.
    fn keep(
        &mut self,
        changes: &[Change],
        lengths: usize,
        end: u64,
        reached: impl Fn(usize, u64) -> bool,
    ) {
        let mut len = self.kept.len;
        for (index, change) in changes.iter().enumerate() {
            match change {
                Change::SetLen(new) if index < lengths => {
                    self.kept.set_len(*new);
                    len = *new;
                }
                Change::SetLen(_) => {}
                Change::Write { offset, bytes } => {
                    for (sector, part) in sectors(*offset, bytes) {
                        if reached(index, sector) {
                            self.kept.put(part, (sector * SECTOR).max(*offset));
                        }
                    }
                    let end = offset + bytes.len() as u64;
                    // The image's own length must cover what lies in it, to be cut below.
                    self.kept.len = self.kept.len.max(end);
                    if index < lengths {
                        len = len.max(end);
                    }
                }
            }
        }
        self.kept.set_len(len.max(end));
    }
}

/// The sectors of `bytes` at `offset`, each with its part of them.
fn sectors(offset: u64, bytes: &[u8]) -> impl Iterator<Item = (u64, &[u8])> {
    let first = (SECTOR - offset % SECTOR) as usize;
    let (head, rest) = bytes.split_at(first.min(bytes.len()));
    let number = offset / SECTOR;
    std::iter::once(head).chain(rest.chunks(SECTOR as usize)).zip(number..).map(|(b, n)| (n, b))
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::{Just, Strategy, any, prop_assert_eq, prop_oneof, proptest};
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::Content;

    #[derive(Clone, Debug)]
    enum Step {
        Write(u64, Vec<u8>),
        SetLen(u64),
        Sync,
        Crash(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0..10_000u64, vec(1..=255u8, 0..3_000)).prop_map(|(at, b)| Step::Write(at, b)),
            2 => (0..12_000u64).prop_map(Step::SetLen),
            2 => Just(Step::Sync),
            1 => any::<u64>().prop_map(Step::Crash),
        ]
    }

    fn read(content: &Content) -> Vec<u8> {
        let mut bytes = vec![0; content.len() as usize];
        assert!(content.read(&mut bytes, 0) && !content.read(&mut [0], content.len()));
        bytes
    }

    proptest! {
        /// Against plain bytes: what is read is what was written, and a crash right after a sync
        /// takes nothing.
        #[test]
        fn a_file_is_its_bytes(steps in vec(step(), 1..40)) {
            let (mut content, mut bytes, mut synced) = (Content::default(), Vec::new(), true);
            for step in steps {
                match step {
                    Step::Write(at, new) => {
                        content.write(&new, at);
                        let end = at as usize + new.len();
                        if !new.is_empty() {
                            bytes.resize(bytes.len().max(end), 0);
                            bytes[at as usize..end].copy_from_slice(&new);
                            synced = false;
                        }
                    }
                    Step::SetLen(len) => {
                        content.set_len(len);
                        bytes.resize(len as usize, 0);
                        synced = false;
                    }
                    Step::Sync => {
                        content.sync();
                        synced = true;
                    }
                    Step::Crash(seed) => {
                        content.crash(&mut ChaCha8Rng::seed_from_u64(seed));
                        if !synced {
                            bytes = read(&content);
                        }
                        // Once it is on the drive, it stays.
                        synced = true;
                    }
                }
                prop_assert_eq!(&read(&content), &bytes);
            }
        }
    }
}
