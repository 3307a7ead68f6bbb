//! Builds one node from [`Settings`] and a [`World`].
//!
//! The order is the one in which parts can speak: the agreement first, then, with the cluster's
//! identity out of its tables, the drives, a lease to write under, the operations, the HTTP
//! surface. Binding sockets and speaking to people is the binary's.
//!
//! Never here: the real outside, and rules about files.

pub mod backup;
pub mod check;
mod first;
mod map;
mod settings;
#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use api::auth::{Authenticator, IssuerSettingsError};
use api::issuer::OwnIssuer;
use api::metrics::Metrics;
use api::{ApiState, Parts};
use api_ops::{Background, Lease, OpError, OpsParts};
use chunkstore::Store;
use node_base::{Duration, NodeId};
use node_world::{Disk, Task, World};
use raft::{Dead, ProposeError, Raft};
use raft_meta::command::Upkeep;
use raft_meta::{Answer, Command, Proposal, TableError};

use crate::map::Map;

pub use api::serve::{ServeSettings, serve};
pub use api_ops::Ops;
pub use axum::{Router, body::Body};
pub use first::{EMAIL as FIRST_EMAIL, FirstSignIn};
pub use raft::{CheckError, FolderError, JoinError};
pub use settings::{ChunkSettings, JoinSettings, Settings};

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("no data directory is set")]
    NoFolder,
    #[error(
        "{} holds other things than a node's data; choose an empty folder, or one of a node",
        path.display()
    )]
    NotOurs { path: PathBuf },
    #[error(
        "{} was being filled from a backup; restore that again, or empty the folder",
        path.display()
    )]
    HalfRestored { path: PathBuf },
    #[error("the data directory {} cannot be used", path.display())]
    Folder { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Identity(#[from] IssuerSettingsError),
    #[error(transparent)]
    Raft(#[from] raft::OpenError),
    #[error(transparent)]
    Found(#[from] raft::FoundError),
    #[error(transparent)]
    RaftFolder(#[from] raft::FolderError),
    #[error("the node does not join")]
    Join(#[from] raft::JoinError),
    #[error(
        "{} belongs to node {found}, and this process runs as node {bears}", path.display()
    )]
    OtherNode { path: PathBuf, found: NodeId, bears: NodeId },
    #[error(transparent)]
    Dead(#[from] Dead),
    #[error(transparent)]
    Drives(#[from] chunkstore::OpenError),
    #[error(transparent)]
    Op(#[from] OpError),
    #[error("the agreement refused the node's first words: {0}")]
    Refused(raft_meta::Refusal),
    #[error("the agreement cannot be asked")]
    Propose(#[from] raft::ProposeError),
    #[error("the agreement cannot be read")]
    Read(#[from] raft::ReadError),
    #[error(transparent)]
    Password(#[from] api::issuer::password::PasswordError),
}

/// A running node.
pub struct Node {
    world: World,
    raft: Arc<Raft>,
    ops: Ops,
    background: Background,
    care: Task<()>,
    map: Map,
    state: ApiState,
    /// How long it says that it is not ready before it stops.
    notice: Duration,
    /// How to sign in for the first time; only at the node's very first start.
    pub first_sign_in: Option<FirstSignIn>,
}

/// As whom and where a node is reached, once its sockets are bound.
#[derive(Debug, Clone)]
pub struct Addresses {
    /// The number under which the node's world sends and takes messages. See [`enter`].
    pub node: NodeId,
    /// By people, such as `http://127.0.0.1:8000`.
    pub public_url: String,
    /// By other nodes.
    pub cluster: String,
}

/// The number of a node that founds a cluster and bears none yet.
pub const FIRST_NODE: NodeId = NodeId(1);
/// How often a node asks to join before it says that nobody answers: somebody waits for the word.
const JOIN_ROUNDS: u32 = 10;

/// The number of the node that has these data directories; nothing when they are none's yet.
///
/// # Errors
/// When they hold something else, or cannot be read.
pub async fn identity(world: &World, settings: &Settings) -> Result<Option<NodeId>, StartError> {
    let home = settings.data_dirs.first().ok_or(StartError::NoFolder)?;
    for folder in &settings.data_dirs {
        check_folder(world, folder).await?;
    }
    Ok(raft::identity(world, home.join("raft")).await?.map(|identity| identity.node))
}

/// Tells the number of the node that has these data directories, before its world is made: what
/// the directory says; else what joining gives, where `settings.join` is set; else the first.
/// `address` is where other nodes will reach it; `wish` the number it would have, where it matters.
///
/// # Errors
/// Why it cannot join.
pub async fn enter(
    world: &World,
    settings: &Settings,
    address: &str,
    wish: Option<NodeId>,
) -> Result<NodeId, StartError> {
    if let Some(node) = identity(world, settings).await? {
        return Ok(node);
    }
    let home = settings.data_dirs.first().ok_or(StartError::NoFolder)?;
    let Some(join) = &settings.join else { return Ok(FIRST_NODE) };
    let request = raft::JoinRequest {
        via: join.via.clone(),
        token: join.token.clone(),
        wish,
        address: address.to_owned(),
        zone: settings.zone.clone(),
        rounds: JOIN_ROUNDS,
    };
    Ok(raft::join(world, home.join("raft"), &request).await?.node)
}

impl Node {
    /// Starts a node; ready to serve when this answers.
    ///
    /// # Errors
    /// Why it cannot start. Nothing on its drives was harmed.
    pub async fn start(
        world: World,
        settings: &Settings,
        addresses: Addresses,
        version: &'static str,
    ) -> Result<Self, StartError> {
        settings.identity.check()?;
        let home = settings.data_dirs.first().ok_or(StartError::NoFolder)?;
        for folder in &settings.data_dirs {
            check_folder(&world, folder).await?;
        }
        let identity = first::identity(&world, settings, &addresses).await?;
        let raft = Raft::open(&world, identity.node, home.join("raft"), &settings.raft).await?;
        let raft = Arc::new(raft);
        let dead = raft.dead();
        // Its steps wait for the agreement, which may end here for good: then they wait for ever.
        tokio::select! {
            biased;
            dead = dead => Err(dead.into()),
            node = Self::assemble(world, settings, addresses, version, identity, raft) => node,
        }
    }

    /// Enters the cluster, and puts the parts together.
    async fn assemble(
        world: World,
        settings: &Settings,
        addresses: Addresses,
        version: &'static str,
        identity: raft::Identity,
        raft: Arc<Raft>,
    ) -> Result<Self, StartError> {
        let node = identity.node;
        let home = settings.data_dirs.first().ok_or(StartError::NoFolder)?;
        let cluster = first::cluster(&world, &raft, identity, &addresses).await?;
        let lease = start_node(&world, &raft, node, settings, &addresses).await?;
        let store = open_store(&world, settings, node, cluster.id).await?;
        let ops = Ops::new(OpsParts {
            node,
            world: world.clone(),
            raft: Arc::clone(&raft),
            store,
            lease: Lease::new(lease),
        });
        let map = Map::start(&ops).await?;
        let background = Background::start(&ops, settings.upkeep.clone());
        let store = ops.store.clone();
        let care = world.spawn(async move { store.care().await });
        let own = settings.built_in_issuer().then(|| OwnIssuer::new(&addresses.public_url));
        let state = ApiState::new(Parts {
            world: world.clone(),
            identity: Authenticator::new(ops.clone(), &settings.identity, own),
            ops: ops.clone(),
            metrics: Metrics::new(),
            settings: settings.http.clone(),
            public_url: addresses.public_url,
            version,
        });
        let first_sign_in = match (state.identity.own(), cluster.first_tenant) {
            (Some(own), Some(tenant)) if first::is_first(&ops).await? => {
                first::administrator(&ops, own, tenant, home).await?
            }
            _ => None,
        };
        let notice = Duration::from_secs(settings.http.leave_seconds);
        Ok(Self { world, raft, ops, background, care, map, state, notice, first_sign_in })
    }

    /// The public HTTP surface.
    pub fn router(&self) -> Router {
        api::router(self.state.clone())
    }

    /// What the metrics listener serves.
    pub fn metrics_router(&self) -> Router {
        api::metrics::router(self.state.clone())
    }

    /// What the private socket in the data directory serves.
    pub fn socket_router(&self) -> Router {
        api::socket::router(self.state.clone())
    }

    /// The operations, for whoever drives a node without HTTP.
    pub fn ops(&self) -> &Ops {
        &self.ops
    }

    /// Ready when the node has failed for good: the process should end then.
    pub fn dead(&self) -> impl Future<Output = Dead> + Send + use<> {
        self.raft.dead()
    }

    /// Gets ready to stop, while it still serves: it says that it is not ready, for as long as
    /// whoever asks that needs to notice, and has another node lead where it does.
    pub async fn leave(&self) {
        self.ops.leave();
        let is_alone = self.raft.status().members.len() < 2;
        if !is_alone {
            let notice = self.world.sleep(self.notice);
            tokio::join!(self.raft.hand_over(), notice);
        }
    }

    /// Stops in good order: what was applied is durable, and the next start quick. Requests should
    /// have ended before.
    ///
    /// # Errors
    /// When the tables could not be made durable; the log has it all.
    pub async fn stop(self) -> Result<(), TableError> {
        let Self { world, mut raft, ops, background, mut care, map, state, .. } = self;
        ops.stop_waiting();
        background.stop();
        map.stop();
        care.abort();
        ops.store.close().await;
        drop((ops, state));
        // Requests that were cut off still hold the operations for a moment.
        for _ in 0..STOP_TRIES {
            match Arc::try_unwrap(raft) {
                Ok(raft) => return raft.shutdown().await,
                Err(shared) => raft = shared,
            }
            world.sleep(STOP_PAUSE).await;
        }
        tracing::warn!("requests still run; the next start applies the end of the log again");
        Ok(())
    }
}

const STOP_TRIES: u32 = 100;
const STOP_PAUSE: Duration = Duration::from_millis(20);

/// A folder must be empty or a node's: a mistyped path must not be written into.
async fn check_folder(world: &World, folder: &Path) -> Result<(), StartError> {
    let (inner, path) = (world.clone(), folder.to_owned());
    let entries = world
        .blocking(move || {
            make_folder(inner.disk(), &path)?;
            inner.disk().list(&path)
        })
        .await
        .map_err(|source| StartError::Folder { path: folder.to_owned(), source })?;
    if entries.iter().any(|entry| entry.name == backup::NOTE) {
        return Err(StartError::HalfRestored { path: folder.to_owned() });
    }
    let ours = |name: &str| ["raft", "chunks"].contains(&name);
    if entries.is_empty() || entries.iter().any(|entry| ours(&entry.name)) {
        return Ok(());
    }
    // The note of a start that was cut off before anything else was made.
    if entries.iter().all(|entry| entry.name == first::NOTE) {
        return Ok(());
    }
    Err(StartError::NotOurs { path: folder.to_owned() })
}

/// Makes a folder that the power does not take away again: everything in it would go with its name.
fn make_folder(disk: &dyn Disk, folder: &Path) -> io::Result<()> {
    disk.create_folder(folder)?;
    for above in folder.ancestors().skip(1) {
        let above = if above.as_os_str().is_empty() { Path::new(".") } else { above };
        match disk.sync_folder(above) {
            // Who may not look into a folder made nothing in it.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
            synced => synced?,
        }
    }
    Ok(())
}

async fn open_store(
    world: &World,
    settings: &Settings,
    node: NodeId,
    cluster: u128,
) -> Result<Store, StartError> {
    let folders = settings.data_dirs.iter().map(|folder| folder.join("chunks")).collect();
    let chunks = &settings.chunks;
    let settings = chunkstore::Settings {
        cluster,
        node,
        zone: settings.zone.clone(),
        pack_bytes: chunks.pack_bytes,
        reserve_bytes: chunks.reserve_bytes,
        in_flight_bytes: chunks.in_flight_bytes,
        care_interval: Duration::from_secs(chunks.care_seconds),
    };
    Ok(Store::open(world, folders, settings).await?)
}

/// Says to the agreement that the node is here; answers the lease it may write under. Said twice,
/// the lease of the first time is closed before anything was written under it.
async fn start_node(
    world: &World,
    raft: &Raft,
    node: NodeId,
    settings: &Settings,
    addresses: &Addresses,
) -> Result<u64, StartError> {
    loop {
        let (address, zone) = (addresses.cluster.clone(), settings.zone.clone());
        let start = Command::Upkeep(Upkeep::StartNode { node, address, zone });
        match propose(world, raft, node, start).await {
            Ok(Answer::Lease(writer)) => return Ok(writer),
            Ok(_) => return Err(StartError::Refused(raft_meta::Refusal::WrongCaller)),
            Err(StartError::Propose(
                ProposeError::Unavailable { .. } | ProposeError::Uncertain { .. },
            )) => world.sleep(START_PAUSE).await,
            Err(error) => return Err(error),
        }
    }
}

const START_PAUSE: Duration = Duration::from_millis(50);

/// Has a command of this node agreed on, before there are operations to do so.
async fn propose(
    world: &World,
    raft: &Raft,
    node: NodeId,
    command: Command,
) -> Result<Answer, StartError> {
    let proposal = Proposal::of_node(node, world.wall(), world.id_seed(), command);
    raft.propose(&proposal).await?.map_err(StartError::Refused)
}
