//! Upload sessions: opened, filled, and then ended by an operation of their own, or left alone.

use api_types::v1::uploads::{BatchFrame, ChunkResults, ChunkStatus, Upload};
use bytes::Bytes;
use http::Method;
use node_base::{FileId, Sha256, ShareId, UploadId, VersionId};
use raft_meta::table::item::Parent;
use serde_json::{Value, json};

use super::answer::parse;
use super::content::Content;
use super::request::Request;
use super::{Client, Reply};

/// Where the content is to go.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Goal {
    New { parent: Parent, name: String },
    Replace { file: FileId, base: Option<VersionId> },
}

/// How a session is told of its chunks, and sent them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Manner {
    /// Declared, and what is missing sent one by one.
    Delta,
    /// Declared, and what is missing sent in one body.
    Batch,
    /// Of one size, and sent from the last to the first.
    Fixed(u32),
}

impl Client {
    /// Opens a session and sends what it lacks, or only the first so many chunks of that. Nothing
    /// where it was refused or given up.
    pub(crate) async fn fill(
        &self,
        share: ShareId,
        goal: &Goal,
        content: &Content,
        manner: Manner,
        at_most: usize,
    ) -> Option<UploadId> {
        let key = format!("open-{:016x}", self.cluster.draw().range(0..u64::MAX));
        let request = open(share, goal, content, manner).with_key(key);
        let opened: Upload = good(Box::pin(self.send(&request)).await.reply)?;
        let upload: UploadId = opened.session_id.parse().ok()?;
        let missing: Vec<usize> =
            opened.missing.iter().map(|index| *index as usize).take(at_most).collect();
        if manner == Manner::Batch && !missing.is_empty() {
            self.send_batch(upload, content, &missing).await?;
        } else {
            for index in missing.into_iter().rev() {
                self.send_chunk(upload, content, manner, index).await?;
            }
        }
        Some(upload)
    }

    async fn send_chunk(
        &self,
        upload: UploadId,
        content: &Content,
        manner: Manner,
        index: usize,
    ) -> Option<()> {
        let body = match manner {
            Manner::Delta | Manner::Batch => content.0.get(index)?.bytes(),
            Manner::Fixed(size) => {
                let pieces = content.bytes();
                Bytes::copy_from_slice(pieces.chunks(size as usize).nth(index)?)
            }
        };
        let path = format!("/uploads/{upload}/chunks/{index}");
        let request = Request { body, ..octets(Method::PUT, path) };
        let reply = Box::pin(self.send(&request)).await.reply?;
        (reply.status == 200).then_some(())
    }

    async fn send_batch(
        &self,
        upload: UploadId,
        content: &Content,
        missing: &[usize],
    ) -> Option<()> {
        let mut body = Vec::new();
        for index in missing {
            let bytes = content.0.get(*index)?.bytes();
            let frame = BatchFrame { index: *index as u32, length: bytes.len() as u32 };
            body.extend(frame.to_bytes());
            body.extend(bytes);
        }
        let path = format!("/uploads/{upload}/chunks/batch");
        let request = Request { body: body.into(), ..octets(Method::POST, path) };
        let results: ChunkResults = good(Box::pin(self.send(&request)).await.reply)?;
        let is_in = |status| matches!(status, ChunkStatus::Stored | ChunkStatus::Known);
        results.results.iter().all(|result| is_in(result.status)).then_some(())
    }
}

fn octets(method: Method, path: String) -> Request {
    Request { kind: Some("application/octet-stream".to_owned()), ..Request::new(method, path) }
}

fn good<T: serde::de::DeserializeOwned>(reply: Option<Reply>) -> Option<T> {
    let reply = reply.filter(|reply| reply.status < 300)?;
    parse(&reply.body).ok()
}

fn open(share: ShareId, goal: &Goal, content: &Content, manner: Manner) -> Request {
    let mut body = json!({"share_id": share.to_string(), "file_size": content.size()});
    match manner {
        Manner::Fixed(size) => body["chunk_size"] = json!(size),
        Manner::Delta | Manner::Batch => {
            let chunk = |(hash, size): (Sha256, u32)| {
                let hash = hash.to_string();
                json!({"sha256": hash, "size": size})
            };
            body["chunks"] = Value::Array(content.cut().into_iter().map(chunk).collect());
        }
    }
    match goal {
        Goal::New { parent, name } => {
            body["file_name"] = json!(name);
            body["folder_id"] = json!(parent.map(|parent| parent.to_string()));
        }
        Goal::Replace { file, base } => {
            body["file_name"] = json!("");
            body["replace_file_id"] = json!(file.to_string());
            body["base_version_id"] = json!(base.map(|base| base.to_string()));
        }
    }
    Request::json(Method::POST, "/uploads".to_owned(), &body)
}
