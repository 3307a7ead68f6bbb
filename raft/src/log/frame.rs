//! One record of the log, as bytes.

use bytes::{Buf, BufMut};

use crate::types::ENTRY_MAX;

/// What a frame starts with, without its payload.
pub(super) const HEAD: usize = 24;
const MAGIC: u32 = u32::from_le_bytes(*b"SdFr");

/// What a frame says. The numbers are on disk and never given again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(super) enum Kind {
    /// An entry follows the last one.
    Entry = 1,
    /// Entries from an index on are void.
    Truncate = 2,
    /// Entries up to one were known to be committed when this was written.
    Committed = 3,
}

/// The start of a frame.
///
/// ```text
///  0  checksum u32   CRC-32C of everything behind it, the payload too
///  4  magic    u32   "SdFr", so that a scan can find the next frame behind a damaged one
///  8  length   u32   of the payload
/// 12  kind     u8
/// 13  zero     3 bytes
/// 16  synced   u64   up to where this file was synced when the frame was written
/// 24  payload
/// ```
///
/// `synced` tells a torn tail from rot. Whatever a power loss tears was written after the last
/// sync, so no frame can know of a sync behind it; a damaged frame below the `synced` of a good one
/// was durable once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Head {
    checksum: u32,
    pub(super) length: usize,
    pub(super) kind: Kind,
    pub(super) synced: u64,
}

impl Head {
    /// Nothing when the bytes cannot be the start of a frame.
    pub(super) fn parse(mut bytes: &[u8]) -> Option<Self> {
        if bytes.len() < HEAD {
            return None;
        }
        let checksum = bytes.get_u32_le();
        let magic = bytes.get_u32_le();
        let length = bytes.get_u32_le() as usize;
        let kind = match bytes.get_u8() {
            1 => Kind::Entry,
            2 => Kind::Truncate,
            3 => Kind::Committed,
            _ => return None,
        };
        bytes.advance(3);
        let synced = bytes.get_u64_le();
        (magic == MAGIC && length <= ENTRY_MAX).then_some(Self { checksum, length, kind, synced })
    }

    /// Whether `frame`, the head and its payload, is what was written.
    pub(super) fn fits(&self, frame: &[u8]) -> bool {
        frame.len() == HEAD + self.length && crc32c::crc32c(&frame[4..]) == self.checksum
    }
}

/// Adds a frame to `out` whose payload `fill` writes.
pub(super) fn put(out: &mut Vec<u8>, kind: Kind, synced: u64, fill: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    out.put_u32_le(MAGIC);
    out.extend_from_slice(&[0; 4]);
    out.put_u8(kind as u8);
    out.extend_from_slice(&[0; 3]);
    out.put_u64_le(synced);
    fill(out);
    let length = u32::try_from(out.len() - start - HEAD).expect("entries are far below 4 GiB");
    out[start + 8..start + 12].copy_from_slice(&length.to_le_bytes());
    let checksum = crc32c::crc32c(&out[start + 4..]);
    out[start..start + 4].copy_from_slice(&checksum.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    use super::{HEAD, Head, Kind, put};

    proptest! {
        #[test]
        fn a_frame_leads_back_and_any_changed_bit_shows(
            payload: Vec<u8>, synced: u64, at: usize, bit in 0..8u8,
        ) {
            let mut bytes = Vec::new();
            put(&mut bytes, Kind::Truncate, synced, |out| out.extend_from_slice(&payload));
            let head = Head::parse(&bytes).expect("it was just written");
            prop_assert_eq!((head.kind, head.synced), (Kind::Truncate, synced));
            prop_assert!(head.fits(&bytes));
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
            prop_assert!(!Head::parse(&bytes).is_some_and(|head| head.fits(&bytes)));
        }

        #[test]
        fn any_bytes_are_answered(bytes in any::<Vec<u8>>()) {
            let good = Head::parse(&bytes).is_some_and(|head| head.fits(&bytes));
            prop_assert!(!good || bytes.len() >= HEAD);
        }
    }
}
