//! Records: what a pack file is made of.

use std::io;

use chunkstore_core::shard::{ChunkKey, HEADER_LEN, ShardHeader};
use node_base::{DriveId, Timestamp};
use node_world::File;

use super::index::{Entry, Note, Print, What};

const MAGIC: [u8; 4] = *b"SDrc";
const VERSION: u8 = 1;
const FRAME_LEN: usize = 24;
const NOTE_LEN: usize = 24;
/// What stands before a shard's bytes.
pub(crate) const SHARD_PREFIX: usize = FRAME_LEN + HEADER_LEN;
/// A record of another kind, whole.
pub(crate) const NOTE_RECORD: usize = FRAME_LEN + NOTE_LEN;
/// Records start at multiples of this.
pub(crate) const ALIGN: u64 = 8;

const DENSE_WINDOW: usize = 256 << 10;
const SPARSE_WINDOW: usize = 4 << 10;
const SPARSE_BODY: u32 = 64 << 10;

/// Proves that bytes were written as a record at this place of this drive.
///
/// The check is a keyed hash over the record's place and head. Bytes that someone stores and that
/// look like a record, a record copied elsewhere, and a write that went astray all fail it, so a
/// pack can be searched for records behind a torn or rotten stretch.
pub(crate) struct Seal {
    key: [u8; 32],
}

/// The head of a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Record {
    Shard(ShardHeader),
    Note(Print, Note),
}

impl Seal {
    pub(crate) fn new(drive: DriveId) -> Self {
        Self { key: blake3::derive_key("scaidrive pack records v1", &drive.0.to_be_bytes()) }
    }

    /// What stands for a chunk's shards on this drive.
    pub(crate) fn print(&self, key: &ChunkKey, index: u8) -> Print {
        let mut bytes = [0; 56];
        bytes[..32].copy_from_slice(&key.hash.0);
        bytes[32..48].copy_from_slice(&key.tenant.to_bytes());
        bytes[48..].copy_from_slice(&key.generation.0.to_le_bytes());
        let mut head = [0; 16];
        head.copy_from_slice(&blake3::keyed_hash(&self.key, &bytes).as_bytes()[..16]);
        Print::new(u128::from_be_bytes(head), index)
    }

    /// A keyed hash of bytes at a place.
    pub(crate) fn check(&self, pack: u32, at: u64, parts: &[&[u8]]) -> [u8; 8] {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(&pack.to_le_bytes()).update(&at.to_le_bytes());
        for part in parts {
            hasher.update(part);
        }
        let mut check = [0; 8];
        check.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
        check
    }

    /// Appends the head of a record that will stand at `at`.
    ///
    /// ```text
    ///  0   4  magic "SDrc"
    ///  4   1  version, 1
    ///  5   1  kind: 1 shard, 2 trash, 3 restore, 4 gone
    ///  6   2  zero
    ///  8   4  length of what follows the head: the shard's bytes
    /// 12   4  zero
    /// 16   8  check: keyed BLAKE3 of pack number, offset, bytes 0..16 and the rest of the head
    /// 24      shard: its header of 112 bytes, then its bytes
    ///         others: 16 bytes standing for tenant, hash, generation and index; 8 of log time
    /// ```
    ///
    /// Numbers are little-endian. A record begins at a multiple of 8; zeros fill the gap. There is
    /// no checksum of the body here: a shard's header has a better one.
    pub(crate) fn write(&self, pack: u32, at: u64, record: &Record, out: &mut Vec<u8>) {
        let of_shard;
        let mut of_note = [0; NOTE_LEN];
        let (kind, body_len, rest): (u8, u32, &[u8]) = match record {
            Record::Shard(header) => {
                of_shard = header.encode();
                (1, header.shape.shard_len() as u32, &of_shard)
            }
            Record::Note(print, note) => {
                let (kind, at) = match note {
                    Note::Trash(at) => (2, at.millis()),
                    Note::Restore => (3, 0),
                    Note::Gone => (4, 0),
                };
                of_note[..16].copy_from_slice(&print.0.to_be_bytes());
                of_note[16..].copy_from_slice(&at.to_le_bytes());
                (kind, 0, &of_note)
            }
        };
        let mut frame = [0; 16];
        frame[..4].copy_from_slice(&MAGIC);
        frame[4] = VERSION;
        frame[5] = kind;
        frame[8..12].copy_from_slice(&body_len.to_le_bytes());
        out.extend_from_slice(&frame);
        out.extend_from_slice(&self.check(pack, at, &[&frame, rest]));
        out.extend_from_slice(rest);
    }

    /// Reads the head of a record at `at`; nothing when there is none.
    pub(crate) fn read(&self, pack: u32, at: u64, head: &[u8]) -> Option<Record> {
        if head.get(..4)? != MAGIC || head[4..].first() != Some(&VERSION) {
            return None;
        }
        let kind = *head.get(5)?;
        let rest = match kind {
            1 => head.get(FRAME_LEN..SHARD_PREFIX)?,
            2..=4 => head.get(FRAME_LEN..NOTE_RECORD)?,
            _ => return None,
        };
        if head[16..FRAME_LEN] != self.check(pack, at, &[&head[..16], rest]) {
            return None;
        }
        if kind == 1 {
            let header = ShardHeader::decode(rest).ok()?;
            let told = u32::from_le_bytes(head[8..12].try_into().ok()?);
            return (header.shape.shard_len() as u32 == told).then_some(Record::Shard(header));
        }
        let print = Print(u128::from_be_bytes(rest[..16].try_into().ok()?));
        let at = Timestamp::from_millis(i64::from_le_bytes(rest[16..].try_into().ok()?));
        let note = match kind {
            2 => Note::Trash(at),
            3 => Note::Restore,
            _ => Note::Gone,
        };
        Some(Record::Note(print, note))
    }
}

impl Record {
    /// The length of the head and of the body.
    pub(crate) fn lens(&self) -> (u64, u64) {
        match self {
            Self::Shard(header) => (SHARD_PREFIX as u64, header.shape.shard_len() as u64),
            Self::Note(..) => (NOTE_RECORD as u64, 0),
        }
    }

    /// What the index keeps of it.
    pub(crate) fn entry(&self, seal: &Seal, at: u64) -> Entry {
        match self {
            Self::Shard(header) => Entry {
                print: seal.print(&header.key, header.index),
                at,
                body_len: header.shape.shard_len() as u32,
                what: What::Shard,
            },
            Self::Note(print, note) => {
                Entry { print: *print, at, body_len: 0, what: What::Note(*note) }
            }
        }
    }
}

/// Walks the records of a pack in order, stepping over what is none.
pub(crate) struct Walk<'a> {
    file: &'a dyn File,
    seal: &'a Seal,
    pack: u32,
    at: u64,
    limit: u64,
    window: Vec<u8>,
    window_at: u64,
    dense: bool,
}

impl<'a> Walk<'a> {
    /// From the record that begins at `from` to `limit`.
    pub(crate) fn new(
        file: &'a dyn File,
        seal: &'a Seal,
        pack: u32,
        from: u64,
        limit: u64,
    ) -> Self {
        Self { file, seal, pack, at: from, limit, window: Vec::new(), window_at: 0, dense: true }
    }

    /// The next record and where it begins.
    ///
    /// # Errors
    /// When the pack cannot be read.
    pub(crate) fn next(&mut self) -> io::Result<Option<(u64, Record)>> {
        while self.at + NOTE_RECORD as u64 <= self.limit {
            let (at, pack, seal) = (self.at, self.pack, self.seal);
            let found = seal.read(pack, at, self.head()?);
            if let Some(record) = found {
                let (head, body) = record.lens();
                if at + head + body <= self.limit {
                    self.dense = body < u64::from(SPARSE_BODY);
                    self.at = (at + head + body).next_multiple_of(ALIGN);
                    return Ok(Some((at, record)));
                }
            }
            self.dense = true;
            self.at += ALIGN;
        }
        Ok(None)
    }

    fn head(&mut self) -> io::Result<&[u8]> {
        let wanted = (self.limit - self.at).min(SHARD_PREFIX as u64) as usize;
        let inside = self.window_at <= self.at
            && self.at + wanted as u64 <= self.window_at + self.window.len() as u64;
        if !inside {
            let window = if self.dense { DENSE_WINDOW } else { SPARSE_WINDOW };
            self.window.resize((self.limit - self.at).min(window as u64) as usize, 0);
            self.window_at = self.at;
            self.file.read_at(&mut self.window, self.at)?;
        }
        let from = (self.at - self.window_at) as usize;
        Ok(&self.window[from..from + wanted])
    }
}

#[cfg(test)]
mod tests {
    use chunkstore_core::pack::Compression;
    use chunkstore_core::shard::{ChunkKey, ShardHeader, checksum};
    use chunkstore_core::stripe::Shape;
    use node_base::{DriveId, Generation, Profile, TenantId, Timestamp, sha256};

    use super::super::index::{Entry, Note, Print, What};
    use super::{NOTE_RECORD, Record, SHARD_PREFIX, Seal};

    fn seal() -> Seal {
        Seal::new(DriveId(7))
    }

    fn records() -> Vec<Record> {
        let header = ShardHeader {
            key: ChunkKey {
                tenant: TenantId::from(3),
                hash: sha256(b"plain"),
                generation: Generation(5),
            },
            shape: Shape::new(Profile { data: 2, parity: 1 }, 100_000),
            compression: Compression::Plain,
            index: 2,
            plain_len: 100_000,
            checksum: checksum(b"shard"),
        };
        let print = seal().print(&header.key, 2);
        let notes = [Note::Trash(Timestamp::from_millis(-9)), Note::Restore, Note::Gone];
        let notes = notes.into_iter().map(|note| Record::Note(print, note));
        [Record::Shard(header)].into_iter().chain(notes).collect()
    }

    /// A released format does not change: these are the bytes on people's drives.
    #[test]
    fn golden_records_and_hints() {
        let mut bytes = Vec::new();
        records().iter().for_each(|record| seal().write(9, 800, record, &mut bytes));
        assert_eq!(bytes.len(), SHARD_PREFIX + 3 * NOTE_RECORD);
        assert_eq!(blake3::hash(&bytes).to_hex()[..32], *"c05f378a5064bd839abcf55235b0ac86");

        let entries: Vec<Entry> = records().iter().map(|r| r.entry(&seal(), 800)).collect();
        let mut hints = Vec::new();
        super::super::hint::write(&seal(), 9, 0, (0, 1600), &entries, &mut hints);
        assert_eq!(blake3::hash(&hints).to_hex()[..32], *"0cf596619af6a0f3a421f256de3af169");
    }

    #[test]
    fn a_record_is_one_only_where_it_was_written() {
        for record in records() {
            let mut bytes = Vec::new();
            seal().write(9, 800, &record, &mut bytes);
            assert_eq!(seal().read(9, 800, &bytes), Some(record));
            assert_eq!(seal().read(8, 800, &bytes), None);
            assert_eq!(seal().read(9, 808, &bytes), None);
            assert_eq!(Seal::new(DriveId(8)).read(9, 800, &bytes), None);
            for at in 0..bytes.len() {
                assert_eq!(seal().read(9, 800, &bytes[..at]), None);
                bytes[at] ^= 4;
                assert_eq!(seal().read(9, 800, &bytes), None, "byte {at}");
                bytes[at] ^= 4;
            }
        }
    }

    #[test]
    fn shards_of_a_chunk_lie_side_by_side() {
        let Record::Shard(header) = records()[0] else { panic!("the first is a shard") };
        let (first, last) = (seal().print(&header.key, 0), seal().print(&header.key, 255));
        assert_eq!((first.index(), last.index()), (0, 255));
        assert_eq!(last.0 - first.0, 255);
        assert_eq!(Print::new(last.0, 7).index(), 7);
        assert_eq!(
            records()[1].entry(&seal(), 8).what,
            What::Note(Note::Trash(Timestamp::from_millis(-9)))
        );
    }
}
