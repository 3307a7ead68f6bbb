//! Folders, files, their versions and manifests, and the trash.

use node_base::{
    FileId, FolderId, Name, Sha256, ShareId, TenantId, Timestamp, UploadId, UserId, VersionId,
};
use serde::{Deserialize, Serialize};

use super::key::{KeyReader, Part};
use super::tables;

tables! {
    Items(30, "items"): (TenantId, ItemId) => Item;
    /// What lies in a folder, by folded name: the order of a listing, and what keeps siblings
    /// apart. Trashed items are not in it.
    Children(31, "children"): (TenantId, ShareId, Parent, String) => Child;
    /// By number, oldest first.
    Versions(32, "versions"): (TenantId, FileId, u32) => Version;
    /// What was itself deleted, not what lies below it.
    Trash(33, "trash"): (TenantId, ShareId, ItemId) => Trashed;
    /// Subtrees being removed for good, a bounded number of rows a command.
    Purges(34, "purges"): (TenantId, ItemId) => ();
    /// Manifests too long for a version's row, shared by reference count.
    Manifests(35, "manifests"): (TenantId, UploadId) => Manifest;
    ManifestPages(36, "manifest_pages"): (TenantId, UploadId, u32) => ManifestPage;
    /// Children that are in the trash, by the folder they were in: `include_deleted` lists them.
    TrashedChildren(37, "trashed_children"): (TenantId, ShareId, Parent, ItemId) => ();
    /// How far a folder's content reaches below it, so that a move need not look at all of it. It
    /// grows with what is put there and may err high; no row for a folder that was always empty.
    Extents(38, "extents"): (TenantId, FolderId) => Extent;
    /// What is in the trash, oldest first.
    TrashByAge(39, "trash_by_age"): (TenantId, ShareId, Timestamp, ItemId) => ();
    /// Versions that are not current, by when they ceased to be.
    VersionsByAge(45, "versions_by_age"): (TenantId, ShareId, Timestamp, FileId, u32) => ();
    /// Versions whose checksum is still to be computed or compared. A row may outlive its version:
    /// whoever looks then drops it.
    Unverified(47, "unverified"): (TenantId, FileId, u32) => ();
    /// Where a kind of upkeep that goes round all shares will go on.
    Sweeps(46, "sweeps"): (u8,) => (TenantId, ShareId);
}

/// The longest way down from a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Extent {
    /// Folders on it, this one counted.
    pub levels: u32,
    /// Bytes of the names below this folder on it, a separator before each.
    pub bytes: u32,
}

/// A folder or a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ItemId {
    Folder(FolderId),
    File(FileId),
}

impl Part for ItemId {
    fn write(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Folder(folder) => (bytes.push(0), bytes.extend(folder.to_bytes())),
            Self::File(file) => (bytes.push(1), bytes.extend(file.to_bytes())),
        };
    }

    fn read(reader: &mut KeyReader<'_>) -> Option<Self> {
        match (reader.array()?, reader.array()?) {
            ([0], id) => Some(Self::Folder(FolderId::from_bytes(id))),
            ([1], id) => Some(Self::File(FileId::from_bytes(id))),
            _ => None,
        }
    }
}

/// The folder an item lies in; nothing for the share's root.
pub type Parent = Option<FolderId>;

impl Part for Parent {
    fn write(&self, bytes: &mut Vec<u8>) {
        // No folder has the id zero: an id starts with the time it was made.
        bytes.extend(self.map_or([0; 16], FolderId::to_bytes));
    }

    fn read(reader: &mut KeyReader<'_>) -> Option<Self> {
        let bytes = reader.array()?;
        Some((bytes != [0; 16]).then(|| FolderId::from_bytes(bytes)))
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    pub share: ShareId,
    pub parent: Parent,
    pub name: Name,
    pub owner: UserId,
    pub created_by: UserId,
    pub created_at: Timestamp,
    pub modified_by: UserId,
    /// Moves with content and name.
    pub modified_at: Timestamp,
    /// The log index of the last change of any kind: the `ETag` of metadata.
    pub revision: u64,
    pub state: ItemState,
    /// Whether it has entries of its own in [`super::acl::Lists`].
    pub has_own_entries: bool,
    pub inherits: bool,
    pub body: Body,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ItemState {
    Live,
    /// It was itself deleted. What lies below it is trashed by lying there.
    Trashed(Trashed),
    /// It is being removed for good, and to every caller is gone already.
    Purging,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trashed {
    pub at: Timestamp,
    pub by: UserId,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Body {
    Folder,
    File(File),
}

/// What a file's current version is; the version's own row has the rest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    pub mime_type: String,
    pub version: u32,
    pub version_id: VersionId,
    pub size: u64,
    pub checksum: Checksum,
    pub client_modified_at: Option<Timestamp>,
    pub executable: bool,
}

/// What is known of a file's own SHA-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Checksum {
    /// Nobody sent one, and it is still to be computed.
    Unknown,
    /// A client sent it; it is still to be compared with the bytes.
    Pending(Sha256),
    Verified(Sha256),
    /// What the bytes give; a client had sent another.
    Mismatch(Sha256),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Child {
    pub item: ItemId,
    /// Whether the item's list or inheritance differs from its siblings': a listing looks closer
    /// only at these.
    pub own_permissions: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    pub id: VersionId,
    pub size: u64,
    pub checksum: Checksum,
    pub mime_type: String,
    pub created_by: UserId,
    pub created_at: Timestamp,
    pub client_modified_at: Option<Timestamp>,
    pub executable: bool,
    /// When another took its place; from then on it is kept for the time that is set.
    pub superseded_at: Option<Timestamp>,
    pub content: Content,
}

/// The chunks of a version, in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Content {
    /// At most [`node_base::limits::MANIFEST_PAGE`] of them.
    Inline(Vec<ChunkRef>),
    /// The manifest that the upload session of this id left behind.
    Paged(UploadId),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkRef {
    pub hash: Sha256,
    pub size: u32,
}

/// A manifest in pages. It holds one reference to each chunk it names, once for each time it is
/// named; versions and the open session hold references to the manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Versions, conflicts and an open session that name it. At zero it is released page by page.
    pub holders: u64,
    pub share: ShareId,
    pub chunks: u64,
    pub size: u64,
    pub pages: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestPage {
    /// Where in the file the page's first chunk begins.
    pub offset: u64,
    /// Nothing where a chunk of a fixed-size session has not arrived.
    pub chunks: Vec<Option<ChunkRef>>,
}
