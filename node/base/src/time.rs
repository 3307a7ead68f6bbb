//! Moments and spans, as numbers that are passed around and never asked for here.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;

pub use std::time::Duration;

/// A moment of wall time: milliseconds since 1970 in UTC. RFC 3339 with milliseconds in text.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The first moment RFC 3339 can write: the beginning of the year 0.
    pub const MIN: Self = Self(-62_167_219_200_000);
    /// The last moment RFC 3339 can write: the end of the year 9999.
    pub const MAX: Self = Self(253_402_300_799_999);

    /// This many milliseconds since 1970.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since 1970.
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// The moment that much later.
    pub fn after(self, span: Duration) -> Self {
        let millis = i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
        Self(self.0.saturating_add(millis).min(Self::MAX.0))
    }

    /// How long ago `earlier` was; zero when it was not earlier.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0).max(0).unsigned_abs())
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let format = format_description!(
            "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z"
        );
        let nanos = i128::from(self.0) * 1_000_000;
        let text = OffsetDateTime::from_unix_timestamp_nanos(nanos)
            .ok()
            .and_then(|moment| moment.format(&format).ok());
        // Only numbers outside the years ±9999 have no text, and none comes in: see `from_str`.
        f.write_str(text.as_deref().unwrap_or("9999-12-31T23:59:59.999Z"))
    }
}

/// Not an RFC 3339 time between the years 0 and 9999.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a time is written as in RFC 3339, such as 2026-11-23T14:05:09.000Z")]
pub struct TimestampError;

impl FromStr for Timestamp {
    type Err = TimestampError;

    fn from_str(text: &str) -> Result<Self, TimestampError> {
        let moment = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| TimestampError)?;
        let millis = moment.unix_timestamp_nanos().div_euclid(1_000_000);
        let moment = i64::try_from(millis).map(Self).map_err(|_| TimestampError)?;
        // An offset may lead out of the years that can be written again.
        if (Self::MIN..=Self::MAX).contains(&moment) { Ok(moment) } else { Err(TimestampError) }
    }
}

#[cfg(test)]
mod tests {
    use super::{Duration, Timestamp, TimestampError};

    #[test]
    fn text_has_milliseconds_and_a_z() {
        let moment = Timestamp::from_millis(1_795_442_709_007);
        assert_eq!(moment.to_string(), "2026-11-23T14:05:09.007Z");
        assert_eq!("2026-11-23T15:05:09.007+01:00".parse(), Ok(moment));
        assert_eq!("yesterday".parse::<Timestamp>(), Err(TimestampError));
    }

    #[test]
    fn an_offset_leads_no_further_than_can_be_written() {
        for text in ["0000-01-01T00:00:00+00:01", "9999-12-31T23:59:59.999-00:01"] {
            assert_eq!(text.parse::<Timestamp>(), Err(TimestampError), "{text}");
        }
        for moment in [Timestamp::MIN, Timestamp::MAX] {
            assert_eq!(moment.to_string().parse(), Ok(moment));
        }
    }

    #[test]
    fn sums_stop_at_the_end_of_writable_time() {
        assert_eq!(Timestamp::MAX.after(Duration::MAX), Timestamp::MAX);
        assert_eq!(Timestamp::MAX.to_string(), "9999-12-31T23:59:59.999Z");
        let (a, b) = (Timestamp::from_millis(5), Timestamp::from_millis(9));
        assert_eq!(b.since(a), Duration::from_millis(4));
        assert_eq!(a.since(b), Duration::ZERO);
    }
}
