//! Section 9: uploads and batches.

use api_types::Hash;
use api_types::v1::uploads::{
    BatchFrame, BatchItem, BatchResults, ChunkResults, CompleteUpload, CompletedUpload,
    CreateUpload, DeclareChunks, DeclaredChunks, FileBatchQuery, ReceivedChunk, Upload,
    UploadState,
};
use bytes::Bytes;

use crate::Client;
use crate::call::{Call, Payload};
use crate::error::CallError;

/// One chunk of a batch.
#[derive(Debug, Clone)]
pub struct ChunkFrame {
    pub index: u32,
    pub bytes: Bytes,
}

const OCTETS: &str = "application/octet-stream";

impl Client {
    /// # Errors
    /// As [`Client::ask`].
    pub async fn create_upload(&self, upload: &CreateUpload) -> Result<Upload, CallError> {
        self.ask(Call::post(&["uploads"]).json(upload)?).await
    }

    /// # Errors
    /// As [`Client::ask`].
    pub async fn declare_chunks(
        &self,
        session: &str,
        chunks: &DeclareChunks,
    ) -> Result<DeclaredChunks, CallError> {
        self.ask(Call::post(&["uploads", session, "chunks"]).json(chunks)?).await
    }

    /// # Errors
    /// As [`Client::ask`].
    pub async fn put_chunk(
        &self,
        session: &str,
        index: u32,
        bytes: Bytes,
        hash: Option<Hash>,
    ) -> Result<ReceivedChunk, CallError> {
        let index = index.to_string();
        let mut call = Call::put(&["uploads", session, "chunks", &index]);
        if let Some(hash) = hash {
            call = call.header("x-chunk-sha256", hash.0.to_string());
        }
        self.ask(call.payload(Payload::Whole(bytes, OCTETS.to_owned()))).await
    }

    /// Many chunks in one body.
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub async fn put_chunks(
        &self,
        session: &str,
        chunks: Vec<ChunkFrame>,
    ) -> Result<ChunkResults, CallError> {
        let mut parts = Vec::with_capacity(chunks.len() * 2);
        for chunk in chunks {
            let length = u32::try_from(chunk.bytes.len()).expect("a chunk is at most 8 MiB");
            let head = BatchFrame { index: chunk.index, length };
            parts.push(Bytes::copy_from_slice(&head.to_bytes()));
            parts.push(chunk.bytes);
        }
        // Sending a chunk again is harmless, so it needs no key.
        let call = Call::post(&["uploads", session, "chunks", "batch"]).unkeyed();
        self.ask(call.payload(Payload::Parts(parts, OCTETS.to_owned()))).await
    }

    /// # Errors
    /// As [`Client::ask`].
    pub async fn upload_state(&self, session: &str) -> Result<UploadState, CallError> {
        self.ask(Call::get(&["uploads", session])).await
    }

    /// # Errors
    /// As [`Client::ask`]; 409 carries the conflict, 422 the chunks that are missing.
    pub async fn complete_upload(
        &self,
        session: &str,
        complete: &CompleteUpload,
    ) -> Result<CompletedUpload, CallError> {
        // A second completion gets the first answer, so it needs no key.
        let call = Call::post(&["uploads", session, "complete"]).unkeyed();
        self.ask(call.json(complete)?).await
    }

    /// Many small files in one request: `contents` in the order of `items`.
    ///
    /// # Errors
    /// As [`Client::ask`]; what one file met is in its own result.
    pub async fn put_files(
        &self,
        share_id: &str,
        items: &[BatchItem],
        contents: Vec<Bytes>,
    ) -> Result<BatchResults, CallError> {
        let call = Call::post(&["files", "batch"])
            .query(&FileBatchQuery { share_id: share_id.to_owned() });
        let json = serde_json::to_vec(items)
            .map_err(|source| CallError::Unwritable { call: call.name(), source })?;
        // Contents may hold anything, so the boundary is random: 128 bits meet none of them.
        let boundary = format!("{:032x}", self.0.machine.random());
        let payload = multipart(&boundary, json.into(), contents);
        self.ask(call.payload(payload)).await
    }
}

fn multipart(boundary: &str, items: Bytes, contents: Vec<Bytes>) -> Payload {
    let mut parts = Vec::with_capacity(contents.len() * 2 + 3);
    parts.push(Bytes::from(format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"items\"\r\n\
         Content-Type: application/json\r\n\r\n"
    )));
    parts.push(items);
    let head = Bytes::from(format!(
        "\r\n--{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"file\"\r\n\
         Content-Type: {OCTETS}\r\n\r\n"
    ));
    for content in contents {
        parts.push(head.clone());
        parts.push(content);
    }
    parts.push(Bytes::from(format!("\r\n--{boundary}--\r\n")));
    Payload::Parts(parts, format!("multipart/form-data; boundary={boundary}"))
}
