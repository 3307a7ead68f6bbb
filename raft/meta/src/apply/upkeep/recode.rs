//! Coding chunks anew: a record names another generation, with another profile.
//!
//! A chunk keeps the profile that the cluster had when it was written, until a node reads it and
//! writes it again. The copy is a generation like any other: written under the node's lease, taken
//! up here once, and only in place of the very generation it was made from. What it replaces goes
//! the way of a reaped chunk, so that whoever is reading it can go on for a day.

use node_base::TenantId;

use super::reap;
use crate::apply::{Step, Stop, content, quota};
use crate::command::Recoded;
use crate::outcome::{Answer, Refusal};
use crate::table::chunk::{Chunks, Spent};
use crate::table::upload::{Writer, Writers};
use crate::table::{self};
use crate::tables::TableError;

/// Chunks of one command.
const TOGETHER_MAX: usize = 1_000;

/// Answers the copies that are not needed: of chunks that are gone, condemned, or coded anew by
/// somebody else.
pub(super) fn recode(
    step: &mut Step<'_>,
    tenant: TenantId,
    chunks: &[Recoded],
) -> Result<Answer, Stop> {
    let mut superfluous = Vec::new();
    for chunk in chunks.iter().take(TOGETHER_MAX) {
        let generation = chunk.written.generation;
        let writer = table::get::<Writers>(step.reader(), &(generation.writer(),))?;
        if !matches!(writer, Some(Writer::Lease { .. })) {
            return Err(Refusal::WriterClosed.into());
        }
        if !take_up(step, tenant, chunk)? {
            table::put::<Spent>(step.tables, &(generation,), &())?;
            superfluous.push((chunk.hash, generation));
        }
    }
    Ok(Answer::Received { superfluous })
}

/// Whether the record names the new copy now.
fn take_up(step: &mut Step<'_>, tenant: TenantId, chunk: &Recoded) -> Result<bool, TableError> {
    let (key, written) = ((tenant, chunk.hash), chunk.written);
    let Some(mut row) = table::get::<Chunks>(step.reader(), &key)? else { return Ok(false) };
    if row.generation == written.generation {
        // The same command, a second time.
        return Ok(true);
    }
    if row.generation != chunk.from
        || row.condemned_at.is_some()
        || row.profile == written.profile
        || table::has::<Spent>(step.reader(), &(written.generation,))?
    {
        return Ok(false);
    }
    let more = i64::from(written.stored_size) - i64::from(row.stored_size);
    quota::count_stored(step, tenant, more)?;
    content::count_coded(step, tenant, row.profile, -1)?;
    content::count_coded(step, tenant, written.profile, 1)?;
    reap::give_up(step, tenant, chunk.hash, row.generation)?;
    row.generation = written.generation;
    row.stored_size = written.stored_size;
    row.profile = written.profile;
    table::put::<Chunks>(step.tables, &key, &row)?;
    Ok(true)
}
