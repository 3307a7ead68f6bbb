//! Hints: what a pack holds, in a file beside it, so that a start need not walk the pack.
//!
//! A hint file is a sequence of blocks, each for the stretch of the pack behind the one before.
//! Blocks are written only for what is durable in the pack, and never synced until the pack is
//! closed: what is lost, torn or rotten of them is read from the pack instead.

use std::io;

use node_base::Timestamp;
use node_world::File;

use super::index::{Entry, Note, Print, What};
use super::record::Seal;

const MAGIC: [u8; 4] = *b"SDht";
const HEAD_LEN: usize = 32;
const ENTRY_LEN: usize = 40;
/// No block is larger: a reader takes no more into memory.
pub(crate) const ENTRIES_MAX: usize = 1 << 14;

/// Appends a block to `out`.
///
/// ```text
///  0   4  magic "SDht"
///  4   4  number of entries
///  8   8  offset in the pack from which the block tells
/// 16   8  offset up to which it tells
/// 24   8  check: keyed BLAKE3 of pack number, this block's offset, bytes 0..24 and the entries
/// 32      entries of 40 bytes:
///           0  16  what stands for tenant, hash, generation and index
///          16   8  offset of the record
///          24   4  length of its body
///          28   1  kind, as in the record
///          29   3  zero
///          32   8  log time
/// ```
pub(crate) fn write(
    seal: &Seal,
    pack: u32,
    at: u64,
    span: (u64, u64),
    entries: &[Entry],
    out: &mut Vec<u8>,
) {
    let mut body = Vec::with_capacity(entries.len() * ENTRY_LEN);
    for entry in entries {
        let (kind, time) = match entry.what {
            What::Shard => (1, 0),
            What::Note(Note::Trash(at)) => (2, at.millis()),
            What::Note(Note::Restore) => (3, 0),
            What::Note(Note::Gone) => (4, 0),
        };
        body.extend_from_slice(&entry.print.0.to_be_bytes());
        body.extend_from_slice(&entry.at.to_le_bytes());
        body.extend_from_slice(&entry.body_len.to_le_bytes());
        body.extend_from_slice(&[kind, 0, 0, 0]);
        body.extend_from_slice(&i64::to_le_bytes(time));
    }
    let mut head = [0; 24];
    head[..4].copy_from_slice(&MAGIC);
    head[4..8].copy_from_slice(&(entries.len() as u32).to_le_bytes());
    head[8..16].copy_from_slice(&span.0.to_le_bytes());
    head[16..].copy_from_slice(&span.1.to_le_bytes());
    out.extend_from_slice(&head);
    out.extend_from_slice(&seal.check(pack, at, &[&head, &body]));
    out.extend_from_slice(&body);
}

/// What the hints of a pack tell.
pub(crate) struct Told {
    /// Up to here in the pack.
    pub(crate) to: u64,
    /// Up to here in the hint file, where the next block goes.
    pub(crate) end: u64,
}

/// Reads the blocks that are whole, in order, as far as the pack reaches.
///
/// # Errors
/// When the file cannot be read.
pub(crate) fn read(
    file: &dyn File,
    seal: &Seal,
    pack: u32,
    pack_len: u64,
    mut each: impl FnMut(&Entry),
) -> io::Result<Told> {
    let len = file.len()?;
    let mut told = Told { to: 0, end: 0 };
    let mut body = Vec::new();
    while told.end + HEAD_LEN as u64 <= len {
        let mut head = [0; HEAD_LEN];
        file.read_at(&mut head, told.end)?;
        let count = u32::from_le_bytes(four(&head[4..8])) as usize;
        let (from, to) =
            (u64::from_le_bytes(eight(&head[8..16])), u64::from_le_bytes(eight(&head[16..24])));
        let end = told.end + (HEAD_LEN + count * ENTRY_LEN) as u64;
        let follows = from == told.to && from <= to && to <= pack_len;
        if head[..4] != MAGIC || count > ENTRIES_MAX || end > len || !follows {
            break;
        }
        body.resize(count * ENTRY_LEN, 0);
        file.read_at(&mut body, told.end + HEAD_LEN as u64)?;
        if head[24..] != seal.check(pack, told.end, &[&head[..24], &body]) {
            break;
        }
        let Some(entries) = body.as_chunks::<ENTRY_LEN>().0.iter().map(entry).collect() else {
            break;
        };
        let entries: Vec<Entry> = entries;
        entries.iter().for_each(&mut each);
        told = Told { to, end };
    }
    Ok(told)
}

fn entry(bytes: &[u8; ENTRY_LEN]) -> Option<Entry> {
    let mut print = [0; 16];
    print.copy_from_slice(&bytes[..16]);
    let what = match bytes[28] {
        1 => What::Shard,
        2 => {
            let at = i64::from_le_bytes(eight(&bytes[32..]));
            What::Note(Note::Trash(Timestamp::from_millis(at)))
        }
        3 => What::Note(Note::Restore),
        4 => What::Note(Note::Gone),
        _ => return None,
    };
    Some(Entry {
        print: Print(u128::from_be_bytes(print)),
        at: u64::from_le_bytes(eight(&bytes[16..24])),
        body_len: u32::from_le_bytes(four(&bytes[24..28])),
        what,
    })
}

fn four(bytes: &[u8]) -> [u8; 4] {
    let mut four = [0; 4];
    four.copy_from_slice(bytes);
    four
}

fn eight(bytes: &[u8]) -> [u8; 8] {
    let mut eight = [0; 8];
    eight.copy_from_slice(bytes);
    eight
}
