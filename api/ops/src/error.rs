//! Why an operation has no answer.

use node_base::Duration;
use raft_meta::Refusal;

/// Why an operation failed. Nothing happened, except where a variant says otherwise.
#[derive(Debug, thiserror::Error)]
pub enum OpError {
    /// It was judged, and refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// There is no leader or quorum just now, or the node is stopping.
    #[error("the cluster cannot agree on anything just now")]
    Unavailable { retry_after: Duration },
    /// The command may have been agreed on: asking again under the same key tells.
    #[error("it is not known whether the change was agreed on")]
    Unknown,
    /// The drives have no room left for new bytes.
    #[error("the drives of this node are full")]
    DrivesFull,
    /// Bytes that were stored cannot be read back just now.
    #[error("stored bytes cannot be read just now")]
    Unreadable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It says more than fits into one command.
    #[error("more than {max} bytes cannot be agreed on at once")]
    TooLarge { max: usize },
    /// This node cannot go on; its process is about to end.
    #[error("this node has failed")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl OpError {
    /// The usual answer when a leader is being elected.
    pub(crate) const fn unavailable() -> Self {
        Self::Unavailable { retry_after: Duration::from_secs(1) }
    }
}

impl From<chunkstore::GetError> for OpError {
    fn from(error: chunkstore::GetError) -> Self {
        Self::Unreadable(Box::new(error))
    }
}

impl From<chunkstore::ListError> for OpError {
    fn from(error: chunkstore::ListError) -> Self {
        Self::Unreadable(Box::new(error))
    }
}

impl From<chunkstore::DeleteError> for OpError {
    fn from(error: chunkstore::DeleteError) -> Self {
        match error {
            chunkstore::DeleteError::Full => Self::DrivesFull,
            error => Self::Unreadable(Box::new(error)),
        }
    }
}

impl From<chunkstore::PutError> for OpError {
    fn from(error: chunkstore::PutError) -> Self {
        match error {
            chunkstore::PutError::Full => Self::DrivesFull,
            chunkstore::PutError::Checksum { .. } => Refusal::ChecksumMismatch.into(),
            error => Self::Unreadable(Box::new(error)),
        }
    }
}
