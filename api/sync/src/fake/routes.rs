//! The routes of the server in memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use api_types::v1::conflicts::{Conflict, ConflictStatus, ConflictType};
use api_types::v1::error::{Detail, ErrorBody, ErrorCode, ErrorInfo, ItemError};
use api_types::v1::files::{Manifest, ManifestChunk, PatchFile};
use api_types::v1::folders::ROOT;
use api_types::v1::sync::{
    Applied, Apply, ApplyChange, ApplyResult, ApplyStatus, ApplyType, Change, ChangeType, Changes,
    ChangesQuery, Device, RegisterDevice, SnapshotQuery,
};
use api_types::v1::uploads::{
    BatchFrame, BatchItem, BatchResult, BatchResults, BatchStatus, ChunkResult, ChunkResults,
    ChunkStatus, CompletedUpload, CreateUpload, DeclareChunks, DeclaredChunk, DeclaredChunks,
    FileBatchQuery, Upload, UploadState, UploadStatus,
};
use api_types::v1::{Item, ItemType, ResourceType};
use api_types::{Hash, Patch};
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Multipart, Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, patch, post};
use axum::{Json, Router};
use node_base::sha256;

use super::{SHARE, Server, Session, Shared, lock, now, refuse};

#[expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "the fake stands for the outside: it listens on a real socket"
)]
pub(crate) async fn serve() -> (String, Shared) {
    let server = Shared::default();
    let noted = Arc::clone(&server);
    let router = Router::new()
        .route("/api/v1/sync/snapshot", get(snapshot))
        .route("/api/v1/sync/changes", get(changes))
        .route("/api/v1/sync/apply", post(apply))
        .route("/api/v1/sync/devices", post(register))
        .route("/api/v1/sync/conflicts/{id}/resolve", post(resolve))
        .route("/api/v1/files/batch", post(files_batch))
        .route("/api/v1/files/{id}", patch(patch_file).get(item))
        .route("/api/v1/folders/{id}", get(item))
        .route("/api/v1/files/{id}/content", get(content))
        .route("/api/v1/files/{id}/manifest", get(manifest))
        .route("/api/v1/uploads", post(create_upload))
        .route("/api/v1/uploads/{id}", get(upload_state))
        .route("/api/v1/uploads/{id}/chunks", post(declare))
        .route("/api/v1/uploads/{id}/chunks/batch", post(chunks_batch))
        .route("/api/v1/uploads/{id}/complete", post(complete))
        .layer(DefaultBodyLimit::max(80 << 20))
        .layer(axum::middleware::map_request(move |request: axum::extract::Request| {
            let line = format!("{} {}", request.method(), request.uri().path());
            lock(&noted).asked.push(line);
            async move { request }
        }))
        .with_state(Arc::clone(&server));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = format!("http://{}", listener.local_addr().expect("bound"));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (address, server)
}

async fn snapshot(State(server): State<Shared>, Query(query): Query<SnapshotQuery>) -> Response {
    let mut server = lock(&server);
    if server.is_closed {
        return refuse(ErrorCode::NotFound);
    }
    let cursor = format!("{}.{}", server.incarnation, server.log.len());
    let missed = server.moves_meanwhile.take().map(|(from, to)| (server.find(from), from, to));
    let mut lines = String::new();
    let mut open = vec![query.folder_id];
    while let Some(parent) = open.pop() {
        for id in server.children(parent.as_deref()) {
            if !server.is_open(&id) || missed.as_ref().is_some_and(|(missed, ..)| *missed == id) {
                continue;
            }
            lines += &serde_json::to_string(&server.item(&id)).expect("writable");
            lines += "\n";
            open.push(Some(id));
        }
    }
    if let Some((_, from, to)) = missed {
        server.shift(from, to);
    }
    lines += &format!("{{\"cursor\":\"{cursor}\"}}\n");
    lines.into_response()
}

/// Both kinds are asked for alike.
async fn item(State(server): State<Shared>, Path(id): Path<String>) -> Response {
    let server = lock(&server);
    if !server.is_open(&id) {
        return refuse(ErrorCode::NotFound);
    }
    match server.item(&id) {
        Item::File(file) => Json(file).into_response(),
        Item::Folder(folder) => Json(folder).into_response(),
    }
}

async fn changes(State(server): State<Shared>, Query(query): Query<ChangesQuery>) -> Response {
    let mut server = lock(&server);
    if std::mem::take(&mut server.forgot_history) {
        let mut error = ErrorInfo::new(ErrorCode::CursorExpired, "r".to_owned());
        error.history_replaced = Some(false);
        let detail = Detail::Sentence("The cursor is too old.".to_owned());
        return (StatusCode::GONE, Json(ErrorBody { detail, error })).into_response();
    }
    let cursor = query.cursor.unwrap_or_default();
    let (incarnation, at) = cursor.split_once('.').expect("a cursor of ours");
    if incarnation != server.incarnation.to_string() {
        return refuse(ErrorCode::CursorExpired);
    }
    let at: usize = at.parse().expect("a cursor of ours");
    let end = server.log.len().min(at + query.limit.unwrap_or(1000) as usize);
    // Rows about what is closed are not told; what is gone was open.
    let told = |row: &&Change| {
        let id = &row.resource_id;
        row.resource_type == ResourceType::Share
            || !server.nodes.contains_key(id)
            || server.is_open(id)
    };
    Json(Changes {
        changes: server.log[at..end].iter().filter(told).cloned().collect(),
        cursor: format!("{incarnation}.{end}"),
        has_more: end < server.log.len(),
        share_id: query.share_id,
    })
    .into_response()
}

async fn register(State(server): State<Shared>, Json(device): Json<RegisterDevice>) -> Response {
    lock(&server).devices.push(device.device_id.clone());
    Json(Device {
        device_id: device.device_id,
        device_name: device.device_name,
        platform: device.platform,
        client_version: device.client_version,
        last_seen_at: now(),
        created_at: now(),
        cursors: Vec::new(),
    })
    .into_response()
}

async fn apply(State(server): State<Shared>, Json(body): Json<Apply>) -> Response {
    let mut server = lock(&server);
    if !server.devices.contains(&body.device_id) {
        return refuse(ErrorCode::NotFound);
    }
    let mut made = BTreeMap::new();
    let mut results = Vec::new();
    for change in body.changes {
        results.push(apply_one(&mut server, &mut made, change));
    }
    let cursor = format!("{}.{}", server.incarnation, server.log.len());
    Json(Applied { results, cursor }).into_response()
}

fn apply_one(
    server: &mut Server,
    made: &mut BTreeMap<String, String>,
    change: ApplyChange,
) -> ApplyResult {
    let rejected = |code| ApplyResult {
        client_ref: change.client_ref.clone(),
        status: ApplyStatus::Rejected,
        resource: None,
        conflict: None,
        error: Some(ItemError { code, detail: format!("{code:?}") }),
    };
    let parent = match (&change.parent_id, &change.parent_ref) {
        (_, Some(reference)) => Some(made[reference].clone()),
        (Some(id), None) => Some(id.clone()).filter(|id| id != ROOT),
        (None, None) => None,
    };
    let name = change.name.clone().unwrap_or_default();
    let id = match change.change_type {
        ApplyType::Created => {
            if server.named(parent.as_deref(), &name).is_some() {
                return rejected(ErrorCode::NameConflict);
            }
            server.put(parent, &name, None)
        }
        ApplyType::Deleted => {
            let id = change.resource_id.clone().expect("what is deleted has an id");
            let Some(node) = server.nodes.get(&id) else { return rejected(ErrorCode::NotFound) };
            let version = node.content.as_ref().map(|now| format!("ver_{id}_{}", now.version));
            if change.base_version_id.is_some() && change.base_version_id != version {
                return ApplyResult { status: ApplyStatus::Conflict, ..rejected(ErrorCode::Cycle) };
            }
            let resource = Some(server.item(&id));
            server.remove(&id);
            let status = ApplyStatus::Applied;
            return ApplyResult { status, resource, error: None, ..rejected(ErrorCode::Cycle) };
        }
        ApplyType::Moved | ApplyType::Renamed => {
            let id = change.resource_id.clone().expect("what is moved has an id");
            let Some(node) = server.nodes.get_mut(&id) else {
                return rejected(ErrorCode::NotFound);
            };
            node.name = name;
            if change.change_type == ApplyType::Moved {
                node.parent = parent;
            }
            server.log(&id, ChangeType::Moved);
            id
        }
        ApplyType::Updated | ApplyType::Restored => return rejected(ErrorCode::Validation),
    };
    made.insert(change.client_ref.clone(), id.clone());
    let resource = Some(server.item(&id));
    ApplyResult {
        status: ApplyStatus::Applied,
        resource,
        error: None,
        ..rejected(ErrorCode::Cycle)
    }
}

async fn files_batch(
    State(server): State<Shared>,
    Query(query): Query<FileBatchQuery>,
    mut form: Multipart,
) -> Response {
    assert_eq!(query.share_id, SHARE);
    let first = form.next_field().await.expect("a form").expect("items come first");
    assert_eq!(first.name(), Some("items"));
    let items: Vec<BatchItem> =
        serde_json::from_slice(&first.bytes().await.expect("whole")).expect("as the contract says");
    let mut contents = Vec::new();
    while let Some(field) = form.next_field().await.expect("a form") {
        contents.push(field.bytes().await.expect("whole"));
    }
    assert_eq!(items.len(), contents.len());
    let mut server = lock(&server);
    if let Some(meanwhile) = server.meanwhile.take() {
        meanwhile(&mut server);
    }
    let mut results = Vec::new();
    for (item, bytes) in items.into_iter().zip(contents) {
        let (above, name) = item.path.rsplit_once('/').unwrap_or(("", &item.path));
        let parent = server.folder_at(item.folder_id.clone(), above);
        let executable = item.executable.unwrap_or_default();
        let size = bytes.len() as u64;
        let content = server.content(&[bytes], item.client_modified_at, executable);
        let base = item.base_version_id.as_deref();
        let replaces = item.replace_file_id.as_deref().map(|id| (id, base));
        let (client_ref, room) = (item.client_ref, server.room);
        results.push(if room.is_some_and(|room| size > room) {
            let (status, error) = (BatchStatus::Rejected, Some(no_room()));
            BatchResult { client_ref, status, file: None, conflict: None, error }
        } else if let Some(id) = server.commit(parent, name, content, replaces) {
            let (status, file) = (BatchStatus::Created, Some(server.file(&id)));
            BatchResult { client_ref, status, file, conflict: None, error: None }
        } else {
            let file = item.replace_file_id.unwrap_or_default();
            let (status, conflict) = (BatchStatus::Conflict, Some(server.raise(&file)));
            BatchResult { client_ref, status, file: None, conflict, error: None }
        });
    }
    Json(BatchResults { results }).into_response()
}

async fn patch_file(
    State(server): State<Shared>,
    Path(id): Path<String>,
    Json(body): Json<PatchFile>,
) -> Response {
    let mut server = lock(&server);
    if let (Patch::Set(marked), Some(node)) = (body.executable, server.nodes.get_mut(&id))
        && let Some(content) = &mut node.content
    {
        content.executable = marked;
    }
    server.log(&id, ChangeType::Updated);
    Json(server.file(&id)).into_response()
}

async fn content(
    State(server): State<Shared>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    let server = lock(&server);
    let Some(content) = server.nodes.get(&id).and_then(|node| node.content.clone()) else {
        return refuse(ErrorCode::NotFound);
    };
    let etag = format!("\"ver_{id}_{}\"", content.version);
    let text = |name| headers.get(name).map(|value| value.to_str().expect("ASCII").to_owned());
    let current = text("if-range").is_none_or(|wanted| wanted == etag);
    let response = Response::builder().header("etag", etag);
    match text("range").filter(|_| current) {
        Some(range) => {
            let (start, end) = range[6..].split_once('-').expect("both ends");
            let (start, end): (usize, usize) =
                (start.parse().expect("a number"), end.parse().expect("a number"));
            let part = content.bytes.slice(start..=end);
            response.status(206).body(Body::from(part)).expect("well-formed")
        }
        None => response.body(Body::from(content.bytes)).expect("well-formed"),
    }
}

async fn manifest(State(server): State<Shared>, Path(id): Path<String>) -> Response {
    let server = lock(&server);
    if server.secret.contains(server.path(&id).trim_start_matches('/')) {
        return refuse(ErrorCode::PermissionDenied);
    }
    let Some(content) = server.nodes.get(&id).and_then(|node| node.content.clone()) else {
        return refuse(ErrorCode::NotFound);
    };
    let mut offset = 0;
    let mut chunks = Vec::new();
    for DeclaredChunk { sha256, size } in content.chunks {
        chunks.push(ManifestChunk { sha256, offset, size });
        offset += u64::from(size);
    }
    let version_id = Some(format!("ver_{id}_{}", content.version));
    Json(Manifest { size: offset, checksum_sha256: None, chunks, version_id }).into_response()
}

fn no_room() -> ItemError {
    let detail = "there is no room".to_owned();
    ItemError { code: ErrorCode::QuotaExceeded, detail }
}

async fn resolve(State(server): State<Shared>, Path(id): Path<String>) -> Response {
    let mut server = lock(&server);
    if server.conflicts.remove(&id) {
        Json(conflict(id, String::new())).into_response()
    } else {
        refuse(ErrorCode::NotFound)
    }
}

async fn create_upload(State(server): State<Shared>, Json(upload): Json<CreateUpload>) -> Response {
    let mut server = lock(&server);
    if server.room.is_some_and(|room| upload.file_size > room) {
        return refuse(ErrorCode::QuotaExceeded);
    }
    let id = format!("upl_{}", server.next());
    let session = Session { chunks: upload.chunks.clone().unwrap_or_default(), upload };
    let (total, missing) = (session.chunks.len(), server.missing(&session, 0));
    server.sessions.insert(id.clone(), session);
    Json(Upload {
        session_id: id,
        chunk_size: None,
        total_chunks: total as u64,
        missing,
        expires_at: now(),
        status: UploadStatus::Open,
    })
    .into_response()
}

async fn declare(
    State(server): State<Shared>,
    Path(id): Path<String>,
    Json(body): Json<DeclareChunks>,
) -> Response {
    let mut server = lock(&server);
    let Some(session) = server.sessions.get_mut(&id) else { return refuse(ErrorCode::NotFound) };
    let from = session.chunks.len();
    session.chunks.extend(body.chunks);
    let session = &server.sessions[&id];
    let (total_chunks, missing) = (session.chunks.len() as u64, server.missing(session, from));
    Json(DeclaredChunks { total_chunks, missing }).into_response()
}

async fn upload_state(State(server): State<Shared>, Path(id): Path<String>) -> Response {
    let server = lock(&server);
    let Some(session) = server.sessions.get(&id) else { return refuse(ErrorCode::NotFound) };
    let missing = server.missing(session, 0);
    let received = (session.chunks.len() - missing.len()) as u64;
    let status = UploadStatus::Open;
    Json(UploadState { status, received, missing, expires_at: now() }).into_response()
}

async fn chunks_batch(
    State(server): State<Shared>,
    Path(id): Path<String>,
    body: Bytes,
) -> Response {
    let mut server = lock(&server);
    if server.batches_left == Some(0) {
        return refuse(ErrorCode::QuotaExceeded);
    }
    server.batches_left = server.batches_left.map(|left| left - 1);
    let mut results = Vec::new();
    let mut rest = body;
    while !rest.is_empty() {
        let head = rest.split_to(BatchFrame::LEN);
        let frame = BatchFrame::from_bytes(head.as_ref().try_into().expect("eight bytes"));
        let bytes = rest.split_to(frame.length as usize);
        let declared = server.sessions[&id].chunks[frame.index as usize];
        assert_eq!(Hash(sha256(&bytes)), declared.sha256);
        server.chunks.insert(declared.sha256.0, bytes);
        let index = u64::from(frame.index);
        results.push(ChunkResult { index, status: ChunkStatus::Stored, error: None });
    }
    Json(ChunkResults { results }).into_response()
}

async fn complete(State(server): State<Shared>, Path(id): Path<String>) -> Response {
    let mut server = lock(&server);
    if std::mem::take(&mut server.loses_a_chunk) {
        let first = server.sessions[&id].chunks[0].sha256.0;
        server.chunks.remove(&first);
        let mut error = ErrorInfo::new(ErrorCode::Validation, "r".to_owned());
        error.missing = Some(vec![0]);
        let detail = Detail::Sentence("Chunks are missing.".to_owned());
        return (StatusCode::UNPROCESSABLE_ENTITY, Json(ErrorBody { detail, error }))
            .into_response();
    }
    let Some(session) = server.sessions.get(&id) else { return refuse(ErrorCode::NotFound) };
    assert_eq!(server.missing(session, 0), [] as [u64; 0], "complete comes last");
    let upload = session.upload.clone();
    let pieces: Vec<Bytes> =
        session.chunks.iter().map(|chunk| server.chunks[&chunk.sha256.0].clone()).collect();
    let executable = upload.executable.unwrap_or_default();
    let content = server.content(&pieces, upload.client_modified_at, executable);
    assert_eq!(content.bytes.len() as u64, upload.file_size);
    let base = upload.base_version_id.as_deref();
    let replaces = upload.replace_file_id.as_deref().map(|id| (id, base));
    let parent = upload.folder_id.clone().filter(|id| id != ROOT);
    match server.commit(parent, &upload.file_name, content, replaces) {
        Some(id) => {
            Json(CompletedUpload { file_id: id.clone(), file: server.file(&id) }).into_response()
        }
        None => {
            let file = upload.replace_file_id.unwrap_or_default();
            refuse_late(server.raise(&file))
        }
    }
}

fn refuse_late(conflict: Conflict) -> Response {
    let mut error = ErrorInfo::new(ErrorCode::VersionConflict, "r".to_owned());
    error.conflict = Some(Box::new(conflict));
    let detail = Detail::Sentence("It was changed meanwhile.".to_owned());
    (StatusCode::CONFLICT, Json(ErrorBody { detail, error })).into_response()
}

fn conflict(id: String, file: String) -> Conflict {
    Conflict {
        id,
        tenant_id: "tnt_1".to_owned(),
        share_id: SHARE.to_owned(),
        device_id: None,
        user_id: "usr_1".to_owned(),
        resource_type: ItemType::File,
        resource_id: file,
        conflict_type: ConflictType::Content,
        base_version_id: None,
        client_version: None,
        server_version_id: None,
        status: ConflictStatus::Open,
        resolution: None,
        resolved_by: None,
        created_at: now(),
        resolved_at: None,
    }
}

impl Server {
    /// Notes a conflict about a file.
    fn raise(&mut self, file: &str) -> Conflict {
        let id = format!("cfl_{}", self.conflicts.len() + 1);
        self.conflicts.insert(id.clone());
        conflict(id, file.to_owned())
    }
}
