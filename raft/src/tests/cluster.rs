//! Three nodes over a pretend network.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use node_base::{Duration, NodeId};
use node_world::{Peer, World};
use simulator_world::{NetFaults, Options, Sim, Simulation};

use super::{key, open, rows};
use crate::handle::Raft;
use crate::read::Consistency;
use crate::tables::Row;

/// Nodes that are up, by their order.
struct Cluster {
    sim: Sim,
    nodes: Vec<(World, Arc<Raft>)>,
}

/// Runs `task` on a node, as its own code would.
async fn on<T: Send + 'static>(world: &World, task: impl Future<Output = T> + Send + 'static) -> T {
    world.spawn(task).await.expect("the node is up")
}

async fn start(sim: &Sim, node: NodeId) -> (World, Arc<Raft>) {
    let world = sim.world(node);
    let inner = world.clone();
    let raft = on(&world, async move { open(&inner, node).await.expect("it opens") }).await;
    (world, Arc::new(raft))
}

impl Cluster {
    /// Founds a cluster of one and takes two more in.
    async fn found(sim: Sim) -> Self {
        let mut nodes = Vec::new();
        for node in 1..=3 {
            nodes.push(start(&sim, NodeId(node)).await);
        }
        let cluster = Self { sim, nodes };
        let (world, first) = cluster.nodes[0].clone();
        let others = [2, 3].map(|node| cluster.sim.peer(NodeId(node)));
        on(&world, async move {
            first.found("node-1").await.expect("it is new");
            for count in 0..100 {
                first.propose_bytes(key(0, count)).await.expect("it leads");
            }
            for peer in others {
                first.add_member(peer).await.expect("it leads");
            }
        })
        .await;
        cluster
    }

    async fn propose(&self, at: usize, client: u64, count: u64) -> bool {
        let (world, raft) = self.nodes[at].clone();
        let proposed = async move { raft.propose_bytes(key(client, count)).await.is_ok() };
        world.spawn(proposed).await.unwrap_or(false)
    }

    async fn rows(&self, at: usize) -> Vec<Row> {
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

    async fn restart(&mut self, at: usize) {
        self.nodes[at] = start(&self.sim, NodeId(at as u64 + 1)).await;
    }

    fn leader(&self) -> Option<usize> {
        self.nodes.iter().position(|(_, raft)| raft.status().leads)
    }
}

fn run<T: Send>(seed: u64, scenario: impl AsyncFnOnce(Sim) -> T + Send) -> T {
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
            assert_eq!(cluster.nodes[at].1.applied(), 101);
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
        let (leading, first) = cluster.nodes[0].clone();
        let peer = Peer { node: NodeId(4), address: "node-4".to_owned() };
        let inner = leading.clone();
        let taken_in = on(&leading, async move {
            inner.within(Duration::from_secs(20), first.add_member(peer)).await
        })
        .await;
        assert!(taken_in.is_err(), "a node of another cluster never catches up");
    });
}
