//! Shares, their members, and invitations to them.

use node_base::{InvitationId, NamePolicy, Role, ShareId, TenantId, Timestamp, UserId};
use serde::{Deserialize, Serialize};

use super::item::Trashed;
use super::people::Principal;
use super::tables;

tables! {
    Shares(20, "shares"): (TenantId, ShareId) => Share;
    Members(21, "members"): (TenantId, ShareId, Principal) => Member;
    /// The same the other way round.
    PrincipalShares(22, "principal_shares"): (TenantId, Principal, ShareId) => ();
    Invitations(23, "invitations"): (TenantId, ShareId, InvitationId) => Invitation;
    /// By the invited address, folded to lower case.
    InvitationsByEmail(24, "invitations_by_email"): (TenantId, String, InvitationId) => ShareId;
    /// Shares that are being removed for good, a bounded number of rows a command. Who sets
    /// [`Share::purging`] writes a row here; upkeep does the rest.
    PurgedShares(25, "purged_shares"): (TenantId, ShareId) => ();
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ShareKind {
    Central,
    Personal,
    Project,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConflictStrategy {
    ServerWins,
    ClientWins,
    LastWriterWins,
    KeepBoth,
    Manual,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShareSettings {
    pub name_policy: NamePolicy,
    pub conflict_resolution: ConflictStrategy,
    /// This and what follows: tighter than the tenant's, never wider.
    pub trash_retention_days: Option<u32>,
    pub version_retention_days: Option<u32>,
    pub max_versions: Option<u32>,
}

impl Default for ShareSettings {
    fn default() -> Self {
        Self {
            name_policy: NamePolicy::Portable,
            conflict_resolution: ConflictStrategy::KeepBoth,
            trash_retention_days: None,
            version_retention_days: None,
            max_versions: None,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    pub name: String,
    pub description: String,
    pub kind: ShareKind,
    pub owner: Principal,
    pub is_public: bool,
    pub trashed: Option<Trashed>,
    /// It is being removed for good, and to every caller is gone already.
    pub purging: bool,
    pub settings: ShareSettings,
    pub created_by: UserId,
    pub created_at: Timestamp,
    pub modified_at: Timestamp,
    pub revision: u64,
    /// Part of every cursor: after a restore from backup there is a new one, and clients merge.
    pub incarnation: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    pub role: Role,
    pub expires_at: Option<Timestamp>,
    pub added_by: UserId,
    pub added_at: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum InvitationState {
    Pending,
    Accepted { at: Timestamp, by: UserId },
    Declined { at: Timestamp, by: UserId },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invitation {
    pub email: String,
    pub role: Role,
    pub message: Option<String>,
    pub invited_by: UserId,
    pub created_at: Timestamp,
    pub sent_at: Timestamp,
    pub expires_at: Timestamp,
    pub state: InvitationState,
}
