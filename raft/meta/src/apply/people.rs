//! (being written)

use super::{Step, Stop};
use crate::command::People;
use crate::outcome::{Answer, Refusal};

pub(crate) fn run(_step: &mut Step<'_>, _command: &People) -> Result<Answer, Stop> {
    Err(Refusal::WrongCaller.into())
}

/// Whether the caller may speak at all: its status, and whether the command is for its kind.
pub(crate) fn admit(_step: &Step<'_>, _command: &crate::Command) -> Result<(), Stop> {
    Ok(())
}
