//! (being written)

use node_base::{ShareId, TenantId};

use super::{Step, Stop};
use crate::command::NewChunk;
use crate::table::item::Content;

/// Takes up one reference for each chunk named, adopting those that are written and new. Answers
/// the written copies that are not needed.
///
/// Refused with [`Refusal::ChunksGone`](crate::Refusal) where a chunk taken to be here is not, and
/// with [`Refusal::WriterClosed`](crate::Refusal) where a written one's writer is closed.
pub(crate) fn adopt(
    _step: &mut Step<'_>,
    _tenant: TenantId,
    _share: ShareId,
    _chunks: &[NewChunk],
) -> Result<Vec<(node_base::Sha256, node_base::Generation)>, Stop> {
    Ok(Vec::new())
}

/// One more holder of this content: a copy, a restored version, a conflict.
pub(crate) fn hold(
    _step: &mut Step<'_>,
    _tenant: TenantId,
    _share: ShareId,
    _content: &Content,
) -> Result<(), Stop> {
    Ok(())
}

/// One holder less. Inline chunks lose their references now, a manifest's page by page later.
pub(crate) fn release(
    _step: &mut Step<'_>,
    _tenant: TenantId,
    _share: ShareId,
    _content: &Content,
) -> Result<(), Stop> {
    Ok(())
}
