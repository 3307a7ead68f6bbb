//! Steps on the server's tree, many in one request: folders made, things moved and deleted.

use std::collections::BTreeMap;

use api_client::CallError;
use api_sync_core::{Base, Remote, Step};
use api_types::v1::error::ErrorCode;
use api_types::v1::sync::{Applied, Apply, ApplyChange, ApplyResult, ApplyStatus, ApplyType};
use api_types::v1::{Item, ItemType};
use node_base::limits::BATCH_ITEMS_MAX;

use crate::engine::TransferError;
use crate::execute::Executor;
use crate::failure::{self, Exit, Failure};
use crate::state::Edit;
use crate::sync;

/// Does the steps, in order.
pub(crate) async fn perform(executor: &mut Executor<'_>, steps: &[Step]) -> Result<(), Failure> {
    for batch in steps.chunks(BATCH_ITEMS_MAX) {
        let mut made: BTreeMap<&str, String> = BTreeMap::new();
        let mut changes = Vec::with_capacity(batch.len());
        for (at, step) in batch.iter().enumerate() {
            let Some(change) = change(executor, &made, at, step) else {
                let path = step.path().to_owned();
                executor.fail(&path, TransferError::NoFolder(path.clone()));
                continue;
            };
            changes.push(change);
            if let Step::MakeRemoteFolder { path } = step {
                made.insert(path, at.to_string());
            }
        }
        if changes.is_empty() {
            continue;
        }
        let apply = Apply {
            device_id: executor.pair.device_id(),
            share_id: executor.pair.share_id.clone(),
            conflict_resolution: None,
            changes,
        };
        let applied = told(executor, &apply).await?;
        for result in applied.results {
            let at: Option<usize> = result.client_ref.parse().ok();
            if let Some(step) = at.and_then(|at| batch.get(at)) {
                take(executor, step, result);
            }
        }
        executor.engine.bar.tick();
    }
    Ok(())
}

/// Tells the server, which must know the device first.
async fn told(executor: &Executor<'_>, apply: &Apply) -> Result<Applied, CallError> {
    let client = &executor.engine.client;
    match client.apply(apply).await {
        Err(error) if error.status() == Some(404) => {
            sync::register(executor.engine, executor.pair).await?;
            client.apply(apply).await
        }
        other => other,
    }
}

/// The step as the server is told; nothing where there is no folder for it.
fn change(
    executor: &Executor<'_>,
    made: &BTreeMap<&str, String>,
    at: usize,
    step: &Step,
) -> Option<ApplyChange> {
    let (folder, name) = match step.path().rsplit_once('/') {
        Some((folder, name)) => (Some(folder), name),
        None => (None, step.path()),
    };
    let parent_ref = folder.and_then(|folder| made.get(folder)).cloned();
    let parent_id = if parent_ref.is_none() { executor.above(step.path()) } else { None };
    let needs_parent = !matches!(step, Step::DeleteRemote { .. });
    if needs_parent && parent_ref.is_none() && parent_id.is_none() {
        return None;
    }
    let mut change = ApplyChange {
        client_ref: at.to_string(),
        resource_type: ItemType::Folder,
        resource_id: None,
        change_type: ApplyType::Created,
        parent_id,
        parent_ref,
        name: Some(name.to_owned()),
        base_version_id: None,
        upload_session_id: None,
        client_modified_at: None,
        executable: None,
    };
    match step {
        Step::MoveRemote { from, to, id, is_folder } => {
            change.resource_type = kind(*is_folder);
            change.resource_id = Some(id.clone());
            let up = |path: &str| path.rsplit_once('/').map(|(folder, _)| folder.to_owned());
            if up(from) == up(to) {
                change.change_type = ApplyType::Renamed;
                (change.parent_id, change.parent_ref) = (None, None);
            } else {
                change.change_type = ApplyType::Moved;
            }
        }
        Step::DeleteRemote { id, is_folder, version_id, .. } => {
            change.resource_type = kind(*is_folder);
            change.resource_id = Some(id.clone());
            change.change_type = ApplyType::Deleted;
            change.base_version_id.clone_from(version_id);
            (change.parent_id, change.parent_ref, change.name) = (None, None, None);
        }
        _ => {}
    }
    Some(change)
}

fn kind(is_folder: bool) -> ItemType {
    if is_folder { ItemType::Folder } else { ItemType::File }
}

fn take(executor: &mut Executor<'_>, step: &Step, result: ApplyResult) {
    let gone = |code: ErrorCode| matches!(code, ErrorCode::NotFound | ErrorCode::Trashed);
    let code = result.error.as_ref().map(|error| error.code);
    match (result.status, step) {
        (ApplyStatus::Applied, _) => applied(executor, step, result.resource),
        // What was to be deleted is not there: that is as good.
        (ApplyStatus::Rejected, Step::DeleteRemote { path, .. }) if code.is_some_and(gone) => {
            executor.edits.push(Edit::Forget { path: path.clone() });
        }
        (ApplyStatus::Conflict, _) => {
            if let Some(conflict) = &result.conflict {
                executor.engine.note_conflict(conflict);
            }
            executor.fail(step.path(), TransferError::ChangedThere(step.path().to_owned()));
        }
        (ApplyStatus::Rejected, _) => {
            let path = step.path().to_owned();
            let overtaken = code.is_some_and(gone)
                || matches!(code, Some(ErrorCode::NameConflict | ErrorCode::VersionConflict));
            let error = if overtaken {
                TransferError::ChangedThere(path.clone())
            } else {
                let detail = result.error.map(|error| error.detail).unwrap_or_default();
                let exit = code.map_or(Exit::Failed, failure::exit_of_item);
                TransferError::Rejected { path: path.clone(), detail, exit }
            };
            executor.fail(&path, error);
        }
    }
}

fn applied(executor: &mut Executor<'_>, step: &Step, resource: Option<Item>) {
    match step {
        Step::MakeRemoteFolder { path } => {
            let Some(Item::Folder(folder)) = resource else { return };
            let id = folder.id.clone();
            let inode = executor.round.inode(path);
            let base = Base::Folder { id: id.clone(), inode };
            executor.edits.push(Edit::Base { path: path.clone(), base, chunks: None });
            executor.round.trees.remote.insert(path.clone(), Remote::Folder(id));
            executor.feed.note(Item::Folder(folder));
        }
        Step::MoveRemote { from, to, .. } => {
            executor.edits.push(Edit::Move { from: from.clone(), to: to.clone() });
            executor.round.remote_moved(from, to);
            if let Some(item) = resource {
                executor.feed.note(item);
            }
        }
        Step::DeleteRemote { path, .. } => {
            executor.edits.push(Edit::Forget { path: path.clone() });
        }
        _ => {}
    }
}
