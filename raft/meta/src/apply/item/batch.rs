//! Many small files in one command, each judged on its own, in folders that are made on the way.

use node_base::{Permission, limits};

use super::commit::{self, Committed, Prepared, landed, prepare};
use super::create;
use super::place::{holder, live, name as named, parent_of, require_free, taken, target};
use crate::access::Viewer;
use crate::apply::{Step, Stop, content};
use crate::chain::Chain;
use crate::command::{BatchFile, BatchTarget, FileDestination, Place};
use crate::outcome::{Answer, BatchResult, BatchStatus, Invalid, Refusal};
use crate::table::item::ItemId;
use crate::tables::TableError;

pub(super) fn files(
    step: &mut Step<'_>,
    place: Place,
    files: &[BatchFile],
) -> Result<Answer, Stop> {
    let max = limits::BATCH_ITEMS_MAX as u64;
    if files.len() as u64 > max {
        return Err(Refusal::invalid("items", Invalid::TooMany { max }).into());
    }
    let mut results = Vec::with_capacity(files.len());
    let mut superfluous = Vec::new();
    for file in files {
        let status = match step.attempt(|step| one(step, place, file))? {
            Ok((status, spare)) => {
                superfluous.extend(spare);
                status
            }
            Err(refusal) => BatchStatus::Rejected(refusal),
        };
        results.push(BatchResult { client_ref: file.client_ref.clone(), status });
    }
    Ok(Answer::CommittedBatch { results, superfluous })
}

fn one(
    step: &mut Step<'_>,
    place: Place,
    file: &BatchFile,
) -> Result<(BatchStatus, content::Superfluous), Stop> {
    let (tenant, _) = step.who()?;
    match &file.target {
        BatchTarget::Replace { file: id, base } => {
            let chain = live(step, ItemId::File(*id), Permission::Write)?;
            let (prepared, spare) = prepare(step, tenant, chain.share_id, &file.content)?;
            let destination = FileDestination::Replace { file: *id, base: *base };
            Ok((status(commit::commit(step, &destination, prepared)?), spare))
        }
        BatchTarget::Path { folder, path } => {
            let place = Place { parent: folder.or(place.parent), ..place };
            let (above, last) =
                path.rsplit_once('/').map_or((None, path.as_str()), |(a, l)| (Some(a), l));
            let folder = match above {
                Some(above) => folders(step, place, above)?,
                None => target(step, place)?,
            };
            let (prepared, spare) = prepare(step, tenant, place.share, &file.content)?;
            Ok((put(step, &folder, last, prepared)?, spare))
        }
    }
}

fn status(committed: Committed) -> BatchStatus {
    match committed {
        Committed::Landed(landed) if landed.created => BatchStatus::Created(landed.view),
        Committed::Landed(landed) => BatchStatus::Replaced(landed.view),
        Committed::Conflicted(conflict, row) => BatchStatus::Conflict(conflict, row),
    }
}

/// The folder at the end of a path of names, made as far as it is not there.
fn folders(step: &mut Step<'_>, place: Place, path: &str) -> Result<Chain, Stop> {
    let (tenant, _) = step.who()?;
    let mut at = root(step, place)?;
    for text in path.split('/') {
        let name = named(text, &at)?;
        let next = match holder(step.reader(), tenant, &at, &name)? {
            Some(folder @ ItemId::Folder(_)) => folder,
            Some(file) => {
                // Who may not put anything there is not told what is there.
                target(step, Place { share: place.share, parent: parent_of(&at) })?;
                return Err(taken(step, file)?.into());
            }
            None => {
                let above = target(step, Place { share: place.share, parent: parent_of(&at) })?;
                ItemId::Folder(create::make(step, &above, name)?)
            }
        };
        let chain = Chain::of(step.reader(), tenant, next)?;
        at = chain.ok_or(TableError::Invariant("a listed folder is not there"))?;
    }
    target(step, Place { share: place.share, parent: parent_of(&at) })
}

/// Where a path begins. Folders on the way need no permission of their own: what is put at its end
/// does.
fn root(step: &Step<'_>, place: Place) -> Result<Chain, Stop> {
    use crate::outcome::Noun;
    let (tenant, _) = step.who()?;
    match place.parent {
        None => {
            let chain = Chain::root(step.reader(), tenant, place.share)?;
            Ok(chain.ok_or(Refusal::NotFound(Noun::Share))?)
        }
        Some(folder) => {
            let chain = Chain::of(step.reader(), tenant, ItemId::Folder(folder))?;
            let chain = chain.filter(|chain| chain.share_id == place.share);
            Ok(chain.ok_or(Refusal::NotFound(Noun::Folder))?)
        }
    }
}

/// A new file. Where the name has a file with this very content, that is what was asked for: a
/// batch that is sent twice is answered alike.
fn put(
    step: &mut Step<'_>,
    folder: &Chain,
    text: &str,
    prepared: Prepared,
) -> Result<BatchStatus, Stop> {
    let (tenant, _) = step.who()?;
    let name = named(text, folder)?;
    let other = holder(step.reader(), tenant, folder, &name)?;
    if let Some(ItemId::File(file)) = other {
        let viewer = Viewer::of(step.reader(), step.now, step.user()?)?;
        let chain = Chain::of(step.reader(), tenant, ItemId::File(file))?;
        let chain = chain.ok_or(TableError::Invariant("a listed file is not there"))?;
        let mask = viewer.mask(step.reader(), &chain)?;
        if mask.contains(Permission::Read)
            && mask.contains(Permission::Write)
            && commit::holds_already(step, &chain, &prepared)?
        {
            commit::replace(step, &chain, prepared)?;
            return landed(step, file, false).map(|landed| BatchStatus::Replaced(landed.view));
        }
    }
    require_free(step, folder, &name, None)?;
    let file = commit::create(step, folder, name, prepared)?;
    landed(step, file, true).map(|landed| BatchStatus::Created(landed.view))
}
