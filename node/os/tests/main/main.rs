//! The real outside, from outside.

mod conformance;
mod machine;
