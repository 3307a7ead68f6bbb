//! Three nodes over a pretend network.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use std::path::PathBuf;

use node_base::{Duration, NodeId, sha256};
use node_world::World;
use raft_meta::command::{ClusterCommand, Upkeep};
use raft_meta::{Answer, Caller, Command, Proposal};
use simulator_world::{NetFaults, Options, Sim, Simulation};

use super::{key, open, rows};
use crate::handle::Raft;
use crate::join::{JoinError, JoinRequest, join};
use crate::read::Consistency;
use crate::tables::Row;

/// Nodes that are up, by their order.
pub(super) struct Cluster {
    pub(super) sim: Sim,
    pub(super) nodes: Vec<(World, Arc<Raft>)>,
}

/// Runs `task` on a node, as its own code would.
pub(super) async fn on<T: Send + 'static>(
    world: &World,
    task: impl Future<Output = T> + Send + 'static,
) -> T {
    world.spawn(task).await.expect("the node is up")
}

/// Opens the node of a world.
pub(super) async fn open_in(world: &World, node: NodeId) -> Arc<Raft> {
    let inner = world.clone();
    let raft = on(world, async move { open(&inner, node).await.expect("it opens") }).await;
    Arc::new(raft)
}

async fn start(sim: &Sim, node: NodeId) -> (World, Arc<Raft>) {
    let world = sim.world(node);
    let raft = open_in(&world, node).await;
    (world, raft)
}

/// Has a command of a node agreed, as often as it takes.
pub(super) async fn agree(at: &(World, Arc<Raft>), node: NodeId, command: Command) -> Answer {
    let (world, raft) = (at.0.clone(), Arc::clone(&at.1));
    on(&at.0, async move {
        loop {
            let proposal = Proposal {
                at: world.wall(),
                seed: world.id_seed(),
                caller: Caller::Node(node),
                remember: None,
                if_revision: None,
                command: command.clone(),
            };
            match raft.propose(&proposal).await {
                Ok(outcome) => return outcome.expect("it is allowed"),
                Err(_) => world.sleep(Duration::from_millis(50)).await,
            }
        }
    })
    .await
}

const TOKEN: &str = "token";

impl Cluster {
    /// Founds a cluster of one.
    pub(super) async fn of_one(sim: Sim) -> Self {
        let first = start(&sim, NodeId(1)).await;
        let raft = Arc::clone(&first.1);
        on(&first.0, async move { raft.found("node-1").await.expect("it is new") }).await;
        let found = Upkeep::Found {
            cluster: 7,
            tenant_name: "main".to_owned(),
            tenant_display_name: "Main".to_owned(),
            cursor_key: [7; 32],
        };
        let (node, address, zone) = (NodeId(1), "node-1".to_owned(), "z".to_owned());
        agree(&first, node, Command::Upkeep(found)).await;
        let start = Upkeep::StartNode { node, address, zone };
        agree(&first, node, Command::Upkeep(start)).await;
        Self { sim, nodes: vec![first] }
    }

    /// Founds a cluster of one that has agreed on 100 keys, and has two more join.
    pub(super) async fn found(sim: Sim) -> Self {
        let mut cluster = Self::of_one(sim).await;
        let (world, first) = cluster.nodes[0].clone();
        on(&world, async move {
            for count in 0..100 {
                first.propose_bytes(key(0, count)).await.expect("it leads");
            }
        })
        .await;
        for node in 2..=3 {
            let joined = cluster.join(NodeId(node)).await.expect("it may join");
            cluster.nodes.push(joined);
        }
        cluster.voters(&[1, 2, 3]).await;
        cluster
    }

    /// Lets so many nodes join.
    pub(super) async fn invite(&self, uses: u32) {
        let secret = sha256(TOKEN.as_bytes());
        let add = ClusterCommand::AddJoinToken { secret, seconds: 3600, uses };
        agree(&self.nodes[0], NodeId(1), Command::Cluster(add)).await;
    }

    /// How a node asks to join, through every node there is.
    pub(super) fn request(&self, node: NodeId) -> JoinRequest {
        let via = (1..=self.nodes.len() as u64).map(|other| self.sim.peer(NodeId(other)).address);
        JoinRequest {
            via: via.collect(),
            token: TOKEN.to_owned(),
            wish: Some(node),
            address: self.sim.peer(node).address,
            zone: "z".to_owned(),
            rounds: 60,
        }
    }

    pub(super) async fn join(&self, node: NodeId) -> Result<(World, Arc<Raft>), JoinError> {
        self.invite(1).await;
        let (world, request) = (self.sim.world(node), self.request(node));
        let inner = world.clone();
        let folder = PathBuf::from("/raft");
        on(&world, async move { join(&inner, folder, &request).await }).await?;
        let raft = open_in(&world, node).await;
        Ok((world, raft))
    }

    /// Waits until every node sees that these vote, and nobody else has a say any more.
    pub(super) async fn voters(&self, wanted: &[u64]) {
        let wanted: Vec<NodeId> = wanted.iter().copied().map(NodeId).collect();
        for (_, raft) in &self.nodes {
            let is_done = || {
                let status = raft.status();
                status.voters == wanted && !status.is_changing_voters
            };
            while !is_done() {
                self.sim.sleep(Duration::from_millis(20)).await;
            }
        }
    }

    pub(super) async fn propose(&self, at: usize, client: u64, count: u64) -> bool {
        let (world, raft) = self.nodes[at].clone();
        let proposed = async move { raft.propose_bytes(key(client, count)).await.is_ok() };
        world.spawn(proposed).await.unwrap_or(false)
    }

    pub(super) async fn rows(&self, at: usize) -> Vec<Row> {
        let (world, raft) = self.nodes[at].clone();
        on(&world, async move {
            loop {
                if let Ok(rows) = raft.query(Consistency::Linearizable, rows).await {
                    return rows;
                }
            }
        })
        .await
    }

    pub(super) async fn restart(&mut self, at: usize) {
        self.nodes[at] = start(&self.sim, NodeId(at as u64 + 1)).await;
    }

    pub(super) fn leader(&self) -> Option<usize> {
        self.nodes.iter().position(|(_, raft)| raft.status().leads)
    }
}

pub(super) fn run<T: Send>(seed: u64, scenario: impl AsyncFnOnce(Sim) -> T + Send) -> T {
    let limit = Duration::from_secs(600);
    Simulation::new(seed, Options { limit, ..Options::default() }).run(scenario)
}

#[test]
fn nodes_taken_in_get_what_was_purged_as_a_snapshot_and_answer_like_the_leader() {
    run(1, async |sim| {
        let cluster = Cluster::found(sim).await;
        assert!(cluster.propose(2, 7, 0).await, "a follower sends it to the leader");
        let mine = cluster.rows(0).await;
        assert_eq!(mine.len(), 101);
        for at in [1, 2] {
            assert_eq!(cluster.rows(at).await, mine);
            assert!(cluster.nodes[at].1.applied() >= 101);
            let kept = cluster.nodes[at].1.status().log_bytes;
            assert!(kept < 8 << 10, "the first entries came as a snapshot, not as {kept} bytes");
        }
    });
}

#[test]
fn when_the_leader_is_gone_another_takes_over_and_it_catches_up_later() {
    run(2, async |sim| {
        let mut cluster = Cluster::found(sim.clone()).await;
        let leader = cluster.leader().expect("one leads");
        sim.crash(NodeId(leader as u64 + 1));
        let other = (leader + 1) % 3;
        // Enough that the log it missed is purged.
        for count in 0..120 {
            while !cluster.propose(other, 8, 1000 + count).await {
                sim.sleep(Duration::from_millis(50)).await;
            }
        }
        cluster.restart(leader).await;
        let rows = cluster.rows(leader).await;
        assert_eq!(rows, cluster.rows(other).await);
        assert_eq!(rows.len(), 220);
        assert!(!cluster.nodes[leader].1.status().leads || cluster.leader() != Some(leader));
    });
}

#[test]
fn a_node_that_loses_power_while_it_takes_a_snapshot_starts_again() {
    run(12, async |sim| {
        let mut cluster = Cluster::found(sim.clone()).await;
        let mut lost = 0;
        for changes in (0..100).step_by(2) {
            let leader = loop {
                if let Some(leader) = cluster.leader() {
                    break leader;
                }
                sim.sleep(Duration::from_millis(50)).await;
            };
            let at = (leader + 1) % 3;
            let node = NodeId(at as u64 + 1);
            sim.crash(node);
            // Enough that the log it missed is purged.
            for count in 0..60 {
                while !cluster.propose(leader, 10 + changes, count).await {
                    sim.sleep(Duration::from_millis(50)).await;
                }
            }
            let (world, target) = (sim.world(node), cluster.nodes[leader].1.applied());
            sim.crash_instead_of_change(node, changes);
            let inner = world.clone();
            let opened = world.spawn(async move { open(&inner, node).await });
            if let Ok(raft) = opened.await {
                let raft = raft.expect("it opens");
                while sim.is_up(node) && raft.applied() < target {
                    sim.sleep(Duration::from_millis(20)).await;
                }
            }
            lost += u64::from(!sim.is_up(node));
            sim.crash_instead_of_change(node, u64::MAX);
            sim.crash(node);
            cluster.restart(at).await;
            assert_eq!(cluster.rows(at).await, cluster.rows(leader).await);
        }
        assert!(lost > 10, "the power went in the middle of work {lost} times");
    });
}

#[test]
fn a_node_that_is_cut_off_answers_stale_reads_alone() {
    run(3, async |sim| {
        let cluster = Cluster::found(sim.clone()).await;
        let leader = cluster.leader().expect("one leads");
        let cut = NodeId(leader as u64 + 1);
        for other in (1..=3).map(NodeId).filter(|node| *node != cut) {
            sim.partition(cut, other);
        }
        let others = (leader + 1) % 3;
        while !cluster.propose(others, 9, 1).await {
            sim.sleep(Duration::from_millis(50)).await;
        }
        let (world, raft) = cluster.nodes[leader].clone();
        let (fresh, stale) = on(&world, async move {
            let fresh = raft.query(Consistency::Linearizable, rows).await.map(|rows| rows.len());
            let stale = raft.query(Consistency::Stale, rows).await.map(|rows| rows.len());
            (fresh, stale)
        })
        .await;
        assert!(fresh.is_err(), "an old leader must not answer for the cluster");
        assert_eq!(stale.expect("it asks nobody"), 100);
        sim.heal();
        assert_eq!(cluster.rows(leader).await.len(), 101);
    });
}

/// Proposes with its own keys at one node after the other, and notes what was acknowledged.
async fn client(
    cluster: Arc<tokio::sync::RwLock<Cluster>>,
    client: u64,
    kept: Arc<Mutex<Vec<u64>>>,
) {
    for count in 0..60 {
        let ok = {
            let cluster = cluster.read().await;
            let at = cluster.sim.draw(0..3) as usize;
            cluster.propose(at, client, count).await
        };
        if ok {
            kept.lock().expect("nobody panics").push(count);
        }
    }
}

/// Answers the hash of all that happened.
async fn crash_and_part(sim: Sim) -> String {
    let cluster = Cluster::found(sim.clone()).await;
    sim.set_net_faults(NetFaults { loss: 0.02, duplicate: 0.02, ..NetFaults::default() });
    let cluster = Arc::new(tokio::sync::RwLock::new(cluster));
    let kept: Vec<Arc<Mutex<Vec<u64>>>> = (0..4).map(|_| Arc::default()).collect();
    let clients = kept
        .iter()
        .zip(10..)
        .map(|(kept, number)| client(Arc::clone(&cluster), number, Arc::clone(kept)));
    let faults = async {
        for _ in 0..6 {
            sim.sleep(Duration::from_millis(sim.draw(100..900))).await;
            let node = NodeId(sim.draw(1..4));
            let other = NodeId(sim.draw(1..4));
            match sim.draw(0..3) {
                0 => sim.partition(node, other),
                1 => sim.partition_one_way(node, other),
                _ => {
                    sim.crash(node);
                    sim.sleep(Duration::from_millis(sim.draw(0..600))).await;
                    cluster.write().await.restart(node.0 as usize - 1).await;
                }
            }
            sim.sleep(Duration::from_millis(sim.draw(100..900))).await;
            sim.heal();
        }
    };
    futures_util::future::join(futures_util::future::join_all(clients), faults).await;
    sim.set_net_faults(NetFaults::default());
    let cluster = cluster.read().await;
    let all = cluster.rows(0).await;
    assert_eq!(cluster.rows(1).await, all);
    assert_eq!(cluster.rows(2).await, all);
    let found: BTreeMap<_, _> = all.into_iter().collect();
    for (kept, number) in kept.iter().zip(10..) {
        for count in kept.lock().expect("nobody panics").iter() {
            let key = key(number, *count);
            assert!(found.contains_key(&key[..]), "{number}/{count} was acknowledged and is lost");
        }
    }
    sim.trace().hash()
}

#[test]
fn nodes_that_crash_and_part_keep_what_was_acknowledged_and_agree() {
    for seed in 0..6 {
        run(seed, crash_and_part);
    }
}

#[test]
fn entries_that_take_longer_than_a_heartbeat_arrive() {
    run(5, async |sim| {
        let cluster = Cluster::found(sim.clone()).await;
        let leader = cluster.leader().expect("one leads");
        // There and back is twice a heartbeat, and less than an election's time.
        let delay = Duration::from_millis(30);
        let slow = NetFaults { delay_min: delay, delay_max: delay, ..NetFaults::default() };
        sim.set_net_faults(slow);
        for count in 0..20 {
            assert!(cluster.propose(leader, 11, count).await, "it leads");
        }
        assert_eq!(cluster.leader(), Some(leader), "the others heard of it all the time");
        sim.set_net_faults(NetFaults::default());
        assert_eq!(cluster.rows((leader + 1) % 3).await.len(), 120);
    });
}

#[test]
fn a_follower_that_missed_entries_for_a_moment_has_them_soon() {
    run(6, async |sim| {
        let cluster = Cluster::found(sim.clone()).await;
        let leader = cluster.leader().expect("one leads");
        let behind = (leader + 1) % 3;
        // Shorter than an election's time, so that the same leader goes on.
        sim.partition_one_way(NodeId(leader as u64 + 1), NodeId(behind as u64 + 1));
        assert!(cluster.propose(leader, 12, 0).await, "two of three agree");
        sim.sleep(Duration::from_millis(60)).await;
        sim.heal();
        let healed = sim.elapsed();
        assert_eq!(cluster.rows(behind).await.len(), 101);
        let took = sim.elapsed() - healed;
        assert!(took < Duration::from_secs(4), "it waited {took:?} for what was lost");
    });
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let first = run(17, crash_and_part);
    assert_eq!(run(17, crash_and_part), first);
    assert_ne!(run(18, crash_and_part), first);
}

#[test]
fn a_message_of_another_cluster_is_refused() {
    run(4, async |sim| {
        let cluster = Cluster::found(sim.clone()).await;
        let (world, stranger) = start(&sim, NodeId(4)).await;
        on(&world, async move { stranger.found("node-4").await.expect("it is new") }).await;
        let inner = world.clone();
        let again = cluster.sim.peer(NodeId(1));
        let asked = on(&world, async move {
            let request = crate::wire::pack(Some(1), &crate::wire::Control::Probe);
            let limit = Duration::from_secs(1);
            inner.net().call(again, node_world::Class::Control, request, limit).await
        });
        let refused = asked.await.expect_err("it is of another cluster");
        assert!(refused.to_string().contains("another cluster"), "{refused}");
    });
}
