//! How the node and its drives stand: what alerts look at.

use std::fmt::Write;

use api_ops::meta::query::chunk::{self, Collecting};
use api_ops::meta::table::cluster::{Maps, Nodes, Seat};
use api_ops::meta::{TableError, query, table};
use api_ops::{OpError, Ops};

use super::gauge;
use crate::state::ApiState;

/// The nodes of the cluster, by this node's own tables.
pub(super) struct Standing {
    present: u64,
    out: u64,
    draining: u64,
    maps: u64,
    collecting: Collecting,
}

pub(super) async fn nodes(ops: &Ops) -> Result<Standing, OpError> {
    ops.look(|tables| {
        let rows = table::all::<Nodes>(tables, &())?;
        let maps = table::all::<Maps>(tables, &())?.len() as u64;
        let collecting = chunk::collecting(tables, query::log_time(tables)?)?;
        let mut standing = Standing { present: 0, out: 0, draining: 0, maps, collecting };
        for (_, row) in rows.iter().filter(|(_, row)| row.seat != Seat::Removed) {
            match (row.is_out, row.seat) {
                (true, _) => standing.out += 1,
                (false, Seat::Drains) => standing.draining += 1,
                (false, _) => standing.present += 1,
            }
        }
        Ok::<_, TableError>(standing)
    })
    .await
}

/// What this node says of itself, and, where its tables can be read, of the cluster.
pub(super) fn write(
    text: &mut String,
    state: &ApiState,
    standing: Option<Standing>,
) -> std::fmt::Result {
    writeln!(text, "# HELP scaidrive_node_info The node and its version.")?;
    writeln!(text, "# TYPE scaidrive_node_info gauge")?;
    let (node, version) = (state.ops.node, state.version);
    writeln!(text, "scaidrive_node_info{{node=\"{node}\",version=\"{version}\"}} 1")?;
    let raft = state.ops.raft.status();
    gauge(text, "raft_is_member", "Whether this node is of a cluster", u64::from(raft.is_member))?;
    gauge(text, "raft_voters", "Nodes that vote", raft.voters.len() as u64)?;
    gauge(text, "raft_members", "Nodes that vote or learn", raft.members.len() as u64)?;
    if let Some(standing) = standing {
        writeln!(text, "# HELP scaidrive_cluster_nodes Nodes of the cluster, removed ones apart.")?;
        writeln!(text, "# TYPE scaidrive_cluster_nodes gauge")?;
        writeln!(text, "scaidrive_cluster_nodes{{state=\"in\"}} {}", standing.present)?;
        writeln!(text, "scaidrive_cluster_nodes{{state=\"draining\"}} {}", standing.draining)?;
        writeln!(text, "scaidrive_cluster_nodes{{state=\"out\"}} {}", standing.out)?;
        let help = "Maps in force; more than one while shards move home";
        gauge(text, "cluster_maps", help, standing.maps)?;
        let Collecting { condemned, reaped, .. } = standing.collecting;
        let help = "Chunks without a reference, anywhere; counted up to 100000";
        gauge(text, "gc_condemned_chunks", help, condemned)?;
        let help = "Chunks that wait to be deleted from all drives; counted up to 100000";
        gauge(text, "gc_reaped_chunks", help, reaped)?;
    }
    store(text, state)
}

/// What the store has yet to do, and each of its drives.
fn store(text: &mut String, state: &ApiState) -> std::fmt::Result {
    let stats = state.ops.store.stats();
    let help = "Shards that this node has to make anew, by its last survey";
    gauge(text, "shards_to_repair", help, stats.shards_to_repair)?;
    let help = "Shards of this node that lie elsewhere than they belong, by its last survey";
    gauge(text, "shards_misplaced", help, stats.misplaced_shards)?;
    let trashed = stats.drives.iter().map(|drive| drive.trashed_shards).sum();
    gauge(text, "shards_trashed", "Shards that wait in the trash to be deleted", trashed)?;
    let help = "Calls of other nodes without an answer, since the start";
    gauge(text, "store_failed_calls", help, stats.failed_calls)?;
    let help = "Messages of others that could not be read or are not of this cluster";
    gauge(text, "store_refused_messages", help, stats.refused_messages)?;
    let drives = stats.drives.iter().map(|drive| DriveLine {
        id: drive.id.to_string(),
        total_bytes: drive.total_bytes,
        free_bytes: drive.free_bytes,
        is_suspect: drive.is_suspect,
        scrub_seconds: drive.scrub_seconds,
    });
    write_drives(text, &drives.collect::<Vec<_>>())
}

struct DriveLine {
    id: String,
    total_bytes: Option<u64>,
    free_bytes: Option<u64>,
    is_suspect: bool,
    scrub_seconds: u64,
}

/// A metric's name, what it is, and its value of a drive.
type Column = (&'static str, &'static str, fn(&DriveLine) -> Option<u64>);

/// The drives of a node are few, and their ids stay: they may be a label.
fn write_drives(text: &mut String, drives: &[DriveLine]) -> std::fmt::Result {
    let is_silent = |drive: &&DriveLine| drive.total_bytes.is_none();
    let silent = drives.iter().filter(is_silent).count();
    let suspect = drives.iter().filter(|drive| drive.is_suspect && !is_silent(drive)).count();
    writeln!(text, "# HELP scaidrive_drives Drives of this node, by how they are.")?;
    writeln!(text, "# TYPE scaidrive_drives gauge")?;
    let sound = drives.len() - silent - suspect;
    for (state, count) in [("sound", sound), ("suspect", suspect), ("silent", silent)] {
        writeln!(text, "scaidrive_drives{{state=\"{state}\"}} {count}")?;
    }
    let columns: [Column; 3] = [
        ("drive_total_bytes", "Size of the file system of a drive", |drive| drive.total_bytes),
        ("drive_free_bytes", "Free bytes of that file system", |drive| drive.free_bytes),
        ("drive_scrub_seconds", "Age of the scrub cycle under way", |drive| {
            Some(drive.scrub_seconds)
        }),
    ];
    for (name, help, of) in columns {
        writeln!(text, "# HELP scaidrive_{name} {help}.")?;
        writeln!(text, "# TYPE scaidrive_{name} gauge")?;
        for drive in drives {
            let Some(value) = of(drive) else { continue };
            writeln!(text, "scaidrive_{name}{{drive=\"{}\"}} {value}", drive.id)?;
        }
    }
    Ok(())
}
