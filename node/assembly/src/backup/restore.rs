//! Filling an empty data directory from a backup: the first node of a new cluster.
//!
//! The backup is looked at first, as far as that goes without reading every chunk: nothing is
//! written from one that is not whole. A note in the data directory says from what it is being
//! filled; while it is there no node starts on it, and a restore that was cut off goes on where the
//! same is asked for again. The folder of the agreement is made a node's at the very end.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use chunkstore::{ChunkKey, NewChunk, PutError, Store, StoredChunk};
use node_base::{NodeId, Profile, Sha256};
use node_world::{OpenMode, World};
use raft::{CopyReader, Restoring};
use raft_meta::restore::{Founding, Needed, needed, refound, stored};
use raft_meta::{TableError, Writer};

use super::manifest::{Manifest, hex};
use super::{BackupError, Folder, damaged, disk};
use crate::{Settings, StartError, open_store};

/// The note in a data directory that is being filled.
pub(crate) const NOTE: &str = "restoring";
/// Bytes of the tables, and of chunks, that are taken together.
const TABLES_PART: u64 = 4 << 20;
const CHUNKS_PART: u64 = 16 << 20;

/// Why a backup is not restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    #[error(transparent)]
    Backup(#[from] BackupError),
    #[error("no data directory is set")]
    NoFolder,
    #[error("{} is not empty", path.display())]
    NotEmpty { path: PathBuf },
    #[error("{} is being filled from another backup; choose an empty folder", path.display())]
    Other { path: PathBuf },
    #[error(transparent)]
    Raft(#[from] raft::RestoreError),
    #[error("writing the tables")]
    Tables(#[from] TableError),
    #[error("storing chunk {hash}")]
    Put { hash: Sha256, source: PutError },
    #[error("the drives cannot be used")]
    Drives(#[source] Box<StartError>),
    #[error("the drives cannot be listed")]
    List(#[from] chunkstore::ListError),
}

/// What was restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restored {
    pub number: u32,
    /// When the backup was made, in milliseconds.
    pub at_ms: i64,
    pub chunks: u64,
    pub bytes: u64,
}

/// Restores a backup, or the newest, into the empty data directories of `settings`. They become the
/// node of this number, reached by others at that address. `progress` is told chunks done and all
/// of them, now and then.
///
/// # Errors
/// When the backup is damaged, or the directories cannot be filled.
pub async fn restore(
    world: &World,
    settings: &Settings,
    from: &Path,
    number: Option<u32>,
    (node, address): (NodeId, &str),
    mut progress: impl FnMut(u64, u64),
) -> Result<Restored, RestoreError> {
    let (inner, path) = (world.clone(), from.to_owned());
    let look = move || {
        let folder = Folder::open(&inner, &path)?;
        let backup = folder.backup(number)?.clone();
        folder.check_packs(&backup)?;
        let wanted = check_tables(&folder, &backup)?;
        Ok::<_, BackupError>((folder, backup, wanted))
    };
    let (folder, backup, wanted) = world.blocking(look).await?;
    let folder = std::sync::Arc::new(folder);
    let home = settings.data_dirs.first().ok_or(RestoreError::NoFolder)?;
    let cluster = take_folders(world, settings, &backup).await?;
    let restoring = Restoring::begin(world, home.join("raft"), &settings.raft).await?;
    let store = open_store(world, settings, node, cluster)
        .await
        .map_err(|error| RestoreError::Drives(Box::new(error)))?;
    fill_tables(world, &folder, &backup, &restoring).await?;
    let there = held(&store).await?;
    let all = wanted.len() as u64;
    let filled = Filling { world, folder: &folder, restoring: &restoring, store: &store };
    let mut done = 0;
    for part in parts(wanted) {
        filled.fill(&part, &there).await?;
        done += part.len() as u64;
        progress(done, all);
    }
    store.close().await;
    drop(store);
    let founding = Founding { cluster, at: world.wall() };
    restoring.change(move |tables| refound(tables, founding)).await?;
    restoring.finish(node, address, backup.commands).await?;
    let (inner, home) = (world.clone(), home.clone());
    let end = move || {
        let path = home.join(NOTE);
        inner.disk().remove(&path).map_err(disk("remove", &path))?;
        inner.disk().sync_folder(&home).map_err(disk("sync", &home))
    };
    world.blocking(end).await?;
    let Manifest { number, at_ms, chunks, chunk_bytes, .. } = backup;
    Ok(Restored { number, at_ms, chunks, bytes: chunk_bytes })
}

/// Reads the whole copy of the tables and compares it with the manifest; answers the chunks that
/// it needs, each of which a pack of the backup must have.
fn check_tables(folder: &Folder, backup: &Manifest) -> Result<Vec<Needed>, BackupError> {
    let path = folder.tables_path(backup.number);
    let mut hasher = blake3::Hasher::new();
    read_tables(folder, backup, |bytes| {
        hasher.update(bytes);
        Ok(())
    })?;
    if *hasher.finalize().as_bytes() != backup.tables_hash {
        return Err(damaged(&path, "its bytes are not those that were written"));
    }
    let wrong = |error: String| damaged(&path, error);
    let (mut reader, mut wanted) = (CopyReader::default(), Vec::new());
    read_tables(folder, backup, |bytes| {
        for (key, value) in reader.feed(bytes).map_err(|error| wrong(error.to_string()))? {
            let row = needed(&key, &value).map_err(|error| wrong(error.to_string()))?;
            wanted.extend(row);
        }
        Ok(())
    })?;
    let commands = reader.end().map_err(|error| wrong(error.to_string()))?;
    if commands != backup.commands {
        return Err(damaged(&path, "it is not of the moment that the manifest names"));
    }
    let listed: BTreeSet<u32> = backup.packs.iter().map(|pack| pack.number).collect();
    for chunk in &wanted {
        let at = folder.chunks.get(&chunk.hash);
        // A later pack may have it as well.
        if !at.is_some_and(|at| at.len == chunk.size && folder.packs.contains_key(&at.pack)) {
            let why = format!("no pack has chunk {}, of {} packs", chunk.hash, listed.len());
            return Err(damaged(&folder.path, why));
        }
    }
    Ok(wanted)
}

fn read_tables(
    folder: &Folder,
    backup: &Manifest,
    mut take: impl FnMut(&[u8]) -> Result<(), BackupError>,
) -> Result<(), BackupError> {
    let path = folder.tables_path(backup.number);
    let file = folder.world.disk().open(&path, OpenMode::Read).map_err(disk("open", &path))?;
    let len = file.len().map_err(disk("read", &path))?;
    if len != backup.tables_bytes {
        return Err(damaged(&path, "it has another length than was written"));
    }
    let mut at = 0;
    let mut bytes = Vec::new();
    while at < len {
        bytes.resize(usize::try_from((len - at).min(TABLES_PART)).unwrap_or(0), 0);
        file.read_at(&mut bytes, at).map_err(disk("read", &path))?;
        at += bytes.len() as u64;
        take(&bytes)?;
    }
    Ok(())
}

/// Makes sure that the folders are empty, or were being filled from the same backup; answers the
/// identity of the cluster to be.
async fn take_folders(
    world: &World,
    settings: &Settings,
    backup: &Manifest,
) -> Result<u128, RestoreError> {
    let (inner, folders) = (world.clone(), settings.data_dirs.clone());
    let (fresh, from) =
        (world.random().max(1), hex(blake3::hash(backup.text().as_bytes()).as_bytes()));
    let take = move || {
        let on = inner.disk();
        let home = folders.first().ok_or(RestoreError::NoFolder)?;
        for folder in &folders {
            crate::make_folder(on, folder).map_err(disk("make", folder))?;
        }
        let path = home.join(NOTE);
        if let Some((known, cluster)) = read_note(&inner, &path)? {
            return if known == from {
                Ok(cluster)
            } else {
                Err(RestoreError::Other { path: home.clone() })
            };
        }
        for folder in &folders {
            let entries = on.list(folder).map_err(disk("list", folder))?;
            if entries.iter().any(|entry| entry.name != NOTE) {
                return Err(RestoreError::NotEmpty { path: folder.clone() });
            }
        }
        let text = format!("{from}\n{fresh:032x}\n");
        let file = on.open(&path, OpenMode::Create).map_err(disk("make", &path))?;
        file.set_len(0).map_err(disk("write", &path))?;
        file.write_at(text.as_bytes(), 0).map_err(disk("write", &path))?;
        file.sync_data().map_err(disk("write", &path))?;
        on.sync_folder(home).map_err(disk("sync", home))?;
        Ok(fresh)
    };
    world.blocking(take).await
}

/// What the note says, where it is whole: torn, nothing was written after it.
fn read_note(world: &World, path: &Path) -> Result<Option<(String, u128)>, BackupError> {
    let file = match world.disk().open(path, OpenMode::Read) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(disk("open", path))?,
    };
    let mut bytes = vec![0; file.len().map_err(disk("read", path))?.min(200) as usize];
    file.read_at(&mut bytes, 0).map_err(disk("read", path))?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let mut lines = text.lines();
    let (from, cluster) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let cluster = u128::from_str_radix(cluster, 16).ok();
    Ok(cluster.filter(|_| text.ends_with('\n')).map(|cluster| (from.to_owned(), cluster)))
}

async fn fill_tables(
    world: &World,
    folder: &std::sync::Arc<Folder>,
    backup: &Manifest,
    restoring: &Restoring,
) -> Result<(), RestoreError> {
    let path = folder.tables_path(backup.number);
    let mut reader = CopyReader::default();
    let mut at = 0;
    while at < backup.tables_bytes {
        let (inner, path, left) = (world.clone(), path.clone(), backup.tables_bytes - at);
        let read = move || {
            let mut bytes = vec![0; usize::try_from(left.min(TABLES_PART)).unwrap_or(0)];
            let file = inner.disk().open(&path, OpenMode::Read).map_err(disk("open", &path))?;
            file.read_at(&mut bytes, at).map_err(disk("read", &path))?;
            Ok::<_, BackupError>(bytes)
        };
        let bytes = world.blocking(read).await?;
        at += bytes.len() as u64;
        let rows = reader.feed(&bytes).map_err(|error| BackupError::Tables(error.to_string()))?;
        restoring.put(rows).await?;
    }
    Ok(())
}

type There = BTreeMap<ChunkKey, (Profile, u32)>;

/// The chunks of which all shards are on the drives: of a restore that was cut off.
async fn held(store: &Store) -> Result<There, RestoreError> {
    let mut shards: BTreeMap<ChunkKey, (BTreeSet<u8>, usize, Profile, u32)> = BTreeMap::new();
    let mut cursor = None;
    loop {
        let page = store.list(cursor, 1_000).await?;
        for item in page.items {
            let size = item.shape.shards() * item.shape.shard_len();
            let size = u32::try_from(size).unwrap_or(u32::MAX);
            let fresh = (BTreeSet::new(), item.shape.shards(), item.shape.profile, size);
            shards.entry(item.key).or_insert(fresh).0.insert(item.index);
        }
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    let whole = shards.into_iter().filter(|(_, (indexes, all, ..))| indexes.len() == *all);
    Ok(whole.map(|(key, (_, _, profile, size))| (key, (profile, size))).collect())
}

/// Chunks in groups that are stored together.
fn parts(wanted: Vec<Needed>) -> Vec<Vec<Needed>> {
    let mut parts: Vec<Vec<Needed>> = Vec::new();
    let mut room = 0;
    for chunk in wanted {
        let size = u64::from(chunk.size);
        match parts.last_mut() {
            Some(part) if size <= room => part.push(chunk),
            _ => {
                room = CHUNKS_PART;
                parts.push(vec![chunk]);
            }
        }
        room = room.saturating_sub(size);
    }
    parts
}

struct Filling<'a> {
    world: &'a World,
    folder: &'a std::sync::Arc<Folder>,
    restoring: &'a Restoring,
    store: &'a Store,
}

impl Filling<'_> {
    /// Stores chunks that are not there yet, and notes how they are stored.
    async fn fill(&self, part: &[Needed], there: &There) -> Result<(), RestoreError> {
        let key = |chunk: &Needed| {
            let Needed { tenant, hash, generation, .. } = *chunk;
            ChunkKey { tenant, hash, generation }
        };
        let mut rows: Vec<(Needed, Profile, u32)> = Vec::with_capacity(part.len());
        let mut missing = Vec::new();
        for chunk in part {
            match there.get(&key(chunk)) {
                Some((profile, size)) => rows.push((*chunk, *profile, *size)),
                None => missing.push(*chunk),
            }
        }
        let (folder, asked) = (std::sync::Arc::clone(self.folder), missing.clone());
        let read = move || asked.iter().map(|chunk| folder.read(chunk.hash)).collect();
        let read: Result<Vec<(Vec<u8>, PathBuf)>, BackupError> = self.world.blocking(read).await;
        let (bodies, paths): (Vec<_>, Vec<_>) = read?.into_iter().unzip();
        let chunks = missing.iter().zip(bodies).map(|(chunk, plain)| NewChunk {
            tenant: chunk.tenant,
            generation: chunk.generation,
            plain: Bytes::from(plain),
            expected: Some(chunk.hash),
        });
        let results = self.store.put_many(chunks.collect()).await;
        for ((chunk, path), result) in missing.iter().zip(paths).zip(results) {
            let StoredChunk { profile, stored_size, .. } =
                result.map_err(|source| match source {
                    PutError::Checksum { .. } | PutError::Size { .. } => {
                        damaged(&path, format!("chunk {} is not what was written", chunk.hash))
                            .into()
                    }
                    source => RestoreError::Put { hash: chunk.hash, source },
                })?;
            let size = u32::try_from(stored_size).unwrap_or(u32::MAX);
            rows.push((*chunk, profile, size));
        }
        let note = move |tables: &mut dyn Writer| {
            rows.iter()
                .try_for_each(|(chunk, profile, size)| stored(tables, chunk, *profile, *size))
        };
        Ok(self.restoring.change(note).await?)
    }
}
