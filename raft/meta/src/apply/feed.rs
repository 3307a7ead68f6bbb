//! (being written)

use node_base::{Name, ShareId, TenantId, VersionId};

use super::{Step, Stop};
use crate::table::acl::Target;
use crate::table::change::{ChangeKind, ListBefore};
use crate::table::item::Parent;

/// A change to be appended; number, time and author are added.
pub(crate) struct Draft {
    pub(crate) target: Target,
    pub(crate) kind: ChangeKind,
    pub(crate) parent: Parent,
    pub(crate) name: Option<Name>,
    pub(crate) old: Option<(Parent, Name)>,
    pub(crate) version: Option<VersionId>,
    pub(crate) size: Option<u64>,
    pub(crate) subtree: bool,
    pub(crate) before: Option<ListBefore>,
}

/// Appends a change to a share's log and the tenant's.
pub(crate) fn append(
    _step: &mut Step<'_>,
    _tenant: TenantId,
    _share: ShareId,
    _draft: Draft,
) -> Result<(), Stop> {
    Ok(())
}
