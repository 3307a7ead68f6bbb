//! Cutting a stream into chunks.
//!
//! Content-defined cutting is FastCDC in its 2020 form: a boundary lies where a rolling hash of the
//! bytes themselves says so, and an edit moves only the boundaries next to it. Who cuts alike
//! deduplicates against each other, so [`Parameters`] are published and golden tests pin the cuts.
//!
//! [`Cutter`] is fed slices of any size as they arrive and keeps none of them: it carries the
//! rolling hash from slice to slice, and answers with the lengths of the chunks that are complete.

use std::borrow::Cow;

use fastcdc::v2020::{Normalization, get_gear_with_seed, select_masks};
use node_base::limits;

/// What everyone who cuts by content must agree on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameters {
    pub algorithm: &'static str,
    /// No chunk is shorter, but for the last of a stream.
    pub size_min: usize,
    /// Up to this size `mask_small` decides, beyond it `mask_large`.
    pub size_avg: usize,
    /// No chunk is longer.
    pub size_max: usize,
    pub normalization_level: u32,
    pub mask_small: u64,
    pub mask_large: u64,
    /// How `gear` is made, so that it can be computed instead of copied.
    pub gear_source: &'static str,
    pub gear: Cow<'static, [u64]>,
}

const LEVEL: Normalization = Normalization::Level1;

impl Parameters {
    /// The parameters of this system's chunks.
    pub fn published() -> Self {
        let (mask_small, mask_large) = select_masks(limits::CDC_AVG, LEVEL);
        let (gear, _) = get_gear_with_seed(0);
        Self {
            algorithm: "FastCDC v2020, even sizes, no seed",
            size_min: limits::CDC_MIN,
            size_avg: limits::CDC_AVG,
            size_max: limits::CDC_MAX,
            normalization_level: LEVEL.bits(),
            mask_small,
            mask_large,
            gear_source: "entry b: first 8 bytes, big-endian, of the MD5 of 64 bytes of value b",
            gear,
        }
    }
}

/// A chunk size for fixed cutting that is not a power of two from 64 KiB to 8 MiB.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a fixed chunk size is a power of two from 65536 to 8388608, not {size}")]
pub struct FixedSizeError {
    pub size: usize,
}

/// Cuts one stream.
///
/// ```
/// use chunkstore_core::cut::Cutter;
/// let mut lengths = Vec::new();
/// let mut cutter = Cutter::by_content();
/// cutter.feed(&[7; 100_000], &mut lengths);
/// lengths.extend(cutter.finish());
/// assert_eq!(lengths, [100_000]);
/// ```
pub struct Cutter {
    rule: Rule,
    /// Bytes seen since the last boundary.
    len: usize,
}

enum Rule {
    Fixed(usize),
    Content(Box<Gear>),
}

impl Cutter {
    /// Cuts where the content says.
    pub fn by_content() -> Self {
        Self { rule: Rule::Content(Box::new(Gear::new())), len: 0 }
    }

    /// Cuts every `size` bytes.
    ///
    /// # Errors
    /// [`FixedSizeError`] for sizes that the contract does not name.
    pub fn fixed(size: usize) -> Result<Self, FixedSizeError> {
        let named =
            size.is_power_of_two() && (limits::FIXED_CHUNK_MIN..=limits::CHUNK_MAX).contains(&size);
        if named {
            Ok(Self { rule: Rule::Fixed(size), len: 0 })
        } else {
            Err(FixedSizeError { size })
        }
    }

    /// Takes the next bytes and appends the lengths of the chunks that are now known to be
    /// complete. A boundary may lie up to two bytes before the end of what was fed earlier.
    pub fn feed(&mut self, mut bytes: &[u8], lengths: &mut Vec<usize>) {
        match &mut self.rule {
            Rule::Fixed(size) => {
                while self.len + bytes.len() >= *size {
                    bytes = &bytes[*size - self.len..];
                    self.len = 0;
                    lengths.push(*size);
                }
                self.len += bytes.len();
            }
            Rule::Content(gear) => gear.feed(&mut self.len, bytes, lengths),
        }
    }

    /// The length of the last chunk; nothing for what ended on a boundary.
    pub fn finish(self) -> Option<usize> {
        (self.len > 0).then_some(self.len)
    }
}

/// FastCDC's rolling hash, resumable between any two bytes.
///
/// The published algorithm walks pairs of bytes from the least size on, so a lone last byte of a
/// stream is never tested. That is why `held` keeps the first byte of a pair until the second one
/// proves that it exists.
struct Gear {
    table: [u64; 256],
    mask_small: u64,
    mask_large: u64,
    hash: u64,
    held: Option<u8>,
}

/// Bytes that the hash knows of.
const WINDOW: usize = u64::BITS as usize;
const LANES: usize = 4;
const LANE: usize = 4 << 10;
const BLOCK: usize = LANES * LANE;

/// Where a pair of bytes puts a boundary.
enum Found {
    BeforeFirst,
    BeforeSecond,
}

impl Gear {
    fn new() -> Self {
        let Parameters { gear, mask_small, mask_large, .. } = Parameters::published();
        let mut table = [0; 256];
        table.copy_from_slice(&gear);
        Self { table, mask_small, mask_large, hash: 0, held: None }
    }

    fn feed(&mut self, len: &mut usize, mut bytes: &[u8], lengths: &mut Vec<usize>) {
        while !bytes.is_empty() {
            if *len < limits::CDC_MIN {
                let skipped = bytes.len().min(limits::CDC_MIN - *len);
                *len += skipped;
                bytes = &bytes[skipped..];
            } else {
                let taken = self.scan(len, bytes, lengths);
                bytes = &bytes[taken..];
            }
        }
    }

    /// Walks pairs up to a boundary or the end of `bytes`; answers how many were taken.
    fn scan(&mut self, len: &mut usize, bytes: &[u8], lengths: &mut Vec<usize>) -> usize {
        let mut taken = 0;
        if let Some(first) = self.held.take() {
            // `first` is already counted in `len`.
            taken = 1;
            *len += 1;
            if let Some(found) = self.pair(*len - 2, first, bytes[0]) {
                return self.end(len, found, taken, lengths);
            }
        }
        let pairs = (limits::CDC_MAX - *len).min(bytes.len() - taken) / 2;
        let start = *len;
        if let Some(at) = self.find(start, &bytes[taken..taken + 2 * pairs]) {
            let (pair, found) = match at % 2 {
                0 => (at, Found::BeforeFirst),
                _ => (at - 1, Found::BeforeSecond),
            };
            *len = start + pair + 2;
            return self.end(len, found, taken + pair + 2, lengths);
        }
        *len = start + 2 * pairs;
        taken += 2 * pairs;
        if *len == limits::CDC_MAX {
            lengths.push(*len);
            *len = 0;
            self.hash = 0;
        } else if let Some(&first) = bytes.get(taken) {
            self.held = Some(first);
            *len += 1;
            taken += 1;
        }
        taken
    }

    /// Rolls two bytes in; the first stands at position `at` of its chunk.
    fn pair(&mut self, at: usize, first: u8, second: u8) -> Option<Found> {
        self.find(at, &[first, second]).map(|at| match at {
            0 => Found::BeforeFirst,
            _ => Found::BeforeSecond,
        })
    }

    /// Rolls bytes in; the first stands at position `start` of its chunk. Answers where among them
    /// the boundary is.
    fn find(&mut self, start: usize, bytes: &[u8]) -> Option<usize> {
        let small = limits::CDC_AVG.saturating_sub(start).min(bytes.len());
        let (before, beyond) = bytes.split_at(small);
        self.find_by(self.mask_small, before)
            .or_else(|| self.find_by(self.mask_large, beyond).map(|at| small + at))
    }

    /// The first of these bytes at which the hash has no bit of the mask.
    fn find_by(&mut self, mask: u64, bytes: &[u8]) -> Option<usize> {
        let (blocks, rest) = bytes.as_chunks::<BLOCK>();
        for (i, block) in blocks.iter().enumerate() {
            match self.roll_lanes(mask, block) {
                Some(hash) => self.hash = hash,
                None => return self.roll(mask, block).map(|at| i * BLOCK + at),
            }
        }
        self.roll(mask, rest).map(|at| blocks.len() * BLOCK + at)
    }

    /// Rolls byte after byte.
    fn roll(&mut self, mask: u64, bytes: &[u8]) -> Option<usize> {
        let mut hash = self.hash;
        let found = bytes.iter().position(|byte| {
            hash = self.rolled(hash, *byte);
            hash & mask == 0
        });
        self.hash = hash;
        found
    }

    /// The hash after a block without a boundary; nothing where there is one.
    ///
    /// Each step of the hash waits for the one before. But a byte is shifted out of it after
    /// [`WINDOW`] steps, so several lanes of a block are rolled side by side, each begun a window
    /// ahead: that takes half the time.
    fn roll_lanes(&self, mask: u64, block: &[u8; BLOCK]) -> Option<u64> {
        let (lanes, _) = block.as_chunks::<LANE>();
        let mut hashes = [self.hash; LANES];
        for (hash, before) in hashes[1..].iter_mut().zip(lanes) {
            let window = &before[LANE - WINDOW..];
            *hash = window.iter().fold(0, |hash, byte| self.rolled(hash, *byte));
        }
        for at in 0..LANE {
            for (hash, lane) in hashes.iter_mut().zip(lanes) {
                *hash = self.rolled(*hash, lane[at]);
                if *hash & mask == 0 {
                    return None;
                }
            }
        }
        hashes.last().copied()
    }

    #[inline]
    fn rolled(&self, hash: u64, byte: u8) -> u64 {
        (hash << 1).wrapping_add(self.table[usize::from(byte)])
    }

    /// Ends a chunk before one of the last two bytes counted; those after the boundary open the
    /// next chunk.
    fn end(
        &mut self,
        len: &mut usize,
        found: Found,
        taken: usize,
        lengths: &mut Vec<usize>,
    ) -> usize {
        let kept = match found {
            Found::BeforeFirst => 2,
            Found::BeforeSecond => 1,
        };
        lengths.push(*len - kept);
        *len = kept;
        self.hash = 0;
        taken
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use fastcdc::v2020::FastCDC;
    use node_base::limits;
    use proptest::collection::vec;
    use proptest::prelude::{ProptestConfig, any, prop_assert, prop_assert_eq, proptest};

    use super::{BLOCK, Cutter, FixedSizeError, Gear, LEVEL, Parameters};

    /// Bytes that a seed decides: xorshift64*.
    fn noise(mut seed: u64, len: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(len + 8);
        seed |= 1;
        while bytes.len() < len {
            seed ^= seed >> 12;
            seed ^= seed << 25;
            seed ^= seed >> 27;
            bytes.extend(seed.wrapping_mul(0x2545_F491_4F6C_DD1D).to_le_bytes());
        }
        bytes.truncate(len);
        bytes
    }

    fn whole(bytes: &[u8]) -> Vec<usize> {
        FastCDC::with_level(bytes, limits::CDC_MIN, limits::CDC_AVG, limits::CDC_MAX, LEVEL)
            .map(|chunk| chunk.length)
            .collect()
    }

    fn fed(mut cutter: Cutter, bytes: &[u8], pieces: &[usize]) -> Vec<usize> {
        let (mut lengths, mut rest) = (Vec::new(), bytes);
        let mut turn = pieces.iter().cycle();
        while !rest.is_empty() {
            let piece = turn.next().map_or(rest.len(), |n| (*n).clamp(1, rest.len()));
            cutter.feed(&rest[..piece], &mut lengths);
            rest = &rest[piece..];
        }
        lengths.extend(cutter.finish());
        lengths
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn slices_of_any_size_give_the_cuts_of_the_whole(
            seed in any::<u64>(),
            len in 0..(3_usize << 20),
            pieces in vec(1..200_000_usize, 1..6),
        ) {
            let bytes = noise(seed, len);
            prop_assert_eq!(fed(Cutter::by_content(), &bytes, &pieces), whole(&bytes));
        }

        #[test]
        fn an_edit_moves_only_the_cuts_next_to_it(seed in any::<u64>(), at in 0..(4_usize << 20)) {
            let before = noise(seed, 4 << 20);
            let mut after = before.clone();
            after.insert(at, 0x5A);
            let ends = |bytes: &[u8]| -> std::collections::BTreeSet<usize> {
                let mut end = bytes.len();
                // Counted from the far end, so that what lies behind the edit compares equal.
                whole(bytes).iter().map(|len| { end -= len; end }).collect()
            };
            let (before, after) = (ends(&before), ends(&after));
            let behind = |ends: &std::collections::BTreeSet<usize>| {
                ends.range(..(4_usize << 20).saturating_sub(at + (3 << 20))).count()
            };
            prop_assert!(behind(&before) == behind(&after));
        }
    }

    #[test]
    fn one_byte_at_a_time_and_lone_last_bytes() {
        for len in [0, 1, 65_535, 65_536, 65_537, 700_001, 700_002] {
            let bytes = noise(11, len);
            assert_eq!(fed(Cutter::by_content(), &bytes, &[1]), whole(&bytes), "of {len} bytes");
        }
        let flat = vec![0; (2 << 20) + 3];
        assert_eq!(fed(Cutter::by_content(), &flat, &[65_537]), [1 << 20, 1 << 20, 3]);
    }

    /// A lane that began with too short a window would miss the oldest byte's one bit.
    #[test]
    fn lanes_begin_with_the_whole_window() {
        let mut looked_at = 0;
        for byte in 0..=255 {
            let mut gear = Gear::new();
            // What the hash of nothing but this byte comes to.
            let steady = gear.table[usize::from(byte)].wrapping_neg();
            let top = 1 << 63;
            if steady & top != 0 && steady % 2 == 1 {
                gear.hash = steady;
                assert_eq!(gear.roll_lanes(top, &[byte; BLOCK]), Some(steady), "{byte}");
                looked_at += 1;
            }
        }
        assert!(looked_at > 20);
    }

    #[test]
    fn golden_cuts() {
        let lengths = fed(Cutter::by_content(), &noise(0xC0FFEE, 6 << 20), &[]);
        assert_eq!(
            lengths,
            [
                313_995, 297_250, 457_144, 121_976, 652_883, 462_446, 318_451, 506_505, 418_655,
                498_120, 816_608, 180_675, 168_005, 368_317, 439_869, 270_557
            ]
        );
    }

    #[test]
    fn what_is_published_can_be_computed() {
        let published = Parameters::published();
        assert_eq!((published.gear.len(), published.gear[0]), (256, 0x3b5d_3c7d_207e_37dc));
        expect!["65536 262144 1048576 level 1 masks 0000d91707537000 0000d90703537000"].assert_eq(
            &format!(
                "{} {} {} level {} masks {:016x} {:016x}",
                published.size_min,
                published.size_avg,
                published.size_max,
                published.normalization_level,
                published.mask_small,
                published.mask_large
            ),
        );
    }

    #[test]
    fn fixed_cuts() {
        let cutter = || Cutter::fixed(1 << 16).expect("a size of the contract");
        let bytes = noise(3, 200_000);
        for pieces in [&[1][..], &[65_536], &[200_000], &[65_535, 2, 131_073]] {
            assert_eq!(fed(cutter(), &bytes, pieces), [65_536, 65_536, 65_536, 3_392]);
        }
        assert_eq!(fed(cutter(), &bytes[..131_072], &[]), [65_536, 65_536]);
        for size in [0, 1 << 15, (1 << 16) + 1, 1 << 24] {
            assert_eq!(Cutter::fixed(size).err(), Some(FixedSizeError { size }));
        }
    }
}
