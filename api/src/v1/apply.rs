//! Section 11: what a device changed, judged in order and committed together.

use api_ops::meta::command::{SyncChange, SyncCommand, SyncEdit, SyncParent};
use api_ops::meta::outcome::{SyncResult, SyncStatus};
use api_ops::meta::query::feed::{self, Stream};
use api_ops::meta::table::conflict::Stated;
use api_ops::meta::table::item::ItemId;
use api_ops::meta::{Answer, Command};
use api_types::v1::ItemType;
use api_types::v1::error::ErrorCode;
use api_types::v1::sync::{Applied, Apply, ApplyChange, ApplyResult, ApplyStatus, ApplyType};
use axum::Json;
use axum::extract::State;
use node_base::{TenantId, limits};

use super::entry::{Batch, Entries};
use super::place;
use super::uploads::{entry_error, item_error};
use crate::error::ApiError;
use crate::extract::{Asked, client_ref, device, id};
use crate::metrics::Metrics;
use crate::present;
use crate::present::conflict::strategy_row;
use crate::state::ApiState;

/// Apply what a device changed
///
/// Each change is judged on its own, in order; one commit takes all that pass.
#[utoipa::path(
    post, path = "/sync/apply", operation_id = "apply_changes", tag = "sync",
    request_body = Apply,
    responses((status = 200, description = "As it is now.", body = Applied)),
)]
pub(super) async fn apply(
    State(state): State<ApiState>,
    Asked(call, body): Asked<Batch, { limits::JSON_LIST_MAX }>,
) -> Result<Json<Applied>, ApiError> {
    let share = id("body", "share_id", &body.share_id)?;
    let device = device("body", &body.device_id)?;
    let (changes, malformed) = sorted(body.changes)?;
    let strategy = body.conflict_resolution.map(strategy_row);
    let command = SyncCommand::Apply { device, share, strategy, changes };
    let answer: Answer = state.ops.agree(&call, Command::Sync(command)).await?;
    let Answer::Sync { results, incarnation, position } = answer else {
        return Err(ApiError::new(ErrorCode::Internal, "Changes were answered by something else."));
    };
    let at = (incarnation, position);
    let cursor = state.ops.ask(&call, move |tables, viewer| {
        Ok(feed::cursor_at(tables, viewer, Stream::Share(share), at)?)
    });
    let cursor = cursor.await?;
    let tenant = call.caller.tenant;
    let mut judged = results.into_iter().map(|result| shown(&state.metrics, tenant, result));
    let in_order = malformed.into_iter().filter_map(|one| one.or_else(|| judged.next()));
    Ok(Json(Applied { results: in_order.collect(), cursor }))
}

/// The changes that can be judged; and, for each of the batch in its order, the rejection of one
/// that cannot.
fn sorted(entries: Entries) -> Result<(Vec<SyncChange>, Vec<Option<ApplyResult>>), ApiError> {
    if entries.total > limits::BATCH_ITEMS_MAX {
        let message = format!("has more than {} entries", limits::BATCH_ITEMS_MAX);
        return Err(ApiError::invalid("body", &["changes"], message));
    }
    let (mut changes, mut malformed) = (Vec::new(), Vec::new());
    for entry in entries.kept {
        let named = entry.client_ref();
        match entry.change().and_then(sync_change) {
            Ok(change) => {
                changes.push(change);
                malformed.push(None);
            }
            Err(error) => malformed.push(Some(ApplyResult {
                client_ref: named,
                status: ApplyStatus::Rejected,
                resource: None,
                conflict: None,
                error: Some(entry_error(error)),
            })),
        }
    }
    Ok((changes, malformed))
}

fn sync_change(change: ApplyChange) -> Result<SyncChange, ApiError> {
    client_ref(&change.client_ref)?;
    let edit = edit(&change)?;
    let stated = Stated {
        client_modified_at: change.client_modified_at.map(Into::into),
        executable: change.executable,
    };
    Ok(SyncChange { client_ref: change.client_ref, edit, stated })
}

fn edit(change: &ApplyChange) -> Result<SyncEdit, ApiError> {
    let base = change.base_version_id.as_deref();
    let base = base.map(|base| id("body", "base_version_id", base)).transpose()?;
    let session = change.upload_session_id.as_deref();
    let upload = || id("body", "upload_session_id", needed("upload_session_id", session)?);
    let name = || needed("name", change.name.as_deref()).map(str::to_owned);
    Ok(match (change.change_type, change.resource_type) {
        (ApplyType::Created, ItemType::Folder) => {
            SyncEdit::CreateFolder { parent: parent(change)?, name: name()? }
        }
        (ApplyType::Created, ItemType::File) => {
            SyncEdit::CreateFile { parent: parent(change)?, name: name()?, upload: upload()? }
        }
        (ApplyType::Updated, ItemType::File) => {
            let file = needed("resource_id", change.resource_id.as_deref())?;
            let says = change.client_modified_at.is_some() || change.executable.is_some();
            let upload = if session.is_none() && says { None } else { Some(upload()?) };
            SyncEdit::UpdateFile { file: id("body", "resource_id", file)?, base, upload }
        }
        (ApplyType::Updated, ItemType::Folder) => {
            let message = "a folder has no content; it is renamed or moved";
            return Err(ApiError::invalid("body", &["change_type"], message));
        }
        (ApplyType::Renamed, _) => SyncEdit::Rename { item: item(change)?, name: name()? },
        (ApplyType::Moved, _) => {
            let (item, parent) = (item(change)?, parent(change)?);
            SyncEdit::Move { item, parent, name: change.name.clone() }
        }
        (ApplyType::Deleted, _) => SyncEdit::Delete { item: item(change)?, base },
        (ApplyType::Restored, _) => SyncEdit::Restore { item: item(change)? },
    })
}

fn needed<'a>(field: &str, text: Option<&'a str>) -> Result<&'a str, ApiError> {
    text.ok_or_else(|| ApiError::invalid("body", &[field], "is needed for this change"))
}

fn item(change: &ApplyChange) -> Result<ItemId, ApiError> {
    let text = needed("resource_id", change.resource_id.as_deref())?;
    match change.resource_type {
        ItemType::File => id("body", "resource_id", text).map(ItemId::File),
        ItemType::Folder => id("body", "resource_id", text).map(ItemId::Folder),
    }
}

fn parent(change: &ApplyChange) -> Result<SyncParent, ApiError> {
    match (&change.parent_ref, change.parent_id.as_deref()) {
        (None, parent) => place::parent("parent_id", parent).map(SyncParent::Folder),
        (Some(made), None) => Ok(SyncParent::Ref(made.clone())),
        (Some(_), Some(_)) => {
            let message = "the folder is named by its id or by a reference, not both";
            Err(ApiError::invalid("body", &["parent_ref"], message))
        }
    }
}

fn shown(metrics: &Metrics, tenant: TenantId, result: SyncResult) -> ApplyResult {
    let (status, view, conflict, error) = match result.status {
        SyncStatus::Applied(view) => (ApplyStatus::Applied, Some(view), None, None),
        SyncStatus::Conflict { conflict, row, view } => {
            metrics.conflict(present::conflict::kind(row.kind));
            let conflict = present::conflict(tenant, conflict, &row);
            (ApplyStatus::Conflict, view, Some(conflict), None)
        }
        SyncStatus::Rejected(refusal) => {
            (ApplyStatus::Rejected, None, None, Some(item_error(refusal)))
        }
    };
    let resource = view.and_then(|view| present::item(tenant, &view));
    ApplyResult { client_ref: result.client_ref, status, resource, conflict, error }
}
