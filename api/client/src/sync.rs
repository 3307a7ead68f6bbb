//! Section 11: devices, cursors, changes.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use api_types::v1::Item;
use api_types::v1::conflicts::{Conflict, ResolveQuery, Strategy};
use api_types::v1::sync::{
    AcknowledgeCursor, Applied, Apply, Changes, ChangesQuery, Device, RegisterDevice, SnapshotEnd,
    SnapshotLine, SnapshotQuery,
};
use reqwest::Response;

use crate::call::Call;
use crate::error::CallError;
use crate::{Client, Counters};

const SNAPSHOT: &str = "GET /sync/snapshot";

impl Client {
    /// # Errors
    /// As [`Client::ask`].
    pub async fn register_device(&self, device: &RegisterDevice) -> Result<Device, CallError> {
        self.ask(Call::post(&["sync", "devices"]).json(device)?).await
    }

    /// # Errors
    /// As [`Client::ask`]; 410 when the cursor is older than the kept history.
    pub async fn changes(&self, query: &ChangesQuery) -> Result<Changes, CallError> {
        self.ask(Call::get(&["sync", "changes"]).query(query)).await
    }

    /// All of a share or a subtree, as it comes.
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub async fn snapshot(&self, query: &SnapshotQuery) -> Result<SnapshotLines, CallError> {
        let answer = self.send(Call::get(&["sync", "snapshot"]).query(query)).await?;
        let counters = Arc::clone(&self.0.counters);
        Ok(SnapshotLines { answer, counters, pending: Vec::new(), read: 0, ended: false })
    }

    /// # Errors
    /// As [`Client::ask`].
    pub async fn acknowledge(&self, cursor: &AcknowledgeCursor) -> Result<(), CallError> {
        self.tell(Call::post(&["sync", "cursor"]).unkeyed().json(cursor)?).await
    }

    /// # Errors
    /// As [`Client::ask`]; what one change met is in its own result.
    pub async fn apply(&self, changes: &Apply) -> Result<Applied, CallError> {
        self.ask(Call::post(&["sync", "apply"]).json(changes)?).await
    }

    /// # Errors
    /// As [`Client::ask`].
    pub async fn resolve_conflict(
        &self,
        id: &str,
        resolution: Strategy,
    ) -> Result<Conflict, CallError> {
        let query = ResolveQuery { resolution };
        self.ask(Call::post(&["sync", "conflicts", id, "resolve"]).query(&query)).await
    }
}

/// A snapshot on its way.
pub struct SnapshotLines {
    answer: Response,
    counters: Arc<Counters>,
    pending: Vec<u8>,
    /// How much of `pending` was given out.
    read: usize,
    ended: bool,
}

impl SnapshotLines {
    /// The next line; nothing after the one with the cursor.
    ///
    /// # Errors
    /// The connection broke, or the snapshot ended without a cursor: then it is not whole.
    pub async fn next(&mut self) -> Result<Option<SnapshotLine>, CallError> {
        while !self.ended {
            let rest = &self.pending[self.read..];
            if let Some(end) = rest.iter().position(|&byte| byte == b'\n') {
                let line = &rest[..end];
                self.read += end + 1;
                if line.trim_ascii().is_empty() {
                    continue;
                }
                return self.finish(parse(&self.pending[self.read - end - 1..self.read])?);
            }
            let part = self.answer.chunk().await;
            let part = part.map_err(|source| CallError::Interrupted(source.without_url()))?;
            let Some(part) = part else { return self.last() };
            self.counters.received.fetch_add(part.len() as u64, Ordering::Relaxed);
            self.pending.drain(..self.read);
            self.read = 0;
            self.pending.extend_from_slice(&part);
        }
        Ok(None)
    }

    fn finish(&mut self, line: SnapshotLine) -> Result<Option<SnapshotLine>, CallError> {
        self.ended = matches!(line, SnapshotLine::End(_));
        Ok(Some(line))
    }

    /// What stands behind the last line feed.
    fn last(&mut self) -> Result<Option<SnapshotLine>, CallError> {
        let line = self.pending.split_off(self.read);
        let truncated = || CallError::Truncated { call: SNAPSHOT.to_owned() };
        match parse(&line) {
            Ok(line @ SnapshotLine::End(_)) => self.finish(line),
            Ok(SnapshotLine::Item(_)) | Err(_) => Err(truncated()),
        }
    }
}

/// Items first, since all lines but one are; the error of the commoner kind is told.
fn parse(line: &[u8]) -> Result<SnapshotLine, CallError> {
    serde_json::from_slice::<Item>(line).map(SnapshotLine::Item).or_else(|source| {
        serde_json::from_slice::<SnapshotEnd>(line)
            .map(SnapshotLine::End)
            .map_err(|_| CallError::Unreadable { call: SNAPSHOT.to_owned(), source })
    })
}
