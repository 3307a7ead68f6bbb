//! Holding: what a backup may still have to read is not reaped.
//!
//! Whoever copies the tables holds first, then takes a moment of them, then reads the chunks that
//! it names. A chunk that this moment needs was not condemned before, so it is enough to leave
//! alone what is condemned afterwards. A hold ends by log time when nobody goes on with it.

use std::ops::ControlFlow;

use node_base::{Duration, Timestamp};

use super::count;
use crate::apply::{Step, Stop};
use crate::outcome::{Answer, Invalid, Refusal};
use crate::table::chunk::Holds;
use crate::table::{self};
use crate::tables::{Reader, TableError};

/// Holds at a time, and how long one lasts at most without being renewed.
const HOLDS_MAX: usize = 16;
const SECONDS_MAX: u32 = 24 * 3_600;

pub(super) fn hold(step: &mut Step<'_>, hold: Option<u64>, seconds: u32) -> Result<Answer, Stop> {
    if seconds > SECONDS_MAX {
        let range = Invalid::OutOfRange { min: 0, max: u64::from(SECONDS_MAX) };
        return Err(Refusal::invalid("seconds", range).into());
    }
    let number = hold.unwrap_or(step.index);
    let known = table::get::<Holds>(step.reader(), &(number,))?;
    let is_held = known.is_some_and(|until| until > step.now);
    if seconds == 0 {
        table::delete::<Holds>(step.tables, &(number,))?;
        return Ok(Answer::Lease(number));
    }
    if hold.is_some() && !is_held {
        // What it held may be gone.
        return Err(Refusal::WriterClosed.into());
    }
    if hold.is_none() && table::all::<Holds>(step.reader(), &())?.len() >= HOLDS_MAX {
        let max = HOLDS_MAX as u64;
        return Err(Refusal::invalid("hold", Invalid::TooMany { max }).into());
    }
    let until = step.now.after(Duration::from_secs(u64::from(seconds)));
    table::put::<Holds>(step.tables, &(number,), &until)?;
    Ok(Answer::Lease(number))
}

/// The log index from which on nothing that is condemned may be reaped.
pub(crate) fn held_from(tables: &dyn Reader, now: Timestamp) -> Result<Option<u64>, TableError> {
    let mut first = None;
    table::scan::<Holds>(tables, &(), &mut |(number,), until| {
        if until <= now {
            return ControlFlow::Continue(());
        }
        first = Some(number);
        ControlFlow::Break(())
    })?;
    Ok(first)
}

/// Forgets holds that have ended.
pub(super) fn expire(step: &mut Step<'_>) -> Result<u32, TableError> {
    let holds = table::all::<Holds>(step.reader(), &())?;
    let ended: Vec<(u64,)> =
        holds.into_iter().filter(|(_, until)| *until <= step.now).map(|(key, _)| key).collect();
    for key in &ended {
        table::delete::<Holds>(step.tables, key)?;
    }
    Ok(count(ended.len()))
}
