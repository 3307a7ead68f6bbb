//! Putting the real world together.

use std::net::SocketAddr;

use node_base::NodeId;
use node_world::{Parts, World};
use tokio::runtime::Handle;

use crate::clock::{RealClock, RealEntropy};
use crate::disk::RealDisk;
use crate::fetch::RealFetch;
use crate::listen::{ListenError, listen_both};
use crate::net::RealNet;
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
        Self::offline(runtime, NodeId::default())
    }

    /// The world of a node that speaks to no other: it has a number and no sockets.
    pub fn offline(runtime: &Handle, node: NodeId) -> World {
        let _runtime = runtime.enter();
        let net = RealNet::start(node, None);
        assemble(runtime, net.expect("without sockets there is nothing to open"))
    }

    /// The world of a node, taking messages at `address`, over TCP and UDP; port 0 takes one that
    /// is free in both.
    ///
    /// # Errors
    /// [`ListenError`] when the address cannot be had.
    pub fn node(runtime: &Handle, node: NodeId, address: SocketAddr) -> Result<Self, ListenError> {
        let _runtime = runtime.enter();
        let failed = |source| ListenError::Other { address, source };
        let (listener, socket) = listen_both(address)?;
        let bound = listener.address().map_err(failed)?;
        let net = RealNet::start(node, Some((listener, socket))).map_err(failed)?;
        Ok(Self { world: assemble(runtime, net), address: bound })
    }
}

fn assemble(runtime: &Handle, net: RealNet) -> World {
    World::new(Parts {
        clock: Box::new(RealClock::start()),
        entropy: Box::new(RealEntropy),
        disk: Box::new(RealDisk),
        net: Box::new(net),
        fetch: Box::new(RealFetch::default()),
        spawn: Box::new(RealSpawn(runtime.clone())),
    })
}
