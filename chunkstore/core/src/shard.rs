//! The header every shard carries, wherever it lies or travels.

use node_base::limits::CHUNK_MAX;
use node_base::{Generation, Profile, Sha256, TenantId};

use crate::pack::Compression;
use crate::stripe::{Form, Shape};

/// How long an encoded header is.
pub const HEADER_LEN: usize = 112;

const MAGIC: [u8; 4] = *b"SDsh";
const VERSION: u8 = 1;

/// Which chunk, and which writing of it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ChunkKey {
    pub tenant: TenantId,
    pub hash: Sha256,
    pub generation: Generation,
}

/// What a shard is a part of, and how to tell that it is whole.
///
/// ```text
///   0   4  magic "SDsh"
///   4   1  version, 1
///   5   1  form: 1 copies, 2 stripe
///   6   1  compression: 1 plain, 2 zstd
///   7   1  data shards of the profile
///   8   1  parity shards of the profile
///   9   1  index of this shard
///  10   2  zero
///  12  16  tenant
///  28  32  SHA-256 of the plain chunk
///  60   8  generation
///  68   4  length of the stored chunk
///  72   4  length of the plain chunk
///  76   4  length of this shard
///  80  32  BLAKE3 of this shard's bytes
/// 112
/// ```
///
/// Numbers are little-endian; ids and hashes are their bytes. Magic and version come first so that
/// any later version can be told from its first five bytes. The shard's length follows from the
/// other fields; it is written all the same, so that a reader can step over a shard whose coding it
/// does not know, and so that the two can be compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ShardHeader {
    pub key: ChunkKey,
    pub shape: Shape,
    pub compression: Compression,
    pub index: u8,
    pub plain_len: usize,
    pub checksum: [u8; 32],
}

/// Why bytes are not a shard header.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    #[error("a shard header is {HEADER_LEN} bytes and starts with SDsh")]
    NotAHeader,
    #[error("the shard header has version {0}, and only version 1 is known here")]
    Version(u8),
    #[error("the shard header's {0} is out of bounds")]
    Field(&'static str),
}

/// The checksum of a shard's bytes.
pub fn checksum(shard: &[u8]) -> [u8; 32] {
    *blake3::hash(shard).as_bytes()
}

impl ShardHeader {
    /// Whether these are the shard's bytes.
    pub fn matches(&self, shard: &[u8]) -> bool {
        shard.len() == self.shape.shard_len() && checksum(shard) == self.checksum
    }

    /// The bytes drawn above.
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        let mut at = 0;
        let mut put = |part: &[u8]| {
            bytes[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        };
        let form = match self.shape.form {
            Form::Copies => 1,
            Form::Stripe => 2,
        };
        let compression = match self.compression {
            Compression::Plain => 1,
            Compression::Zstd => 2,
        };
        // All three are at most CHUNK_MAX.
        let len = |len: usize| (len as u32).to_le_bytes();
        put(&MAGIC);
        put(&[VERSION, form, compression]);
        put(&[self.shape.profile.data, self.shape.profile.parity, self.index, 0, 0]);
        put(&self.key.tenant.to_bytes());
        put(&self.key.hash.0);
        put(&self.key.generation.0.to_le_bytes());
        put(&len(self.shape.stored_len));
        put(&len(self.plain_len));
        put(&len(self.shape.shard_len()));
        put(&self.checksum);
        bytes
    }

    /// Reads a header.
    ///
    /// # Errors
    /// When any field is not what [`ShardHeader::encode`] could have written.
    pub fn decode(bytes: &[u8]) -> Result<Self, HeaderError> {
        let bytes: &[u8; HEADER_LEN] = bytes.try_into().map_err(|_| HeaderError::NotAHeader)?;
        if bytes[..4] != MAGIC {
            return Err(HeaderError::NotAHeader);
        }
        if bytes[4] != VERSION {
            return Err(HeaderError::Version(bytes[4]));
        }
        let form = match bytes[5] {
            1 => Form::Copies,
            2 => Form::Stripe,
            _ => return Err(HeaderError::Field("form")),
        };
        let compression = match bytes[6] {
            1 => Compression::Plain,
            2 => Compression::Zstd,
            _ => return Err(HeaderError::Field("compression")),
        };
        let header = Self {
            key: ChunkKey {
                tenant: TenantId::from_bytes(part(bytes, 12)),
                hash: Sha256(part(bytes, 28)),
                generation: Generation(u64::from_le_bytes(part(bytes, 60))),
            },
            shape: Shape {
                profile: Profile { data: bytes[7], parity: bytes[8] },
                form,
                stored_len: u32::from_le_bytes(part(bytes, 68)) as usize,
            },
            compression,
            index: bytes[9],
            plain_len: u32::from_le_bytes(part(bytes, 72)) as usize,
            checksum: part(bytes, 80),
        };
        header.check(u32::from_le_bytes(part(bytes, 76)) as usize)?;
        if bytes[10..12] != [0, 0] {
            return Err(HeaderError::Field("reserved bytes"));
        }
        Ok(header)
    }

    fn check(&self, shard_len: usize) -> Result<(), HeaderError> {
        let Shape { profile, stored_len, .. } = self.shape;
        let bounds = 1..=CHUNK_MAX;
        let checks = [
            (profile.data > 0 && profile.shards() < 256, "profile"),
            (usize::from(self.index) < self.shape.shards(), "index"),
            (bounds.contains(&stored_len), "stored length"),
            (bounds.contains(&self.plain_len), "plain length"),
            (self.compression == Compression::Zstd || stored_len == self.plain_len, "plain length"),
            // The profile is checked before: its number of data shards divides.
            (profile.data > 0 && shard_len == self.shape.shard_len(), "shard length"),
        ];
        match checks.iter().find(|(holds, _)| !holds) {
            Some((_, field)) => Err(HeaderError::Field(field)),
            None => Ok(()),
        }
    }
}

fn part<const N: usize>(bytes: &[u8; HEADER_LEN], at: usize) -> [u8; N] {
    let mut part = [0; N];
    part.copy_from_slice(&bytes[at..at + N]);
    part
}

#[cfg(test)]
mod tests {
    use node_base::{Generation, Profile, TenantId, sha256};
    use proptest::collection::vec;
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    use super::{ChunkKey, HEADER_LEN, HeaderError, ShardHeader, checksum};
    use crate::pack::Compression;
    use crate::stripe::Shape;

    const GOLDEN: &[u8] = include_bytes!("../golden/shard-v1.bin");

    fn sample() -> ShardHeader {
        ShardHeader {
            key: ChunkKey {
                tenant: TenantId::from(0x0192_0000_0000_0000_0000_0000_0000_0007),
                hash: sha256(b"plain"),
                generation: Generation(0x0102_0304_0506),
            },
            shape: Shape::new(Profile { data: 4, parity: 2 }, 200_001),
            compression: Compression::Zstd,
            index: 5,
            plain_len: 400_000,
            checksum: checksum(b"shard"),
        }
    }

    #[test]
    fn the_golden_header_is_read_by_every_later_build() {
        assert_eq!(ShardHeader::decode(GOLDEN), Ok(sample()));
        assert_eq!(sample().encode()[..], *GOLDEN);
    }

    proptest! {
        #[test]
        fn bytes_lead_back(
            tenant: u128,
            generation: u64,
            pair in (1..20_u8, 0..5_u8),
            stored_len in 1..(8_usize << 20) + 1,
            index in 0..25_u8,
        ) {
            let shape = Shape::new(Profile { data: pair.0, parity: pair.1 }, stored_len);
            let mut header = ShardHeader { shape, index, plain_len: stored_len, ..sample() };
            header.key.tenant = TenantId::from(tenant);
            header.key.generation = Generation(generation);
            header.compression = Compression::Plain;
            let back = ShardHeader::decode(&header.encode());
            if usize::from(index) < shape.shards() {
                prop_assert_eq!(back, Ok(header));
            } else {
                prop_assert_eq!(back, Err(HeaderError::Field("index")));
            }
        }

        #[test]
        fn any_bytes_are_answered(
            at in 0..HEADER_LEN, value: u8, noise in vec(any::<u8>(), 0..200),
        ) {
            let _ = ShardHeader::decode(&noise);
            let mut bytes = sample().encode();
            bytes[at] = value;
            if let Ok(header) = ShardHeader::decode(&bytes) {
                prop_assert!(header.encode() == bytes, "what is read is what was written");
            }
        }
    }

    #[test]
    fn every_field_is_checked() {
        let with = |at: usize, value: &[u8]| {
            let mut bytes = sample().encode();
            bytes[at..at + value.len()].copy_from_slice(value);
            ShardHeader::decode(&bytes).expect_err("the field is out of bounds").to_string()
        };
        let told = [
            with(0, b"X"),
            with(4, &[2]),
            with(5, &[3]),
            with(6, &[0]),
            with(7, &[0]),
            with(7, &[255]),
            with(9, &[6]),
            with(10, &[1]),
            with(68, &[0; 4]),
            with(68, &[0xFF; 4]),
            with(72, &[0; 4]),
            with(76, &[1]),
        ];
        expect_test::expect![[r#"
            a shard header is 112 bytes and starts with SDsh
            the shard header has version 2, and only version 1 is known here
            the shard header's form is out of bounds
            the shard header's compression is out of bounds
            the shard header's profile is out of bounds
            the shard header's profile is out of bounds
            the shard header's index is out of bounds
            the shard header's reserved bytes is out of bounds
            the shard header's stored length is out of bounds
            the shard header's stored length is out of bounds
            the shard header's plain length is out of bounds
            the shard header's shard length is out of bounds"#]]
        .assert_eq(&told.join("\n"));
        assert_eq!(ShardHeader::decode(&[]), Err(HeaderError::NotAHeader));
    }
}
