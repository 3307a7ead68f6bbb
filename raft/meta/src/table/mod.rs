//! The rows that the cluster agrees on: one kind of row, one number, one struct.
//!
//! ```text
//! key    kind (1) │ parts of the key, each of fixed width, or text ended by a NUL
//! value  version (1) │ postcard of the row
//! ```
//!
//! Parts are big-endian, so that rows lie in the order a person would list them, and a prefix of
//! the parts is a range. Tenants come first wherever there is one: a tenant's rows of a kind are
//! one range, and could be moved to another group. Kinds are numbered by hand and never reused.

pub mod acl;
pub mod audit;
pub mod change;
mod check;
pub mod chunk;
pub mod cluster;
pub mod conflict;
pub mod device;
pub mod identity;
pub mod item;
pub mod people;
pub mod quota;
pub mod share;
pub mod upload;

mod key;

use std::ops::ControlFlow;

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use check::check;
pub use key::{Key, KeyReader, Part};

use crate::tables::{Reader, TableError, Writer};

/// One kind of row.
pub trait Table {
    /// The first byte of its keys.
    const KIND: u8;
    /// Its name in messages and in `scaidrived check`.
    const NAME: &'static str;
    type Key: Key;
    type Row: Serialize + DeserializeOwned;
}

/// The version every row is written with today.
const VERSION: u8 = 1;

fn key_bytes<T: Table>(parts: &impl Key) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(64);
    bytes.push(T::KIND);
    parts.write(&mut bytes);
    bytes
}

/// The first key behind all that start with `prefix`.
fn successor(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            break;
        }
    }
    end
}

fn decode_row<T: Table>(value: &[u8]) -> Result<T::Row, TableError> {
    let wrong = |source| TableError::Row { table: T::NAME, source };
    match value.split_first() {
        Some((&VERSION, row)) => postcard::from_bytes(row).map_err(wrong),
        _ => Err(wrong(postcard::Error::DeserializeBadEncoding)),
    }
}

fn decode_key<T: Table>(key: &[u8]) -> Result<T::Key, TableError> {
    let mut reader = KeyReader::new(key.get(1..).unwrap_or_default());
    let parts = T::Key::read(&mut reader).filter(|_| reader.is_done());
    parts.ok_or(TableError::Row { table: T::NAME, source: postcard::Error::DeserializeBadEncoding })
}

/// The row under `key`.
pub fn get<T: Table>(tables: &dyn Reader, key: &T::Key) -> Result<Option<T::Row>, TableError> {
    tables.get(&key_bytes::<T>(key))?.map(|value| decode_row::<T>(&value)).transpose()
}

/// Whether there is a row under `key`.
pub fn has<T: Table>(tables: &dyn Reader, key: &T::Key) -> Result<bool, TableError> {
    Ok(tables.get(&key_bytes::<T>(key))?.is_some())
}

/// Writes the row under `key`, over what was there.
pub fn put<T: Table>(
    tables: &mut dyn Writer,
    key: &T::Key,
    row: &T::Row,
) -> Result<(), TableError> {
    let wrong = |source| TableError::Row { table: T::NAME, source };
    let value = postcard::to_extend(row, vec![VERSION]).map_err(wrong)?;
    tables.put(&key_bytes::<T>(key), &value)
}

/// What tells this content of a row from any other, for rows that do not count their changes: the
/// revision in a tag, and what `If-Match` is compared with.
pub fn mark<T: Table>(row: &T::Row) -> Result<u64, TableError> {
    let wrong = |source| TableError::Row { table: T::NAME, source };
    let value = postcard::to_extend(row, vec![T::KIND]).map_err(wrong)?;
    let digest = node_base::sha256(&value).0;
    let first = digest.first_chunk().expect("a digest has 32 bytes");
    Ok(u64::from_be_bytes(*first))
}

/// Removes the row under `key`, if there is one.
pub fn delete<T: Table>(tables: &mut dyn Writer, key: &T::Key) -> Result<(), TableError> {
    tables.delete(&key_bytes::<T>(key))
}

/// Is shown each key and row in turn and says whether to go on.
pub type RowVisitor<'a, T> =
    &'a mut dyn FnMut(<T as Table>::Key, <T as Table>::Row) -> ControlFlow<()>;

fn visit<T: Table>(
    scan: impl FnOnce(crate::tables::Visitor<'_>) -> Result<(), TableError>,
    show: RowVisitor<'_, T>,
) -> Result<(), TableError> {
    let mut failure = None;
    scan(&mut |key, value| match (decode_key::<T>(key), decode_row::<T>(value)) {
        (Ok(key), Ok(row)) => show(key, row),
        (Err(error), _) | (_, Err(error)) => {
            failure = Some(error);
            ControlFlow::Break(())
        }
    })?;
    failure.map_or(Ok(()), Err)
}

/// Visits the rows whose keys start with `prefix`, in order.
pub fn scan<T: Table>(
    tables: &dyn Reader,
    prefix: &impl Key,
    show: RowVisitor<'_, T>,
) -> Result<(), TableError> {
    let from = key_bytes::<T>(prefix);
    visit::<T>(|visitor| tables.scan(&from, &successor(&from), visitor), show)
}

/// Visits the rows whose keys start with `prefix`, in reverse order.
pub fn scan_back<T: Table>(
    tables: &dyn Reader,
    prefix: &impl Key,
    show: RowVisitor<'_, T>,
) -> Result<(), TableError> {
    let from = key_bytes::<T>(prefix);
    visit::<T>(|visitor| tables.scan_back(&from, &successor(&from), visitor), show)
}

/// Visits, in order, the rows at or behind `from` whose keys start with `prefix`.
pub fn scan_from<T: Table>(
    tables: &dyn Reader,
    prefix: &impl Key,
    from: &impl Key,
    show: RowVisitor<'_, T>,
) -> Result<(), TableError> {
    let end = successor(&key_bytes::<T>(prefix));
    visit::<T>(|visitor| tables.scan(&key_bytes::<T>(from), &end, visitor), show)
}

/// A row with its key.
pub type KeyedRow<T> = (<T as Table>::Key, <T as Table>::Row);

/// A row of this table as it is stored; nothing when the key is another table's.
pub fn decode<T: Table>(key: &[u8], value: &[u8]) -> Result<Option<KeyedRow<T>>, TableError> {
    if key.first() != Some(&T::KIND) {
        return Ok(None);
    }
    Ok(Some((decode_key::<T>(key)?, decode_row::<T>(value)?)))
}

/// Keys with their rows.
pub type Rows<T> = Vec<KeyedRow<T>>;

/// All rows whose keys start with `prefix`. For prefixes under which a limit keeps rows few.
pub fn all<T: Table>(tables: &dyn Reader, prefix: &impl Key) -> Result<Rows<T>, TableError> {
    let mut rows = Vec::new();
    scan::<T>(tables, prefix, &mut |key, row| {
        rows.push((key, row));
        ControlFlow::Continue(())
    })?;
    Ok(rows)
}

/// The first keys that start with `prefix`, at most `limit`.
pub(crate) fn some<T: Table>(
    tables: &dyn Reader,
    prefix: &impl Key,
    limit: usize,
) -> Result<Vec<T::Key>, TableError> {
    let mut keys = Vec::new();
    scan::<T>(tables, prefix, &mut |key, _| {
        if keys.len() >= limit {
            return ControlFlow::Break(());
        }
        keys.push(key);
        ControlFlow::Continue(())
    })?;
    Ok(keys)
}

/// Declares tables: `Name(kind, "name"): Key => Row`.
macro_rules! tables {
    ($($(#[$doc:meta])* $table:ident($kind:literal, $name:literal): $key:ty => $row:ty;)*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $table;

        impl $crate::table::Table for $table {
            const KIND: u8 = $kind;
            const NAME: &'static str = $name;
            type Key = $key;
            type Row = $row;
        }
    )*};
}
pub(crate) use tables;
