//! The simulator as people call it.

mod determinism;
