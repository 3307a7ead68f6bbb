//! (being written)

use super::{Step, Stop};
use crate::command::ItemCommand;
use crate::outcome::{Answer, Refusal};

pub(crate) fn run(_step: &mut Step<'_>, _command: &ItemCommand) -> Result<Answer, Stop> {
    Err(Refusal::WrongCaller.into())
}
