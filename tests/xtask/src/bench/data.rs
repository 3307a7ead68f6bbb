//! Files to measure with: bytes that neither compress nor repeat, the same in every run.

use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::failure::Failure;

/// How much each scenario works on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    /// Bytes of the large file.
    pub(crate) large: u64,
    /// Bytes of the file that is edited.
    pub(crate) edited: u64,
    /// Bytes of one edit.
    pub(crate) edit: u64,
    /// How many small files.
    pub(crate) small_files: u64,
    /// Bytes of a small file.
    pub(crate) small: u64,
    /// Files of a share that holds many.
    pub(crate) many_files: u64,
}

impl Sizes {
    pub(crate) fn shrunk(by: u64) -> Self {
        Self {
            large: (1 << 30) / by,
            edited: 500_000_000 / by,
            edit: 2_000_000 / by,
            small_files: 10_000 / by,
            small: 4096,
            many_files: 1_000_000 / by,
        }
    }
}

/// SplitMix64 (Steele, Lea and Flood, 2014): plain, fast, and good enough not to compress.
pub(crate) struct Bytes(u64);

impl Bytes {
    pub(crate) fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn fill(&mut self, buffer: &mut [u8]) {
        for part in buffer.chunks_mut(8) {
            part.copy_from_slice(&self.next().to_le_bytes()[..part.len()]);
        }
    }

    /// Writes `count` bytes.
    fn write(&mut self, mut count: u64, to: &mut impl Write) -> std::io::Result<()> {
        let mut buffer = [0; 1 << 16];
        while count > 0 {
            let part = usize::try_from(count).unwrap_or(usize::MAX).min(buffer.len());
            self.fill(&mut buffer[..part]);
            to.write_all(&buffer[..part])?;
            count -= part as u64;
        }
        Ok(())
    }
}

/// A file of this size.
pub(crate) fn file(path: &Path, size: u64, seed: u64) -> Result<(), Failure> {
    let write = || {
        let mut file = BufWriter::with_capacity(1 << 20, File::create(path)?);
        Bytes::seeded(seed).write(size, &mut file)?;
        file.into_inner()?.sync_all()
    };
    write().map_err(Failure::file(path))
}

/// A folder of `count` files, a hundred to a folder.
pub(crate) fn small_files(folder: &Path, count: u64, size: u64, seed: u64) -> Result<(), Failure> {
    for index in 0..count {
        let inner = folder.join(format!("folder-{:03}", index / 100));
        fs::create_dir_all(&inner).map_err(Failure::file(&inner))?;
        file(&inner.join(format!("file-{index:05}.bin")), size, seed.wrapping_add(index))?;
    }
    Ok(())
}

/// A folder of `count` files, all in it.
pub(crate) fn flat_files(folder: &Path, count: u64, size: u64, seed: u64) -> Result<(), Failure> {
    fs::create_dir_all(folder).map_err(Failure::file(folder))?;
    for index in 0..count {
        let path = folder.join(format!("file-{index:05}.bin"));
        file(&path, size, seed.wrapping_add(index))?;
    }
    Ok(())
}

/// Replaces `count` bytes at `offset`.
pub(crate) fn overwrite(path: &Path, offset: u64, count: u64, seed: u64) -> Result<(), Failure> {
    let write = || {
        let mut file = OpenOptions::new().write(true).open(path)?;
        file.seek(SeekFrom::Start(offset))?;
        Bytes::seeded(seed).write(count, &mut file)
    };
    write().map_err(Failure::file(path))
}

/// Puts `count` bytes in at `offset`, moving what follows.
pub(crate) fn insert(path: &Path, offset: u64, count: u64, seed: u64) -> Result<(), Failure> {
    let beside: PathBuf = path.with_extension("inserting");
    let write = || {
        let mut from = File::open(path)?;
        let mut to = BufWriter::with_capacity(1 << 20, File::create(&beside)?);
        std::io::copy(&mut (&mut from).take(offset), &mut to)?;
        Bytes::seeded(seed).write(count, &mut to)?;
        std::io::copy(&mut from, &mut to)?;
        to.flush()?;
        fs::rename(&beside, path)
    };
    write().map_err(Failure::file(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_the_same_in_every_run_and_do_not_repeat() {
        let take = |seed| {
            let mut bytes = Vec::new();
            Bytes::seeded(seed).write(1_000, &mut bytes).expect("memory takes it");
            bytes
        };
        assert_eq!(take(7), take(7));
        assert_ne!(take(7), take(8));
        assert_ne!(take(7)[..500], take(7)[500..]);
    }

    #[test]
    fn edits_change_what_they_say() {
        let folder = std::env::temp_dir().join(format!("xtask-data-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a scratch folder");
        let path = folder.join("edited");
        file(&path, 1_000, 1).expect("written");
        let before = fs::read(&path).expect("read");
        overwrite(&path, 500, 100, 2).expect("overwritten");
        let after = fs::read(&path).expect("read");
        assert_eq!((&after[..500], &after[600..]), (&before[..500], &before[600..]));
        assert_ne!(after[500..600], before[500..600]);
        insert(&path, 10, 100, 3).expect("inserted");
        let longer = fs::read(&path).expect("read");
        assert_eq!((&longer[..10], &longer[110..]), (&after[..10], &after[10..]));
        fs::remove_dir_all(&folder).expect("removed");
    }
}
