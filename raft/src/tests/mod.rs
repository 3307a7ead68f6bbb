//! Nodes of the agreement in pretend worlds.

mod cluster;
mod join;
mod single;
mod succession;
mod suite;

use std::ops::ControlFlow;
use std::path::PathBuf;

use bytes::Bytes;
use node_base::NodeId;
use node_world::World;
use raft_meta::{Reader, TableError, Writer};

use crate::handle::{OpenError, Raft};
use crate::machine::{RULES as PRODUCT, Rules};
use crate::settings::Settings;
use crate::tables::Row;

/// What the keys of these tests begin with; everything else is a command of the product.
const KEY: u8 = 250;

/// A proposal is a key, whose row says which command it was, or one of the product.
const RULES: Rules = Rules { check, apply };

fn check(proposal: &[u8]) -> bool {
    proposal.first() == Some(&KEY) || (PRODUCT.check)(proposal)
}

fn apply(tables: &mut dyn Writer, number: u64, proposal: &[u8]) -> Result<Vec<u8>, TableError> {
    if proposal.first() != Some(&KEY) {
        return (PRODUCT.apply)(tables, number, proposal);
    }
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
        probe_ms: 60,
        out_after_ms: 5_000,
        snapshot_entries: 40,
        kept_entries: 10,
        ..Settings::default()
    }
}

async fn open(world: &World, node: NodeId) -> Result<Raft, OpenError> {
    Raft::open_with(world, node, PathBuf::from("/raft"), &settings(), RULES).await
}

fn key(client: u64, count: u64) -> Bytes {
    let key = [&[KEY][..], &client.to_be_bytes(), &count.to_be_bytes()].concat();
    Bytes::from(key)
}

/// All rows under keys of these tests.
fn rows(tables: &dyn Reader) -> Result<Vec<Row>, TableError> {
    let mut rows = Vec::new();
    tables.scan(&[KEY], &[KEY + 1], &mut |key, value| {
        rows.push((key.to_vec(), value.to_vec()));
        ControlFlow::Continue(())
    })?;
    Ok(rows)
}
