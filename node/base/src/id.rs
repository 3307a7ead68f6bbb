//! Opaque identifiers: a prefix that tells the kind, and a ULID.
//!
//! An id is 128 bits: 48 of milliseconds and 80 that are random at the seed and then counted. In
//! text it is `fil_01JD…`: the prefix and 26 characters of Crockford's base 32, so that sorting
//! text, bytes and time agree. Ids come from an [`IdSeed`] that the proposer of a command draws
//! once; the state machine then derives as many as it needs without asking anybody.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const TEXT_LEN: usize = 26;

/// Why a text is not an id of the kind that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    #[error("an id of this kind starts with {expected}_")]
    Prefix { expected: &'static str },
    #[error("an id has 26 characters of Crockford's base 32 behind its prefix")]
    Ulid,
}

/// Where the ids of one command come from: a time and 80 random bits.
///
/// The n-th id is the seed plus n, so that a command that makes a thousand items carries 16 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdSeed(u128);

impl IdSeed {
    /// `random` gives the low 80 bits; what is above them is ignored.
    pub fn new(at: Timestamp, random: u128) -> Self {
        let millis = u128::from(at.millis().unsigned_abs()) & ((1 << 48) - 1);
        Self(millis << 80 | random & ((1 << 80) - 1))
    }

    /// The n-th id of this seed.
    pub fn nth<I: From<u128>>(self, n: u64) -> I {
        I::from(self.0.wrapping_add(u128::from(n)))
    }
}

fn encode(value: u128) -> [u8; TEXT_LEN] {
    let mut text = [0; TEXT_LEN];
    for (i, byte) in text.iter_mut().enumerate() {
        let shift = 5 * (TEXT_LEN - 1 - i);
        *byte = ALPHABET[(value >> shift) as usize & 31];
    }
    text
}

fn decode(text: &str) -> Option<u128> {
    // 26 × 5 = 130 bits: the first character holds three.
    let bytes = text.as_bytes();
    if bytes.len() != TEXT_LEN || bytes[0] > b'7' {
        return None;
    }
    bytes.iter().try_fold(0u128, |value, byte| {
        let digit = ALPHABET.iter().position(|a| a == byte)?;
        Some(value << 5 | digit as u128)
    })
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(u128);

        impl $name {
            /// What the text of such an id starts with, without the underscore.
            pub const PREFIX: &'static str = $prefix;

            /// The 16 bytes, most significant first, so that byte order is id order.
            pub fn to_bytes(self) -> [u8; 16] {
                self.0.to_be_bytes()
            }

            /// The id with these bytes.
            pub fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(u128::from_be_bytes(bytes))
            }
        }

        impl From<u128> for $name {
            fn from(value: u128) -> Self {
                Self(value)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let text = encode(self.0);
                write!(f, "{}_{}", $prefix, String::from_utf8_lossy(&text))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                let rest = text
                    .strip_prefix($prefix)
                    .and_then(|rest| rest.strip_prefix('_'))
                    .ok_or(IdError::Prefix { expected: $prefix })?;
                decode(rest).map(Self).ok_or(IdError::Ulid)
            }
        }
    )*};
}

ids! {
    /// A partner: it sells to and looks after tenants.
    PartnerId = "prt",
    /// A tenant: one organisation; every row belongs to one.
    TenantId = "tnt",
    /// A user or service account.
    UserId = "usr",
    /// A flat group of users.
    GroupId = "grp",
    /// A share: a tree with members.
    ShareId = "shr",
    /// A folder.
    FolderId = "fld",
    /// A file.
    FileId = "fil",
    /// One content of a file.
    VersionId = "ver",
    /// An upload session.
    UploadId = "upl",
    /// A row of the change log.
    ChangeId = "chg",
    /// A conflict.
    ConflictId = "cfl",
    /// An entry of a permission list.
    AceId = "ace",
    /// An invitation to a share.
    InvitationId = "inv",
    /// A quota.
    QuotaId = "qta",
    /// An audit event.
    EventId = "evt",
}

/// A device: `dev_` and what the client chose, at most 64 bytes of `[A-Za-z0-9._-]` in all.
///
/// The one id that is not made here: a sync client names itself, so that it finds its cursors
/// again.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct DeviceId(String);

impl DeviceId {
    /// The text as the client gave it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A device id that is empty, too long, or has a character outside `[A-Za-z0-9._-]`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a device id has 1 to 64 characters of A-Z, a-z, 0-9, dot, underscore and hyphen")]
pub struct DeviceIdError;

impl FromStr for DeviceId {
    type Err = DeviceIdError;

    fn from_str(text: &str) -> Result<Self, DeviceIdError> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        if (1..=64).contains(&text.len()) && text.bytes().all(plain) {
            Ok(Self(text.to_owned()))
        } else {
            Err(DeviceIdError)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert_eq, proptest};

    use super::{FileId, IdError, IdSeed, ShareId};
    use crate::time::Timestamp;

    proptest! {
        #[test]
        fn text_and_bytes_lead_back(value: u128) {
            let id = FileId::from(value);
            prop_assert_eq!(id.to_string().parse::<FileId>(), Ok(id));
            prop_assert_eq!(FileId::from_bytes(id.to_bytes()), id);
        }

        #[test]
        fn text_sorts_as_ids_do(a in any::<u128>(), b in any::<u128>()) {
            let (a, b) = (FileId::from(a), FileId::from(b));
            prop_assert_eq!(a.to_string().cmp(&b.to_string()), a.cmp(&b));
        }

        #[test]
        fn any_text_is_answered(text in ".{0,40}") {
            let _ = text.parse::<FileId>();
        }
    }

    #[test]
    fn a_seed_gives_ids_of_its_time_in_order() {
        let seed = IdSeed::new(Timestamp::from_millis(1_700_000_000_000), u128::MAX >> 60);
        let (first, second) = (seed.nth::<FileId>(0), seed.nth::<FileId>(1));
        assert!(first < second);
        assert!(first.to_string().starts_with("fil_01HF7YAT00"));
    }

    #[test]
    fn another_kind_or_a_broken_text_is_refused() {
        let share = ShareId::from(7).to_string();
        assert_eq!(share.parse::<FileId>(), Err(IdError::Prefix { expected: "fil" }));
        assert_eq!("fil_0".parse::<FileId>(), Err(IdError::Ulid));
        assert_eq!("fil_81JD0000000000000000000000".parse::<FileId>(), Err(IdError::Ulid));
        assert_eq!("fil_u1jd0000000000000000000000".parse::<FileId>(), Err(IdError::Ulid));
    }
}
