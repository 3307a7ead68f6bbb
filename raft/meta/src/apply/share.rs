//! (being written)

use super::{Step, Stop};
use crate::command::ShareCommand;
use crate::outcome::{Answer, Refusal};

pub(crate) fn run(_step: &mut Step<'_>, _command: &ShareCommand) -> Result<Answer, Stop> {
    Err(Refusal::WrongCaller.into())
}
