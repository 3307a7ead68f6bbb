//! (being written)

use super::{Step, Stop};
use crate::command::Upkeep;
use crate::outcome::{Answer, Refusal};

pub(crate) fn run(_step: &mut Step<'_>, _command: &Upkeep) -> Result<Answer, Stop> {
    Err(Refusal::WrongCaller.into())
}
