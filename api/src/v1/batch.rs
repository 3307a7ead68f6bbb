//! Section 9: many small files in one request.

use std::collections::VecDeque;

use api_ops::meta::command::BatchTarget;
use api_ops::meta::outcome::{BatchResult as Row, BatchStatus as RowStatus};
use api_ops::meta::table::item::Parent;
use api_ops::{BATCH_FILE_MAX, BatchItem as Accepted, FileBatch, FileDetails};
use api_types::v1::Item;
use api_types::v1::error::ErrorCode;
use api_types::v1::uploads::{BatchItem, BatchResult, BatchResults, BatchStatus, FileBatchQuery};
use axum::Json;
use axum::extract::State;
use node_base::{Sha256, TenantId, limits};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::place;
use super::uploads::item_error;
use crate::error::ApiError;
use crate::extract::{Asking, Asks, client_ref, id, parse_json};
use crate::form::{Form, Part};
use crate::present;
use crate::state::ApiState;

/// The route of this section.
pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(create))
}

/// The form, described: it is read part by part as it comes.
#[derive(utoipa::ToSchema)]
#[allow(dead_code, reason = "it only describes the form")]
struct BatchForm {
    /// The files, in JSON: the first part.
    #[schema(max_items = 1000)]
    items: Vec<BatchItem>,
    /// The contents, one part for each item and in their order.
    #[schema(value_type = Vec<String>, format = Binary)]
    content: Vec<Vec<u8>>,
}

/// Upload many small files
///
/// A first part `items` tells the files in JSON; then come their contents, in that order. Each file
/// has its own result; one commit takes all of them.
#[utoipa::path(
    post, path = "/files/batch", operation_id = "create_files",
    tag = "uploads", params(FileBatchQuery),
    request_body(content = BatchForm, content_type = "multipart/form-data"),
    responses((status = 200, description = "As it is now.", body = BatchResults)),
)]
async fn create(
    State(state): State<ApiState>,
    Asking(call): Asking,
    Asks(query): Asks<FileBatchQuery>,
    mut form: Form,
) -> Result<Json<BatchResults>, ApiError> {
    let share = id("query", "share_id", &query.share_id)?;
    let (mut items, mut said) = read_items(&mut form).await?;
    let mut batch = state.ops.file_batch(&call, share);
    let mut bytes = 0;
    while let Some(part) = form.next().await? {
        let Some(item) = items.pop_front() else {
            return Err(ApiError::invalid(
                "body",
                &["content"],
                "there are more contents than items",
            ));
        };
        let content = take(&mut batch, accept(item)?, part, bytes).await?;
        bytes += content.size;
        said.extend(content.sha256.0);
    }
    if let Some(item) = items.front() {
        let message = format!("the content of '{}' is missing", item.client_ref);
        return Err(ApiError::invalid("body", &["content"], message));
    }
    state.metrics.uploaded_bytes.inc_by(bytes);
    let tenant = call.caller.tenant;
    let committed = batch.commit(node_base::sha256(&said)).await?;
    let results = committed.into_iter().map(|row| result(&state, tenant, row)).collect();
    Ok(Json(BatchResults { results }))
}

/// The items, and the digest of what was said of them.
async fn read_items(form: &mut Form) -> Result<(VecDeque<BatchItem>, Vec<u8>), ApiError> {
    let missing = || ApiError::invalid("body", &["items"], "is missing; it is the first part");
    let mut part = form.next().await?.ok_or_else(missing)?;
    if part.name() != "items" {
        return Err(missing());
    }
    let mut json = Vec::new();
    while let Some(bytes) = part.chunk().await? {
        if json.len() + bytes.len() > limits::JSON_LIST_MAX {
            return Err(ApiError::new(
                ErrorCode::PayloadTooLarge,
                "The list of items is too long.",
            ));
        }
        json.extend_from_slice(&bytes);
    }
    let items: VecDeque<BatchItem> = parse_json(&json)?;
    if items.is_empty() || items.len() > limits::BATCH_ITEMS_MAX {
        let message = format!("a batch has 1 to {} files", limits::BATCH_ITEMS_MAX);
        return Err(ApiError::invalid("body", &["items"], message));
    }
    Ok((items, node_base::sha256(&json).0.to_vec()))
}

fn accept(item: BatchItem) -> Result<Accepted, ApiError> {
    client_ref(&item.client_ref)?;
    let base = item.base_version_id.as_deref();
    let base = base.map(|base| id("body", "base_version_id", base)).transpose()?;
    let parent: Parent = place::parent("folder_id", item.folder_id.as_deref())?;
    let target = match item.replace_file_id {
        Some(file) => BatchTarget::Replace { file: id("body", "replace_file_id", &file)?, base },
        None => BatchTarget::Path { folder: parent, path: item.path },
    };
    let details = FileDetails {
        mime_type: None,
        client_modified_at: item.client_modified_at.map(Into::into),
        executable: item.executable.unwrap_or_default(),
    };
    Ok(Accepted { client_ref: item.client_ref, target, details })
}

/// One content of a form.
struct Content {
    size: u64,
    /// Nothing but zeros for one that is too large: its bytes make no difference.
    sha256: Sha256,
}

/// Writes one content. `before` came already.
async fn take(
    batch: &mut FileBatch,
    item: Accepted,
    mut part: Part<'_>,
    before: u64,
) -> Result<Content, ApiError> {
    let mut writer = batch.writer();
    let mut bytes = 0;
    while let Some(piece) = part.chunk().await? {
        bytes += piece.len() as u64;
        if before + bytes > limits::BATCH_BYTES_MAX as u64 {
            let sentence = format!("A batch may have at most {} bytes.", limits::BATCH_BYTES_MAX);
            return Err(ApiError::new(ErrorCode::PayloadTooLarge, sentence));
        }
        // The rest of one that is too large is read, for the files behind it, and dropped.
        if bytes <= BATCH_FILE_MAX {
            writer.push(&piece).await?;
        }
    }
    if bytes > BATCH_FILE_MAX {
        batch.reject_too_large(item.client_ref);
        return Ok(Content { size: bytes, sha256: Sha256([0; 32]) });
    }
    let finished = writer.finish().await?;
    let sha256 = finished.sha256;
    batch.add(item, finished);
    Ok(Content { size: bytes, sha256 })
}

fn result(state: &ApiState, tenant: TenantId, row: Row) -> BatchResult {
    let (status, view, conflict, error) = match row.status {
        RowStatus::Created(view) => (BatchStatus::Created, Some(view), None, None),
        RowStatus::Replaced(view) => (BatchStatus::Replaced, Some(view), None, None),
        RowStatus::Conflict(id, row) => {
            state.metrics.conflict(present::conflict::kind(row.kind));
            let conflict = present::conflict(tenant, id, &row);
            (BatchStatus::Conflict, None, Some(conflict), None)
        }
        RowStatus::Rejected(refusal) => {
            (BatchStatus::Rejected, None, None, Some(item_error(refusal)))
        }
    };
    let file = view.and_then(|view| match present::item(tenant, &view) {
        Some(Item::File(file)) => Some(file),
        _ => None,
    });
    BatchResult { client_ref: row.client_ref, status, file, conflict, error }
}
