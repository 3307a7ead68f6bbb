//! What comes of a command: an answer, or a refusal that changed nothing.

use node_base::{
    AceId, ConflictId, DeviceId, Generation, GroupId, InvitationId, NameError, NodeId, PartnerId,
    Sha256, ShareId, TenantId, Timestamp, UploadId, UserId,
};
use serde::{Deserialize, Serialize};

use crate::caller::Scope;
use crate::table::audit::KeptAnswer;
use crate::table::conflict::Conflict;
use crate::table::identity::Grant;
use crate::table::item::{Item, ItemId};

pub type Outcome = Result<Answer, Refusal>;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Answer {
    /// There is nothing to say but that it is done.
    Done,
    Partner(PartnerId),
    Tenant(TenantId),
    User {
        user: UserId,
        created: bool,
    },
    Group(GroupId),
    Share(ShareId),
    Invitation {
        share: ShareId,
        invitation: InvitationId,
    },
    Entry(AceId),
    Item(ItemView),
    /// In the order of the files of the command.
    Batch(Vec<BatchResult>),
    Upload(UploadAnswer),
    /// Chunks that arrived, and those of them whose written copy is not needed: the generation may
    /// be deleted.
    Received {
        superfluous: Vec<(Sha256, Generation)>,
    },
    /// What a commit of whole files gave, with the copies that are not needed.
    Committed {
        view: ItemView,
        superfluous: Vec<(Sha256, Generation)>,
    },
    CommittedBatch {
        results: Vec<BatchResult>,
        superfluous: Vec<(Sha256, Generation)>,
    },
    /// A commit whose base version is not current: the content is kept in a conflict.
    Conflicted {
        conflict: ConflictId,
        row: Conflict,
        superfluous: Vec<(Sha256, Generation)>,
    },
    /// In the order of the changes of the command.
    Sync {
        results: Vec<SyncResult>,
        incarnation: u64,
        position: u64,
    },
    Device(DeviceId),
    Conflict(ConflictId),
    Grant(Grant),
    /// The secret had been used before: all that came of it has ended, for one of its two users
    /// has no right to it. No refusal, because this is kept.
    GrantRevoked,
    Lease(u64),
    /// How many rows were touched; fewer than allowed means nothing is left.
    Worked(u32),
    /// The number of the node that joined, or why it does not.
    Joined(Result<NodeId, JoinRefusal>),
    /// What the caller was told first: that stays.
    Kept(KeptAnswer),
}

/// Why a node may not join.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum JoinRefusal {
    #[error("the join token is not one of this cluster, or was used up")]
    UnknownToken,
    #[error("the join token has expired")]
    ExpiredToken,
    #[error("the number {0} cannot be given, or was given before")]
    NumberTaken(NodeId),
    #[error("the node was removed from the cluster")]
    Removed,
    #[error("the cluster has as many nodes as it can")]
    Full,
    #[error("the address or the zone is too long")]
    Malformed,
}

impl JoinRefusal {
    /// Whether another token would do.
    pub const fn is_of_token(self) -> bool {
        matches!(self, Self::UnknownToken | Self::ExpiredToken)
    }
}

/// An item as a caller may see it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ItemView {
    pub id: ItemId,
    /// Nothing when the caller may not READ it: a drop folder answers with the id alone.
    pub item: Option<Item>,
    /// Names from the share's root down; nothing in the place of one the caller may not READ.
    pub path: Vec<Option<String>>,
    /// It, or a folder above it, is in the trash.
    pub is_deleted: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BatchResult {
    pub client_ref: String,
    pub status: BatchStatus,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum BatchStatus {
    Created(ItemView),
    Replaced(ItemView),
    Conflict(ConflictId, Conflict),
    Rejected(Refusal),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SyncResult {
    pub client_ref: String,
    pub status: SyncStatus,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum SyncStatus {
    Applied(ItemView),
    /// How it stands after the strategy has acted.
    Conflict {
        conflict: ConflictId,
        row: Box<Conflict>,
        view: Option<ItemView>,
    },
    Rejected(Refusal),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UploadAnswer {
    pub upload: UploadId,
    /// The agreed number for generations written under the session.
    pub writer: u64,
    pub chunks: u64,
    /// Of the chunks declared by this command, those that are wanted: the first index of each.
    pub missing: Vec<u64>,
    pub expires_at: Timestamp,
}

/// Whose limit stands in the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum QuotaLevel {
    Share,
    User,
    Group,
    Tenant,
    Partner,
}

/// What is not there. For the sentence only: it says no more than the caller asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Noun {
    Partner,
    Tenant,
    User,
    Group,
    Share,
    Member,
    Invitation,
    Folder,
    File,
    Version,
    Upload,
    Device,
    Conflict,
    Entry,
    Quota,
    Grant,
    Node,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Expired {
    Upload,
    Invitation,
    Grant,
    /// It is older than the history that is kept, or of another life of the share.
    Cursor,
}

/// Why a command was refused. It changed nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    #[error("there is no such thing")]
    NotFound(Noun),
    #[error("the permissions do not allow it")]
    PermissionDenied,
    #[error("the token lacks the scope {}", .0.name())]
    ScopeMissing(Scope),
    #[error("the user is suspended")]
    Suspended,
    #[error("too many wrong attempts")]
    Throttled { until: Timestamp },
    #[error("only the owner may do this")]
    OwnerOnly,
    #[error("the role is not enough")]
    RoleMissing,
    #[error("the name is taken")]
    NameConflict { item: Option<ItemId> },
    #[error("the base version is not current")]
    VersionConflict { conflict: ConflictId, row: Box<Conflict> },
    #[error("it is there already")]
    AlreadyExists,
    #[error("a folder cannot be put into itself")]
    Cycle,
    #[error("it is in the trash")]
    Trashed,
    #[error("it has expired")]
    Expired(Expired),
    #[error("the revision is another")]
    PreconditionFailed,
    #[error("the file is larger than {limit} bytes")]
    FileTooLarge { limit: u64 },
    #[error("{}: {reason}", field.join("."))]
    Invalid { field: Vec<String>, reason: Invalid },
    #[error("the checksum is another")]
    ChecksumMismatch,
    #[error("a quota would be passed")]
    QuotaExceeded { level: QuotaLevel, limit_bytes: u64, used_bytes: u64 },
    #[error("chunks are missing")]
    ChunksMissing { indexes: Vec<u64> },
    /// Chunks that were taken to be here and are not: to be written and named again.
    #[error("chunks are gone")]
    ChunksGone { hashes: Vec<Sha256> },
    #[error("the writer has been closed")]
    WriterClosed,
    #[error("the idempotency key was used for another request")]
    KeyReused,
    /// The node may not do this, or a user may not do what only nodes do.
    #[error("this is not for this caller")]
    WrongCaller,
}

/// What is wrong with a value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Invalid {
    #[error("{0}")]
    Name(String),
    #[error("the path would be longer than 4096 bytes")]
    PathTooLong,
    #[error("the folder would lie more than 128 deep")]
    TooDeep,
    #[error("at most {max} are taken")]
    TooMany { max: u64 },
    #[error("must be between {min} and {max}")]
    OutOfRange { min: u64, max: u64 },
    #[error("cannot be empty")]
    Empty,
    #[error("is longer than {max} bytes")]
    TooLong { max: u64 },
    #[error("is not an e-mail address")]
    Email,
    #[error("is of another tenant or unknown")]
    UnknownPrincipal,
    #[error("{0}")]
    Rule(String),
}

impl From<NameError> for Invalid {
    fn from(error: NameError) -> Self {
        Self::Name(error.to_string())
    }
}

impl Refusal {
    /// A value at this place of the request is not valid.
    pub fn invalid(field: &str, reason: impl Into<Invalid>) -> Self {
        Self::Invalid { field: vec![field.to_owned()], reason: reason.into() }
    }
}
