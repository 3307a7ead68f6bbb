//! What an administrator was let see though the lists would not have: to be recorded.
//!
//! Questions note it with the viewer, and whoever puts the question has it agreed before it is
//! answered. Commands need none of this: what they let pass is recorded where they are applied.

use std::cell::RefCell;
use std::collections::BTreeSet;

use node_base::Permission;
use serde::{Deserialize, Serialize};

use super::{Verdict, Viewer};
use crate::chain::Chain;
use crate::table::acl::Target;
use crate::tables::{Reader, TableError};

/// Something that a stored role alone let pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Pass {
    pub target: Target,
    pub permission: Permission,
    pub extent: Extent,
}

/// How much of a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Extent {
    Itself,
    /// Something below it, met by a listing.
    Below,
}

/// The passes of one question.
#[derive(Debug, Clone, Default)]
pub(super) struct Passes(RefCell<BTreeSet<Pass>>);

impl Viewer {
    /// Notes that the bottom of the chain is shown, if only the stored role lets it be.
    pub(crate) fn note(
        &self,
        tables: &dyn Reader,
        chain: &Chain,
        permission: Permission,
    ) -> Result<(), TableError> {
        if self.passes_all() {
            self.note_verdict(chain.target(), self.verdict(tables, chain)?, permission);
        }
        Ok(())
    }

    /// The same for a verdict that is known already.
    pub(crate) fn note_verdict(&self, target: Target, verdict: Verdict, permission: Permission) {
        if verdict.is_override(permission) {
            self.keep(Pass { target, permission, extent: Extent::Itself });
        }
    }

    /// Notes that a listing shows something below `target` that only the stored role lets it.
    pub(crate) fn note_below(&self, target: Target) {
        let (permission, extent) = (Permission::Read, Extent::Below);
        self.keep(Pass { target, permission, extent });
    }

    fn keep(&self, pass: Pass) {
        self.passes.0.borrow_mut().insert(pass);
    }

    /// What was noted.
    pub fn into_passes(self) -> Vec<Pass> {
        self.passes.0.into_inner().into_iter().collect()
    }
}
