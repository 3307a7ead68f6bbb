//! The cluster itself: its identity, its clock, its maps.

use node_base::{ClusterMap, Drive, Epoch, NodeId, Sha256, TenantId, Timestamp};
use serde::{Deserialize, Serialize};

use super::tables;

tables! {
    Clusters(130, "cluster"): () => Cluster;
    /// All maps that are not yet retired, by epoch.
    Maps(131, "maps"): (u64,) => ClusterMap;
    /// Every node there ever was: a number is never given twice.
    Nodes(132, "nodes"): (u64,) => Node;
    /// What lets nodes join, by the hash of its secret.
    JoinTokens(133, "join_tokens"): (Sha256,) => JoinToken;
    /// The one that certifies nodes; none where nobody asks who a node is.
    Authorities(134, "authority"): () => Authority;
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cluster {
    pub id: u128,
    pub created_at: Timestamp,
    /// The largest time any command brought. It only grows; what expires, expires by it.
    pub log_time: Timestamp,
    /// The tenant made at the first start.
    pub first_tenant: Option<TenantId>,
    /// Secret: what cursors are sealed with, so that nobody makes one up.
    pub cursor_key: [u8; 32],
}

/// Which part a node may take in the agreement. Who votes in fact is for the leader to arrange.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Seat {
    MayVote,
    /// It follows and serves, and never votes.
    Learns,
    /// It is of the cluster no more, for good.
    Removed,
    /// It follows and serves, and what its drives hold moves to others: it is about to be removed.
    Drains,
}

impl Seat {
    /// As people and programs say it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::MayVote => "may_vote",
            Self::Learns => "learns",
            Self::Removed => "removed",
            Self::Drains => "drains",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    pub id: NodeId,
    pub address: String,
    pub zone: String,
    /// Rises with each start of the node.
    pub incarnation: u64,
    /// The agreed number of the writer lease it holds now.
    pub lease: Option<u64>,
    pub seat: Seat,
    /// What it asked to join with: the same question asked again gets the same answer.
    pub nonce: u128,
    /// Its drives, as it stated them.
    pub drives: Vec<Drive>,
    /// Whether it was down for so long that its drives are not counted on.
    pub is_out: bool,
    /// Its drives have deleted what was reaped up to this log index.
    pub deleted_up_to: u64,
    /// Its drives have nothing left that only maps before this epoch lead to.
    pub settled: Epoch,
}

impl Node {
    /// Whether its drives are in the map.
    pub fn is_in(&self) -> bool {
        matches!(self.seat, Seat::MayVote | Seat::Learns) && !self.is_out
    }

    /// Whether it has to say that nothing is left on its drives, before a map is retired that leads
    /// to them.
    pub fn must_settle(&self) -> bool {
        self.seat != Seat::Removed && !self.is_out && !self.drives.is_empty()
    }
}

/// A certificate authority. Its key is a secret of the cluster: every node can certify with it, so
/// that none is needed for another to come back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Authority {
    pub certificate: Vec<u8>,
    pub key: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinToken {
    /// By log time.
    pub expires_at: Timestamp,
    pub uses_left: u32,
}
