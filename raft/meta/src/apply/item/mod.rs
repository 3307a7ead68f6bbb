//! Folders and files: made, changed, moved, copied, deleted, restored and removed.

mod batch;
pub(crate) mod change;
pub(crate) mod commit;
mod copy;
pub(crate) mod create;
pub(crate) mod place;
mod purge;
pub(crate) mod relocate;
mod subtree;
mod sweep;
#[cfg(test)]
mod tests;
pub(crate) mod trash;
pub(crate) mod version;

use super::{Step, Stop};
use crate::access::Viewer;
use crate::chain::Chain;
use crate::command::ItemCommand;
use crate::outcome::{Answer, ItemView, Refusal};
use crate::query;
use crate::table::item::ItemId;
use crate::tables::TableError;

pub(crate) use change::Update;
pub(crate) use commit::{Committed, Prepared, commit};
pub(crate) use purge::{doom_root, expire_trash, release_purges};
pub(crate) use sweep::{Sweep, sweep};

pub(crate) fn run(step: &mut Step<'_>, command: &ItemCommand) -> Result<Answer, Stop> {
    match command {
        ItemCommand::CreateFolder { place, name } => {
            create::folder(step, *place, name).map(Answer::Item)
        }
        ItemCommand::CommitFile { file } => commit::file(step, file),
        ItemCommand::CommitFiles { place, files } => batch::files(step, *place, files),
        ItemCommand::Update { item, name, client_modified_at, executable, restore } => {
            let update = Update {
                name: name.as_deref(),
                client_modified_at: *client_modified_at,
                executable: *executable,
                restore: *restore,
            };
            change::update(step, *item, update).map(Answer::Item)
        }
        ItemCommand::Move { item, to, name } => {
            relocate::item(step, *item, *to, name.as_deref()).map(Answer::Item)
        }
        ItemCommand::Copy { item, to, name } => {
            copy::item(step, *item, *to, name.as_deref()).map(Answer::Item)
        }
        ItemCommand::Delete { item } => trash::delete(step, *item).map(|()| Answer::Done),
        ItemCommand::Restore { item } => trash::restore(step, *item).map(Answer::Item),
        ItemCommand::Purge { item } => purge::item(step, *item).map(|()| Answer::Done),
        ItemCommand::RestoreVersion { file, number } => {
            version::restore(step, *file, *number).map(Answer::Item)
        }
        ItemCommand::DeleteVersion { file, number } => {
            version::delete(step, *file, *number).map(|()| Answer::Done)
        }
    }
}

/// `If-Match`: the item at the bottom of the chain must have a revision the caller named.
fn require_revision(step: &Step<'_>, chain: &Chain) -> Result<(), Refusal> {
    chain.item().map_or(Ok(()), |item| crate::access::require_revision(step, item.revision))
}

/// The item as it is now, as the caller may see it.
pub(crate) fn view(step: &Step<'_>, id: ItemId) -> Result<ItemView, Stop> {
    let viewer = Viewer::of(step.reader(), step.now, step.user()?)?;
    let chain = Chain::of(step.reader(), viewer.tenant(), id)?;
    let chain = chain.ok_or(TableError::Invariant("an item that was changed is not there"))?;
    Ok(query::item::view(step.reader(), &viewer, &chain)?)
}
