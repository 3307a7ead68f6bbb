//! An open file on a pretend drive.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use node_world::File;
use rand::RngExt;

use super::content::{Content, SECTOR};
use super::{State, lock};
use crate::node::Outside;
use crate::trace::Digest;

pub(super) struct PretendFile {
    pub(super) outside: Outside,
    pub(super) path: PathBuf,
    pub(super) content: Arc<Mutex<Content>>,
    pub(super) writable: bool,
}

impl PretendFile {
    fn change(&self) -> io::Result<MutexGuard<'_, State>> {
        if !self.writable {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, "opened for reading"));
        }
        self.outside.change()
    }

    fn line(&self, what: fmt::Arguments<'_>) {
        self.outside.line(format_args!("{} {what}", self.path.display()));
    }

    /// Some of what fits is written before the drive says that not all does.
    fn write_until_full(&self, bytes: &[u8], offset: u64, missing: u64) -> io::Result<()> {
        let fits = (bytes.len() as u64).saturating_sub(missing);
        let written = self.outside.faults().random_range(0..=fits) as usize;
        lock(&self.content).write(&bytes[..written], offset);
        self.line(format_args!("full {offset} {written}"));
        Err(io::ErrorKind::StorageFull.into())
    }

    /// The length grows as it should; the bytes land on another sector of the file, or outside it
    /// where there is no other.
    fn write_astray(&self, bytes: &[u8], offset: u64, end: u64) {
        let mut content = lock(&self.content);
        if end > content.len() {
            content.set_len(end);
        }
        let others = content.len().div_ceil(SECTOR).saturating_sub(1);
        let mut place = None;
        if others > 0 {
            let away = self.outside.faults().random_range(1..=others);
            let astray = (offset / SECTOR + away) % (others + 1) * SECTOR;
            let room = usize::try_from(content.len() - astray).unwrap_or(usize::MAX);
            content.write(&bytes[..bytes.len().min(room)], astray);
            place = Some(astray);
        }
        drop(content);
        self.line(format_args!("misdirected {offset} {place:?}"));
    }
}

fn happens(outside: &Outside, chance: f64) -> bool {
    // Nothing is drawn for what is switched off, so that switching one fault on leaves the others.
    chance > 0.0 && outside.faults().random_bool(chance.min(1.0))
}

impl File for PretendFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let (_, faults) = self.outside.look()?.faults(&self.path);
        if happens(&self.outside, faults.read_error) {
            self.line(format_args!("read-error {offset}"));
            return Err(io::Error::other("the drive cannot read this sector"));
        }
        if !buffer.is_empty() && happens(&self.outside, faults.rot) {
            let at =
                offset.saturating_add(self.outside.faults().random_range(0..buffer.len() as u64));
            lock(&self.content).rot(at, self.outside.faults().random_range(0..8));
            self.line(format_args!("rot {at}"));
        }
        if !lock(&self.content).read(buffer, offset) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        // What is read was decided when it was written.
        self.line(format_args!("read {offset} {}", buffer.len()));
        Ok(())
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let state = self.change()?;
        let end = offset.checked_add(bytes.len() as u64).ok_or(io::ErrorKind::FileTooLarge)?;
        let growth = end.saturating_sub(lock(&self.content).len());
        let missing = growth - state.room(&self.path, growth);
        let misdirected = state.faults(&self.path).1.misdirected;
        drop(state);
        if missing > 0 {
            return self.write_until_full(bytes, offset, missing);
        }
        if happens(&self.outside, misdirected) {
            self.write_astray(bytes, offset, end);
        } else {
            lock(&self.content).write(bytes, offset);
            self.line(format_args!("write {offset} {}", Digest(bytes)));
        }
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        let _alive = self.outside.look()?;
        Ok(lock(&self.content).len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let state = self.change()?;
        let growth = len.saturating_sub(lock(&self.content).len());
        if state.room(&self.path, growth) < growth {
            return Err(io::ErrorKind::StorageFull.into());
        }
        drop(state);
        lock(&self.content).set_len(len);
        self.line(format_args!("set-len {len}"));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        // A file opened for reading may be synced too.
        drop(self.outside.change()?);
        lock(&self.content).sync();
        self.line(format_args!("sync"));
        Ok(())
    }
}
