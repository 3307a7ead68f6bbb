//! The words everyone uses: ids, hashes, names, the cluster map, limits.
//!
//! Every other package may depend on this one, and it depends on none of ours. It states facts and
//! checks them; it never acts.
//!
//! Never here: tokio, I/O, `now()`, randomness. What needs a clock or entropy gets the value as an
//! argument.

pub mod hash;
pub mod id;
pub mod limits;
pub mod map;
pub mod name;
pub mod permission;
pub mod plant;
pub mod time;

pub use hash::{Generation, Sha256, TryFromHexError, sha256};
pub use id::{
    AceId, ChangeId, ConflictId, DeviceId, EventId, FileId, FolderId, GroupId, IdError, IdSeed,
    InvitationId, PartnerId, QuotaId, ShareId, TenantId, UploadId, UserId, VersionId,
};
pub use map::{ClusterMap, Drive, DriveId, Epoch, NodeId, Profile};
pub use name::{Name, NameError, NameKey, NamePolicy};
pub use permission::{Permission, PermissionSet, Role};
pub use time::{Duration, Timestamp};
