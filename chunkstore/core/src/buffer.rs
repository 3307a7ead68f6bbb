//! Memory that chunks are put together in, taken again once nobody reads from it any more.
//!
//! Fresh memory has to be cleared before it is read into, and costs a fault for each page: for
//! bytes that are only passed on, that is dearer than checking them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

/// Buffers that wait to be used again.
pub struct Buffers(Arc<Mutex<Free>>);

struct Free {
    buffers: Vec<Vec<u8>>,
    /// Bytes that may still be kept; beyond, buffers are given back to the machine.
    room: usize,
}

impl Buffers {
    /// None yet; at most `kept_max` bytes of them will be kept.
    pub fn keeping(kept_max: usize) -> Self {
        Self(Arc::new(Mutex::new(Free { buffers: Vec::new(), room: kept_max })))
    }

    /// A buffer of this length. What is in it, nobody knows.
    pub fn take(&self, len: usize) -> Buffer {
        let kept = held(&self.0).pop();
        let bytes = kept.filter(|bytes| bytes.len() >= len).unwrap_or_else(|| vec![0; len]);
        Buffer { bytes, len, home: Some(Arc::clone(&self.0)) }
    }
}

impl Free {
    fn pop(&mut self) -> Option<Vec<u8>> {
        let bytes = self.buffers.pop()?;
        self.room += bytes.len();
        Some(bytes)
    }

    fn push(&mut self, bytes: Vec<u8>) {
        if let Some(room) = self.room.checked_sub(bytes.len()) {
            self.room = room;
            self.buffers.push(bytes);
        }
    }
}

/// Some memory.
pub struct Buffer {
    /// As long as it ever was, so that nothing of it need be cleared again.
    bytes: Vec<u8>,
    len: usize,
    home: Option<Arc<Mutex<Free>>>,
}

impl Buffer {
    /// A cleared one that is not used again.
    pub fn new(len: usize) -> Self {
        Self { bytes: vec![0; len], len, home: None }
    }

    /// Its first `len` bytes, to be passed on.
    pub fn freeze(self, len: usize) -> Bytes {
        let len = len.min(self.len);
        Bytes::from_owner(self).slice(..len)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl AsMut<[u8]> for Buffer {
    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[..self.len]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Some(home) = &self.home {
            held(home).push(std::mem::take(&mut self.bytes));
        }
    }
}

fn held(free: &Mutex<Free>) -> MutexGuard<'_, Free> {
    // Nothing panics while it is held.
    free.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::{Buffers, held};

    fn kept(buffers: &Buffers) -> Vec<usize> {
        held(&buffers.0).buffers.iter().map(Vec::len).collect()
    }

    #[test]
    fn what_is_passed_on_is_used_again_when_the_last_reader_is_gone() {
        let buffers = Buffers::keeping(10_000);
        let mut first = buffers.take(1000);
        first.as_mut().fill(7);
        let whole = first.freeze(900);
        let part = whole.slice(10..20);
        drop(whole);
        assert_eq!(buffers.take(10).as_ref(), [0; 10], "the first is still read from");
        assert_eq!(*part, [7; 10]);
        drop(part);
        assert_eq!(kept(&buffers), [10, 1000]);
        assert_eq!(buffers.take(5).as_ref(), [7; 5]);
        assert_eq!(buffers.take(2000).as_ref().len(), 2000);
    }

    #[test]
    fn no_more_is_kept_than_agreed() {
        let buffers = Buffers::keeping(250);
        let taken: Vec<_> = (0..3).map(|_| buffers.take(100)).collect();
        drop(taken);
        assert_eq!(kept(&buffers), [100, 100]);
        drop(buffers.take(200));
        assert_eq!(
            kept(&buffers),
            [100],
            "one was too short, and 200 is too long beside the other"
        );
    }
}
