//! Listing shards, so that the caller can compare them with what it knows: orphans are found so.

use std::io;
use std::sync::Arc;

use chunkstore_core::shard::ChunkKey;
use chunkstore_core::stripe::Shape;
use node_base::DriveId;
use serde::{Deserialize, Serialize};

use super::error::ListError;
use super::{Inner, Store};
use crate::drive::index::Print;
use crate::drive::{Held, ReadError};

/// Where a listing goes on. It stays good over restarts, and whatever is written, compacted or
/// deleted meanwhile: what is there all the time is listed once.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ListCursor {
    drive: DriveId,
    after: Option<u128>,
}

/// A shard on this node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Listed {
    pub key: ChunkKey,
    pub index: u8,
    /// Of all shards of its chunk.
    pub shape: Shape,
    pub drive: DriveId,
    pub is_trashed: bool,
}

/// Some shards, and where to go on; nothing behind the last.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListPage {
    pub items: Vec<Listed>,
    pub next: Option<ListCursor>,
}

impl Store {
    /// Up to `limit` shards from `cursor` on, drive by drive. Shards whose heads cannot be read are
    /// left out: nobody can tell what they were.
    ///
    /// # Errors
    /// When a drive does not answer.
    pub async fn list(
        &self,
        cursor: Option<ListCursor>,
        limit: usize,
    ) -> Result<ListPage, ListError> {
        let inner = Arc::clone(&self.0);
        self.0.world.blocking(move || inner.list_now(cursor, limit)).await.map_err(ListError)
    }
}

impl Inner {
    fn list_now(&self, cursor: Option<ListCursor>, limit: usize) -> io::Result<ListPage> {
        let mut page = ListPage { items: Vec::new(), next: cursor };
        // Drives are in the order of their ids; one that is not here any more is passed over.
        let from = cursor.map_or(DriveId(0), |cursor| cursor.drive);
        for drive in self.drives.iter().filter(|drive| drive.id >= from) {
            let after = page.next.filter(|next| next.drive == drive.id).and_then(|next| next.after);
            let found = drive.page(after.map(Print), limit.max(1));
            let Some(last) = last_of(&found) else { continue };
            for held in found {
                match drive.read(held.print, |_| None) {
                    Ok(header) => page.items.push(Listed {
                        key: header.key,
                        index: header.index,
                        shape: header.shape,
                        drive: drive.id,
                        is_trashed: drive.is_trashed(held.print),
                    }),
                    Err(ReadError::Rotten) => self.note_nameless(drive, &held),
                    // It is known, and the others are to be listed all the same.
                    Err(ReadError::Io(_)) if held.is_rotten => {}
                    Err(ReadError::Io(error)) => return Err(error),
                }
            }
            page.next = Some(ListCursor { drive: drive.id, after: Some(last.0) });
            return Ok(page);
        }
        page.next = None;
        Ok(page)
    }
}

/// The print behind which the next page begins: pages are in the order of places, not of prints.
pub(super) fn last_of(page: &[Held]) -> Option<Print> {
    page.iter().map(|held| held.print).max()
}
