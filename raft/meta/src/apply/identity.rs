//! (being written)

use super::{Step, Stop};
use crate::command::IdentityCommand;
use crate::outcome::{Answer, Refusal};

pub(crate) fn run(_step: &mut Step<'_>, _command: &IdentityCommand) -> Result<Answer, Stop> {
    Err(Refusal::WrongCaller.into())
}
