//! Hints: web sockets and server-sent events, over a pipe in the place of a connection.

use std::net::SocketAddr;

use axum::serve::Listener;
use futures_util::{SinkExt, StreamExt};
use node_base::Duration;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use super::files::{Desk, text};
use crate::fixture::run;
use crate::serve::{ServeSettings, serve};

/// Whoever sends a pipe's end here connects.
struct Pipes(mpsc::Receiver<DuplexStream>);

impl Listener for Pipes {
    type Io = DuplexStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (DuplexStream, SocketAddr) {
        match self.0.recv().await {
            Some(pipe) => (pipe, SocketAddr::from(([127, 0, 0, 1], 1))),
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        Ok(SocketAddr::from(([127, 0, 0, 1], 8000)))
    }
}

/// A served desk, and where to connect.
fn served(desk: &Desk) -> mpsc::Sender<DuplexStream> {
    let (connect, pipes) = mpsc::channel(8);
    let world = desk.fixture.world.clone();
    let router = desk.fixture.router.clone();
    let settings = ServeSettings::default();
    let served = serve(world, Pipes(pipes), None, router, settings, std::future::pending());
    desk.fixture.world.spawn(served);
    connect
}

struct Socket(WebSocketStream<DuplexStream>);

impl Socket {
    async fn open(to: &mpsc::Sender<DuplexStream>, path: &str) -> Self {
        let (near, far) = tokio::io::duplex(64 << 10);
        to.send(far).await.expect("it is served");
        let url = format!("ws://127.0.0.1:8000/api/v1{path}");
        let opened = tokio_tungstenite::client_async(url, near).await;
        Self(opened.expect("an upgrade").0)
    }

    async fn say(&mut self, frame: Value) {
        self.0.send(Message::text(frame.to_string())).await.expect("it is open");
    }

    /// The next frame but pings.
    async fn hear(&mut self) -> Message {
        loop {
            match self.0.next().await.expect("it is open").expect("it is open") {
                Message::Ping(_) => {}
                message => return message,
            }
        }
    }

    async fn told(&mut self) -> Value {
        let message = self.hear().await;
        serde_json::from_str(message.to_text().expect("text")).expect("JSON")
    }

    /// The code that it is closed with.
    async fn closed(&mut self) -> u16 {
        match self.hear().await {
            Message::Close(Some(frame)) => frame.code.into(),
            other => panic!("not closed: {other:?}"),
        }
    }
}

#[test]
fn a_device_is_told_of_changes_and_of_what_it_keeps() {
    run(|fixture| async move {
        let desk = Desk::new(fixture).await;
        let to = served(&desk);
        let device = json!({"device_id": "dev_laptop", "device_name": "Laptop"});
        desk.post("/sync/devices", device).await.expect(201);
        let path = format!("/sync/ws/dev_laptop?token={}", desk.token);
        let mut socket = Socket::open(&to, &path).await;
        socket.say(json!({"type": "ping"})).await;
        assert_eq!(socket.told().await, json!({"type": "pong"}));
        socket.say(json!({"type": "sing"})).await;
        assert_eq!(socket.told().await["type"], "error");
        desk.post("/folders", json!({"share_id": desk.share, "name": "early"})).await.expect(201);
        socket.say(json!({"type": "subscribe"})).await;
        assert_eq!(socket.told().await, json!({"type": "subscribed"}));
        assert_eq!(desk.fixture.state.metrics.websockets.get(), 1);
        desk.post("/folders", json!({"share_id": desk.share, "name": "late"})).await.expect(201);
        let told = socket.told().await;
        assert_eq!(
            (&told["event_type"], &told["share_id"]),
            (&json!("change"), &json!(desk.share))
        );
        assert_eq!(told["data"]["name"], "late");
        let keep = json!({"share_id": desk.share, "mode": "selected", "folders": []});
        let path = "/sync/devices/dev_laptop/preferences";
        desk.fixture.call("PUT", &desk.token, path, Some(keep)).await.expect(200);
        assert_eq!(socket.told().await["event_type"], "sync_preference_updated");
        desk.fixture.state.ops.stop_waiting();
        assert_eq!(socket.closed().await, 1001);
    });
}

#[test]
fn a_viewer_is_told_of_the_shares_it_subscribed_to_and_may_see() {
    run(|fixture| async move {
        let desk = Desk::new(fixture).await;
        let other = desk.share("other").await;
        let to = served(&desk);
        let mut socket = Socket::open(&to, &format!("/realtime/ws?token={}", desk.token)).await;
        assert_eq!(socket.told().await["type"], "connected");
        socket.say(json!({"action": "subscribe", "share_id": desk.share})).await;
        assert_eq!(socket.told().await["type"], "subscribed");
        desk.post("/folders", json!({"share_id": other, "name": "unseen"})).await.expect(201);
        let file = desk.file("a.txt", b"one").await;
        let told = socket.told().await;
        assert_eq!(
            (&told["type"], &told["item"]["name"]),
            (&json!("file_created"), &json!("a.txt"))
        );
        let path = format!("/files/{}", text(&file["id"]));
        desk.fixture.call("DELETE", &desk.token, &path, None).await.expect(204);
        let told = socket.told().await;
        assert_eq!((&told["type"], &told["item"]), (&json!("file_deleted"), &Value::Null));
        socket.say(json!({"action": "unsubscribe", "share_id": desk.share})).await;
        assert_eq!(socket.told().await["type"], "unsubscribed");
        let bob = desk.fixture.token(desk.fixture.bob).await;
        let mut blind = Socket::open(&to, &format!("/realtime/ws?token={bob}")).await;
        assert_eq!(blind.told().await["type"], "connected");
        blind.say(json!({"action": "subscribe", "share_id": desk.share})).await;
        assert_eq!(blind.told().await["detail"], "There is no such share.");
    });
}

#[test]
fn a_bad_token_closes_with_4401_and_a_suspension_ends_what_was_open() {
    run(|fixture| async move {
        let desk = Desk::new(fixture).await;
        let to = served(&desk);
        for path in ["/realtime/ws", "/realtime/ws?token=nonsense", "/sync/ws/dev_x?token="] {
            assert_eq!(Socket::open(&to, path).await.closed().await, 4401, "{path}");
        }
        let mut socket = Socket::open(&to, &format!("/realtime/ws?token={}", desk.token)).await;
        assert_eq!(socket.told().await["type"], "connected");
        let root = desk.fixture.token(desk.fixture.root).await;
        let path = format!("/admin/users/{}/suspend", desk.fixture.ann);
        desk.fixture.call("POST", &root, &path, None).await.expect(200);
        let before = desk.fixture.world.now();
        assert_eq!(socket.closed().await, 4403);
        assert!(desk.fixture.world.now().since(before) <= Duration::from_secs(31));
        desk.fixture.world.sleep(Duration::from_secs(1)).await;
        assert_eq!(desk.fixture.state.metrics.websockets.get(), 0);
    });
}

#[test]
fn events_come_as_they_happen_and_the_connection_is_kept_alive() {
    run(|fixture| async move {
        let desk = Desk::new(fixture).await;
        let to = served(&desk);
        let (mut near, far) = tokio::io::duplex(64 << 10);
        to.send(far).await.expect("it is served");
        let head = format!(
            "GET /api/v1/sync/events?share_id={}&token={} HTTP/1.1\r\nhost: x\r\n\r\n",
            desk.share, desk.token
        );
        near.write_all(head.as_bytes()).await.expect("it is open");
        let mut read = String::new();
        for wanted in ["retry: 2000", ": nothing new", "event: change\ndata: {"] {
            while !read.contains(wanted) {
                let mut bytes = vec![0; 4_096];
                let count = near.read(&mut bytes).await.expect("it is open");
                assert!(count > 0, "{read}");
                read.push_str(&String::from_utf8_lossy(&bytes[..count]));
            }
            if wanted == ": nothing new" {
                let folder = json!({"share_id": desk.share, "name": "new"});
                desk.post("/folders", folder).await.expect(201);
            }
        }
        assert!(read.starts_with("HTTP/1.1 200"), "{read}");
        assert!(read.contains("\nid: "), "{read}");
        desk.get("/sync/events?share_id=nonsense").await.expect(422);
        desk.fixture.get("", "/sync/events?token=nonsense").await.expect(401);
    });
}
