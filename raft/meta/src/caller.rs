//! Who asks, and what a command travels with.

use node_base::{IdSeed, NodeId, Sha256, TenantId, Timestamp, UserId};
use serde::{Deserialize, Serialize};

use crate::command::Command;

/// A command as it stands in the log: with everything apply needs and may not ask for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Proposal {
    /// The proposer's wall clock. Log time is the largest of these that was applied.
    pub at: Timestamp,
    /// Where new ids come from.
    pub seed: IdSeed,
    pub caller: Caller,
    /// Remember the outcome under this key, and answer it again.
    pub remember: Option<Remember>,
    /// Refuse unless the target's revision is one of these (`If-Match`).
    pub if_revision: Option<Vec<u64>>,
    pub command: Command,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remember {
    pub key: String,
    /// Of the request: method, path and body.
    pub request: Sha256,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Caller {
    /// A node, for upkeep: every check of permission passes, and only upkeep commands are taken.
    Node(NodeId),
    User(UserCaller),
}

/// A signed-in user. Status, role and groups are looked up when the command is applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserCaller {
    pub tenant: TenantId,
    pub user: UserId,
    pub scopes: Scopes,
    /// The client that acts for the user (`act` of the token): into every audit event.
    pub service_account: Option<String>,
    pub ip: Option<String>,
    pub user_agent: Option<String>,
}

/// What a token allows at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Scopes(u8);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Scope {
    FilesRead,
    FilesWrite,
    TenantAdmin,
    PartnerAdmin,
    AdminAll,
}

impl Scope {
    pub const ALL: [Self; 5] =
        [Self::FilesRead, Self::FilesWrite, Self::TenantAdmin, Self::PartnerAdmin, Self::AdminAll];

    pub const fn name(self) -> &'static str {
        match self {
            Self::FilesRead => "files:read",
            Self::FilesWrite => "files:write",
            Self::TenantAdmin => "tenant:admin",
            Self::PartnerAdmin => "partner:admin",
            Self::AdminAll => "admin:*",
        }
    }
}

impl Scopes {
    pub const NONE: Self = Self(0);
    pub const ALL: Self = Self(0b1_1111);
    /// What a token without any scope of ours acts with.
    pub const DEFAULT: Self = Self(0b0_0011);

    /// The scopes of ours in a space-separated list; `*` is all of them; foreign ones are passed
    /// over. Nothing when there is none of ours.
    pub fn parse(text: &str) -> Option<Self> {
        let bits = text.split_ascii_whitespace().fold(0, |bits, word| {
            bits | match Scope::ALL.into_iter().find(|scope| scope.name() == word) {
                Some(scope) => 1 << scope as u8,
                None if word == "*" => Self::ALL.0,
                None => 0,
            }
        });
        (bits != 0).then_some(Self(bits))
    }

    /// `admin:*` includes the other administrative scopes, and `files:write` reading.
    pub fn contains(self, scope: Scope) -> bool {
        let has = |scope: Scope| self.0 & (1 << scope as u8) != 0;
        has(scope)
            || match scope {
                Scope::FilesRead => has(Scope::FilesWrite),
                Scope::TenantAdmin => has(Scope::PartnerAdmin) || has(Scope::AdminAll),
                Scope::PartnerAdmin => has(Scope::AdminAll),
                Scope::FilesWrite | Scope::AdminAll => false,
            }
    }

    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.into_iter().filter(move |scope| self.0 & (1 << *scope as u8) != 0)
    }
}

/// Bytes of the log that are not a proposal of a version this node knows.
#[derive(Debug, thiserror::Error)]
#[error("a proposal cannot be decoded")]
pub struct DecodeError(#[source] postcard::Error);

/// The version proposals are written with today.
const VERSION: u8 = 1;

impl Proposal {
    /// A command of a node itself.
    pub fn of_node(node: NodeId, at: Timestamp, seed: IdSeed, command: Command) -> Self {
        let caller = Caller::Node(node);
        Self { at, seed, caller, remember: None, if_revision: None, command }
    }

    /// The bytes that stand in the log: a version and postcard.
    pub fn encode(&self) -> Vec<u8> {
        postcard::to_extend(self, vec![VERSION]).expect("a proposal is plain data in memory")
    }

    /// The proposal that these bytes are.
    ///
    /// # Errors
    /// When they are of another version, or broken.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        match bytes.split_first() {
            Some((&VERSION, rest)) => postcard::from_bytes(rest).map_err(DecodeError),
            _ => Err(DecodeError(postcard::Error::DeserializeBadEncoding)),
        }
    }
}
