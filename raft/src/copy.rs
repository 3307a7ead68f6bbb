//! A copy of the tables: out of a running node, and into the folder of a new one.
//!
//! ```text
//! head    "SdTables" │ version u32 │ commands u64    how many the tables had applied
//! row     key length u32, not zero │ value length u32 │ key │ value
//! end     zero u32 │ rows u64
//! ```
//!
//! all little-endian. Rows come in the order of their keys; a copy without its end is no copy.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::BufMut;
use node_base::NodeId;
use node_world::World;
use openraft::{CommittedLeaderId, StoredMembership};
use raft_meta::{Reader, TableError, Writer};

use crate::folder::{Folder, FolderError, Identity};
use crate::handle::{Raft, open_tables};
use crate::log::{self, LogError};
use crate::read::{Consistency, ReadError};
use crate::settings::Settings;
use crate::snapshot::{Note, part};
use crate::tables::{Engine, Row, Snapshot};
use crate::types::{LogId, Members, Vote};

const MAGIC: &[u8; 8] = b"SdTables";
const VERSION: u32 = 1;
const HEAD: usize = 20;
const END: usize = 12;
/// A key and a value, in bytes: far more than any has.
const KEY_MAX: usize = 1 << 16;
const VALUE_MAX: usize = 1 << 26;
/// Bytes of rows that are read together.
const PART: usize = 1 << 20;

/// One moment of a node's tables, being copied. While it is held, what it shows is kept.
pub struct Moment {
    world: World,
    tables: Option<Box<dyn Snapshot>>,
    commands: u64,
    from: Option<Vec<u8>>,
    rows: u64,
    is_begun: bool,
}

impl Raft {
    /// The tables as they are now, with all that was acknowledged before.
    ///
    /// # Errors
    /// When no leader can be asked how far to wait, or the tables fail.
    pub async fn moment(&self) -> Result<Moment, ReadError> {
        self.query(Consistency::Linearizable, |_| Ok(())).await?;
        let (note, tables) = self.tables_now().await?;
        Ok(Moment {
            world: self.world(),
            tables: Some(tables),
            commands: note.commands,
            from: Some(Vec::new()),
            rows: 0,
            is_begun: false,
        })
    }
}

impl Moment {
    /// The next bytes of the copy; nothing behind its end.
    ///
    /// # Errors
    /// When the tables fail.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, TableError> {
        let Some(tables) = self.tables.take() else { return Ok(None) };
        let mut bytes = Vec::new();
        if !std::mem::replace(&mut self.is_begun, true) {
            bytes.extend_from_slice(MAGIC);
            bytes.put_u32_le(VERSION);
            bytes.put_u64_le(self.commands);
        }
        let from = self.from.take().unwrap_or_default();
        let read = move || {
            let read = part(&*tables, &from, PART);
            (tables, read)
        };
        let (tables, read) = self.world.blocking(read).await;
        let (rows, rest) = read?;
        self.rows += rows.len() as u64;
        for (key, value) in rows {
            bytes.put_u32_le(u32::try_from(key.len()).expect("keys are short"));
            bytes.put_u32_le(u32::try_from(value.len()).expect("values are far below 4 GiB"));
            bytes.extend_from_slice(&key);
            bytes.extend_from_slice(&value);
        }
        if rest.is_some() {
            (self.from, self.tables) = (rest, Some(tables));
        } else {
            bytes.put_u32_le(0);
            bytes.put_u64_le(self.rows);
            // Closing a moment may wait for a drive.
            self.world.blocking(move || drop(tables)).await;
        }
        Ok(Some(bytes))
    }
}

/// Bytes that are no copy of tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CopyError {
    #[error("they do not begin like a copy of tables")]
    NotOurs,
    #[error("they are of format {found}, and this version knows up to {VERSION}")]
    Newer { found: u32 },
    #[error("a row is longer than any can be")]
    TooLong,
    #[error("they end before the copy does")]
    Short,
    #[error("there is something behind the end of the copy, or rows are missing")]
    Count,
}

/// Reads a copy piece by piece.
#[derive(Debug, Default)]
pub struct CopyReader {
    waiting: Vec<u8>,
    commands: Option<u64>,
    rows: u64,
    is_done: bool,
}

impl CopyReader {
    /// Takes the next bytes; answers the rows that are whole with them.
    ///
    /// # Errors
    /// When they are no copy.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Vec<Row>, CopyError> {
        self.waiting.extend_from_slice(bytes);
        let waiting = std::mem::take(&mut self.waiting);
        let mut left = &waiting[..];
        let mut rows = Vec::new();
        if self.commands.is_none() && left.len() >= HEAD {
            let (head, rest) = left.split_at(HEAD);
            self.commands = Some(parse_head(head)?);
            left = rest;
        }
        while self.commands.is_some() && left.len() >= END {
            if self.is_done {
                return Err(CopyError::Count);
            }
            let (key, value) = (number(left), number(&left[4..]));
            if key == 0 {
                let count = u64::from_le_bytes(left[4..END].try_into().expect("eight bytes"));
                if count != self.rows {
                    return Err(CopyError::Count);
                }
                self.is_done = true;
                left = &left[END..];
                continue;
            }
            if key > KEY_MAX || value > VALUE_MAX {
                return Err(CopyError::TooLong);
            }
            let Some(row) = left.get(8..8 + key + value) else { break };
            rows.push((row[..key].to_vec(), row[key..].to_vec()));
            self.rows += 1;
            left = &left[8 + key + value..];
        }
        self.waiting = left.to_vec();
        Ok(rows)
    }

    /// How many commands the tables had applied, once the copy is whole.
    ///
    /// # Errors
    /// When it is not.
    pub fn end(self) -> Result<u64, CopyError> {
        match self.commands {
            Some(commands) if self.is_done && self.waiting.is_empty() => Ok(commands),
            _ if self.is_done => Err(CopyError::Count),
            _ => Err(CopyError::Short),
        }
    }
}

fn number(bytes: &[u8]) -> usize {
    let four = bytes.first_chunk().copied().unwrap_or_default();
    u32::from_le_bytes(four) as usize
}

fn parse_head(head: &[u8]) -> Result<u64, CopyError> {
    if !head.starts_with(MAGIC) {
        return Err(CopyError::NotOurs);
    }
    let found = number(&head[8..]) as u32;
    if found != VERSION {
        return Err(CopyError::Newer { found });
    }
    Ok(u64::from_le_bytes(head[12..HEAD].try_into().expect("eight bytes")))
}

/// Why a folder is not filled from a copy.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    #[error(transparent)]
    Folder(#[from] FolderError),
    #[error("{} is node {node}'s of a cluster already", path.display())]
    Taken { path: PathBuf, node: NodeId },
    #[error(transparent)]
    Log(#[from] LogError),
    #[error("writing the tables")]
    Tables(#[from] TableError),
}

/// The folder of a node to be, filled with the tables of a cluster to be. It is none's until it is
/// finished; what was begun can be begun again.
pub struct Restoring {
    world: World,
    settings: Settings,
    folder: Folder,
    tables: Arc<dyn Engine>,
}

impl Restoring {
    /// Takes a folder that is no node's yet.
    ///
    /// # Errors
    /// When it is one's, in use, or cannot be written.
    pub async fn begin(
        world: &World,
        path: PathBuf,
        settings: &Settings,
    ) -> Result<Self, RestoreError> {
        let (inner, settings) = (world.clone(), settings.clone());
        let open = move || {
            // The tables are there before the folder is anybody's: only their absence is an error.
            let folder = Folder::open_for_filling(&inner, &path)?;
            if let Some(identity) = folder.identity() {
                return Err(RestoreError::Taken { path, node: identity.node });
            }
            let tables = open_tables(&inner, &path.join("tables"), &settings)?;
            Ok(Self { world: inner, settings, folder, tables })
        };
        world.blocking(open).await
    }

    /// Writes rows, over those that are there.
    ///
    /// # Errors
    /// When the drive fails.
    pub async fn put(&self, rows: Vec<Row>) -> Result<(), TableError> {
        let put = move |tables: &mut dyn Writer| {
            rows.iter().try_for_each(|(key, value)| tables.put(key, value))
        };
        self.change(put).await
    }

    /// Changes rows.
    ///
    /// # Errors
    /// When the drive fails, or `work` does.
    pub async fn change(
        &self,
        work: impl Fn(&mut dyn Writer) -> Result<(), TableError> + Send + 'static,
    ) -> Result<(), TableError> {
        let tables = Arc::clone(&self.tables);
        let write = move || {
            let mut work = |rows: &mut dyn Writer| {
                work(rows)?;
                Ok(Note::default().encode())
            };
            tables.write(&mut work, false)
        };
        self.world.blocking(write).await
    }

    /// Reads rows.
    ///
    /// # Errors
    /// When the drive fails, or `read` does.
    pub async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&dyn Reader) -> Result<T, TableError> + Send + 'static,
    ) -> Result<T, TableError> {
        let tables = Arc::clone(&self.tables);
        self.world.blocking(move || read(&*tables.snapshot()?)).await
    }

    /// Makes the folder that of `node`, the one member of a new cluster, which listens at
    /// `address`; `commands` is how many the tables have applied. The log begins behind an entry
    /// that nobody has, so that whoever joins is sent the tables first.
    ///
    /// # Errors
    /// When the drive fails. It can be done again then.
    pub async fn finish(
        self,
        node: NodeId,
        address: &str,
        commands: u64,
    ) -> Result<(), RestoreError> {
        let Self { world, settings, mut folder, tables } = self;
        let at = LogId::new(CommittedLeaderId::new(1, node.0), 1);
        let voters = vec![std::iter::once(node.0).collect()];
        let addresses = std::collections::BTreeMap::from([(node.0, address.to_owned())]);
        let members = StoredMembership::new(Some(at), Members::new(voters, addresses));
        let note = Note { applied: Some(at), members, commands };
        let cluster = Some(world.random().max(1));
        let inner = world.clone();
        let write = move || {
            tables.write(&mut |_| Ok(note.encode()), true)?;
            drop(tables);
            let vote = Vote::new_committed(1, node.0);
            log::begin_behind(&inner, &folder.path.join("log"), settings.log(), at, vote)?;
            Ok(folder.write(Identity { node, cluster, has_joined: false })?)
        };
        world.blocking(write).await
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{ProptestConfig, any, prop_assert, prop_assert_eq, proptest};

    use super::{CopyError, CopyReader};

    type Rows = Vec<(Vec<u8>, Vec<u8>)>;

    fn copy(rows: &Rows) -> Vec<u8> {
        let mut bytes = b"SdTables\x01\0\0\0\x07\0\0\0\0\0\0\0".to_vec();
        for (key, value) in rows {
            bytes.extend((key.len() as u32).to_le_bytes());
            bytes.extend((value.len() as u32).to_le_bytes());
            bytes.extend(key);
            bytes.extend(value);
        }
        bytes.extend([0; 4]);
        bytes.extend((rows.len() as u64).to_le_bytes());
        bytes
    }

    fn read(bytes: &[u8], piece: usize) -> Result<(Rows, u64), CopyError> {
        let mut reader = CopyReader::default();
        let mut rows = Vec::new();
        for piece in bytes.chunks(piece) {
            rows.extend(reader.feed(piece)?);
        }
        Ok((rows, reader.end()?))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_copy_is_read_in_any_pieces_and_no_part_of_it_is_one(
            rows in proptest::collection::vec((
                proptest::collection::vec(any::<u8>(), 1..20),
                proptest::collection::vec(any::<u8>(), 0..40),
            ), 0..10),
            piece in 1..100_usize,
            cut: proptest::sample::Index,
        ) {
            let bytes = copy(&rows);
            prop_assert_eq!(read(&bytes, piece), Ok((rows, 7)));
            prop_assert!(read(&bytes[..cut.index(bytes.len())], piece).is_err());
            let longer = [bytes, vec![1; 12]].concat();
            prop_assert_eq!(read(&longer, piece), Err(CopyError::Count));
        }

        #[test]
        fn any_bytes_are_answered(bytes: Vec<u8>, piece in 1..20_usize) {
            let _ = read(&[&copy(&Vec::new())[..20], &bytes].concat(), piece);
            prop_assert!(read(&bytes, piece).is_err());
        }
    }
}
