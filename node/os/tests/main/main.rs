//! What `node-os` promises.

mod cluster;
mod conformance;
mod grpc;
mod machine;
mod quic;
mod strangers;
