//! Cutting a file and naming the pieces, and telling whether a file still is what its pieces say.

use std::io;
use std::path::Path;

use bytes::Bytes;
use chunkstore_core::buffer::Buffers;
use chunkstore_core::cut::Cutter;
use node_base::limits::{CDC_MAX, CDC_MIN};
use node_base::sha256;

use crate::disk::Reader;
use crate::state::Chunk;

/// A file up to here is one chunk.
pub(crate) const SMALL_MAX: u64 = CDC_MIN as u64;

/// Bytes read at once. The pieces are slices of what was read, so nothing is copied again.
const READ: usize = 4 << 20;

/// Reads whose pieces are handed on together: the first at once, so that sending begins while
/// cutting goes on.
const GROUP_READS: usize = 4;

/// Memory that is kept for the next reads: about what is on its way at a time.
const KEPT_MAX: usize = 64 << 20;

/// Pieces that follow each other in a file, with their bytes.
pub(crate) type Group = Vec<(Chunk, Bytes)>;

/// Cuts all of a file and gives the pieces to `take` in groups; how long the file was. Ends early
/// when `take` answers that nobody wants more.
pub(crate) fn cut(path: &Path, mut take: impl FnMut(Group) -> bool) -> io::Result<u64> {
    let reader = Reader::open(path)?;
    let buffers = Buffers::keeping(KEPT_MAX);
    let mut cutter = Cutter::by_content();
    let (mut lengths, mut group, mut reads) = (Vec::new(), Group::new(), GROUP_READS - 1);
    // From the last boundary on: less than the longest chunk.
    let mut pending = Bytes::new();
    let mut total = 0;
    loop {
        let mut buffer = buffers.take(CDC_MAX + READ);
        let (before, new) = buffer.as_mut().split_at_mut(pending.len());
        before.copy_from_slice(&pending);
        let read = reader.read_at(&mut new[..READ], total)?;
        if read == 0 {
            break;
        }
        total += read as u64;
        cutter.feed(&new[..read], &mut lengths);
        pending = buffer.freeze(pending.len() + read);
        for len in lengths.drain(..) {
            let piece = pending.split_to(len);
            group.push((chunk(&piece), piece));
        }
        reads += 1;
        if reads >= GROUP_READS && !group.is_empty() {
            reads = 0;
            if !take(std::mem::take(&mut group)) {
                return Ok(total);
            }
        }
    }
    if cutter.finish().is_some() {
        group.push((chunk(&pending), pending));
    }
    if !group.is_empty() {
        take(group);
    }
    Ok(total)
}

/// The piece that these bytes are.
pub(crate) fn chunk(bytes: &[u8]) -> Chunk {
    let size = u32::try_from(bytes.len()).expect("a chunk is at most 8 MiB");
    Chunk { hash: sha256(bytes), size }
}

/// Whether a file consists of these pieces and nothing else.
pub(crate) fn consists_of(path: &Path, chunks: &[Chunk]) -> io::Result<bool> {
    let reader = Reader::open(path)?;
    let mut offset = 0;
    for piece in chunks {
        match reader.part(offset, piece.size as usize)? {
            Some(bytes) if sha256(&bytes) == piece.hash => offset += u64::from(piece.size),
            Some(_) | None => return Ok(false),
        }
    }
    Ok(reader.read_at(&mut [0], offset)? == 0)
}

#[cfg(test)]
mod tests {
    use super::{chunk, consists_of, cut};
    use crate::disk;
    use crate::state::Chunk;

    fn noise(len: usize) -> Vec<u8> {
        let mut seed = 0x9E37_79B9_7F4A_7C15_u64;
        let mut bytes = Vec::with_capacity(len + 8);
        while bytes.len() < len {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            bytes.extend(seed.to_le_bytes());
        }
        bytes.truncate(len);
        bytes
    }

    #[test]
    fn a_file_is_its_pieces_in_order_and_nothing_else() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x");
        let bytes = noise(13 << 20);
        disk::write_private(&path, &bytes).expect("written");
        let mut all = Vec::new();
        let take = |group| {
            all.extend(group);
            true
        };
        assert_eq!(cut(&path, take).expect("read"), 13 << 20);
        let mut offset = 0;
        for (piece, its_bytes) in &all {
            let len = piece.size as usize;
            assert_eq!(chunk(&bytes[offset..offset + len]), *piece);
            assert!(bytes[offset..offset + len] == *its_bytes, "{len} bytes from {offset}");
            offset += len;
        }
        assert_eq!(offset, bytes.len());
        let all: Vec<Chunk> = all.into_iter().map(|(piece, _)| piece).collect();
        assert!(consists_of(&path, &all).expect("read"));
        assert!(!consists_of(&path, &all[1..]).expect("read"));
        assert!(!consists_of(&path, &all[..all.len() - 1]).expect("read"));
    }
}
