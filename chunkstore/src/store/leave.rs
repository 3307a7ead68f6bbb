//! Dropping a shard because another drive has one of the same index.
//!
//! The other node vouches for it first: it reads the shard, makes sure that it is durable, and that
//! it is not itself about to drop it in favour of a third. Who is about to drop a shard says so to
//! himself *before* he asks, and vouches for that shard no more. So of nodes that rely on one
//! another in a circle at least one is refused, whatever each believes of the maps: the last copy
//! of an index never goes this way.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use chunkstore_core::shard::ChunkKey;
use node_base::DriveId;
use node_world::Class;

use super::mend::MendError;
use super::read::read_checked;
use super::{Inner, held};
use crate::drive::Held;
use crate::drive::index::Note;
use crate::peer::{Reply, Request};

type Name = (ChunkKey, u8, DriveId);

/// The shards here that are about to be dropped.
#[derive(Default)]
pub(crate) struct Leaving(Mutex<BTreeSet<Name>>);

/// A shard about to be dropped; it stays if this ends first.
struct Leave {
    inner: Arc<Inner>,
    name: Name,
}

impl Drop for Leave {
    fn drop(&mut self) {
        held(&self.inner.leaving.0).remove(&self.name);
    }
}

impl Inner {
    /// Whether the shard is here, whole, durable, and to stay.
    pub(crate) async fn vouch(self: &Arc<Self>, key: &ChunkKey, index: u8, drive: DriveId) -> bool {
        let Some((on, at)) = self.shard_at(key, index, drive) else { return false };
        let (inner, on_there) = (Arc::clone(self), Arc::clone(&self.drives[on]));
        let is_whole = move || {
            let is_whole = read_checked(&on_there, &at).is_ok();
            is_whole && !inner.drives[on].is_trashed(at.print)
        };
        if !self.world.blocking(is_whole).await || self.drives[on].settle().await.is_err() {
            return false;
        }
        // In this order: who begins to drop it after this look asks for another one.
        let leaving = held(&self.leaving.0);
        !leaving.contains(&(*key, index, drive)) && self.shard_at(key, index, drive).is_some()
    }

    /// Drops a shard of this node, if the drive `keeper` has one of the same index for sure;
    /// whether it did.
    pub(super) async fn leave(
        self: &Arc<Self>,
        key: &ChunkKey,
        index: u8,
        drive: DriveId,
        keeper: DriveId,
    ) -> Result<bool, MendError> {
        let name = (*key, index, drive);
        if !held(&self.leaving.0).insert(name) {
            return Ok(false);
        }
        let leave = Leave { inner: Arc::clone(self), name };
        let Some((on, at)) = self.shard_at(key, index, drive) else { return Ok(false) };
        if !self.is_kept(key, index, keeper).await {
            return Ok(false);
        }
        let drop_it = move || {
            let drive = &leave.inner.drives[on];
            let lies = drive.with_index(|index| index.get(at.print)) == Some(at.slot);
            let note = lies.then(|| drive.note_prints(&[at.print], Note::Gone));
            // Until here nothing else vouches for it.
            drop(leave);
            note.transpose()
        };
        let Some(ticket) = self.world.blocking(drop_it).await? else { return Ok(false) };
        self.drives[on].commit(ticket).await?;
        Ok(true)
    }

    async fn is_kept(self: &Arc<Self>, key: &ChunkKey, index: u8, keeper: DriveId) -> bool {
        match self.layout().node_of(keeper) {
            Some(node) if node == self.settings.node => self.vouch(key, index, keeper).await,
            Some(node) => {
                let request = Request::Keep { key: (*key).into(), index, drive: keeper };
                let reply = self.ask(node, Class::ShardBackground, &request, &[]).await;
                matches!(reply, Ok((Reply::Keep(true), _)))
            }
            None => false,
        }
    }

    /// A shard of this node: which drive in `drives`, and where on it.
    pub(super) fn shard_at(
        &self,
        key: &ChunkKey,
        index: u8,
        drive: DriveId,
    ) -> Option<(usize, Held)> {
        let on = self.drive(drive)?;
        let held = self.drives[on].find(key).into_iter();
        Some((on, held.into_iter().find(|held| held.print.index() == index)?))
    }
}
