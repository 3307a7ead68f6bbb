//! What callers who ask again are told.

use crate::access::Viewer;
use crate::apply::outcomes;
use crate::caller::Remember;
use crate::outcome::Outcome;
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
