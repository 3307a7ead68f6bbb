//! Cutting a file and naming the pieces, and telling whether a file still is what its pieces say.

use std::io;
use std::path::Path;

use chunkstore_core::cut::Cutter;
use node_base::sha256;
use tokio::sync::mpsc;

use crate::disk::Reader;
use crate::state::Chunk;

/// A file up to here is one chunk.
pub(crate) const SMALL_MAX: u64 = node_base::limits::CDC_MIN as u64;

const READ: usize = 1 << 20;

/// The first pieces are handed on early, so that sending begins while cutting goes on.
const FIRST_GROUP: usize = 32;
const GROUP: usize = 256;

/// Cuts all of a file and hands the pieces on in groups; how long the file was. Ends early when
/// nobody takes them any more.
pub(crate) fn cut(path: &Path, groups: &mpsc::Sender<Vec<Chunk>>) -> io::Result<u64> {
    let reader = Reader::open(path)?;
    let mut cutter = Cutter::by_content();
    let (mut lengths, mut group) = (Vec::new(), Vec::new());
    let mut group_size = FIRST_GROUP;
    // From the last boundary on.
    let mut pending: Vec<u8> = Vec::with_capacity(2 * READ);
    let mut total = 0;
    loop {
        let old = pending.len();
        pending.resize(old + READ, 0);
        let read = reader.read_at(&mut pending[old..], total)?;
        pending.truncate(old + read);
        total += read as u64;
        if read == 0 {
            break;
        }
        cutter.feed(&pending[old..], &mut lengths);
        let mut start = 0;
        for len in lengths.drain(..) {
            group.push(chunk(&pending[start..start + len]));
            start += len;
        }
        pending.drain(..start);
        if group.len() >= group_size {
            group_size = GROUP;
            if groups.blocking_send(std::mem::take(&mut group)).is_err() {
                return Ok(total);
            }
        }
    }
    if cutter.finish().is_some() {
        group.push(chunk(&pending));
    }
    if !group.is_empty() {
        // Nobody takes them only where the upload has failed, and that is told there.
        let _ = groups.blocking_send(group);
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
    use tokio::sync::mpsc;

    use super::{chunk, consists_of, cut};
    use crate::disk;

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
        let (groups, mut pieces) = mpsc::channel(8);
        assert_eq!(cut(&path, &groups).expect("read"), 13 << 20);
        drop(groups);
        let mut all = Vec::new();
        while let Some(group) = pieces.blocking_recv() {
            all.extend(group);
        }
        let mut offset = 0;
        for piece in &all {
            let len = piece.size as usize;
            assert_eq!(chunk(&bytes[offset..offset + len]), *piece);
            offset += len;
        }
        assert_eq!(offset, bytes.len());
        assert!(consists_of(&path, &all).expect("read"));
        assert!(!consists_of(&path, &all[1..]).expect("read"));
        assert!(!consists_of(&path, &all[..all.len() - 1]).expect("read"));
    }
}
