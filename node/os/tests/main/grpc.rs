//! Messages where the other end is gone, moved, or no node at all.
#![expect(clippy::disallowed_types, reason = "the other ends of sockets")]

use std::net::SocketAddr;

use node_base::Duration;
use node_world::{Class, NetError, World};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::cluster::{LONG, anywhere, by_hand, echo, name, node, refusals, send};

fn sender() -> World {
    node(1, anywhere()).expect("a free port").world
}

#[tokio::test]
async fn a_node_that_came_back_is_reached_again() {
    for class in [Class::Control, Class::ShardForeground] {
        let world = sender();
        let first = echo(2, anywhere()).expect("a free port");
        let address = first.address;
        assert!(send(&world, (2, address), class, "x").await.is_ok());
        drop(first);
        let back = async {
            loop {
                // Its socket closes in its own time.
                if let Some(second) = echo(2, address) {
                    break second;
                }
                world.sleep(Duration::from_millis(10)).await;
            }
        };
        let _second = world.within(LONG, back).await.expect("the port is free again");
        let reached = async { while send(&world, (2, address), class, "x").await.is_err() {} };
        assert_eq!(world.within(LONG, reached).await, Ok(()));
    }
}

#[tokio::test]
async fn a_node_that_moved_is_reached_where_it_is() {
    let world = sender();
    let (old, new) = (echo(2, anywhere()).expect("a port"), echo(2, anywhere()).expect("a port"));
    for class in [Class::Control, Class::ShardForeground] {
        assert!(send(&world, (2, old.address), class, "x").await.is_ok());
        assert!(send(&world, (2, new.address), class, "x").await.is_ok());
    }
}

#[tokio::test]
async fn a_handler_that_panics_refuses_that_message_only() {
    let world = sender();
    let node = echo(2, anywhere()).expect("a free port");
    for class in Class::ALL {
        let ended = send(&world, (2, node.address), class, "panic").await;
        assert!(matches!(ended, Err(NetError::Refused(_))), "{ended:?}");
        assert!(send(&world, (2, node.address), class, "x").await.is_ok());
    }
}

#[tokio::test]
async fn what_is_no_tls_harms_nobody() {
    let world = sender();
    let node = echo(2, anywhere()).expect("a free port");
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
    assert_eq!(refusals(&node.world, "not_tls"), 2);
    assert!(send(&world, (2, node.address), Class::Control, "x").await.is_ok());
}

/// The gRPC status of a call made by hand: a path, and some metadata.
async fn status(
    world: &World,
    address: SocketAddr,
    path: &str,
    metadata: &[(&str, String)],
) -> String {
    let client = reqwest::Client::builder()
        .tls_backend_preconfigured(by_hand(world, Some(world.wall())))
        .resolve(&name(2), address)
        .build()
        .expect("a client");
    let mut request = client
        .post(format!("https://{}:{}{path}", name(2), address.port()))
        .header("content-type", "application/grpc")
        .body(vec![0; 5]);
    for (name, value) in metadata {
        request = request.header(*name, value);
    }
    let answer = request.send().await.expect("an answer");
    let code = answer.headers().get("grpc-status").expect("a status at once");
    code.to_str().expect("a number").to_owned()
}

#[tokio::test]
async fn a_call_that_no_node_would_make_is_refused() {
    let node = echo(2, anywhere()).expect("a free port");
    let world = &node.world;
    let ms = |ms: i64| ("scaidrive-at", (world.wall().millis() + ms).to_string());
    let to = |node: &str| ("scaidrive-to", node.to_owned());
    let (control, hour) = ("/scaidrive.Messages/control", 3_600_000);
    for (path, metadata, code) in [
        // Unimplemented, invalid argument, failed precondition.
        ("/scaidrive.Messages/gossip", vec![ms(0), to("2")], "12"),
        ("/other.Service/control", vec![ms(0), to("2")], "12"),
        (control, vec![ms(0)], "3"),
        (control, vec![ms(0), to("two")], "3"),
        (control, vec![to("2")], "3"),
        (control, vec![ms(0), to("3")], "9"),
        // A clock that is hours off.
        (control, vec![ms(2 * hour), to("2")], "9"),
        (control, vec![ms(-2 * hour), to("2")], "9"),
    ] {
        assert_eq!(status(world, node.address, path, &metadata).await, code, "{path} {metadata:?}");
    }
    assert_eq!(refusals(world, "clock"), 2);
}
