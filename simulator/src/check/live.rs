//! When all is healed: everything that was begun ends, all nodes have the same tables, every chunk
//! its full redundancy, and nothing is left that nobody needs, all within a bounded time.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use chunkstore_core::shard::ChunkKey;
use node_assembly::Ops;
use node_base::{Duration, NodeId, Sha256, TenantId, sha256};
use raft_meta::query::chunk::{self, Standing};
use raft_meta::table::chunk::Chunks;
use raft_meta::{Reader, TableError, table};

use super::leftover::{self, Bytes, Lying, Recorded};
use super::raft::{Mark, Stand};
use super::{Violation, touched};
use crate::cluster::Cluster;
use crate::history::{Answer, Ask, History, Operation};
use crate::options::Options;

const PROMISE: &str = "liveness";
const PROMISED_IN: &str = "ARCHITECTURE.md, section 10";
/// All nodes have the same tables after this long.
const AGREED_WITHIN: Duration = Duration::from_secs(120);
/// Drives hold what they should, and no more, after this long.
const TIDY_WITHIN: Duration = Duration::from_secs(300);
/// The longest that a hold may last that nobody ends, and the most that a clock is wrong.
const HELD_WITHIN: Duration = Duration::from_secs(120 + 600);
/// Nodes give up a lease of so many seconds within that time.
const LEASE_MAX: u64 = 60;
const PAUSE: Duration = Duration::from_millis(500);
/// A node says how far it has applied within this long.
const TOLD_WITHIN: Duration = Duration::from_millis(10);
/// Shards that are listed together.
const PAGE: usize = 1_000;

pub(super) fn violation(what: String) -> Violation {
    Violation { promise: PROMISE, promised_in: PROMISED_IN, what, touching: Vec::new() }
}

/// What was begun and never ended; a download of what may be lost need not.
pub(super) fn pending(history: &History, may_be_lost: bool) -> Vec<Violation> {
    let is_download = |op: &Operation| matches!(op.ask, Ask::Read { .. });
    let open = history.operations.iter().filter(|op| op.answer == Answer::Unknown);
    let open = open.filter(|op| !(may_be_lost && is_download(op)));
    open.map(|op| Violation {
        touching: touched(op),
        ..violation(format!("it never ended: {}", op.line()))
    })
    .collect()
}

/// Waits until all nodes have the same tables.
pub(super) async fn agreed(cluster: &Cluster) -> Vec<Violation> {
    let end = cluster.now() + AGREED_WITHIN;
    loop {
        let mut stands = Vec::new();
        for node in cluster.nodes() {
            stands.push((node, Box::pin(stand(cluster, node, true)).await));
        }
        let tables: BTreeSet<_> = stands.iter().map(|(_, s)| s.and_then(|s| s.tables)).collect();
        if tables.len() == 1 && !tables.contains(&None) {
            return Vec::new();
        }
        if cluster.now() > end {
            return vec![violation(format!(
                "the nodes do not come to the same tables: {stands:?}"
            ))];
        }
        cluster.sleep(PAUSE).await;
    }
}

/// Waits until the drives hold what the tables say, as often as they say, and nothing else, and who
/// is to leave has left. A node that holds the last of what cannot be made anew stays.
pub(super) async fn tidy(cluster: &Cluster, tenant: TenantId, options: &Options) -> Vec<Violation> {
    let may_be_lost = options.may_lose_bytes();
    // A lease that is not given up within the time may still have bytes.
    let may_be_written = options.tuning.lease_seconds > LEASE_MAX;
    // Of a backup that was given up nobody knows the hold, perhaps; it ends by log time, which may
    // be as far ahead as a clock once was.
    let held = if options.workload.savers > 0 { HELD_WITHIN } else { Duration::ZERO };
    let end = cluster.now() + TIDY_WITHIN + held;
    loop {
        let mut found = match Box::pin(bytes(cluster, tenant)).await {
            Ok(bytes) => leftover::check(&bytes, may_be_lost, may_be_written),
            Err(why) => vec![violation(format!("the drives cannot be looked at: {why}"))],
        };
        let leaving = cluster.leaving();
        if !leaving.is_empty() && !may_be_lost {
            found.push(violation(format!("these nodes are to leave and do not: {leaving:?}")));
        }
        if found.is_empty() || cluster.now() > end {
            return found;
        }
        cluster.sleep(PAUSE * 4).await;
    }
}

/// How a node stands, with its tables if they are wanted; nothing when it is down or moving on.
pub(super) async fn stand(cluster: &Cluster, node: NodeId, with_tables: bool) -> Option<Stand> {
    let ops = cluster.ops(node)?;
    let status = ops.raft.status();
    let mut tables = None;
    if with_tables {
        let before = ops.raft.applied();
        // In a task of the node's, which may crash meanwhile.
        let asked = cluster.inspect(node, |ops| async move { ops.look(digest).await });
        let digest = Box::pin(asked).await?.ok()?;
        // What was applied is told a moment after it can be read.
        cluster.sleep(TOLD_WITHIN).await;
        tables = (ops.raft.applied() == before).then_some((before, digest));
    }
    Some(Stand {
        node,
        life: cluster.sim().incarnations(node),
        ballot: (status.term, status.vote_for),
        leads: status.leads,
        last_entry: status.last_entry.unwrap_or_default(),
        applied_entry: status.applied_entry.unwrap_or_default(),
        tables,
    })
}

/// What is in a node's log from an index on.
pub(super) async fn marks(cluster: &Cluster, node: NodeId, from: u64) -> Vec<Mark> {
    // In a task of the node's, which may crash meanwhile.
    let asked = cluster.inspect(node, move |ops| async move { ops.raft.marks(from).await });
    let marks = Box::pin(asked).await.unwrap_or_default().into_iter();
    marks
        .map(|mark| Mark {
            index: mark.index,
            ballot: (mark.term, mark.leader),
            digest: mark.digest,
        })
        .collect()
}

/// A number for all that is in the tables.
fn digest(tables: &dyn Reader) -> Result<Sha256, TableError> {
    let mut rows = Vec::new();
    tables.scan(&[], &[u8::MAX; 64], &mut |key, value| {
        for part in [key, value] {
            rows.extend((part.len() as u64).to_le_bytes());
            rows.extend(part);
        }
        ControlFlow::Continue(())
    })?;
    Ok(sha256(&rows))
}

async fn bytes(cluster: &Cluster, tenant: TenantId) -> Result<Bytes, String> {
    let mut bytes = Bytes::default();
    for node in cluster.nodes() {
        // In a task of the node's, which may crash meanwhile.
        let seen = cluster.inspect(node, move |ops| Box::pin(on_node(ops, tenant)));
        let seen = Box::pin(seen).await.ok_or_else(|| format!("node {node} is down"))??;
        bytes.drives += seen.drives;
        bytes.recorded = seen.recorded;
        bytes.lying.extend(seen.lying);
    }
    Ok(bytes)
}

/// What lies on one node's drives.
async fn on_node(ops: Ops, tenant: TenantId) -> Result<Bytes, String> {
    let mut listed = Vec::new();
    let mut cursor = None;
    loop {
        let page = ops.store.list(cursor, PAGE).await.map_err(|error| error.to_string())?;
        listed.extend(page.items);
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    let keys: Vec<ChunkKey> = listed.iter().map(|item| item.key).collect();
    let told = ops.look(move |tables| standings(tables, tenant, &keys)).await;
    let (standings, recorded) = told.map_err(|error| error.to_string())?;
    let node = ops.node;
    let lying = listed.iter().zip(standings).map(|(item, standing)| Lying {
        node,
        drive: item.drive,
        key: item.key,
        index: item.index,
        shape: item.shape,
        is_trashed: item.is_trashed,
        standing,
    });
    Ok(Bytes { lying: lying.collect(), recorded, drives: ops.store.drives().len() })
}

/// How each chunk stands, and all that are recorded.
fn standings(
    tables: &dyn Reader,
    tenant: TenantId,
    keys: &[ChunkKey],
) -> Result<(Vec<Standing>, Vec<Recorded>), TableError> {
    let of = |key: &ChunkKey| chunk::standing(tables, key.tenant, key.hash, key.generation);
    let standings = keys.iter().map(of).collect::<Result<_, _>>()?;
    let rows = table::all::<Chunks>(tables, &(tenant,))?;
    let recorded = rows.into_iter().map(|((tenant, hash), chunk)| Recorded {
        key: ChunkKey { tenant, hash, generation: chunk.generation },
        references: chunk.references,
    });
    Ok((standings, recorded.collect()))
}

#[cfg(test)]
mod tests {
    use super::pending;
    use crate::check::example::Example;
    use crate::history::Answer;

    #[test]
    fn what_never_ended_is_found() {
        let mut example = Example::default();
        example.file("a", 1);
        assert_eq!(pending(&example.history, true), []);
        example.last().answer = Answer::Unknown;
        assert_eq!(pending(&example.history, true).len(), 1);
    }
}
