//! The pretend outside: virtual time, seeded randomness, faulty drives and network.
//!
//! A [`Simulation`] runs nodes in one thread. Each gets a [`World`] that keeps the contract of the
//! real one, and in which everything that could differ from run to run is decided by a seed: the
//! same seed gives the same [`Trace`], byte for byte, in every process. For the tests of one
//! package, [`run`] gives one node's world.
//!
//! Never here: a product package, real time, sockets, files of the machine.

#[cfg(not(tokio_unstable))]
compile_error!(
    "seeded scheduling needs `--cfg tokio_unstable`: it is set in .cargo/config.toml, which the \
     variable RUSTFLAGS overrides"
);

mod clock;
mod disk;
mod fetch;
mod net;
mod node;
mod random;
mod simulation;
mod task;
mod trace;

use node_base::NodeId;
use node_world::World;

pub use disk::DiskFaults;
pub use net::NetFaults;
pub use random::Chance;
pub use simulation::{Options, Sim, Simulation};
pub use trace::Trace;

/// Runs one node in a world without faults, and answers what it did.
///
/// # Panics
/// When `scenario` or a task it started does, or when nothing can happen any more.
pub fn run<T, F>(seed: u64, scenario: impl FnOnce(World) -> F + Send) -> T
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    Simulation::new(seed, Options::default()).run(async move |sim| {
        let world = sim.world(NodeId(1));
        let task = world.spawn(scenario(world.clone()));
        task.await.expect("a panic of the task ends the run before")
    })
}
