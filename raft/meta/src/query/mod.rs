//! Questions to the tables: everything that is read and not agreed anew.

pub mod audit;
pub mod audit_log;
pub mod children;
pub mod chunk;
mod denied;
pub mod feed;
pub mod item;
pub mod outcome;
pub mod page;
pub mod people;
pub mod quota;
pub mod recent;
pub mod snapshot;
pub mod sync;
pub mod trash;
pub mod upkeep;
pub mod upload;
pub mod version;

pub use denied::Denied;
pub mod identity;

use node_base::Timestamp;

use crate::table;
use crate::table::cluster::Clusters;
use crate::tables::{Reader, TableError};

/// Log time: the largest time that any command brought.
pub fn log_time(tables: &dyn Reader) -> Result<Timestamp, TableError> {
    Ok(table::get::<Clusters>(tables, &())?.map(|cluster| cluster.log_time).unwrap_or_default())
}
pub mod permission;
pub mod share;
