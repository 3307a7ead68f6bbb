//! A cluster of one, whose power goes at any moment.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use node_base::limits::COMMAND_MAX;
use node_base::{Duration, NodeId};
use node_world::World;
use raft_meta::command::{Command, Upkeep};
use raft_meta::{Caller, MemoryTables, Proposal};
use simulator_world::{DiskFaults, Options, Sim, Simulation, run};

use super::{key, open, rows, settings};
use crate::folder::FolderError;
use crate::handle::{FoundError, OpenError, Raft};
use crate::machine::RULES;
use crate::propose::ProposeError;
use crate::read::Consistency;

const NODE: NodeId = NodeId(1);
const CLIENTS: u64 = 6;

/// What was acknowledged: the key, and the number of its command.
type Acknowledged = Arc<Mutex<BTreeMap<Vec<u8>, Vec<u8>>>>;

async fn open_or_found(world: &World) -> Raft {
    let raft = open(world, NODE).await.expect("a node opens after any crash");
    if !raft.status().is_member {
        match raft.found("node-1").await {
            // The members may be in the log and not yet applied.
            Ok(()) | Err(FoundError::Already) => {}
            Err(error) => panic!("a node can found its cluster: {error}"),
        }
    }
    raft
}

/// Proposes until the power goes, and checks each answer against all before it.
async fn work(world: World, incarnation: u64, acknowledged: Acknowledged) {
    let raft = Arc::new(open_or_found(&world).await);
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let (raft, acknowledged) = (Arc::clone(&raft), Arc::clone(&acknowledged));
            world.spawn(async move {
                for count in 0..60 {
                    let key = key(incarnation * CLIENTS + client, count);
                    let number = raft.propose_bytes(key.clone()).await.expect("it leads");
                    let mut acknowledged = acknowledged.lock().expect("nobody panics");
                    acknowledged.insert(key.to_vec(), number.to_vec());
                }
            })
        })
        .collect();
    for client in clients {
        client.await.expect("clients end only with their node");
    }
}

async fn check_all_is_there(world: &World, acknowledged: &Acknowledged) {
    let raft = open_or_found(world).await;
    let found = raft.query(Consistency::Linearizable, rows).await.expect("it leads");
    let found: BTreeMap<_, _> = found.into_iter().collect();
    for (key, number) in acknowledged.lock().expect("nobody panics").iter() {
        assert_eq!(found.get(key), Some(number), "an acknowledged command is lost");
    }
    assert_eq!(raft.applied(), found.len() as u64, "each command is counted once");
    raft.shutdown().await.expect("the tables can be made durable");
}

async fn lose_power_again_and_again(sim: Sim) -> usize {
    let acknowledged = Acknowledged::default();
    for incarnation in 0..4 {
        let world = sim.world(NODE);
        sim.crash_instead_of_change(NODE, sim.draw(1..1200));
        drop(world.spawn(work(world.clone(), incarnation, Arc::clone(&acknowledged))));
        tokio::select! {
            () = sim.down(NODE) => {}
            () = sim.sleep(Duration::from_secs(20)) => sim.crash(NODE),
        }
    }
    let world = sim.world(NODE);
    let checked = Arc::clone(&acknowledged);
    let inner = world.clone();
    let check = world.spawn(async move { check_all_is_there(&inner, &checked).await });
    check.await.expect("the check ends");
    acknowledged.lock().expect("nobody panics").len()
}

#[test]
fn a_node_that_loses_power_at_any_moment_keeps_what_it_acknowledged() {
    let mut acknowledged = 0;
    for seed in 0..24 {
        let run = Simulation::new(seed, Options::default());
        acknowledged += run.run(lose_power_again_and_again);
    }
    assert!(acknowledged > 1000, "the runs did something: {acknowledged}");
}

#[test]
fn a_restarted_node_leads_in_a_new_term() {
    let terms = Simulation::new(3, Options::default()).run(async |sim| {
        let mut terms = Vec::new();
        for count in 0..3 {
            let world = sim.world(NODE);
            let inner = world.clone();
            let task = world.spawn(async move {
                let raft = open_or_found(&inner).await;
                raft.propose_bytes(key(0, count)).await.expect("it leads");
                raft.status().term
            });
            terms.push(task.await.expect("it ends"));
        }
        terms
    });
    assert!(terms.is_sorted_by(|a, b| a < b), "each start has a term of its own: {terms:?}");
}

#[test]
fn a_command_over_the_limit_never_enters_the_log() {
    run(5, async |world| {
        let raft = open_or_found(&world).await;
        let before = raft.status().last_entry;
        let refused = raft.propose_bytes(vec![super::KEY; COMMAND_MAX + 1].into()).await;
        let (size, max) = (COMMAND_MAX + 1, COMMAND_MAX);
        assert_eq!(refused, Err(ProposeError::TooLarge { size, max }));
        assert_eq!(raft.status().last_entry, before);
        raft.propose_bytes(vec![super::KEY; COMMAND_MAX].into()).await.expect("it leads");
    });
}

#[test]
fn a_node_of_no_cluster_says_that_there_is_no_leader() {
    run(6, async |world| {
        let raft = open(&world, NODE).await.expect("it opens");
        assert!(!raft.status().is_member);
        let refused = raft.propose_bytes(key(0, 0)).await;
        assert!(matches!(refused, Err(ProposeError::Unavailable { .. })), "{refused:?}");
        assert!(raft.query(Consistency::Linearizable, rows).await.is_err());
        assert_eq!(raft.query(Consistency::Stale, rows).await.expect("it asks nobody"), []);
    });
}

#[test]
fn proposals_that_come_together_share_entries() {
    run(7, async |world| {
        let raft = Arc::new(open_or_found(&world).await);
        let before = raft.status().last_entry.expect("the founding entry");
        let proposals: Vec<_> = (0..200)
            .map(|count| {
                let raft = Arc::clone(&raft);
                world.spawn(async move { raft.propose_bytes(key(1, count)).await })
            })
            .collect();
        for proposal in proposals {
            proposal.await.expect("it ends").expect("it leads");
        }
        let entries = raft.status().last_entry.expect("the last entry") - before;
        assert!(entries < 60, "200 proposals made {entries} entries");
        assert_eq!(raft.applied_after(199).await, 200);
    });
}

#[test]
fn the_log_is_purged_and_the_node_still_starts() {
    run(8, async |world| {
        let raft = open_or_found(&world).await;
        for count in 0..400 {
            raft.propose_bytes(key(0, count)).await.expect("it leads");
        }
        let status = raft.status();
        assert!(status.log_bytes < 10 << 10, "{status:?}");
        raft.shutdown().await.expect("it ends in order");
        let raft = open_or_found(&world).await;
        let found = raft.query(Consistency::Linearizable, rows).await.expect("it leads");
        assert_eq!(found.len(), 400);
    });
}

#[test]
fn a_node_whose_drive_fails_leaves_the_agreement_and_says_so() {
    Simulation::new(10, Options::default()).run(async |sim| {
        let world = sim.world(NODE);
        let inner = world.clone();
        let raft = world.spawn(async move { Arc::new(open_or_found(&inner).await) });
        let raft = raft.await.expect("it ends");
        let dead = world.spawn(raft.dead());
        sim.set_disk_faults(NODE, DiskFaults { capacity: Some(1), ..DiskFaults::default() });
        let proposing = Arc::clone(&raft);
        let proposed = world.spawn(async move { proposing.propose_bytes(key(0, 0)).await });
        let why = dead.await.expect("it ends").to_string();
        assert!(why.starts_with("this node has left the agreement: "), "{why}");
        assert!(why.contains("the log cannot write"), "{why}");
        assert!(proposed.await.expect("it ends").is_err());
        let again = world.spawn(async move { raft.propose_bytes(key(0, 1)).await });
        assert!(again.await.expect("it ends").is_err());
    });
}

#[test]
fn a_command_of_the_product_is_agreed_and_one_that_cannot_be_read_is_not_proposed() {
    run(11, async |world| {
        let folder = std::path::PathBuf::from("/raft");
        let raft = Raft::open(&world, NODE, folder, &settings()).await.expect("it opens");
        raft.found("node-1").await.expect("it is new");
        let proposal = Proposal {
            at: world.wall(),
            seed: world.id_seed(),
            caller: Caller::Node(NODE),
            remember: None,
            if_revision: None,
            command: Command::Upkeep(Upkeep::Expire { limit: 1 }),
        };
        let outcome = raft.propose(&proposal).await.expect("it leads");
        let mut tables = MemoryTables::default();
        let expected = raft_meta::apply(&mut tables, 1, &proposal).expect("memory never fails");
        assert_eq!(outcome, expected, "it was applied as the first command");
        assert_eq!(raft.applied(), 1);
        let found = raft.query(Consistency::Linearizable, rows).await.expect("it leads");
        assert!(found.iter().map(|(key, value)| (&key[..], &value[..])).eq(tables.rows()));
        assert!((RULES.check)(&proposal.encode()));
        assert!(!(RULES.check)(b"\xff no proposal"));
    });
}

#[test]
fn a_folder_is_refused_that_is_another_nodes_or_in_use_or_no_such_folder() {
    run(9, async |world| {
        let raft = open(&world, NODE).await.expect("it opens");
        let second = open(&world, NODE).await;
        assert!(matches!(second, Err(OpenError::Folder(FolderError::InUse { .. }))));
        raft.shutdown().await.expect("it ends in order");
        let other = open(&world, NodeId(2)).await;
        assert!(matches!(other, Err(OpenError::Folder(FolderError::OtherNode { .. }))));
        let format = std::path::Path::new("/raft/format");
        let file = world.disk().open(format, node_world::OpenMode::Write).expect("it is there");
        file.write_at(&2u32.to_le_bytes(), 8).expect("it can be written");
        let newer = open(&world, NODE).await;
        assert!(matches!(newer, Err(OpenError::Folder(FolderError::Newer { found: 2, .. }))));
        world.disk().remove(format).expect("it is there");
        let foreign = open(&world, NODE).await;
        assert!(matches!(foreign, Err(OpenError::Folder(FolderError::NotOurs { .. }))));
    });
}
