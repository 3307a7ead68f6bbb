//! Putting the real world together.

use std::net::SocketAddr;

use node_base::NodeId;
use node_world::{Parts, World};
use tokio::runtime::Handle;

use crate::clock::{RealClock, RealEntropy};
use crate::disk::RealDisk;
use crate::fetch::RealFetch;
use crate::grpc::Grpc;
use crate::listen::{ListenError, listen};
use crate::task::RealSpawn;

/// The machine as a [`World`], and where it takes messages from other nodes.
pub struct RealWorld {
    pub world: World,
    /// The bound address, with the port that was given for port 0.
    pub address: SocketAddr,
}

impl RealWorld {
    /// The world of a process that only asks: it has no number and takes no messages.
    pub fn client(runtime: &Handle) -> World {
        assemble(runtime, Grpc::start(NodeId::default(), None))
    }

    /// The world of a node, taking messages at `address`; port 0 takes a free one.
    ///
    /// # Errors
    /// [`ListenError`] when the address cannot be had.
    pub fn node(runtime: &Handle, node: NodeId, address: SocketAddr) -> Result<Self, ListenError> {
        let _runtime = runtime.enter();
        let listener = listen(address)?;
        let bound = listener.address().map_err(|source| ListenError::Other { address, source })?;
        let world = assemble(runtime, Grpc::start(node, Some(listener)));
        Ok(Self { world, address: bound })
    }
}

fn assemble(runtime: &Handle, net: Grpc) -> World {
    World::new(Parts {
        clock: Box::new(RealClock::start()),
        entropy: Box::new(RealEntropy),
        disk: Box::new(RealDisk),
        net: Box::new(net),
        fetch: Box::new(RealFetch::default()),
        spawn: Box::new(RealSpawn(runtime.clone())),
    })
}
