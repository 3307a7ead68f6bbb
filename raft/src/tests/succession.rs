//! Another leads when the leader stops.

use std::sync::Arc;

use node_base::Duration;
use simulator_world::Sim;

use super::cluster::{Cluster, on, run};
use super::key;

/// What `settings` says of elections: nobody is elected in this time after a leader was heard of.
const LEASE: Duration = Duration::from_millis(300);

/// Waits until another than `old` leads; how long that took.
async fn another_leads(cluster: &Cluster, old: usize) -> Duration {
    let begun = cluster.sim.elapsed();
    loop {
        let others = cluster.nodes.iter().enumerate().filter(|(at, _)| *at != old);
        if others.map(|(_, (_, raft))| raft.status()).any(|status| status.leads) {
            return cluster.sim.elapsed().saturating_sub(begun);
        }
        cluster.sim.sleep(Duration::from_millis(1)).await;
    }
}

async fn three(sim: Sim) -> (Cluster, usize) {
    let cluster = Cluster::found(sim).await;
    // The others have a question lie with the leader.
    cluster.sim.sleep(Duration::from_secs(1)).await;
    let leader = cluster.leader().expect("one leads");
    (cluster, leader)
}

#[test]
fn a_leader_that_stops_hands_over_and_no_write_fails() {
    for seed in 0..4 {
        run(seed, async |sim| {
            let (cluster, leader) = three(sim).await;
            let mut writing = Vec::new();
            for (at, (world, raft)) in cluster.nodes.iter().enumerate() {
                let raft = Arc::clone(raft);
                writing.push(world.spawn(async move {
                    for count in 0..200 {
                        let wrote = raft.propose_bytes(key(at as u64 + 1, count)).await;
                        wrote.expect("every write waits for the next leader");
                    }
                }));
            }
            let (world, raft) = cluster.nodes[leader].clone();
            let handing = world.spawn(async move { raft.hand_over().await });
            let took = another_leads(&cluster, leader).await;
            assert!(took < LEASE + Duration::from_millis(100), "{took:?}");
            handing.await.expect("it ends");
            assert!(!cluster.nodes[leader].1.status().leads);
            for writer in writing {
                writer.await.expect("no write fails");
            }
            assert_eq!(cluster.rows(leader).await.len(), 100 + 3 * 200);
        });
    }
}

#[test]
fn a_leader_alone_does_not_hand_over() {
    run(1, async |sim| {
        let cluster = Cluster::of_one(sim).await;
        let (world, raft) = cluster.nodes[0].clone();
        on(&world, async move {
            raft.hand_over().await;
            raft.propose_bytes(key(1, 1)).await.expect("it goes on");
        })
        .await;
    });
}
