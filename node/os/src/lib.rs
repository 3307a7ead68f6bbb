//! The real outside: the machine's clock, entropy, files, sockets and threads, and gRPC and QUIC to
//! other nodes.
//!
//! Binaries build a [`RealWorld`] and hand the [`World`](node_world::World) in it to whatever runs;
//! nothing else in the project touches the machine.
//!
//! Never here: users, files of a share, chunks, any rule.

mod cause;
mod clock;
mod disk;
mod fetch;
mod grpc;
mod listen;
mod net;
mod quic;
mod runtime;
mod task;
mod tls;
pub mod uncached;
mod world;

pub use listen::{ListenError, Listener, listen};
pub use runtime::runtime;
pub use world::RealWorld;
