//! What nodes log while they run, as lines of the trace: for whoever looks for a cause. It is the
//! same run with such lines; but they may name the machine's own time, so its trace is another.

use std::io;
use std::sync::{Arc, OnceLock};

use simulator_world::Sim;
use tracing::Level;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::fmt::MakeWriter;

/// Where the lines go, once there is a run.
#[derive(Clone, Default)]
pub(crate) struct Lines(Arc<OnceLock<Sim>>);

/// One line on its way.
pub(crate) struct Line {
    lines: Lines,
    bytes: Vec<u8>,
}

impl io::Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if let Some(sim) = self.lines.0.get() {
            sim.note(format_args!("log {}", String::from_utf8_lossy(&self.bytes).trim_end()));
        }
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Line;

    fn make_writer(&self) -> Line {
        Line { lines: self.clone(), bytes: Vec::new() }
    }
}

/// Takes down what is logged on this thread, down to this level, until the answer is dropped.
pub(crate) fn follow(sim: &Sim, level: Level) -> DefaultGuard {
    let lines = Lines::default();
    // It is new.
    let _ = lines.0.set(sim.clone());
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(lines)
        .with_ansi(false)
        .without_time()
        .finish();
    tracing::subscriber::set_default(subscriber)
}
