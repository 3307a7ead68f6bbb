//! Nodes of the agreement in pretend worlds.

mod cluster;
mod single;
mod suite;

use std::ops::ControlFlow;
use std::path::PathBuf;

use bytes::Bytes;
use node_base::NodeId;
use node_world::World;
use raft_meta::{Reader, TableError, Writer};

use crate::handle::{OpenError, Raft};
use crate::machine::Rules;
use crate::settings::Settings;
use crate::tables::Row;

/// A proposal is a key; its row says which command it was.
const RULES: Rules = Rules { check: |proposal| !proposal.is_empty(), apply };

fn apply(tables: &mut dyn Writer, number: u64, proposal: &[u8]) -> Result<Vec<u8>, TableError> {
    let number = number.to_be_bytes().to_vec();
    assert!(tables.get(proposal)?.is_none(), "no command is applied twice");
    tables.put(proposal, &number)?;
    Ok(number)
}

fn settings() -> Settings {
    Settings {
        heartbeat_ms: 30,
        election_min_ms: 150,
        election_max_ms: 300,
        durable_every_ms: 100,
        log_segment_bytes: 2 << 10,
        log_cache_bytes: 1 << 10,
        snapshot_entries: 40,
        kept_entries: 10,
        ..Settings::default()
    }
}

async fn open(world: &World, node: NodeId) -> Result<Raft, OpenError> {
    Raft::open_with(world, node, PathBuf::from("/raft"), &settings(), RULES).await
}

fn key(client: u64, count: u64) -> Bytes {
    let key = [&[1][..], &client.to_be_bytes(), &count.to_be_bytes()].concat();
    Bytes::from(key)
}

/// All rows.
fn rows(tables: &dyn Reader) -> Result<Vec<Row>, TableError> {
    let mut rows = Vec::new();
    tables.scan(&[], &[0xff], &mut |key, value| {
        rows.push((key.to_vec(), value.to_vec()));
        ControlFlow::Continue(())
    })?;
    Ok(rows)
}
