//! What is known of chunks: for writers, for readers, and for drives that look for what is left
//! over.

use std::ops::ControlFlow;

use node_base::{Generation, Sha256, ShareId, TenantId, Timestamp};

use crate::table::chunk::{Chunk, Chunks, Condemned, Reaped, ShareChunks, Spent};
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
