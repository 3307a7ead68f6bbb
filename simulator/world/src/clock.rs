//! Virtual time and entropy.
//!
//! Monotonic time is tokio's paused clock: it stands still while anything can run, and then jumps
//! to the next moment that somebody waits for.

use node_base::{Duration, Timestamp};
use node_world::{BoxFuture, Clock, Entropy, Instant};
use rand::Rng;

use crate::node::Outside;

/// The wall time at which every run starts: 2026-01-01T00:00:00Z.
const WALL_START: Timestamp = Timestamp::from_millis(1_767_225_600_000);

impl Clock for Outside {
    fn now(&self) -> Instant {
        let span = self.shared.instant().duration_since(self.started());
        Instant::from_nanos(0).after(span)
    }

    fn wall(&self) -> Timestamp {
        let elapsed = self.shared.elapsed().as_millis();
        let elapsed = i64::try_from(elapsed).unwrap_or(i64::MAX);
        let skew = self.shared.skew_ms(self.node());
        let millis = WALL_START.millis().saturating_add(elapsed).saturating_add(skew);
        Timestamp::from_millis(millis.clamp(0, Timestamp::MAX.millis()))
    }

    #[expect(clippy::disallowed_methods, reason = "this is what World's clock is made of")]
    fn sleep_until(&self, moment: Instant) -> BoxFuture<()> {
        // tokio's timers reach about two years; nobody waits longer than a run lasts.
        let far = Duration::from_secs(365 * 24 * 3600);
        let span = moment.since(self.now()).min(far);
        Box::pin(tokio::time::sleep(span))
    }
}

impl Entropy for Outside {
    fn fill(&self, bytes: &mut [u8]) {
        self.incarnation.entropy.draw().fill_bytes(bytes);
    }
}
