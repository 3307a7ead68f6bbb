//! Whether there is anything to be done, so that an idle cluster agrees on nothing.

use std::ops::ControlFlow;

use node_base::{FileId, Generation, TenantId, Timestamp};

use crate::apply::upkeep::hold;
use crate::table::audit::OutcomesByAge;
use crate::table::chunk::{Condemned, Holds, Reaped, Spent};
use crate::table::identity::GrantsByAge;
use crate::table::item::{Purges, Unverified, Version, Versions};
use crate::table::people::LeftUsers;
use crate::table::share::PurgedShares;
use crate::table::upload::{Dropped, UploadsDue, Writers};
use crate::table::{self, Table};
use crate::tables::{Reader, TableError};

/// What upkeep would find to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pending {
    /// A session, an outcome or a grant has expired by this log time. What is kept for days (trash,
    /// versions, changes) is not looked for: that round is made now and then, whatever this says.
    pub expire: bool,
    /// Something that nobody holds waits to be taken apart.
    pub release: bool,
    /// The log index at which the chunk that waits longest was condemned, unless it is held.
    pub condemned: Option<u64>,
    /// The log index of the oldest reaping that is remembered.
    pub reaped: Option<u64>,
}

/// What waits for upkeep at this log time.
pub fn work_pending(tables: &dyn Reader, now: Timestamp) -> Result<Pending, TableError> {
    let expire = [
        first_key::<UploadsDue>(tables)?.map(|key| key.0),
        first_key::<OutcomesByAge>(tables)?.map(|key| key.0),
        first_key::<GrantsByAge>(tables)?.map(|key| key.0),
    ];
    let holds = table::all::<Holds>(tables, &())?;
    let held = hold::held_from(tables, now)?.unwrap_or(u64::MAX);
    Ok(Pending {
        expire: expire.into_iter().flatten().any(|at| at <= now)
            || holds.iter().any(|(_, until)| *until <= now),
        release: first_key::<Dropped>(tables)?.is_some()
            || first_key::<Purges>(tables)?.is_some()
            || first_key::<PurgedShares>(tables)?.is_some()
            || first_key::<LeftUsers>(tables)?.is_some()
            || is_spent_pending(tables)?,
        condemned: first_key::<Condemned>(tables)?
            .map(|key| key.0)
            .filter(|condemned| *condemned < held),
        reaped: first_key::<Reaped>(tables)?.map(|key| key.0),
    })
}

/// A version whose checksum is still to be computed or compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnverifiedVersion {
    pub tenant: TenantId,
    pub file: FileId,
    pub number: u32,
    /// Nothing when it is gone.
    pub version: Option<Version>,
}

/// At most `limit` versions to be looked into, behind the one named.
pub fn unverified(
    tables: &dyn Reader,
    after: Option<(TenantId, FileId, u32)>,
    limit: usize,
) -> Result<Vec<UnverifiedVersion>, TableError> {
    let mut keys = Vec::new();
    let mut show = |key, ()| {
        if Some(key) != after {
            keys.push(key);
        }
        if keys.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    match after {
        Some(after) => table::scan_from::<Unverified>(tables, &(), &after, &mut show)?,
        None => table::scan::<Unverified>(tables, &(), &mut show)?,
    }
    let mut found = Vec::with_capacity(keys.len());
    for key in keys {
        let (tenant, file, number) = key;
        let version = table::get::<Versions>(tables, &key)?;
        found.push(UnverifiedVersion { tenant, file, number, version });
    }
    Ok(found)
}

fn first_key<T: Table>(tables: &dyn Reader) -> Result<Option<T::Key>, TableError> {
    let mut found = None;
    table::scan::<T>(tables, &(), &mut |key, _| {
        found = Some(key);
        ControlFlow::Break(())
    })?;
    Ok(found)
}

/// Whether a spent generation is remembered whose writer is closed.
fn is_spent_pending(tables: &dyn Reader) -> Result<bool, TableError> {
    let mut from = Some(Generation(0));
    while let Some(start) = from {
        let mut next = None;
        table::scan_from::<Spent>(tables, &(), &(start,), &mut |(generation,), ()| {
            next = Some(generation);
            ControlFlow::Break(())
        })?;
        let Some(generation) = next else { return Ok(false) };
        if !table::has::<Writers>(tables, &(generation.writer(),))? {
            return Ok(true);
        }
        from = Generation::new(generation.writer() + 1, 0);
    }
    Ok(false)
}
