//! Tasks: each belongs to the node incarnation that started it, and ends with it.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::oneshot;

use crate::World;

/// A future in a box that may move between threads.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Who runs tasks.
pub trait Spawn: Send + Sync {
    /// Runs `future` until it ends or this node incarnation does.
    fn spawn(&self, future: BoxFuture<()>);
    /// Runs `work` where it may block.
    fn blocking(&self, work: Box<dyn FnOnce() + Send>);
}

tokio::task_local! {
    static CURRENT: World;
}

/// The world of the running task. Libraries that start tasks by a function of a type, not of a
/// value, find theirs here.
///
/// # Panics
/// Outside a task that a [`World`] started: there is no world to speak of there.
pub fn current() -> World {
    CURRENT.try_with(World::clone).expect("only tasks that a world started ask for their world")
}

/// A started task. Await it for its output; drop it and it runs on; [`Task::abort`] ends it.
pub struct Task<T> {
    output: oneshot::Receiver<T>,
    stop: Option<oneshot::Sender<()>>,
}

/// A task ended without an output: it was aborted, it panicked, or its node incarnation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the task ended without an output")]
pub struct Ended;

impl<T> Task<T> {
    /// Ends the task at its next pause.
    pub fn abort(&mut self) {
        if let Some(stop) = self.stop.take() {
            // An ended task has nothing left to stop.
            let _ = stop.send(());
        }
    }
}

impl<T> Future for Task<T> {
    type Output = Result<T, Ended>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.output).poll(context).map_err(|_| Ended)
    }
}

pub(crate) fn start<T: Send + 'static>(
    world: &World,
    future: impl Future<Output = T> + Send + 'static,
) -> Task<T> {
    let (done, output) = oneshot::channel();
    let (stop, stopped) = oneshot::channel::<()>();
    let task = async move {
        let asked_to_stop = async {
            // A dropped handle means "run on", so only a message stops the task.
            if stopped.await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            biased;
            () = asked_to_stop => {}
            // Whoever dropped the handle does not want the output.
            value = future => drop(done.send(value)),
        }
    };
    world.spawner().spawn(Box::pin(CURRENT.scope(world.clone(), task)));
    Task { output, stop: Some(stop) }
}

pub(crate) async fn run_blocking<T: Send + 'static>(
    world: &World,
    work: impl FnOnce() -> T + Send + 'static,
) -> T {
    let (done, output) = oneshot::channel();
    world.spawner().blocking(Box::new(move || drop(done.send(work()))));
    // The work was dropped only if it panicked, or with its node incarnation, and this waiter too.
    output.await.expect("blocking work does not panic")
}
