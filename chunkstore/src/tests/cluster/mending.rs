//! Nodes that go, come, come back empty, or are drained.

use std::collections::BTreeSet;
use std::path::Path;

use node_base::{Duration, NodeId, Profile};

use super::{Cluster, noise};
use crate::ChunkKey;
use crate::tests::simulate;

async fn fill(cluster: &Cluster, nodes: u64) -> Vec<(u64, usize, ChunkKey)> {
    let mut keys = Vec::new();
    for n in 0..16 {
        let len = [500, 70_000, 150_000, 300_000][n as usize % 4];
        keys.push((n, len, cluster.put(1 + n % nodes, n, len).await));
    }
    // What was not waited for comes behind.
    cluster.sim.sleep(Duration::from_secs(1)).await;
    keys
}

async fn assert_whole(cluster: &Cluster, keys: &[(u64, usize, ChunkKey)], profile: Profile) {
    for (n, len, key) in keys {
        let copies = usize::from(profile.parity) + 1;
        cluster.assert_home(*key, if *len < 65_536 { copies } else { profile.shards() }).await;
        for node in cluster.nodes.keys() {
            assert_eq!(cluster.get(node.0, *key).await.expect("whole"), noise(*n, *len));
        }
    }
    // Nothing is left beyond what is counted here.
    let held: u64 = cluster
        .nodes
        .values()
        .flat_map(|(_, store)| store.stats().drives)
        .map(|drive| drive.shards)
        .sum();
    let mut wanted = 0;
    for (.., key) in keys {
        wanted += cluster.places(*key).await.len() as u64;
    }
    assert_eq!(held, wanted);
}

#[test]
fn a_node_that_is_out_is_repaired_around_and_full_redundancy_is_back() {
    for seed in 0..4 {
        simulate(seed, async |sim| {
            let mut cluster = Cluster::start(&sim, 4, 1).await;
            cluster.map.profile = Some(Profile { data: 2, parity: 1 });
            cluster.agree(|_| {});
            let keys = fill(&cluster, 4).await;
            cluster.stop(NodeId(2));
            for node in [1, 3, 4] {
                assert_eq!(cluster.survey(node).await.mended_chunks, 0, "it is only down");
            }
            cluster.agree(|_| {});
            cluster.settle().await;
            assert_whole(&cluster, &keys, Profile { data: 2, parity: 1 }).await;
            // It comes back after all, with what it had.
            cluster.open(NodeId(2)).await;
            cluster.agree(|_| {});
            cluster.settle().await;
            assert_whole(&cluster, &keys, Profile { data: 2, parity: 1 }).await;
        });
    }
}

#[test]
fn a_node_that_lost_its_drives_and_comes_back_empty_is_filled_again() {
    for (nodes, profile) in [(3, (2, 1)), (5, (3, 2))] {
        simulate(nodes, async |sim| {
            let mut cluster = Cluster::start(&sim, nodes, 1).await;
            let keys = fill(&cluster, nodes).await;
            cluster.stop(NodeId(1));
            sim.lose(NodeId(1), Path::new("/drive-0")).expect("a path");
            cluster.open(NodeId(1)).await;
            cluster.agree(|_| {});
            for (n, len, key) in &keys {
                assert_eq!(cluster.get(1, *key).await.expect("the others"), noise(*n, *len));
            }
            cluster.settle().await;
            let profile = Profile { data: profile.0, parity: profile.1 };
            assert_whole(&cluster, &keys, profile).await;
            assert!(cluster.store(1).stats().drives[0].shards > 0);
        });
    }
}

#[test]
fn a_drained_node_is_emptied_and_a_joined_one_gets_its_share() {
    simulate(7, async |sim| {
        let mut cluster = Cluster::start(&sim, 3, 1).await;
        let profile = Profile { data: 2, parity: 1 };
        cluster.map.profile = Some(profile);
        cluster.agree(|_| {});
        let keys = fill(&cluster, 3).await;
        cluster.open(NodeId(4)).await;
        cluster.agree(|_| {});
        cluster.settle().await;
        assert_whole(&cluster, &keys, profile).await;
        let share = cluster.store(4).stats().drives[0].shards;
        assert!(share > 4, "{share}");

        let drain = |node: u64| {
            move |map: &mut node_base::ClusterMap| {
                let drives = map.drives.iter_mut().filter(|drive| drive.node == NodeId(node));
                drives.for_each(|drive| drive.weight = 0);
            }
        };
        cluster.agree(drain(2));
        cluster.settle().await;
        assert_eq!(cluster.store(2).stats().drives[0].shards, 0, "it can be taken away");
        assert_whole(&cluster, &keys, profile).await;
        cluster.stop(NodeId(2));
        cluster.agree(|_| {});
        // With fewer nodes than shards, two of a chunk's share one.
        cluster.agree(drain(1));
        cluster.settle().await;
        assert_eq!(cluster.store(1).stats().drives[0].shards, 0);
        for (n, len, key) in &keys {
            let places = cluster.places(*key).await;
            let indexes: BTreeSet<u8> = places.iter().map(|(index, _)| *index).collect();
            assert_eq!(indexes.len(), places.len());
            assert_eq!(indexes.len(), if *len < 65_536 { 2 } else { 3 });
            assert_eq!(cluster.get(3, *key).await.expect("whole"), noise(*n, *len));
        }
    });
}

#[test]
fn what_is_in_the_trash_on_any_node_is_not_made_anew() {
    simulate(8, async |sim| {
        let mut cluster = Cluster::start(&sim, 3, 1).await;
        let key = cluster.put(1, 1, 100_000).await;
        let at = node_base::Timestamp::from_millis(5);
        let trash = |store: crate::Store| async move { store.delete(vec![key], at).await };
        cluster.on(1, trash).await.expect("noted");
        cluster.on(2, trash).await.expect("noted");
        cluster.on(2, |store| async move { store.purge(vec![key]).await }).await.expect("noted");
        for node in 1..=3 {
            cluster.survey(node).await;
        }
        assert_eq!(cluster.places(key).await.len(), 2);
        cluster.on(3, trash).await.expect("noted");
        for node in [1, 3] {
            let due = cluster.on(node, |store| async move { store.trashed_by(at, 10).await }).await;
            assert_eq!(due.expect("read"), [key], "each node empties its own");
        }
        cluster.agree(|_| {});
    });
}

#[test]
fn what_nothing_names_goes_to_the_trash_everywhere_and_is_not_astray_there() {
    simulate(8, async |sim| {
        let mut cluster = Cluster::start(&sim, 3, 1).await;
        let key = cluster.put(1, 1, 100_000).await;
        let at = node_base::Timestamp::from_millis(5);
        let delete =
            |store: crate::Store| async move { store.delete_orphaned(vec![key], at).await };
        cluster.on(1, delete).await.expect("noted");
        for node in 1..=3 {
            let due = cluster.on(node, |store| async move { store.trashed_by(at, 10).await }).await;
            assert_eq!(due.expect("read"), [key], "node {node}");
        }
        cluster.agree(|map| map.drives.iter_mut().take(1).for_each(|drive| drive.weight = 0));
        let shards = cluster.places(key).await;
        for node in 1..=3 {
            cluster.survey(node).await;
            assert_eq!(cluster.store(node).stats().misplaced_shards, 0);
        }
        assert_eq!(cluster.places(key).await, shards, "nobody brings it home");
        cluster.on(1, |store| async move { store.restore(vec![key]).await }).await.expect("noted");
        cluster.on(2, |store| async move { store.restore(vec![key]).await }).await.expect("noted");
        cluster.on(3, |store| async move { store.restore(vec![key]).await }).await.expect("noted");
        cluster.survey(1).await;
        assert_eq!(cluster.store(1).stats().drives[0].shards, 0, "in use again, it goes home");
    });
}

/// Two nodes with the same shard, each with a map by which it belongs on the other one.
async fn at_odds(cluster: &mut Cluster) -> ChunkKey {
    let on_only = |map: &mut node_base::ClusterMap, node: u64| {
        let others = map.drives.iter_mut().filter(|drive| drive.node != NodeId(node));
        others.for_each(|drive| drive.weight = 0);
        map.profile = Some(Profile { data: 1, parity: 0 });
    };
    cluster.agree(|map| on_only(map, 1));
    let key = cluster.put(1, 1, 3_000).await;
    let shards = cluster.store(1).0.read_some(&key, &[], 1, true).0;
    let (drive, store) = (cluster.store(2).0.drives[0].id, cluster.store(2));
    let kept = cluster.on(2, |_| async move { store.0.keep(vec![drive], shards, true).await });
    assert_eq!(kept.await, [crate::peer::Kept::Durable]);
    for (node, home) in [(1, 2), (2, 1)] {
        let mut map = cluster.map.clone();
        map.epoch.0 += 1;
        map.drives.iter_mut().for_each(|drive| drive.weight = 1);
        on_only(&mut map, home);
        cluster.store(node).set_map(map);
    }
    key
}

#[test]
fn two_nodes_that_each_believe_a_shard_belongs_on_the_other_do_not_both_drop_it() {
    for seed in 0..20 {
        simulate(seed, async |sim| {
            let mut cluster = Cluster::start(&sim, 2, 1).await;
            let key = at_odds(&mut cluster).await;
            for _ in 0..3 {
                tokio::join!(cluster.survey(1), cluster.survey(2));
                assert!(!cluster.places(key).await.is_empty(), "seed {seed}");
            }
        });
    }
}

#[test]
fn a_node_does_not_vouch_for_a_shard_that_has_rotted() {
    simulate(1, async |sim| {
        let mut cluster = Cluster::start(&sim, 2, 1).await;
        let key = at_odds(&mut cluster).await;
        assert!(sim.rot(NodeId(2), Path::new("/drive-0/packs/00000000.pack"), 1_000, 1));
        cluster.survey(1).await;
        assert_eq!(cluster.get(1, key).await.expect("kept"), noise(1, 3_000));
        assert_eq!(cluster.store(1).stats().drives[0].shards, 1);
    });
}

#[test]
fn a_shard_is_dropped_only_for_one_that_survives_a_power_loss() {
    for seed in 0..10 {
        let options = simulator_world::Options {
            blocking_max: Duration::ZERO,
            ..simulator_world::Options::default()
        };
        simulator_world::Simulation::new(seed, options).run(async |sim| {
            let mut cluster = Cluster::start(&sim, 2, 1).await;
            let key = at_odds(&mut cluster).await;
            // Written again where it is, and nobody waits until it is durable.
            let shards = cluster.store(2).0.read_some(&key, &[], 1, true).0;
            let store = cluster.store(2);
            cluster
                .on(2, |_| async move {
                    let drive = &store.0.drives[0];
                    store.0.end(vec![key]).await.expect("noted");
                    let (header, body) = shards[0].clone();
                    drop(drive.append(&[crate::drive::shard_record(header, body)], false));
                })
                .await;
            cluster.survey(1).await;
            assert_eq!(cluster.store(1).stats().drives[0].shards, 0, "it went");
            cluster.stop(NodeId(2));
            cluster.open(NodeId(2)).await;
            assert_eq!(cluster.get(2, key).await.expect("kept"), noise(1, 3_000), "seed {seed}");
        });
    }
}

#[test]
fn a_shard_whose_head_rots_is_made_anew_by_its_siblings_once_its_node_comes_upon_it() {
    simulate(11, async |sim| {
        let cluster = Cluster::start(&sim, 3, 1).await;
        let key = cluster.put(1, 1, 100_000).await;
        for (world, store) in cluster.nodes.values() {
            let store = store.clone();
            drop(world.spawn(async move { store.care().await }));
        }
        sim.sleep(Duration::from_secs(600)).await;
        assert!(sim.rot(NodeId(2), Path::new("/drive-0/packs/00000000.pack"), 20, 1));
        let listed = cluster.on(2, |store| async move { store.list(None, 10).await }).await;
        assert_eq!(listed.expect("the drive answers").items, []);
        sim.sleep(Duration::from_secs(300)).await;
        cluster.assert_home(key, 3).await;
    });
}

/// Found by seed 1.1208: the stand-in's copy was brought to where the other had rotted, and rotted
/// there too.
#[test]
fn while_a_home_is_away_and_the_other_rots_the_stand_in_keeps_its_copy() {
    simulate(12, async |sim| {
        let mut cluster = Cluster::start(&sim, 3, 1).await;
        let hash = node_base::sha256(&noise(1, 3_000));
        let homes = chunkstore_core::place::rank(&cluster.map, crate::tests::tenant(), hash, 3);
        let node_of = |drive| {
            let of = cluster.map.drives.iter().find(|known| known.id == drive);
            of.expect("a drive of the map").node.0
        };
        let [rotting, away, stand_in] = [0, 1, 2].map(|rank| node_of(homes[rank]));
        cluster.stop(NodeId(away));
        let key = cluster.put(stand_in, 1, 3_000).await;
        assert_eq!(cluster.places(key).await.len(), 2);
        for byte in [1_000, 4_000, 7_000] {
            let pack = Path::new("/drive-0/packs/00000000.pack");
            assert!(sim.rot(NodeId(rotting), pack, byte, 1), "a copy was made anew: {byte}");
            cluster.on(rotting, |store| async move { store.scrub_all().await }).await;
            for node in [rotting, stand_in, rotting, stand_in] {
                cluster.survey(node).await;
            }
            assert_eq!(cluster.get(stand_in, key).await.expect("kept"), noise(1, 3_000));
            assert_eq!(cluster.places(key).await.len(), 2, "sound on both again");
        }
        cluster.open(NodeId(away)).await;
        cluster.settle().await;
        cluster.assert_home(key, 2).await;
    });
}
