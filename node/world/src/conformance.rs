//! What every implementation of a world promises, as checks that each runs in its own tests.
//!
//! A difference between the real and the pretend outside would make the simulator prove things
//! about a machine that does not exist; whoever relies on a behaviour that is not here adds it
//! here. Each check panics with what was broken.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use node_base::limits::MESSAGE_MAX;
use node_base::{Duration, NodeId};
use tokio::sync::oneshot;

use crate::task::current;
use crate::{BoxFuture, Class, Elapsed, Entry, Handler, NetError, OpenMode, Peer, Refusal, World};

/// A generous limit for what should be quick.
const LONG: Duration = Duration::from_secs(30);

/// Files, in an empty folder at `root`.
pub fn files(world: &World, root: &Path) {
    let disk = world.disk();
    let path = root.join("file");
    let kind = |mode| disk.open(&path, mode).map(drop).map_err(|error| error.kind());
    assert_eq!(kind(OpenMode::Read), Err(ErrorKind::NotFound));
    assert_eq!(kind(OpenMode::Write), Err(ErrorKind::NotFound));
    assert_eq!(kind(OpenMode::CreateNew), Ok(()));
    assert_eq!(kind(OpenMode::CreateNew), Err(ErrorKind::AlreadyExists));
    assert_eq!(kind(OpenMode::Create), Ok(()));

    let file = disk.open(&path, OpenMode::Write).expect("it is there");
    assert!(file.is_empty().expect("length"));
    file.write_at(b"world", 10_000).expect("a write past the end");
    assert_eq!(file.len().expect("length"), 10_005);
    let mut hole = [1; 8];
    file.read_at(&mut hole, 4_000).expect("a hole");
    assert_eq!(hole, [0; 8], "a hole reads as zeros");
    let mut word = [0; 5];
    file.read_at(&mut word, 10_000).expect("what was written");
    assert_eq!(&word, b"world");
    let past = file.read_at(&mut word, 10_001).map_err(|error| error.kind());
    assert_eq!(past, Err(ErrorKind::UnexpectedEof));
    file.read_at(&mut [], 10_005).expect("nothing can be read anywhere");

    file.set_len(10_002).expect("cut");
    file.set_len(10_005).expect("grown");
    file.read_at(&mut word, 10_000).expect("what is left");
    assert_eq!(&word, b"wo\0\0\0", "what was cut off comes back as zeros");
    file.sync_data().expect("sync");

    let reader = disk.open(&path, OpenMode::Read).expect("it is there");
    assert!(reader.write_at(b"x", 0).is_err(), "opened for reading, so not writable");
    assert!(reader.set_len(0).is_err(), "opened for reading, so not writable");
    file.write_at(b"hello", 0).expect("a write");
    reader.read_at(&mut word, 0).expect("both handles see one file");
    assert_eq!(&word, b"hello");
}

/// Names and folders, in an empty folder at `root`.
pub fn names(world: &World, root: &Path) {
    let disk = world.disk();
    let (a, b, folder) = (root.join("a"), root.join("b"), root.join("deep/folder"));
    let put = |path: &Path, bytes: &[u8]| {
        let file = disk.open(path, OpenMode::Create).expect("made");
        file.write_at(bytes, 0).expect("written");
    };
    let open = |path: &Path, mode| disk.open(path, mode).map(drop).map_err(|error| error.kind());
    assert_eq!(open(&folder.join("x"), OpenMode::Create), Err(ErrorKind::NotFound));
    disk.create_folder(&folder).expect("a folder and those above");
    disk.create_folder(&folder).expect("one that is there is fine");
    put(&folder.join("x"), b"12");
    put(&a, b"first");
    assert_eq!(open(&a.join("x"), OpenMode::Create), Err(ErrorKind::NotADirectory));
    assert!(disk.create_folder(&a).is_err(), "a file has that name");
    for mode in [OpenMode::Read, OpenMode::Write, OpenMode::Create] {
        assert_eq!(open(&folder, mode), Err(ErrorKind::IsADirectory), "{mode:?}");
    }

    put(&b, b"second");
    let held = disk.open(&b, OpenMode::Read).expect("it is there");
    disk.rename(&a, &b).expect("renamed over another");
    assert_eq!(open(&a, OpenMode::Read), Err(ErrorKind::NotFound));
    let mut word = [0; 6];
    held.read_at(&mut word, 0).expect("an open file outlives its name");
    assert_eq!(&word, b"second");
    let failed = |result: std::io::Result<()>| result.map_err(|error| error.kind());
    assert_eq!(failed(disk.rename(&a, &b)), Err(ErrorKind::NotFound));
    assert_eq!(failed(disk.rename(&folder, &a)), Err(ErrorKind::IsADirectory));
    assert_eq!(failed(disk.remove(&folder)), Err(ErrorKind::IsADirectory));
    assert_eq!(failed(disk.remove(&a)), Err(ErrorKind::NotFound));
    assert_eq!(failed(disk.list(&a).map(drop)), Err(ErrorKind::NotFound));
    assert_eq!(failed(disk.sync_folder(&a)), Err(ErrorKind::NotFound));

    let entry = |name: &str, is_folder, len| Entry { name: name.to_owned(), is_folder, len };
    let mut listed = disk.list(root).expect("listed");
    // How long a folder is, is its file system's affair.
    listed.iter_mut().filter(|entry| entry.is_folder).for_each(|entry| entry.len = 0);
    assert_eq!(listed, [entry("b", false, 5), entry("deep", true, 0)]);
    disk.sync_folder(root).expect("synced");
    disk.remove(&b).expect("removed");
    assert_eq!(disk.list(root).expect("listed").len(), 1);
    assert_eq!(disk.list(&folder).expect("listed"), [entry("x", false, 2)]);
}

/// Locks and space, in an empty folder at `root`.
pub fn locks_and_space(world: &World, root: &Path) {
    let disk = world.disk();
    let path = root.join("lock");
    let lock = || disk.lock(&path).map_err(|error| error.kind());
    let held = lock().expect("nobody has it");
    assert_eq!(lock().map(drop), Err(ErrorKind::WouldBlock));
    drop(held);
    drop(lock().expect("free again"));
    let space = disk.space(root).expect("the drive");
    assert!(space.total > 0 && space.free <= space.total);
}

/// Clocks, entropy, tasks and blocking work.
pub async fn time_and_tasks(world: &World) {
    let start = world.now();
    world.sleep(Duration::from_millis(20)).await;
    assert!(world.now() >= start.after(Duration::from_millis(20)), "a sleep is not cut short");
    let never = world.within(Duration::from_millis(5), std::future::pending::<()>()).await;
    assert_eq!(never, Err(Elapsed));
    assert_eq!(world.within(LONG, async { 7 }).await, Ok(7));
    assert_ne!(world.random(), world.random());

    let (first, second) = (world.clone(), world.clone());
    let order = Arc::new(AtomicUsize::new(0));
    let (later, sooner) = (Arc::clone(&order), Arc::clone(&order));
    let slow = world.spawn(async move {
        first.sleep(Duration::from_millis(200)).await;
        later.fetch_add(1, Ordering::SeqCst)
    });
    let fast = world.spawn(async move {
        second.sleep(Duration::from_millis(10)).await;
        sooner.fetch_add(1, Ordering::SeqCst)
    });
    assert_eq!((slow.await, fast.await), (Ok(1), Ok(0)), "moments come in their order");

    let mut stopped = world.spawn(std::future::pending::<()>());
    stopped.abort();
    assert!(stopped.await.is_err(), "an aborted task has no output");
    let found = world.spawn(async { current().now() }).await.expect("a task finds its world");
    assert!(found >= start);
    assert_eq!(world.blocking(|| 40 + 2).await, 42);
}

/// Answers with the sender's number and the request; refuses an empty one; answers `big` with more
/// than fits, and `slow` never: it holds the sender until it is dropped.
#[derive(Default)]
struct Echo(Mutex<Option<oneshot::Sender<()>>>);

impl Echo {
    fn held(&self) -> MutexGuard<'_, Option<oneshot::Sender<()>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Handler for Echo {
    fn handle(&self, from: NodeId, request: Bytes) -> BoxFuture<Result<Bytes, Refusal>> {
        let held = if request == "slow" { self.held().take() } else { None };
        Box::pin(async move {
            // A handler is a task of its world.
            let world = current();
            match &request[..] {
                b"" => Err(Refusal("nothing to echo".to_owned())),
                b"big" => Ok(Bytes::from(vec![0; MESSAGE_MAX + 1])),
                b"slow" => {
                    world.sleep(LONG * 100).await;
                    drop(held);
                    Ok(Bytes::new())
                }
                text => Ok(Bytes::from([&from.0.to_be_bytes(), text].concat())),
            }
        })
    }
}

/// Messages between two nodes that listen where the peers say; `nobody` does not listen.
pub async fn messages(a: (&World, Peer), b: (&World, Peer), nobody: Peer) {
    let (world, from) = a;
    let send = |to: &Peer, class, text: &[u8], limit| {
        world.net().call(to.clone(), class, Bytes::copy_from_slice(text), limit)
    };
    for to in [&from, &b.1] {
        let refused = send(to, Class::Control, b"x", LONG).await;
        assert!(matches!(refused, Err(NetError::Refused(_))), "nobody serves: {refused:?}");
    }
    let echo = Arc::new(Echo::default());
    for served in [world, b.0] {
        Class::ALL.into_iter().for_each(|class| served.net().serve(class, echo.clone()));
    }
    for to in [&from, &b.1] {
        for class in Class::ALL {
            let reply = send(to, class, b"hello", LONG).await.expect("a reply");
            assert_eq!(reply, [&from.node.0.to_be_bytes(), b"hello".as_slice()].concat());
        }
        let empty = send(to, Class::Control, b"", LONG).await;
        let why = Refusal("nothing to echo".to_owned());
        assert_eq!(empty, Err(NetError::Refused(why)));
        let (held, dropped) = oneshot::channel();
        *echo.held() = Some(held);
        let slow = send(to, Class::Control, b"slow", Duration::from_millis(300)).await;
        assert_eq!(slow, Err(NetError::Elapsed));
        let dropped = world.within(LONG, dropped).await;
        assert!(dropped.is_ok(), "the receiver stops when the time for the message is over");
        let (size, max) = (MESSAGE_MAX + 1, MESSAGE_MAX);
        let large = send(to, Class::Control, &vec![0; size], LONG).await;
        assert_eq!(large, Err(NetError::TooLarge { size, max }), "the request");
        let large = send(to, Class::Control, b"big", LONG).await;
        assert_eq!(large, Err(NetError::TooLarge { size, max }), "the reply");
    }
    let most = vec![7; MESSAGE_MAX - 8];
    let reply = send(&b.1, Class::ShardForeground, &most, LONG).await.expect("it just fits");
    assert_eq!(reply.len(), MESSAGE_MAX);
    let silent = send(&nobody, Class::Control, b"x", LONG).await;
    assert!(matches!(silent, Err(NetError::Unreachable(_))), "nobody listens: {silent:?}");
    let other = Peer { node: nobody.node, address: b.1.address };
    let misled = send(&other, Class::Control, b"x", LONG).await;
    assert!(matches!(misled, Err(NetError::Refused(_))), "another node lives there: {misled:?}");
}
