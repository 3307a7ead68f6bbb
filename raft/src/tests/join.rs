//! Nodes that come and go.

use std::path::PathBuf;
use std::sync::Arc;

use node_base::{Duration, NodeId};
use node_world::World;
use raft_meta::command::ClusterCommand;
use raft_meta::outcome::JoinRefusal;
use raft_meta::table::cluster::{Nodes, Seat};
use raft_meta::{Command, table};
use simulator_world::{Options, Sim, Simulation};

use super::cluster::{Cluster, agree, on, open_in, run};
use super::key;
use crate::handle::{Raft, Status};
use crate::join::{JoinError, JoinRequest, identity, join};
use crate::read::Consistency;

async fn ask(world: &World, request: JoinRequest) -> Result<NodeId, JoinError> {
    let inner = world.clone();
    let asking = async move { join(&inner, PathBuf::from("/raft"), &request).await };
    Ok(on(world, asking).await?.node)
}

/// The nodes that the agreed table has, as a node sees it.
async fn agreed(at: &(World, Arc<Raft>)) -> Vec<u64> {
    let raft = Arc::clone(&at.1);
    on(&at.0, async move {
        loop {
            let nodes = |tables: &dyn raft_meta::Reader| table::all::<Nodes>(tables, &());
            if let Ok(rows) = raft.query(Consistency::Linearizable, nodes).await {
                return rows.into_iter().map(|((id,), _)| id).collect();
            }
        }
    })
    .await
}

async fn set_seat(at: &(World, Arc<Raft>), by: u64, node: u64, seat: Seat) {
    let command = ClusterCommand::SetSeat { node: NodeId(node), seat };
    agree(at, NodeId(by), Command::Cluster(command)).await;
}

#[test]
fn a_node_that_joins_twice_is_one_node_and_a_used_token_lets_in_nobody() {
    run(1, async |sim: Sim| {
        let cluster = Cluster::of_one(sim.clone()).await;
        cluster.invite(1).await;
        let world = sim.world(NodeId(2));
        let request = cluster.request(NodeId(2));
        assert_eq!(ask(&world, request.clone()).await.expect("it may"), NodeId(2));
        assert_eq!(ask(&world, request.clone()).await.expect("it has"), NodeId(2));
        let other = sim.world(NodeId(3));
        let refused = ask(&other, cluster.request(NodeId(3))).await;
        assert!(matches!(refused, Err(JoinError::Refused(JoinRefusal::UnknownToken))));
        let forged = JoinRequest { token: "guessed".to_owned(), ..request };
        let refused = ask(&other, forged).await;
        assert!(matches!(refused, Err(JoinError::Refused(JoinRefusal::UnknownToken))));
        assert_eq!(agreed(&cluster.nodes[0]).await, [1, 2]);
    });
}

#[test]
fn a_token_that_expired_lets_in_nobody() {
    Simulation::new(2, Options::default()).run(async |sim: Sim| {
        let cluster = Cluster::of_one(sim.clone()).await;
        cluster.invite(1).await;
        sim.sleep(Duration::from_secs(3601)).await;
        let world = sim.world(NodeId(2));
        let refused = ask(&world, cluster.request(NodeId(2))).await;
        assert!(matches!(refused, Err(JoinError::Refused(JoinRefusal::ExpiredToken))));
    });
}

#[test]
fn a_node_without_a_wish_gets_the_next_number_and_no_number_is_given_twice() {
    run(3, async |sim: Sim| {
        let mut cluster = Cluster::of_one(sim.clone()).await;
        cluster.nodes.push(cluster.join(NodeId(7)).await.expect("it may"));
        cluster.invite(3).await;
        let world = sim.world(NodeId(20));
        let request = JoinRequest { wish: Some(NodeId(7)), ..cluster.request(NodeId(7)) };
        let refused = ask(&world, request.clone()).await;
        assert!(matches!(refused, Err(JoinError::Refused(JoinRefusal::NumberTaken(NodeId(7))))));
        set_seat(&cluster.nodes[0], 1, 7, Seat::Removed).await;
        let refused = ask(&world, request.clone()).await;
        assert!(matches!(refused, Err(JoinError::Refused(JoinRefusal::NumberTaken(NodeId(7))))));
        let request = JoinRequest { wish: None, ..request };
        assert_eq!(ask(&world, request).await.expect("it may"), NodeId(8));
    });
}

#[test]
fn an_address_that_is_no_node_of_a_cluster_is_named() {
    run(4, async |sim: Sim| {
        let cluster = Cluster::of_one(sim.clone()).await;
        let world = sim.world(NodeId(2));
        let silent = sim.world(NodeId(9));
        let request = JoinRequest { via: vec!["node-9".to_owned()], ..cluster.request(NodeId(2)) };
        match ask(&world, request.clone()).await {
            Err(JoinError::NoMember { address, .. }) => assert_eq!(address, "node-9"),
            other => panic!("it joined nothing: {other:?}"),
        }
        drop(silent);
        let nobody = JoinRequest { via: Vec::new(), ..request };
        assert!(matches!(ask(&world, nobody).await, Err(JoinError::NoAddress)));
    });
}

/// Asks to join in a node whose power goes at a change to its drives, again and again.
#[test]
fn a_node_that_loses_power_while_it_joins_gets_one_number() {
    for seed in 0..12 {
        run(seed, async |sim: Sim| {
            let cluster = Cluster::of_one(sim.clone()).await;
            cluster.invite(1).await;
            for _ in 0..3 {
                let world = sim.world(NodeId(2));
                sim.crash_instead_of_change(NodeId(2), sim.draw(1..12));
                let (inner, request) = (world.clone(), cluster.request(NodeId(2)));
                let asking =
                    async move { drop(join(&inner, PathBuf::from("/raft"), &request).await) };
                drop(world.spawn(asking));
                tokio::select! {
                    () = sim.down(NodeId(2)) => {}
                    () = sim.sleep(Duration::from_secs(2)) => sim.crash(NodeId(2)),
                }
            }
            let world = sim.world(NodeId(2));
            let node = ask(&world, cluster.request(NodeId(2))).await;
            assert_eq!(node.expect("it is known"), NodeId(2));
            assert_eq!(agreed(&cluster.nodes[0]).await, [1, 2]);
        });
    }
}

#[test]
fn the_leader_that_crashes_in_the_middle_of_a_join_leaves_a_node_that_is_in() {
    for seed in 0..10 {
        run(seed, async |sim: Sim| {
            let mut cluster = Cluster::of_one(sim.clone()).await;
            for node in 2..=3 {
                let joined = cluster.join(NodeId(node)).await.expect("it may join");
                cluster.nodes.push(joined);
            }
            cluster.voters(&[1, 2, 3]).await;
            cluster.invite(2).await;
            let mut joining = Vec::new();
            for node in 4..=5 {
                let (world, request) = (sim.world(NodeId(node)), cluster.request(NodeId(node)));
                let inner = world.clone();
                let task = world.spawn(async move {
                    let folder = PathBuf::from("/raft");
                    join(&inner, folder, &request).await.expect("somebody takes it in");
                });
                joining.push((node, world, task));
            }
            sim.sleep(Duration::from_millis(sim.draw(1..400))).await;
            let leader = cluster.leader().unwrap_or(0);
            cluster.restart(leader).await;
            for (node, world, task) in joining {
                task.await.expect("it ends");
                let raft = open_in(&world, NodeId(node)).await;
                cluster.nodes.push((world, raft));
            }
            cluster.voters(&[1, 2, 3, 4, 5]).await;
            assert_eq!(agreed(&cluster.nodes[4]).await, [1, 2, 3, 4, 5]);
        });
    }
}

#[test]
fn a_node_that_is_removed_while_it_is_down_is_refused_when_it_is_back() {
    run(6, async |sim: Sim| {
        let mut cluster = Cluster::of_one(sim.clone()).await;
        for node in 2..=4 {
            let joined = cluster.join(NodeId(node)).await.expect("it may join");
            cluster.nodes.push(joined);
        }
        cluster.voters(&[1, 2, 3]).await;
        sim.crash(NodeId(3));
        set_seat(&cluster.nodes[0], 1, 3, Seat::Removed).await;
        cluster.nodes.remove(2);
        cluster.voters(&[1, 2, 4]).await;
        while cluster.nodes[0].1.status().members.len() > 3 {
            sim.sleep(Duration::from_millis(20)).await;
        }
        let term = cluster.nodes[0].1.status().term;
        let world = sim.world(NodeId(3));
        let raft = open_in(&world, NodeId(3)).await;
        let dead = on(&world, raft.dead()).await;
        assert!(dead.to_string().contains("removed from the cluster"), "{dead}");
        let proposing = Arc::clone(&raft);
        let proposed = on(&world, async move { proposing.propose_bytes(key(9, 9)).await }).await;
        assert!(proposed.is_err());
        sim.sleep(Duration::from_secs(3)).await;
        assert_eq!(cluster.nodes[0].1.status().term, term, "it disturbs nobody");
        assert!(cluster.propose(0, 9, 9).await);
    });
}

#[test]
fn a_leader_that_is_removed_hands_over_and_ends() {
    run(7, async |sim: Sim| {
        let mut cluster = Cluster::of_one(sim.clone()).await;
        for node in 2..=3 {
            let joined = cluster.join(NodeId(node)).await.expect("it may join");
            cluster.nodes.push(joined);
        }
        cluster.voters(&[1, 2, 3]).await;
        let leader = cluster.leader().expect("one leads");
        let gone = cluster.nodes[leader].clone();
        let dead = gone.0.spawn(gone.1.dead());
        let (other, number) = ((leader + 1) % 3, leader as u64 + 1);
        set_seat(&cluster.nodes[other], other as u64 + 1, number, Seat::Removed).await;
        assert!(dead.await.expect("it ends").to_string().contains("removed"));
        sim.crash(NodeId(leader as u64 + 1));
        cluster.nodes.remove(leader);
        while !cluster.propose(0, 5, 5).await && !cluster.propose(1, 5, 6).await {
            sim.sleep(Duration::from_millis(50)).await;
        }
        let at_rest = |status: Status| status.voters.len() == 1 && status.members.len() == 2;
        while !cluster.nodes.iter().all(|(_, raft)| at_rest(raft.status())) {
            sim.sleep(Duration::from_millis(50)).await;
        }
    });
}

#[test]
fn a_node_that_is_demoted_follows_and_votes_again_when_it_is_promoted() {
    run(8, async |sim: Sim| {
        let mut cluster = Cluster::of_one(sim.clone()).await;
        for node in 2..=4 {
            let joined = cluster.join(NodeId(node)).await.expect("it may join");
            cluster.nodes.push(joined);
        }
        cluster.voters(&[1, 2, 3]).await;
        set_seat(&cluster.nodes[3], 4, 2, Seat::Learns).await;
        cluster.voters(&[1, 3, 4]).await;
        assert!(cluster.propose(1, 5, 5).await, "it forwards as before");
        assert_eq!(cluster.rows(1).await.len(), 1);
        set_seat(&cluster.nodes[3], 4, 4, Seat::Learns).await;
        set_seat(&cluster.nodes[3], 4, 2, Seat::MayVote).await;
        cluster.voters(&[1, 2, 3]).await;
    });
}

#[test]
fn a_silent_node_is_out_and_in_again_when_it_answers() {
    run(9, async |sim: Sim| {
        let mut cluster = Cluster::of_one(sim.clone()).await;
        for node in 2..=3 {
            let joined = cluster.join(NodeId(node)).await.expect("it may join");
            cluster.nodes.push(joined);
        }
        cluster.voters(&[1, 2, 3]).await;
        let is_out = async |cluster: &Cluster| {
            let raft = Arc::clone(&cluster.nodes[1].1);
            on(&cluster.nodes[1].0, async move {
                let row = |tables: &dyn raft_meta::Reader| table::get::<Nodes>(tables, &(3,));
                let row = raft.query(Consistency::Stale, row).await.expect("it asks nobody");
                row.expect("it joined").is_out
            })
            .await
        };
        sim.crash(NodeId(3));
        sim.sleep(Duration::from_secs(3)).await;
        assert!(!is_out(&cluster).await, "it may come back soon");
        sim.sleep(Duration::from_secs(4)).await;
        assert!(is_out(&cluster).await);
        cluster.restart(2).await;
        while is_out(&cluster).await {
            sim.sleep(Duration::from_millis(50)).await;
        }
    });
}

#[test]
fn a_command_whose_reply_is_lost_is_applied_once_and_said_to_be_uncertain() {
    run(10, async |sim: Sim| {
        let mut cluster = Cluster::of_one(sim.clone()).await;
        for node in 2..=3 {
            let joined = cluster.join(NodeId(node)).await.expect("it may join");
            cluster.nodes.push(joined);
        }
        cluster.voters(&[1, 2, 3]).await;
        let leader = cluster.leader().expect("one leads");
        let asking = (leader + 1) % 3;
        let number = |at: usize| NodeId(at as u64 + 1);
        // What the leader says to the asking node is lost; what it hears from it is not.
        sim.partition_one_way(number(leader), number(asking));
        let (world, raft) = cluster.nodes[asking].clone();
        let proposed = on(&world, async move { raft.propose_bytes(key(3, 3)).await }).await;
        assert!(
            matches!(proposed, Err(crate::propose::ProposeError::Uncertain { .. })),
            "{proposed:?}"
        );
        sim.heal();
        let found = cluster.rows((leader + 2) % 3).await;
        let same = found.iter().filter(|(found, _)| found[..] == key(3, 3)[..]).count();
        assert!(same <= 1, "the tables refuse a second time with a panic");
        assert_eq!(same, 1, "the leader heard it");
    });
}

#[test]
fn who_has_joined_founds_nothing() {
    run(11, async |sim: Sim| {
        let cluster = Cluster::of_one(sim.clone()).await;
        cluster.invite(1).await;
        let world = sim.world(NodeId(2));
        ask(&world, cluster.request(NodeId(2))).await.expect("it may");
        let inner = world.clone();
        let who = on(&world, async move { identity(&inner, PathBuf::from("/raft")).await }).await;
        assert!(who.expect("it can be read").expect("it joined").has_joined);
        sim.crash(NodeId(1));
        let raft = open_in(&world, NodeId(2)).await;
        let founded = on(&world, async move { raft.found("node-2").await }).await;
        assert!(matches!(founded, Err(crate::handle::FoundError::Already)), "{founded:?}");
    });
}
