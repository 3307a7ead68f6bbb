//! Messages that a node must not take.

use bytes::Bytes;
use node_base::{Duration, NodeId};
use node_world::{Class, NetError};

use super::{Cluster, noise, settings};
use crate::tests::{folders, on, simulate, tenant};
use crate::{Settings, Store};

#[test]
fn a_node_of_another_cluster_is_refused_and_counted_and_changes_nothing() {
    simulate(1, async |sim| {
        let cluster = Cluster::start(&sim, 2, 1).await;
        let key = cluster.put(1, 1, 1_000).await;
        let world = sim.world(NodeId(9));
        let (here, peers) = (world.clone(), [cluster.peer(1), cluster.peer(2)]);
        let (map, epoch) = (cluster.map.clone(), node_base::Epoch(99));
        on(&world, async move {
            let strange = Settings { cluster: 5, ..settings(NodeId(9)) };
            let store = Store::open(&here, folders(1), strange).await.expect("a drive");
            store.set_peers(peers);
            store.set_map(node_base::ClusterMap { epoch, ..map });
            assert!(store.get(&key).await.is_err(), "it is told nothing");
            let put = store.put(tenant(), node_base::Generation(2), noise(2, 1_000), None).await;
            assert!(put.is_err(), "{put:?}");
            store.withdraw(vec![key]).await.expect("nothing is here");
            assert!(store.stats().failed_calls > 0);
        })
        .await;
        assert_eq!(cluster.places(key).await.len(), 2);
        assert!(cluster.store(1).stats().refused_messages > 0);
        assert_eq!(cluster.store(1).stats().drives[0].shards, 1);
    });
}

#[test]
fn shards_for_a_drive_that_is_not_there_and_bytes_that_are_no_message_are_refused() {
    simulate(2, async |sim| {
        let mut cluster = Cluster::start(&sim, 3, 1).await;
        // The first node believes that the third one's drive is the second one's.
        cluster.agree(|_| {});
        let mut wrong = cluster.map.clone();
        wrong.epoch.0 += 1;
        wrong.drives.iter_mut().filter(|d| d.node == NodeId(3)).for_each(|d| d.node = NodeId(2));
        cluster.store(1).set_map(wrong);
        // Nothing is taken for durable that is not.
        if let Ok(key) = cluster.try_put(1, 1, 100_000).await {
            sim.sleep(Duration::from_secs(1)).await;
            // To its belief there are two nodes.
            assert_eq!(cluster.places(key).await.len(), 2);
        }
        assert_eq!(cluster.store(3).stats().drives[0].shards, 0);
        let (world, peer) = (cluster.nodes[&NodeId(1)].0.clone(), cluster.peer(2));
        for noise in [&b""[..], b"\x01", b"GET / HTTP/1.1\r\n\r\n", &[1; 500]] {
            let (world, peer, noise) = (world.clone(), peer.clone(), Bytes::from_static(noise));
            let limit = Duration::from_secs(1);
            let here = world.clone();
            let reply = on(&world, async move {
                here.net().call(peer, Class::ShardBackground, noise, limit).await
            })
            .await;
            assert!(matches!(reply, Err(NetError::Refused(_))), "{reply:?}");
        }
        assert_eq!(cluster.store(2).stats().refused_messages, 4);
    });
}
