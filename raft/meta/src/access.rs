//! (being written) Who may do what: the one evaluator that every surface asks.

use node_base::{Permission, PermissionSet};

use crate::caller::UserCaller;
use crate::chain::Chain;
use crate::tables::{Reader, TableError};
use node_base::Timestamp;

/// A caller with everything the evaluator needs to know of it, looked up once.
#[derive(Debug, Clone)]
pub struct Viewer {
    pub caller: UserCaller,
}

impl Viewer {
    /// Looks the caller up.
    pub fn of(
        _tables: &dyn Reader,
        _now: Timestamp,
        caller: &UserCaller,
    ) -> Result<Self, TableError> {
        Ok(Self { caller: caller.clone() })
    }

    /// What the viewer may do with the item at the bottom of the chain.
    pub fn mask(&self, _tables: &dyn Reader, _chain: &Chain) -> Result<PermissionSet, TableError> {
        Ok(PermissionSet::from(Permission::Read))
    }
}
