//! openraft's own conformance suite, on our log and tables.

use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use node_base::{Duration, NodeId, Timestamp};
use node_world::{
    BoxFuture, Class, Clock, Disk, Entropy, Fetch, FetchError, FetchReply, FetchRequest, File,
    Handler, Instant, Net, NetError, OpenMode, Parts, Peer, Space, Spawn, World,
};
use openraft::testing::{StoreBuilder, Suite};
use simulator_world::{Options, Simulation};

use super::RULES;
use crate::log::{LogSettings, LogStore};
use crate::machine::{Durable, Machine};
use crate::tables::redb::Redb;
use crate::types::{StorageError, Types};

/// Builds each test's stores in a folder of their own.
struct Builder {
    world: World,
    folders: AtomicU64,
}

impl StoreBuilder<Types, LogStore, Machine> for Builder {
    async fn build(&self) -> Result<((), LogStore, Machine), StorageError> {
        let number = self.folders.fetch_add(1, Ordering::Relaxed);
        let folder = PathBuf::from(format!("/suite-{number}"));
        let settings = LogSettings { segment_bytes: 300, cache_bytes: 100 };
        let path = folder.join("log");
        let unneeded = Durable { entry: Some(u64::MAX), failure: None };
        let unneeded = tokio::sync::watch::channel(unneeded).1;
        let log = LogStore::open(&self.world, NodeId(0), &path, settings, unneeded);
        let log = log.await.expect("a new log can be made");
        let redb = Redb::open(&self.world, &folder.join("tables"), 1 << 20);
        let tables = Arc::new(redb.expect("new tables can be made"));
        let (machine, _) =
            Machine::new(&self.world, tables, RULES.apply).expect("new tables can be read");
        Ok(((), log, machine))
    }
}

#[test]
fn the_suite_of_openraft_holds() {
    let options = Options { yield_chance: 0.0, ..Options::default() };
    Simulation::new(1, options).run(async move |sim| {
        let builder = Builder { world: sim.world(NodeId(0)), folders: AtomicU64::new(0) };
        // The suite makes runtimes of its own, which the simulation's thread must not be in.
        let thread = std::thread::Builder::new().spawn(move || in_a_task(builder));
        thread.expect("the machine gives a thread").join().expect("the suite holds");
    });
}

/// Runs the suite where it can ask for its world: in a task, but one that no runtime polls.
fn in_a_task(builder: Builder) {
    let tasks = Tasks::default();
    let stage = || Box::new(Stage(builder.world.clone(), Arc::clone(&tasks)));
    let world = World::new(Parts {
        clock: stage(),
        entropy: stage(),
        disk: stage(),
        net: stage(),
        fetch: stage(),
        spawn: stage(),
    });
    let mut suite = world.spawn(async move { Suite::test_all(builder) });
    let mut context = Context::from_waker(Waker::noop());
    let mut task = tasks.lock().expect("nobody panics").pop().expect("it was just started");
    assert!(task.as_mut().poll(&mut context).is_ready(), "the suite waits for nobody");
    let Poll::Ready(result) = Pin::new(&mut suite).poll(&mut context) else {
        panic!("the suite has ended")
    };
    result.expect("the suite holds").expect("the suite's storage works");
}

type Tasks = Arc<Mutex<Vec<BoxFuture<()>>>>;

/// The world around the suite: the pretend one's time and chance, and nothing else.
struct Stage(World, Tasks);

impl Clock for Stage {
    fn now(&self) -> Instant {
        self.0.now()
    }

    fn wall(&self) -> Timestamp {
        self.0.wall()
    }

    fn sleep_until(&self, moment: Instant) -> BoxFuture<()> {
        let world = self.0.clone();
        Box::pin(async move { world.sleep(moment.since(world.now())).await })
    }
}

impl Entropy for Stage {
    fn fill(&self, bytes: &mut [u8]) {
        self.0.fill_random(bytes);
    }
}

impl Spawn for Stage {
    fn spawn(&self, future: BoxFuture<()>) {
        self.1.lock().expect("nobody panics").push(future);
    }

    fn blocking(&self, work: Box<dyn FnOnce() + Send>) {
        work();
    }
}

impl Net for Stage {
    fn call(&self, _: Peer, _: Class, _: Bytes, _: Duration) -> BoxFuture<Result<Bytes, NetError>> {
        Box::pin(async { Err(NetError::Elapsed) })
    }

    fn serve(&self, _: Class, _: Arc<dyn Handler>) {}
}

impl Fetch for Stage {
    fn fetch(&self, _: FetchRequest) -> BoxFuture<Result<FetchReply, FetchError>> {
        Box::pin(async { Err(FetchError::Elapsed) })
    }
}

impl Disk for Stage {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        self.0.disk().open(path, mode)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.disk().rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.0.disk().remove(path)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<node_world::Entry>> {
        self.0.disk().list(folder)
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        self.0.disk().create_folder(path)
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        self.0.disk().sync_folder(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>> {
        self.0.disk().lock(path)
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        self.0.disk().space(path)
    }
}
