//! Questions to the tables: everything that is read and not agreed anew.

pub mod audit;
pub mod audit_log;
pub(crate) mod children;
pub mod chunk;
pub mod item;
pub mod page;
pub mod quota;
pub mod upkeep;
pub mod upload;
pub mod people;
