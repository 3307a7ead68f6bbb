//! Section 8: files.

use api_ops::meta::Command;
use api_ops::meta::command::{FileDestination, ItemCommand, Place};
use api_ops::meta::outcome::{ItemView, Noun};
use api_ops::meta::table::item::ItemId;
use api_ops::meta::{Refusal, query};
use api_ops::{FileDetails, Which};
use api_types::v1::DeleteQuery;
use api_types::v1::files::{CreateFile, File, Manifest, ManifestChunk, PatchFile, VersionQuery};
use api_types::v1::folders::Target;
use api_types::{Hash, Patch};
use axum::Json;
use axum::extract::{Path, State};
use node_base::{FileId, TenantId, Timestamp};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{content, place};
use crate::answer::{CreatedAs, Done, Tagged};
use crate::error::ApiError;
use crate::extract::{Asked, Asking, Asks, id, not_null, path_id};
use crate::form::Form;
use crate::present::seen as present;
use crate::present::seen::Seen;
use crate::state::ApiState;

/// The routes of this section.
pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(create))
        .routes(routes!(get, patch, delete))
        .routes(routes!(content::get_content))
        .routes(routes!(copy))
        .routes(routes!(move_to))
        .routes(routes!(manifest))
}

pub(super) fn file_id(text: &str) -> Result<FileId, ApiError> {
    path_id(text, Noun::File)
}

fn made(tenant: TenantId, view: &ItemView) -> CreatedAs<Tagged<Json<Seen<File>>>> {
    CreatedAs(Tagged(present::revision(view), Json(present::file(tenant, view))))
}

/// Show a file
#[utoipa::path(
    get, path = "/files/{id}", operation_id = "get_file",
    tag = "files", params(("id" = String, Path)),
    responses((status = 200, description = "As it is now.", body = File)),
)]
async fn get(
    State(state): State<ApiState>,
    Asking(call): Asking,
    Path(text): Path<String>,
) -> Result<Tagged<Json<Seen<File>>>, ApiError> {
    let file = ItemId::File(file_id(&text)?);
    let view =
        state.ops.ask(&call, move |tables, viewer| query::item::get(tables, viewer, file)).await?;
    Ok(Tagged(present::revision(&view), Json(present::file(call.caller.tenant, &view))))
}

/// Upload a file in one request
///
/// Never overwrites: a taken name is 409. The content is the last part of the form.
#[utoipa::path(
    post, path = "/files", operation_id = "create_file", tag = "files",
    request_body(content = CreateFile, content_type = "multipart/form-data"),
    responses((status = 201, description = "Made.", body = File)),
)]
async fn create(
    State(state): State<ApiState>,
    Asking(call): Asking,
    mut form: Form,
) -> Result<CreatedAs<Tagged<Json<Seen<File>>>>, ApiError> {
    let mut fields = Fields::default();
    loop {
        let Some(mut part) = form.next().await? else {
            return Err(ApiError::invalid("body", &["file"], "the content is missing"));
        };
        let name = part.name().to_owned();
        if name != "file" {
            fields.set(&name, part.text().await?)?;
            continue;
        }
        let file_name = part.file_name().map(str::to_owned);
        let mime_type = part.content_type().map(str::to_owned);
        fields.note("file", file_name.as_deref().unwrap_or_default());
        fields.note("type", mime_type.as_deref().unwrap_or_default());
        let (place, name, details) = fields.finish(file_name, mime_type)?;
        let most = state.ops.may_create(&call, place).await?;
        let mut writer = state.ops.file_writer(&call);
        while let Some(bytes) = part.chunk().await? {
            writer.push(&bytes).await?;
            if writer.size() > most {
                return Err(Refusal::FileTooLarge { limit: most }.into());
            }
        }
        drop(part);
        nothing_behind(&mut form).await?;
        state.metrics.uploaded_bytes.inc_by(writer.size());
        let finished = writer.finish().await?;
        let destination = FileDestination::New { place, name };
        fields.said.extend(finished.sha256.0);
        let call = call.covering(node_base::sha256(&fields.said));
        let answer = state.ops.commit_file(&call, destination, details, finished).await?;
        let view = place::committed(&state, call.caller.tenant, &answer)?;
        return Ok(made(call.caller.tenant, view));
    }
}

/// Reads the form to its end. A field that comes after the content would have had a say.
async fn nothing_behind(form: &mut Form) -> Result<(), ApiError> {
    while let Some(part) = form.next().await? {
        let name = part.name().to_owned();
        if name == "file" || Fields::NAMES.contains(&name.as_str()) {
            let message = "comes behind the content, which is the last part of the form";
            return Err(ApiError::invalid("body", &[&name], message));
        }
        part.text().await?;
    }
    Ok(())
}

/// The fields of the form, before its content.
#[derive(Default)]
struct Fields {
    share_id: Option<String>,
    folder_id: Option<String>,
    name: Option<String>,
    client_modified_at: Option<Timestamp>,
    executable: bool,
    /// Digests of all names and texts: what an idempotency key stands for.
    said: Vec<u8>,
}

impl Fields {
    const NAMES: [&str; 5] = ["share_id", "folder_id", "name", "client_modified_at", "executable"];

    fn note(&mut self, name: &str, text: &str) {
        for part in [name, text] {
            self.said.extend(node_base::sha256(part.as_bytes()).0);
        }
    }

    fn set(&mut self, name: &str, text: String) -> Result<(), ApiError> {
        self.note(name, &text);
        match name {
            "share_id" => self.share_id = Some(text),
            "folder_id" => self.folder_id = Some(text).filter(|text| !text.is_empty()),
            "name" => self.name = Some(text),
            "client_modified_at" => self.client_modified_at = Some(id("body", name, &text)?),
            "executable" => self.executable = text == "true",
            // A browser's form may carry more than we know.
            _ => {}
        }
        Ok(())
    }

    fn finish(
        &mut self,
        file_name: Option<String>,
        mime_type: Option<String>,
    ) -> Result<(Place, String, FileDetails), ApiError> {
        let share = self.share_id.as_deref();
        let share = share.ok_or_else(|| ApiError::invalid("body", &["share_id"], "is missing"))?;
        let share = id("body", "share_id", share)?;
        let parent = place::parent("folder_id", self.folder_id.as_deref())?;
        let name = self.name.take().or(file_name);
        let name = name.ok_or_else(|| ApiError::invalid("body", &["name"], "is missing"))?;
        let details = FileDetails {
            mime_type,
            client_modified_at: self.client_modified_at,
            executable: self.executable,
        };
        Ok((Place { share, parent }, name, details))
    }
}

/// Change a file's metadata
#[utoipa::path(
    patch, path = "/files/{id}", operation_id = "patch_file",
    tag = "files", params(("id" = String, Path)),
    request_body = PatchFile,
    responses((status = 200, description = "As it is now.", body = File)),
)]
async fn patch(
    State(state): State<ApiState>,
    Path(text): Path<String>,
    Asked(call, body): Asked<PatchFile>,
) -> Result<Tagged<Json<Seen<File>>>, ApiError> {
    let command = ItemCommand::Update {
        item: ItemId::File(file_id(&text)?),
        name: not_null("name", body.name)?,
        client_modified_at: body.client_modified_at.into_option().map(|time| time.map(Into::into)),
        executable: not_null("executable", body.executable)?,
        restore: restore(body.is_deleted)?,
    };
    let view: ItemView = state.ops.agree(&call, Command::Item(command)).await?;
    Ok(Tagged(present::revision(&view), Json(present::file(call.caller.tenant, &view))))
}

/// `is_deleted: false` restores; deleting is another call.
pub(super) fn restore(is_deleted: Patch<bool>) -> Result<bool, ApiError> {
    match not_null("is_deleted", is_deleted)? {
        Some(true) => {
            let message = "only false is taken, to restore; DELETE deletes";
            Err(ApiError::invalid("body", &["is_deleted"], message))
        }
        restore => Ok(restore.is_some()),
    }
}

/// Delete a file
#[utoipa::path(
    delete, path = "/files/{id}", operation_id = "delete_file",
    tag = "files", params(("id" = String, Path), DeleteQuery),
    responses((status = 204, description = "It is gone.")),
)]
async fn delete(
    State(state): State<ApiState>,
    Asking(call): Asking,
    Path(text): Path<String>,
    Asks(how): Asks<DeleteQuery>,
) -> Result<Done, ApiError> {
    let item = ItemId::File(file_id(&text)?);
    let command =
        if how.permanent { ItemCommand::Purge { item } } else { ItemCommand::Delete { item } };
    state.ops.agree::<api_ops::meta::Answer>(&call, Command::Item(command)).await?;
    Ok(Done)
}

/// Copy a file; no bytes move
#[utoipa::path(
    post, path = "/files/{id}/copy", operation_id = "copy_file",
    tag = "files", params(("id" = String, Path)),
    request_body = Target,
    responses((status = 201, description = "Made.", body = File)),
)]
async fn copy(
    State(state): State<ApiState>,
    Path(text): Path<String>,
    Asked(call, body): Asked<Target>,
) -> Result<CreatedAs<Tagged<Json<Seen<File>>>>, ApiError> {
    let item = ItemId::File(file_id(&text)?);
    let view = place::copy(&state, &call, item, body).await?;
    Ok(made(call.caller.tenant, &view))
}

/// Move a file; it keeps its id
#[utoipa::path(
    post, path = "/files/{id}/move", operation_id = "move_file",
    tag = "files", params(("id" = String, Path)),
    request_body = Target,
    responses((status = 200, description = "As it is now.", body = File)),
)]
async fn move_to(
    State(state): State<ApiState>,
    Path(text): Path<String>,
    Asked(call, body): Asked<Target>,
) -> Result<Tagged<Json<Seen<File>>>, ApiError> {
    let item = ItemId::File(file_id(&text)?);
    let view = place::move_to(&state, &call, item, body).await?;
    Ok(Tagged(present::revision(&view), Json(present::file(call.caller.tenant, &view))))
}

/// Say what chunks a file is made of
#[utoipa::path(
    get, path = "/files/{id}/manifest", operation_id = "get_manifest", tag = "files",
    params(("id" = String, Path), VersionQuery),
    responses((status = 200, description = "As it is now.", body = Manifest)),
)]
async fn manifest(
    State(state): State<ApiState>,
    Asking(call): Asking,
    Path(text): Path<String>,
    Asks(query): Asks<VersionQuery>,
) -> Result<Json<Manifest>, ApiError> {
    let open = state.ops.open_content(&call, file_id(&text)?, which(query.version)?).await?;
    let mut chunks = Vec::new();
    let mut from = Some(0);
    while let Some(first) = from {
        let Some(page) = open.chunks(first).await? else { break };
        let mut offset = page.offset;
        chunks.extend(page.chunks.into_iter().map(|chunk| {
            let at = offset;
            offset += u64::from(chunk.size);
            ManifestChunk { sha256: Hash(chunk.hash), offset: at, size: chunk.size }
        }));
        from = page.next;
    }
    let version = &open.numbered.version;
    Ok(Json(Manifest {
        size: version.size,
        checksum_sha256: crate::present::item::checksum(version.checksum).0,
        chunks,
        version_id: Some(version.id.to_string()),
    }))
}

/// Which version a request names.
pub(super) fn which(version: Option<u32>) -> Result<Which, ApiError> {
    match version {
        None => Ok(Which::Current),
        Some(0) => Err(ApiError::invalid("query", &["version"], "versions are counted from 1")),
        Some(number) => Ok(Which::Number(number)),
    }
}
