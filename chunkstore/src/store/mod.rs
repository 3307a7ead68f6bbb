//! The store: all drives of this node, and the way to those of others, under one handle.

pub(crate) mod care;
pub(crate) mod check;
pub(crate) mod error;
pub(crate) mod fresh;
pub(crate) mod layout;
mod leave;
pub(crate) mod list;
mod look;
mod losses;
mod mend;
pub(crate) mod read;
mod reclaim;
pub(crate) mod recode;
mod repair;
pub(crate) mod stats;
pub(crate) mod told;
pub(crate) mod verify;
pub(crate) mod write;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use chunkstore_core::buffer::Buffers;
use chunkstore_core::decide;
use chunkstore_core::pack::Packer;
use chunkstore_core::place::rank;
use chunkstore_core::shard::ChunkKey;
use node_base::{ClusterMap, DriveId};
use node_world::World;
use tokio::sync::Semaphore;

use crate::drive::identity::OpenError;
use crate::drive::{Drive, DriveSettings};
use crate::peer::{Peers, Server};
use crate::settings::Settings;
use layout::Layout;

/// Memory for reading that is kept while nobody reads.
const BUFFERS_KEPT_MAX: usize = 16 << 20;
/// Chunks mended at the same time because a read came upon damage.
const MENDING_MAX: usize = 4;

/// The chunks of this node. Cheap to clone; all clones are the same store.
#[derive(Clone)]
pub struct Store(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) world: World,
    pub(crate) settings: Settings,
    pub(crate) drives: Vec<Arc<Drive>>,
    pub(crate) peers: Peers,
    layout: RwLock<Arc<Layout>>,
    writing: Arc<Semaphore>,
    reading: Semaphore,
    mending: Arc<Semaphore>,
    repairing: repair::Budget,
    leaving: leave::Leaving,
    packers: Mutex<Vec<Packer>>,
    buffers: Buffers,
    care: Mutex<BTreeMap<DriveId, care::Progress>>,
    fresh: fresh::Fresh,
    /// How often something was lost of which nobody here can tell what it was.
    losses: AtomicU64,
    /// Shards may be missing or astray: all chunks' shards should be counted soon.
    survey_wanted: AtomicBool,
    /// What held the last survey up may be over: the next one need not wait.
    survey_urgent: AtomicBool,
    pub(crate) counts: stats::Counts,
}

pub(crate) fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What the locks guard is changed in single steps that cannot panic half-way.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Store {
    /// Opens the drives in these folders; empty folders become new drives. A drive that fails, or
    /// cannot tell any more which one it is, is left out as long as another one works: the others
    /// can stand in for it.
    ///
    /// # Errors
    /// When a folder is not one of this cluster's drives that this process may have, or none works.
    pub async fn open(
        world: &World,
        folders: Vec<PathBuf>,
        settings: Settings,
    ) -> Result<Self, OpenError> {
        settings.check()?;
        let (here, wanted) = (world.clone(), settings.clone());
        let drives = world.blocking(move || open_drives(&here, folders, &wanted)).await?;
        let store = Self(Arc::new(Inner {
            world: world.clone(),
            peers: Peers::default(),
            layout: RwLock::default(),
            writing: Arc::new(Semaphore::new(settings.in_flight_bytes as usize)),
            reading: Semaphore::new(settings.in_flight_bytes as usize),
            mending: Arc::new(Semaphore::new(MENDING_MAX)),
            repairing: repair::Budget::default(),
            leaving: leave::Leaving::default(),
            packers: Mutex::default(),
            buffers: Buffers::keeping(BUFFERS_KEPT_MAX),
            care: Mutex::default(),
            fresh: fresh::Fresh::default(),
            losses: AtomicU64::new(u64::from(drives.iter().any(|drive| drive.is_torn))),
            survey_wanted: AtomicBool::new(true),
            survey_urgent: AtomicBool::new(true),
            counts: stats::Counts::default(),
            drives,
            settings,
        }));
        // Until the cluster's map is known, the node is a cluster of its own.
        store.set_map(ClusterMap { drives: store.drives(), ..ClusterMap::default() });
        let inner = Arc::clone(&store.0);
        world.blocking(move || inner.load_progress()).await;
        Server::start(&store.0);
        Ok(store)
    }

    /// This node's drives as they belong into the cluster map.
    pub fn drives(&self) -> Vec<node_base::Drive> {
        let gib = |drive: &Drive| drive.space().map_or(1, |space| (space.total >> 30).max(1));
        let settings = &self.0.settings;
        self.0
            .drives
            .iter()
            .map(|drive| node_base::Drive {
                id: drive.id,
                node: settings.node,
                zone: settings.zone.clone(),
                weight: u32::try_from(gib(drive)).unwrap_or(u32::MAX),
            })
            .collect()
    }

    /// Places chunks by this map from now on; older maps are ignored. The last few before it are
    /// kept, since what they placed may not have moved yet.
    pub fn set_map(&self, map: ClusterMap) {
        let known = self.0.layout();
        if map.epoch >= known.epoch() {
            self.0.set_layout(known.followed_by(map));
        }
    }

    /// The same with all maps that are in force, in any order: the newest places, and chunks are
    /// looked for by the others too.
    pub fn set_maps(&self, maps: Vec<ClusterMap>) {
        let layout = Layout::new(maps);
        if layout.epoch() >= self.0.layout().epoch() {
            self.0.set_layout(layout);
        }
    }

    /// Makes the next start quick; call it at the end, when nothing more is stored.
    pub async fn close(&self) {
        let inner = Arc::clone(&self.0);
        self.0.world.blocking(move || inner.drives.iter().for_each(|drive| drive.close())).await;
    }
}

fn open_drives(
    world: &World,
    folders: Vec<PathBuf>,
    settings: &Settings,
) -> Result<Vec<Arc<Drive>>, OpenError> {
    let mut drives: BTreeMap<DriveId, Arc<Drive>> = BTreeMap::new();
    let mut failed = None;
    for folder in folders {
        let total = world.disk().create_folder(&folder).and_then(|()| world.disk().space(&folder));
        let fiftieth = total.map_or(0, |space| space.total / 50);
        let settings = DriveSettings {
            cluster: settings.cluster,
            pack_bytes: settings.pack_bytes,
            reserve_bytes: settings.reserve_bytes.min(fiftieth),
        };
        match Drive::open(world, &folder, settings) {
            Ok(drive) => {
                if let Some(twin) = drives.insert(drive.id, Arc::new(drive)) {
                    return Err(OpenError::Twice { first: twin.folder.clone(), second: folder });
                }
            }
            Err(error @ (OpenError::Io { .. } | OpenError::NoIdentity { .. })) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                tracing::error!(%error, cause, "a drive is left out");
                failed = Some(error);
            }
            Err(error) => return Err(error),
        }
    }
    if drives.is_empty() {
        return Err(failed.unwrap_or(OpenError::None));
    }
    Ok(drives.into_values().collect())
}

impl Inner {
    pub(crate) fn layout(&self) -> Arc<Layout> {
        Arc::clone(&self.layout.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn set_layout(&self, layout: Layout) {
        *self.layout.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(layout);
        self.want_survey_now();
    }

    /// Shards may be missing or astray.
    pub(crate) fn want_survey(&self) {
        self.survey_wanted.store(true, Ordering::Relaxed);
    }

    /// The same, and now is a better time than before.
    pub(crate) fn want_survey_now(&self) {
        self.survey_urgent.store(true, Ordering::Relaxed);
        self.want_survey();
    }

    /// This node's drives that may take a chunk's shards, in rank, by their place in `drives`.
    pub(crate) fn ranked(&self, map: &ClusterMap, key: &ChunkKey) -> Vec<usize> {
        rank(map, key.tenant, key.hash, map.drives.len())
            .into_iter()
            .filter_map(|id| self.drive(id))
            .collect()
    }

    /// Where in `drives` a drive is.
    pub(crate) fn drive(&self, id: DriveId) -> Option<usize> {
        self.drives.iter().position(|drive| drive.id == id)
    }

    /// Whether it is a drive of this node that failed lately.
    pub(crate) fn is_weak(&self, id: DriveId) -> bool {
        self.drive(id).is_some_and(|at| self.drives[at].is_suspect())
    }

    /// Every shard of the chunk on this node, in the order in which to read them.
    pub(crate) fn sources(&self, key: &ChunkKey) -> Vec<(usize, crate::drive::Held)> {
        let mut all = BTreeMap::new();
        let mut sources = Vec::new();
        for (at, drive) in self.drives.iter().enumerate() {
            let distance = u32::from(drive.is_suspect());
            for held in drive.find(key) {
                let distance = distance + 2 * u32::from(held.is_rotten);
                sources.push(decide::Source { index: held.print.index(), at, distance });
                all.insert((held.print.index(), at), held);
            }
        }
        let order = decide::read_order(&sources).into_iter();
        order.filter_map(|s| Some((s.at, *all.get(&(s.index, s.at))?))).collect()
    }
}
