//! Questions to the tables: everything that is read and not agreed anew.

pub mod chunk;
pub mod upload;

pub(crate) mod children;
pub mod item;
