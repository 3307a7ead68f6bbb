//! The cluster itself: its identity, its clock, its maps.

use node_base::{ClusterMap, NodeId, TenantId, Timestamp};
use serde::{Deserialize, Serialize};

use super::tables;

tables! {
    Clusters(130, "cluster"): () => Cluster;
    /// All maps that are not yet retired, by epoch.
    Maps(131, "maps"): (u64,) => ClusterMap;
    Nodes(132, "nodes"): (u64,) => Node;
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

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    pub id: NodeId,
    pub address: String,
    pub zone: String,
    /// Rises with each start of the node.
    pub incarnation: u64,
    /// The agreed number of the writer lease it holds now.
    pub lease: Option<u64>,
}
