//! How keys become bytes.

use node_base::{
    AceId, ChangeId, ConflictId, DeviceId, EventId, FileId, FolderId, Generation, GroupId,
    InvitationId, PartnerId, QuotaId, Sha256, ShareId, TenantId, Timestamp, UploadId, UserId,
    VersionId,
};

/// What is left of a key while its parts are read.
#[derive(Debug)]
pub struct KeyReader<'a>(&'a [u8]);

impl<'a> KeyReader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The next `N` bytes.
    pub fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*head)
    }

    /// The text up to the next NUL.
    pub fn text(&mut self) -> Option<String> {
        let end = self.0.iter().position(|byte| *byte == 0)?;
        let text = std::str::from_utf8(&self.0[..end]).ok()?.to_owned();
        self.0 = &self.0[end + 1..];
        Some(text)
    }

    pub fn is_done(&self) -> bool {
        self.0.is_empty()
    }
}

/// One part of a key.
pub trait Part: Sized {
    fn write(&self, bytes: &mut Vec<u8>);
    fn read(reader: &mut KeyReader<'_>) -> Option<Self>;
}

/// A whole key, or the first parts of one.
pub trait Key: Sized {
    fn write(&self, bytes: &mut Vec<u8>);
    fn read(reader: &mut KeyReader<'_>) -> Option<Self>;
}

macro_rules! ids_are_parts {
    ($($id:ty),*) => {$(
        impl Part for $id {
            fn write(&self, bytes: &mut Vec<u8>) {
                bytes.extend(self.to_bytes());
            }
            fn read(reader: &mut KeyReader<'_>) -> Option<Self> {
                reader.array().map(Self::from_bytes)
            }
        }
    )*};
}

ids_are_parts!(
    AceId,
    ChangeId,
    ConflictId,
    EventId,
    FileId,
    FolderId,
    GroupId,
    InvitationId,
    PartnerId,
    QuotaId,
    ShareId,
    TenantId,
    UploadId,
    UserId,
    VersionId
);

macro_rules! numbers_are_parts {
    ($($number:ty),*) => {$(
        impl Part for $number {
            fn write(&self, bytes: &mut Vec<u8>) {
                bytes.extend(self.to_be_bytes());
            }
            fn read(reader: &mut KeyReader<'_>) -> Option<Self> {
                reader.array().map(Self::from_be_bytes)
            }
        }
    )*};
}

numbers_are_parts!(u8, u32, u64);

impl Part for Sha256 {
    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend(self.0);
    }
    fn read(reader: &mut KeyReader<'_>) -> Option<Self> {
        reader.array().map(Self)
    }
}

impl Part for Generation {
    fn write(&self, bytes: &mut Vec<u8>) {
        self.0.write(bytes);
    }
    fn read(reader: &mut KeyReader<'_>) -> Option<Self> {
        u64::read(reader).map(Self)
    }
}

impl Part for Timestamp {
    fn write(&self, bytes: &mut Vec<u8>) {
        // Flipping the sign bit makes byte order the order of signed numbers.
        bytes.extend((self.millis() ^ i64::MIN).to_be_bytes());
    }
    fn read(reader: &mut KeyReader<'_>) -> Option<Self> {
        reader.array().map(|bytes| Self::from_millis(i64::from_be_bytes(bytes) ^ i64::MIN))
    }
}

/// Text holds no NUL: names, addresses and keys are checked where they come in.
impl Part for String {
    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend(self.as_bytes());
        bytes.push(0);
    }
    fn read(reader: &mut KeyReader<'_>) -> Option<Self> {
        reader.text()
    }
}

impl Part for DeviceId {
    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend(self.as_str().as_bytes());
        bytes.push(0);
    }
    fn read(reader: &mut KeyReader<'_>) -> Option<Self> {
        reader.text()?.parse().ok()
    }
}

impl Key for () {
    fn write(&self, _: &mut Vec<u8>) {}
    fn read(_: &mut KeyReader<'_>) -> Option<Self> {
        Some(())
    }
}

macro_rules! tuples_are_keys {
    ($($part:ident $at:tt),*) => {
        impl<$($part: Part),*> Key for ($($part,)*) {
            fn write(&self, bytes: &mut Vec<u8>) {
                $(self.$at.write(bytes);)*
            }
            fn read(reader: &mut KeyReader<'_>) -> Option<Self> {
                Some(($($part::read(reader)?,)*))
            }
        }
    };
}

tuples_are_keys!(A 0);
tuples_are_keys!(A 0, B 1);
tuples_are_keys!(A 0, B 1, C 2);
tuples_are_keys!(A 0, B 1, C 2, D 3);
tuples_are_keys!(A 0, B 1, C 2, D 3, E 4);

#[cfg(test)]
mod tests {
    use node_base::{Sha256, TenantId, Timestamp};
    use proptest::prelude::{any, prop_assert_eq, proptest};

    use super::{Key, KeyReader};

    type Sample = (TenantId, Timestamp, String, Sha256);

    fn bytes(key: &Sample) -> Vec<u8> {
        let mut bytes = Vec::new();
        key.write(&mut bytes);
        bytes
    }

    proptest! {
        #[test]
        fn bytes_lead_back_and_sort_as_keys_do(
            a in (any::<u128>(), any::<i64>(), "[a-c]{0,3}", any::<[u8; 32]>()),
            b in (any::<u128>(), any::<i64>(), "[a-c]{0,3}", any::<[u8; 32]>()),
        ) {
            let key = |(t, at, text, hash): (u128, i64, String, [u8; 32])| {
                (TenantId::from(t), Timestamp::from_millis(at), text, Sha256(hash))
            };
            let (a, b) = (key(a), key(b));
            let input = [bytes(&a), vec![7]].concat();
            let mut reader = KeyReader::new(&input);
            let read = Sample::read(&mut reader);
            prop_assert_eq!(read.as_ref(), Some(&a));
            prop_assert_eq!(reader.array::<1>(), Some([7]));
            prop_assert_eq!(bytes(&a).cmp(&bytes(&b)), a.cmp(&b));
        }

        #[test]
        fn any_bytes_are_answered(input: Vec<u8>) {
            let _ = Sample::read(&mut KeyReader::new(&input));
        }
    }
}
