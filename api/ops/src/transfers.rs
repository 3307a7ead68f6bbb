//! Transfers that somebody waits for, and how work that nobody waits for gives way to them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use node_base::Duration;
use node_world::World;

/// Counts the transfers under way on a node.
#[derive(Default)]
pub(crate) struct Transfers(Arc<AtomicUsize>);

/// A transfer under way, until it is dropped.
pub(crate) struct Transfer(Arc<AtomicUsize>);

/// Between two looks whether the transfers have ended.
const PAUSE: Duration = Duration::from_millis(50);
/// Looks before one piece of work is done all the same: it gets on while transfers never end.
const PAUSES_MAX: u32 = 20;

impl Transfers {
    pub(crate) fn begin(&self) -> Transfer {
        self.0.fetch_add(1, Ordering::Relaxed);
        Transfer(Arc::clone(&self.0))
    }

    /// Waits while there are transfers, but not for ever.
    pub(crate) async fn give_way(&self, world: &World) {
        for _ in 0..PAUSES_MAX {
            if self.0.load(Ordering::Relaxed) == 0 {
                return;
            }
            world.sleep(PAUSE).await;
        }
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use node_base::Duration;

    use super::{PAUSE, PAUSES_MAX, Transfers};

    #[test]
    fn work_waits_for_transfers_but_not_for_ever() {
        simulator_world::run(1, |world| async move {
            let transfers = Transfers::default();
            let waited = async |world: &node_world::World| {
                let started = world.now();
                transfers.give_way(world).await;
                world.now().since(started)
            };
            assert_eq!(waited(&world).await, Duration::ZERO);
            let transfer = transfers.begin();
            let longest = waited(&world).await;
            assert!(longest >= PAUSE * PAUSES_MAX, "{longest:?}");
            let other = world.clone();
            let ending = world.spawn(async move {
                other.sleep(PAUSE * 3).await;
                drop(transfer);
            });
            let shorter = waited(&world).await;
            assert!(shorter >= PAUSE * 3 && shorter < longest, "{shorter:?}");
            ending.await.expect("it ended");
        });
    }
}
