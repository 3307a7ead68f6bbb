//! Coding chunks anew when the cluster has grown or shrunk past a bound.
//!
//! A chunk keeps the profile that it was written with. Each node looks through the records for
//! chunks whose first home it has and whose profile is not the one that new chunks get; it reads
//! and writes them behind everything that people wait for, within the budget of repair, and has
//! the records changed. Nodes that believe in different maps do the same work twice at worst: one
//! copy is taken up.

use chunkstore::ChunkKey;
use futures_util::StreamExt;
use node_base::{Duration, Sha256, TenantId};
use raft_meta::command::{Recoded, Upkeep, Written};
use raft_meta::query::chunk::{self, Coding};
use raft_meta::table::chunk::Chunk;
use raft_meta::{Answer, Command};

use crate::call::Ops;
use crate::error::OpError;
use crate::lease::Ticket;

/// Records that are looked at in one go, and chunks that are coded at the same time.
const ROWS: usize = 1_000;
const TOGETHER: usize = 4;
/// Chunks that are agreed on in one command.
const AGREED_TOGETHER: usize = 32;

/// A search that found nothing to do here is not repeated before: what is left is for others, or
/// cannot be done now.
const REST: Duration = Duration::from_secs(30);

/// Looks for chunks to code anew, for ever.
pub(crate) async fn run(ops: Ops, every: Duration) {
    let mut searched = None;
    let mut searched_at = ops.world.now();
    loop {
        ops.world.sleep(every).await;
        let rests = ops.world.now().since(searched_at) < REST;
        match due(&ops, searched.filter(|_| rests), searched).await {
            Ok(None) => {}
            Ok(Some(coding)) => match search(&ops, coding).await {
                Ok(done) => {
                    searched = (done == 0).then_some(coding);
                    searched_at = ops.world.now();
                }
                Err(error) => tracing::debug!(%error, "a search for chunks to code ended early"),
            },
            Err(error) => tracing::debug!(%error, "how chunks are coded cannot be read"),
        }
    }
}

/// How chunks are to be coded, where some may be coded otherwise. After `resting` nothing is due,
/// whatever there is; after `searched` only what is known to be there.
async fn due(
    ops: &Ops,
    resting: Option<Coding>,
    searched: Option<Coding>,
) -> Result<Option<Coding>, OpError> {
    let (coding, wrong) = ops.coding().await?;
    let is_due =
        |coding: &Coding| resting != Some(*coding) && (wrong > 0 || searched != Some(*coding));
    Ok(coding.filter(is_due))
}

impl Ops {
    /// How chunks are to be coded, and how many are coded otherwise.
    ///
    /// # Errors
    /// When the tables of this node cannot be read.
    pub async fn coding(&self) -> Result<(Option<Coding>, u64), OpError> {
        self.look(|tables| {
            let Some(coding) = chunk::coding(tables)? else { return Ok((None, 0)) };
            let coded = chunk::coded(tables)?.into_iter();
            let wrong = coded.filter(|(profile, _)| coding.is_wrong(*profile));
            Ok((Some(coding), wrong.map(|(_, count)| count).sum()))
        })
        .await
    }
}

/// Looks through all records and codes anew what is this node's; answers how many chunks.
async fn search(ops: &Ops, coding: Coding) -> Result<usize, OpError> {
    let (mut after, mut done) = (None, 0);
    loop {
        let look =
            move |tables: &dyn raft_meta::Reader| chunk::wrongly_coded(tables, coding, after, ROWS);
        let page = ops.look(look).await?;
        let here = page
            .chunks
            .into_iter()
            .filter(|(tenant, hash, _)| ops.store.first_home(*tenant, *hash) == Some(ops.node));
        let mut by_tenant: Vec<(TenantId, Vec<(Sha256, Chunk)>)> = Vec::new();
        for (tenant, hash, chunk) in here {
            match by_tenant.last_mut() {
                Some((last, chunks)) if *last == tenant => chunks.push((hash, chunk)),
                _ => by_tenant.push((tenant, vec![(hash, chunk)])),
            }
        }
        for (tenant, chunks) in by_tenant {
            for some in chunks.chunks(AGREED_TOGETHER) {
                done += recode(ops, tenant, some).await?;
            }
        }
        after = page.next;
        if after.is_none() {
            return Ok(done);
        }
    }
}

/// Codes some chunks of a tenant anew, and answers how many; works at most half of the time.
async fn recode(ops: &Ops, tenant: TenantId, chunks: &[(Sha256, Chunk)]) -> Result<usize, OpError> {
    let started = ops.world.now();
    // It keeps the lease open until the copies are taken up.
    let ticket = ops.lease.ticket();
    let each: Vec<_> = chunks
        .iter()
        .map(|(hash, chunk)| recode_one(ops.clone(), ticket.clone(), tenant, *hash, *chunk))
        .collect();
    let done: Vec<Option<Recoded>> =
        futures_util::stream::iter(each).buffer_unordered(TOGETHER).collect().await;
    let done: Vec<Recoded> = done.into_iter().flatten().collect();
    let count = done.len();
    if let Some(profile) = done.first().map(|chunk| chunk.written.profile) {
        let command = Upkeep::Recode { tenant, chunks: done };
        if let Answer::Received { superfluous } =
            ops.agree_as_node(Command::Upkeep(command)).await?
        {
            ops.drop_superfluous(tenant, &superfluous).await;
        }
        tracing::debug!(count, %profile, "chunks are coded anew");
    }
    drop(ticket);
    ops.world.sleep(ops.world.now().since(started)).await;
    Ok(count)
}

/// Nothing when it cannot be done now; a later round tries again.
async fn recode_one(
    ops: Ops,
    ticket: Ticket,
    tenant: TenantId,
    hash: Sha256,
    chunk: Chunk,
) -> Option<Recoded> {
    ops.transfers().give_way(&ops.world).await;
    let generation = ticket.next()?;
    let key = ChunkKey { tenant, hash, generation: chunk.generation };
    match ops.store.recode(&key, chunk.size, generation).await {
        Ok(stored) => {
            let stored_size = u32::try_from(stored.stored_size).unwrap_or(u32::MAX);
            let written = Written { generation, stored_size, profile: stored.profile };
            Some(Recoded { hash, from: chunk.generation, written })
        }
        Err(error) => {
            tracing::info!(%hash, %error, "a chunk could not be coded anew yet");
            None
        }
    }
}
