//! Making a backup, out of what a running node sends.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use node_base::{Sha256, sha256};
use node_world::{File, World};
use raft::CopyReader;
use raft_meta::restore::{Needed, needed};
use raft_meta::table;
use raft_meta::table::cluster::Clusters;

use super::manifest::{Listed, Manifest};
use super::pack::{At, PackWriter};
use super::{BackupError, Folder, NEW, PACKS, TABLES, disk, name};

/// What a backup has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Report {
    /// Its number in the folder.
    pub number: u32,
    pub tables_bytes: u64,
    /// All that it needs, and what of it was copied this time.
    pub chunks: u64,
    pub chunk_bytes: u64,
    pub copied_chunks: u64,
    pub copied_bytes: u64,
    /// Backups in the folder now, and those that were removed.
    pub kept: u64,
    pub removed: u64,
}

/// A backup being made. Its calls block.
pub struct Writing {
    folder: Folder,
    number: u32,
    tables: Tables,
    cluster: Option<u128>,
    needed: Vec<Needed>,
    commands: u64,
    pack: Option<PackWriter>,
    report: Report,
}

/// The copy of the tables being written.
struct Tables {
    file: Arc<dyn File>,
    path: PathBuf,
    len: u64,
    hasher: blake3::Hasher,
    reader: CopyReader,
}

fn no_tables(error: impl ToString) -> BackupError {
    BackupError::Tables(error.to_string())
}

impl Writing {
    /// Begins a backup in a folder, which is made where it is not there.
    ///
    /// # Errors
    /// When the folder holds something else, is in use, or cannot be written.
    pub fn begin(world: &World, path: &Path) -> Result<Self, BackupError> {
        let folder = Folder::open_or_make(world, path)?;
        let number = folder.backups.last().map_or(1, |last| last.number.saturating_add(1));
        let path = folder.path.join(TABLES).join(NEW);
        let file = folder.new_file(&path)?;
        let (hasher, reader) = (blake3::Hasher::new(), CopyReader::default());
        Ok(Self {
            tables: Tables { file, path, len: 0, hasher, reader },
            folder,
            number,
            cluster: None,
            needed: Vec::new(),
            commands: 0,
            pack: None,
            report: Report { number, ..Report::default() },
        })
    }

    /// Takes the next bytes of the copy of the tables.
    ///
    /// # Errors
    /// When they are none, or cannot be written.
    pub fn tables(&mut self, bytes: &[u8]) -> Result<(), BackupError> {
        let tables = &mut self.tables;
        tables.file.write_at(bytes, tables.len).map_err(disk("write", &tables.path))?;
        tables.len += bytes.len() as u64;
        tables.hasher.update(bytes);
        for (key, value) in tables.reader.feed(bytes).map_err(no_tables)? {
            self.needed.extend(needed(&key, &value).map_err(no_tables)?);
            let cluster = table::decode::<Clusters>(&key, &value).map_err(no_tables)?;
            self.cluster = cluster.map(|(_, row)| row.id).or(self.cluster);
        }
        Ok(())
    }

    /// Ends the copy of the tables; answers the chunks that are to be brought, in order.
    ///
    /// # Errors
    /// When the copy is not whole, or of another cluster than the other backups here.
    pub fn tables_done(&mut self) -> Result<Vec<Needed>, BackupError> {
        let reader = std::mem::take(&mut self.tables.reader);
        self.commands = reader.end().map_err(no_tables)?;
        let cluster = self.cluster.ok_or_else(|| no_tables("they are of no cluster"))?;
        if self.folder.backups.iter().any(|backup| backup.cluster != cluster) {
            return Err(BackupError::OtherCluster { path: self.folder.path.clone() });
        }
        self.tables.file.sync_data().map_err(disk("write", &self.tables.path))?;
        self.leave_sparse_packs();
        // Tenants may have the same chunk.
        let mut seen = BTreeSet::new();
        for chunk in &self.needed {
            if seen.insert(chunk.hash) {
                self.report.chunks += 1;
                self.report.chunk_bytes += u64::from(chunk.size);
            }
        }
        let known = &self.folder.chunks;
        let mut missing = self.needed.clone();
        missing.retain(|chunk| !known.contains_key(&chunk.hash) && seen.remove(&chunk.hash));
        Ok(missing)
    }

    /// Does without packs of which this backup needs less than half: what it needs is copied anew.
    fn leave_sparse_packs(&mut self) {
        let wanted: BTreeSet<Sha256> = self.needed.iter().map(|chunk| chunk.hash).collect();
        let mut live: BTreeMap<u32, u64> = BTreeMap::new();
        for (hash, at) in &self.folder.chunks {
            if wanted.contains(hash) {
                *live.entry(at.pack).or_default() += u64::from(at.len);
            }
        }
        let packs = &self.folder.packs;
        let is_dense = |pack: &u32| {
            let live = live.get(pack).copied().unwrap_or(0);
            packs.get(pack).is_some_and(|pack| live * 2 >= pack.body_bytes)
        };
        self.folder.chunks.retain(|_, at| is_dense(&at.pack));
    }

    /// Takes a chunk that was asked for.
    ///
    /// # Errors
    /// When it has another hash, or cannot be written.
    pub fn chunk(&mut self, hash: Sha256, bytes: &[u8]) -> Result<(), BackupError> {
        if sha256(bytes) != hash {
            return Err(BackupError::Chunk(hash));
        }
        let path = self.folder.path.join(PACKS).join(NEW);
        let pack = match &mut self.pack {
            Some(pack) => pack,
            none => none.insert(PackWriter::begin(self.folder.new_file(&path)?, &path)?),
        };
        pack.put(&path, hash, bytes)?;
        self.report.copied_chunks += 1;
        self.report.copied_bytes += bytes.len() as u64;
        if pack.is_full() { self.end_pack() } else { Ok(()) }
    }

    fn end_pack(&mut self) -> Result<(), BackupError> {
        let Some(pack) = self.pack.take() else { return Ok(()) };
        let from = self.folder.path.join(PACKS).join(NEW);
        let last = self.folder.list(&self.folder.path.join(PACKS), "pack")?.pop();
        let number = last.map_or(1, |last| last.saturating_add(1));
        let (pack, entries) = pack.end(&from)?;
        self.folder.publish(&*pack.file, &from, &self.folder.pack_path(number))?;
        for (hash, offset, len) in entries {
            self.folder.chunks.insert(hash, At { pack: number, offset, len });
        }
        self.folder.packs.insert(number, pack);
        Ok(())
    }

    /// Ends the backup, and removes all but the newest `keep` of the folder.
    ///
    /// # Errors
    /// When a chunk was not brought, or the drive fails. What was there before is there still.
    pub fn finish(mut self, keep: u32) -> Result<Report, BackupError> {
        self.end_pack()?;
        let folder = &self.folder;
        let mut packs = BTreeSet::new();
        for chunk in &self.needed {
            let at = folder.chunks.get(&chunk.hash).ok_or(BackupError::Chunk(chunk.hash))?;
            packs.insert(at.pack);
        }
        let listed = |number: u32| {
            let pack = folder.packs.get(&number)?;
            Some(Listed { number, bytes: pack.bytes, hash: pack.hash })
        };
        let manifest = Manifest {
            number: self.number,
            cluster: self.cluster.unwrap_or(0),
            at_ms: folder.world.wall().millis(),
            commands: self.commands,
            tables_bytes: self.tables.len,
            tables_hash: *self.tables.hasher.finalize().as_bytes(),
            chunks: self.report.chunks,
            chunk_bytes: self.report.chunk_bytes,
            packs: packs.into_iter().filter_map(listed).collect(),
        };
        let tables = folder.tables_path(self.number);
        folder.publish(&*self.tables.file, &self.tables.path, &tables)?;
        let new = folder.path.join(NEW);
        let file = folder.new_file(&new)?;
        file.write_at(manifest.text().as_bytes(), 0).map_err(disk("write", &new))?;
        folder.publish(&*file, &new, &folder.path.join(name(self.number, "backup")))?;
        self.report.tables_bytes = self.tables.len;
        self.folder.backups.push(manifest);
        self.clear(keep.max(1) as usize)?;
        Ok(self.report)
    }

    /// Removes the oldest backups, manifests first, and then what no manifest lists.
    fn clear(&mut self, keep: usize) -> Result<(), BackupError> {
        let folder = &mut self.folder;
        let removed = folder.backups.len().saturating_sub(keep);
        let on = folder.world.clone();
        for backup in folder.backups.drain(..removed) {
            let path = folder.path.join(name(backup.number, "backup"));
            on.disk().remove(&path).map_err(disk("remove", &path))?;
        }
        on.disk().sync_folder(&folder.path).map_err(disk("sync", &folder.path))?;
        let tables: BTreeSet<u32> = folder.backups.iter().map(|backup| backup.number).collect();
        let listed = folder.backups.iter().flat_map(|backup| &backup.packs);
        let packs: BTreeSet<u32> = listed.map(|pack| pack.number).collect();
        for number in folder.list(&folder.path.join(TABLES), "tables")? {
            if !tables.contains(&number) {
                let path = folder.tables_path(number);
                on.disk().remove(&path).map_err(disk("remove", &path))?;
            }
        }
        for number in folder.list(&folder.path.join(PACKS), "pack")? {
            if !packs.contains(&number) {
                let path = folder.pack_path(number);
                on.disk().remove(&path).map_err(disk("remove", &path))?;
            }
        }
        self.report.kept = folder.backups.len() as u64;
        self.report.removed = removed as u64;
        Ok(())
    }
}
