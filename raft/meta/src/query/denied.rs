//! Questions that are refused, and the checks that refuse them.

use node_base::{Permission, ShareId};

use crate::access::Viewer;
use crate::chain::Chain;
use crate::outcome::{Noun, Refusal};
use crate::table::item::ItemId;
use crate::tables::{Reader, TableError};

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum Denied {
    #[error("the question is refused")]
    Refused(#[source] Refusal),
    /// The node cannot go on.
    #[error("the question cannot be answered")]
    Failed(#[source] TableError),
}

impl From<Refusal> for Denied {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<TableError> for Denied {
    fn from(error: TableError) -> Self {
        Self::Failed(error)
    }
}

/// The chain of an item that the viewer may READ, trashed or not.
pub(super) fn readable(tables: &dyn Reader, viewer: &Viewer, id: ItemId) -> Result<Chain, Denied> {
    let noun = match id {
        ItemId::Folder(_) => Noun::Folder,
        ItemId::File(_) => Noun::File,
    };
    let chain = Chain::of(tables, viewer.tenant(), id)?.ok_or(Refusal::NotFound(noun))?;
    require_read(tables, viewer, chain, noun)
}

/// The root of a share that the viewer may READ.
pub(super) fn readable_root(
    tables: &dyn Reader,
    viewer: &Viewer,
    share: ShareId,
) -> Result<Chain, Denied> {
    let chain = Chain::root(tables, viewer.tenant(), share)?;
    let chain = chain.ok_or(Refusal::NotFound(Noun::Share))?;
    require_read(tables, viewer, chain, Noun::Share)
}

/// The chain of an item that the viewer may READ and that is not in the trash.
pub(super) fn live(tables: &dyn Reader, viewer: &Viewer, id: ItemId) -> Result<Chain, Denied> {
    let chain = readable(tables, viewer, id)?;
    if chain.is_trashed() { Err(Refusal::Trashed.into()) } else { Ok(chain) }
}

fn require_read(
    tables: &dyn Reader,
    viewer: &Viewer,
    chain: Chain,
    noun: Noun,
) -> Result<Chain, Denied> {
    let verdict = viewer.verdict(tables, &chain)?;
    let mask = verdict.mask();
    if mask.contains(Permission::Read) {
        viewer.note_verdict(chain.target(), verdict, Permission::Read);
        Ok(chain)
    } else if mask.is_empty() {
        Err(Refusal::NotFound(noun).into())
    } else {
        Err(Refusal::PermissionDenied.into())
    }
}
