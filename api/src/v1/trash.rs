//! Section 10: the trash.

use api_ops::OpError;
use api_ops::meta::command::ItemCommand;
use api_ops::meta::outcome::{ItemView, Noun};
use api_ops::meta::table::item::{ItemId, ItemState, Items};
use api_ops::meta::{Answer, Command, Refusal, query, table};
use api_types::v1::versions::TrashQuery;
use api_types::v1::{Item, ItemList};
use axum::Json;
use axum::extract::{Path, State};
use node_base::limits;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::answer::{Done, Tagged};
use crate::error::ApiError;
use crate::extract::{Asking, Asks, bounds, id, path_id};
use crate::present::item::item;
use crate::present::seen as present;
use crate::present::seen::Seen;
use crate::state::ApiState;

pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(restore)).routes(routes!(delete))
}

/// An item named by its kind and its id.
fn named(kind: &str, text: &str) -> Result<ItemId, ApiError> {
    match kind {
        "file" => path_id(text, Noun::File).map(ItemId::File),
        "folder" => path_id(text, Noun::Folder).map(ItemId::Folder),
        _ => Err(ApiError::invalid("path", &["type"], "must be file or folder")),
    }
}

const fn noun(item: ItemId) -> Noun {
    match item {
        ItemId::Folder(_) => Noun::Folder,
        ItemId::File(_) => Noun::File,
    }
}

/// List a share's trash
///
/// What was itself deleted, not what lies below it; the last deleted first.
#[utoipa::path(
    get, path = "/trash", operation_id = "list_trash", tag = "trash", params(TrashQuery),
    responses((status = 200, description = "As it is now.", body = ItemList)),
)]
async fn list(
    State(state): State<ApiState>,
    Asking(call): Asking,
    Asks(asked): Asks<TrashQuery>,
) -> Result<Json<ItemList>, ApiError> {
    let share = id("query", "share_id", &asked.share_id)?;
    let (offset, limit) = bounds(asked.limit, asked.offset, limits::PAGE_MAX)?;
    let page = state
        .ops
        .ask(&call, move |tables, viewer| query::trash::list(tables, viewer, share, offset, limit))
        .await?;
    let tenant = call.caller.tenant;
    let items = page.items.iter().filter_map(|view| item(tenant, view)).collect();
    Ok(Json(ItemList { items, total: page.total }))
}

/// Take something out of the trash
///
/// To where it was, or to the share's root where that is gone; a taken name gets a mark.
#[utoipa::path(
    post, path = "/trash/{type}/{id}/restore", operation_id = "restore_item", tag = "trash",
    params(("type" = api_types::v1::ItemType, Path), ("id" = String, Path)),
    responses((status = 200, description = "As it is now.", body = Item)),
)]
async fn restore(
    State(state): State<ApiState>,
    Asking(call): Asking,
    Path((kind, text)): Path<(String, String)>,
) -> Result<Tagged<Json<Seen<Item>>>, ApiError> {
    let command = Command::Item(ItemCommand::Restore { item: named(&kind, &text)? });
    let view: ItemView = state.ops.agree(&call, command).await?;
    Ok(Tagged(present::revision(&view), Json(present::any(call.caller.tenant, &view))))
}

/// Remove something from the trash for good
#[utoipa::path(
    delete, path = "/trash/{type}/{id}", operation_id = "purge_item", tag = "trash",
    params(("type" = api_types::v1::ItemType, Path), ("id" = String, Path)),
    responses((status = 204, description = "It is gone.")),
)]
async fn delete(
    State(state): State<ApiState>,
    Asking(mut call): Asking,
    Path((kind, text)): Path<(String, String)>,
) -> Result<Done, ApiError> {
    let item = named(&kind, &text)?;
    let tenant = call.caller.tenant;
    let found = state
        .ops
        .ask(&call, move |tables, _| {
            let row = table::get::<Items>(tables, &(tenant, item))?;
            let row = row.filter(|row| matches!(row.state, ItemState::Trashed(_)));
            Ok(row.map(|row| row.revision))
        })
        .await?;
    if found.is_none() && call.remember.is_none() {
        return Err(Refusal::NotFound(noun(item)).into());
    }
    // Whoever restores it meanwhile keeps it. What is gone may be so by this very call: its key
    // tells, and nothing matches no revision.
    match found {
        Some(revision) => drop(call.if_revision.get_or_insert(vec![revision])),
        None => call.if_revision = Some(Vec::new()),
    }
    let purge = Command::Item(ItemCommand::Purge { item });
    match state.ops.agree::<Answer>(&call, purge).await {
        Err(OpError::Refused(Refusal::PreconditionFailed)) if found.is_none() => {
            Err(Refusal::NotFound(noun(item)).into())
        }
        answer => answer.map(|_| Done).map_err(Into::into),
    }
}
