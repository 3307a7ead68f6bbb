//! Contents that need not be kept: a seed and a size tell every byte.

use bytes::Bytes;
use node_base::{Sha256, sha256};
use simulator_order::mix;

/// A run of bytes. Contents that have one in common have a chunk in common, where they are cut at
/// the ends of their pieces.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Piece {
    pub(crate) seed: u64,
    pub(crate) size: u32,
}

/// What is in a file.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Content(pub(crate) Vec<Piece>);

/// One in so many pieces can be compressed.
const COMPRESSIBLE: u64 = 4;

impl Piece {
    fn write(self, bytes: &mut Vec<u8>) {
        let (start, end) = (bytes.len(), bytes.len() + self.size as usize);
        let repeats = self.seed.is_multiple_of(COMPRESSIBLE);
        let mut state = self.seed;
        while bytes.len() < end {
            if !repeats || (bytes.len() - start).is_multiple_of(512) {
                state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            }
            bytes.extend(mix(state).to_le_bytes());
        }
        bytes.truncate(end);
    }

    pub(crate) fn bytes(self) -> Bytes {
        let mut bytes = Vec::with_capacity(self.size as usize + 8);
        self.write(&mut bytes);
        bytes.into()
    }
}

impl Content {
    pub(crate) fn size(&self) -> u64 {
        self.0.iter().map(|piece| u64::from(piece.size)).sum()
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.size() as usize + 8);
        self.0.iter().for_each(|piece| piece.write(&mut bytes));
        bytes
    }

    pub(crate) fn hash(&self) -> Sha256 {
        sha256(&self.bytes())
    }

    /// The chunks of it, cut at the ends of its pieces.
    pub(crate) fn cut(&self) -> Vec<(Sha256, u32)> {
        self.0.iter().map(|piece| (sha256(&piece.bytes()), piece.size)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{Content, Piece};

    #[test]
    fn the_whole_is_its_pieces_and_each_seed_has_its_own() {
        let pieces = [1, 4, 5].map(|seed| Piece { seed, size: 1_001 });
        let whole = Content(pieces.to_vec());
        let parts: Vec<u8> = pieces.iter().flat_map(|piece| piece.bytes().to_vec()).collect();
        assert!(whole.bytes() == parts && whole.size() == 3_003);
        let hashes: Vec<_> = whole.cut().into_iter().map(|(hash, _)| hash).collect();
        assert!(hashes[0] != hashes[1] && hashes[1] != hashes[2] && hashes[0] != hashes[2]);
    }
}
