//! Section 10: the versions of a file.

use api_ops::meta::command::ItemCommand;
use api_ops::meta::outcome::{ItemView, Noun};
use api_ops::meta::{Answer, Command, query};
use api_types::v1::PageQuery;
use api_types::v1::files::File;
use api_types::v1::versions::VersionList;
use axum::Json;
use axum::extract::{Path, State};
use node_base::limits;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::files::file_id;
use crate::answer::{Done, Tagged};
use crate::error::ApiError;
use crate::extract::{Asking, Asks, bounds, path_id};
use crate::present::seen as present;
use crate::present::seen::Seen;
use crate::state::ApiState;

pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(restore)).routes(routes!(delete))
}

/// List a file's versions
///
/// The newest first.
#[utoipa::path(
    get, path = "/files/{id}/versions", operation_id = "list_versions", tag = "versions",
    params(("id" = String, Path), PageQuery),
    responses((status = 200, description = "As it is now.", body = VersionList)),
)]
async fn list(
    State(state): State<ApiState>,
    Asking(call): Asking,
    Path(text): Path<String>,
    Asks(page): Asks<PageQuery>,
) -> Result<Json<VersionList>, ApiError> {
    let file = file_id(&text)?;
    let (offset, limit) = bounds(page.limit, page.offset, limits::PAGE_MAX)?;
    let page = state
        .ops
        .ask(&call, move |tables, viewer| query::version::list(tables, viewer, file, offset, limit))
        .await?;
    let versions = page.items.iter().map(present::version).collect();
    Ok(Json(VersionList { versions, total: page.total }))
}

/// Make an old content the current one
///
/// It becomes a new version; those between stay.
#[utoipa::path(
    post, path = "/files/{id}/versions/{number}/restore", operation_id = "restore_version",
    tag = "versions", params(("id" = String, Path), ("number" = u32, Path)),
    responses((status = 200, description = "As it is now.", body = File)),
)]
async fn restore(
    State(state): State<ApiState>,
    Asking(call): Asking,
    Path((text, number)): Path<(String, String)>,
) -> Result<Tagged<Json<Seen<File>>>, ApiError> {
    let (file, number) = (file_id(&text)?, path_id(&number, Noun::Version)?);
    let command = Command::Item(ItemCommand::RestoreVersion { file, number });
    let view: ItemView = state.ops.agree(&call, command).await?;
    Ok(Tagged(present::revision(&view), Json(present::file(call.caller.tenant, &view))))
}

/// Remove a version that is not current, for good
#[utoipa::path(
    delete, path = "/files/{id}/versions/{number}", operation_id = "delete_version",
    tag = "versions", params(("id" = String, Path), ("number" = u32, Path)),
    responses((status = 204, description = "It is gone.")),
)]
async fn delete(
    State(state): State<ApiState>,
    Asking(call): Asking,
    Path((text, number)): Path<(String, String)>,
) -> Result<Done, ApiError> {
    let (file, number) = (file_id(&text)?, path_id(&number, Noun::Version)?);
    let command = Command::Item(ItemCommand::DeleteVersion { file, number });
    state.ops.agree::<Answer>(&call, command).await?;
    Ok(Done)
}
