//! Memory that chunks are put together in, taken again once nobody reads from it any more.
//!
//! Fresh memory has to be cleared before it is read into, and costs a fault for each page: for
//! bytes that are only passed on, that is dearer than checking them.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

/// Longer ones are given back to the machine.
const KEPT_LEN_MAX: usize = 1 << 20;
const KEPT_MAX: usize = 16;

type Free = Arc<Mutex<Vec<Vec<u8>>>>;

/// Buffers that wait to be used again: at most 16 MiB.
#[derive(Default)]
pub struct Buffers(Free);

impl Buffers {
    /// A buffer of this length. What is in it, nobody knows.
    pub fn take(&self, len: usize) -> Buffer {
        let mut bytes = held(&self.0).pop().unwrap_or_default();
        if bytes.len() < len {
            bytes.resize(len, 0);
        }
        Buffer { bytes, len, home: Some(Arc::clone(&self.0)) }
    }
}

/// Some memory.
pub struct Buffer {
    /// As long as it ever was, so that nothing of it need be cleared again.
    bytes: Vec<u8>,
    len: usize,
    home: Option<Free>,
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
        let Some(home) = &self.home else { return };
        let mut free = held(home);
        if self.bytes.len() <= KEPT_LEN_MAX && free.len() < KEPT_MAX {
            free.push(std::mem::take(&mut self.bytes));
        }
    }
}

fn held(free: &Mutex<Vec<Vec<u8>>>) -> std::sync::MutexGuard<'_, Vec<Vec<u8>>> {
    // Nothing panics while it is held; and bytes have no state that could be wrong.
    free.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::{Buffers, KEPT_LEN_MAX, KEPT_MAX, held};

    #[test]
    fn what_is_passed_on_is_used_again_when_the_last_reader_is_gone() {
        let buffers = Buffers::default();
        let mut first = buffers.take(1000);
        first.as_mut().fill(7);
        let whole = first.freeze(900);
        let part = whole.slice(10..20);
        drop(whole);
        assert_eq!(buffers.take(10).as_ref(), [0; 10], "the first is still read from");
        assert_eq!(*part, [7; 10]);
        drop(part);
        let lens: Vec<usize> = held(&buffers.0).iter().map(Vec::len).collect();
        assert_eq!(lens, [10, 1000]);
        assert_eq!(buffers.take(5).as_ref(), [7; 5]);
        assert_eq!(buffers.take(2000).as_ref().len(), 2000);
    }

    #[test]
    fn few_and_short_ones_are_kept() {
        let buffers = Buffers::default();
        let taken: Vec<_> = (0..KEPT_MAX + 3).map(|_| buffers.take(100)).collect();
        drop(taken);
        assert_eq!(held(&buffers.0).len(), KEPT_MAX);
        drop(buffers.take(KEPT_LEN_MAX + 1));
        assert_eq!(held(&buffers.0).len(), KEPT_MAX - 1);
    }
}
