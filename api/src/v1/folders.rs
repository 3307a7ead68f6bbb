//! Section 7: folders.

use api_ops::meta::command::{ItemCommand, Place};
use api_ops::meta::outcome::ItemView;
use api_ops::meta::query::children::{Listing, Sort as RowSort};
use api_ops::meta::table::item::ItemId;
use api_ops::meta::{Command, query};
use api_types::v1::DeleteQuery;
use api_types::v1::folders::{
    Children, ChildrenQuery, CreateFolder, Folder, Order, PatchFolder, Sort, Target,
};
use axum::Json;
use axum::extract::{Path, State};
use node_base::{TenantId, limits};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::files::restore;
use super::place::{self, FolderPath};
use crate::answer::{CreatedAs, Done, Tagged};
use crate::error::ApiError;
use crate::extract::{Asked, Asking, Asks, bounds, id, not_null, path_id};
use crate::present::item::{item, path};
use crate::present::seen as present;
use crate::present::seen::Seen;
use crate::state::ApiState;

/// The routes of this section.
pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(create))
        .routes(routes!(get, patch, delete))
        .routes(routes!(children))
        .routes(routes!(copy))
        .routes(routes!(move_to))
}

fn folder_id(text: &str) -> Result<ItemId, ApiError> {
    path_id(text, api_ops::meta::outcome::Noun::Folder).map(ItemId::Folder)
}

fn made(tenant: TenantId, view: &ItemView) -> CreatedAs<Tagged<Json<Seen<Folder>>>> {
    CreatedAs(Tagged(present::revision(view), Json(present::folder(tenant, view))))
}

/// Show a folder
#[utoipa::path(
    get, path = "/folders/{id}", operation_id = "get_folder",
    tag = "folders", params(("id" = String, Path)),
    responses((status = 200, description = "As it is now.", body = Folder)),
)]
async fn get(
    State(state): State<ApiState>,
    Asking(call): Asking,
    Path(text): Path<String>,
) -> Result<Tagged<Json<Seen<Folder>>>, ApiError> {
    let folder = folder_id(&text)?;
    let view = state
        .ops
        .ask(&call, move |tables, viewer| query::item::get(tables, viewer, folder))
        .await?;
    Ok(Tagged(present::revision(&view), Json(present::folder(call.caller.tenant, &view))))
}

/// List what is in a folder
///
/// `root` is the root of the share in `share_id`. Only what the caller may read is listed and
/// counted.
#[utoipa::path(
    get, path = "/folders/{id}/children", operation_id = "list_children", tag = "folders",
    params(("id" = String, Path), ChildrenQuery),
    responses((status = 200, description = "As it is now.", body = Children)),
)]
async fn children(
    State(state): State<ApiState>,
    Asking(call): Asking,
    Path(text): Path<String>,
    Asks(query): Asks<ChildrenQuery>,
) -> Result<Json<Children>, ApiError> {
    let folder = FolderPath::parse(&text, query.share_id.as_deref())?;
    let (offset, limit) = bounds(query.limit, query.offset, limits::CHILDREN_PAGE_MAX)?;
    let (share, parent) = folder.place(&state.ops, &call).await?;
    let listing = Listing {
        share,
        parent,
        include_deleted: query.include_deleted,
        sort: match query.sort {
            Sort::Name => RowSort::Name,
            Sort::ModifiedAt => RowSort::ModifiedAt,
            Sort::Size => RowSort::Size,
        },
        descending: query.order == Order::Desc,
        offset,
        limit,
    };
    let listing = state
        .ops
        .ask(&call, move |tables, viewer| query::children::page(tables, viewer, &listing))
        .await?;
    let tenant = call.caller.tenant;
    Ok(Json(Children {
        items: listing.items.iter().filter_map(|view| item(tenant, view)).collect(),
        path: path(&listing.path),
        total: listing.total,
    }))
}

/// Make a folder
#[utoipa::path(
    post, path = "/folders", operation_id = "create_folder",
    tag = "folders", request_body = CreateFolder,
    responses((status = 201, description = "Made.", body = Folder)),
)]
async fn create(
    State(state): State<ApiState>,
    Asked(call, body): Asked<CreateFolder>,
) -> Result<CreatedAs<Tagged<Json<Seen<Folder>>>>, ApiError> {
    let share = id("body", "share_id", &body.share_id)?;
    let parent = place::parent("parent_id", body.parent_id.as_deref())?;
    let place = Place { share, parent };
    let command = ItemCommand::CreateFolder { place, name: body.name };
    let view: ItemView = state.ops.agree(&call, Command::Item(command)).await?;
    Ok(made(call.caller.tenant, &view))
}

/// Rename or restore a folder
#[utoipa::path(
    patch, path = "/folders/{id}", operation_id = "patch_folder",
    tag = "folders", params(("id" = String, Path)),
    request_body = PatchFolder,
    responses((status = 200, description = "As it is now.", body = Folder)),
)]
async fn patch(
    State(state): State<ApiState>,
    Path(text): Path<String>,
    Asked(call, body): Asked<PatchFolder>,
) -> Result<Tagged<Json<Seen<Folder>>>, ApiError> {
    let command = ItemCommand::Update {
        item: folder_id(&text)?,
        name: not_null("name", body.name)?,
        client_modified_at: None,
        executable: None,
        restore: restore(body.is_deleted)?,
    };
    let view: ItemView = state.ops.agree(&call, Command::Item(command)).await?;
    Ok(Tagged(present::revision(&view), Json(present::folder(call.caller.tenant, &view))))
}

/// Delete a folder and all that is in it
#[utoipa::path(
    delete, path = "/folders/{id}", operation_id = "delete_folder",
    tag = "folders", params(("id" = String, Path), DeleteQuery),
    responses((status = 204, description = "It is gone.")),
)]
async fn delete(
    State(state): State<ApiState>,
    Asking(call): Asking,
    Path(text): Path<String>,
    Asks(how): Asks<DeleteQuery>,
) -> Result<Done, ApiError> {
    let item = folder_id(&text)?;
    let command =
        if how.permanent { ItemCommand::Purge { item } } else { ItemCommand::Delete { item } };
    state.ops.agree::<api_ops::meta::Answer>(&call, Command::Item(command)).await?;
    Ok(Done)
}

/// Copy a folder and all that is in it; no bytes move
#[utoipa::path(
    post, path = "/folders/{id}/copy", operation_id = "copy_folder",
    tag = "folders", params(("id" = String, Path)),
    request_body = Target,
    responses((status = 201, description = "Made.", body = Folder)),
)]
async fn copy(
    State(state): State<ApiState>,
    Path(text): Path<String>,
    Asked(call, body): Asked<Target>,
) -> Result<CreatedAs<Tagged<Json<Seen<Folder>>>>, ApiError> {
    let item = folder_id(&text)?;
    let view = place::copy(&state, &call, item, body).await?;
    Ok(made(call.caller.tenant, &view))
}

/// Move a folder; it and all that is in it keep their ids
#[utoipa::path(
    post, path = "/folders/{id}/move", operation_id = "move_folder",
    tag = "folders", params(("id" = String, Path)),
    request_body = Target,
    responses((status = 200, description = "As it is now.", body = Folder)),
)]
async fn move_to(
    State(state): State<ApiState>,
    Path(text): Path<String>,
    Asked(call, body): Asked<Target>,
) -> Result<Tagged<Json<Seen<Folder>>>, ApiError> {
    let item = folder_id(&text)?;
    let view = place::move_to(&state, &call, item, body).await?;
    Ok(Tagged(present::revision(&view), Json(present::folder(call.caller.tenant, &view))))
}
