//! Section 9: upload sessions, and batches of small files.

use api_ops::meta::access::Viewer;
use api_ops::meta::command::{Declared, FileDestination, Place, UploadCommand};
use api_ops::meta::outcome::{Noun, UploadAnswer};
use api_ops::meta::query;
use api_ops::meta::table::item::ItemId;
use api_ops::meta::table::upload::UploadState as State;
use api_ops::meta::{Answer, Command, Reader, Refusal};
use api_ops::{BatchedChunk, Call, ChunkBatch, ChunkOutcome, OpError};
use api_types::v1::error::{ErrorCode, ItemError};
use api_types::v1::uploads::{
    BatchFrame, ChunkResult, ChunkResults, ChunkStatus, CompleteUpload, CompletedUpload,
    CreateUpload, DeclareChunks, DeclaredChunks, ReceivedChunk, Upload, UploadState, UploadStatus,
};
use api_types::{Hash, Time};
use axum::Json;
use axum::body::{Body, BodyDataStream};
use axum::extract::{Path, State as Shared};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::StreamExt;
use http::{HeaderMap, StatusCode};
use node_base::{Sha256, UploadId, limits};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::answer::{Created, Done};
use crate::error::ApiError;
use crate::extract::{Asked, Asking, broken_body, id, parse_json, path_id, read_body};
use crate::present::seen as present;
use crate::state::ApiState;

/// The routes of this section.
pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(create))
        .routes(routes!(state, abort))
        .routes(routes!(declare))
        .routes(routes!(put_chunk))
        .routes(routes!(put_batch))
        .routes(routes!(complete))
}

/// Missing chunks that one answer lists.
const MISSING_MAX: usize = 100_000;

/// Open an upload session
///
/// With `chunks` the file is cut by content and each chunk is declared; the answer names those to
/// send. Without, it is cut in pieces of `chunk_size`.
#[utoipa::path(post, path = "/uploads", operation_id = "create_upload",
tag = "uploads", request_body = CreateUpload, responses(
    (status = 201, description = "Made.", body = Upload)
))]
async fn create(
    Shared(state): Shared<ApiState>,
    Asked(call, body): Asked<CreateUpload, { limits::JSON_LIST_MAX }>,
) -> Result<Created<Upload>, ApiError> {
    let chunk_size = match (&body.chunks, body.chunk_size) {
        (Some(_), None) => None,
        (Some(_), Some(_)) => {
            let message = "chunks are either declared or all of one size";
            return Err(ApiError::invalid("body", &["chunk_size"], message));
        }
        (None, size) => Some(size.unwrap_or(limits::FIXED_CHUNK_DEFAULT as u32)),
    };
    let command = UploadCommand::Create {
        destination: destination(&body)?,
        size: body.file_size,
        chunk_size,
        chunks: declared(body.chunks.as_deref().unwrap_or_default()),
        mime_type: body.mime_type,
        checksum: body.checksum_sha256.map(Sha256::from),
        client_modified_at: body.client_modified_at.map(Into::into),
        executable: body.executable.unwrap_or_default(),
    };
    let made: UploadAnswer = state.ops.agree(&call, Command::Upload(command)).await?;
    Ok(Created(Upload {
        session_id: made.upload.to_string(),
        chunk_size,
        total_chunks: made.chunks,
        missing: match chunk_size {
            // Of a file cut in pieces of one size all are to be sent.
            Some(_) => (0..made.chunks).take(MISSING_MAX).collect(),
            None => made.missing,
        },
        expires_at: Time(made.expires_at),
        status: UploadStatus::Open,
    }))
}

fn destination(body: &CreateUpload) -> Result<FileDestination, ApiError> {
    let share = id("body", "share_id", &body.share_id)?;
    let base = body.base_version_id.as_deref();
    let base = base.map(|base| id("body", "base_version_id", base)).transpose()?;
    match &body.replace_file_id {
        Some(file) => {
            Ok(FileDestination::Replace { file: id("body", "replace_file_id", file)?, base })
        }
        None => {
            let parent = super::place::parent("folder_id", body.folder_id.as_deref())?;
            let name = body.file_name.clone();
            Ok(FileDestination::New { place: Place { share, parent }, name })
        }
    }
}

fn declared(chunks: &[api_types::v1::uploads::DeclaredChunk]) -> Vec<Declared> {
    chunks.iter().map(|chunk| Declared { hash: chunk.sha256.into(), size: chunk.size }).collect()
}

fn upload_id(text: &str) -> Result<UploadId, ApiError> {
    path_id(text, Noun::Upload)
}

/// Declare more chunks of a session
#[utoipa::path(
    post, path = "/uploads/{id}/chunks", operation_id = "declare_chunks",
    tag = "uploads", request_body = DeclareChunks,
    params(("id" = String, Path)),
    responses((status = 200, description = "As it is now.", body = DeclaredChunks)),
)]
async fn declare(
    Shared(state): Shared<ApiState>,
    Path(text): Path<String>,
    Asked(call, body): Asked<DeclareChunks, { limits::JSON_LIST_MAX }>,
) -> Result<Json<DeclaredChunks>, ApiError> {
    let upload = upload_id(&text)?;
    let chunks = declared(&body.chunks);
    let command = UploadCommand::Declare { upload, first: None, chunks };
    let told: UploadAnswer = state.ops.agree(&call, Command::Upload(command)).await?;
    Ok(Json(DeclaredChunks { total_chunks: told.chunks, missing: told.missing }))
}

/// Say where a session stands
#[utoipa::path(
    get, path = "/uploads/{id}", operation_id = "get_upload",
    tag = "uploads", params(("id" = String, Path)),
    responses((status = 200, description = "As it is now.", body = UploadState)),
)]
async fn state(
    Shared(state): Shared<ApiState>,
    Asking(call): Asking,
    Path(text): Path<String>,
) -> Result<Json<UploadState>, ApiError> {
    let told = told(&state, &call, upload_id(&text)?).await?;
    let status = match told.upload.state {
        State::Open => UploadStatus::Open,
        State::Completed { .. } | State::Conflicted { .. } | State::Taken => {
            UploadStatus::Completed
        }
        State::Aborted | State::Expired => {
            return Err(Refusal::Expired(api_ops::meta::outcome::Expired::Upload).into());
        }
    };
    Ok(Json(UploadState {
        status,
        received: told.received,
        missing: told.missing,
        expires_at: Time(told.expires_at),
    }))
}

/// Give a session up
#[utoipa::path(
    delete, path = "/uploads/{id}", operation_id = "abort_upload",
    tag = "uploads", params(("id" = String, Path)),
    responses((status = 204, description = "It is gone.")),
)]
async fn abort(
    Shared(state): Shared<ApiState>,
    Asking(call): Asking,
    Path(text): Path<String>,
) -> Result<Done, ApiError> {
    let upload = upload_id(&text)?;
    let command = Command::Upload(UploadCommand::Abort { upload });
    state.ops.agree::<()>(&call, command).await?;
    Ok(Done)
}

/// Send one chunk
///
/// Sending a chunk again is harmless: an `Idempotency-Key` is not needed, and not looked at.
#[utoipa::path(
    put, path = "/uploads/{id}/chunks/{index}", operation_id = "put_chunk", tag = "uploads",
    params(
        ("id" = String, Path),
        ("index" = u64, Path, description = "From 0"),
        ("X-Chunk-SHA256" = Option<String>, Header, description = "What its hash must be"),
    ),
    request_body(content_type = "application/octet-stream", description = "The chunk's bytes"),
    responses((status = 200, description = "As it is now.", body = ReceivedChunk)),
)]
async fn put_chunk(
    Shared(state): Shared<ApiState>,
    Asking(call): Asking,
    Path((text, index)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<ReceivedChunk>, ApiError> {
    let upload = upload_id(&text)?;
    let index = index
        .parse()
        .map_err(|_| ApiError::invalid("path", &["index"], "a chunk's index is a number from 0"))?;
    let declared = match headers.get("x-chunk-sha256") {
        Some(value) => {
            let text = value.to_str().unwrap_or_default();
            Some(id("header", "X-Chunk-SHA256", text)?)
        }
        None => None,
    };
    let bytes = read_body(&headers, body, limits::CHUNK_MAX).await?;
    let call = Call { remember: None, ..call };
    let stored = state.ops.put_chunk(&call, upload, index, bytes, declared).await?;
    state.metrics.uploaded_bytes.inc_by(u64::from(stored.size));
    state.metrics.chunks_deduplicated.inc_by(u64::from(stored.known));
    Ok(Json(ReceivedChunk {
        index,
        sha256: Hash(stored.hash),
        size: stored.size,
        deduplicated: stored.known,
    }))
}

async fn told(
    state: &ApiState,
    call: &Call,
    upload: UploadId,
) -> Result<query::upload::Status, OpError> {
    let who = (call.caller.tenant, call.caller.user);
    let status = move |tables: &dyn Reader, viewer: &Viewer| {
        let status = query::upload::status(tables, viewer.now(), who, upload, 0, MISSING_MAX)?;
        Ok(status.ok_or(Refusal::NotFound(Noun::Upload))?)
    };
    state.ops.ask(call, status).await
}

/// Send many chunks in one body
///
/// The body is a sequence of chunks, each behind its index and its length, both 32 bits and
/// little-endian. Sending chunks again is harmless: an `Idempotency-Key` is not needed, and not
/// looked at.
#[utoipa::path(
    post, path = "/uploads/{id}/chunks/batch", operation_id = "put_chunk_batch",
    tag = "uploads", params(("id" = String, Path)),
    request_body(content_type = "application/octet-stream", description = "Framed chunks"),
    responses((status = 200, description = "As it is now.", body = ChunkResults)),
)]
async fn put_batch(
    Shared(state): Shared<ApiState>,
    Asking(call): Asking,
    Path(text): Path<String>,
    body: Body,
) -> Result<Json<ChunkResults>, ApiError> {
    let upload = upload_id(&text)?;
    let call = Call { remember: None, ..call };
    let mut batch = state.ops.chunk_batch(&call, upload);
    let bytes = read_frames(body.into_data_stream(), &mut batch).await?;
    if bytes == 0 {
        // Each chunk is judged with its session; here there is none.
        told(&state, &call, upload).await?;
    }
    let chunks = batch.finish().await?;
    let known = chunks.iter().filter(|chunk| matches!(chunk.outcome, ChunkOutcome::Known)).count();
    state.metrics.chunks_deduplicated.inc_by(known as u64);
    let results = chunks.into_iter().map(chunk_result).collect();
    state.metrics.uploaded_bytes.inc_by(bytes);
    Ok(Json(ChunkResults { results }))
}

/// Takes a body's frames one by one; answers how many bytes of chunks there were.
async fn read_frames(mut body: BodyDataStream, batch: &mut ChunkBatch) -> Result<u64, ApiError> {
    let mut frames = Frames::default();
    let mut taken = 0;
    while let Some(bytes) = body.next().await {
        let mut bytes = bytes.map_err(|_| broken_body())?;
        while let Some((index, chunk)) = frames.next(&mut bytes)? {
            taken += chunk.len() as u64;
            if taken > limits::BATCH_BYTES_MAX as u64 {
                return Err(large_batch());
            }
            batch.push(u64::from(index), chunk).await?;
        }
    }
    if !frames.is_empty() {
        return Err(broken_body());
    }
    Ok(taken)
}

fn large_batch() -> ApiError {
    let sentence = format!("A batch may have at most {} bytes.", limits::BATCH_BYTES_MAX);
    ApiError::new(ErrorCode::PayloadTooLarge, sentence)
}

/// Puts frames together of pieces of any size. A chunk is copied once, into memory of its own size,
/// or not at all where it came in one piece.
#[derive(Default)]
struct Frames {
    head: Vec<u8>,
    chunk: Option<(BatchFrame, Vec<u8>)>,
}

impl Frames {
    /// The next chunk that is whole; nothing when `bytes` are used up before.
    fn next(&mut self, bytes: &mut Bytes) -> Result<Option<(u32, Bytes)>, ApiError> {
        let (frame, mut chunk) = match self.chunk.take() {
            Some(open) => open,
            None => match self.next_head(bytes)? {
                Some(frame) => (frame, Vec::new()),
                None => return Ok(None),
            },
        };
        let wanted = frame.length as usize - chunk.len();
        if bytes.len() >= wanted {
            let last = bytes.split_to(wanted);
            if chunk.is_empty() {
                return Ok(Some((frame.index, last)));
            }
            chunk.extend_from_slice(&last);
            return Ok(Some((frame.index, Bytes::from(chunk))));
        }
        chunk.reserve_exact(wanted);
        chunk.extend_from_slice(&std::mem::take(bytes));
        self.chunk = Some((frame, chunk));
        Ok(None)
    }

    fn next_head(&mut self, bytes: &mut Bytes) -> Result<Option<BatchFrame>, ApiError> {
        let wanted = BatchFrame::LEN - self.head.len();
        self.head.extend_from_slice(&bytes.split_to(wanted.min(bytes.len())));
        let Some(head) = self.head.first_chunk::<{ BatchFrame::LEN }>() else { return Ok(None) };
        let frame = BatchFrame::from_bytes(*head);
        self.head.clear();
        if frame.length == 0 || frame.length as usize > limits::CHUNK_MAX {
            let (index, max) = (frame.index, limits::CHUNK_MAX);
            let message = format!("chunk {index}: a chunk has 1 to {max} bytes");
            return Err(ApiError::invalid("body", &[], message));
        }
        Ok(Some(frame))
    }

    fn is_empty(&self) -> bool {
        self.head.is_empty() && self.chunk.is_none()
    }
}

fn chunk_result(chunk: BatchedChunk) -> ChunkResult {
    let (status, error) = match chunk.outcome {
        ChunkOutcome::Stored => (ChunkStatus::Stored, None),
        ChunkOutcome::Known => (ChunkStatus::Known, None),
        ChunkOutcome::Rejected(refusal) => (ChunkStatus::Rejected, Some(item_error(refusal))),
    };
    ChunkResult { index: chunk.index, status, error }
}

/// A refusal of one entry among others.
pub(super) fn item_error(refusal: Refusal) -> ItemError {
    entry_error(ApiError::from(refusal))
}

/// The same for what was refused before anybody judged it.
pub(super) fn entry_error(error: ApiError) -> ItemError {
    ItemError { code: error.code, detail: error.body("", None).sentence() }
}

/// Make the file of a session's chunks
#[utoipa::path(
    post, path = "/uploads/{id}/complete", operation_id = "complete_upload",
    tag = "uploads", params(("id" = String, Path)),
    request_body(content = Option<CompleteUpload>),
    responses((status = 200, description = "As it is now.", body = CompletedUpload)),
)]
async fn complete(
    Shared(state): Shared<ApiState>,
    Asking(call): Asking,
    Path(text): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let upload = upload_id(&text)?;
    let bytes = read_body(&headers, body, limits::JSON_MAX).await?;
    let told: CompleteUpload =
        if bytes.is_empty() { CompleteUpload::default() } else { parse_json(&bytes)? };
    let declared = told.checksum_sha256.map(Sha256::from);
    let call = call.covering(node_base::sha256(&bytes));
    let answer = state.ops.complete_upload(&call, upload, declared).await?;
    completed(&state, &call, &answer)
}

/// What a commit that ends an upload is answered with.
fn completed(state: &ApiState, call: &Call, answer: &Answer) -> Result<Response, ApiError> {
    let tenant = call.caller.tenant;
    let view = super::place::committed(state, tenant, answer)?;
    let ItemId::File(file) = view.id else {
        return Err(ApiError::new(ErrorCode::Internal, "An upload made something else."));
    };
    Ok(match present::file(tenant, view) {
        present::Seen::Whole(shape) => {
            (StatusCode::OK, Json(CompletedUpload { file_id: file.to_string(), file: shape }))
                .into_response()
        }
        only @ present::Seen::Only { .. } => Json(only).into_response(),
    })
}

#[cfg(test)]
mod tests {
    use api_types::v1::uploads::BatchFrame;
    use bytes::Bytes;

    use super::Frames;

    #[test]
    fn frames_come_out_as_they_went_in_however_the_body_is_cut() {
        let chunks = [1, 8, 40, 3, 100].map(|len: u8| Bytes::from(vec![len; usize::from(len)]));
        let chunks: Vec<(u32, Bytes)> = (7..).zip(chunks).collect();
        let mut body = Vec::new();
        for (index, chunk) in &chunks {
            let head = BatchFrame { index: *index, length: chunk.len() as u32 };
            body.extend_from_slice(&head.to_bytes());
            body.extend_from_slice(chunk);
        }
        for size in 1..=body.len() {
            let (mut frames, mut taken) = (Frames::default(), Vec::new());
            for some in body.chunks(size) {
                let mut some = Bytes::copy_from_slice(some);
                while let Some(frame) = frames.next(&mut some).expect("sound frames") {
                    taken.push(frame);
                }
            }
            assert_eq!(taken, chunks, "in pieces of {size}");
            assert!(frames.is_empty());
            let mut half = Bytes::copy_from_slice(&body[..size]);
            while frames.next(&mut half).expect("sound frames").is_some() {}
            let ends = [9, 25, 73, 84, 192];
            assert_eq!(frames.is_empty(), ends.contains(&size), "after {size} bytes");
        }
    }
}
