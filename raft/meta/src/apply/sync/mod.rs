//! Sync clients: their devices, how far each has come, and what they changed while away.

mod apply;
mod conflict;
mod device;
#[cfg(test)]
mod tests;

pub(crate) use device::{forget_share, forget_user};

use super::{Step, Stop};
use crate::command::SyncCommand;
use crate::outcome::Answer;

pub(crate) fn run(step: &mut Step<'_>, command: &SyncCommand) -> Result<Answer, Stop> {
    match command {
        SyncCommand::RegisterDevice { device, name, platform, client_version } => {
            let texts = device::Texts { name, platform, client_version };
            device::register(step, device, texts)
        }
        SyncCommand::RemoveDevice { device } => device::remove(step, device),
        SyncCommand::SetPreference { device, share, preference } => {
            device::prefer(step, device, *share, preference)
        }
        SyncCommand::Acknowledge { device, share, incarnation, position } => {
            device::acknowledge(step, device, *share, (*incarnation, *position))
        }
        SyncCommand::Apply { device, share, strategy, changes } => {
            apply::run(step, device, *share, *strategy, changes)
        }
        SyncCommand::ResolveConflict { conflict, strategy } => {
            conflict::resolve(step, *conflict, *strategy)
        }
    }
}
