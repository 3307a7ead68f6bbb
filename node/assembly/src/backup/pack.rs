//! A file of chunks.
//!
//! ```text
//! head   "SdBkPack" │ version u32 │ zero u32
//! bodies one chunk behind the other
//! list   for each: SHA-256 (32) │ offset u64 │ length u32
//! tail   BLAKE3 of the list (32) │ count u32 │ "SdBkTail"
//! ```
//!
//! Numbers are little-endian. The list is at the end because it is known there; its hash stands in
//! the manifests, and each body is proved by its own.

use std::path::Path;
use std::sync::Arc;

use bytes::{Buf, BufMut};
use node_base::{Sha256, limits};
use node_world::{File, OpenMode, World};

use super::{BackupError, damaged, disk};

const MAGIC: &[u8; 8] = b"SdBkPack";
const TAIL_MAGIC: &[u8; 8] = b"SdBkTail";
const VERSION: u32 = 1;
const HEAD: u64 = 16;
const ENTRY: u64 = 44;
const TAIL: u64 = 44;
/// A pack is closed at about this size, and far below these many chunks.
const PACK_BYTES: u64 = 64 << 20;
const CHUNKS_MAX: u64 = 1 << 20;

/// Where a chunk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct At {
    pub(super) pack: u32,
    pub(super) offset: u64,
    pub(super) len: u32,
}

/// A pack that is whole as far as its list says.
pub(super) struct Pack {
    pub(super) file: Arc<dyn File>,
    pub(super) bytes: u64,
    /// Of the list.
    pub(super) hash: [u8; 32],
    /// Of the chunks.
    pub(super) body_bytes: u64,
}

type Entry = (Sha256, u64, u32);

impl Pack {
    /// Opens a pack and reads its list.
    pub(super) fn open(world: &World, path: &Path) -> Result<(Self, Vec<Entry>), BackupError> {
        let file = world.disk().open(path, OpenMode::Read).map_err(disk("open", path))?;
        let bytes = file.len().map_err(disk("read", path))?;
        let wrong = || damaged(path, "it is not a pack, or was cut off");
        let read = |at: u64, len: u64| {
            let mut part = vec![0; usize::try_from(len).unwrap_or(0)];
            file.read_at(&mut part, at).map_err(disk("read", path)).map(|()| part)
        };
        if bytes < HEAD + TAIL {
            return Err(wrong());
        }
        let head = read(0, HEAD)?;
        if !head.starts_with(MAGIC) {
            return Err(wrong());
        }
        if (&head[8..]).get_u32_le() != VERSION {
            return Err(BackupError::Newer { path: path.to_owned() });
        }
        let tail = read(bytes - TAIL, TAIL)?;
        let (hash, mut rest) = tail.split_first_chunk::<32>().ok_or_else(wrong)?;
        let count = u64::from(rest.get_u32_le());
        let room = bytes - HEAD - TAIL;
        if rest != TAIL_MAGIC || count > CHUNKS_MAX || count * ENTRY > room {
            return Err(wrong());
        }
        let begins = bytes - TAIL - count * ENTRY;
        let list = read(begins, count * ENTRY)?;
        if blake3::hash(&list) != *hash {
            return Err(damaged(path, "its list is not what was written"));
        }
        let mut entries = Vec::with_capacity(count as usize);
        let mut body_bytes = 0;
        for mut entry in list.chunks_exact(ENTRY as usize) {
            let mut hash = [0; 32];
            entry.copy_to_slice(&mut hash);
            let (offset, len) = (entry.get_u64_le(), entry.get_u32_le());
            let fits = offset.checked_add(u64::from(len)).is_some_and(|end| end <= begins);
            if !fits || len as usize > limits::CHUNK_MAX {
                return Err(damaged(path, "its list names what is not there"));
            }
            body_bytes += u64::from(len);
            entries.push((Sha256(hash), offset, len));
        }
        Ok((Self { file, bytes, hash: *hash, body_bytes }, entries))
    }
}

/// A pack being written.
pub(super) struct PackWriter {
    file: Arc<dyn File>,
    end: u64,
    list: Vec<u8>,
    entries: Vec<Entry>,
}

impl PackWriter {
    /// Begins in an empty file.
    pub(super) fn begin(file: Arc<dyn File>, path: &Path) -> Result<Self, BackupError> {
        let mut head = MAGIC.to_vec();
        head.put_u32_le(VERSION);
        head.put_u32_le(0);
        file.write_at(&head, 0).map_err(disk("write", path))?;
        Ok(Self { file, end: HEAD, list: Vec::new(), entries: Vec::new() })
    }

    pub(super) fn put(
        &mut self,
        path: &Path,
        hash: Sha256,
        chunk: &[u8],
    ) -> Result<(), BackupError> {
        self.file.write_uncached_at(chunk, self.end).map_err(disk("write", path))?;
        // At most CHUNK_MAX.
        let len = chunk.len() as u32;
        self.list.extend_from_slice(&hash.0);
        self.list.put_u64_le(self.end);
        self.list.put_u32_le(len);
        self.entries.push((hash, self.end, len));
        self.end += u64::from(len);
        Ok(())
    }

    pub(super) fn is_full(&self) -> bool {
        self.end >= PACK_BYTES || self.entries.len() as u64 >= CHUNKS_MAX / 2
    }

    /// Writes the list; what is left is to make it durable.
    pub(super) fn end(self, path: &Path) -> Result<(Pack, Vec<Entry>), BackupError> {
        let Self { file, end, mut list, entries } = self;
        let hash = *blake3::hash(&list).as_bytes();
        list.extend_from_slice(&hash);
        // Far below 2³².
        list.put_u32_le(entries.len() as u32);
        list.extend_from_slice(TAIL_MAGIC);
        file.write_at(&list, end).map_err(disk("write", path))?;
        let bytes = end + list.len() as u64;
        let body_bytes = end - HEAD;
        Ok((Pack { file, bytes, hash, body_bytes }, entries))
    }
}
