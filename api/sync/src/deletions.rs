//! One more look before something is deleted on the server.
//!
//! A plan is made before its first step is done, and uploads may take hours. So deletions are
//! judged again just before they are sent: what colleagues did meanwhile is asked for, and the
//! place here is looked at. What is not as it was planned is left to the next round, which plans
//! with what is so then.

use std::collections::BTreeMap;

use api_sync_core::{Local, Remote, Step};

use crate::disk;
use crate::engine::TransferError;
use crate::execute::Executor;

/// Those of the deletions that would be planned now, too.
pub(crate) async fn confirmed(executor: &mut Executor<'_>, steps: &[Step]) -> Vec<Step> {
    let now = match executor.feed.catch_up(&executor.engine.client).await {
        Ok(()) => Ok(executor.feed.tree()),
        Err(error) => Err(error),
    };
    let mut kept = Vec::with_capacity(steps.len());
    for step in steps {
        let Step::DeleteRemote { path, id, .. } = step else { continue };
        let is_as_planned = match &now {
            Ok(now) => stands(now, &executor.round.trees.remote, path, id),
            // The next round meets the same, and says so.
            Err(_) => false,
        };
        if !is_as_planned {
            executor.fail(path, TransferError::ChangedThere(path.clone()));
        } else if came_back(executor, path) {
            executor.fail(path, TransferError::ChangedHere(path.clone()));
        } else {
            kept.push(step.clone());
        }
    }
    kept
}

/// Whether the thing is where it was, and has in it what it had and nothing else. What was left
/// out of the plan counts as something else.
fn stands(
    now: &BTreeMap<String, Remote>,
    planned: &BTreeMap<String, Remote>,
    path: &str,
    id: &str,
) -> bool {
    if now.get(path).is_none_or(|remote| remote.id() != id) {
        // What is gone already need not be kept from going.
        return now.values().all(|remote| remote.id() != id);
    }
    let below = now.range(format!("{path}/")..format!("{path}0")).chain(now.get_key_value(path));
    below.into_iter().all(|(at, remote)| match (remote, planned.get(at)) {
        (Remote::Folder(id), Some(Remote::Folder(was))) => id == was,
        (Remote::File(file), Some(Remote::File(was))) => {
            file.id == was.id && file.version_id == was.version_id
        }
        (_, _) => false,
    })
}

/// Whether something has the name here again that had gone when the folder was looked at.
fn came_back(executor: &Executor<'_>, path: &str) -> bool {
    let seen = executor.round.scan.tree.get(path);
    match disk::look(&executor.disk(path)) {
        Ok(None) => false,
        Ok(Some(disk::Kind::Folder { .. })) => !matches!(seen, Some(Local::Folder(_))),
        Ok(Some(disk::Kind::File { .. })) => !matches!(seen, Some(Local::File(_))),
        // What cannot be seen may be there.
        Ok(Some(disk::Kind::Other)) | Err(_) => true,
    }
}
