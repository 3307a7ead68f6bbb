//! (being written)

use super::{Step, Stop};
use crate::command::SyncCommand;
use crate::outcome::{Answer, Refusal};

pub(crate) fn run(_step: &mut Step<'_>, _command: &SyncCommand) -> Result<Answer, Stop> {
    Err(Refusal::WrongCaller.into())
}
