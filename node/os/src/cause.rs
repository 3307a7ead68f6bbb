//! Errors of libraries as text.

use std::error::Error;

/// An error with its causes, for the errors of `World`, which carry text.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
