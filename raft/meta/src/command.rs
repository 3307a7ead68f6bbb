//! Everything that can be agreed.
//!
//! A command says what a caller wants, not how rows change: apply judges it against the tables as
//! they are at its index. It carries no clock and no randomness but its proposal's.

mod settings;

use node_base::{
    ConflictId, DeviceId, Drive, Epoch, FileId, Generation, GroupId, InvitationId, NodeId,
    PartnerId, PermissionSet, Profile, Role, Sha256, ShareId, TenantId, Timestamp, UploadId,
    UserId, VersionId,
};
use serde::{Deserialize, Serialize};

use crate::access::Pass;
use crate::table::acl::{AppliesTo, Effect, Target, Trustee};
use crate::table::audit::KeptAnswer;
use crate::table::cluster::Seat;
use crate::table::conflict::Stated;
use crate::table::device::Preference;
use crate::table::identity::{Grant, SigningKey};
use crate::table::item::{ItemId, Parent};
use crate::table::people::{AdminRole, Principal, ProvisioningSource, Standing};
use crate::table::quota::{LimitType, QuotaTarget};
use crate::table::share::{ConflictStrategy, ShareKind};

pub use settings::{ShareSettingsChange, TenantSettingsChange};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Command {
    People(People),
    Share(ShareCommand),
    Permission(PermissionCommand),
    Item(ItemCommand),
    Upload(UploadCommand),
    Sync(SyncCommand),
    Quota(QuotaCommand),
    Identity(IdentityCommand),
    Upkeep(Upkeep),
    Cluster(ClusterCommand),
}

impl Command {
    /// The device whose changes these are.
    pub fn device(&self) -> Option<&DeviceId> {
        match self {
            Self::Sync(SyncCommand::Apply { device, .. }) => Some(device),
            _ => None,
        }
    }
}

/// Partners, tenants, users, groups.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum People {
    CreatePartner {
        name: String,
        display_name: String,
    },
    UpdatePartner {
        partner: PartnerId,
        display_name: Option<String>,
        standing: Option<Standing>,
    },
    CreateTenant {
        partner: PartnerId,
        name: String,
        display_name: String,
    },
    UpdateTenant {
        tenant: TenantId,
        display_name: Option<String>,
        standing: Option<Standing>,
        settings: Option<TenantSettingsChange>,
    },
    CreateUser(NewUser),
    /// First sight of a subject in a token: makes the user and the personal share, or answers the
    /// user that is there and notes the sign-in.
    Provision {
        tenant: TenantId,
        issuer: String,
        subject: String,
        email: String,
        name: String,
    },
    UpdateUser {
        user: UserId,
        display_name: Option<String>,
        email: Option<String>,
        /// `Some(None)` takes the role away. `SuperAdmin` is taken from a node alone.
        admin_role: Option<Option<AdminRole>>,
    },
    SetSuspended {
        user: UserId,
        suspended: bool,
    },
    DeleteUser {
        user: UserId,
    },
    CreateGroup {
        name: String,
        description: String,
    },
    UpdateGroup {
        group: GroupId,
        name: Option<String>,
        description: Option<String>,
    },
    DeleteGroup {
        group: GroupId,
    },
    AddToGroup {
        group: GroupId,
        user: UserId,
    },
    RemoveFromGroup {
        group: GroupId,
        user: UserId,
    },
    SetFavorite {
        target: Target,
        favorite: bool,
    },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NewUser {
    pub tenant: TenantId,
    pub email: String,
    pub name: String,
    pub display_name: String,
    pub admin_role: Option<AdminRole>,
    pub source: ProvisioningSource,
    pub is_service_account: bool,
    /// The issuer and subject by which tokens will name the user, when that is known already.
    pub subject: Option<(String, String)>,
    /// An argon2id hash in PHC format, for the built-in issuer.
    pub password: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ShareCommand {
    Create {
        name: String,
        description: String,
        kind: ShareKind,
        owner: Principal,
        is_public: bool,
        quota_bytes: Option<u64>,
        settings: ShareSettingsChange,
    },
    Update {
        share: ShareId,
        name: Option<String>,
        description: Option<String>,
        is_public: Option<bool>,
        settings: Option<ShareSettingsChange>,
        /// `Some(None)` takes the quota away. For administrators.
        quota_bytes: Option<Option<u64>>,
    },
    Delete {
        share: ShareId,
    },
    Restore {
        share: ShareId,
    },
    /// Removes a deleted share for good.
    Purge {
        share: ShareId,
    },
    AddMember {
        share: ShareId,
        principal: Principal,
        role: Role,
        expires_at: Option<Timestamp>,
    },
    UpdateMember {
        share: ShareId,
        principal: Principal,
        role: Option<Role>,
        expires_at: Option<Option<Timestamp>>,
    },
    RemoveMember {
        share: ShareId,
        principal: Principal,
    },
    Invite {
        share: ShareId,
        email: String,
        role: Role,
        message: Option<String>,
        days: u32,
    },
    ResendInvitation {
        share: ShareId,
        invitation: InvitationId,
    },
    RevokeInvitation {
        share: ShareId,
        invitation: InvitationId,
    },
    AnswerInvitation {
        invitation: InvitationId,
        accept: bool,
    },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum PermissionCommand {
    AddEntry {
        target: Target,
        trustee: Trustee,
        effect: Effect,
        permissions: PermissionSet,
        applies_to: AppliesTo,
    },
    RemoveEntries {
        target: Target,
        which: EntryFilter,
    },
    SetInheritance {
        target: Target,
        inherit: bool,
        copy_inherited: bool,
        keep_caller: bool,
    },
    /// Of an item to a user, or of a share to a user or group.
    TransferOwnership {
        target: Target,
        new_owner: Principal,
    },
    /// Things were read that only the caller's stored role lets pass: it is recorded.
    NotePasses {
        passes: Vec<Pass>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum EntryFilter {
    Id(node_base::AceId),
    Of(Trustee, Effect),
}

/// Where something goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    pub share: ShareId,
    pub parent: Parent,
}

/// Folders and files. Names come as the caller wrote them and are judged by the share's policy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ItemCommand {
    CreateFolder {
        place: Place,
        name: String,
    },
    /// A file that came in one request: the chunks are written already.
    CommitFile {
        file: NewFile,
    },
    /// Many of them, each judged on its own. Paths are relative to the place; folders that are
    /// missing on the way are made.
    CommitFiles {
        place: Place,
        files: Vec<BatchFile>,
    },
    Update {
        item: ItemId,
        name: Option<String>,
        client_modified_at: Option<Option<Timestamp>>,
        executable: Option<bool>,
        restore: bool,
    },
    Move {
        item: ItemId,
        to: Place,
        name: Option<String>,
    },
    /// At most a bounded number of items in one command; above that it is refused with a sentence.
    Copy {
        item: ItemId,
        to: Place,
        name: Option<String>,
    },
    /// To the trash.
    Delete {
        item: ItemId,
    },
    /// Out of the trash.
    Restore {
        item: ItemId,
    },
    /// For good, from the trash or at once.
    Purge {
        item: ItemId,
    },
    RestoreVersion {
        file: FileId,
        number: u32,
    },
    DeleteVersion {
        file: FileId,
        number: u32,
    },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NewFile {
    pub destination: FileDestination,
    pub content: NewContent,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum FileDestination {
    New { place: Place, name: String },
    Replace { file: FileId, base: Option<VersionId> },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BatchFile {
    pub client_ref: String,
    pub target: BatchTarget,
    pub content: NewContent,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum BatchTarget {
    /// From the folder, or from the command's place without one.
    Path {
        folder: Parent,
        path: String,
    },
    Replace {
        file: FileId,
        base: Option<VersionId>,
    },
}

/// Content whose chunks the caller's node has at hand.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NewContent {
    pub size: u64,
    /// The whole file's, computed or verified by the node; nothing when it is not known yet.
    pub checksum: Option<Sha256>,
    pub mime_type: Option<String>,
    pub client_modified_at: Option<Timestamp>,
    pub executable: bool,
    /// At most [`node_base::limits::MANIFEST_PAGE`]; longer files go through an upload session.
    pub chunks: Vec<NewChunk>,
}

/// A chunk that a commit names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewChunk {
    pub hash: Sha256,
    pub size: u32,
    /// How it was written just now; nothing when it is taken to be here already. If it is not, the
    /// refusal names it and the caller's node writes it.
    pub written: Option<Written>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// Its writer (a session or a lease) must be open, or the commit is refused.
    pub generation: Generation,
    pub stored_size: u32,
    pub profile: Profile,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum UploadCommand {
    Create {
        destination: FileDestination,
        size: u64,
        /// Fixed cutting with this size; by content without.
        chunk_size: Option<u32>,
        /// The first declared chunks, when cutting is by content.
        chunks: Vec<Declared>,
        mime_type: Option<String>,
        checksum: Option<Sha256>,
        client_modified_at: Option<Timestamp>,
        executable: bool,
    },
    /// More chunks, behind those declared so far. `first` is the index of the first of them: a
    /// repeated call declares nothing twice.
    Declare {
        upload: UploadId,
        first: Option<u64>,
        chunks: Vec<Declared>,
    },
    /// Chunks that arrived for a session, verified and durable.
    Receive {
        upload: UploadId,
        chunks: Vec<Received>,
    },
    /// The checksum, where the node computed it from the bytes; and the one that the client gives,
    /// where it did not when the session was opened.
    Complete {
        upload: UploadId,
        computed: Option<Sha256>,
        declared: Option<Sha256>,
    },
    Abort {
        upload: UploadId,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Declared {
    pub hash: Sha256,
    pub size: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Received {
    pub index: u64,
    pub chunk: NewChunk,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum SyncCommand {
    RegisterDevice {
        device: DeviceId,
        name: String,
        platform: String,
        client_version: String,
    },
    RemoveDevice {
        device: DeviceId,
    },
    SetPreference {
        device: DeviceId,
        share: ShareId,
        preference: Preference,
    },
    /// A device says how far it has come.
    Acknowledge {
        device: DeviceId,
        share: ShareId,
        incarnation: u64,
        position: u64,
    },
    Apply {
        device: DeviceId,
        share: ShareId,
        strategy: Option<ConflictStrategy>,
        changes: Vec<SyncChange>,
    },
    ResolveConflict {
        conflict: ConflictId,
        strategy: ConflictStrategy,
    },
}

/// One change that a device made while nobody watched.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SyncChange {
    pub client_ref: String,
    pub edit: SyncEdit,
    /// Of the file: over what its session says, and what the last writer is judged by.
    pub stated: Stated,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum SyncEdit {
    CreateFolder {
        parent: SyncParent,
        name: String,
    },
    /// A new file from a session that was filled.
    CreateFile {
        parent: SyncParent,
        name: String,
        upload: UploadId,
    },
    UpdateFile {
        file: FileId,
        base: Option<VersionId>,
        /// Without one, only what is stated changes.
        upload: Option<UploadId>,
    },
    Rename {
        item: ItemId,
        name: String,
    },
    Move {
        item: ItemId,
        parent: SyncParent,
        name: Option<String>,
    },
    Delete {
        item: ItemId,
        base: Option<VersionId>,
    },
    Restore {
        item: ItemId,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SyncParent {
    Folder(Parent),
    /// The folder that an earlier change of this `client_ref` makes.
    Ref(String),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum QuotaCommand {
    Set {
        target: QuotaTarget,
        limit_bytes: u64,
        limit_type: LimitType,
        warning_thresholds: [u8; 3],
        grace_period_days: u32,
        grace_extra_percent: u32,
    },
    Remove {
        target: QuotaTarget,
    },
    SetExempt {
        target: QuotaTarget,
        exempt: bool,
        reason: Option<String>,
    },
}

/// What the built-in issuer keeps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum IdentityCommand {
    SetPassword {
        tenant: TenantId,
        user: UserId,
        phc: String,
    },
    /// A wrong or right attempt to sign in.
    NoteAttempt {
        tenant: TenantId,
        user: UserId,
        succeeded: bool,
    },
    AddSigningKey {
        kid: String,
        key: SigningKey,
    },
    RetireSigningKey {
        kid: String,
    },
    AddGrant {
        secret: Sha256,
        grant: Grant,
    },
    /// A person agreed to, or declined, the device that shows this user code.
    AnswerDevice {
        user_code: String,
        user: Option<(TenantId, UserId)>,
    },
    /// Trades a code, a refresh token or an agreed device code in; it is used up then. A refresh
    /// token is replaced by `replacement`.
    TakeGrant {
        secret: Sha256,
        client_id: String,
        replacement: Option<Sha256>,
    },
    RevokeGrant {
        secret: Sha256,
    },
}

/// What nodes do by themselves. Each is bounded in what it touches, and may be repeated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Upkeep {
    /// The first command of a cluster: identity, first partner and tenant.
    Found {
        cluster: u128,
        tenant_name: String,
        tenant_display_name: String,
        /// 256 secret random bits: what cursors are sealed with.
        cursor_key: [u8; 32],
    },
    /// A node has started: its old lease is closed, a new one opened.
    StartNode { node: NodeId, address: String, zone: String },
    /// The node opens another lease; the one it names is closed.
    RotateLease { node: NodeId, close: Option<u64> },
    /// Expires sessions, outcomes, grants, memberships' effects and trash, at most `limit` of each.
    Expire { limit: u32 },
    /// Releases rows of purged subtrees, dropped manifests and old versions, at most `limit` rows.
    Release { limit: u32 },
    /// Removes from the tables condemned chunks that still nobody needs and that were condemned
    /// before this log index, at most `limit`.
    Reap { before: u64, limit: u32 },
    /// The drives of the node that says so have deleted what was reaped up to this log index. What
    /// all nodes have deleted is forgotten.
    ForgetReaped { up_to: u64 },
    /// A version's checksum, computed from its bytes.
    SetChecksum { tenant: TenantId, file: FileId, number: u32, version: VersionId, sha256: Sha256 },
    /// Chunks that were coded anew: each record takes the new copy, if it is still as it was.
    Recode { tenant: TenantId, chunks: Vec<Recoded> },
    /// Holds the reaping of what is condemned from now on, for so many seconds of log time; or goes
    /// on holding what it names. No seconds end it.
    Hold { hold: Option<u64>, seconds: u32 },
    /// What a caller was told of the outcome remembered under this key. The first to be kept stays.
    KeepAnswer { tenant: TenantId, user: UserId, key: String, answer: KeptAnswer },
}

/// A chunk that was read and written again with another profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recoded {
    pub hash: Sha256,
    /// The copy that was read.
    pub from: Generation,
    pub written: Written,
}

/// Who is of the cluster, and on which drives its bytes are. Nodes alone say so, but for what
/// [`is_for_operators`](Self::is_for_operators).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ClusterCommand {
    /// Lets so many nodes join for so long, where they know the secret that has this hash.
    AddJoinToken { secret: Sha256, seconds: u32, uses: u32 },
    /// A node asks to join, through one that is of the cluster. Repeated with the same nonce, the
    /// answer is the same. It gets the number it wishes for, where nobody ever had it; the next
    /// one without a wish.
    Join { nonce: u128, secret: Sha256, wish: Option<NodeId>, address: String, zone: String },
    /// Promotes, demotes or removes a node.
    SetSeat { node: NodeId, seat: Seat },
    /// A node has been down for too long to count on its drives, or is back.
    SetOut { node: NodeId, is_out: bool },
    /// These are all drives of the node that says so.
    StateDrives { drives: Vec<Drive> },
    /// The drives of the node that says so have nothing left that only maps before this epoch lead
    /// to. A map that nobody needs is retired.
    Settle { epoch: Epoch },
    /// Makes this the authority that certifies nodes, where there is none.
    SetAuthority { certificate: Vec<u8>, key: Vec<u8> },
    /// Removes a node, unless a map that is not yet retired leads to its drives.
    RemoveDrained { node: NodeId },
}

impl ClusterCommand {
    /// Whether somebody who looks after the cluster says it, and no node by itself.
    pub fn is_for_operators(&self) -> bool {
        matches!(
            self,
            Self::AddJoinToken { .. } | Self::SetSeat { .. } | Self::RemoveDrained { .. }
        )
    }
}
