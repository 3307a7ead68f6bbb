//! Requests as clients of the contract write them.

use api_types::v1::conflicts::Strategy;
use bytes::Bytes;
use http::Method;
use node_base::{ShareId, UploadId, UserId};
use raft_meta::table::item::{ItemId, Parent};
use serde_json::{Value, json};

use super::content::Content;
use super::upload::Goal;
use crate::history::{Ask, Way, key};

/// A request, apart from who sends it where.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) path: String,
    /// The content's type.
    pub(crate) kind: Option<String>,
    pub(crate) body: Bytes,
    /// The idempotency key.
    pub(crate) key: Option<String>,
    /// What a browser sends of what it was given.
    pub(crate) cookie: Option<String>,
    /// Whether to be told that one is nobody is an answer: a token of a node whose clock is fast is
    /// good at no other node for a while.
    pub(crate) may_be_nobody: bool,
    /// Below what the path lies.
    pub(crate) root: &'static str,
}

impl Request {
    pub(crate) fn new(method: Method, path: String) -> Self {
        Self {
            method,
            path,
            kind: None,
            body: Bytes::new(),
            key: None,
            cookie: None,
            may_be_nobody: false,
            root: "/api/v1",
        }
    }

    pub(crate) fn get(path: String) -> Self {
        Self::new(Method::GET, path)
    }

    pub(crate) fn json(method: Method, path: String, body: &Value) -> Self {
        let kind = Some("application/json".to_owned());
        Self { kind, body: body.to_string().into(), ..Self::new(method, path) }
    }

    pub(crate) fn with_key(self, key: String) -> Self {
        Self { key: Some(key), ..self }
    }
}

/// The collection an item is in, and its id.
fn address(item: ItemId) -> (&'static str, String) {
    match item {
        ItemId::Folder(folder) => ("folder", folder.to_string()),
        ItemId::File(file) => ("file", file.to_string()),
    }
}

fn item_path(item: ItemId, behind: &str) -> String {
    let (kind, id) = address(item);
    format!("/{kind}s/{id}{behind}")
}

fn trash_path(item: ItemId, behind: &str) -> String {
    let (kind, id) = address(item);
    format!("/trash/{kind}/{id}{behind}")
}

fn folder_text(folder: Parent) -> String {
    folder.map_or_else(|| "root".to_owned(), |folder| folder.to_string())
}

/// The request for something, to be remembered under this number where it changes anything.
pub(crate) fn of(share: ShareId, ask: &Ask, number: Option<u32>) -> Request {
    let request = if ask.is_read() { read(share, ask) } else { change(share, ask) };
    match number {
        Some(number) if !ask.is_read() => request.with_key(key(number)),
        _ => request,
    }
}

fn read(share: ShareId, ask: &Ask) -> Request {
    Request::get(match ask {
        Ask::Stat { item } => item_path(*item, ""),
        Ask::List { folder } => {
            let folder = folder_text(*folder);
            format!("/folders/{folder}/children?share_id={share}&limit=1000")
        }
        Ask::Read { file, number: None } => format!("/files/{file}/content"),
        Ask::Read { file, number: Some(number) } => {
            format!("/files/{file}/content?version={number}")
        }
        Ask::Changes { cursor, limit, wait } => {
            let cursor = cursor.as_ref().map(|cursor| format!("&cursor={cursor}"));
            let cursor = cursor.unwrap_or_default();
            format!("/sync/changes?share_id={share}&limit={limit}&wait={wait}{cursor}")
        }
        Ask::Snapshot { folder: None } => format!("/sync/snapshot?share_id={share}"),
        Ask::Snapshot { folder: Some(folder) } => {
            format!("/sync/snapshot?share_id={share}&folder_id={folder}")
        }
        _ => unreachable!("only reads come here"),
    })
}

fn change(share: ShareId, ask: &Ask) -> Request {
    let post = |path: String, body: Value| Request::json(Method::POST, path, &body);
    let bare = |path: String| Request::new(Method::POST, path);
    match ask {
        Ask::Folder { parent, name } => {
            let parent = folder_text(*parent);
            post(
                "/folders".to_owned(),
                json!({"name": name, "share_id": share.to_string(), "parent_id": parent}),
            )
        }
        Ask::File { parent, name, content, way: Way::Form } => form(share, *parent, name, content),
        Ask::File { way: Way::Session(upload), .. } | Ask::Replace { upload, .. } => {
            bare(format!("/uploads/{upload}/complete"))
        }
        Ask::Relocate { item, to: Some(to), name } => {
            let mut body = match to {
                Some(folder) => json!({"target_folder_id": folder.to_string()}),
                None => json!({"target_share_id": share.to_string()}),
            };
            if let Some(name) = name {
                body["name"] = json!(name);
            }
            post(item_path(*item, "/move"), body)
        }
        Ask::Relocate { item, to: None, name } => {
            Request::json(Method::PATCH, item_path(*item, ""), &json!({"name": name}))
        }
        Ask::Trash { item } => Request::new(Method::DELETE, item_path(*item, "")),
        Ask::Restore { item } => bare(trash_path(*item, "/restore")),
        Ask::Purge { item } => Request::new(Method::DELETE, trash_path(*item, "")),
        Ask::Revive { file, number } => bare(format!("/files/{file}/versions/{number}/restore")),
        Ask::Prune { file, number } => {
            Request::new(Method::DELETE, format!("/files/{file}/versions/{number}"))
        }
        Ask::Member { user, joins: true } => {
            let user = user.to_string();
            let body = json!({"principal_type": "user", "principal_id": user, "role": "reader"});
            post(format!("/shares/{share}/members"), body)
        }
        Ask::Member { user, joins: false } => {
            Request::new(Method::DELETE, format!("/shares/{share}/members/{user}"))
        }
        Ask::Entry { user, joins } => entry(share, *user, *joins),
        Ask::Send { goal, upload, strategy, .. } => {
            post("/sync/apply".to_owned(), apply(share, goal, *upload, *strategy))
        }
        Ask::Resolve { conflict, strategy } => {
            let strategy = word(*strategy);
            bare(format!("/sync/conflicts/{conflict}/resolve?resolution={strategy}"))
        }
        Ask::Pass { item, to } => {
            post(item_path(*item, "/move"), json!({"target_share_id": to.to_string()}))
        }
        Ask::Copy { file, to } => {
            let path = item_path(ItemId::File(*file), "/copy");
            post(path, json!({"target_share_id": to.to_string()}))
        }
        _ => unreachable!("only changes come here"),
    }
}

fn entry(share: ShareId, user: UserId, joins: bool) -> Request {
    let path = format!("/permissions/acl/share/{share}");
    let mut body = json!({
        "principal_type": "user", "principal_id": user.to_string(), "ace_type": "allow",
    });
    if joins {
        body["permissions"] = json!(["READ"]);
    }
    Request::json(if joins { Method::POST } else { Method::DELETE }, path, &body)
}

/// What everybody's device is called.
pub(crate) const DEVICE: &str = "dev_simulator";

fn apply(share: ShareId, goal: &Goal, upload: UploadId, strategy: Strategy) -> Value {
    let mut change = json!({
        "client_ref": "one", "resource_type": "file", "upload_session_id": upload.to_string(),
    });
    match goal {
        Goal::New { parent, name } => {
            change["change_type"] = json!("created");
            change["parent_id"] = json!(folder_text(*parent));
            change["name"] = json!(name);
        }
        Goal::Replace { file, base } => {
            change["change_type"] = json!("updated");
            change["resource_id"] = json!(file.to_string());
            change["base_version_id"] = json!(base.map(|base| base.to_string()));
        }
    }
    json!({
        "device_id": DEVICE, "share_id": share.to_string(),
        "conflict_resolution": word(strategy), "changes": [change],
    })
}

const fn word(strategy: Strategy) -> &'static str {
    match strategy {
        Strategy::ServerWins => "SERVER_WINS",
        Strategy::ClientWins => "CLIENT_WINS",
        Strategy::LastWriterWins => "LAST_WRITER_WINS",
        Strategy::KeepBoth => "KEEP_BOTH",
        Strategy::Manual => "MANUAL",
    }
}

/// The end of a part cannot be in what comes before it: contents here are noise, and it is long.
const BOUNDARY: &str = "a-line-that-no-content-of-this-simulator-has";

fn form(share: ShareId, parent: Parent, name: &str, content: &Content) -> Request {
    const TEXT: &str = "text/plain";
    let fields = [
        ("share_id", TEXT, Bytes::from(share.to_string())),
        ("folder_id", TEXT, folder_text(parent).into()),
        ("name", TEXT, name.to_owned().into()),
        ("file\"; filename=\"content", "application/octet-stream", content.bytes().into()),
    ];
    parts("/files".to_owned(), &fields)
}

/// A form of parts: their names, their contents' types, and their contents.
pub(crate) fn parts(path: String, fields: &[(&str, &str, Bytes)]) -> Request {
    let mut body = Vec::new();
    for (name, kind, content) in fields {
        let head = format!("content-disposition: form-data; name=\"{name}\"");
        let lines = format!("--{BOUNDARY}\r\n{head}\r\ncontent-type: {kind}\r\n\r\n");
        body.extend(lines.bytes());
        body.extend_from_slice(content);
        body.extend_from_slice(b"\r\n");
    }
    body.extend(format!("--{BOUNDARY}--\r\n").bytes());
    let kind = Some(format!("multipart/form-data; boundary={BOUNDARY}"));
    Request { kind, body: body.into(), ..Request::new(Method::POST, path) }
}
