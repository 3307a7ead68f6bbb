//! The machine's clocks and entropy.
#![expect(clippy::disallowed_methods, reason = "this is what World's clock is made of")]

use std::time::SystemTime;

use node_base::Timestamp;
use node_world::{BoxFuture, Clock, Entropy, Instant};
use rand::TryRng;
use rand::rngs::SysRng;

/// Counts from its own making.
pub(crate) struct RealClock(tokio::time::Instant);

impl RealClock {
    pub(crate) fn start() -> Self {
        Self(tokio::time::Instant::now())
    }
}

impl Clock for RealClock {
    fn now(&self) -> Instant {
        Instant::from_nanos(0).after(self.0.elapsed())
    }

    fn wall(&self) -> Timestamp {
        // A clock before 1970 is a clock that was never set.
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(0).after(since)
    }

    fn sleep_until(&self, moment: Instant) -> BoxFuture<()> {
        let start = self.0;
        Box::pin(async move {
            // Further ahead than the clock can count is never.
            match start.checked_add(moment.since(Instant::from_nanos(0))) {
                Some(moment) => tokio::time::sleep_until(moment).await,
                None => std::future::pending().await,
            }
        })
    }
}

/// The machine's generator.
pub(crate) struct RealEntropy;

impl Entropy for RealEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        SysRng.try_fill_bytes(bytes).expect("a machine without entropy runs nothing of ours");
    }
}
