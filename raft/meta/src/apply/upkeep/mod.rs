//! Upkeep: what nodes do by themselves, so that nothing grows for ever.
//!
//! Each command does a bounded amount and may come twice or never; whichever node proposes it, the
//! tables alone decide what is due. Work in progress is in the tables: whoever goes on finds where.

mod checksum;
mod expire;
pub(crate) mod hold;
mod reap;
mod recode;
mod release;
mod shares;
#[cfg(test)]
mod tests;
mod users;

use super::{Step, Stop, cluster, outcomes};
use crate::caller::Caller;
use crate::command::Upkeep;
use crate::outcome::{Answer, Refusal};

pub(crate) fn run(step: &mut Step<'_>, command: &Upkeep) -> Result<Answer, Stop> {
    if !matches!(step.caller, Caller::Node(_)) {
        return Err(Refusal::WrongCaller.into());
    }
    let worked = match command {
        Upkeep::Found { .. } | Upkeep::StartNode { .. } | Upkeep::RotateLease { .. } => {
            return cluster::run(step, command);
        }
        Upkeep::Recode { tenant, chunks } => return recode::recode(step, *tenant, chunks),
        Upkeep::Hold { hold, seconds } => return hold::hold(step, *hold, *seconds),
        Upkeep::Expire { limit } => expire::run(step, *limit)?,
        Upkeep::Release { limit } => release::run(step, *limit)?,
        Upkeep::Reap { before, limit } => reap::reap(step, *before, *limit)?,
        Upkeep::ForgetReaped { up_to } => reap::forget(step, *up_to)?,
        Upkeep::SetChecksum { tenant, file, number, version, sha256 } => {
            checksum::set(step, (*tenant, *file, *number), *version, *sha256)?
        }
        Upkeep::KeepAnswer { tenant, user, key, answer } => {
            return Ok(outcomes::keep(step, &(*tenant, *user, key.clone()), answer)?);
        }
    };
    Ok(Answer::Worked(worked))
}

/// The rows that were touched, as an answer counts them.
fn count(rows: usize) -> u32 {
    u32::try_from(rows).unwrap_or(u32::MAX)
}
