//! The pretend outside keeps the promises that the real one keeps.

use std::path::Path;

use node_base::NodeId;
use node_world::{World, conformance};
use simulator_world::{Options, Simulation, run};

fn in_folder(check: impl FnOnce(&World, &Path) + Send + 'static) {
    run(1, |world| async move {
        world.disk().create_folder(Path::new("/data")).expect("made");
        check(&world, Path::new("/data"));
    });
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

#[test]
fn time_and_tasks() {
    for seed in 0..20 {
        run(seed, |world| async move { conformance::time_and_tasks(&world).await });
    }
}

#[test]
fn messages() {
    for seed in 0..4 {
        Simulation::new(seed, Options::default()).run(async |sim| {
            let (a, b) = (NodeId(1), NodeId(2));
            let (world, other) = (sim.world(a), sim.world(b));
            let nobody = sim.peer(NodeId(3));
            conformance::messages((&world, sim.peer(a)), (&other, sim.peer(b)), nobody).await;
        });
    }
}
