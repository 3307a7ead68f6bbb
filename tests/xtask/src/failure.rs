//! Why a chore could not be done.

use std::fmt;
use std::io;
use std::path::Path;
use std::process::ExitStatus;

#[derive(Debug)]
pub(crate) enum Failure {
    /// The command line is not one of those in the usage.
    Usage,
    /// A program could not be started, a file not be used.
    Io { what: String, source: io::Error },
    /// A program said that it failed.
    Exit { command: String, status: ExitStatus, said: String },
    /// A program's answer is not what its manual promises.
    Answer { from: String, wanted: &'static str, got: String },
    /// These rows miss their bounds.
    Missed { rows: Vec<String> },
}

impl Failure {
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }

    pub(crate) fn file(path: &Path) -> impl FnOnce(io::Error) -> Self {
        Self::io(path.display().to_string())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage => write!(f, "wrong usage"),
            Self::Io { what, source } => write!(f, "{what}: {source}"),
            Self::Exit { command, status, said } if said.is_empty() => {
                write!(f, "`{command}` failed ({status})")
            }
            Self::Exit { command, status, said } => {
                write!(f, "`{command}` failed ({status}): {said}")
            }
            Self::Answer { from, wanted, got } => {
                write!(f, "`{from}` did not answer with {wanted}: {got}")
            }
            Self::Missed { rows } => write!(f, "over its bound: {}", rows.join(", ")),
        }
    }
}
