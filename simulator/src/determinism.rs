//! The same seed gives the same trace: in another process, and beside other seeds in threads.
//!
//! If anything depended on more than the seed (an order of a map, a thread, an address, the time),
//! two runs would write different traces.

use std::fmt;
use std::io::{self, Read};
use std::process::{Child, Stdio};

use crate::options::{Options, Seed};
use crate::run::Run;

/// What a run left behind.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Left {
    seed: Seed,
    events: u64,
    trace: String,
}

impl fmt::Display for Left {
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
    #[error("beside another seed it is something else\n  alone:  {alone}\n  beside: {beside}")]
    Beside { alone: String, beside: String },
}

/// Runs the seed here.
pub(crate) fn run(seed: Seed) -> Left {
    let found = Run::of(Options::draw(seed)).run();
    Left { seed, events: found.events, trace: found.hash }
}

/// Runs the seed here, in a second process, and beside another seed in a thread.
///
/// # Errors
/// [`TwiceError`] when the traces differ, or there is no second process.
pub(crate) fn run_twice(seed: Seed) -> Result<Left, TwiceError> {
    let mut other = start(seed).map_err(TwiceError::Process)?;
    let found = run(seed);
    let beside = run_beside(seed);
    if beside != found {
        let (alone, beside) = (found.to_string(), beside.to_string());
        return Err(TwiceError::Beside { alone, beside });
    }
    let mut there = String::new();
    if let Some(output) = &mut other.stdout {
        output.read_to_string(&mut there).map_err(TwiceError::Process)?;
    }
    other.wait().map_err(TwiceError::Process)?;
    let (here, there) = (found.to_string(), there.trim_end().to_owned());
    if here == there { Ok(found) } else { Err(TwiceError::Differs { here, there }) }
}

#[expect(clippy::disallowed_types, reason = "a second process is what is asked for")]
fn start(seed: Seed) -> io::Result<Child> {
    std::process::Command::new(std::env::current_exe()?)
        .args(["determinism", &seed.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
}

#[expect(clippy::disallowed_methods, reason = "whether threads disturb each other is asked")]
fn run_beside(seed: Seed) -> Left {
    std::thread::scope(|threads| {
        let other = threads.spawn(move || run(Seed(seed.0.wrapping_add(1))));
        let found = run(seed);
        // What it found is not asked here.
        let _ = other.join();
        found
    })
}
