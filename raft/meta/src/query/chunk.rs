//! What is known of chunks: for writers, for readers, and for drives that look for what is left
//! over.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use node_base::{Generation, Profile, Sha256, ShareId, TenantId, Timestamp};

use crate::table::chunk::{Chunk, Chunks, Coded, Condemned, Holds, Reaped, ShareChunks, Spent};
use crate::table::cluster::{Maps, Nodes, Seat};
use crate::table::people::{DedupScope, Tenants};
use crate::table::upload::Writers;
use crate::table::{self};
use crate::tables::{Reader, TableError};

/// The tenant's chunk of this hash: where it is and how it is coded. For nodes; what a client may
/// be told of is [`visible`].
pub fn present(
    tables: &dyn Reader,
    tenant: TenantId,
    hash: Sha256,
) -> Result<Option<Chunk>, TableError> {
    table::get::<Chunks>(tables, &(tenant, hash))
}

/// The chunk, if the tenant's dedup scope lets an upload to this share be told of it.
pub fn visible(
    tables: &dyn Reader,
    tenant: TenantId,
    share: ShareId,
    hash: Sha256,
) -> Result<Option<Chunk>, TableError> {
    let settings = table::get::<Tenants>(tables, &(tenant,))?.map(|tenant| tenant.settings);
    let told = match settings.map(|settings| settings.dedup_scope) {
        Some(DedupScope::Tenant) => true,
        Some(DedupScope::Share) => table::has::<ShareChunks>(tables, &(tenant, share, hash))?,
        None => false,
    };
    if told { present(tables, tenant, hash) } else { Ok(None) }
}

/// What becomes of the bytes of one generation of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// They are what the chunk's record names: to be kept, and mended.
    Recorded,
    /// Their writer is open, and may still commit them: to be kept.
    Written,
    /// No record names them, and none ever will: to be deleted.
    Orphaned,
}

/// What the tables say of shards that lie on a drive.
pub fn standing(
    tables: &dyn Reader,
    tenant: TenantId,
    hash: Sha256,
    generation: Generation,
) -> Result<Standing, TableError> {
    let record = present(tables, tenant, hash)?;
    if record.is_some_and(|chunk| chunk.generation == generation) {
        return Ok(Standing::Recorded);
    }
    let open = table::has::<Writers>(tables, &(generation.writer(),))?;
    let spent = table::has::<Spent>(tables, &(generation,))?;
    Ok(if open && !spent { Standing::Written } else { Standing::Orphaned })
}

/// A chunk that nobody needs, or that is gone from the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Departing {
    /// The log index at which it was condemned or reaped.
    pub index: u64,
    pub tenant: TenantId,
    pub hash: Sha256,
    pub generation: Generation,
    /// Log time, where it was reaped.
    pub at: Option<Timestamp>,
}

/// Chunks condemned before this log index, the longest ago first, at most `limit`.
pub fn condemned(
    tables: &dyn Reader,
    before: u64,
    limit: usize,
) -> Result<Vec<Departing>, TableError> {
    let mut keys = Vec::new();
    table::scan::<Condemned>(tables, &(), &mut |key, ()| {
        if key.0 >= before || keys.len() >= limit {
            return ControlFlow::Break(());
        }
        keys.push(key);
        ControlFlow::Continue(())
    })?;
    let mut departing = Vec::new();
    for (index, tenant, hash) in keys {
        let chunk = present(tables, tenant, hash)?;
        let generation = chunk.map(|chunk| chunk.generation);
        departing.extend(generation.map(|generation| Departing {
            index,
            tenant,
            hash,
            generation,
            at: None,
        }));
    }
    Ok(departing)
}

/// Chunks reaped behind this log index and up to that one, in order, at most `limit`: their shards
/// are to be deleted.
pub fn reaped(
    tables: &dyn Reader,
    behind: u64,
    up_to: u64,
    limit: usize,
) -> Result<Vec<Departing>, TableError> {
    let mut departing = Vec::new();
    let from = (behind.saturating_add(1),);
    table::scan_from::<Reaped>(
        tables,
        &(),
        &from,
        &mut |(index, tenant, hash, generation), at| {
            if index > up_to || departing.len() >= limit {
                return ControlFlow::Break(());
            }
            departing.push(Departing { index, tenant, hash, generation, at: Some(at) });
            ControlFlow::Continue(())
        },
    )?;
    Ok(departing)
}

/// How chunks are to be coded, by how the cluster stands now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Coding {
    /// What the newest map gives new chunks.
    pub wanted: Profile,
    /// A node's drives are not counted on, and it may come back.
    pub is_short: bool,
}

impl Coding {
    /// Whether a chunk of this profile is to be coded anew. While a node is out for a time only
    /// what bears fewer losses than new chunks is: else all would be coded twice, when it goes and
    /// when it returns.
    pub fn is_wrong(self, profile: Profile) -> bool {
        profile != self.wanted && (self.wanted.parity > profile.parity || !self.is_short)
    }
}

/// How chunks are to be coded; nothing before there is a map.
pub fn coding(tables: &dyn Reader) -> Result<Option<Coding>, TableError> {
    let mut newest = None;
    table::scan_back::<Maps>(tables, &(), &mut |_, map| {
        newest = Some(map);
        ControlFlow::Break(())
    })?;
    let nodes = table::all::<Nodes>(tables, &())?;
    let is_short = nodes
        .iter()
        .any(|(_, node)| matches!(node.seat, Seat::MayVote | Seat::Learns) && node.is_out);
    Ok(newest.map(|map| Coding { wanted: map.profile(), is_short }))
}

/// How many chunks there are of each profile, in all tenants.
pub fn coded(tables: &dyn Reader) -> Result<BTreeMap<Profile, u64>, TableError> {
    let mut coded = BTreeMap::new();
    table::scan::<Coded>(tables, &(), &mut |(_, data, parity), count| {
        *coded.entry(Profile { data, parity }).or_default() += count;
        ControlFlow::Continue(())
    })?;
    Ok(coded)
}

/// How far collecting has come with what nobody needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Collecting {
    /// Chunks without a reference, and chunks that are gone from the tables and not yet from all
    /// drives; both counted up to [`COLLECTING_COUNTED`].
    pub condemned: u64,
    pub reaped: u64,
    /// Backups that hold reaping.
    pub holds: u64,
}

/// Whoever asks how collecting stands need not wait for a count of millions.
pub const COLLECTING_COUNTED: u64 = 100_000;

/// How collecting stands at this log time.
pub fn collecting(tables: &dyn Reader, now: Timestamp) -> Result<Collecting, TableError> {
    let holds = table::all::<Holds>(tables, &())?;
    let counted = COLLECTING_COUNTED as usize;
    Ok(Collecting {
        condemned: table::some::<Condemned>(tables, &(), counted)?.len() as u64,
        reaped: table::some::<Reaped>(tables, &(), counted)?.len() as u64,
        holds: holds.iter().filter(|(_, until)| *until > now).count() as u64,
    })
}

/// Chunks whose coding is wrong, in the order of their keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrongPage {
    pub chunks: Vec<(TenantId, Sha256, Chunk)>,
    /// Behind which key to go on; nothing when that was the last.
    pub next: Option<(TenantId, Sha256)>,
}

/// Looks at up to `rows` records behind `after` for chunks whose coding is wrong. Condemned ones
/// are about to go as they are.
pub fn wrongly_coded(
    tables: &dyn Reader,
    coding: Coding,
    after: Option<(TenantId, Sha256)>,
    rows: usize,
) -> Result<WrongPage, TableError> {
    let mut page = WrongPage { chunks: Vec::new(), next: None };
    let mut looked = 0;
    let mut show = |key: (TenantId, Sha256), chunk: Chunk| {
        if Some(key) == after {
            return ControlFlow::Continue(());
        }
        looked += 1;
        if coding.is_wrong(chunk.profile) && chunk.condemned_at.is_none() {
            page.chunks.push((key.0, key.1, chunk));
        }
        if looked < rows {
            return ControlFlow::Continue(());
        }
        page.next = Some(key);
        ControlFlow::Break(())
    };
    match after {
        Some(after) => table::scan_from::<Chunks>(tables, &(), &after, &mut show)?,
        None => table::scan::<Chunks>(tables, &(), &mut show)?,
    }
    Ok(page)
}
