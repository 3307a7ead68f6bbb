//! What makes a folder a drive: its identity, and that one process alone has it.

use std::io;
use std::path::{Path, PathBuf};

use node_base::DriveId;
use node_world::{OpenMode, World};

use crate::settings::SettingsError;

const MAGIC: [u8; 4] = *b"SDdr";
const VERSION: u32 = 1;
const LEN: usize = 48;

/// What a drive's folder may hold.
const OURS: [&str; 6] = ["lock", "drive", "drive.new", "packs", "scrub", "scrub.new"];

/// Why a folder cannot be used as a drive.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the drive at {} is in use by another process", path.display())]
    InUse { path: PathBuf },
    #[error("the drive at {} was written by a newer version (format {version})", path.display())]
    Newer { path: PathBuf, version: u32 },
    #[error("the drive at {} belongs to another cluster", path.display())]
    OtherCluster { path: PathBuf },
    #[error("the folder {} holds {found}, which is not a drive's", path.display())]
    NotADrive { path: PathBuf, found: String },
    #[error("the drive at {} has packs but its identity is missing or damaged", path.display())]
    NoIdentity { path: PathBuf },
    #[error("the drives at {} and {} are copies of one", first.display(), second.display())]
    Twice { first: PathBuf, second: PathBuf },
    #[error("reading or writing the drive at {}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("no drives are given")]
    None,
    #[error(transparent)]
    Settings(#[from] SettingsError),
}

/// Takes the folder for this process and finds out which drive it is; an empty folder becomes one.
pub(crate) fn take(
    world: &World,
    folder: &Path,
    cluster: u128,
) -> Result<(DriveId, Box<dyn Send + Sync>), OpenError> {
    let failed = |source| OpenError::Io { path: folder.to_owned(), source };
    let disk = world.disk();
    disk.create_folder(folder).map_err(failed)?;
    let entries = disk.list(folder).map_err(failed)?;
    if let Some(entry) = entries.iter().find(|entry| !OURS.contains(&&*entry.name)) {
        return Err(OpenError::NotADrive { path: folder.to_owned(), found: entry.name.clone() });
    }
    let lock = disk.lock(&folder.join("lock")).map_err(|source| match source.kind() {
        io::ErrorKind::WouldBlock => OpenError::InUse { path: folder.to_owned() },
        _ => failed(source),
    })?;
    disk.create_folder(&folder.join("packs")).map_err(failed)?;
    if entries.iter().any(|entry| entry.name == "drive") {
        return Ok((read(world, folder, cluster)?, lock));
    }
    if !disk.list(&folder.join("packs")).map_err(failed)?.is_empty() {
        return Err(OpenError::NoIdentity { path: folder.to_owned() });
    }
    let id = DriveId(world.random());
    write(world, folder, id, cluster).map_err(failed)?;
    Ok((id, lock))
}

/// Writes `bytes` under a name in one step: all of it or nothing is there after a crash.
pub(crate) fn replace(world: &World, folder: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let (new, path) = (folder.join(format!("{name}.new")), folder.join(name));
    let file = world.disk().open(&new, OpenMode::Create)?;
    file.set_len(0)?;
    file.write_at(bytes, 0)?;
    file.sync_data()?;
    world.disk().rename(&new, &path)?;
    world.disk().sync_folder(folder)
}

/// Writes the file `drive`:
///
/// ```text
///  0   4  magic "SDdr"
///  4   4  version of everything on the drive, 1
///  8  16  drive id
/// 24  16  cluster id
/// 40   8  the first bytes of the BLAKE3 of bytes 0..40
/// ```
fn write(world: &World, folder: &Path, id: DriveId, cluster: u128) -> io::Result<()> {
    let mut bytes = Vec::with_capacity(LEN);
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&id.0.to_be_bytes());
    bytes.extend_from_slice(&cluster.to_be_bytes());
    let check = blake3::hash(&bytes);
    bytes.extend_from_slice(&check.as_bytes()[..8]);
    replace(world, folder, "drive", &bytes)?;
    match folder.parent() {
        Some(above) if !above.as_os_str().is_empty() => world.disk().sync_folder(above),
        _ => Ok(()),
    }
}

fn read(world: &World, folder: &Path, cluster: u128) -> Result<DriveId, OpenError> {
    let path = || folder.to_owned();
    let failed = |source| OpenError::Io { path: path(), source };
    let file = world.disk().open(&folder.join("drive"), OpenMode::Read).map_err(failed)?;
    let mut bytes = [0; LEN];
    file.read_at(&mut bytes, 0).map_err(|source| match source.kind() {
        io::ErrorKind::UnexpectedEof => OpenError::NoIdentity { path: path() },
        _ => failed(source),
    })?;
    let word = |at: usize| {
        let mut word = [0; 16];
        word.copy_from_slice(&bytes[at..at + 16]);
        u128::from_be_bytes(word)
    };
    let version = u32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]);
    if bytes[..4] == MAGIC && version > VERSION {
        return Err(OpenError::Newer { path: path(), version });
    }
    let sound = bytes[40..] == blake3::hash(&bytes[..40]).as_bytes()[..8];
    if bytes[..4] != MAGIC || version != VERSION || !sound {
        return Err(OpenError::NoIdentity { path: path() });
    }
    if word(24) != cluster {
        return Err(OpenError::OtherCluster { path: path() });
    }
    Ok(DriveId(word(8)))
}
