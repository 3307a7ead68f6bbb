//! Looking through the data directories of a node that does not run.

use std::ops::ControlFlow;

use chunkstore::{ChunkKey, Store};
pub use chunkstore::{DriveCheck, StoreCheck};
use node_base::{NodeId, Sha256, TenantId};
use node_world::World;
use raft::{CheckError, Checked};
use raft_meta::query::audit::{self, Drift};
use raft_meta::restore::cluster_of;
use raft_meta::table::chunk::{Chunk, Chunks};
use raft_meta::table::cluster::Maps;
use raft_meta::table::people::Tenants;
use raft_meta::{Reader, TableError, table};

use crate::{Settings, StartError, open_store};

/// Chunks that are looked up together, and those that are named.
const TOGETHER: usize = 1_000;
const NAMED_MAX: usize = 10;

/// What was found in a node's data directories.
pub struct Found {
    pub node: NodeId,
    pub agreement: Checked,
    /// Counts that are not what they should be, with their tenants; deep alone.
    pub drifts: Option<Vec<(TenantId, Drift)>>,
    /// Nothing where the tables do not tell what cluster they are of.
    pub drives: Option<Result<StoreCheck, StartError>>,
    /// Nothing where other nodes may have what this one lacks.
    pub chunks: Option<ChunksFound>,
}

/// What the drives have of the chunks that the tables know.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChunksFound {
    pub known: u64,
    /// Of which too little is on the drives, and the first of their names.
    pub missing: u64,
    pub named: Vec<(TenantId, Sha256)>,
}

impl Found {
    /// Whether nothing is amiss.
    pub fn is_sound(&self) -> bool {
        let Checked { log, tables, .. } = &self.agreement;
        let drives = match &self.drives {
            Some(drives) => drives.as_ref().is_ok_and(StoreCheck::is_sound),
            None => self.is_behind(),
        };
        log.is_ok()
            && tables.as_ref().is_ok_and(|tables| tables.is_whole && tables.wrong_rows == 0)
            && self.agreement.gap().is_none()
            && self.drifts.as_ref().is_none_or(Vec::is_empty)
            && drives
            && self.chunks.as_ref().is_none_or(|chunks| chunks.missing == 0)
    }

    /// Whether the log has what the tables have not applied, as after a crash.
    pub fn is_behind(&self) -> bool {
        let (Ok(log), Ok(tables)) = (&self.agreement.log, &self.agreement.tables) else {
            return false;
        };
        log.last > tables.applied
    }
}

/// Looks through the data directories of `settings`; deep, every byte of them. `progress` is told
/// shards done, and how many there are.
///
/// # Errors
/// When they are no node's, or a node runs on them.
pub async fn check(
    world: &World,
    settings: &Settings,
    deep: bool,
    progress: impl FnMut(u64, u64),
) -> Result<Found, CheckError> {
    let home = settings.data_dirs.first().cloned().unwrap_or_default();
    let mut agreement = raft::check(world, home.join("raft"), &settings.raft).await?;
    let node = agreement.node;
    // What cannot be read is told of by the tables' own part.
    let drifts = if deep { agreement.read(recount).await.unwrap_or_default() } else { None };
    let cluster = agreement.read(cluster_of).await.unwrap_or_default();
    let (mut drives, mut chunks) = (None, None);
    if let Some(cluster) = cluster {
        match open_store(world, settings, node, cluster).await {
            Ok(store) => {
                drives = Some(Ok(store.check(deep, progress).await));
                chunks = look_up(&mut agreement, &store).await.unwrap_or_default();
            }
            Err(error) => drives = Some(Err(error)),
        }
    }
    Ok(Found { node, agreement, drifts, drives, chunks })
}

fn recount(tables: &dyn Reader) -> Result<Vec<(TenantId, Drift)>, TableError> {
    let mut drifts = Vec::new();
    for ((tenant,), _) in table::all::<Tenants>(tables, &())? {
        let of_tenant = audit::recount(tables, tenant)?.into_iter();
        drifts.extend(of_tenant.map(|drift| (tenant, drift)));
    }
    Ok(drifts)
}

/// Whether all maps in force lead to drives of one node alone.
fn is_alone(tables: &dyn Reader, node: NodeId) -> Result<bool, TableError> {
    let maps = table::all::<Maps>(tables, &())?;
    Ok(maps.iter().all(|(_, map)| map.drives.iter().all(|drive| drive.node == node)))
}

/// Looks for the chunks that the tables know, where this node alone has drives.
async fn look_up(
    agreement: &mut Checked,
    store: &Store,
) -> Result<Option<ChunksFound>, TableError> {
    let node = agreement.node;
    if agreement.read(move |tables| is_alone(tables, node)).await? != Some(true) {
        return Ok(None);
    }
    let (mut found, mut after) = (ChunksFound::default(), None);
    loop {
        let page = agreement.read(move |tables| some_chunks(tables, after)).await?;
        let keys = page.unwrap_or_default();
        let Some(last) = keys.last() else { return Ok(Some(found)) };
        after = Some((last.tenant, last.hash));
        found.known += keys.len() as u64;
        let there = store.has_enough(keys.clone()).await;
        for (key, _) in keys.iter().zip(there).filter(|(_, there)| !there) {
            found.missing += 1;
            if found.named.len() < NAMED_MAX {
                found.named.push((key.tenant, key.hash));
            }
        }
    }
}

/// The next chunks behind `after`.
fn some_chunks(
    tables: &dyn Reader,
    after: Option<(TenantId, Sha256)>,
) -> Result<Vec<ChunkKey>, TableError> {
    let mut keys = Vec::new();
    let mut show = |key: (TenantId, Sha256), chunk: Chunk| {
        if Some(key) != after {
            let (tenant, hash) = key;
            keys.push(ChunkKey { tenant, hash, generation: chunk.generation });
        }
        if keys.len() < TOGETHER { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    match after {
        Some(after) => table::scan_from::<Chunks>(tables, &(), &after, &mut show)?,
        None => table::scan::<Chunks>(tables, &(), &mut show)?,
    }
    Ok(keys)
}
