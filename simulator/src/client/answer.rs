//! Answers, read as the contract has them.

use api_types::v1::Item;
use api_types::v1::error::ErrorBody;
use api_types::v1::files::File;
use api_types::v1::folders::{Children, Folder};
use api_types::v1::sync::{Applied, ApplyStatus, ChangeType, Changes, SnapshotLine};
use http::header;
use node_base::{FileId, FolderId, sha256};
use raft_meta::table::item::ItemId;
use serde::de::DeserializeOwned;

use super::Reply;
use crate::history::{Answer, Ask, Refused, Seen, Told};

/// What an answer says.
///
/// # Errors
/// What cannot be read of it.
pub(crate) fn read(ask: &Ask, reply: &Reply) -> Result<Answer, String> {
    match ask {
        _ if reply.status >= 300 => refused(reply),
        Ask::Send { .. } => sent(reply),
        _ => told(ask, reply).map(Answer::Done),
    }
}

fn refused(reply: &Reply) -> Result<Answer, String> {
    let body: ErrorBody = parse(&reply.body)?;
    let conflict = body.error.conflict.map(|conflict| conflict.id.parse());
    let conflict = conflict.transpose().map_err(|error: node_base::IdError| error.to_string())?;
    let code = Some(body.error.code);
    Ok(Answer::Refused(Refused { status: reply.status, code, conflict }))
}

fn told(ask: &Ask, reply: &Reply) -> Result<Told, String> {
    let body = &reply.body;
    Ok(match ask {
        Ask::Trash { .. }
        | Ask::Purge { .. }
        | Ask::Prune { .. }
        | Ask::Member { .. }
        | Ask::Entry { .. }
        | Ask::Resolve { .. } => Told::Nothing,
        Ask::Folder { .. } => Told::Item(folder(parse::<Folder>(body)?)?),
        Ask::File { .. } | Ask::Replace { .. } | Ask::Revive { .. } | Ask::Copy { .. } => {
            Told::Item(file(parse::<File>(body)?)?)
        }
        Ask::Restore { .. } => Told::Item(item(parse::<Item>(body)?)?),
        Ask::Relocate { item, .. } | Ask::Stat { item } | Ask::Pass { item, .. } => {
            Told::Item(match item {
                ItemId::Folder(_) => folder(parse::<Folder>(body)?)?,
                ItemId::File(_) => file(parse::<File>(body)?)?,
            })
        }
        Ask::List { .. } => {
            let children: Children = parse(body)?;
            if children.total != children.items.len() as u64 {
                return Err(format!("{} items of {}", children.items.len(), children.total));
            }
            Told::List(children.items.into_iter().map(item).collect::<Result<_, _>>()?)
        }
        Ask::Read { .. } => content(reply)?,
        Ask::Changes { .. } => {
            let page: Changes = parse(body)?;
            let is_shown = page.changes.iter().any(|c| c.change_type != ChangeType::Deleted);
            Told::Changes { is_shown }
        }
        Ask::Snapshot { .. } => Told::List(lines(body)?.0),
        Ask::Send { .. } => unreachable!("its answer has one of its own inside"),
    })
}

/// What became of the one change that a device sent.
fn sent(reply: &Reply) -> Result<Answer, String> {
    let mut applied: Applied = parse(&reply.body)?;
    let one = applied.results.pop().filter(|_| applied.results.is_empty());
    let one = one.ok_or("not one result for one change")?;
    Ok(match one.status {
        ApplyStatus::Applied => {
            let resource = one.resource.ok_or("what was applied is not shown")?;
            Answer::Done(Told::Item(item(resource)?))
        }
        ApplyStatus::Conflict => {
            let conflict = one.conflict.ok_or("a conflict without one")?;
            Answer::Done(Told::Conflict(id(&conflict.id)?))
        }
        ApplyStatus::Rejected => {
            let error = one.error.ok_or("a rejection without a reason")?;
            let code = Some(error.code);
            Answer::Refused(Refused { status: reply.status, code, conflict: None })
        }
    })
}

pub(crate) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    serde_json::from_slice(body)
        .map_err(|error| format!("{error} in {}", String::from_utf8_lossy(body)))
}

fn content(reply: &Reply) -> Result<Told, String> {
    let tag = reply.headers.get(header::ETAG).and_then(|tag| tag.to_str().ok());
    let version = tag.and_then(|tag| tag.trim_matches('"').parse().ok());
    let version = version.ok_or("a content without the id of its version")?;
    let size = reply.body.len() as u64;
    Ok(Told::Content { version, size, hash: sha256(&reply.body) })
}

fn id<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("'{text}' is no id of its kind"))
}

fn folder(folder: Folder) -> Result<Seen, String> {
    Ok(Seen {
        item: ItemId::Folder(id(&folder.id)?),
        share: id(&folder.share_id)?,
        parent: folder.parent_id.as_deref().map(id::<FolderId>).transpose()?,
        name: folder.name,
        version: None,
        is_trashed: folder.is_deleted,
    })
}

fn file(file: File) -> Result<Seen, String> {
    Ok(Seen {
        item: ItemId::File(id::<FileId>(&file.id)?),
        share: id(&file.share_id)?,
        parent: file.folder_id.as_deref().map(id::<FolderId>).transpose()?,
        name: file.name,
        version: Some((id(&file.version_id)?, file.version)),
        is_trashed: file.is_deleted,
    })
}

fn item(item: Item) -> Result<Seen, String> {
    match item {
        Item::File(it) => file(it),
        Item::Folder(it) => folder(it),
    }
}

/// The items of a snapshot, and the cursor at its end.
pub(crate) fn lines(body: &[u8]) -> Result<(Vec<Seen>, String), String> {
    let mut items = Vec::new();
    for line in body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        match parse::<SnapshotLine>(line)? {
            SnapshotLine::Item(it) => items.push(item(it)?),
            SnapshotLine::End(end) => return Ok((items, end.cursor)),
        }
    }
    Err("a snapshot without its last line".to_owned())
}
