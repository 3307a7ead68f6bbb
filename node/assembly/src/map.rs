//! What the agreement says about nodes and drives, told to the chunk store: at the start, and
//! whenever it changes.

use std::collections::BTreeMap;

use api_ops::{OpError, Ops};
use node_base::{ClusterMap, Duration};
use node_world::{Peer, Task};
use raft_meta::command::ClusterCommand;
use raft_meta::table::cluster::{Maps, Node, Nodes, Seat};
use raft_meta::{Answer, Command, TableError, table};

/// Between two looks, while commands are applied all the time.
const PAUSE: Duration = Duration::from_millis(200);

/// The nodes, and the maps that are not yet retired, oldest first.
#[derive(PartialEq)]
struct Known {
    nodes: BTreeMap<u64, Node>,
    maps: Vec<ClusterMap>,
}

/// Keeps the chunk store told.
pub(crate) struct Map(Task<()>);

impl Map {
    /// Says to the agreement which drives this node has, tells the store what is known, and goes
    /// on telling it.
    pub(crate) async fn start(ops: &Ops) -> Result<Self, OpError> {
        let mine = ops.store.drives();
        let known = look(ops).await?;
        let stated = known.nodes.get(&ops.node.0);
        if stated.is_none_or(|node| node.drives != mine || node.is_out) {
            state_drives(ops).await?;
        }
        let known = look(ops).await?;
        tell(ops, &known);
        Ok(Self(ops.world.spawn(follow(ops.clone(), known))))
    }

    pub(crate) fn stop(mut self) {
        self.0.abort();
    }
}

/// All nodes' drives make the map: each states its own.
async fn state_drives(ops: &Ops) -> Result<(), OpError> {
    loop {
        let state = ClusterCommand::StateDrives { drives: ops.store.drives() };
        match ops.agree_as_node::<Answer>(Command::Cluster(state)).await {
            Ok(_) => return Ok(()),
            Err(OpError::Unavailable { .. } | OpError::Unknown) => ops.world.sleep(PAUSE).await,
            Err(error) => return Err(error),
        }
    }
}

async fn look(ops: &Ops) -> Result<Known, OpError> {
    ops.look(|tables| {
        let nodes = table::all::<Nodes>(tables, &())?;
        let maps = table::all::<Maps>(tables, &())?;
        Ok::<_, TableError>(Known {
            nodes: nodes.into_iter().map(|((id,), node)| (id, node)).collect(),
            maps: maps.into_iter().map(|(_, map)| map).collect(),
        })
    })
    .await
}

fn tell(ops: &Ops, known: &Known) {
    let here = known.nodes.values().filter(|node| node.seat != Seat::Removed);
    ops.store.set_peers(here.map(|node| Peer { node: node.id, address: node.address.clone() }));
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
