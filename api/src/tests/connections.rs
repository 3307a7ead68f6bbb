//! How long connections are waited for, over pipes in memory and in pretended time.

use std::io;
use std::net::SocketAddr;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use bytes::Bytes;
use futures_util::stream;
use node_base::Duration;
use node_world::{Instant, World};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::{mpsc, oneshot};

use crate::serve::{ServeSettings, serve};

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";

/// Pipes that are handed in, one for each connection.
struct Pipes(mpsc::Receiver<DuplexStream>);

impl axum::serve::Listener for Pipes {
    type Io = DuplexStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (DuplexStream, SocketAddr) {
        match self.0.recv().await {
            Some(pipe) => (pipe, SocketAddr::from(([127, 0, 0, 1], 1))),
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(SocketAddr::from(([127, 0, 0, 1], 0)))
    }
}

/// A server that is being tested, and the way in.
struct Served {
    world: World,
    doors: mpsc::Sender<DuplexStream>,
    stop: Option<oneshot::Sender<()>>,
    ended: node_world::Task<()>,
}

/// One client.
struct Client {
    world: World,
    pipe: DuplexStream,
    since: Instant,
}

impl Served {
    fn new(world: World) -> Self {
        let (doors, pipes) = mpsc::channel(8);
        let (stop, stopped) = oneshot::channel();
        let long = {
            let world = world.clone();
            move || {
                // An answer whose body comes late.
                let world = world.clone();
                let late = async move {
                    world.sleep(Duration::from_secs(200)).await;
                    Ok::<_, io::Error>(Bytes::from_static(b"late"))
                };
                async move { Body::from_stream(stream::once(late)) }
            }
        };
        let router = Router::new().route("/", get(|| async { "here" })).route("/late", get(long));
        let settings = ServeSettings { connections_max: 2, ..ServeSettings::default() };
        let server = {
            let world = world.clone();
            async move {
                let stop = async move { drop(stopped.await) };
                serve(world, Pipes(pipes), None, router, settings, stop).await;
            }
        };
        let ended = world.spawn(server);
        Self { world, doors, stop: Some(stop), ended }
    }

    async fn connect(&self) -> Client {
        let (pipe, other) = tokio::io::duplex(1 << 16);
        self.doors.send(other).await.expect("it serves");
        Client { world: self.world.clone(), pipe, since: self.world.now() }
    }
}

impl Client {
    async fn pass(&self, seconds: u64) {
        self.world.sleep(Duration::from_secs(seconds)).await;
    }

    async fn say(&mut self, bytes: &[u8]) {
        self.pipe.write_all(bytes).await.expect("it is open");
    }

    /// Asks, and reads up to the end of the answer.
    async fn ask(&mut self) {
        self.say(REQUEST).await;
        self.hear("here").await;
    }

    async fn hear(&mut self, end: &str) {
        let mut answer = Vec::new();
        while !answer.ends_with(end.as_bytes()) {
            let read = self.pipe.read_buf(&mut answer).await.expect("it is open");
            assert!(read > 0, "closed after {:?}", String::from_utf8_lossy(&answer));
        }
        assert!(answer.starts_with(b"HTTP/1.1 200"), "{:?}", String::from_utf8_lossy(&answer));
    }

    /// Waits for the server to close; answers after how many seconds since the last mark, or since
    /// the connection began.
    async fn closed_after(&mut self) -> u64 {
        let mut rest = Vec::new();
        self.pipe.read_to_end(&mut rest).await.expect("a clean end");
        assert_eq!(rest, b"", "nothing more was said");
        self.world.now().since(self.since).as_secs()
    }

    fn mark(&mut self) {
        self.since = self.world.now();
    }
}

fn run<F>(scenario: impl FnOnce(Served) -> F + Send + 'static)
where
    F: Future<Output = ()> + Send + 'static,
{
    simulator_world::run(1, |world| Box::pin(async move { scenario(Served::new(world)).await }));
}

#[test]
fn a_connection_rests_between_requests_and_is_closed_when_nothing_more_is_asked() {
    run(|served| async move {
        let mut client = served.connect().await;
        for _ in 0..3 {
            client.ask().await;
            client.pass(74).await;
        }
        client.ask().await;
        client.mark();
        assert_eq!(client.closed_after().await, 75);
        let mut silent = served.connect().await;
        assert_eq!(silent.closed_after().await, 75);
    });
}

#[test]
fn a_head_that_has_begun_comes_soon_or_not_at_all() {
    run(|served| async move {
        // The first head, and one on a connection that rested; begun like either protocol.
        for (rested, begun) in [(false, "G"), (true, "GET / HTTP/1.1\r\n"), (false, "PR")] {
            let mut client = served.connect().await;
            if rested {
                client.ask().await;
            }
            client.pass(60).await;
            client.mark();
            client.say(begun.as_bytes()).await;
            for _ in 0..14 {
                client.pass(1).await;
                client.say(b"x").await;
            }
            assert_eq!(client.closed_after().await, 15, "{begun:?}");
        }
        let mut slow = served.connect().await;
        for piece in REQUEST.chunks(3) {
            slow.say(piece).await;
            slow.pass(1).await;
        }
        slow.hear("here").await;
    });
}

#[test]
fn an_answer_may_take_long_and_the_rest_begins_behind_it() {
    run(|served| async move {
        let mut client = served.connect().await;
        client.say(b"GET /late HTTP/1.1\r\nhost: x\r\n\r\n").await;
        client.hear("4\r\nlate\r\n0\r\n\r\n").await;
        assert_eq!(client.world.now().since(client.since).as_secs(), 200);
        client.mark();
        assert_eq!(client.closed_after().await, 75);
    });
}

/// A frame of HTTP/2.
fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).expect("a short one");
    [&[0, 0, length, kind, flags, 0, 0, 0, stream], payload].concat()
}

const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;

/// Answers pings until the server says that it goes; answers after how many seconds that was.
async fn told_to_go(client: &mut Client) -> u64 {
    loop {
        let mut head = [0; 9];
        client.pipe.read_exact(&mut head).await.expect("it goes with a word");
        let mut payload = vec![0; usize::from(head[1]) << 8 | usize::from(head[2])];
        client.pipe.read_exact(&mut payload).await.expect("a whole frame");
        match (head[3], head[4]) {
            (PING, 0) => client.say(&frame(PING, 1, 0, &payload)).await,
            (GOAWAY, _) => return client.world.now().since(client.since).as_secs(),
            _ => {}
        }
    }
}

#[test]
fn on_http_2_frames_are_no_requests() {
    run(|served| async move {
        let mut client = served.connect().await;
        client.say(b"PRI * HT").await;
        client.say(b"TP/2.0\r\n\r\nSM\r\n\r\n").await;
        client.say(&frame(SETTINGS, 0, 0, &[])).await;
        assert_eq!(told_to_go(&mut client).await, 75);

        let mut client = served.connect().await;
        client.say(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
        client.say(&frame(SETTINGS, 0, 0, &[])).await;
        client.pass(30).await;
        // GET / of http://x, in HPACK's static table and one literal; the stream ends with it.
        let request = frame(1, 0b101, 1, &[0x82, 0x86, 0x84, 0x41, 1, b'x']);
        client.mark();
        client.say(&request).await;
        assert_eq!(told_to_go(&mut client).await, 75);
    });
}

#[test]
fn a_stop_is_heard_when_all_places_are_taken() {
    run(|mut served| async move {
        let mut idle = served.connect().await;
        idle.ask().await;
        let mut busy = served.connect().await;
        busy.say(b"GET /late HTTP/1.1\r\nhost: x\r\n\r\n").await;
        busy.pass(1).await;
        let began = served.world.now();
        drop(served.stop.take());
        idle.mark();
        assert_eq!(idle.closed_after().await, 0);
        served.ended.await.expect("it ends");
        // So long is given to what still runs.
        assert_eq!(served.world.now().since(began).as_secs(), 20);
    });
}
