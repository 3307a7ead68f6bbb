//! (being written)

use super::{Step, Stop};
use crate::table::audit::{Category, Severity};

/// An event to be recorded; time, caller and chain are added.
pub(crate) struct Draft {
    pub(crate) category: Category,
    pub(crate) severity: Severity,
    pub(crate) action: &'static str,
    pub(crate) resource: Option<String>,
    pub(crate) payload: Vec<(&'static str, String)>,
}

/// Appends an event to the chain of the tenant it happened in.
pub(crate) fn record(
    _step: &mut Step<'_>,
    _tenant: node_base::TenantId,
    _draft: Draft,
) -> Result<(), Stop> {
    Ok(())
}
