//! Deleting in three steps, of which the caller starts each: into the trash, out of the index,
//! and, by compaction, off the drive. Each node does so with its own drives: what is deleted is
//! agreed, and every node knows it.

use std::collections::BTreeSet;
use std::sync::Arc;

use chunkstore_core::shard::ChunkKey;
use futures_util::future::join_all;
use node_base::{NodeId, Timestamp};

use super::error::{DeleteError, ListError};
use super::{Inner, Store};
use crate::drive::index::Note;
use crate::drive::{AppendError, ReadError, SyncFailed, Ticket};
use crate::peer::{KEYS_MAX, Key, Request};

impl From<AppendError> for DeleteError {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Full => Self::Full,
            AppendError::Io(source) => Self::Io(source),
        }
    }
}

impl From<SyncFailed> for DeleteError {
    fn from(SyncFailed: SyncFailed) -> Self {
        Self::NotDurable
    }
}

impl Store {
    /// Puts the shards of these chunks into the trash; `at` is the log time at which their deletion
    /// was agreed. They can still be read until they are purged.
    ///
    /// # Errors
    /// When a drive cannot note it.
    pub async fn delete(&self, keys: Vec<ChunkKey>, at: Timestamp) -> Result<(), DeleteError> {
        self.0.note(keys, Note::Trash(at)).await
    }

    /// Puts what nothing names into the trash on all nodes at once: a node that still kept a shard
    /// in use would have the others made anew from it. Nodes that do not answer find theirs when
    /// they look for what nothing names.
    ///
    /// # Errors
    /// When a drive of this node cannot note it.
    pub async fn delete_orphaned(
        &self,
        keys: Vec<ChunkKey>,
        at: Timestamp,
    ) -> Result<(), DeleteError> {
        let asked = self.0.to_others(&keys, |keys| Request::Trash { keys, at });
        let (here, _) = tokio::join!(self.0.note(keys, Note::Trash(at)), self.0.ask_all(asked));
        here
    }

    /// Takes chunks out of the trash again.
    ///
    /// # Errors
    /// When a drive cannot note it.
    pub async fn restore(&self, keys: Vec<ChunkKey>) -> Result<(), DeleteError> {
        self.0.note(keys, Note::Restore).await?;
        // Nobody mended them there.
        self.0.want_survey();
        Ok(())
    }

    /// Chunks that were in the trash by then, about `limit` of them: their time is over, unless the
    /// agreed tables, asked once more, know them after all. Those are to be restored, the others
    /// purged.
    ///
    /// # Errors
    /// When a drive does not answer.
    pub async fn trashed_by(
        &self,
        by: Timestamp,
        limit: usize,
    ) -> Result<Vec<ChunkKey>, ListError> {
        let inner = Arc::clone(&self.0);
        self.0.world.blocking(move || inner.trashed_keys(by, limit)).await
    }

    /// Ends chunks for good: they are not found any more, and compaction gives their bytes back.
    ///
    /// # Errors
    /// When a drive cannot note it.
    pub async fn purge(&self, keys: Vec<ChunkKey>) -> Result<(), DeleteError> {
        self.0.end(keys).await
    }

    /// Ends chunks that nobody was told of, on all nodes: what was written for nothing. Nodes that
    /// do not answer find theirs when they look for what nothing names.
    ///
    /// # Errors
    /// When a drive of this node cannot note it.
    pub async fn withdraw(&self, keys: Vec<ChunkKey>) -> Result<(), DeleteError> {
        let asked = self.0.to_others(&keys, |keys| Request::Purge { keys });
        let (here, _) = tokio::join!(self.0.end(keys), self.0.ask_all(asked));
        here
    }
}

impl Inner {
    /// Ends chunks on this node's drives.
    pub(crate) async fn end(self: &Arc<Self>, keys: Vec<ChunkKey>) -> Result<(), DeleteError> {
        self.note(keys, Note::Gone).await
    }

    /// A request about these chunks to each other node that is not away.
    fn to_others(
        &self,
        keys: &[ChunkKey],
        request: impl Fn(Vec<Key>) -> Request,
    ) -> Vec<(NodeId, Request)> {
        let mut asked = Vec::new();
        for part in keys.chunks(KEYS_MAX) {
            let keys: Vec<Key> = part.iter().copied().map(Key::from).collect();
            let others = self.others().into_iter().filter(|node| !self.is_away(*node));
            asked.extend(others.map(|node| (node, request(keys.clone()))));
        }
        asked
    }

    pub(crate) async fn note(
        self: &Arc<Self>,
        keys: Vec<ChunkKey>,
        note: Note,
    ) -> Result<(), DeleteError> {
        let inner = Arc::clone(self);
        let tickets = self.world.blocking(move || inner.write_notes(&keys, note)).await?;
        let commits = tickets.into_iter().map(|(drive, ticket)| {
            let on = Arc::clone(&self.drives[drive]);
            async move { on.commit(ticket).await }
        });
        for result in join_all(commits).await {
            result?;
        }
        Ok(())
    }

    fn write_notes(
        &self,
        keys: &[ChunkKey],
        note: Note,
    ) -> Result<Vec<(usize, Ticket)>, DeleteError> {
        let mut tickets = Vec::new();
        for (at, drive) in self.drives.iter().enumerate() {
            let found = keys.iter().flat_map(|key| drive.find(key));
            let prints: Vec<_> = found.map(|held| held.print).collect();
            if !prints.is_empty() {
                tickets.push((at, drive.note_prints(&prints, note)?));
            }
        }
        Ok(tickets)
    }

    fn trashed_keys(&self, by: Timestamp, limit: usize) -> Result<Vec<ChunkKey>, ListError> {
        let mut keys = BTreeSet::new();
        for drive in &self.drives {
            for print in drive.trashed_by(by, limit.saturating_sub(keys.len())) {
                match drive.read(print, |_| None) {
                    Ok(header) => drop(keys.insert(header.key)),
                    // Nobody will ever name it: it can go right away.
                    Err(ReadError::Rotten) => {
                        drop(drive.note_prints(&[print], Note::Gone));
                    }
                    Err(ReadError::Io(error)) => return Err(ListError(error)),
                }
            }
        }
        Ok(keys.into_iter().collect())
    }
}
