//! What only the real outside has: sockets that are taken, servers that answer, tasks that panic.
#![expect(clippy::disallowed_types, reason = "the other ends of sockets and locks")]

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use node_base::Duration;
use node_os::{ListenError, Listener, RealWorld, listen};
use node_world::{FetchError, FetchReply, FetchRequest, World};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Handle;

const LONG: Duration = Duration::from_secs(30);

fn anywhere() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

#[tokio::test]
async fn an_address_that_cannot_be_had_says_why() {
    let first = listen(anywhere()).expect("a free port");
    let address = first.address().expect("bound");
    let taken = listen(address).map(drop).expect_err("in use");
    assert!(matches!(taken, ListenError::InUse(at) if at == address));
    assert_eq!(taken.to_string(), format!("{address} is in use by another program"));
    // TEST-NET-1 belongs to documentation, not to machines.
    let foreign = listen(SocketAddr::from(([192, 0, 2, 1], 0))).map(drop);
    assert!(matches!(foreign, Err(ListenError::NotHere(_))));
}

#[tokio::test]
async fn a_connection_sends_small_writes_at_once() {
    let listener = listen(anywhere()).expect("a free port");
    let address = listener.address().expect("bound");
    let (_client, (taken, _)) = tokio::join!(TcpStream::connect(address), listener.accept());
    assert!(taken.nodelay().expect("an option"));
}

/// Takes one connection, answers the head of its request with `answer`, and leaves the rest open.
async fn serve_once(listener: Listener, answer: &'static str) -> (String, TcpStream) {
    let (mut stream, _) = listener.accept().await;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("a request"));
    }
    stream.write_all(answer.as_bytes()).await.expect("written");
    (String::from_utf8(head).expect("text"), stream)
}

fn get(url: String, body_max: usize, limit: Duration) -> FetchRequest {
    let headers = vec![("accept".to_owned(), "text/plain".to_owned())];
    FetchRequest { method: "GET", url, headers, body: Bytes::new(), limit, body_max }
}

async fn fetch(
    answer: &'static str,
    body_max: usize,
    limit: Duration,
) -> (String, Result<FetchReply, FetchError>) {
    let listener = listen(anywhere()).expect("a free port");
    let address = listener.address().expect("bound");
    let world = RealWorld::client(&Handle::current());
    let served = world.spawn(serve_once(listener, answer));
    let request = get(format!("http://{address}/keys?x=1"), body_max, limit);
    let reply = world.fetch().fetch(request).await;
    (served.await.expect("served").0, reply)
}

#[tokio::test]
async fn an_answer_is_fetched_whole() {
    let answer = "HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\nX-Kind: a\r\n\r\nhello";
    let (head, reply) = fetch(answer, 5, LONG).await;
    let reply = reply.expect("an answer");
    assert!(head.starts_with("GET /keys?x=1 HTTP/1.1\r\n") && head.contains("text/plain"));
    assert_eq!((reply.status, &reply.body[..]), (404, &b"hello"[..]));
    assert!(reply.headers.contains(&("x-kind".to_owned(), "a".to_owned())));
}

#[tokio::test]
async fn a_redirect_is_answered_and_not_followed() {
    let answer = "HTTP/1.1 302 Found\r\nLocation: http://192.0.2.1/\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(fetch(answer, 5, LONG).await.1.expect("an answer").status, 302);
}

#[tokio::test]
async fn an_answer_over_the_limit_is_not_taken() {
    let told = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello!";
    assert_eq!(fetch(told, 5, LONG).await.1.err(), Some(FetchError::TooLarge(5)));
    let untold = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nhello!\r\n0\r\n\r\n";
    assert_eq!(fetch(untold, 5, LONG).await.1.err(), Some(FetchError::TooLarge(5)));
}

#[tokio::test]
async fn a_server_that_stalls_is_given_up() {
    let stalled = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhel";
    let reply = fetch(stalled, 100, Duration::from_millis(200)).await.1;
    assert_eq!(reply.err(), Some(FetchError::Elapsed));
}

#[tokio::test]
async fn what_is_no_address_is_told_from_what_does_not_answer() {
    let world = RealWorld::client(&Handle::current());
    let odd = world.fetch().fetch(get("gopher:".to_owned(), 100, LONG)).await;
    assert!(matches!(odd, Err(FetchError::Address(_))), "{odd:?}");
    let closed = listen(anywhere()).expect("a free port").address().expect("bound");
    let silent = world.fetch().fetch(get(format!("http://{closed}/"), 100, LONG)).await;
    assert!(matches!(silent, Err(FetchError::Connection(_))), "{silent:?}");
}

#[tokio::test]
async fn tls_with_a_server_that_has_none_fails_plainly() {
    let listener = listen(anywhere()).expect("a free port");
    let address = listener.address().expect("bound");
    let world = RealWorld::client(&Handle::current());
    let mut plain = world.spawn(async move {
        let (mut stream, _) = listener.accept().await;
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.expect("written");
        std::future::pending::<()>().await;
    });
    let reply = world.fetch().fetch(get(format!("https://{address}/"), 100, LONG)).await;
    assert!(matches!(reply, Err(FetchError::Connection(_))), "{reply:?}");
    plain.abort();
}

/// Collects what is logged at ERROR.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<String>>);

impl tracing::Subscriber for Log {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() == tracing::Level::ERROR
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let mut text = self.0.lock().expect("no panic inside");
        event.record(&mut |field: &tracing::field::Field, value: &dyn std::fmt::Debug| {
            text.push_str(&format!("{}={value:?} ", field.name()));
        });
    }

    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

#[test]
fn a_panic_in_a_task_is_logged_and_ends_that_task_only() {
    let log = Log::default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let world = RealWorld::client(runtime.handle());
    tracing::subscriber::with_default(log.clone(), || {
        runtime.block_on(async {
            let task = world.spawn(async { panic!("the roof fell in") });
            let ended: Result<(), _> = task.await;
            assert!(ended.is_err());
            assert_eq!(world.spawn(async { 7 }).await, Ok(7));
        });
    });
    let text = log.0.lock().expect("no panic inside").clone();
    assert!(text.contains("the roof fell in") && text.contains("a task panicked"), "{text}");
}

/// Holds a lock as another process: this test binary, asked to do nothing else.
const HOLDER: &str = "SCAIDRIVE_TEST_HOLD_LOCK";

#[test]
fn a_lock_is_held_against_other_processes_and_freed_by_a_kill() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let world: World = RealWorld::client(runtime.handle());
    if let Some(path) = std::env::var_os(HOLDER) {
        let _held = world.disk().lock(Path::new(&path)).expect("nobody has it");
        let mut line = String::new();
        // Tells by its output that it holds, and holds until it is killed.
        std::io::stdout().write_all(b"held\n").expect("a pipe");
        std::io::stdin().read_line(&mut line).expect("a pipe");
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("lock");
    let mut holder = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "machine::a_lock_is_held_against_other_processes_and_freed_by_a_kill"])
        .arg("--nocapture")
        .env(HOLDER, &path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a process");
    let output = BufReader::new(holder.stdout.take().expect("piped"));
    let told = output.lines().map_while(Result::ok).any(|line| line.ends_with("held"));
    assert!(told, "the other process took the lock");
    let refused = world.disk().lock(&path).map(drop).map_err(|error| error.kind());
    assert_eq!(refused, Err(std::io::ErrorKind::WouldBlock));
    holder.kill().expect("killed");
    holder.wait().expect("ended");
    world.disk().lock(&path).expect("free again");
}
