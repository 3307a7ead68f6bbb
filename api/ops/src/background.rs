//! What a node does by itself: upkeep of the tables, and of the drives by what the tables say.
//!
//! One loop on every node. The node that leads proposes upkeep, each command bounded. What concerns
//! a node's own drives every node does for itself: it deletes what the agreement has reaped, and
//! says how far it came; it empties its trash; and it looks now and then for bytes that no record
//! names and none ever will.

use chunkstore::{ChunkKey, ListCursor};
use node_base::{Duration, Epoch, Timestamp, limits};
use node_world::{Instant, Task};
use raft_meta::command::{ClusterCommand, Upkeep};
use raft_meta::query::chunk::{self, Departing, Standing};
use raft_meta::table::cluster::{Maps, Nodes};
use raft_meta::{Answer, Command, Reader, table};
use serde::{Deserialize, Serialize};

use crate::call::Ops;
use crate::error::OpError;
use crate::lease::Retired;
use crate::{recode, verify};

/// How often a node looks after things.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BackgroundSettings {
    /// Milliseconds between two rounds of upkeep.
    pub round_ms: u64,
    /// Rows that one command of upkeep touches at most.
    pub rows_per_command: u32,
    /// Seconds between two looks for what has expired.
    pub expire_seconds: u64,
    /// Seconds after which the node writes under another lease.
    pub lease_seconds: u64,
    /// Seconds of log time that deleted bytes stay in the drives' trash.
    pub trash_seconds: u64,
    /// Seconds between two searches of the drives for bytes that nothing names.
    pub orphan_seconds: u64,
}

impl Default for BackgroundSettings {
    fn default() -> Self {
        Self {
            round_ms: 1_000,
            rows_per_command: 1_000,
            expire_seconds: 30,
            lease_seconds: 3_600,
            trash_seconds: 24 * 3_600,
            orphan_seconds: 6 * 3_600,
        }
    }
}

/// Commands of one kind in one round: what is left waits for the next.
const COMMANDS_PER_ROUND: u32 = 20;
/// Chunks that are looked up and deleted together.
const TOGETHER: usize = 1_000;

const fn key(departing: &Departing) -> ChunkKey {
    let Departing { tenant, hash, generation, .. } = *departing;
    ChunkKey { tenant, hash, generation }
}

/// The running upkeep of a node.
pub struct Background([Task<()>; 3]);

impl Background {
    /// Starts it.
    pub fn start(ops: &Ops, settings: BackgroundSettings) -> Self {
        let loops = Upkeeper::new(ops.clone(), settings);
        let every = Duration::from_millis(loops.settings.round_ms);
        let verifying = verify::run(ops.clone(), every);
        let recoding = recode::run(ops.clone(), every);
        Self([ops.world.spawn(loops.run()), ops.world.spawn(verifying), ops.world.spawn(recoding)])
    }

    /// Ends it; what it was doing is taken up at the next start.
    pub fn stop(mut self) {
        self.0.iter_mut().for_each(Task::abort);
    }
}

struct Upkeeper {
    ops: Ops,
    settings: BackgroundSettings,
    expired_at: Option<Instant>,
    leased_at: Instant,
    searched_at: Instant,
    retired: Vec<Retired>,
    search: Option<ListCursor>,
    deleted_up_to: u64,
    settled: Epoch,
}

impl Upkeeper {
    fn new(ops: Ops, settings: BackgroundSettings) -> Self {
        let now = ops.world.now();
        Self {
            ops,
            settings,
            expired_at: None,
            leased_at: now,
            searched_at: now,
            retired: Vec::new(),
            search: None,
            deleted_up_to: 0,
            settled: Epoch::default(),
        }
    }

    async fn run(mut self) {
        loop {
            self.ops.world.sleep(Duration::from_millis(self.settings.round_ms)).await;
            if let Err(error) = self.round().await {
                tracing::debug!(%error, "a round of upkeep ended early");
            }
        }
    }

    async fn round(&mut self) -> Result<(), OpError> {
        self.renew_lease().await?;
        if self.ops.raft.status().leads {
            self.keep_tables().await?;
        }
        self.delete_reaped().await?;
        self.settle().await?;
        self.empty_trash().await?;
        self.search_orphans().await
    }

    fn due(&self, since: Instant, seconds: u64) -> bool {
        self.ops.world.now().since(since) >= Duration::from_secs(seconds)
    }

    async fn keep_tables(&mut self) -> Result<(), OpError> {
        let limit = self.settings.rows_per_command;
        if self.expired_at.is_none_or(|at| self.due(at, self.settings.expire_seconds)) {
            self.repeat(Upkeep::Expire { limit }).await?;
            self.expired_at = Some(self.ops.world.now());
        }
        let pending = self
            .ops
            .look(|tables| {
                let now = raft_meta::query::log_time(tables)?;
                raft_meta::query::upkeep::work_pending(tables, now)
            })
            .await?;
        if pending.release {
            self.repeat(Upkeep::Release { limit }).await?;
        }
        if pending.condemned.is_some() {
            let before = self.ops.raft.applied();
            self.repeat(Upkeep::Reap { before, limit }).await?;
        }
        Ok(())
    }

    /// Proposes a command until it finds nothing more to do, or has done enough for this round.
    async fn repeat(&self, command: Upkeep) -> Result<(), OpError> {
        for _ in 0..COMMANDS_PER_ROUND {
            let worked: u32 = self.ops.agree_as_node(Command::Upkeep(command.clone())).await?;
            if worked < self.settings.rows_per_command {
                break;
            }
        }
        Ok(())
    }

    /// Deletes the shards of reaped chunks from this node's drives, and says so. Once all nodes
    /// have, the reaping is forgotten. The tables remember how far this node came.
    async fn delete_reaped(&mut self) -> Result<(), OpError> {
        let node = self.ops.node;
        // Room for all that one command reaps, and for more.
        let mut limit = TOGETHER + self.settings.rows_per_command as usize;
        loop {
            let deleted = self.deleted_up_to;
            let look = move |tables: &dyn Reader| {
                let row = table::get::<Nodes>(tables, &(node.0,))?;
                let behind = row.map_or(0, |row| row.deleted_up_to).max(deleted);
                chunk::reaped(tables, behind, u64::MAX, limit)
            };
            let reaped = self.ops.look(look).await?;
            let (Some(first), Some(last)) = (reaped.first(), reaped.last()) else { return Ok(()) };
            // What one command reaped counts as deleted when all of it is: where the page is full,
            // there may be more of the last one behind it.
            let up_to = if reaped.len() < limit { last.index } else { last.index - 1 };
            if up_to < first.index {
                limit *= 2;
                continue;
            }
            let keys = reaped.iter().filter(|chunk| chunk.index <= up_to).map(key).collect();
            // By log time, which expiry goes by everywhere.
            let at = reaped.iter().filter_map(|chunk| chunk.at).max().unwrap_or_default();
            self.ops.store.delete(keys, at).await?;
            let forget = Command::Upkeep(Upkeep::ForgetReaped { up_to });
            self.ops.agree_as_node::<Answer>(forget).await?;
            // The own row may tell so a moment later.
            self.deleted_up_to = up_to;
        }
    }

    /// Says by which map the last survey found all shards at home, where older maps wait for that
    /// to be retired.
    async fn settle(&mut self) -> Result<(), OpError> {
        let maps = self.ops.look(|tables| table::all::<Maps>(tables, &())).await?;
        let waits = maps.len() > 1 && maps.last().is_some_and(|((at,), _)| *at > self.settled.0);
        let settled = if waits { self.ops.store.stats().settled } else { None };
        if let Some(epoch) = settled.filter(|epoch| *epoch > self.settled) {
            let settle = Command::Cluster(ClusterCommand::Settle { epoch });
            self.ops.agree_as_node::<Answer>(settle).await?;
            self.settled = epoch;
        }
        Ok(())
    }

    /// Removes for good what has been in the drives' trash long enough. The tables are asked once
    /// more: what they know after all comes out of the trash again.
    async fn empty_trash(&self) -> Result<(), OpError> {
        let now = self.ops.look(raft_meta::query::log_time).await?;
        let held = i64::try_from(self.settings.trash_seconds).unwrap_or(i64::MAX);
        let by = now.millis().saturating_sub(held.saturating_mul(1_000));
        let by = Timestamp::from_millis(by);
        let trashed = self.ops.store.trashed_by(by, TOGETHER).await?;
        let (orphaned, known) = self.sort_out(trashed).await?;
        if !known.is_empty() {
            tracing::error!(chunks = known.len(), "chunks in use were in the trash; restored");
            self.ops.store.restore(known).await?;
        }
        if !orphaned.is_empty() {
            self.ops.store.purge(orphaned).await?;
        }
        Ok(())
    }

    /// Looks at one page of what lies on the drives; a search goes on where the last round ended.
    async fn search_orphans(&mut self) -> Result<(), OpError> {
        if self.search.is_none() && !self.due(self.searched_at, self.settings.orphan_seconds) {
            return Ok(());
        }
        let page = self.ops.store.list(self.search, TOGETHER).await?;
        let keys = page.items.iter().filter(|item| !item.is_trashed).map(|item| item.key);
        let (orphaned, _) = self.sort_out(keys.collect()).await?;
        if !orphaned.is_empty() {
            tracing::info!(chunks = orphaned.len(), "bytes that nothing names go to the trash");
            let now = self.ops.look(raft_meta::query::log_time).await?;
            self.ops.store.delete_orphaned(orphaned, now).await?;
        }
        self.search = page.next;
        if self.search.is_none() {
            self.searched_at = self.ops.world.now();
        }
        Ok(())
    }

    /// Tells, by one moment of the tables, what nothing will ever name from what is in use. It is a
    /// moment after the shards were found: a node that is behind would not know of the writers that
    /// they came under, and take what is new for what is left over.
    async fn sort_out(
        &self,
        keys: Vec<ChunkKey>,
    ) -> Result<(Vec<ChunkKey>, Vec<ChunkKey>), OpError> {
        if keys.is_empty() {
            return Ok((Vec::new(), Vec::new()));
        }
        self.ops
            .look_now(move |tables| {
                let (mut orphaned, mut known) = (Vec::new(), Vec::new());
                for key in keys {
                    match chunk::standing(tables, key.tenant, key.hash, key.generation)? {
                        Standing::Orphaned => orphaned.push(key),
                        Standing::Recorded | Standing::Written => known.push(key),
                    }
                }
                Ok((orphaned, known))
            })
            .await
    }

    /// Opens another lease when it is time, and closes one before it that nobody writes under.
    async fn renew_lease(&mut self) -> Result<(), OpError> {
        if !self.due(self.leased_at, self.settings.lease_seconds) {
            return Ok(());
        }
        let idle = self.retired.iter().position(Retired::idle);
        let close = idle.map(|at| self.retired[at].writer());
        let renew = Upkeep::RotateLease { node: self.ops.node, close };
        let writer: u64 = self.ops.agree_as_node(Command::Upkeep(renew)).await?;
        if let Some(at) = idle {
            self.retired.swap_remove(at);
        }
        self.retired.push(self.ops.lease.replace(writer));
        self.leased_at = self.ops.world.now();
        Ok(())
    }
}

const _: () = assert!(limits::UPLOAD_IDLE_MAX.as_secs() > 3_600, "sessions outlive a lease");
