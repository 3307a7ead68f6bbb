//! Versions that are not current any more: brought back, or let go.
use node_base::{FileId, TenantId};

use crate::apply::{Step, Stop};
use crate::table::item::Item;

/// Lets go of the oldest versions where there are more than are kept.
pub(super) fn keep_count(
    _step: &mut Step<'_>,
    _tenant: TenantId,
    _id: FileId,
    _item: &Item,
) -> Result<(), Stop> {
    Ok(())
}
