//! How nodes prove to one another who they are, where the network has to be asked for proof.
//!
//! A cluster has an authority: a certificate that all of its nodes trust, and the key to sign with,
//! which is agreed on like everything else, so that no single node's loss takes it away. A node
//! shows a certificate of that authority, which names the cluster and the node. Keys of nodes are
//! made anew by each process and never leave it, but for the one that a node joined with: it is
//! kept until the node has learned the authority and can certify itself.

use std::collections::BTreeSet;

use node_base::{NodeId, Sha256, Timestamp};

/// A cluster's authority. The key is a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Authority {
    pub certificate: Vec<u8>,
    pub key: Vec<u8>,
}

/// Whom a certificate is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Subject {
    pub cluster: u128,
    pub node: NodeId,
}

/// Credentials cannot be made or used; the text says which, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CredentialError(pub String);

/// What this process proves itself with, and whom it believes.
pub trait Credentials: Send + Sync {
    /// Makes an authority for a new cluster.
    ///
    /// # Errors
    /// When there is no entropy.
    fn found(&self, cluster: u128, at: Timestamp) -> Result<Authority, CredentialError>;

    /// The public half of this process's key.
    fn public_key(&self) -> Vec<u8>;

    /// Certifies that who has a key is this node, for some months from `at`.
    ///
    /// # Errors
    /// When the authority or the key is none.
    fn certify(
        &self,
        by: &Authority,
        whom: Subject,
        public_key: &[u8],
        at: Timestamp,
    ) -> Result<Vec<u8>, CredentialError>;

    /// Shows this certificate, which is of this process's key, from now on; and believes the
    /// authority. Connections that are there stay.
    ///
    /// # Errors
    /// When it is not of this key or this authority.
    fn show(
        &self,
        whom: Subject,
        certificate: &[u8],
        authority: &[u8],
    ) -> Result<(), CredentialError>;

    /// Believes nodes that show a certificate of the authority with this SHA-256, before this
    /// process is itself certified.
    fn believe(&self, authority: Sha256);

    /// Nodes that were removed: nothing they say is heard.
    fn revoke(&self, removed: BTreeSet<NodeId>);

    /// What is shown now, with its key, for the next process of this node. A secret.
    fn save(&self) -> Option<Vec<u8>>;

    /// Shows what an earlier process saved.
    ///
    /// # Errors
    /// When it was not this, or is damaged.
    fn load(&self, whom: Subject, saved: &[u8]) -> Result<(), CredentialError>;

    /// How often others were refused, by the reason; and messages of this process by others.
    fn refusals(&self) -> Vec<(&'static str, u64)>;
}
