//! Nodes that stop in good order, join, change seats, and go for good.

use std::collections::BTreeSet;

use node_base::{Duration, NodeId};
use raft_meta::table::cluster::Seat;

use super::{Cluster, FOUNDER, Up, chain, folder, lock};

/// With so many voters, one may be lost for good.
const VOTERS_MIN: usize = 3;
/// How often a change of seats is asked for that may be refused: somebody has to vote.
const SEAT_TRIES: u32 = 20;
/// Between two of them.
const SEAT_PAUSE: Duration = Duration::from_millis(500);

impl Cluster {
    /// Has a node stop in good order, and stay down until it is released; it comes back as another
    /// version.
    pub(crate) fn stop(&self, node: NodeId) {
        self.hold(node);
        lock(&self.0.upgraded).insert(node);
        let up = lock(&self.0.nodes).get_mut(&node).and_then(Option::take);
        let Some(Up { world, router, node: stopped }) = up else { return };
        lock(&self.0.stopping).insert(node);
        let stopping = world.spawn(Box::pin(async move {
            drop(router);
            stopped.stop().await
        }));
        let cluster = self.clone();
        drop(self.spawn(async move {
            if let Ok(Err(error)) = stopping.await {
                cluster.failed(node, format!("does not stop: {}", chain(&error)));
            }
            cluster.crash(node);
            lock(&cluster.0.stopping).remove(&node);
        }));
    }

    /// Has another node join.
    pub(crate) fn admit(&self, node: NodeId) {
        lock(&self.0.nodes).entry(node).or_insert(None);
        let cluster = self.clone();
        drop(self.spawn(async move { cluster.keep_up(node).await }));
    }

    /// Has the cluster give a node a seat, as soon as it can.
    pub(crate) fn seat(&self, node: NodeId, seat: Seat) {
        let is_leaving = self.leaving().contains(&node);
        if lock(&self.0.nodes).contains_key(&node) && !is_leaving {
            lock(&self.0.seats).insert(node, seat);
            let cluster = self.clone();
            drop(self.spawn(async move { cluster.give_seat(node, SEAT_TRIES).await }));
        }
    }

    /// Has the cluster do without a node, as soon as it can.
    pub(crate) fn remove(&self, node: NodeId) {
        lock(&self.0.leaving).insert(node);
        lock(&self.0.seats).insert(node, Seat::Removed);
        let cluster = self.clone();
        drop(self.spawn(async move {
            if cluster.give_seat(node, u32::MAX).await {
                cluster.gone(node);
            }
        }));
    }

    /// Has a node's shards brought to others, and the cluster do without it then.
    pub(crate) fn drain(&self, node: NodeId) {
        lock(&self.0.leaving).insert(node);
        lock(&self.0.seats).insert(node, Seat::Drains);
        let cluster = self.clone();
        drop(self.spawn(async move {
            if cluster.give_seat(node, u32::MAX).await && cluster.leave_drained(node).await {
                cluster.gone(node);
            }
        }));
    }

    /// Nodes that are to go for good and have not gone yet.
    pub(crate) fn leaving(&self) -> BTreeSet<NodeId> {
        let nodes = lock(&self.0.nodes);
        lock(&self.0.leaving).iter().filter(|node| nodes.contains_key(node)).copied().collect()
    }

    fn gone(&self, node: NodeId) {
        self.note(format_args!("removed {node}"));
        lock(&self.0.nodes).remove(&node);
        self.0.sim.crash(node);
    }

    /// Asks nodes until one says that a node is not needed any more.
    async fn leave_drained(&self, node: NodeId) -> bool {
        loop {
            for other in self.nodes().into_iter().filter(|other| *other != node) {
                let ordered = self.inspect(other, move |ops| async move {
                    ops.remove_drained(node).await.map_err(|error| chain(&error))
                });
                match Box::pin(ordered).await {
                    Some(Ok(())) => return true,
                    Some(Err(why)) => self.note(format_args!("drain {node} by {other}: {why}")),
                    None => {}
                }
            }
            self.sleep(SEAT_PAUSE).await;
        }
    }

    /// Takes a node away with all its drives, and has another join in its place; unless the node
    /// may be one that the agreement cannot do without.
    pub(crate) fn replace(&self, node: NodeId, by: NodeId) {
        let voters = |node: NodeId| self.ops(node).map(|ops| ops.raft.status().voters.len());
        let fewest = self.nodes().into_iter().filter_map(voters).min();
        if node == FOUNDER || fewest.is_none_or(|voters| voters < VOTERS_MIN) {
            self.note(format_args!("node {node} stays: too few vote"));
            return;
        }
        self.hold(node);
        self.crash(node);
        for drive in 0..self.0.options.drives {
            self.0.sim.lose(node, &folder(node, drive)).expect("the folder is a path");
        }
        self.admit(by);
        self.remove(node);
    }

    /// Asks nodes until one says that it is agreed.
    async fn give_seat(&self, node: NodeId, tries: u32) -> bool {
        for _ in 0..tries {
            for other in self.nodes().into_iter().filter(|other| *other != node) {
                let Some(seat) = lock(&self.0.seats).get(&node).copied() else { return false };
                let ordered = self.inspect(other, move |ops| async move {
                    ops.set_seat(node, seat).await.map_err(|error| chain(&error))
                });
                match Box::pin(ordered).await {
                    Some(Ok(())) => return true,
                    Some(Err(why)) => self.note(format_args!("seat {node} by {other}: {why}")),
                    None => {}
                }
            }
            self.sleep(SEAT_PAUSE).await;
        }
        false
    }
}
