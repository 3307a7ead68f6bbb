//! How far a long command is, for somebody at a terminal.

use std::io::{IsTerminal, Write};

use node_base::Duration;
use node_world::{Instant, World};

use crate::report::size;

/// Nothing is shown before, and no more often than.
const QUIET: Duration = Duration::from_secs(1);
const EVERY: Duration = Duration::from_millis(200);

/// One line on standard error that is written over; nothing where that is no terminal.
pub(crate) struct Progress {
    world: World,
    what: &'static str,
    all: u64,
    say: fn(u64) -> String,
    started: Instant,
    shown: Option<Instant>,
    is_seen: bool,
}

impl Progress {
    /// Of so many bytes.
    pub(crate) fn new(world: &World, what: &'static str, all: u64) -> Self {
        let is_seen = std::io::stderr().is_terminal();
        let started = world.now();
        Self { world: world.clone(), what, all, say: size, started, shown: None, is_seen }
    }

    /// Of so many things.
    pub(crate) fn counting(world: &World, what: &'static str, all: u64) -> Self {
        Self { say: |count| count.to_string(), ..Self::new(world, what, all) }
    }

    /// Says that so much is done.
    pub(crate) fn show(&mut self, done: u64) {
        let now = self.world.now();
        let passed = now.since(self.started);
        let is_due = self.shown.is_none_or(|at| now.since(at) >= EVERY) && passed >= QUIET;
        if !self.is_seen || !is_due {
            return;
        }
        self.shown = Some(now);
        let millis = u64::try_from(passed.as_millis()).unwrap_or(u64::MAX).max(1);
        let rate = done.saturating_mul(1_000) / millis;
        let left = self.all.saturating_sub(done) / rate.max(1);
        let (done, all, rate) = ((self.say)(done), (self.say)(self.all), (self.say)(rate));
        self.write(&format!("\r\x1b[K{} {done} of {all}, {rate}/s, {left} s left", self.what));
    }

    /// Clears the line.
    pub(crate) fn end(&mut self) {
        if self.shown.take().is_some() {
            self.write("\r\x1b[K");
        }
    }

    fn write(&self, text: &str) {
        // Nobody is there to hear that the terminal went away.
        let mut out = std::io::stderr().lock();
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }
}
