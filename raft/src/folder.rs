//! The folder of the agreement: whose it is, and that nobody else has it open.

use std::io;
use std::path::{Path, PathBuf};

use bytes::{Buf, BufMut};
use node_base::NodeId;
use node_world::{Disk, OpenMode, World};

use crate::proof;

const MAGIC: &[u8; 8] = b"SdRftDir";
const VERSION: u32 = 1;
const LEN: usize = 48;
const FILE: &str = "format";
const JOINING: &str = "joining";
const LOCK: &str = "lock";

/// Why a folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    #[error("cannot {action} {}", path.display())]
    Disk { action: &'static str, path: PathBuf, source: io::Error },
    #[error("{} is in use by another process", path.display())]
    InUse { path: PathBuf },
    #[error("{} holds something that is not the agreed data of a node", path.display())]
    NotOurs { path: PathBuf },
    #[error("{} is of format {found}, written by a newer version; this one knows up to {known}",
        path.display())]
    Newer { path: PathBuf, found: u32, known: u32 },
    #[error("{} belongs to node {found}, not to node {asked}", path.display())]
    OtherNode { path: PathBuf, found: NodeId, asked: NodeId },
}

impl FolderError {
    pub(crate) fn disk(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Disk { action, path: path.to_owned(), source }
    }
}

/// Who a node is, for as long as it has its folder.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Identity {
    pub node: NodeId,
    /// The cluster's number, once the node is of one.
    pub cluster: Option<u128>,
    /// Whether it joined the cluster, and did not found it.
    pub has_joined: bool,
}

/// The folder, locked for this process until dropped.
pub(crate) struct Folder {
    world: World,
    pub(crate) path: PathBuf,
    identity: Option<Identity>,
    _lock: Box<dyn Send + Sync>,
}

/// The file `format`.
///
/// ```text
///  0  magic    8 bytes "SdRftDir"
///  8  version  u32     1
/// 12  checksum u32     CRC-32C of everything else
/// 16  node     u64
/// 24  cluster  u128    zero while the node is of none
/// 40  joined   u64     1 when it joined the cluster, else 0
/// ```
fn format(identity: Identity) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(LEN);
    bytes.extend_from_slice(MAGIC);
    bytes.put_u32_le(VERSION);
    bytes.put_u32_le(0);
    bytes.put_u64_le(identity.node.0);
    bytes.put_u128_le(identity.cluster.unwrap_or(0));
    bytes.put_u64_le(u64::from(identity.has_joined));
    let checksum = crc32c::crc32c(&bytes);
    bytes[12..16].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

/// Makes a folder and those above it, where they are not there, durably. Blocks.
pub(crate) fn make(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    let is_new = |folder: &&Path| disk.list(folder).is_err();
    let new: Vec<&Path> = path.ancestors().take_while(is_new).collect();
    disk.create_folder(path)?;
    new.iter().rev().filter_map(|folder| folder.parent()).try_for_each(|at| disk.sync_folder(at))
}

impl Folder {
    /// Locks the folder, or makes it, and reads whose it is. Blocks.
    pub(crate) fn open(world: &World, path: &Path) -> Result<Self, FolderError> {
        Self::open_where(world, path, &[])
    }

    /// The same where tables and a log may stand in a folder that is none's yet. Blocks.
    pub(crate) fn open_for_filling(world: &World, path: &Path) -> Result<Self, FolderError> {
        Self::open_where(world, path, &["tables", "log"])
    }

    fn open_where(world: &World, path: &Path, besides: &[&str]) -> Result<Self, FolderError> {
        let disk = world.disk();
        make(disk, path).map_err(|source| FolderError::disk("make", path, source))?;
        let lock = disk.lock(&path.join(LOCK)).map_err(|source| match source.kind() {
            io::ErrorKind::WouldBlock => FolderError::InUse { path: path.to_owned() },
            _ => FolderError::disk("lock", path, source),
        })?;
        let mut folder =
            Self { world: world.clone(), path: path.to_owned(), identity: None, _lock: lock };
        if let Some(bytes) = folder.read(disk, besides)? {
            folder.identity = Some(folder.parse(&bytes)?);
        }
        Ok(folder)
    }

    /// Opens the folder of `node`; a new one becomes its. Blocks.
    pub(crate) fn open_as(world: &World, path: &Path, node: NodeId) -> Result<Self, FolderError> {
        let mut folder = Self::open(world, path)?;
        match folder.identity {
            Some(found) if found.node != node => {
                let found = found.node;
                Err(FolderError::OtherNode { path: path.join(FILE), found, asked: node })
            }
            Some(_) => Ok(folder),
            None => {
                folder.write(Identity { node, cluster: None, has_joined: false })?;
                Ok(folder)
            }
        }
    }

    /// Whose it is; nothing when it is new.
    pub(crate) fn identity(&self) -> Option<Identity> {
        self.identity
    }

    /// What this folder's node asks to join with: made once, so that a node that asks again after
    /// a crash is known again. Blocks.
    pub(crate) fn nonce(&self) -> Result<u128, FolderError> {
        let path = self.path.join(JOINING);
        let disk = self.world.disk();
        let read = || -> io::Result<Option<u128>> {
            let mut bytes = [0; 20];
            let file = match disk.open(&path, OpenMode::Read) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                file => file?,
            };
            if file.len()? < bytes.len() as u64 {
                return Ok(None);
            }
            file.read_at(&mut bytes, 0)?;
            let (nonce, checksum) = ((&bytes[..16]).get_u128_le(), (&bytes[16..]).get_u32_le());
            // Torn, it was never sent: the next one is as good.
            Ok(Some(nonce).filter(|_| crc32c::crc32c(&bytes[..16]) == checksum))
        };
        if let Some(nonce) = read().map_err(|source| FolderError::disk("read", &path, source))? {
            return Ok(nonce);
        }
        let nonce = self.world.random().max(1);
        let mut bytes = nonce.to_le_bytes().to_vec();
        bytes.put_u32_le(crc32c::crc32c(&bytes));
        let write = || -> io::Result<()> {
            let file = disk.open(&path, OpenMode::Create)?;
            file.write_at(&bytes, 0)?;
            file.sync_data()?;
            disk.sync_folder(&self.path)
        };
        write().map_err(|source| FolderError::disk("write", &path, source))?;
        Ok(nonce)
    }

    /// The file `format`; nothing when the folder is new, or has nothing but what may be there
    /// besides.
    fn read(&self, disk: &dyn Disk, besides: &[&str]) -> Result<Option<Vec<u8>>, FolderError> {
        let path = self.path.join(FILE);
        let fault = |source| FolderError::disk("read", &path, source);
        match disk.open(&path, OpenMode::Read) {
            Ok(file) => {
                let mut bytes = vec![0; file.len().map_err(fault)?.min(LEN as u64 + 1) as usize];
                file.read_at(&mut bytes, 0).map_err(fault)?;
                Ok(Some(bytes))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let entries = disk.list(&self.path).map_err(fault)?;
                let ours = |name: &str| {
                    [LOCK, JOINING, "format.new", proof::FILE, "credentials.new"].contains(&name)
                        || besides.contains(&name)
                };
                if entries.iter().all(|entry| ours(&entry.name)) {
                    Ok(None)
                } else {
                    Err(FolderError::NotOurs { path: self.path.clone() })
                }
            }
            Err(error) => Err(fault(error)),
        }
    }

    fn parse(&self, bytes: &[u8]) -> Result<Identity, FolderError> {
        let path = || self.path.join(FILE);
        let found = (&bytes[8.min(bytes.len())..]).try_get_u32_le().unwrap_or(0);
        if bytes.starts_with(MAGIC) && found > VERSION {
            return Err(FolderError::Newer { path: path(), found, known: VERSION });
        }
        if bytes.len() != LEN {
            return Err(FolderError::NotOurs { path: path() });
        }
        let identity = Identity {
            node: NodeId((&bytes[16..24]).get_u64_le()),
            cluster: Some((&bytes[24..40]).get_u128_le()).filter(|cluster| *cluster != 0),
            has_joined: (&bytes[40..]).get_u64_le() == 1,
        };
        if bytes == format(identity) {
            Ok(identity)
        } else {
            Err(FolderError::NotOurs { path: path() })
        }
    }

    /// Remembers, durably, who the node is. Blocks.
    pub(crate) fn write(&mut self, identity: Identity) -> Result<(), FolderError> {
        let (path, new) = (self.path.join(FILE), self.path.join("format.new"));
        let disk = self.world.disk();
        let write = || -> io::Result<()> {
            let file = disk.open(&new, OpenMode::Create)?;
            file.set_len(0)?;
            file.write_at(&format(identity), 0)?;
            file.sync_data()?;
            disk.rename(&new, &path)?;
            disk.sync_folder(&self.path)
        };
        write().map_err(|source| FolderError::disk("write", &path, source))?;
        self.identity = Some(identity);
        Ok(())
    }
}
