//! (being written)

use super::{Step, Stop};
use crate::command::PermissionCommand;
use crate::outcome::{Answer, Refusal};

pub(crate) fn run(_step: &mut Step<'_>, _command: &PermissionCommand) -> Result<Answer, Stop> {
    Err(Refusal::WrongCaller.into())
}
