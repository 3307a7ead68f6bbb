//! Reads that show everything acknowledged before they began, on any node.
//!
//! The leader says up to which entry that is, once it made sure that it still leads; this node
//! waits until it has applied that far. One such question serves all reads that wait for it.

use std::sync::Weak;

use node_base::Duration;
use node_world::Class;
use raft_meta::TableError;
use tokio::sync::{mpsc, oneshot};

use crate::group::{Group, Leader};
use crate::wire::{Control, ControlReply, pack, unpack_reply};

/// How fresh a read must be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Consistency {
    /// Everything that was acknowledged anywhere before the read began.
    #[default]
    Linearizable,
    /// Whatever this node has applied. Asks nobody.
    Stale,
}

/// Why there is nothing to read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("the cluster has no leader that can be reached")]
    Unavailable { retry_after: Duration },
    #[error(transparent)]
    Tables(#[from] TableError),
}

/// When to try again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// A read that waits to hear up to where must be applied.
pub(crate) type Asking = oneshot::Sender<Result<Option<u64>, NoLeader>>;

/// Nobody could be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no leader answered")]
pub(crate) struct NoLeader;

impl Group {
    /// Waits until this node's tables show all that was acknowledged before.
    pub(crate) async fn catch_up(&self) -> Result<(), ReadError> {
        let patience = self.settings.patience();
        let unavailable = ReadError::Unavailable { retry_after: RETRY_AFTER };
        match self.world.within(patience, self.caught_up()).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(unavailable),
        }
    }

    async fn caught_up(&self) -> Result<(), NoLeader> {
        let (ask, answer) = oneshot::channel();
        self.readers.send(ask).map_err(|_| NoLeader)?;
        let index = answer.await.map_err(|_| NoLeader)??;
        let mut progress = self.machine.progress();
        progress.wait_for(|now| now.entry >= index).await.map_err(|_| NoLeader)?;
        Ok(())
    }

    async fn read_index(&self) -> Result<Option<u64>, NoLeader> {
        let until = self.world.now().after(self.settings.patience());
        loop {
            let left = until.since(self.world.now());
            let answer = match self.leader() {
                Leader::This => self.read_index_here().await,
                Leader::Other(peer) => {
                    let request = pack(*self.cluster.borrow(), &Control::ReadIndex);
                    let limit = left.min(Duration::from_millis(self.settings.election_max_ms));
                    let reply = self.world.net().call(peer, Class::Control, request, limit).await;
                    match reply.ok().and_then(|reply| unpack_reply(&reply).ok()) {
                        Some(ControlReply::ReadIndex(index)) => Ok(index),
                        _ => Err(NoLeader),
                    }
                }
                Leader::Unknown => Err(NoLeader),
            };
            match answer {
                Err(NoLeader) if !left.is_zero() => self.pause().await,
                answer => return answer,
            }
        }
    }

    /// Up to where must be applied what a read shows that begins now, as the leader knows.
    pub(crate) async fn read_index_here(&self) -> Result<Option<u64>, NoLeader> {
        if self.is_handing_over() {
            // The question would keep the others from electing another.
            return Err(NoLeader);
        }
        let (index, _) = self.raft.get_read_log_id().await.map_err(|_| NoLeader)?;
        Ok(index.map(|id| id.index))
    }
}

/// Asks once for all reads that wait, again and again, until the group is gone.
pub(crate) async fn run(group: Weak<Group>, mut readers: mpsc::UnboundedReceiver<Asking>) {
    while let Some(first) = readers.recv().await {
        let mut asking = vec![first];
        while let Ok(next) = readers.try_recv() {
            asking.push(next);
        }
        let Some(group) = group.upgrade() else { return };
        let index = group.read_index().await;
        for ask in asking {
            // A read that was given up does not hear it.
            let _ = ask.send(index);
        }
    }
}
