//! What ends because log time has passed it.

use std::ops::ControlFlow;

use node_base::{TenantId, Timestamp, UploadId, limits};

use super::{count, hold};
use crate::apply::{Step, Stop, feed, item, upload};
use crate::table::audit::{Answers, Outcomes, OutcomesByAge};
use crate::table::identity::{Grants, GrantsByAge};
use crate::table::upload::{UploadState, Uploads, UploadsDue};
use crate::table::{self, Table};
use crate::tables::{Reader, TableError};

/// Expires at most `limit` of each kind. Answers how many were looked at, in all.
pub(super) fn run(step: &mut Step<'_>, limit: u32) -> Result<u32, Stop> {
    let mut worked = sessions(step, limit)?;
    worked += outcomes(step, limit)?;
    worked += grants(step, limit)?;
    worked += hold::expire(step)?;
    worked += item::expire_trash(step, limit)?;
    worked += item::version::prune_expired(step, limit)?;
    worked += feed::trim(step, limit)?;
    Ok(worked)
}

/// The keys of an index by age that are due by `now`, the oldest first, at most `limit`.
fn due<T: Table<Row = ()>>(
    tables: &dyn Reader,
    now: Timestamp,
    limit: u32,
    time: impl Fn(&T::Key) -> Timestamp,
) -> Result<Vec<T::Key>, TableError> {
    let mut keys = Vec::new();
    table::scan::<T>(tables, &(), &mut |key, ()| {
        if time(&key) > now || count(keys.len()) >= limit {
            return ControlFlow::Break(());
        }
        keys.push(key);
        ControlFlow::Continue(())
    })?;
    Ok(keys)
}

/// Idle sessions give up; ended ones are forgotten after the same time again, in which a client may
/// still ask what came of them.
fn sessions(step: &mut Step<'_>, limit: u32) -> Result<u32, TableError> {
    let keys = due::<UploadsDue>(step.reader(), step.now, limit, |key| key.0)?;
    for (at, tenant, id) in &keys {
        table::delete::<UploadsDue>(step.tables, &(*at, *tenant, *id))?;
        session(step, *tenant, *id)?;
    }
    Ok(count(keys.len()))
}

fn session(step: &mut Step<'_>, tenant: TenantId, id: UploadId) -> Result<(), TableError> {
    let Some(row) = table::get::<Uploads>(step.reader(), &(tenant, id))? else { return Ok(()) };
    let next = if row.expires_at() > step.now {
        row.expires_at()
    } else if row.state == UploadState::Open {
        upload::give_up(step, (tenant, id), row, UploadState::Expired)?;
        step.now.after(limits::UPLOAD_IDLE_MAX)
    } else {
        return table::delete::<Uploads>(step.tables, &(tenant, id));
    };
    table::put::<UploadsDue>(step.tables, &(next, tenant, id), &())
}

/// An outcome under a key that was used again is younger than its first row here.
fn outcomes(step: &mut Step<'_>, limit: u32) -> Result<u32, TableError> {
    let keys = due::<OutcomesByAge>(step.reader(), step.now, limit, |key| key.0)?;
    for key in &keys {
        table::delete::<OutcomesByAge>(step.tables, key)?;
        let outcome = (key.1, key.2, key.3.clone());
        let row = table::get::<Outcomes>(step.reader(), &outcome)?;
        if row.is_some_and(|row| row.at.after(limits::OUTCOME_KEPT) <= step.now) {
            table::delete::<Outcomes>(step.tables, &outcome)?;
            table::delete::<Answers>(step.tables, &outcome)?;
        }
    }
    Ok(count(keys.len()))
}

fn grants(step: &mut Step<'_>, limit: u32) -> Result<u32, TableError> {
    let keys = due::<GrantsByAge>(step.reader(), step.now, limit, |key| key.0)?;
    for key in &keys {
        table::delete::<GrantsByAge>(step.tables, key)?;
        let row = table::get::<Grants>(step.reader(), &(key.1,))?;
        if row.is_some_and(|row| row.expires_at <= step.now) {
            table::delete::<Grants>(step.tables, &(key.1,))?;
        }
    }
    Ok(count(keys.len()))
}
