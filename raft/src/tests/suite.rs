//! openraft's own conformance suite, on our log and tables.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use node_base::NodeId;
use node_world::World;
use openraft::testing::{StoreBuilder, Suite};
use simulator_world::{Options, Simulation};

use super::RULES;
use crate::log::{LogSettings, LogStore};
use crate::machine::Machine;
use crate::tables::memory::Memory;
use crate::tables::redb::Redb;
use crate::tables::Engine;
use crate::types::{StorageError, Types};

/// Builds each test's stores in a folder of their own.
struct Builder {
    world: World,
    folders: AtomicU64,
    on_drive: bool,
}

impl StoreBuilder<Types, LogStore, Machine> for Builder {
    async fn build(&self) -> Result<((), LogStore, Machine), StorageError> {
        let number = self.folders.fetch_add(1, Ordering::Relaxed);
        let folder = PathBuf::from(format!("/suite-{number}"));
        let settings = LogSettings { segment_bytes: 300, cache_bytes: 100 };
        let path = folder.join("log");
        let log = LogStore::open(&self.world, NodeId(0), &path, settings);
        let log = log.await.expect("a new log can be made");
        let tables: Arc<dyn Engine> = if self.on_drive {
            let redb = Redb::open(&self.world, &folder.join("tables"), 1 << 20);
            Arc::new(redb.expect("new tables can be made"))
        } else {
            Arc::new(Memory::default())
        };
        let (machine, _) =
            Machine::new(&self.world, tables, RULES.apply).expect("new tables can be read");
        Ok(((), log, machine))
    }
}

fn check(on_drive: bool) {
    let options = Options { yield_chance: 0.0, ..Options::default() };
    Simulation::new(1, options).run(async move |sim| {
        let builder = Builder { world: sim.world(NodeId(0)), folders: AtomicU64::new(0), on_drive };
        // The suite makes runtimes of its own, which the simulation's thread must not be in.
        std::thread::scope(|threads| {
            let suite = threads.spawn(move || Suite::test_all(builder));
            suite.join().expect("the suite holds").expect("the suite's storage works");
        });
    });
}

#[test]
fn the_suite_of_openraft_holds_with_redb() {
    check(true);
}

#[test]
fn the_suite_of_openraft_holds_in_memory() {
    check(false);
}
