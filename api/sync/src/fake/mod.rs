//! A server in memory that speaks as much of the contract as moving files asks of it.

mod routes;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use api_types::v1::error::{Detail, ErrorBody, ErrorCode, ErrorInfo};
use api_types::v1::files::{ChecksumStatus, File};
use api_types::v1::folders::Folder;
use api_types::v1::sync::{Change, ChangeMetadata, ChangeType};
use api_types::v1::uploads::{CreateUpload, DeclaredChunk};
use api_types::v1::{Item, ResourceType};
use api_types::{Hash, Time};
use axum::Json;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use node_base::{Sha256, Timestamp, sha256};

pub(crate) use routes::serve;

pub(crate) const SHARE: &str = "shr_1";

#[derive(Clone)]
struct Content {
    bytes: Bytes,
    chunks: Vec<DeclaredChunk>,
    version: u32,
    modified: Option<Time>,
    executable: bool,
}

#[derive(Clone)]
struct Node {
    parent: Option<String>,
    name: String,
    content: Option<Content>,
}

struct Session {
    upload: CreateUpload,
    chunks: Vec<DeclaredChunk>,
}

pub(crate) type Meanwhile = Box<dyn FnOnce(&mut Server) + Send>;

#[derive(Default)]
pub(crate) struct Server {
    nodes: BTreeMap<String, Node>,
    log: Vec<Change>,
    chunks: BTreeMap<Sha256, Bytes>,
    sessions: BTreeMap<String, Session>,
    pub(crate) devices: Vec<String>,
    count: u32,
    /// Every request, as `METHOD /path`.
    pub(crate) asked: Vec<String>,
    /// Cursors of another incarnation than this one are refused.
    pub(crate) incarnation: u32,
    /// The next request for changes is told that its cursor is too old, the history being the same.
    pub(crate) forgot_history: bool,
    /// Ids of what is closed to the caller, with all below it.
    closed: BTreeSet<String>,
    /// Nothing of the share is listed any more.
    is_closed: bool,
    /// What somebody does while the next small files are on their way.
    pub(crate) meanwhile: Option<Meanwhile>,
    /// The next snapshot misses what moves from here to there while it is walked.
    pub(crate) moves_meanwhile: Option<(&'static str, &'static str)>,
    /// After so many batches of chunks, refuse all.
    pub(crate) batches_left: Option<u32>,
    /// Files larger than this have no room.
    pub(crate) room: Option<u64>,
    /// Paths whose pieces the caller may not see.
    pub(crate) secret: BTreeSet<&'static str>,
    /// Conflicts that nobody has settled.
    pub(crate) conflicts: BTreeSet<String>,
    /// The next completion finds the first chunk gone.
    pub(crate) loses_a_chunk: bool,
}

type Shared = Arc<Mutex<Server>>;

fn lock(server: &Shared) -> MutexGuard<'_, Server> {
    server.lock().expect("not poisoned")
}

fn refuse(code: ErrorCode) -> Response {
    let status = StatusCode::from_u16(code.status()).expect("a status");
    let detail = Detail::Sentence(format!("{code:?}."));
    let error = ErrorInfo::new(code, "r".to_owned());
    (status, Json(ErrorBody { detail, error })).into_response()
}

fn now() -> Time {
    Time(Timestamp::from_millis(1_795_442_709_000))
}

impl Server {
    fn missing(&self, session: &Session, from: usize) -> Vec<u64> {
        let lacks = |at: &usize| !self.chunks.contains_key(&session.chunks[*at].sha256.0);
        (from..session.chunks.len()).filter(lacks).map(|at| at as u64).collect()
    }

    fn next(&mut self) -> u32 {
        self.count += 1;
        self.count
    }

    fn path(&self, id: &str) -> String {
        let node = &self.nodes[id];
        let above = node.parent.as_ref().map(|parent| self.path(parent)).unwrap_or_default();
        format!("{above}/{}", node.name)
    }

    fn file(&self, id: &str) -> File {
        let node = &self.nodes[id];
        let content = node.content.as_ref().expect("a file");
        File {
            id: id.to_owned(),
            tenant_id: "tnt_1".to_owned(),
            share_id: SHARE.to_owned(),
            folder_id: node.parent.clone(),
            name: node.name.clone(),
            path: self.path(id),
            mime_type: "application/octet-stream".to_owned(),
            size: content.bytes.len() as u64,
            checksum_sha256: checksum(content),
            checksum_status: ChecksumStatus::Pending,
            version: content.version,
            version_id: format!("ver_{id}_{}", content.version),
            owner_id: "usr_1".to_owned(),
            created_by: "usr_1".to_owned(),
            created_at: now(),
            modified_by: "usr_1".to_owned(),
            modified_at: now(),
            client_modified_at: content.modified,
            executable: content.executable,
            is_deleted: false,
            vectorized_at: None,
        }
    }

    fn item(&self, id: &str) -> Item {
        let node = &self.nodes[id];
        if node.content.is_some() {
            return Item::File(self.file(id));
        }
        Item::Folder(Folder {
            id: id.to_owned(),
            tenant_id: "tnt_1".to_owned(),
            share_id: SHARE.to_owned(),
            parent_id: node.parent.clone(),
            name: node.name.clone(),
            path: self.path(id),
            owner_id: "usr_1".to_owned(),
            created_by: "usr_1".to_owned(),
            created_at: now(),
            modified_at: now(),
            is_deleted: false,
        })
    }

    fn children(&self, parent: Option<&str>) -> Vec<String> {
        let here = |(_, node): &(&String, &Node)| node.parent.as_deref() == parent;
        self.nodes.iter().filter(here).map(|(id, _)| id.clone()).collect()
    }

    fn named(&self, parent: Option<&str>, name: &str) -> Option<String> {
        self.children(parent).into_iter().find(|id| self.nodes[id].name == name)
    }

    fn put(&mut self, parent: Option<String>, name: &str, content: Option<Content>) -> String {
        let kind = if content.is_some() { "fil" } else { "fld" };
        let id = format!("{kind}_{}", self.next());
        self.nodes.insert(id.clone(), Node { parent, name: name.to_owned(), content });
        self.log(&id, ChangeType::Created);
        id
    }

    fn log(&mut self, id: &str, change_type: ChangeType) {
        let node = self.nodes[id].clone();
        let metadata = node.content.as_ref().map(|content| ChangeMetadata {
            size: Some(content.bytes.len() as u64),
            mime_type: None,
            checksum_sha256: checksum(content),
            client_modified_at: content.modified,
            executable: Some(content.executable),
        });
        self.log.push(Change {
            id: format!("chg_{}", self.log.len()),
            seq: self.log.len() as u64,
            tenant_id: "tnt_1".to_owned(),
            share_id: SHARE.to_owned(),
            resource_type: match node.content {
                Some(_) => ResourceType::File,
                None => ResourceType::Folder,
            },
            resource_id: id.to_owned(),
            change_type,
            changed_by: "usr_1".to_owned(),
            device_id: None,
            changed_at: now(),
            old_path: None,
            new_path: None,
            parent_id: node.parent,
            name: Some(node.name),
            version_id: node.content.map(|content| format!("ver_{id}_{}", content.version)),
            metadata,
            subtree: false,
        });
    }

    fn remove(&mut self, id: &str) {
        self.log(id, ChangeType::Deleted);
        self.drop_below(id);
    }

    fn drop_below(&mut self, id: &str) {
        for child in self.children(Some(id)) {
            self.drop_below(&child);
        }
        self.nodes.remove(id);
    }

    fn content(&mut self, bytes: &[Bytes], modified: Option<Time>, executable: bool) -> Content {
        let mut chunks = Vec::new();
        for chunk in bytes.iter().filter(|chunk| !chunk.is_empty()) {
            let hash = sha256(chunk);
            chunks.push(DeclaredChunk { sha256: Hash(hash), size: chunk.len() as u32 });
            self.chunks.insert(hash, chunk.clone());
        }
        let whole = bytes.concat();
        Content { bytes: whole.into(), chunks, version: 1, modified, executable }
    }

    /// A new file, or a new version; nothing if what it follows is not current.
    fn commit(
        &mut self,
        parent: Option<String>,
        name: &str,
        mut content: Content,
        replaces: Option<(&str, Option<&str>)>,
    ) -> Option<String> {
        let Some((id, base)) = replaces else {
            return self
                .named(parent.as_deref(), name)
                .is_none()
                .then(|| self.put(parent, name, Some(content)));
        };
        let old = self.nodes.get(id)?.content.as_ref()?.version;
        if base.is_some_and(|base| base != format!("ver_{id}_{old}")) {
            return None;
        }
        content.version = old + 1;
        self.nodes.get_mut(id)?.content = Some(content);
        self.log(id, ChangeType::Updated);
        Some(id.to_owned())
    }

    fn folder_at(&mut self, parent: Option<String>, path: &str) -> Option<String> {
        path.split('/').filter(|name| !name.is_empty()).fold(parent, |parent, name| {
            let there = self.named(parent.as_deref(), name);
            Some(there.unwrap_or_else(|| self.put(parent, name, None)))
        })
    }

    fn find(&self, path: &str) -> String {
        path.split('/')
            .fold(None, |parent: Option<String>, name| self.named(parent.as_deref(), name))
            .expect("it is there")
    }

    /// Whether the caller may see it.
    fn is_open(&self, id: &str) -> bool {
        let Some(node) = self.nodes.get(id) else { return false };
        !self.closed.contains(id) && node.parent.as_ref().is_none_or(|parent| self.is_open(parent))
    }

    /// A row that tells the caller to look at all of it again.
    fn log_anew(&mut self) {
        let seq = self.log.len() as u64;
        self.log.push(Change {
            id: format!("chg_{seq}"),
            seq,
            tenant_id: "tnt_1".to_owned(),
            share_id: SHARE.to_owned(),
            resource_type: ResourceType::Share,
            resource_id: SHARE.to_owned(),
            change_type: ChangeType::Permissions,
            changed_by: "usr_1".to_owned(),
            device_id: None,
            changed_at: now(),
            old_path: None,
            new_path: None,
            parent_id: None,
            name: None,
            version_id: None,
            metadata: None,
            subtree: true,
        });
    }

    // What somebody else does.

    /// Takes the caller's rights to something, so that all is to be looked at again.
    pub(crate) fn close(&mut self, path: &str) {
        let id = self.find(path);
        self.closed.insert(id);
        self.log_anew();
    }

    pub(crate) fn open(&mut self, path: &str) {
        let id = self.find(path);
        self.closed.remove(&id);
        self.log_anew();
    }

    /// As if other rows had told of it long ago.
    pub(crate) fn open_unsaid(&mut self, path: &str) {
        let id = self.find(path);
        self.closed.remove(&id);
    }

    /// Takes all of the caller's rights.
    pub(crate) fn close_share(&mut self) {
        self.is_closed = true;
        self.log_anew();
    }

    /// Takes the caller's rights to something in a folder that is told of as changed itself.
    pub(crate) fn close_in(&mut self, folder: &str, name: &str) {
        let closed = self.find(&format!("{folder}/{name}"));
        self.closed.insert(closed);
        let id = self.find(folder);
        self.log(&id, ChangeType::Permissions);
        self.log.last_mut().expect("just logged").subtree = true;
    }

    pub(crate) fn write(&mut self, path: &str, bytes: &[u8]) {
        let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
        let parent = self.folder_at(None, above);
        let pieces: Vec<Bytes> = bytes.chunks(1 << 20).map(Bytes::copy_from_slice).collect();
        let content = self.content(&pieces, Some(now()), false);
        let old = self.named(parent.as_deref(), name);
        self.commit(parent, name, content, old.as_deref().map(|id| (id, None)));
    }

    pub(crate) fn delete(&mut self, path: &str) {
        let id = self.find(path);
        self.remove(&id);
    }

    pub(crate) fn shift(&mut self, from: &str, to: &str) {
        let id = self.find(from);
        let (above, name) = to.rsplit_once('/').unwrap_or(("", to));
        let parent = self.folder_at(None, above);
        let node = self.nodes.get_mut(&id).expect("found");
        (node.parent, node.name) = (parent, name.to_owned());
        self.log(&id, ChangeType::Moved);
    }

    pub(crate) fn files(&self) -> BTreeMap<String, Bytes> {
        let file = |(id, node): (&String, &Node)| {
            Some((self.path(id)[1..].to_owned(), node.content.as_ref()?.bytes.clone()))
        };
        self.nodes.iter().filter_map(file).collect()
    }

    pub(crate) fn is_executable(&self, path: &str) -> bool {
        let id = self.find(path);
        self.nodes[&id].content.as_ref().is_some_and(|content| content.executable)
    }

    pub(crate) fn forget_requests(&mut self) {
        self.asked.clear();
    }
}

/// Known for a file of one chunk, as the contract has it.
fn checksum(content: &Content) -> Option<Hash> {
    match content.chunks.as_slice() {
        [] => Some(Hash(sha256(b""))),
        [one] => Some(one.sha256),
        _ => None,
    }
}
