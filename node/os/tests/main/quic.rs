//! Shards' messages: sizes, many at once, and a peer that does not read.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join_all;
use node_base::{Duration, NodeId};
use node_world::{BoxFuture, Class, Handler, NetError, Peer, Refusal};
use tokio::sync::Semaphore;

use crate::cluster::{LONG, anywhere, echo, node};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_of_a_chunks_size_come_back_as_they_were() {
    let (a, b) = (node(1, anywhere()).expect("a port"), echo(2, anywhere()).expect("a port"));
    let to = Peer { node: NodeId(2), address: b.address.to_string() };
    let calls = (0..40_usize).map(|number| {
        let len = [0, 1, 1_000, 70_000, 8 << 20][number % 5] + number;
        let body = Bytes::from((0..len).map(|at| (at * 7 + number) as u8).collect::<Vec<_>>());
        let class = [Class::ShardForeground, Class::ShardBackground][number / 5 % 2];
        let call = a.world.net().call(to.clone(), class, body.clone(), LONG);
        async move {
            let reply = call.await.unwrap_or_else(|error| panic!("message {number}: {error}"));
            assert!(reply == body, "message {number} came back otherwise");
        }
    });
    join_all(calls).await;
}

/// Takes messages and answers when it may.
struct Slow(Arc<Semaphore>);

impl Handler for Slow {
    fn handle(&self, _: NodeId, request: Bytes) -> BoxFuture<Result<Bytes, Refusal>> {
        let gate = Arc::clone(&self.0);
        Box::pin(async move {
            let _passed = gate.acquire().await.map_err(|error| Refusal(error.to_string()))?;
            Ok(request)
        })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_peer_slows_nobody_else() {
    let (a, slow) = (node(1, anywhere()).expect("a port"), node(2, anywhere()).expect("a port"));
    let gate = Arc::new(Semaphore::new(0));
    let class = Class::ShardForeground;
    slow.world.net().serve(class, Arc::new(Slow(Arc::clone(&gate))));
    slow.world.net().serve(Class::ShardBackground, Arc::new(Slow(Arc::new(Semaphore::new(9)))));
    let quick = echo(3, anywhere()).expect("a port");
    let at = |node, real: &node_os::RealWorld| Peer {
        node: NodeId(node),
        address: real.address.to_string(),
    };
    let body = Bytes::from(vec![5; 4 << 20]);
    let stuck = (0..32).map(|_| {
        let call = a.world.net().call(at(2, &slow), class, body.clone(), LONG);
        a.world.spawn(call)
    });
    let stuck: Vec<_> = stuck.collect();
    for (peer, class) in [(at(3, &quick), class), (at(2, &slow), Class::ShardBackground)] {
        let reply = a.world.net().call(peer, class, body.clone(), LONG).await;
        assert!(reply.is_ok_and(|reply| reply == body));
    }
    gate.add_permits(32);
    for reply in join_all(stuck).await {
        assert!(reply.expect("it runs on").is_ok_and(|reply| reply == body));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_connection_is_given_up_for_a_new_one() {
    let (a, b) = (node(1, anywhere()).expect("a port"), node(2, anywhere()).expect("a port"));
    let gate = Arc::new(Semaphore::new(0));
    let class = Class::ShardForeground;
    b.world.net().serve(class, Arc::new(Slow(Arc::clone(&gate))));
    let to = Peer { node: NodeId(2), address: b.address.to_string() };
    let ask = |limit| a.world.net().call(to.clone(), class, Bytes::from_static(b"x"), limit);
    let patient = a.world.spawn(ask(LONG));
    assert_eq!(ask(Duration::from_millis(200)).await, Err(NetError::Elapsed));
    gate.add_permits(1);
    let patient = patient.await.expect("it runs on");
    assert_eq!(patient, Ok(Bytes::from_static(b"x")), "impatience of one ends nobody else's wait");

    assert_eq!(gate.forget_permits(1), 1);
    let waiting = a.world.spawn(ask(LONG));
    assert_eq!(ask(Duration::from_secs(3)).await, Err(NetError::Elapsed));
    let waiting = waiting.await.expect("it runs on");
    assert!(matches!(waiting, Err(NetError::Broken(_))), "the connection is gone: {waiting:?}");
    gate.add_permits(1);
    assert_eq!(ask(LONG).await, Ok(Bytes::from_static(b"x")));
}

#[tokio::test]
async fn what_is_no_quic_harms_nobody() {
    let (a, b) = (node(1, anywhere()).expect("a port"), echo(2, anywhere()).expect("a port"));
    #[expect(clippy::disallowed_types, reason = "the other end of a socket")]
    let socket = std::net::UdpSocket::bind(anywhere()).expect("a port");
    for garbage in [&[0_u8; 1_200][..], &[0xff; 1_200], b"x"] {
        socket.send_to(garbage, b.address).expect("sent");
    }
    let to = Peer { node: NodeId(2), address: b.address.to_string() };
    let text = Bytes::from_static(b"x");
    let reply = a.world.net().call(to, Class::ShardForeground, text.clone(), LONG).await;
    assert_eq!(reply, Ok(text));
}
