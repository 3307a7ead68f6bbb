//! Reading and writing large stretches without filling the machine's memory with them.
//!
//! Linux since 6.14 takes single reads and writes past the page cache: what was written goes to the
//! drive at once and its pages are given up when it is there, what was read only for this is given
//! up too, and what is cached already stays. A terabyte that streams through a node then takes no
//! memory from its tables, and a sync finds little left to write. Kernels and file systems that do
//! not know the flag are asked the plain way.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};

/// Shorter stretches are not worth it: their pages are shared with their neighbours.
const STRETCH_MIN: usize = 64 << 10;

/// Written at once. Longer writes take larger blocks of memory, which come fresh from the machine
/// instead of those that the last write gave up.
const STEP: usize = 512 << 10;

/// Whether the machine refused the flag once; then it is not asked again.
static REFUSED: AtomicBool = AtomicBool::new(false);

/// Fills `buffer` from `offset`.
///
/// # Errors
/// [`io::ErrorKind::UnexpectedEof`] when the file ends before.
pub fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    let mut done = 0;
    while done < buffer.len() && buffer.len() >= STRETCH_MIN && !REFUSED.load(Ordering::Relaxed) {
        match flagged::read(file, &mut buffer[done..], offset + done as u64) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => done += count,
            Err(error) => give_way(error)?,
        }
    }
    file.read_exact_at(&mut buffer[done..], offset + done as u64)
}

/// Writes all of `bytes` at `offset`.
///
/// # Errors
/// What the machine says.
pub fn write_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    // The pages at both ends hold others' bytes too, which come soon: those are kept.
    let head = offset.next_multiple_of(PAGE) - offset;
    let head = usize::try_from(head).unwrap_or(usize::MAX).min(bytes.len());
    let (head, rest) = bytes.split_at(head);
    let (middle, tail) = rest.split_at(rest.len() - rest.len() % PAGE as usize);
    file.write_all_at(head, offset)?;
    let mut at = offset + head.len() as u64;
    let mut left = middle;
    while !left.is_empty() && bytes.len() >= STRETCH_MIN && !REFUSED.load(Ordering::Relaxed) {
        match flagged::write(file, &left[..left.len().min(STEP)], at) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => {
                left = &left[count..];
                at += count as u64;
            }
            Err(error) => give_way(error)?,
        }
    }
    file.write_all_at(left, at)?;
    file.write_all_at(tail, at + left.len() as u64)
}

const PAGE: u64 = 4096;

/// Bytes on their way to a place in a file, in memory that is used again. They lie in it as they
/// will lie in the file's blocks, so that the drive can take them from there, without a copy.
#[derive(Debug, Default)]
pub struct Stretch {
    memory: Vec<u8>,
    start: usize,
    offset: u64,
}

impl Stretch {
    /// Begins anew, with at most `len` bytes that belong at `offset`.
    pub fn begin(&mut self, offset: u64, len: usize) {
        self.memory.clear();
        self.memory.reserve_exact(len + 2 * PAGE as usize);
        let block = self.memory.as_ptr().align_offset(PAGE as usize);
        // No block begins where it cannot be said: then the bytes are copied.
        let block = if block < PAGE as usize { block } else { 0 };
        (self.start, self.offset) = (block + (offset % PAGE) as usize, offset);
        self.memory.resize(self.start, 0);
    }

    /// Adds what follows.
    pub fn push(&mut self, bytes: &[u8]) {
        self.memory.extend_from_slice(bytes);
    }

    /// All that there is.
    pub fn bytes(&self) -> &[u8] {
        &self.memory[self.start..]
    }

    /// Writes the first `len` bytes to their place.
    ///
    /// # Errors
    /// What the machine says.
    pub fn write_to(&self, file: &File, len: usize) -> io::Result<()> {
        let bytes = &self.bytes()[..len];
        let head = self.offset.next_multiple_of(PAGE) - self.offset;
        let head = usize::try_from(head).unwrap_or(usize::MAX).min(bytes.len());
        let blocks = (bytes.len() - head) / PAGE as usize * PAGE as usize;
        let direct = if blocks >= STRETCH_MIN { direct(file) } else { None };
        let Some(direct) = direct else { return write_at(file, bytes, self.offset) };
        let (head, rest) = bytes.split_at(head);
        let (blocks, tail) = rest.split_at(blocks);
        let at = self.offset + head.len() as u64;
        match direct.write_all_at(blocks, at) {
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                return write_at(file, bytes, self.offset);
            }
            written => written?,
        }
        file.write_all_at(head, self.offset)?;
        file.write_all_at(tail, at + blocks.len() as u64)
    }
}

/// The file once more, for calls that move whole blocks between memory and drive; nothing where
/// the file system has no such calls.
#[cfg(target_os = "linux")]
fn direct(file: &File) -> Option<File> {
    use rustix::fs::{Mode, OFlags, open};
    use std::os::fd::AsRawFd;

    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    open(path, OFlags::WRONLY | OFlags::DIRECT | OFlags::CLOEXEC, Mode::empty())
        .ok()
        .map(File::from)
}

#[cfg(not(target_os = "linux"))]
fn direct(_: &File) -> Option<File> {
    None
}

/// Gives up what the machine has in memory of a file. Direct calls that find pages of theirs there,
/// and in use, would make the next sync of the file fail.
pub fn forget(file: &File) {
    #[cfg(target_os = "linux")]
    // It is advice: a file system that has none of this keeps nothing either.
    let _ = rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed);
    #[cfg(not(target_os = "linux"))]
    let _ = file;
}

/// What to do about an error of the flagged call: try again, or the plain way, or give up.
fn give_way(error: io::Error) -> io::Result<()> {
    match error.kind() {
        io::ErrorKind::Interrupted => Ok(()),
        io::ErrorKind::Unsupported | io::ErrorKind::InvalidInput => {
            REFUSED.store(true, Ordering::Relaxed);
            Ok(())
        }
        _ => Err(error),
    }
}

#[cfg(target_os = "linux")]
mod flagged {
    use std::fs::File;
    use std::io::{self, IoSlice, IoSliceMut};

    use rustix::io::{ReadWriteFlags, preadv2, pwritev2};

    /// `RWF_DONTCACHE` of linux/fs.h.
    const DONT_CACHE: ReadWriteFlags = ReadWriteFlags::from_bits_retain(0x80);

    pub(super) fn read(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        Ok(preadv2(file, &mut [IoSliceMut::new(buffer)], offset, DONT_CACHE)?)
    }

    pub(super) fn write(file: &File, bytes: &[u8], offset: u64) -> io::Result<usize> {
        Ok(pwritev2(file, &[IoSlice::new(bytes)], offset, DONT_CACHE)?)
    }
}

#[cfg(not(target_os = "linux"))]
mod flagged {
    use std::fs::File;
    use std::io;

    pub(super) fn read(_: &File, _: &mut [u8], _: u64) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn write(_: &File, _: &[u8], _: u64) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::{PAGE, Stretch, read_at, write_at};

    /// Neighbours share blocks, and memory is used again at another alignment.
    #[test]
    fn stretches_keep_what_lies_beside_them_in_a_block() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut options = File::options();
        let file = options.read(true).write(true).create(true).truncate(true);
        let file = file.open(folder.path().join("x")).expect("a file");
        let expected: Vec<u8> = (0..900_000_u32).map(|n| (n * 7 + n / 256) as u8).collect();
        let mut stretch = Stretch::default();
        let ends = [0, 1, 70_000, 2 * 70_001, 300_000, 300_000 + PAGE as usize, 700_001, 900_000];
        for range in ends.windows(2).rev() {
            stretch.begin(range[0] as u64, range[1] - range[0]);
            let (first, second) = expected[range[0]..range[1]].split_at((range[1] - range[0]) / 3);
            stretch.push(first);
            stretch.push(second);
            assert!(stretch.bytes() == &expected[range[0]..range[1]]);
            stretch.write_to(&file, range[1] - range[0]).expect("written");
        }
        let mut read = vec![0; expected.len()];
        read_at(&file, &mut read, 0).expect("read");
        assert!(read == expected);
        stretch.begin(5, 400_000);
        stretch.push(&expected[..400_000]);
        stretch.write_to(&file, 100_000).expect("a part of it is written");
        read_at(&file, &mut read, 0).expect("read");
        assert!(read[5..100_005] == expected[..100_000]);
        assert!(read[100_005..] == expected[100_005..] && read[..5] == expected[..5]);
    }

    /// Whatever the ends are aligned to, and whether or not the machine knows the flag.
    #[test]
    fn stretches_come_back_as_they_were_written() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x");
        let mut options = File::options();
        let file = options.read(true).write(true).create(true).truncate(true).open(&path);
        let file = file.expect("a file");
        let bytes: Vec<u8> = (0..1_000_003_u32).map(|n| (n * 7 + n / 256) as u8).collect();
        let mut expected = Vec::new();
        for (offset, len) in [(0, 300_000), (299_000, 70_001), (4096, 8192), (500_001, 400_000)] {
            write_at(&file, &bytes[..len], offset as u64).expect("written");
            expected.resize(expected.len().max(offset + len), 0);
            expected[offset..offset + len].copy_from_slice(&bytes[..len]);
        }
        for (offset, len) in [(0, 900_001), (1, 100), (4095, 65_537), (70_000, 200_000)] {
            let mut read = vec![0; len];
            read_at(&file, &mut read, offset as u64).expect("read");
            assert!(read == expected[offset..offset + len], "{len} bytes from {offset}");
        }
        let mut beyond = vec![0; 100_000];
        let error = read_at(&file, &mut beyond, 850_000).expect_err("the file ends before");
        assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof);
    }
}
