//! The handle to a node's part of the agreement.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use node_base::plant::{self, Bug};
use node_base::{Duration, NodeId, Sha256, sha256};
use node_world::{Class, Peer, Task, World};
use openraft::ServerState;
use openraft::error::{InitializeError, RaftError};
use raft_meta::{Outcome, Proposal, Reader, TableError};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use crate::folder::{Folder, FolderError};
use crate::group::Group;
use crate::log::{LogError, LogStore};
use crate::machine::{Machine, RULES, Rules};
use crate::network::Network;
use crate::proof::{self, ProofError};
use crate::propose::ProposeError;
use crate::read::{Consistency, ReadError};
use crate::server::{ConsensusHandler, ControlHandler};
use crate::settings::{EngineKind, Settings};
use crate::snapshot::Note;
use crate::succession::Successor;
use crate::tables::{Engine, Snapshot, memory::Memory, redb::Redb, sled::Sled};
use crate::types::{Entry, LogId, Types, encode_entry};
use crate::{members, propose, read, succession};

/// What openraft says of it; for the log.
type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why the agreement cannot be taken up.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(transparent)]
    Folder(#[from] FolderError),
    #[error(transparent)]
    Log(#[from] LogError),
    #[error("the tables in {} cannot be opened", folder.display())]
    Tables { folder: PathBuf, source: TableError },
    #[error("the settings of the agreement contradict themselves")]
    Settings(#[source] Cause),
    #[error("this node cannot show who it is")]
    Proof(#[from] ProofError),
    #[error("the agreement cannot be taken up")]
    Start(#[source] Cause),
}

/// Why a cluster cannot be founded.
#[derive(Debug, thiserror::Error)]
pub enum FoundError {
    #[error("this node is of a cluster already")]
    Already,
    #[error(transparent)]
    Folder(#[from] FolderError),
    #[error("this node has left the agreement: {0}")]
    Stopped(String),
}

/// This node has left the agreement and will not come back by itself: the process should end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this node has left the agreement: {0}")]
pub struct Dead(pub String);

/// How a node stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Status {
    pub node: NodeId,
    /// Whether the cluster was founded, or has taken this node in.
    pub is_member: bool,
    pub leads: bool,
    pub leader: Option<NodeId>,
    pub term: u64,
    /// Whom this node's vote in that term is for. Leaders are told apart by both: who had a lesser
    /// vote in a term may give it to a second one.
    pub vote_for: NodeId,
    /// The index of the last entry of the log.
    pub last_entry: Option<u64>,
    /// The index of the last entry applied.
    pub applied_entry: Option<u64>,
    /// The number of the last command applied.
    pub applied: u64,
    /// Everyone who votes or learns, by node.
    pub members: Vec<Peer>,
    /// Those of them who vote.
    pub voters: Vec<NodeId>,
    /// Whether those who voted before still have a say: a majority of either is needed then.
    pub is_changing_voters: bool,
    pub log_bytes: u64,
}

/// An entry of the log, without what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    pub index: u64,
    /// Of the leader that gave it its place.
    pub term: u64,
    pub leader: NodeId,
    pub digest: Sha256,
}

/// One node's part in the agreement.
pub struct Raft {
    group: Arc<Group>,
    tasks: Vec<Task<()>>,
    /// Ends when the tables are closed.
    closed: oneshot::Receiver<()>,
}

/// How long a shutdown waits for those who still read.
const CLOSED_WITHIN: Duration = Duration::from_secs(10);
/// How many kibibytes of proposals may wait on one node.
const ROOM_KIB: usize = 64 << 10;

impl Raft {
    /// Takes up the agreement from `folder`, or begins there, as a node of no cluster yet.
    ///
    /// # Errors
    /// When the folder is another's, is in use, or is damaged.
    pub async fn open(
        world: &World,
        node: NodeId,
        folder: PathBuf,
        settings: &Settings,
    ) -> Result<Self, OpenError> {
        Self::open_with(world, node, folder, settings, RULES).await
    }

    pub(crate) async fn open_with(
        world: &World,
        node: NodeId,
        folder: PathBuf,
        settings: &Settings,
        rules: Rules,
    ) -> Result<Self, OpenError> {
        let (inner, settings) = (world.clone(), settings.clone());
        // In a task of this world, because openraft asks the task it is called in for its world.
        let opened = world.spawn(async move { start(inner, node, folder, settings, rules).await });
        opened.await.unwrap_or_else(|ended| Err(OpenError::Start(Box::new(ended))))
    }

    /// Founds a cluster of this node alone, which listens at `address`, and waits until it leads.
    ///
    /// # Errors
    /// [`FoundError::Already`] when the node has been of a cluster before.
    pub async fn found(&self, address: &str) -> Result<(), FoundError> {
        let group = &self.group;
        let has_joined = {
            let folder = group.folder.lock().await;
            folder.as_ref().and_then(Folder::identity).is_some_and(|identity| identity.has_joined)
        };
        if has_joined {
            return Err(FoundError::Already);
        }
        group.begin(group.world.random().max(1)).await?;
        let members = BTreeMap::from([(group.node.0, address.to_owned())]);
        group.raft.initialize(members).await.map_err(|error| match error {
            RaftError::APIError(InitializeError::NotAllowed(_)) => FoundError::Already,
            error => FoundError::Stopped(error.to_string()),
        })?;
        let mut metrics = group.raft.metrics();
        let leads = metrics.wait_for(|now| now.state == ServerState::Leader);
        leads.await.map_err(|_| FoundError::Stopped("its core ended".to_owned()))?;
        group.found_proof().await;
        Ok(())
    }

    /// Has a command agreed, and answers what came of it when it was applied. On any node: one that
    /// does not lead sends it to the leader. The log holds it durably then.
    ///
    /// # Errors
    /// See [`ProposeError`], whose variants say whether anything happened.
    pub async fn propose(&self, proposal: &Proposal) -> Result<Outcome, ProposeError> {
        let is_keyed = proposal.remember.is_some();
        let outcome = self.group.propose(Bytes::from(proposal.encode()), is_keyed).await?;
        postcard::from_bytes(&outcome).map_err(|_| ProposeError::uncertain())
    }

    #[cfg(test)]
    pub(crate) async fn propose_bytes(&self, proposal: Bytes) -> Result<Bytes, ProposeError> {
        self.group.propose(proposal, false).await
    }

    /// Reads one moment of the tables.
    ///
    /// # Errors
    /// [`ReadError::Unavailable`] when no leader can be asked how far to wait.
    pub async fn query<T: Send + 'static>(
        &self,
        consistency: Consistency,
        read: impl FnOnce(&dyn Reader) -> Result<T, TableError> + Send + 'static,
    ) -> Result<T, ReadError> {
        if consistency == Consistency::Linearizable && !plant::on(Bug::ReadWithoutIndex) {
            self.group.catch_up().await?;
        }
        let read = move |tables: &dyn Engine| read(&*tables.snapshot()?);
        Ok(self.group.machine.on_tables(read).await?)
    }

    /// The tables as this node has them, with how far they are.
    pub(crate) async fn tables_now(&self) -> Result<(Note, Box<dyn Snapshot>), TableError> {
        self.group.machine.moment().await
    }

    pub(crate) fn world(&self) -> World {
        self.group.world.clone()
    }

    /// The number of the last command this node has applied. Commands are counted from one in the
    /// order that all nodes apply them; it is the number that `raft_meta::apply` was given.
    pub fn applied(&self) -> u64 {
        self.group.machine.progress().borrow().command
    }

    /// Waits until this node has applied more than `command` commands, and answers how many.
    pub async fn applied_after(&self, command: u64) -> u64 {
        let mut progress = self.group.machine.progress();
        // The sender lives in the machine that this handle holds.
        let later = progress.wait_for(|now| now.command > command).await.map(|now| now.command);
        later.unwrap_or(command)
    }

    /// How this node stands.
    pub fn status(&self) -> Status {
        let metrics = self.group.raft.metrics();
        let metrics = metrics.borrow();
        let progress = *self.group.machine.progress().borrow();
        let peer = |(node, at): (&u64, &String)| Peer { node: NodeId(*node), address: at.clone() };
        let members: Vec<Peer> = metrics.membership_config.nodes().map(peer).collect();
        Status {
            node: self.group.node,
            is_member: members.iter().any(|member| member.node == self.group.node),
            leads: metrics.state == ServerState::Leader,
            leader: metrics.current_leader.map(NodeId),
            term: metrics.vote.leader_id.term,
            vote_for: NodeId(metrics.vote.leader_id.node_id),
            last_entry: metrics.last_log_index,
            applied_entry: progress.entry,
            applied: progress.command,
            members,
            voters: metrics.membership_config.membership().voter_ids().map(NodeId).collect(),
            is_changing_voters: metrics.membership_config.membership().get_joint_config().len() > 1,
            log_bytes: self.group.log.bytes(),
        }
    }

    /// The last entry that this node knows to be agreed on; nothing where it knows of none.
    pub async fn committed_entry(&self) -> Option<u64> {
        let committed = self.group.raft.with_raft_state(|state| state.committed.map(|id| id.index));
        committed.await.ok().flatten()
    }

    /// What the log holds from an index on, for whoever compares the logs of nodes: entries of one
    /// place, one term and one leader are equal. Nothing where the drive does not answer.
    pub async fn marks(&self, index: u64) -> Vec<Mark> {
        let entries = self.group.log.since(index).await.unwrap_or_default();
        let mark = |entry: &Entry| {
            let mut bytes = Vec::new();
            encode_entry(entry, &mut bytes);
            let LogId { leader_id, index } = entry.log_id;
            let leader = NodeId(leader_id.node_id);
            Mark { index, term: leader_id.term, leader, digest: sha256(&bytes) }
        };
        entries.iter().map(mark).collect()
    }

    /// The last entry that each of the other nodes has applied, of those that answer.
    ///
    /// # Errors
    /// When this node's tables cannot be read.
    pub async fn progress(&self) -> Result<BTreeMap<NodeId, u64>, TableError> {
        let progress = self.group.progress().await?;
        Ok(progress.into_iter().map(|(node, entry)| (NodeId(node), entry)).collect())
    }

    /// Ready once this node has left the agreement for good, by a failed drive or a broken
    /// invariant. A process that went on would only look alive.
    pub fn dead(&self) -> impl Future<Output = Dead> + Send + use<> {
        let mut metrics = self.group.raft.metrics();
        let mut broken = self.group.broken.subscribe();
        async move {
            let core = async {
                match metrics.wait_for(|now| now.running_state.is_err()).await {
                    Ok(now) => match &now.running_state {
                        Err(error) => error.to_string(),
                        Ok(()) => "its core ended".to_owned(),
                    },
                    Err(_) => "its core ended".to_owned(),
                }
            };
            let outside = async {
                match broken.wait_for(Option::is_some).await.map(|why| why.clone()) {
                    Ok(Some(why)) => why,
                    // The group is gone, and then so is its core.
                    _ => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                why = outside => Dead(why),
                why = core => Dead(why),
            }
        }
    }

    /// Has another node lead where this one does, so that what waits goes on there at once. To be
    /// called before a node stops; it follows or takes no part from then on.
    pub async fn hand_over(&self) {
        self.group.hand_over().await;
    }

    /// Leaves the agreement in good order: what was applied is durable, and the next start quick.
    ///
    /// # Errors
    /// When the tables could not be made durable. The log has it all.
    pub async fn shutdown(self) -> Result<(), TableError> {
        let Self { group, tasks, closed } = self;
        for mut task in tasks {
            task.abort();
        }
        group.room.close();
        if group.raft.shutdown().await.is_err() {
            tracing::warn!("the core of the agreement had ended before");
        }
        let synced = group.machine.sync().await;
        let folder = group.folder.lock().await.take();
        let world = group.world.clone();
        // Closing tables writes to them.
        world.blocking(move || drop(group)).await;
        if world.within(CLOSED_WITHIN, closed).await.is_err() {
            tracing::warn!("the tables are still being read");
        }
        drop(folder);
        synced
    }
}

async fn start(
    world: World,
    node: NodeId,
    path: PathBuf,
    settings: Settings,
    rules: Rules,
) -> Result<Raft, OpenError> {
    let config = Arc::new(settings.openraft().map_err(OpenError::Settings)?);
    let (inner, at) = (world.clone(), path.clone());
    let folder = world.blocking(move || Folder::open_as(&inner, &at, node)).await?;
    let (inner, tables, chosen) = (world.clone(), path.join("tables"), settings.clone());
    let open = move || {
        let failed = |source| OpenError::Tables { folder: tables.clone(), source };
        let engine = open_tables(&inner, &tables, &chosen).map_err(failed)?;
        Machine::new(&inner, engine, rules.apply).map_err(failed)
    };
    let (machine, closed) = world.blocking(open).await?;
    let at = path.join("log");
    let log = LogStore::open(&world, node, &at, settings.log(), machine.durable()).await?;
    proof::begin(&world, &path, folder.identity(), &machine).await?;
    let (cluster, known_cluster) =
        watch::channel(folder.identity().and_then(|identity| identity.cluster));
    let broken = watch::channel(None).0;
    let network = Network { world: world.clone(), cluster: known_cluster, broken: broken.clone() };
    let raft = openraft::Raft::<Types>::new(node.0, config, network, log.clone(), machine.clone())
        .await
        .map_err(|error| OpenError::Start(Box::new(error)))?;
    let (proposals, proposed) = mpsc::unbounded_channel();
    let (readers, asked) = mpsc::unbounded_channel();
    let group = Arc::new(Group {
        world: world.clone(),
        node,
        settings,
        raft,
        machine,
        log,
        cluster,
        check: rules.check,
        folder: tokio::sync::Mutex::new(Some(folder)),
        incoming: tokio::sync::Mutex::new(None),
        proposals,
        forwarded: Mutex::default(),
        room: Arc::new(Semaphore::new(ROOM_KIB)),
        readers,
        removed: Mutex::default(),
        heard: watch::channel(world.now()).0,
        successor: watch::channel(Successor::default()).0,
        broken,
    });
    let weak = Arc::downgrade(&group);
    world.net().serve(Class::Consensus, Arc::new(ConsensusHandler(weak.clone())));
    world.net().serve(Class::Control, Arc::new(ControlHandler(weak.clone())));
    let tasks = vec![
        world.spawn(propose::run(weak.clone(), proposed)),
        world.spawn(read::run(weak.clone(), asked)),
        world.spawn(members::run(weak.clone())),
        world.spawn(succession::run(weak.clone())),
        world.spawn(keep(world.clone(), weak)),
    ];
    elect_the_only_voter(&group).await;
    Ok(Raft { group, tasks, closed })
}

pub(crate) fn open_tables(
    world: &World,
    folder: &Path,
    settings: &Settings,
) -> Result<Arc<dyn Engine>, TableError> {
    Ok(match settings.engine {
        EngineKind::Redb => Arc::new(Redb::open(world, folder, settings.tables_cache_bytes)?),
        EngineKind::Sled => Arc::new(Sled::open(folder, settings.tables_cache_bytes)?),
        EngineKind::Memory => Arc::new(Memory::default()),
    })
}

/// A lone node need not wait for an election's time.
async fn elect_the_only_voter(group: &Group) {
    let node = group.node.0;
    let is_alone = group
        .raft
        .with_raft_state(move |state| state.membership_state.effective().voter_ids().eq([node]))
        .await
        .unwrap_or(false);
    if is_alone {
        // A core that has stopped already is reported by `dead`.
        let _ = group.raft.trigger().elect().await;
    }
}

async fn keep(world: World, group: std::sync::Weak<Group>) {
    while let Some(group) = group.upgrade() {
        let every = Duration::from_millis(group.settings.durable_every_ms.max(1));
        group.keep().await;
        drop(group);
        world.sleep(every).await;
    }
}
