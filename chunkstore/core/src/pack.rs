//! Packing a chunk: the bytes that are coded are compressed where that saves a tenth or more.
//!
//! Which form they took and how long the plain bytes are stands in every shard's header, so that
//! the stored bytes themselves need no prefix, and a chunk that does not compress is never copied.

use std::io;

use bytes::Bytes;
use node_base::limits::CHUNK_MAX;

/// Fast enough to disappear beside hashing; higher levels save little more on 256 KiB pieces.
const LEVEL: i32 = 1;
/// Below this there is nothing to win that the shard header does not eat up.
const PLAIN_MAX: usize = 256;
/// Up to this a chunk is simply tried; above it samples decide whether to try.
const PROBED_MIN: usize = 48 << 10;
const SAMPLES: usize = 4;
const SAMPLE: usize = 4 << 10;

/// How the stored bytes of a chunk relate to its plain bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Compression {
    /// They are the plain bytes.
    Plain,
    /// They are one zstd frame.
    Zstd,
}

/// A chunk as it is coded and stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Packed {
    pub compression: Compression,
    pub bytes: Bytes,
}

/// Why stored bytes do not give plain bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnpackError {
    #[error("the plain length {len} is over the limit of a chunk")]
    TooLong { len: usize },
    #[error("the stored bytes are not a zstd frame of the plain length")]
    Frame,
}

/// Packs chunks one after another, so that the compressor's tables are made once.
pub struct Packer {
    compressor: zstd::bulk::Compressor<'static>,
    samples: Vec<u8>,
    scratch: Vec<u8>,
}

impl Packer {
    /// A packer.
    ///
    /// # Errors
    /// When the compressor cannot be made, for want of memory.
    pub fn new() -> io::Result<Self> {
        let compressor = zstd::bulk::Compressor::new(LEVEL)?;
        Ok(Self { compressor, samples: Vec::new(), scratch: Vec::new() })
    }

    /// The stored form of a chunk.
    pub fn pack(&mut self, plain: &Bytes) -> Packed {
        let compressed = if self.promising(plain) { self.saved(plain) } else { None };
        match compressed {
            Some(bytes) => Packed { compression: Compression::Zstd, bytes },
            None => Packed { compression: Compression::Plain, bytes: plain.clone() },
        }
    }

    /// Whether samples from all over the chunk compress; most bytes that do not are found out here
    /// at a hundredth of the cost.
    fn promising(&mut self, plain: &[u8]) -> bool {
        if plain.len() < PROBED_MIN {
            return plain.len() > PLAIN_MAX;
        }
        self.samples.clear();
        let step = (plain.len() - SAMPLE) / (SAMPLES - 1);
        for from in (0..SAMPLES).map(|n| n * step) {
            self.samples.extend_from_slice(&plain[from..from + SAMPLE]);
        }
        self.scratch.resize(SAMPLES * SAMPLE * 9 / 10, 0);
        // Samples that do not fit into nine tenths of themselves are an error here, which is the
        // answer.
        self.compressor.compress_to_buffer(&self.samples, &mut self.scratch[..]).is_ok()
    }

    fn saved(&mut self, plain: &[u8]) -> Option<Bytes> {
        let mut stored = vec![0; plain.len() * 9 / 10];
        let len = self.compressor.compress_to_buffer(plain, &mut stored[..]).ok()?;
        stored.truncate(len);
        stored.shrink_to_fit();
        Some(Bytes::from(stored))
    }
}

/// The plain bytes of a chunk.
///
/// # Errors
/// When the stored bytes do not unfold to exactly `plain_len`, which is at most a chunk's limit
/// whatever the frame claims.
pub fn unpack(
    compression: Compression,
    plain_len: usize,
    stored: Bytes,
) -> Result<Bytes, UnpackError> {
    if plain_len > CHUNK_MAX {
        return Err(UnpackError::TooLong { len: plain_len });
    }
    let plain = match compression {
        Compression::Plain => stored,
        Compression::Zstd => {
            let plain = zstd::bulk::decompress(&stored, plain_len);
            Bytes::from(plain.map_err(|_| UnpackError::Frame)?)
        }
    };
    if plain.len() == plain_len { Ok(plain) } else { Err(UnpackError::Frame) }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use node_base::limits::CHUNK_MAX;
    use proptest::collection::vec;
    use proptest::prelude::{ProptestConfig, any, prop_assert, prop_assert_eq, proptest};

    use super::{Compression, Packer, UnpackError, unpack};

    fn packer() -> Packer {
        Packer::new().expect("memory for a compressor")
    }

    fn noise(len: usize) -> Bytes {
        let mut bytes = vec![0; len];
        blake3::Hasher::new().finalize_xof().fill(&mut bytes);
        Bytes::from(bytes)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn packing_leads_back(
            word in vec(any::<u8>(), 1..40),
            times in 1..6000_usize,
            tail in vec(any::<u8>(), 0..5000),
        ) {
            let mut plain = word.repeat(times);
            plain.extend(tail);
            let plain = Bytes::from(plain);
            let packed = packer().pack(&plain);
            if packed.compression == Compression::Zstd {
                prop_assert!(packed.bytes.len() <= plain.len() * 9 / 10);
            }
            prop_assert_eq!(unpack(packed.compression, plain.len(), packed.bytes), Ok(plain));
        }

        #[test]
        fn any_frame_is_answered(
            stored in vec(any::<u8>(), 0..300),
            plain_len in 0..CHUNK_MAX * 2,
        ) {
            let answer = unpack(Compression::Zstd, plain_len, Bytes::from(stored));
            prop_assert!(answer.is_err() || answer == Ok(Bytes::new()));
        }
    }

    #[test]
    fn text_is_compressed_and_noise_is_shared_not_copied() {
        let text = Bytes::from("a line of a log that repeats itself\n".repeat(20_000));
        let packed = packer().pack(&text);
        assert_eq!(packed.compression, Compression::Zstd);
        assert!(packed.bytes.len() * 100 < text.len());
        for len in [1, 256, 4096, 1 << 20] {
            let noise = noise(len);
            let packed = packer().pack(&noise);
            assert_eq!(
                (packed.compression, packed.bytes.as_ptr()),
                (Compression::Plain, noise.as_ptr())
            );
        }
    }

    #[test]
    fn noise_behind_a_compressible_start_is_kept_plain() {
        let mut plain = vec![0; 64 << 10];
        plain.extend_from_slice(&noise(960 << 10));
        assert_eq!(packer().pack(&Bytes::from(plain)).compression, Compression::Plain);
    }

    #[test]
    fn a_frame_that_unfolds_to_more_or_less_is_refused() {
        let packed = packer().pack(&Bytes::from(vec![7; 100_000]));
        assert_eq!(packed.compression, Compression::Zstd);
        for len in [99_999, 100_001] {
            assert_eq!(
                unpack(packed.compression, len, packed.bytes.clone()),
                Err(UnpackError::Frame)
            );
        }
        let len = CHUNK_MAX + 1;
        assert_eq!(
            unpack(packed.compression, len, packed.bytes),
            Err(UnpackError::TooLong { len })
        );
        assert_eq!(
            unpack(Compression::Plain, 3, Bytes::from_static(b"ab")),
            Err(UnpackError::Frame)
        );
    }
}
