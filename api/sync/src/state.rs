//! What must outlive a run: the base tree, what the server had, the cursor, which chunks are where,
//! sessions that are not finished. One database for each pair of folder and share.

use std::collections::BTreeMap;
use std::path::Path;

use api_sync_core::{Base, RemoteFile, Stamp};
use node_base::Sha256;
use redb::{
    Database, DatabaseError, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// `cursor`, `format`, `folder`.
const META: TableDefinition<'_, &str, &str> = TableDefinition::new("meta");
/// path → [`Base`].
const BASE: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("base");
/// path → [`Chunk`]s of the content that was last in step.
const CHUNKS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("chunks");
/// SHA-256 of a chunk → [`Place`]. A hint: what is read there is hashed before it is used.
const PLACES: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("places");
/// id → [`Node`].
const NODES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("nodes");
/// path → [`Resume`].
const UPLOADS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("uploads");

/// A database of another format is not read.
const FORMAT: &str = "1";

/// A piece of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Chunk {
    pub(crate) hash: Sha256,
    pub(crate) size: u32,
}

/// Where a chunk was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    pub(crate) path: String,
    pub(crate) offset: u64,
}

/// Something on the server, by id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Node {
    /// The folder it is in; nothing for the root of what is kept in step.
    pub(crate) parent: Option<String>,
    pub(crate) name: String,
    /// Nothing for a folder.
    pub(crate) file: Option<RemoteFile>,
}

/// An upload that was begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Resume {
    pub(crate) session_id: String,
    /// Of the content that it was begun with.
    pub(crate) stamp: Stamp,
    /// The version that the content is to follow.
    pub(crate) base_version_id: Option<String>,
}

/// One change of the state.
#[derive(Debug, Clone)]
pub(crate) enum Edit {
    /// Both sides have this; the chunks are of the new content, or as they were.
    Base {
        path: String,
        base: Base,
        chunks: Option<Vec<Chunk>>,
    },
    /// Neither side has what was at and below the path.
    Forget {
        path: String,
    },
    Move {
        from: String,
        to: String,
    },
    ForgetAll,
    Node {
        id: String,
        node: Option<Node>,
    },
    Cursor(Option<String>),
    /// What tells the folder from another one at its path.
    Folder(String),
    Upload {
        path: String,
        resume: Option<Resume>,
    },
}

/// Why the state cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StateError {
    #[error("another scaidrive is at work on it")]
    InUse,
    #[error("the state has format {0}, and this scaidrive reads {FORMAT}")]
    Format(String),
    #[error("the database failed")]
    Database(#[from] redb::Error),
    #[error("an entry cannot be read or written")]
    Entry(#[from] postcard::Error),
}

fn failed(error: impl Into<redb::Error>) -> StateError {
    StateError::Database(error.into())
}

/// The state of one pair.
pub(crate) struct State(Database);

impl State {
    /// Opens the state, or makes it.
    ///
    /// # Errors
    /// [`StateError::InUse`] while another process has it.
    pub(crate) fn open(path: &Path) -> Result<Self, StateError> {
        let database = Database::create(path).map_err(|error| match error {
            DatabaseError::DatabaseAlreadyOpen => StateError::InUse,
            other => failed(other),
        })?;
        let mut write = database.begin_write().map_err(failed)?;
        write.set_quick_repair(true);
        let format = {
            let mut meta = write.open_table(META).map_err(failed)?;
            for table in [BASE, CHUNKS, NODES, UPLOADS] {
                write.open_table(table).map_err(failed)?;
            }
            write.open_table(PLACES).map_err(failed)?;
            let known = meta.get("format").map_err(failed)?.map(|value| value.value().to_owned());
            if known.is_none() {
                meta.insert("format", FORMAT).map_err(failed)?;
            }
            known
        };
        write.commit().map_err(failed)?;
        match format {
            Some(other) if other != FORMAT => Err(StateError::Format(other)),
            Some(_) | None => Ok(Self(database)),
        }
    }

    fn all<T: DeserializeOwned>(
        &self,
        table: TableDefinition<'_, &str, &[u8]>,
    ) -> Result<BTreeMap<String, T>, StateError> {
        let read = self.0.begin_read().map_err(failed)?;
        let table = read.open_table(table).map_err(failed)?;
        let mut all = BTreeMap::new();
        for entry in table.iter().map_err(failed)? {
            let (key, value) = entry.map_err(failed)?;
            all.insert(key.value().to_owned(), postcard::from_bytes(value.value())?);
        }
        Ok(all)
    }

    fn one<T: DeserializeOwned>(
        &self,
        table: TableDefinition<'_, &str, &[u8]>,
        key: &str,
    ) -> Result<Option<T>, StateError> {
        let read = self.0.begin_read().map_err(failed)?;
        let table = read.open_table(table).map_err(failed)?;
        let value = table.get(key).map_err(failed)?;
        value.map(|value| postcard::from_bytes(value.value())).transpose().map_err(Into::into)
    }

    pub(crate) fn base(&self) -> Result<BTreeMap<String, Base>, StateError> {
        self.all(BASE)
    }

    pub(crate) fn nodes(&self) -> Result<BTreeMap<String, Node>, StateError> {
        self.all(NODES)
    }

    pub(crate) fn chunks(&self, path: &str) -> Result<Option<Vec<Chunk>>, StateError> {
        self.one(CHUNKS, path)
    }

    pub(crate) fn upload(&self, path: &str) -> Result<Option<Resume>, StateError> {
        self.one(UPLOADS, path)
    }

    pub(crate) fn cursor(&self) -> Result<Option<String>, StateError> {
        self.meta("cursor")
    }

    /// What told the folder from others when it was last in step.
    pub(crate) fn folder(&self) -> Result<Option<String>, StateError> {
        self.meta("folder")
    }

    fn meta(&self, key: &str) -> Result<Option<String>, StateError> {
        let read = self.0.begin_read().map_err(failed)?;
        let meta = read.open_table(META).map_err(failed)?;
        Ok(meta.get(key).map_err(failed)?.map(|value| value.value().to_owned()))
    }

    /// Where chunks were last seen, for those that were.
    pub(crate) fn places(&self, hashes: &[Sha256]) -> Result<Vec<Option<Place>>, StateError> {
        let read = self.0.begin_read().map_err(failed)?;
        let table = read.open_table(PLACES).map_err(failed)?;
        let place = |hash: &Sha256| -> Result<Option<Place>, StateError> {
            let value = table.get(hash.0.as_slice()).map_err(failed)?;
            value.map(|value| postcard::from_bytes(value.value())).transpose().map_err(Into::into)
        };
        hashes.iter().map(place).collect()
    }

    /// Does all of the edits or none, durably.
    pub(crate) fn write(&self, edits: &[Edit]) -> Result<(), StateError> {
        if edits.is_empty() {
            return Ok(());
        }
        let mut write = self.0.begin_write().map_err(failed)?;
        write.set_quick_repair(true);
        edits.iter().try_for_each(|edit| apply(&write, edit))?;
        write.commit().map_err(failed)
    }
}

fn apply(write: &WriteTransaction, edit: &Edit) -> Result<(), StateError> {
    match edit {
        Edit::Base { path, base, chunks } => {
            if matches!(base, Base::File(_)) && chunks.is_some() {
                forget(write, path)?;
            }
            put(write, BASE, path, base)?;
            if let Some(chunks) = chunks {
                put(write, CHUNKS, path, chunks)?;
                note_places(write, path, chunks)?;
            }
            Ok(())
        }
        Edit::Forget { path } => forget(write, path),
        Edit::Move { from, to } => {
            shift(write, BASE, from, to)?;
            shift(write, CHUNKS, from, to)
        }
        Edit::ForgetAll => {
            for table in [BASE, CHUNKS, NODES] {
                write.delete_table(table).map_err(failed)?;
                write.open_table(table).map_err(failed)?;
            }
            set_cursor(write, None)
        }
        Edit::Node { id, node: Some(node) } => put(write, NODES, id, node),
        Edit::Node { id, node: None } => take(write, NODES, id),
        Edit::Folder(folder) => {
            let mut meta = write.open_table(META).map_err(failed)?;
            meta.insert("folder", folder.as_str()).map_err(failed)?;
            Ok(())
        }
        Edit::Cursor(cursor) => set_cursor(write, cursor.as_deref()),
        Edit::Upload { path, resume: Some(resume) } => put(write, UPLOADS, path, resume),
        Edit::Upload { path, resume: None } => take(write, UPLOADS, path),
    }
}

fn put<T: Serialize>(
    write: &WriteTransaction,
    table: TableDefinition<'_, &str, &[u8]>,
    key: &str,
    value: &T,
) -> Result<(), StateError> {
    let bytes = postcard::to_allocvec(value)?;
    let mut table = write.open_table(table).map_err(failed)?;
    table.insert(key, bytes.as_slice()).map_err(failed)?;
    Ok(())
}

fn take(
    write: &WriteTransaction,
    table: TableDefinition<'_, &str, &[u8]>,
    key: &str,
) -> Result<(), StateError> {
    write.open_table(table).map_err(failed)?.remove(key).map_err(failed)?;
    Ok(())
}

fn set_cursor(write: &WriteTransaction, cursor: Option<&str>) -> Result<(), StateError> {
    let mut meta = write.open_table(META).map_err(failed)?;
    match cursor {
        Some(cursor) => meta.insert("cursor", cursor).map_err(failed)?,
        None => meta.remove("cursor").map_err(failed)?,
    };
    Ok(())
}

fn note_places(write: &WriteTransaction, path: &str, chunks: &[Chunk]) -> Result<(), StateError> {
    let mut table = write.open_table(PLACES).map_err(failed)?;
    let mut offset = 0;
    for chunk in chunks {
        let place = postcard::to_allocvec(&Place { path: path.to_owned(), offset })?;
        table.insert(chunk.hash.0.as_slice(), place.as_slice()).map_err(failed)?;
        offset += u64::from(chunk.size);
    }
    Ok(())
}

/// The keys at and below a path.
fn below(
    write: &WriteTransaction,
    table: TableDefinition<'_, &str, &[u8]>,
    path: &str,
) -> Result<Vec<(String, Vec<u8>)>, StateError> {
    let table = write.open_table(table).map_err(failed)?;
    let mut found = Vec::new();
    if let Some(value) = table.get(path).map_err(failed)? {
        found.push((path.to_owned(), value.value().to_vec()));
    }
    // What follows a slash sorts before what follows the character behind it.
    let (first, end) = (format!("{path}/"), format!("{path}0"));
    for entry in table.range(first.as_str()..end.as_str()).map_err(failed)? {
        let (key, value) = entry.map_err(failed)?;
        found.push((key.value().to_owned(), value.value().to_vec()));
    }
    Ok(found)
}

fn forget(write: &WriteTransaction, path: &str) -> Result<(), StateError> {
    for table in [BASE, CHUNKS] {
        for (key, _) in below(write, table, path)? {
            take(write, table, &key)?;
        }
    }
    Ok(())
}

fn shift(
    write: &WriteTransaction,
    table: TableDefinition<'_, &str, &[u8]>,
    from: &str,
    to: &str,
) -> Result<(), StateError> {
    for (key, value) in below(write, table, from)? {
        let place = format!("{to}{}", &key[from.len()..]);
        let mut open = write.open_table(table).map_err(failed)?;
        open.remove(key.as_str()).map_err(failed)?;
        open.insert(place.as_str(), value.as_slice()).map_err(failed)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use api_sync_core::{Base, BaseFile, Stamp};
    use node_base::sha256;

    use super::{Chunk, Edit, Place, Resume, State, StateError};

    fn file(id: &str) -> Base {
        Base::File(BaseFile {
            id: id.to_owned(),
            version_id: "ver_1".to_owned(),
            stamp: Stamp { size: 3, modified: 7, inode: 9 },
            executable: false,
        })
    }

    fn base(path: &str, chunks: Option<Vec<Chunk>>) -> Edit {
        Edit::Base { path: path.to_owned(), base: file(path), chunks }
    }

    fn chunk(bytes: &[u8]) -> Chunk {
        Chunk { hash: sha256(bytes), size: bytes.len() as u32 }
    }

    #[test]
    fn what_was_written_is_there_when_opened_again_and_nobody_else_has_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("state");
        let state = State::open(&path).expect("made");
        assert!(matches!(State::open(&path), Err(StateError::InUse)));
        let resume = Resume {
            session_id: "upl_1".to_owned(),
            stamp: Stamp { size: 3, modified: 7, inode: 9 },
            base_version_id: None,
        };
        let edits = [
            base("d/x", Some(vec![chunk(b"abc"), chunk(b"d")])),
            Edit::Cursor(Some("c".to_owned())),
            Edit::Upload { path: "y".to_owned(), resume: Some(resume.clone()) },
        ];
        state.write(&edits).expect("written");
        drop(state);
        let state = State::open(&path).expect("opened");
        assert_eq!(state.base().expect("read").get("d/x"), Some(&file("d/x")));
        assert_eq!(state.cursor().expect("read").as_deref(), Some("c"));
        assert_eq!(state.upload("y").expect("read"), Some(resume));
        let places = state.places(&[sha256(b"d"), sha256(b"e")]).expect("read");
        assert_eq!(places, [Some(Place { path: "d/x".to_owned(), offset: 3 }), None]);
    }

    #[test]
    fn a_folder_moves_and_goes_with_what_is_in_it_and_no_more() {
        let folder = tempfile::tempdir().expect("a folder");
        let state = State::open(&folder.path().join("state")).expect("made");
        let paths = ["d", "d/x", "d-e", "d0", "f"];
        let edits: Vec<Edit> = paths.iter().map(|path| base(path, Some(Vec::new()))).collect();
        // Files below a file cannot be: what was there before is forgotten with a new content.
        state.write(&[base("f/old", Some(Vec::new()))]).expect("written");
        state.write(&edits).expect("written");
        state.write(&[base("d/x", Some(vec![chunk(b"abc")]))]).expect("written");
        let edit = Edit::Move { from: "d".to_owned(), to: "n".to_owned() };
        state.write(&[edit]).expect("moved");
        let keys = |state: &State| state.base().expect("read").into_keys().collect::<Vec<_>>();
        assert_eq!(keys(&state), ["d-e", "d0", "f", "n", "n/x"]);
        assert_eq!(state.chunks("n/x").expect("read"), Some(vec![chunk(b"abc")]));
        state.write(&[Edit::Forget { path: "n".to_owned() }]).expect("forgotten");
        assert_eq!(keys(&state), ["d-e", "d0", "f"]);
        assert_eq!(state.chunks("n/x").expect("read"), None);
    }
}
