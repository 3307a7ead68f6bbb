//! How much repair may have in hand at a time: what it reads, makes and sends. It can be changed
//! while repair goes on.

use std::sync::{Mutex, PoisonError};

use tokio::sync::{Semaphore, SemaphorePermit};

use super::Store;

/// Bytes in hand, unless set otherwise, and at least: the largest chunk with its shards fits.
const DEFAULT: u32 = 64 << 20;
const LEAST: u32 = 32 << 20;

/// Bytes of chunks that repair has in hand at any time.
pub(super) struct Budget {
    bytes: Semaphore,
    size: Mutex<u32>,
}

impl Default for Budget {
    fn default() -> Self {
        Self { bytes: Semaphore::new(DEFAULT as usize), size: Mutex::new(DEFAULT) }
    }
}

impl Budget {
    /// Waits for room for so many bytes.
    pub(super) async fn take(&self, bytes: usize) -> Option<SemaphorePermit<'_>> {
        // The semaphore is never closed.
        self.bytes.acquire_many(u32::try_from(bytes).unwrap_or(LEAST).min(LEAST)).await.ok()
    }

    fn set(&self, bytes: u32) {
        let bytes = bytes.clamp(LEAST, 1 << 30);
        let mut size = self.size.lock().unwrap_or_else(PoisonError::into_inner);
        if bytes >= *size {
            self.bytes.add_permits((bytes - *size) as usize);
            *size = bytes;
        } else {
            // What is in hand just now cannot be taken away: the next change may.
            let less = self.bytes.forget_permits((*size - bytes) as usize);
            *size -= u32::try_from(less).unwrap_or(u32::MAX).min(*size);
        }
    }
}

impl Store {
    /// Lets repair have so many bytes in hand from now on; from 32 MiB to 1 GiB.
    pub fn set_repair_bytes(&self, bytes: u32) {
        self.0.repairing.set(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::{Budget, DEFAULT, LEAST};

    #[test]
    fn the_budget_grows_and_shrinks_within_bounds() {
        let budget = Budget::default();
        for (set, got) in [(100 << 20, 100 << 20), (0, LEAST), (DEFAULT, DEFAULT)] {
            budget.set(set);
            assert_eq!(budget.bytes.available_permits(), got as usize);
        }
    }
}
