//! How fast answers come lately, and so when to stop waiting for one alone.

use std::collections::VecDeque;

use node_base::Duration;

/// Answers that are remembered.
const RECENT: usize = 64;
/// With fewer than this, nothing is known.
const ENOUGH: usize = 8;
const UNKNOWN: Duration = Duration::from_millis(100);
const LEAST: Duration = Duration::from_millis(5);
const MOST: Duration = Duration::from_millis(500);

/// How long the latest answers took.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Pace {
    recent: VecDeque<Duration>,
}

impl Pace {
    /// An answer came after this long.
    pub fn record(&mut self, took: Duration) {
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(took);
    }

    /// After this long, all but one answer in twenty had come: then it is worth to ask somebody
    /// else besides.
    pub fn spare_after(&self) -> Duration {
        if self.recent.len() < ENOUGH {
            return UNKNOWN;
        }
        let mut sorted: Vec<Duration> = self.recent.iter().copied().collect();
        sorted.sort_unstable();
        sorted[(sorted.len() * 19).div_ceil(20) - 1].clamp(LEAST, MOST)
    }
}

#[cfg(test)]
mod tests {
    use node_base::Duration;

    use super::{LEAST, MOST, Pace, UNKNOWN};

    #[test]
    fn the_wait_follows_the_latest_answers_within_bounds() {
        let mut pace = Pace::default();
        assert_eq!(pace.spare_after(), UNKNOWN);
        (1..=20).for_each(|ms| pace.record(Duration::from_millis(ms)));
        assert_eq!(pace.spare_after(), Duration::from_millis(19));
        (0..64).for_each(|_| pace.record(Duration::from_micros(1)));
        assert_eq!(pace.spare_after(), LEAST);
        (0..64).for_each(|_| pace.record(Duration::from_secs(9)));
        assert_eq!(pace.spare_after(), MOST);
    }
}
