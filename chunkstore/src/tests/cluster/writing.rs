//! Storing chunks on several nodes.

use node_base::{Duration, NodeId};

use super::{Cluster, noise};
use crate::PutError;
use crate::tests::simulate;

#[test]
fn each_node_holds_one_shard_and_any_node_hands_all_of_it_out() {
    for (nodes, profile, shards) in [(2, "1+1", 2), (3, "2+1", 3), (5, "3+2", 5)] {
        simulate(nodes, async |sim| {
            let cluster = Cluster::start(&sim, nodes, 1).await;
            assert_eq!(cluster.map.profile().to_string(), profile);
            for (n, len) in (0..).zip([1, 5_000, 70_000, 900_000]) {
                let key = cluster.put(1 + n % nodes, n, len).await;
                // What was not waited for comes behind.
                sim.sleep(Duration::from_secs(1)).await;
                let copies = cluster.map.profile().parity as usize + 1;
                cluster.assert_home(key, if len < 65_536 { copies } else { shards }).await;
                for node in 1..=nodes {
                    assert_eq!(cluster.get(node, key).await.expect("whole"), noise(n, len));
                }
            }
            cluster.settle().await;
        });
    }
}

#[test]
fn three_nodes_of_which_one_is_down_take_chunks_and_bring_its_shards_home_once_it_is_back() {
    for (seed, drives) in [(1, 1), (2, 2)] {
        simulate(seed, async |sim| {
            let mut cluster = Cluster::start(&sim, 3, drives).await;
            cluster.stop(NodeId(3));
            let mut keys = Vec::new();
            for n in 0..12 {
                keys.push(cluster.put(1 + n % 2, n, 100_000).await);
            }
            for key in &keys {
                assert_eq!(cluster.places(*key).await.len(), 3, "another stands in for it");
            }
            let report = cluster.survey(1).await;
            assert_eq!(report.mended_chunks, 0, "the node may be back any moment");
            assert!(report.postponed_chunks > 0);
            cluster.open(NodeId(3)).await;
            cluster.settle().await;
            for (n, key) in (0..).zip(keys) {
                cluster.assert_home(key, 3).await;
                assert_eq!(cluster.get(3, key).await.expect("whole"), noise(n, 100_000));
            }
            assert_eq!(cluster.store(1).stats().misplaced_shards, 0);
        });
    }
}

#[test]
fn what_a_writer_left_unwritten_when_it_went_down_is_made_by_those_who_have_the_rest() {
    simulate(7, async |sim| {
        let mut cluster = Cluster::start(&sim, 5, 1).await;
        for node in 2..=5 {
            let (world, store) = &cluster.nodes[&NodeId(node)];
            let store = store.clone();
            drop(world.spawn(async move { store.care().await }));
        }
        sim.sleep(Duration::from_secs(600)).await;
        sim.partition(NodeId(1), NodeId(5));
        let key = cluster.put(1, 1, 300_000).await;
        cluster.stop(NodeId(1));
        sim.heal();
        assert_eq!(cluster.places(key).await.len(), 3, "four took it, and one of them is down");
        sim.sleep(Duration::from_secs(300)).await;
        assert_eq!(cluster.places(key).await.len(), 4);
    });
}

#[test]
fn care_brings_shards_home_by_itself_soon_after_a_node_is_back() {
    simulate(3, async |sim| {
        let mut cluster = Cluster::start(&sim, 3, 1).await;
        cluster.stop(NodeId(3));
        let mut keys = Vec::new();
        for n in 0..8 {
            keys.push(cluster.put(1, n, 100_000).await);
        }
        let care = |cluster: &Cluster, node: u64| {
            let (world, store) = &cluster.nodes[&NodeId(node)];
            let store = store.clone();
            drop(world.spawn(async move { store.care().await }));
        };
        care(&cluster, 1);
        care(&cluster, 2);
        sim.sleep(Duration::from_secs(3600)).await;
        cluster.open(NodeId(3)).await;
        care(&cluster, 3);
        sim.sleep(Duration::from_secs(300)).await;
        for key in keys {
            cluster.assert_home(key, 3).await;
        }
        let settled: Vec<_> = (1..=3).map(|node| cluster.store(node).stats().settled).collect();
        assert_eq!(settled, [Some(cluster.map.epoch); 3]);
    });
}

#[test]
fn a_node_that_is_cut_off_from_more_than_the_profile_bears_acknowledges_nothing() {
    simulate(4, async |sim| {
        let cluster = Cluster::start(&sim, 5, 1).await;
        for far in [2, 3] {
            sim.partition(NodeId(1), NodeId(far));
        }
        let key = cluster.put(1, 1, 200_000).await;
        assert_eq!(cluster.get(1, key).await.expect("three are left"), noise(1, 200_000));
        sim.partition(NodeId(1), NodeId(4));
        let refused = cluster.try_put(1, 2, 200_000).await;
        assert!(matches!(refused, Err(PutError::NotDurable { .. })), "{refused:?}");
        let small = cluster.try_put(1, 3, 200).await;
        assert!(matches!(small, Err(PutError::NotDurable { .. })), "{small:?}");
        sim.heal();
        sim.sleep(Duration::from_secs(20)).await;
        cluster.put(1, 4, 200_000).await;
    });
}

#[test]
fn five_nodes_of_which_one_does_not_answer_acknowledge_without_waiting_for_it() {
    simulate(5, async |sim| {
        let cluster = Cluster::start(&sim, 5, 1).await;
        sim.pause(NodeId(5));
        let begun = sim.elapsed();
        let key = cluster.put(1, 1, 300_000).await;
        assert!(sim.elapsed() - begun < Duration::from_secs(1), "four of five are enough");
        sim.sleep(Duration::from_secs(30)).await;
        sim.resume(NodeId(5));
        sim.sleep(Duration::from_secs(30)).await;
        cluster.settle().await;
        cluster.assert_home(key, 5).await;
    });
}

#[test]
fn chunks_that_were_written_for_nothing_are_withdrawn_everywhere() {
    simulate(6, async |sim| {
        let cluster = Cluster::start(&sim, 3, 1).await;
        let keys = [cluster.put(1, 1, 100_000).await, cluster.put(1, 2, 100).await];
        let withdrawn = cluster.on(1, |store| async move { store.withdraw(keys.to_vec()).await });
        withdrawn.await.expect("noted");
        for key in keys {
            assert_eq!(cluster.places(key).await, []);
            assert!(matches!(cluster.get(2, key).await, Err(crate::GetError::NotFound)));
        }
    });
}
