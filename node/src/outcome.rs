//! How a command ends: what people are told, and the exit code.

use std::error::Error;
use std::process::ExitCode;

/// The documented exit codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    Failed = 1,
    Usage = 2,
    NotAllowed = 3,
    NotFound = 4,
    Conflict = 5,
    Unavailable = 6,
    Quota = 7,
}

/// Why a command failed, and what to do about it.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    message: String,
    hint: Option<String>,
}

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), hint: None }
    }

    /// What went wrong, with all its causes.
    pub(crate) fn because(doing: &str, error: &(dyn Error + 'static)) -> Self {
        let mut message = format!("{doing}: {error}");
        let mut source = error.source();
        while let Some(cause) = source {
            message.push_str(&format!(": {cause}"));
            source = cause.source();
        }
        Self::new(Exit::Failed, message)
    }

    pub(crate) fn exit(self, exit: Exit) -> Self {
        Self { exit, ..self }
    }

    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// Whether trying again may help.
    pub(crate) fn is_passing(&self) -> bool {
        self.exit == Exit::Unavailable
    }

    /// Tells it to whoever started the process.
    #[allow(clippy::print_stderr, reason = "this is where the binary speaks to people")]
    pub(crate) fn tell(self) -> ExitCode {
        eprintln!("error: {}", self.message);
        if let Some(hint) = self.hint {
            eprintln!("hint: {hint}");
        }
        ExitCode::from(self.exit as u8)
    }
}

/// The exit code for a status that a running node answered with.
pub(crate) fn exit_of(status: u16) -> Exit {
    match status {
        401 | 403 => Exit::NotAllowed,
        404 | 410 => Exit::NotFound,
        409 | 412 => Exit::Conflict,
        400 | 422 => Exit::Usage,
        429 | 502..=504 => Exit::Unavailable,
        507 => Exit::Quota,
        _ => Exit::Failed,
    }
}
