//! What callers who ask again are told.

use crate::access::Viewer;
use crate::apply::outcomes;
use crate::caller::Remember;
use crate::outcome::{Outcome, Refusal};
use crate::table::audit::KeptAnswer;
use crate::tables::{Reader, TableError};

/// What the caller's request was answered before, as far as it is remembered.
pub fn remembered(
    tables: &dyn Reader,
    viewer: &Viewer,
    remember: &Remember,
) -> Result<Option<Outcome>, TableError> {
    let key = (viewer.tenant(), viewer.user(), remember.key.clone());
    outcomes::remembered(tables, viewer.now(), &key, remember.request)
}

/// What the caller of the same request was told before, as far as it is kept; a refusal when the
/// key stands for another request.
pub fn kept(
    tables: &dyn Reader,
    viewer: &Viewer,
    remember: &Remember,
) -> Result<Option<Result<KeptAnswer, Refusal>>, TableError> {
    match remembered(tables, viewer, remember)? {
        Some(Ok(_)) => {
            let key = (viewer.tenant(), viewer.user(), remember.key.clone());
            Ok(outcomes::kept(tables, viewer.now(), &key, remember.request)?.map(Ok))
        }
        Some(Err(refusal)) => Ok(Some(Err(refusal))),
        None => Ok(None),
    }
}
