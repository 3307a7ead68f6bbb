//! The threads that a binary runs on.

use std::io;
use std::thread::available_parallelism;

use tokio::runtime::{Builder, Runtime};

/// Makes the runtime of a binary, whose threads bear `name`.
///
/// Work that takes long goes to threads of its own (`World::blocking`), so half as many as there
/// are cores are enough to move messages: more of them mostly wake each other.
///
/// # Errors
/// When the machine has no threads left to give.
pub fn runtime(name: &str) -> io::Result<Runtime> {
    let cores = available_parallelism().map_or(1, |cores| cores.get());
    Builder::new_multi_thread()
        .worker_threads(cores.div_ceil(2))
        .thread_name(name)
        .enable_all()
        .build()
}
