//! A small run that touches every source of chance, and its trace.
//!
//! One node sends notes to another over a network that loses, doubles and delays them; both write
//! what they saw to their drives, syncing only now and then. The receiver crashes once, at a
//! change to its drives that the seed chooses, and comes back. If any of it depended on more than
//! the seed, two processes would write different traces.

use std::fmt;
use std::io::{self, Read};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use bytes::Bytes;
use node_base::{Duration, NodeId};
use node_world::task::current;
use node_world::{BoxFuture, Class, Handler, OpenMode, Peer, Refusal, World};
use simulator_world::{NetFaults, Options, Sim, Simulation};

const SENDER: NodeId = NodeId(1);
const RECEIVER: NodeId = NodeId(2);
const WRITERS: u32 = 4;
/// Notes of each writer.
const NOTES: u32 = 15;
const LIMIT: Duration = Duration::from_millis(200);

/// What a run left behind.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Found {
    seed: u64,
    events: u64,
    trace: String,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed {}: {} events, trace {}", self.seed, self.events, self.trace)
    }
}

/// Why two runs cannot be called the same.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TwiceError {
    #[error("running the second process: {0}")]
    Process(io::Error),
    #[error("the second process found something else\n  here:  {here}\n  there: {there}")]
    Differs { here: String, there: String },
}

/// Runs the seed here.
pub(crate) fn run(seed: u64) -> Found {
    Simulation::new(seed, Options::default()).run(async |sim| {
        sim.set_net_faults(NetFaults {
            delay_min: Duration::from_micros(50),
            delay_max: Duration::from_millis(30),
            loss: 0.1,
            duplicate: 0.1,
        });
        sim.set_skew_ms(RECEIVER, 250);
        start_receiver(&sim);
        sim.crash_instead_of_change(RECEIVER, sim.draw(5..50));
        let sender = sim.world(SENDER);
        let sending: Vec<_> = (0..WRITERS)
            .map(|writer| sender.spawn(send_notes(sender.clone(), sim.peer(RECEIVER), writer)))
            .collect();
        sim.down(RECEIVER).await;
        sim.sleep(Duration::from_millis(sim.draw(1..500))).await;
        start_receiver(&sim);
        for writer in sending {
            writer.await.expect("the sender stays up");
        }
        Found { seed, events: sim.trace().count(), trace: sim.trace().hash() }
    })
}

/// Runs the seed here and in a second process.
///
/// # Errors
/// [`TwiceError`] when the two traces differ, or there is no second process.
#[expect(clippy::disallowed_types, reason = "a second process is what is asked for")]
pub(crate) fn run_twice(seed: u64) -> Result<Found, TwiceError> {
    let mut other = std::env::current_exe()
        .and_then(|binary| {
            std::process::Command::new(binary)
                .args(["determinism", &seed.to_string()])
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .spawn()
        })
        .map_err(TwiceError::Process)?;
    let found = run(seed);
    let mut there = String::new();
    if let Some(output) = &mut other.stdout {
        output.read_to_string(&mut there).map_err(TwiceError::Process)?;
    }
    other.wait().map_err(TwiceError::Process)?;
    let (here, there) = (found.to_string(), there.trim_end().to_owned());
    if here == there { Ok(found) } else { Err(TwiceError::Differs { here, there }) }
}

fn start_receiver(sim: &Sim) {
    sim.world(RECEIVER).net().serve(Class::Control, Arc::new(Keeper));
}

/// Keeps what it is sent, and answers what its own clock and entropy say.
struct Keeper;

impl Handler for Keeper {
    fn handle(&self, _: NodeId, note: Bytes) -> BoxFuture<Result<Bytes, Refusal>> {
        Box::pin(async move {
            let world = current();
            keep(&world, note).await.map_err(|error| Refusal(error.to_string()))?;
            Ok(Bytes::from(format!("{} {:x}", world.wall(), world.random())))
        })
    }
}

async fn send_notes(world: World, to: Peer, writer: u32) {
    for number in 0..NOTES {
        let note = Bytes::from(format!("{writer} {number} {:x}\n", world.random()));
        let reply = loop {
            let sent = world.net().call(to.clone(), Class::Control, note.clone(), LIMIT).await;
            match sent {
                Ok(reply) => break reply,
                Err(_) => {
                    let jitter = u64::from(world.random() as u8);
                    world.sleep(Duration::from_millis(jitter)).await;
                }
            }
        };
        keep(&world, reply).await.expect("this drive has no faults");
    }
}

/// Appends to the node's file; one time in four, makes it durable.
async fn keep(world: &World, bytes: Bytes) -> io::Result<()> {
    let inner = world.clone();
    let work = move || {
        let disk = inner.disk();
        let file = disk.open(Path::new("notes"), OpenMode::Create)?;
        file.write_at(&bytes, file.len()?)?;
        if inner.random().is_multiple_of(4) {
            file.sync_data()?;
            disk.sync_folder(Path::new(""))?;
        }
        Ok(())
    };
    world.blocking(work).await
}
