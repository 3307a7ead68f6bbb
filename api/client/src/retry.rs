//! When a call is sent again, decided without waiting.

use api_types::v1::error::Retry;
use node_base::Duration;

use crate::error::Refusal;

/// How long a caller keeps trying.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// How often a call is sent at most, to each address where there are several.
    pub attempts: u32,
    /// The pause before the second round of addresses; it doubles with each round.
    pub first_pause: Duration,
    pub longest_pause: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            attempts: 8,
            first_pause: Duration::from_millis(100),
            longest_pause: Duration::from_secs(20),
        }
    }
}

/// How an attempt ended without an answer to give back.
pub(crate) enum Failure<'a> {
    /// No connection, or it broke before the answer: whether it was done is not known.
    Connection,
    Refused(&'a Refusal),
}

/// What to do about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    GiveUp,
    /// Ask again after this long, at the next address if there are several and `elsewhere`.
    Again {
        pause: Duration,
        elsewhere: bool,
    },
}

impl Patience {
    /// What follows the `attempt`-th failure (from 1). `harmless`: doing the call twice is the same
    /// as once, by its nature or by an idempotency key. `jitter` is any random number.
    pub(crate) fn after(
        &self,
        attempt: u32,
        failure: &Failure<'_>,
        harmless: bool,
        addresses: usize,
        jitter: u64,
    ) -> Next {
        let retry = match failure {
            Failure::Connection => Retry::IfIdempotent,
            Failure::Refused(refusal) => verdict(refusal),
        };
        let allowed = match retry {
            Retry::No => false,
            Retry::Later => true,
            Retry::IfIdempotent => harmless,
        };
        if !allowed {
            return Next::GiveUp;
        }
        let asked = match failure {
            Failure::Connection => None,
            Failure::Refused(refusal) => refusal.retry_after,
        };
        let elsewhere = retry == Retry::IfIdempotent;
        let rounds = if elsewhere { round_of(addresses) } else { 1 };
        if attempt >= self.attempts.saturating_mul(rounds) {
            return Next::GiveUp;
        }
        let pause = self.pause(attempt, elsewhere, addresses, jitter);
        // Another node need not wait for what this one asks.
        let asked = asked.filter(|_| !elsewhere || addresses == 1).unwrap_or_default();
        Next::Again { pause: pause.max(asked), elsewhere }
    }

    /// Each address is asked once before the first pause; then pauses double, and half of each is
    /// random so that many clients do not come back at once.
    fn pause(&self, attempt: u32, elsewhere: bool, addresses: usize, jitter: u64) -> Duration {
        let per_round = if elsewhere { round_of(addresses) } else { 1 };
        if !attempt.is_multiple_of(per_round) {
            return Duration::ZERO;
        }
        let round = (attempt / per_round).saturating_sub(1).min(16);
        let whole = self.first_pause.saturating_mul(1 << round).min(self.longest_pause);
        let half = whole / 2;
        let spread = u64::try_from(half.as_nanos()).unwrap_or(u64::MAX).max(1);
        half + Duration::from_nanos(jitter % spread)
    }
}

/// How many attempts ask each address once.
fn round_of(addresses: usize) -> u32 {
    u32::try_from(addresses).unwrap_or(1).max(1)
}

/// What a refusal says about another attempt; where no code came along, what its status says.
fn verdict(refusal: &Refusal) -> Retry {
    match (refusal.code(), refusal.status) {
        (Some(code), _) => code.retry(),
        (None, 429) => Retry::Later,
        (None, 500..=506 | 508..=599) => Retry::IfIdempotent,
        (None, _) => Retry::No,
    }
}

#[cfg(test)]
mod tests {
    use api_types::v1::error::{Detail, ErrorBody, ErrorCode, ErrorInfo};
    use node_base::Duration;

    use super::{Failure, Next, Patience};
    use crate::error::Refusal;

    fn refusal(code: ErrorCode, retry_after: Option<u64>) -> Refusal {
        Refusal {
            status: code.status(),
            body: Some(ErrorBody {
                detail: Detail::Sentence(String::new()),
                error: ErrorInfo::new(code, String::new()),
            }),
            oauth: None,
            retry_after: retry_after.map(Duration::from_secs),
        }
    }

    fn after(attempt: u32, code: ErrorCode, harmless: bool, addresses: usize) -> Next {
        let refusal = refusal(code, None);
        Patience::default().after(attempt, &Failure::Refused(&refusal), harmless, addresses, 0)
    }

    #[test]
    fn what_is_refused_for_good_is_not_asked_again() {
        for code in ErrorCode::ALL {
            let again = after(1, code, true, 1) != Next::GiveUp;
            assert_eq!(again, code.status() >= 500 && code.status() != 507 || code.status() == 429);
        }
    }

    #[test]
    fn what_may_have_happened_is_repeated_only_when_harmless() {
        assert_eq!(after(1, ErrorCode::Unavailable, false, 3), Next::GiveUp);
        assert_ne!(after(1, ErrorCode::RateLimited, false, 3), Next::GiveUp);
        let broken = Patience::default().after(1, &Failure::Connection, false, 1, 0);
        assert_eq!(broken, Next::GiveUp);
    }

    #[test]
    fn every_address_is_asked_before_the_first_pause() {
        let pause = |attempt| match after(attempt, ErrorCode::Unavailable, true, 3) {
            Next::Again { pause, elsewhere: true } => pause,
            other => panic!("{other:?}"),
        };
        assert_eq!([pause(1), pause(2)], [Duration::ZERO; 2]);
        assert_eq!(pause(3), Duration::from_millis(50));
        assert_eq!(pause(6), Duration::from_millis(100));
        assert_eq!(after(24, ErrorCode::Unavailable, true, 3), Next::GiveUp);
        assert_ne!(after(23, ErrorCode::Unavailable, true, 3), Next::GiveUp);
        assert_eq!(after(8, ErrorCode::RateLimited, true, 3), Next::GiveUp);
    }

    #[test]
    fn the_server_s_wish_is_waited_for() {
        let limited = refusal(ErrorCode::RateLimited, Some(7));
        let next = Patience::default().after(1, &Failure::Refused(&limited), false, 3, 9);
        let pause = Duration::from_secs(7);
        assert_eq!(next, Next::Again { pause, elsewhere: false });
    }

    #[test]
    fn pauses_grow_to_the_longest_and_jitter_stays_within() {
        let patience = Patience { attempts: 100, ..Patience::default() };
        let next = patience.after(60, &Failure::Connection, true, 1, u64::MAX);
        let Next::Again { pause, .. } = next else { panic!("{next:?}") };
        assert!(pause >= patience.longest_pause / 2 && pause < patience.longest_pause);
    }
}
