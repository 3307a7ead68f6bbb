//! The real outside keeps the promises that the pretend one keeps.

use std::path::Path;

use node_base::NodeId;
use node_os::{RealWorld, listen};
use node_world::{Peer, World, conformance};
use tokio::runtime::Handle;

use crate::cluster::{anywhere, node};

fn start(number: u64) -> (World, Peer) {
    let real = node(number, anywhere()).expect("a free port");
    (real.world, Peer { node: NodeId(number), address: real.address.to_string() })
}

fn in_folder(check: impl FnOnce(&World, &Path)) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let folder = tempfile::tempdir().expect("a folder");
    check(&RealWorld::client(runtime.handle()), folder.path());
}

#[test]
fn files() {
    in_folder(conformance::files);
}

#[test]
fn names() {
    in_folder(conformance::names);
}

#[test]
fn locks_and_space() {
    in_folder(conformance::locks_and_space);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn time_and_tasks() {
    conformance::time_and_tasks(&RealWorld::client(&Handle::current())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages() {
    let ((a, at_a), (b, at_b)) = (start(1), start(2));
    // A port that was ours and is closed again refuses connections.
    let closed = listen(anywhere()).expect("a free port").address().expect("bound");
    let nobody = Peer { node: NodeId(3), address: closed.to_string() };
    conformance::messages((&a, at_a), (&b, at_b), nobody).await;
}
