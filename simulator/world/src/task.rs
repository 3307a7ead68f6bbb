//! Pretend scheduling: tasks and blocking work of an incarnation, with random pauses between.
//!
//! tokio's paused runtime polls in a fixed order. A task here sometimes yields before it is polled,
//! as the seed has it, so that seeds differ in who comes first.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use node_base::Duration;
use node_world::{BoxFuture, Spawn};
use rand::RngExt;
use tokio::task::AbortHandle;

use crate::node::Outside;

/// Where a task lives until it ends or its incarnation does.
#[derive(Default)]
pub(crate) struct Slot {
    future: Mutex<Option<BoxFuture<()>>>,
    shell: Mutex<Option<AbortHandle>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Slot {
    /// Drops the task where it stands.
    pub(crate) fn empty(&self) {
        let future = lock(&self.future).take();
        // What the dying task says in its drop, even a panic, nobody hears.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(future)));
        if let Some(shell) = lock(&self.shell).take() {
            shell.abort();
        }
    }
}

/// What tokio polls: an empty shell as soon as the incarnation has ended.
struct Shell {
    outside: Outside,
    number: u64,
    slot: Arc<Slot>,
}

impl Future for Shell {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if !self.outside.is_alive() {
            return Poll::Ready(());
        }
        if self.outside.is_paused(context.waker()) {
            return Poll::Pending;
        }
        if self.outside.shared.yields() {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        // Taken out while it runs: it may crash its own node.
        let Some(mut future) = lock(&self.slot.future).take() else {
            return Poll::Ready(());
        };
        let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context)));
        match polled {
            Ok(Poll::Pending) if self.outside.is_alive() => {
                *lock(&self.slot.future) = Some(future);
                return Poll::Pending;
            }
            Err(panic) if self.outside.is_alive() => self.outside.shared.report_panic(panic),
            // Ended, or its incarnation did while it ran.
            _ => {}
        }
        lock(&self.outside.incarnation.slots).remove(&self.number);
        let _ = catch_unwind(AssertUnwindSafe(|| drop(future)));
        Poll::Ready(())
    }
}

impl Spawn for Outside {
    #[expect(clippy::disallowed_methods, reason = "this is what World's tasks are made of")]
    fn spawn(&self, future: BoxFuture<()>) {
        if !self.is_alive() {
            return;
        }
        let slot = Arc::new(Slot::default());
        *lock(&slot.future) = Some(future);
        let number = self.shared.next_task();
        self.line(format_args!("task {number}"));
        lock(&self.incarnation.slots).insert(number, Arc::clone(&slot));
        let shell = Shell { outside: self.clone(), number, slot: Arc::clone(&slot) };
        *lock(&slot.shell) = Some(tokio::spawn(shell).abort_handle());
    }

    #[expect(clippy::disallowed_methods, reason = "this is what World's blocking work is made of")]
    fn blocking(&self, work: Box<dyn FnOnce() + Send>) {
        let most = self.shared.options.blocking_max.max(self.drives().slowness());
        let span = self.shared.between(Duration::ZERO, most);
        self.spawn(Box::pin(async move {
            tokio::time::sleep(span).await;
            work();
        }));
    }
}

impl crate::simulation::Shared {
    fn yields(&self) -> bool {
        let chance = self.options.yield_chance;
        chance > 0.0 && self.schedule.draw().random_bool(chance.min(0.9))
    }
}
