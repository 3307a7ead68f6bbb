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

/// What helps where there is no room.
pub(crate) const QUOTA_HINT: &str = "make room, or ask an administrator for a larger quota";

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

    /// The same, of one thing among many: it names the thing.
    pub(crate) fn about(mut self, path: &str) -> Self {
        if !self.message.contains(path) {
            self.message = format!("{path}: {}", self.message);
        }
        self
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
            StateError::Database(_) | StateError::Entry(_) => failure.hint(
                "if it is damaged, delete it: the next run brings both sides together and deletes \
                 nothing",
            ),
        }
    }
}

pub(crate) fn exit_of(error: &CallError) -> Exit {
    match error.status() {
        Some(status) => exit_of_refusal(error.code(), status),
        None if error.is_transient() => Exit::Unavailable,
        None => Exit::Failed,
    }
}

/// The same for one thing of many in a request, that people did not write down one by one.
pub(crate) fn exit_of_item(code: ErrorCode) -> Exit {
    match exit_of_refusal(Some(code), code.status()) {
        Exit::Usage => Exit::Failed,
        other => other,
    }
}

fn exit_of_refusal(code: Option<ErrorCode>, status: u16) -> Exit {
    match (code, status) {
        (Some(ErrorCode::QuotaExceeded | ErrorCode::BudgetExceeded), _) | (_, 507) => Exit::Quota,
        (_, 401 | 403) => Exit::NotAllowed,
        (_, 404 | 410) => Exit::NotFound,
        (_, 409 | 412) => Exit::Conflict,
        (_, 400 | 422) => Exit::Usage,
        (_, 429 | 502..=504) => Exit::Unavailable,
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
        (_, Exit::Quota) => QUOTA_HINT,
        _ => return None,
    };
    Some(hint.to_owned())
}
