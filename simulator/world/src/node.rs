//! One incarnation of a pretend node: from its start to its crash.
//!
//! Everything that runs for a node runs in slots that its incarnation owns. A crash empties them
//! all at once, so that nothing takes another step: no finally, no flush, no last message.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use node_base::NodeId;
use node_world::{Class, Handler, Parts, World};
use rand_chacha::ChaCha8Rng;

use crate::disk::{Drives, PretendDisk};
use crate::random::Stream;
use crate::simulation::Shared;
use crate::task::Slot;

/// One life of a node.
pub(crate) struct Incarnation {
    node: NodeId,
    number: u64,
    alive: AtomicBool,
    /// While it is paused: the tasks that would have run.
    paused: Mutex<Option<Vec<Waker>>>,
    drives: Arc<Drives>,
    started: tokio::time::Instant,
    pub(crate) entropy: Stream,
    pub(crate) slots: Mutex<BTreeMap<u64, Arc<Slot>>>,
    pub(crate) handlers: Mutex<BTreeMap<Class, Arc<dyn Handler>>>,
    /// A node that is up has its world, also when nobody else holds it.
    world: Mutex<Option<World>>,
}

/// What one incarnation reaches of the simulation. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Outside {
    pub(crate) shared: Arc<Shared>,
    pub(crate) incarnation: Arc<Incarnation>,
}

impl Outside {
    pub(crate) fn new(
        shared: &Arc<Shared>,
        node: NodeId,
        number: u64,
        drives: Arc<Drives>,
    ) -> Self {
        let purpose = format!("entropy of node {node} incarnation {number}");
        let incarnation = Incarnation {
            node,
            number,
            alive: AtomicBool::new(true),
            paused: Mutex::default(),
            drives,
            started: shared.instant(),
            entropy: Stream::new(shared.seed, &purpose),
            slots: Mutex::default(),
            handlers: Mutex::default(),
            world: Mutex::default(),
        };
        Self { shared: Arc::clone(shared), incarnation: Arc::new(incarnation) }
    }

    pub(crate) fn world(&self) -> World {
        let world = World::new(Parts {
            clock: Box::new(self.clone()),
            entropy: Box::new(self.clone()),
            disk: Box::new(PretendDisk(self.clone())),
            net: Box::new(self.clone()),
            fetch: Box::new(self.clone()),
            spawn: Box::new(self.clone()),
        });
        *lock(&self.incarnation.world) = Some(world.clone());
        world
    }

    pub(crate) fn node(&self) -> NodeId {
        self.incarnation.node
    }

    pub(crate) fn is_alive(&self) -> bool {
        self.incarnation.alive.load(Ordering::Relaxed)
    }

    /// Nothing of this incarnation runs until it is resumed.
    pub(crate) fn pause(&self) {
        lock(&self.incarnation.paused).get_or_insert_default();
    }

    pub(crate) fn resume(&self) {
        let waiting = lock(&self.incarnation.paused).take().unwrap_or_default();
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Whether this incarnation is paused; `waker` is woken when it goes on.
    pub(crate) fn is_paused(&self, waker: &Waker) -> bool {
        let mut paused = lock(&self.incarnation.paused);
        paused.as_mut().map(|waiting| waiting.push(waker.clone())).is_some()
    }

    pub(crate) fn started(&self) -> tokio::time::Instant {
        self.incarnation.started
    }

    pub(crate) fn drives(&self) -> &Drives {
        &self.incarnation.drives
    }

    pub(crate) fn faults(&self) -> MutexGuard<'_, ChaCha8Rng> {
        self.shared.faults.draw()
    }

    /// A line in the trace.
    pub(crate) fn line(&self, what: fmt::Arguments<'_>) {
        self.shared.line(format_args!("{}.{} {what}", self.node(), self.incarnation.number));
    }

    /// Ends this incarnation: its work is gone, and with it what its drives had not synced.
    pub(crate) fn crash(&self) {
        if !self.incarnation.alive.swap(false, Ordering::Relaxed) {
            return;
        }
        self.line(format_args!("crash"));
        self.drives().crash(&mut self.faults());
        let handlers = std::mem::take(&mut *lock(&self.incarnation.handlers));
        let world = lock(&self.incarnation.world).take();
        let slots = std::mem::take(&mut *lock(&self.incarnation.slots));
        // Dropped with no lock held: what is dropped may reach for the world once more.
        slots.into_values().for_each(|slot| slot.empty());
        drop(handlers);
        drop(world);
        self.shared.changed.notify_waiters();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
