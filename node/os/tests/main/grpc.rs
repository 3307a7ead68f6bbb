//! Messages where the other end is gone, moved, or no node at all.
#![expect(clippy::disallowed_types, reason = "the other ends of sockets")]

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use node_base::{Duration, NodeId};
use node_os::RealWorld;
use node_world::{BoxFuture, Class, Handler, NetError, Peer, Refusal, World};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Handle;

const B: NodeId = NodeId(2);
const LONG: Duration = Duration::from_secs(30);

struct Back;

impl Handler for Back {
    fn handle(&self, _: NodeId, request: Bytes) -> BoxFuture<Result<Bytes, Refusal>> {
        Box::pin(async move {
            assert_ne!(request, "panic", "as asked");
            Ok(request)
        })
    }
}

fn anywhere() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

/// Node B, answering with what it is sent.
fn receiver(address: SocketAddr) -> Option<RealWorld> {
    let real = RealWorld::node(&Handle::current(), B, address).ok()?;
    real.world.net().serve(Class::Control, Arc::new(Back));
    Some(real)
}

async fn send(world: &World, address: SocketAddr, text: &'static str) -> Result<Bytes, NetError> {
    let to = Peer { node: B, address: address.to_string() };
    world.net().call(to, Class::Control, Bytes::from_static(text.as_bytes()), LONG).await
}

#[tokio::test]
async fn a_node_that_came_back_is_reached_again() {
    let world = RealWorld::client(&Handle::current());
    let first = receiver(anywhere()).expect("a free port");
    let address = first.address;
    assert!(send(&world, address, "x").await.is_ok());
    drop(first);
    let back = async {
        loop {
            // Its socket closes in its own time.
            if let Some(second) = receiver(address) {
                break second;
            }
            world.sleep(Duration::from_millis(10)).await;
        }
    };
    let _second = world.within(LONG, back).await.expect("the port is free again");
    let reached = async { while send(&world, address, "x").await.is_err() {} };
    assert_eq!(world.within(LONG, reached).await, Ok(()));
}

#[tokio::test]
async fn a_node_that_moved_is_reached_where_it_is() {
    let world = RealWorld::client(&Handle::current());
    let (old, new) = (receiver(anywhere()).expect("a port"), receiver(anywhere()).expect("a port"));
    assert!(send(&world, old.address, "x").await.is_ok());
    drop(old);
    assert!(send(&world, new.address, "x").await.is_ok());
}

#[tokio::test]
async fn a_handler_that_panics_refuses_that_message_only() {
    let world = RealWorld::client(&Handle::current());
    let node = receiver(anywhere()).expect("a free port");
    let ended = send(&world, node.address, "panic").await;
    assert!(matches!(ended, Err(NetError::Refused(_))), "{ended:?}");
    assert!(send(&world, node.address, "x").await.is_ok());
}

#[tokio::test]
async fn what_is_not_grpc_harms_nobody() {
    let world = RealWorld::client(&Handle::current());
    let node = receiver(anywhere()).expect("a free port");
    for garbage in [&b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..], &[0xff; 4096]] {
        let mut stream = TcpStream::connect(node.address).await.expect("connected");
        stream.write_all(garbage).await.expect("sent");
        // It hangs up; whether it says why first, or resets, is its own affair.
        let hung_up = async {
            let mut answer = [0; 1024];
            while stream.read(&mut answer).await.is_ok_and(|count| count > 0) {}
        };
        assert_eq!(world.within(LONG, hung_up).await, Ok(()));
    }
    assert!(send(&world, node.address, "x").await.is_ok());
}

/// The gRPC status of a call made by hand: a path, and some metadata.
async fn status(address: SocketAddr, path: &str, metadata: &[(&str, &str)]) -> String {
    // The process has one provider; whoever was first chose the same one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().http2_prior_knowledge().build().expect("a client");
    let mut request = client
        .post(format!("http://{address}{path}"))
        .header("content-type", "application/grpc")
        .body(vec![0; 5]);
    for (name, value) in metadata {
        request = request.header(*name, *value);
    }
    let answer = request.send().await.expect("an answer");
    let code = answer.headers().get("grpc-status").expect("a status at once");
    code.to_str().expect("a number").to_owned()
}

#[tokio::test]
async fn a_call_that_no_node_would_make_is_refused() {
    let node = receiver(anywhere()).expect("a free port");
    let (control, to) = ("/scaidrive.Messages/control", ("scaidrive-to", "2"));
    for (path, metadata, code) in [
        // Unimplemented, invalid argument, failed precondition.
        ("/scaidrive.Messages/gossip", &[("scaidrive-from", "1"), to][..], "12"),
        ("/other.Service/control", &[("scaidrive-from", "1"), to], "12"),
        (control, &[to], "3"),
        (control, &[("scaidrive-from", "one"), to], "3"),
        (control, &[("scaidrive-from", "1"), ("scaidrive-to", "3")], "9"),
    ] {
        assert_eq!(status(node.address, path, metadata).await, code, "{path} {metadata:?}");
    }
}
