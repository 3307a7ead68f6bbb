//! One file of the log: its header, and reading its frames in order.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{Buf, BufMut};
use node_world::{Disk, File, OpenMode};

use super::LogError;
use super::frame::{HEAD, Head, Kind};

const MAGIC: &[u8; 8] = b"SdRftLog";
const VERSION: u32 = 1;
/// Where the frames begin.
pub(super) const START: u64 = 40;
const SUFFIX: &str = ".log";

/// An open file of the log.
///
/// ```text
///  0  magic    8 bytes "SdRftLog"
///  8  version  u32     1
/// 12  checksum u32     CRC-32C of everything else of the header
/// 16  number   u64     files are numbered without gaps
/// 24  first    u64     the index after the last entry when the file was begun
/// 32  zero     8 bytes
/// 40  frames
/// ```
///
/// `first` tells when older files are not needed: once everything below it is purged.
#[derive(Clone)]
pub(super) struct Segment {
    pub(super) number: u64,
    pub(super) first: u64,
    pub(super) path: PathBuf,
    pub(super) file: Arc<dyn File>,
    /// Up to where it is written, and synced.
    pub(super) len: u64,
}

fn header(number: u64, first: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(START as usize);
    bytes.extend_from_slice(MAGIC);
    bytes.put_u32_le(VERSION);
    bytes.put_u32_le(0);
    bytes.put_u64_le(number);
    bytes.put_u64_le(first);
    bytes.put_u64_le(0);
    let checksum = crc32c::crc32c(&bytes);
    bytes[12..16].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

pub(super) fn path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:016}{SUFFIX}"))
}

/// The number of the segment with this file name; nothing when it is no segment.
pub(super) fn number(name: &str) -> Option<u64> {
    name.strip_suffix(SUFFIX).filter(|digits| digits.len() == 16)?.parse().ok()
}

impl Segment {
    /// Begins a file, durably: once a frame is in it, its header and its name are safe.
    pub(super) fn begin(
        disk: &dyn Disk,
        folder: &Path,
        number: u64,
        first: u64,
    ) -> Result<Self, LogError> {
        let path = path(folder, number);
        let begin = || -> io::Result<Arc<dyn File>> {
            let file = disk.open(&path, OpenMode::CreateNew)?;
            file.write_at(&header(number, first), 0)?;
            file.sync_data()?;
            disk.sync_folder(folder)?;
            Ok(file)
        };
        let file = begin().map_err(|source| LogError::disk("begin", &path, source))?;
        Ok(Self { number, first, path, file, len: START })
    }

    /// Opens a file. Nothing when a crash left it before its header was durable.
    pub(super) fn open(
        disk: &dyn Disk,
        folder: &Path,
        number: u64,
    ) -> Result<Option<Self>, LogError> {
        let path = path(folder, number);
        let fault = |source| LogError::disk("open", &path, source);
        let file = disk.open(&path, OpenMode::Write).map_err(fault)?;
        let len = file.len().map_err(fault)?;
        let mut bytes = vec![0; len.min(START) as usize];
        file.read_at(&mut bytes, 0).map_err(fault)?;
        let damaged = |why| LogError::Damaged { path: path.clone(), offset: 0, why };
        let version = (&bytes[8.min(bytes.len())..]).try_get_u32_le().unwrap_or(0);
        if bytes.starts_with(MAGIC) && version > VERSION {
            return Err(LogError::Newer { path, found: version, known: VERSION });
        }
        let first = (&bytes[24.min(bytes.len())..]).try_get_u64_le().unwrap_or(0);
        if bytes == header(number, first) {
            return Ok(Some(Self { number, first, path, file, len }));
        }
        if len <= START { Ok(None) } else { Err(damaged("its header is not one")) }
    }
}

/// What is found at a place of a segment.
pub(super) enum Found<'a> {
    Frame {
        kind: Kind,
        payload: &'a [u8],
        /// Where the next frame begins.
        next: u64,
    },
    /// The file ends here.
    End,
    /// Bytes that are no whole frame.
    Damage,
}

/// Reads a segment in large pieces.
pub(super) struct Scan<'a> {
    segment: &'a Segment,
    piece: Vec<u8>,
    piece_at: u64,
}

/// How much is read at once.
const PIECE: usize = 1 << 20;

impl<'a> Scan<'a> {
    pub(super) fn new(segment: &'a Segment) -> Self {
        Self { segment, piece: Vec::new(), piece_at: 0 }
    }

    /// `length` bytes from `at`, or fewer where the file ends before.
    fn bytes(&mut self, at: u64, length: usize) -> Result<&[u8], LogError> {
        let length = self.segment.len.saturating_sub(at).min(length as u64) as usize;
        let end = self.piece_at + self.piece.len() as u64;
        if at < self.piece_at || at + length as u64 > end {
            let whole = self.segment.len.saturating_sub(at).min(length.max(PIECE) as u64);
            self.piece.resize(whole as usize, 0);
            self.piece_at = at;
            self.segment
                .file
                .read_at(&mut self.piece, at)
                .map_err(|source| LogError::disk("read", &self.segment.path, source))?;
        }
        let start = (at - self.piece_at) as usize;
        Ok(&self.piece[start..start + length])
    }

    /// What is at `at`.
    pub(super) fn at(&mut self, at: u64) -> Result<Found<'_>, LogError> {
        let head = self.bytes(at, HEAD)?;
        if head.is_empty() {
            return Ok(Found::End);
        }
        let Some(head) = Head::parse(head) else { return Ok(Found::Damage) };
        let frame = self.bytes(at, HEAD + head.length)?;
        if !head.fits(frame) {
            return Ok(Found::Damage);
        }
        let next = at + frame.len() as u64;
        Ok(Found::Frame { kind: head.kind, payload: &frame[HEAD..], next })
    }

    /// Whether a good frame behind `damage` knows that the place was synced once.
    pub(super) fn was_synced(&mut self, damage: u64) -> Result<bool, LogError> {
        let mut at = damage + 1;
        while at + HEAD as u64 <= self.segment.len {
            let window = self.bytes(at, PIECE)?;
            let starts = window.len() + 1 - HEAD;
            let heads = (0..starts)
                .filter_map(|i| Some((at + i as u64, Head::parse(&window[i..i + HEAD])?)))
                .collect::<Vec<_>>();
            for (place, head) in heads {
                let frame = self.bytes(place, HEAD + head.length)?;
                if head.synced > damage && head.fits(frame) {
                    return Ok(true);
                }
            }
            at += starts as u64;
        }
        Ok(false)
    }
}
