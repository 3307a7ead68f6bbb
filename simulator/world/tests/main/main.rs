//! The pretend outside, from outside.

mod conformance;
mod disk;
mod network;
mod tasks;
