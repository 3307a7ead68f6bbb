//! A client that follows the changes from any cursor has in the end what its user may READ.

mod follower;
mod random;
mod stories;

pub(crate) use follower::{Follower, Tree};
