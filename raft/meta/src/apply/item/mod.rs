//! Folders and files: made, changed, moved, copied, deleted, restored and removed.

pub(crate) mod commit;
mod place;
pub(crate) mod version;

use super::{Step, Stop};
use crate::chain::Chain;
use crate::command::ItemCommand;
use crate::outcome::{Answer, Refusal};

pub(crate) use commit::{Committed, Landed, Prepared, commit};

pub(crate) fn run(step: &mut Step<'_>, command: &ItemCommand) -> Result<Answer, Stop> {
    match command {
        ItemCommand::CommitFile { file } => commit::file(step, file),
        _ => Err(Refusal::WrongCaller.into()),
    }
}

/// `If-Match`: the item at the bottom of the chain must have a revision the caller named.
fn require_revision(step: &Step<'_>, chain: &Chain) -> Result<(), Refusal> {
    chain.item().map_or(Ok(()), |item| crate::access::require_revision(step, item.revision))
}
