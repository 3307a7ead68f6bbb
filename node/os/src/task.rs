//! Tasks on tokio's runtime.
#![expect(clippy::disallowed_methods, reason = "this is what World's tasks are made of")]

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use futures_util::FutureExt;
use node_world::{BoxFuture, Spawn};
use tokio::runtime::Handle;

/// Starts tasks on a runtime; a panic in one is logged, and ends that one only.
pub(crate) struct RealSpawn(pub(crate) Handle);

fn log_panic(what: &'static str, panic: &(dyn Any + Send)) {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no text");
    tracing::error!(panic = text, "{what} panicked");
}

impl Spawn for RealSpawn {
    fn spawn(&self, future: BoxFuture<()>) {
        self.0.spawn(async move {
            if let Err(panic) = AssertUnwindSafe(future).catch_unwind().await {
                log_panic("a task", &*panic);
            }
        });
    }

    fn blocking(&self, work: Box<dyn FnOnce() + Send>) {
        self.0.spawn_blocking(move || {
            if let Err(panic) = catch_unwind(AssertUnwindSafe(work)) {
                log_panic("blocking work", &*panic);
            }
        });
    }
}
