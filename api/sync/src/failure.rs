//! What goes wrong, for people: a sentence, its causes, what to do next, and an exit code.

use std::error::Error;
use std::io;
use std::path::Path;

use api_client::CallError;
use api_types::v1::error::ErrorCode;

use crate::state::StateError;

/// How the process ends. The numbers are part of the manual.
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

/// A failure, ready to be shown.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    pub(crate) message: String,
    pub(crate) causes: Vec<String>,
    pub(crate) hint: Option<String>,
}

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), causes: Vec::new(), hint: None }
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(Exit::NotFound, message)
    }

    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    #[must_use]
    fn caused_by(mut self, error: &(dyn Error + 'static)) -> Self {
        let mut next = Some(error);
        while let Some(error) = next {
            self.causes.push(error.to_string());
            next = error.source();
        }
        self
    }

    /// What a file or folder of the person's would not do.
    pub(crate) fn file(doing: &str, path: &Path, error: &io::Error) -> Self {
        Self::new(Exit::Failed, format!("{doing} {}", path.display())).caused_by(error)
    }

    /// The sentence with its causes, in one line.
    pub(crate) fn line(&self) -> String {
        std::iter::once(&self.message)
            .chain(&self.causes)
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join(": ")
    }
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        let exit = exit_of(&error);
        let mut failure = Self::new(exit, error.to_string());
        if let Some(source) = error.source() {
            failure = failure.caused_by(source);
        }
        match hint_for(&error, exit) {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

impl From<StateError> for Failure {
    fn from(error: StateError) -> Self {
        let failure =
            Self::new(Exit::Failed, "the state of this folder cannot be used").caused_by(&error);
        match error {
            StateError::InUse => failure.hint("wait for the other run to end"),
            StateError::Format(_) => failure.hint("use the scaidrive that last ran here, or newer"),
            StateError::Database(_) | StateError::Entry(_) => failure,
        }
    }
}

pub(crate) fn exit_of(error: &CallError) -> Exit {
    match (error.code(), error.status()) {
        (Some(ErrorCode::QuotaExceeded | ErrorCode::BudgetExceeded), _) | (_, Some(507)) => {
            Exit::Quota
        }
        (_, Some(401 | 403)) => Exit::NotAllowed,
        (_, Some(404 | 410)) => Exit::NotFound,
        (_, Some(409 | 412)) => Exit::Conflict,
        (_, Some(400 | 422)) => Exit::Usage,
        _ if error.is_transient() => Exit::Unavailable,
        _ => Exit::Failed,
    }
}

fn hint_for(error: &CallError, exit: Exit) -> Option<String> {
    let hint = match (error.code(), exit) {
        (Some(ErrorCode::AuthTokenInvalid), _) => "sign in again: scaidrive login URL",
        (Some(ErrorCode::ScopeMissing), _) => "sign in with a token that has the scope",
        (Some(ErrorCode::Trashed), _) => "restore it first: scaidrive restore SHARE:/path",
        (Some(ErrorCode::NameConflict), _) => "take another name, or move what has this one",
        (_, Exit::Unavailable) => "try again in a moment; what is done stays done",
        (_, Exit::Quota) => "make room, or ask an administrator for a larger quota",
        _ => return None,
    };
    Some(hint.to_owned())
}
