//! One node's part of the group, shared by the handle, the tasks and the handlers of messages.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use node_base::{Duration, NodeId};
use node_world::{Instant, Peer, World};
use raft_meta::TableError;
use tokio::sync::{Semaphore, mpsc, watch};

use crate::folder::{Folder, FolderError, Identity};
use crate::log::LogStore;
use crate::machine::Machine;
use crate::propose::{Forwarded, Waiting};
use crate::read::Asking;
use crate::server::Incoming;
use crate::settings::Settings;
use crate::succession::Successor;
use crate::types::Types;

/// See the module.
pub(crate) struct Group {
    pub(crate) world: World,
    pub(crate) node: NodeId,
    pub(crate) settings: Settings,
    pub(crate) raft: openraft::Raft<Types>,
    pub(crate) machine: Machine,
    pub(crate) log: LogStore,
    /// The cluster's number, which stands in every message.
    pub(crate) cluster: watch::Sender<Option<u128>>,
    /// Whether this version can apply an encoded proposal.
    pub(crate) check: fn(&[u8]) -> bool,
    pub(crate) folder: tokio::sync::Mutex<Option<Folder>>,
    pub(crate) incoming: tokio::sync::Mutex<Option<Incoming>>,
    pub(crate) proposals: mpsc::UnboundedSender<Waiting>,
    pub(crate) forwarded: Mutex<Forwarded>,
    /// Kibibytes of proposals that may wait.
    pub(crate) room: Arc<Semaphore>,
    pub(crate) readers: mpsc::UnboundedSender<Asking>,
    /// Nodes that were removed, as this node knows: what they say is refused.
    pub(crate) removed: Mutex<BTreeSet<NodeId>>,
    /// When a leader was last heard of.
    pub(crate) heard: watch::Sender<Instant>,
    /// Who is to lead next, once this node hands its leadership on.
    pub(crate) successor: watch::Sender<Successor>,
    /// What broke outside of openraft.
    pub(crate) broken: watch::Sender<Option<String>>,
}

/// Who leads, as far as this node knows.
pub(crate) enum Leader {
    This,
    Other(Peer),
    Unknown,
}

impl Group {
    pub(crate) fn leader(&self) -> Leader {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow();
        let Some(leader) = metrics.current_leader else { return Leader::Unknown };
        if leader == self.node.0 {
            return Leader::This;
        }
        match metrics.membership_config.membership().get_node(&leader) {
            Some(address) => Leader::Other(Peer { node: NodeId(leader), address: address.clone() }),
            None => Leader::Unknown,
        }
    }

    /// Waits until something about the group may have changed.
    pub(crate) async fn pause(&self) {
        const PAUSE: Duration = Duration::from_millis(20);
        self.world.sleep(PAUSE).await;
    }

    /// Makes this node the first of a cluster, for good, unless it is of one.
    pub(crate) async fn begin(&self, cluster: u128) -> Result<(), FolderError> {
        let mut folder = self.folder.lock().await;
        let is_new = |folder: &mut Folder| folder.identity().is_none_or(|id| id.cluster.is_none());
        let Some(mut inner) = folder.take_if(is_new) else { return Ok(()) };
        let identity = Identity { node: self.node, cluster: Some(cluster), has_joined: false };
        let write = move || {
            let written = inner.write(identity);
            (inner, written)
        };
        let (inner, written) = self.world.blocking(write).await;
        *folder = Some(inner);
        written?;
        self.cluster.send_replace(Some(cluster));
        Ok(())
    }

    /// Looks after the tables and the log, every once in a while.
    pub(crate) async fn keep(&self) {
        if let Err(error) = self.machine.sync().await {
            self.broke(&error);
        }
        if self.log.bytes() > self.settings.log_bytes_max {
            let snapshot = self.raft.metrics().borrow().snapshot;
            // A core that has stopped is reported elsewhere.
            if let Some(snapshot) = snapshot {
                let _ = self.raft.trigger().purge_log(snapshot.index).await;
            }
            let _ = self.raft.trigger().snapshot().await;
        }
    }

    fn broke(&self, error: &TableError) {
        let cause = std::error::Error::source(error).map(|cause| format!(": {cause}"));
        self.broken.send_replace(Some(format!("{error}{}", cause.unwrap_or_default())));
    }
}
