//! Values of the words we all use, as JSON writes them.

use std::fmt;

use node_base::{Sha256, Timestamp};
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::ToSchema;

/// A moment: RFC 3339 in UTC with milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ToSchema)]
#[schema(value_type = String, format = DateTime, example = "2026-11-23T14:05:09.000Z")]
pub struct Time(pub Timestamp);

/// A SHA-256: 64 lower-case hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ToSchema)]
#[schema(
    value_type = String,
    pattern = "^[0-9a-f]{64}$",
    example = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
)]
pub struct Hash(pub Sha256);

impl From<Timestamp> for Time {
    fn from(moment: Timestamp) -> Self {
        Self(moment)
    }
}

impl From<Time> for Timestamp {
    fn from(time: Time) -> Self {
        time.0
    }
}

impl From<Sha256> for Hash {
    fn from(hash: Sha256) -> Self {
        Self(hash)
    }
}

impl From<Hash> for Sha256 {
    fn from(hash: Hash) -> Self {
        hash.0
    }
}

/// Reads a text by a function, so that a failure shows what the text should have been.
struct Text<T> {
    expected: &'static str,
    parse: fn(&str) -> Option<T>,
}

impl<T> Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        (self.parse)(text).ok_or_else(|| E::custom(format_args!("not {}", self.expected)))
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text {
            expected: "an RFC 3339 time, such as 2026-11-23T14:05:09.000Z",
            parse: |text| text.parse().ok().map(Time),
        })
    }
}

impl Serialize for Hash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0; 64];
        for (pair, byte) in text.chunks_exact_mut(2).zip(self.0.0) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        serializer.serialize_str(std::str::from_utf8(&text).expect("hexadecimal digits are ASCII"))
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text {
            expected: "a SHA-256 of 64 lower-case hexadecimal digits",
            parse: |text| {
                let lower = !text.bytes().any(|byte| byte.is_ascii_uppercase());
                lower.then(|| text.parse().ok().map(Hash)).flatten()
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use node_base::{Timestamp, sha256};

    use super::{Hash, Time};

    #[test]
    fn a_time_is_written_in_utc_and_read_with_any_offset() {
        let time = Time(Timestamp::from_millis(1_795_442_709_007));
        let json = serde_json::to_string(&time).expect("writable");
        assert_eq!(json, r#""2026-11-23T14:05:09.007Z""#);
        let read = |json| serde_json::from_str::<Time>(json);
        assert_eq!(read(r#""2026-11-23T15:05:09.007+01:00""#).expect("a time"), time);
        assert!(read(r#""2026-11-23""#).is_err());
        assert!(read("1795442709007").is_err());
    }

    #[test]
    fn a_hash_is_lower_case_hex_both_ways() {
        let hash = Hash(sha256(b"abc"));
        let json = serde_json::to_string(&hash).expect("writable");
        assert_eq!(json, format!("\"{}\"", sha256(b"abc")));
        assert_eq!(serde_json::from_str::<Hash>(&json).expect("a hash"), hash);
        assert!(serde_json::from_str::<Hash>(&json.to_uppercase()).is_err());
        assert!(serde_json::from_str::<Hash>(r#""ba78""#).is_err());
    }
}
