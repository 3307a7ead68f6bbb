//! Removing from the tables what nobody needs; drives follow when they have seen it.

use std::ops::ControlFlow;

use node_base::plant::{self, Bug};
use node_base::{Generation, Sha256, TenantId};

use super::{count, hold};
use crate::apply::{Step, Stop, content, quota};
use crate::caller::Caller;
use crate::outcome::Refusal;
use crate::table::chunk::{Chunk, Chunks, Condemned, Reaped, Spent};
use crate::table::cluster::{Node, Nodes};
use crate::table::upload::Writers;
use crate::table::{self};
use crate::tables::TableError;

/// How many rows one command forgets.
const FORGOTTEN_MAX: usize = 10_000;

/// Removes chunks that were condemned before that log index and that nobody came back for.
pub(super) fn reap(step: &mut Step<'_>, before: u64, limit: u32) -> Result<u32, TableError> {
    let held = hold::held_from(step.reader(), step.now)?;
    let before = held.map_or(before, |held| before.min(held));
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
    content::count_coded(step, tenant, chunk.profile, -1)?;
    give_up(step, tenant, hash, chunk.generation)
}

/// Has drives delete the shards of this generation, which no commit may name any more.
pub(super) fn give_up(
    step: &mut Step<'_>,
    tenant: TenantId,
    hash: Sha256,
    generation: Generation,
) -> Result<(), TableError> {
    let key = (step.index, tenant, hash, generation);
    table::put::<Reaped>(step.tables, &key, &step.now)?;
    if table::has::<Writers>(step.reader(), &(generation.writer(),))? {
        table::put::<Spent>(step.tables, &(generation,), &())?;
    }
    Ok(())
}

/// Notes up to where the speaker's drives have deleted what was reaped, and forgets what no drive
/// has any more. A node that is out is not waited for: what it brings back is searched for orphans.
pub(super) fn forget(step: &mut Step<'_>, up_to: u64) -> Result<u32, Stop> {
    let mut nodes = table::all::<Nodes>(step.reader(), &())?;
    if !nodes.is_empty() {
        let said = |(_, node): &&mut (_, Node)| *step.caller == Caller::Node(node.id);
        let (key, node) = nodes.iter_mut().find(said).ok_or(Refusal::WrongCaller)?;
        node.deleted_up_to = node.deleted_up_to.max(up_to);
        table::put::<Nodes>(step.tables, key, node)?;
    }
    let is_in = nodes.iter().filter(|(_, node)| node.is_in());
    let up_to = is_in.map(|(_, node)| node.deleted_up_to).min().unwrap_or(up_to);
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
