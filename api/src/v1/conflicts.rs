//! Section 12: conflicts.

use api_ops::meta::Command;
use api_ops::meta::command::SyncCommand;
use api_ops::meta::outcome::Noun;
use api_ops::meta::query::sync::{self, ConflictFilter};
use api_ops::meta::table;
use api_ops::meta::table::conflict::Conflicts;
use api_types::v1::conflicts::{Conflict, ConflictList, ConflictsQuery, ResolveQuery};
use axum::Json;
use axum::extract::{Path, State};
use node_base::{ConflictId, limits};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::answer::Tagged;
use crate::error::ApiError;
use crate::extract::{Asking, Asks, bounds, device, id, path_id};
use crate::present;
use crate::present::conflict::strategy_row;
use crate::state::ApiState;

pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(resolve))
}

/// List conflicts
///
/// Of one share, or of all that the caller sees; the newest first.
#[utoipa::path(
    get, path = "/sync/conflicts", operation_id = "list_conflicts", tag = "sync",
    params(ConflictsQuery),
    responses((status = 200, description = "As it is now.", body = ConflictList)),
)]
async fn list(
    State(state): State<ApiState>,
    Asking(call): Asking,
    Asks(asked): Asks<ConflictsQuery>,
) -> Result<Json<ConflictList>, ApiError> {
    let share = asked.share_id.as_deref();
    let share = share.map(|share| id("query", "share_id", share)).transpose()?;
    let device = asked.device_id.as_deref();
    let device = device.map(|text| self::device("query", text)).transpose()?;
    let (offset, limit) = bounds(asked.limit, asked.offset, limits::PAGE_MAX)?;
    let include_resolved = asked.include_resolved;
    let page = state
        .ops
        .ask(&call, move |tables, viewer| {
            let device = device.as_ref();
            let which = ConflictFilter { device, include_resolved, offset, limit };
            sync::conflicts(tables, viewer, share, &which)
        })
        .await?;
    let tenant = call.caller.tenant;
    let conflicts = page.items.iter().map(|(id, row)| present::conflict(tenant, *id, row));
    Ok(Json(ConflictList { conflicts: conflicts.collect(), total: page.total }))
}

/// Settle a conflict
#[utoipa::path(
    post, path = "/sync/conflicts/{id}/resolve", operation_id = "resolve_conflict", tag = "sync",
    params(("id" = String, Path), ResolveQuery),
    responses((status = 200, description = "As it is now.", body = Conflict)),
)]
async fn resolve(
    State(state): State<ApiState>,
    Asking(call): Asking,
    Path(text): Path<String>,
    Asks(asked): Asks<ResolveQuery>,
) -> Result<Tagged<Json<Conflict>>, ApiError> {
    let conflict = path_id(&text, Noun::Conflict)?;
    let strategy = strategy_row(asked.resolution);
    let command = Command::Sync(SyncCommand::ResolveConflict { conflict, strategy });
    let id: ConflictId = state.ops.agree(&call, command).await?;
    let (row, mark) = state
        .ops
        .ask(&call, move |tables, viewer| {
            let row = sync::conflict(tables, viewer, id)?;
            let mark = table::mark::<Conflicts>(&row)?;
            Ok((row, mark))
        })
        .await?;
    Ok(Tagged(mark, Json(present::conflict(call.caller.tenant, id, &row))))
}
