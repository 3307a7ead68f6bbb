//! Removing from the tables what nobody needs; drives follow when they have seen it.

use std::ops::ControlFlow;

use node_base::plant::{self, Bug};
use node_base::{Sha256, TenantId};

use super::count;
use crate::apply::{Step, quota};
use crate::table::chunk::{Chunk, Chunks, Condemned, Reaped, Spent};
use crate::table::upload::Writers;
use crate::table::{self};
use crate::tables::TableError;

/// How many rows one command forgets.
const FORGOTTEN_MAX: usize = 10_000;

/// Removes chunks that were condemned before that log index and that nobody came back for.
pub(super) fn reap(step: &mut Step<'_>, before: u64, limit: u32) -> Result<u32, TableError> {
    let mut keys = Vec::new();
    table::scan::<Condemned>(step.reader(), &(), &mut |key, ()| {
        if key.0 >= before || count(keys.len()) >= limit {
            return ControlFlow::Break(());
        }
        keys.push(key);
        ControlFlow::Continue(())
    })?;
    for (at, tenant, hash) in &keys {
        table::delete::<Condemned>(step.tables, &(*at, *tenant, *hash))?;
        let row = table::get::<Chunks>(step.reader(), &(*tenant, *hash))?;
        if let Some(chunk) = row
            && (chunk.references == 0 || plant::on(Bug::CollectPinned))
            && chunk.condemned_at == Some(*at)
        {
            remove(step, *tenant, *hash, &chunk)?;
        }
    }
    Ok(count(keys.len()))
}

fn remove(
    step: &mut Step<'_>,
    tenant: TenantId,
    hash: Sha256,
    chunk: &Chunk,
) -> Result<(), TableError> {
    table::delete::<Chunks>(step.tables, &(tenant, hash))?;
    quota::count_stored(step, tenant, -i64::from(chunk.stored_size))?;
    let key = (step.index, tenant, hash, chunk.generation);
    table::put::<Reaped>(step.tables, &key, &step.now)?;
    if table::has::<Writers>(step.reader(), &(chunk.generation.writer(),))? {
        table::put::<Spent>(step.tables, &(chunk.generation,), &())?;
    }
    Ok(())
}

/// Forgets what was reaped up to this log index, for no drive has it any more.
pub(super) fn forget(step: &mut Step<'_>, up_to: u64) -> Result<u32, TableError> {
    let mut keys = Vec::new();
    table::scan::<Reaped>(step.reader(), &(), &mut |key, _| {
        if key.0 > up_to || keys.len() >= FORGOTTEN_MAX {
            return ControlFlow::Break(());
        }
        keys.push(key);
        ControlFlow::Continue(())
    })?;
    for key in &keys {
        table::delete::<Reaped>(step.tables, key)?;
    }
    Ok(count(keys.len()))
}
