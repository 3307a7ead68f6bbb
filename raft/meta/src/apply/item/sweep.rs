//! Upkeep that goes round all shares, some of them at a time.

use std::ops::ControlFlow;

use node_base::{ShareId, TenantId};

use crate::apply::{Step, Stop};
use crate::table::item::Sweeps;
use crate::table::share::Shares;
use crate::table::{self};
use crate::tables::{Reader, TableError};

/// What goes round. The numbers are in the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sweep {
    Trash = 1,
    Versions = 2,
    Feed = 3,
}

/// Shares that one step looks at.
const SHARES_MAX: usize = 256;

/// Does some work in each of the next shares, at most `limit` rows in all; answers how many.
///
/// Where a share uses the limit up, the next step goes on with it.
pub(crate) fn sweep(
    step: &mut Step<'_>,
    kind: Sweep,
    limit: u32,
    mut work: impl FnMut(&mut Step<'_>, (TenantId, ShareId), u32) -> Result<u32, Stop>,
) -> Result<u32, Stop> {
    let last = table::get::<Sweeps>(step.reader(), &(kind as u8,))?;
    let mut done = last;
    let mut worked = 0;
    for share in next(step.reader(), last)? {
        worked += work(step, share, limit.saturating_sub(worked))?;
        if worked >= limit {
            break;
        }
        done = Some(share);
    }
    if let Some(done) = done.filter(|_| done != last) {
        table::put::<Sweeps>(step.tables, &(kind as u8,), &done)?;
    }
    Ok(worked)
}

/// The shares behind the last one, and from the first again.
fn next(
    tables: &dyn Reader,
    last: Option<(TenantId, ShareId)>,
) -> Result<Vec<(TenantId, ShareId)>, TableError> {
    let first = (TenantId::from(0), ShareId::from(0));
    let mut shares: Vec<(TenantId, ShareId)> = Vec::new();
    for from in [last.unwrap_or(first), first] {
        table::scan_from::<Shares>(tables, &(), &from, &mut |share, _| {
            if Some(share) != last && !shares.contains(&share) {
                shares.push(share);
            }
            if shares.len() < SHARES_MAX {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        })?;
        if shares.len() >= SHARES_MAX {
            break;
        }
    }
    shares.extend(last.filter(|_| shares.len() < SHARES_MAX));
    Ok(shares)
}
