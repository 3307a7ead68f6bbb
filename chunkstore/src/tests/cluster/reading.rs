//! Reading chunks while nodes are gone, slow, or rotten.

use std::path::Path;

use node_base::{Duration, NodeId};
use simulator_world::DiskFaults;

use super::{Cluster, noise};
use crate::GetError;
use crate::tests::simulate;

#[test]
fn three_nodes_serve_all_with_any_one_gone_and_five_with_any_two() {
    for (nodes, gone) in [(3, vec![1]), (3, vec![2]), (5, vec![1, 2]), (5, vec![3, 5])] {
        simulate(nodes, async |sim| {
            let mut cluster = Cluster::start(&sim, nodes, 1).await;
            let mut keys = Vec::new();
            for n in 0..10 {
                let len = [300, 80_000, 400_000][n as usize % 3];
                keys.push((n, len, cluster.put(1 + n % nodes, n, len).await));
            }
            sim.sleep(Duration::from_secs(1)).await;
            for node in &gone {
                cluster.stop(NodeId(*node));
            }
            for (n, len, key) in &keys {
                for node in (1..=nodes).filter(|node| !gone.contains(node)) {
                    let plain = cluster.get(node, *key).await.expect("enough are left");
                    assert_eq!(plain, noise(*n, *len));
                }
            }
            // One more than it bears: it says so.
            let next = (1..=nodes).find(|node| !gone.contains(node)).expect("one is left");
            cluster.stop(NodeId(next));
            let last = (1..=nodes).rev().find(|node| !gone.contains(node)).expect("one is left");
            let told = cluster.get(last, keys[2].2).await;
            assert!(matches!(told, Err(GetError::Unanswered { .. })), "{told:?}");
        });
    }
}

#[test]
fn a_rotten_shard_on_one_node_and_another_node_stopped_is_read_right_and_mended() {
    for seed in 0..6 {
        simulate(seed, async |sim| {
            let mut cluster = Cluster::start(&sim, 5, 1).await;
            let mut keys = Vec::new();
            for n in 0..6 {
                keys.push(cluster.put(1, n, 200_000).await);
            }
            sim.sleep(Duration::from_secs(1)).await;
            // Far enough apart that heads stay whole now and then.
            let pack = Path::new("/drive-0/packs/00000000.pack");
            let mut at = sim.draw(0..30_000);
            while sim.rot(NodeId(2), pack, at, sim.draw(0..8) as u8) {
                at += 30_000;
            }
            cluster.stop(NodeId(4));
            for (n, key) in (0..).zip(&keys) {
                for node in [1, 2, 3, 5] {
                    let plain = cluster.get(node, *key).await.expect("three are sound");
                    assert_eq!(plain, noise(n, 200_000), "seed {seed}");
                }
            }
            cluster.on(2, |store| async move { store.scrub_all().await }).await;
            cluster.open(NodeId(4)).await;
            cluster.settle().await;
            for key in keys {
                cluster.assert_home(key, 5).await;
            }
        });
    }
}

#[test]
fn a_slow_node_does_not_hold_up_reads() {
    simulate(2, async |sim| {
        let cluster = Cluster::start(&sim, 5, 1).await;
        let mut keys = Vec::new();
        for n in 0..20 {
            keys.push(cluster.put(1, n, 200_000).await);
        }
        sim.sleep(Duration::from_secs(1)).await;
        for key in &keys {
            cluster.get(1, *key).await.expect("whole");
        }
        let slow = DiskFaults { slow: Duration::from_secs(2), ..DiskFaults::default() };
        sim.set_disk_faults(NodeId(3), slow);
        for (n, key) in (0..).zip(&keys) {
            let begun = sim.elapsed();
            assert_eq!(cluster.get(1, *key).await.expect("whole"), noise(n, 200_000));
            assert!(sim.elapsed() - begun < Duration::from_millis(300), "a spare is asked");
        }
    });
}

#[test]
fn a_chunk_is_found_by_earlier_maps_and_in_the_end_anywhere() {
    simulate(3, async |sim| {
        let mut cluster = Cluster::start(&sim, 3, 1).await;
        let mut keys = Vec::new();
        for n in 0..10 {
            keys.push(cluster.put(1, n, 100_000).await);
        }
        for node in 4..=6 {
            cluster.open(NodeId(node)).await;
        }
        // Nothing has moved yet, and the newcomers never knew the map by which it lies.
        cluster.agree(|map| map.drives.retain(|drive| drive.node.0 > 3));
        for (n, key) in (0..).zip(&keys) {
            for node in 1..=6 {
                assert_eq!(cluster.get(node, *key).await.expect("whole"), noise(n, 100_000));
            }
        }
    });
}
