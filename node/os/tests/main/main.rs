//! The real outside, from outside.

mod conformance;
mod grpc;
mod machine;
