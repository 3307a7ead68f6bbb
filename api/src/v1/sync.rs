//! Section 11: changes, snapshots, and how far devices have come.

use api_ops::meta::command::SyncCommand;
use api_ops::meta::query;
use api_ops::meta::query::feed::{self, Stream};
use api_ops::meta::{Command, Refusal};
use api_ops::{FollowFrom, OpError, Walking};
use api_types::Time;
use api_types::v1::folders::ROOT;
use api_types::v1::sync::{
    AcknowledgeCursor, Changes, ChangesQuery, DownloadQuery, SnapshotEnd, SnapshotLine,
    SnapshotQuery, Status, StatusQuery,
};
use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, Method, header};
use node_base::{DeviceId, Duration, ShareId, TenantId, limits};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::content;
use super::files::{file_id, which};
use crate::error::ApiError;
use crate::extract::{Asked, Asking, Asks, bounds, device, id, invalid_query};
use crate::present;
use crate::state::ApiState;

pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(status))
        .routes(routes!(changes))
        .routes(routes!(snapshot))
        .routes(routes!(acknowledge))
        .routes(routes!(super::apply::apply))
        .routes(routes!(download))
}

/// A stream as a query names it.
pub(super) fn stream_of(share: Option<&str>) -> Result<Stream, ApiError> {
    match share {
        Some(share) => id("query", "share_id", share).map(Stream::Share),
        None => Ok(Stream::All),
    }
}

/// A refusal of a value that the query brought, not the body.
pub(super) fn of_query(error: OpError) -> ApiError {
    match error {
        OpError::Refused(Refusal::Invalid { field, reason }) => {
            let way: Vec<&str> = field.iter().map(String::as_str).collect();
            ApiError::invalid("query", &way, reason.to_string())
        }
        error => error.into(),
    }
}

/// Say where a device stands in a share
#[utoipa::path(
    get, path = "/sync/status", operation_id = "get_sync_status", tag = "sync", params(StatusQuery),
    responses((status = 200, description = "As it is now.", body = Status)),
)]
async fn status(
    State(state): State<ApiState>,
    Asking(call): Asking,
    Asks(asked): Asks<StatusQuery>,
) -> Result<Json<Status>, ApiError> {
    let share = id("query", "share_id", &asked.share_id)?;
    let device = device("query", &asked.device_id)?;
    Ok(Json(standing(&state, &call, share, device).await?))
}

async fn standing(
    state: &ApiState,
    call: &api_ops::Call,
    share: ShareId,
    device: DeviceId,
) -> Result<Status, ApiError> {
    let asked = state
        .ops
        .ask(call, move |tables, viewer| query::sync::status(tables, viewer, share, &device));
    let told = asked.await?;
    Ok(Status {
        cursor: told.cursor,
        cursor_position: told.position,
        last_sync_at: told.last_sync_at.map(Time),
        pending_changes: told.pending,
        has_conflicts: told.has_conflicts,
    })
}

/// Fetch changes
///
/// Of one share, or of all that the caller may read, in one stream. With `wait` the answer comes
/// when there is something to tell, at the latest after that many seconds.
#[utoipa::path(
    get, path = "/sync/changes", operation_id = "list_changes", tag = "sync", params(ChangesQuery),
    responses((status = 200, description = "As it is now.", body = Changes)),
)]
async fn changes(
    State(state): State<ApiState>,
    Asking(call): Asking,
    Asks(asked): Asks<ChangesQuery>,
) -> Result<Json<Changes>, ApiError> {
    let stream = stream_of(asked.share_id.as_deref())?;
    let limit = asked.limit.unwrap_or(limits::CHANGES_PAGE_DEFAULT);
    let (_, limit) = bounds(Some(limit), None, limits::CHANGES_PAGE_MAX)?;
    let wait = Duration::from_secs(u64::from(asked.wait.unwrap_or(0)));
    if wait > limits::LONG_POLL_MAX {
        let most = limits::LONG_POLL_MAX.as_secs();
        return Err(invalid_query("wait", &format!("must be between 0 and {most}")));
    }
    let from = match asked.cursor {
        None => FollowFrom::Beginning,
        Some(cursor) if cursor == "latest" => FollowFrom::Now,
        Some(cursor) => FollowFrom::Cursor(cursor),
    };
    let page = state.ops.changes(&call, stream, from, limit as usize, wait).await;
    let page = page.map_err(of_query)?;
    state.metrics.changes_fetched.inc_by(page.changes.len() as u64);
    if let Some(oldest) = page.changes.first() {
        let lag = state.world.wall().since(oldest.at).as_secs_f64();
        state.metrics.cursor_lag_seconds.set(lag);
    }
    let tenant = call.caller.tenant;
    Ok(Json(Changes {
        changes: page.changes.iter().map(|told| present::change(tenant, told)).collect(),
        cursor: page.cursor,
        has_more: page.has_more,
        share_id: asked.share_id,
    }))
}

/// Fetch all of a share, or of a folder
///
/// A line of JSON for each item, parents first; the last line has the cursor that continues it. An
/// answer without that line is not whole.
#[utoipa::path(
    get, path = "/sync/snapshot", operation_id = "get_snapshot", tag = "sync",
    params(SnapshotQuery),
    responses(
        (status = 200, body = SnapshotLine, content_type = "application/x-ndjson")
    ),
)]
async fn snapshot(
    State(state): State<ApiState>,
    Asking(call): Asking,
    Asks(asked): Asks<SnapshotQuery>,
) -> Result<Response, ApiError> {
    let share = id("query", "share_id", &asked.share_id)?;
    let folder = asked.folder_id.as_deref().filter(|folder| *folder != ROOT);
    let folder = folder.map(|folder| id("query", "folder_id", folder)).transpose()?;
    let walking = state.ops.snapshot(&call, share, folder).await?;
    let tenant = call.caller.tenant;
    let lines = stream::try_unfold(Some(walking), move |walking| page_of_lines(tenant, walking));
    let ndjson = [(header::CONTENT_TYPE, "application/x-ndjson")];
    Ok((ndjson, Body::from_stream(lines)).into_response())
}

/// The next lines of a snapshot: a page of items, or the end.
async fn page_of_lines(
    tenant: TenantId,
    walking: Option<Walking>,
) -> Result<Option<(Bytes, Option<Walking>)>, OpError> {
    let Some(mut walking) = walking else { return Ok(None) };
    let views = walking.next().await?;
    let mut lines = Vec::new();
    if views.is_empty() {
        let cursor = walking.cursor().to_owned();
        write_line(&mut lines, &SnapshotLine::End(SnapshotEnd { cursor }));
        return Ok(Some((lines.into(), None)));
    }
    for item in views.iter().filter_map(|view| present::item(tenant, view)) {
        write_line(&mut lines, &SnapshotLine::Item(item));
    }
    Ok(Some((lines.into(), Some(walking))))
}

fn write_line(lines: &mut Vec<u8>, line: &SnapshotLine) {
    serde_json::to_writer(&mut *lines, line).expect("lines are plain data");
    lines.push(b'\n');
}

/// Acknowledge how far a device has come
#[utoipa::path(
    post, path = "/sync/cursor", operation_id = "acknowledge_cursor", tag = "sync",
    request_body = AcknowledgeCursor,
    responses((status = 200, description = "As it is now.", body = Status)),
)]
async fn acknowledge(
    State(state): State<ApiState>,
    Asked(call, body): Asked<AcknowledgeCursor>,
) -> Result<Json<Status>, ApiError> {
    let share = id("body", "share_id", &body.share_id)?;
    let device = device("body", &body.device_id)?;
    let cursor = body.cursor;
    let (incarnation, position) = state
        .ops
        .ask(&call, move |tables, viewer| {
            feed::require_visible(tables, viewer, share)?;
            feed::read_cursor(tables, viewer, Stream::Share(share), &cursor)
        })
        .await?;
    let command = SyncCommand::Acknowledge { device: device.clone(), share, incarnation, position };
    state.ops.agree::<()>(&call, Command::Sync(command)).await?;
    Ok(Json(standing(&state, &call, share, device).await?))
}

/// Download a file, or a part of it
///
/// As `/files/{id}/content`; a range may be named in the address as well.
#[utoipa::path(
    get, path = "/sync/download/{file_id}", operation_id = "download_file", tag = "sync",
    params(
        ("file_id" = String, Path),
        DownloadQuery,
        ("Range" = Option<String>, Header, description = "`bytes=…`, at most 16 ranges"),
    ),
    responses(
        (status = 200, content_type = "application/octet-stream", description = "The content"),
        (status = 206, content_type = "application/octet-stream", description = "The ranges"),
        (status = 304, description = "The caller has this version")
    ),
)]
async fn download(
    State(state): State<ApiState>,
    method: Method,
    Asking(call): Asking,
    Path(text): Path<String>,
    Asks(asked): Asks<DownloadQuery>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let open = state.ops.open_content(&call, file_id(&text)?, which(asked.version)?).await?;
    let only = match (asked.range_start, asked.range_end) {
        (None, None) => None,
        (start, end) => {
            let size = open.size();
            let (start, end) = (start.unwrap_or(0), end.unwrap_or(u64::MAX));
            if start > end || start >= size {
                let sentence = format!("The range lies outside the file's {size} bytes.");
                return Err(ApiError::range_not_satisfiable(size, sentence));
            }
            Some(start..end.saturating_add(1).min(size))
        }
    };
    content::respond(&state, &open, &method, &headers, only)
}
