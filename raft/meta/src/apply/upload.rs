//! (being written)

use super::{Step, Stop};
use crate::command::UploadCommand;
use crate::outcome::{Answer, Refusal};

pub(crate) fn run(_step: &mut Step<'_>, _command: &UploadCommand) -> Result<Answer, Stop> {
    Err(Refusal::WrongCaller.into())
}
