//! Content addresses.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::Digest;

/// A SHA-256: the name of a chunk, and the checksum of a file. Lower-case hex in text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Sha256(pub [u8; 32]);

/// The SHA-256 of `bytes`.
pub fn sha256(bytes: &[u8]) -> Sha256 {
    Sha256(sha2::Sha256::digest(bytes).into())
}

/// Not 64 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a SHA-256 is 64 hexadecimal digits")]
pub struct TryFromHexError;

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Sha256 {
    type Err = TryFromHexError;

    fn from_str(text: &str) -> Result<Self, TryFromHexError> {
        let digits = text.as_bytes();
        if digits.len() != 64 {
            return Err(TryFromHexError);
        }
        let digit = |b: u8| char::from(b).to_digit(16).ok_or(TryFromHexError);
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = (digit(pair[0])? << 4 | digit(pair[1])?) as u8;
        }
        Ok(Self(bytes))
    }
}

/// Which writing of a chunk a shard belongs to.
///
/// A chunk that was collected and comes back is stored under a new generation, so that a deletion
/// still on its way can never hit the new bytes, and shards of different codings never mix. The
/// number is unique in the cluster: the agreed number of a write id above, a count below.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Generation(pub u64);

impl Generation {
    /// How many generations one write id may give out.
    pub const PER_WRITER: u64 = 1 << 24;

    /// The `count`-th generation of the writer with this agreed number; nothing once the writer has
    /// given out all of its [`Generation::PER_WRITER`].
    pub fn new(writer: u64, count: u64) -> Option<Self> {
        (count < Self::PER_WRITER && writer < 1 << 40).then_some(Self(writer << 24 | count))
    }

    /// The agreed number of the write id this came from.
    pub fn writer(self) -> u64 {
        self.0 >> 24
    }
}

#[cfg(test)]
mod tests {
    use super::{Generation, Sha256, TryFromHexError, sha256};

    #[test]
    fn the_published_vector() {
        let hex = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256(b"abc").to_string(), hex);
        assert_eq!(hex.parse(), Ok(sha256(b"abc")));
        assert_eq!(hex.to_uppercase().parse(), Ok(sha256(b"abc")));
    }

    #[test]
    fn what_is_not_a_hash_is_refused() {
        for text in ["", "ba78", &"g".repeat(64), &"é".repeat(32)] {
            assert_eq!(text.parse::<Sha256>(), Err(TryFromHexError));
        }
    }

    #[test]
    fn generations_of_two_writers_never_meet() {
        let last = Generation::new(7, Generation::PER_WRITER - 1);
        assert!(last < Generation::new(8, 0));
        assert_eq!(last.map(Generation::writer), Some(7));
        assert_eq!(Generation::new(7, Generation::PER_WRITER), None);
    }
}
