//! What the agreement says about nodes and drives, told to the chunk store: at the start, and
//! whenever it changes.

use api_ops::{OpError, Ops};
use node_base::{ClusterMap, Duration};
use node_world::{Peer, Task};
use raft_meta::command::ClusterCommand;
use raft_meta::table::cluster::{Maps, Nodes, Seat};
use raft_meta::{Answer, Command, TableError, table};

/// Between two looks, while commands are applied all the time.
const PAUSE: Duration = Duration::from_millis(200);

/// The nodes, and the maps that are not yet retired, oldest first.
#[derive(PartialEq)]
struct Known {
    peers: Vec<Peer>,
    maps: Vec<ClusterMap>,
}

/// Keeps the chunk store told.
pub(crate) struct Map(Task<()>);

impl Map {
    /// Says to the agreement which drives this node has, tells the store what is known, and goes
    /// on telling it.
    pub(crate) async fn start(ops: &Ops) -> Result<Self, OpError> {
        state_drives(ops).await?;
        let known = look(ops).await?;
        tell(ops, &known);
        Ok(Self(ops.world.spawn(follow(ops.clone(), known))))
    }

    pub(crate) fn stop(mut self) {
        self.0.abort();
    }
}

/// All nodes' drives make the map: each states its own, where they are not what it said before.
async fn state_drives(ops: &Ops) -> Result<(), OpError> {
    let (node, drives) = (ops.node, ops.store.drives());
    let row = ops.look(move |tables| table::get::<Nodes>(tables, &(node.0,))).await?;
    if row.is_some_and(|row| row.drives == drives && !row.is_out) {
        return Ok(());
    }
    loop {
        let state = ClusterCommand::StateDrives { drives: drives.clone() };
        match ops.agree_as_node::<Answer>(Command::Cluster(state)).await {
            Ok(_) => return Ok(()),
            Err(OpError::Unavailable { .. } | OpError::Unknown) => ops.world.sleep(PAUSE).await,
            Err(error) => return Err(error),
        }
    }
}

async fn look(ops: &Ops) -> Result<Known, OpError> {
    ops.look(|tables| {
        let nodes = table::all::<Nodes>(tables, &())?.into_iter().map(|(_, node)| node);
        let here = nodes.filter(|node| node.seat != Seat::Removed);
        let maps = table::all::<Maps>(tables, &())?;
        Ok::<_, TableError>(Known {
            peers: here.map(|node| Peer { node: node.id, address: node.address }).collect(),
            maps: maps.into_iter().map(|(_, map)| map).collect(),
        })
    })
    .await
}

fn tell(ops: &Ops, known: &Known) {
    ops.store.set_peers(known.peers.iter().cloned());
    if !known.maps.is_empty() {
        ops.store.set_maps(known.maps.clone());
    }
}

/// Looks whenever something was applied, and tells what is new.
async fn follow(ops: Ops, mut told: Known) {
    loop {
        let applied = ops.raft.applied();
        match look(&ops).await {
            Ok(known) if known != told => {
                tell(&ops, &known);
                told = known;
            }
            Ok(_) => {}
            Err(error) => tracing::debug!(%error, "the map cannot be read"),
        }
        ops.raft.applied_after(applied).await;
        ops.world.sleep(PAUSE).await;
    }
}
