//! (being written)

use super::Step;
use crate::caller::Proposal;
use crate::outcome::Outcome;
use crate::tables::TableError;

/// The outcome of the same request before, where the caller asked to have it remembered.
pub(crate) fn recall(_: &Step<'_>, _: &Proposal) -> Result<Option<Outcome>, TableError> {
    Ok(None)
}

/// Remembers an answer; refusals are not remembered.
pub(crate) fn remember(_: &mut Step<'_>, _: &Proposal, _: &Outcome) -> Result<(), TableError> {
    Ok(())
}
