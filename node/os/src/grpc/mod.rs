//! Messages of consensus and control, as unary gRPC calls over TCP and mutual TLS.
//!
//! A message of class `control` is a call of `/scaidrive.Messages/control` whose body is the
//! message as it is, without protobuf around it. Who sends it, the connection has proved. The
//! metadata says whom it is meant for (`scaidrive-to`), because an address may have a new resident,
//! and what the sender's clock shows (`scaidrive-at`, in milliseconds); `grpc-timeout` is the
//! sender's limit, kept by both ends. Each class has its own connections, so that none waits behind
//! another's bytes.

mod client;
mod codec;
mod secure;
mod server;

use node_base::Duration;

pub(crate) use client::Channels;
pub(crate) use server::serve;

const SERVICE: &str = "scaidrive.Messages";
const TO: &str = "scaidrive-to";
const AT: &str = "scaidrive-at";
/// The size of a reply that is over the limit.
const SIZE: &str = "scaidrive-size";

/// How much of one message may be on its way unread, and of all on one connection.
const STREAM_WINDOW: u32 = 2 << 20;
const CONNECTION_WINDOW: u32 = 16 << 20;
/// How often an idle connection is tried, and how long it may take to answer.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
const KEEP_ALIVE_MAX: Duration = Duration::from_secs(5);
/// How long a connection lives: the next one shows the certificates as they are then.
const AGE_MAX: Duration = Duration::from_secs(24 * 3_600);
