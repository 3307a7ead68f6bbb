//! Following: changes as they come, and the snapshot that a first sync begins with.

use node_base::{DeviceId, Duration, FolderId, ShareId};
use raft::Consistency;
use raft_meta::outcome::ItemView;
use raft_meta::query::feed::{self, ChangesPage, Since, Stream};
use raft_meta::query::snapshot::Snapshot;
use raft_meta::query::sync;
use raft_meta::table::device::Preference;

use crate::call::{Call, Ops};
use crate::error::OpError;

/// Items that one read of a snapshot looks at.
const SNAPSHOT_PAGE: usize = 500;

/// From where on changes are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum From {
    Beginning,
    Now,
    Cursor(String),
}

impl From {
    fn since(&self) -> Since<'_> {
        match self {
            Self::Beginning => Since::Beginning,
            Self::Now => Since::Now,
            Self::Cursor(cursor) => Since::Cursor(cursor),
        }
    }
}

impl Ops {
    /// The next changes of a stream. Where there are none, waits for some, at most `wait`.
    ///
    /// # Errors
    /// The refusal, or why nothing could be read.
    pub async fn changes(
        &self,
        call: &Call,
        stream: Stream,
        from: From,
        limit: usize,
        wait: Duration,
    ) -> Result<ChangesPage, OpError> {
        let mut call = call.clone();
        let until = self.world.now().after(wait);
        let mut from = from;
        loop {
            // Before the read, so that nothing that comes after it is missed.
            let applied = self.raft.applied();
            let since = from.clone();
            let page = self
                .ask(&call, move |tables, viewer| {
                    feed::changes(tables, viewer, stream, since.since(), limit)
                })
                .await?;
            let left = until.since(self.world.now());
            if !page.changes.is_empty() || page.has_more || !self.wait(applied, left).await {
                return Ok(page);
            }
            // What woke it is applied here: nobody else need be asked.
            call.consistency = Consistency::Stale;
            from = From::Cursor(page.cursor);
        }
    }

    /// What one of the caller's devices keeps of its shares, once that is no longer `known`; at the
    /// latest after `wait`.
    ///
    /// # Errors
    /// The refusal for a device that is not there, or why nothing could be read.
    pub async fn preferences(
        &self,
        call: &Call,
        device: DeviceId,
        known: Option<&[(ShareId, Preference)]>,
        wait: Duration,
    ) -> Result<Vec<(ShareId, Preference)>, OpError> {
        let until = self.world.now().after(wait);
        loop {
            let applied = self.raft.applied();
            let device = device.clone();
            let asked = self.ask(call, move |tables, viewer| {
                Ok(sync::device(tables, viewer, &device)?.preferences)
            });
            let found = asked.await?;
            let left = until.since(self.world.now());
            if known != Some(&found[..]) || !self.wait(applied, left).await {
                return Ok(found);
            }
        }
    }

    /// Waits until something is applied behind `applied`; not, when there is no time left or the
    /// node is about to stop.
    async fn wait(&self, applied: u64, left: Duration) -> bool {
        let something = async {
            tokio::select! {
                biased;
                () = self.stopping() => false,
                _ = self.raft.applied_after(applied) => true,
            }
        };
        !left.is_zero() && self.world.within(left, something).await.unwrap_or(false)
    }

    /// Begins a snapshot of a share, or of a folder in it.
    ///
    /// # Errors
    /// The refusal, or why nothing could be read.
    pub async fn snapshot(
        &self,
        call: &Call,
        share: ShareId,
        folder: Option<FolderId>,
    ) -> Result<Walking, OpError> {
        let walk = self
            .ask(call, move |tables, viewer| Snapshot::begin(tables, viewer, share, folder))
            .await?;
        Ok(Walking { ops: self.clone(), call: call.clone(), walk })
    }
}

/// A snapshot that is being walked.
pub struct Walking {
    ops: Ops,
    call: Call,
    walk: Snapshot,
}

impl Walking {
    /// The next items, parents first; none when the walk is done.
    ///
    /// # Errors
    /// Why nothing could be read.
    pub async fn next(&mut self) -> Result<Vec<ItemView>, OpError> {
        let mut walk = self.walk.clone();
        let asked = self.ops.ask(&self.call, move |tables, viewer| {
            let page = walk.page(tables, viewer, SNAPSHOT_PAGE)?;
            Ok((walk, page))
        });
        let (walk, page) = asked.await?;
        self.walk = walk;
        Ok(page)
    }

    /// What continues it.
    pub fn cursor(&self) -> &str {
        self.walk.cursor()
    }
}
