//! The cluster itself: who may join, vote, stay.

use std::collections::BTreeMap;

use chunkstore::Told;
use node_base::{ClusterMap, Duration, NodeId, Profile, Sha256, sha256};
use raft_meta::command::ClusterCommand;
use raft_meta::query::chunk::{self, Collecting};
use raft_meta::table::cluster::{Authorities, Clusters, Maps, Node, Nodes, Seat};
use raft_meta::{Answer, Command, Reader, TableError, query, table};

use crate::call::{Call, Ops};
use crate::error::OpError;

/// How long the removal of a voter may take, and how often it is looked whether it is done.
const UNSEATED_WITHIN: Duration = Duration::from_secs(20);
const UNSEATED_LOOK: Duration = Duration::from_millis(50);

impl Ops {
    /// Makes a token with which so many nodes can join within so many seconds of log time. The
    /// cluster keeps its hash alone: it cannot be told again. Where nodes have to prove who they
    /// are, the SHA-256 of the cluster's authority follows: by it the node that joins knows the
    /// cluster.
    ///
    /// # Errors
    /// The refusal of a number that is too large, or why nothing could be agreed.
    pub async fn invite(&self, seconds: u32, uses: u32) -> Result<String, OpError> {
        self.invite_by(None, seconds, uses).await
    }

    /// The same for an administrator of all. Under an idempotency key it is the same token again.
    ///
    /// # Errors
    /// As above.
    pub async fn invite_for(
        &self,
        call: &Call,
        seconds: u32,
        uses: u32,
    ) -> Result<String, OpError> {
        self.invite_by(Some(call), seconds, uses).await
    }

    async fn invite_by(
        &self,
        call: Option<&Call>,
        seconds: u32,
        uses: u32,
    ) -> Result<String, OpError> {
        let token = format!("join_{}", self.join_secret(call).await?);
        let secret = sha256(token.as_bytes());
        let add = Command::Cluster(ClusterCommand::AddJoinToken { secret, seconds, uses });
        let mut known_by = String::new();
        if self.world.net().credentials().is_some() {
            let authority = |tables: &dyn Reader| table::get::<Authorities>(tables, &());
            let authority = self.look_now(authority).await?.ok_or(OpError::unavailable())?;
            known_by = format!(".{}", sha256(&authority.certificate));
        }
        match call {
            Some(call) => self.agree::<()>(call, add).await?,
            None => self.agree_as_node(add).await?,
        }
        Ok(token + &known_by)
    }

    /// Random; under an idempotency key what nobody but the cluster could make of that key, so that
    /// the token can be told again though it is kept nowhere.
    async fn join_secret(&self, call: Option<&Call>) -> Result<Sha256, OpError> {
        let keyed = call.and_then(|call| Some((&call.caller, call.remember.as_ref()?)));
        let Some((caller, remember)) = keyed else {
            let mut secret = [0; 32];
            self.world.fill_random(&mut secret);
            return Ok(Sha256(secret));
        };
        let cluster = self.look_now(|tables| table::get::<Clusters>(tables, &())).await?;
        let own = cluster.ok_or(OpError::unavailable())?.cursor_key;
        let whose = format!("join token {} {} {} ", caller.tenant, caller.user, remember.key);
        let made = sha256(&[&own, whose.as_bytes(), &remember.request.0].concat());
        // Twice, so that who knows one cannot go on from there.
        Ok(sha256(&made.0))
    }

    /// Where a node that joins can ask.
    ///
    /// # Errors
    /// When the tables of this node cannot be read.
    pub async fn addresses(&self) -> Result<Vec<String>, OpError> {
        let rows = self.look(|tables| table::all::<Nodes>(tables, &())).await?;
        let here = rows.into_iter().map(|(_, row)| row);
        let here = here.filter(|row| row.seat != Seat::Removed && !row.is_out);
        Ok(here.map(|row| row.address).filter(|address| !address.is_empty()).collect())
    }

    /// Removes a node, unless others do not have yet what it holds.
    ///
    /// # Errors
    /// The refusal when it has to be drained first, or there is no such node.
    pub async fn remove_drained(&self, node: NodeId) -> Result<(), OpError> {
        let remove = ClusterCommand::RemoveDrained { node };
        self.agree_as_node::<Answer>(Command::Cluster(remove)).await?;
        self.wait_until_unseated(node).await
    }

    /// Promotes, demotes, drains or removes a node. The leader then arranges who votes.
    ///
    /// # Errors
    /// The refusal when nobody would be left who may vote, or there is no such node.
    pub async fn set_seat(&self, node: NodeId, seat: Seat) -> Result<(), OpError> {
        let set = ClusterCommand::SetSeat { node, seat };
        self.agree_as_node::<Answer>(Command::Cluster(set)).await?;
        match seat {
            Seat::Removed => self.wait_until_unseated(node).await,
            Seat::MayVote | Seat::Learns | Seat::Drains => Ok(()),
        }
    }

    /// Waits until a removed node has no vote left. The machine of one that was told to be removed
    /// is switched off next, and until then the others may be unable to agree without it.
    ///
    /// # Errors
    /// When that takes long.
    pub async fn wait_until_unseated(&self, node: NodeId) -> Result<(), OpError> {
        let begun = self.world.now();
        loop {
            let status = self.raft.status();
            if !status.is_changing_voters && !status.voters.contains(&node) {
                return Ok(());
            }
            if self.world.now().since(begun) >= UNSEATED_WITHIN {
                return Err(OpError::unavailable());
            }
            self.world.sleep(UNSEATED_LOOK).await;
        }
    }
}

/// A node, as the cluster knows it and as it says of itself.
#[derive(Debug, Clone)]
pub struct NodeStatus {
    pub row: Node,
    pub leads: bool,
    pub votes: bool,
    /// Whether it answers.
    pub is_up: bool,
    /// The last entry it has applied, where it says so.
    pub applied_entry: Option<u64>,
    /// Whether a map in force leads to its drives: then it may hold what nobody else has.
    pub is_needed: bool,
    pub drives: Option<Told>,
}

/// The cluster, as one of its nodes sees it.
#[derive(Debug, Clone)]
pub struct ClusterStatus {
    pub nodes: Vec<NodeStatus>,
    /// The maps in force, the newest last.
    pub maps: Vec<ClusterMap>,
    /// How new chunks are coded; nothing before there is a map.
    pub profile: Option<Profile>,
    /// How many chunks there are of each profile, and how many of all are to be coded anew.
    pub coded: BTreeMap<Profile, u64>,
    pub chunks_to_recode: u64,
    pub collecting: Collecting,
}

impl ClusterStatus {
    /// The newest map's epoch; zero before there is any.
    pub fn epoch(&self) -> u64 {
        self.maps.last().map_or(0, |map| map.epoch.0)
    }
}

impl Ops {
    /// How all nodes stand. Those that do not answer in a while are told as they were known last.
    ///
    /// # Errors
    /// When the tables of this node cannot be read.
    pub async fn cluster_status(&self) -> Result<ClusterStatus, OpError> {
        let rows = self.look(|tables| {
            Ok::<_, TableError>((
                table::all::<Nodes>(tables, &())?,
                table::all::<Maps>(tables, &())?,
                chunk::coding(tables)?,
                chunk::coded(tables)?,
                chunk::collecting(tables, query::log_time(tables)?)?,
            ))
        });
        let (rows, maps, coding, coded, collecting) = rows.await?;
        let maps: Vec<ClusterMap> = maps.into_iter().map(|(_, map)| map).collect();
        let (progress, told) = tokio::join!(self.raft.progress(), self.store.told());
        let mut progress = progress.unwrap_or_default();
        let mut told: BTreeMap<NodeId, _> = told.into_iter().collect();
        let raft = self.raft.status();
        progress.extend(raft.applied_entry.map(|entry| (self.node, entry)));
        let leads_there =
            |node: NodeId| maps.iter().any(|map| map.drives.iter().any(|drive| drive.node == node));
        let nodes = rows.into_iter().map(|(_, row)| {
            let (id, drives) = (row.id, told.remove(&row.id).flatten());
            NodeStatus {
                leads: raft.leader == Some(id),
                votes: raft.voters.contains(&id),
                is_up: id == self.node || progress.contains_key(&id) || drives.is_some(),
                applied_entry: progress.get(&id).copied(),
                is_needed: leads_there(id),
                drives,
                row,
            }
        });
        let is_wrong = |profile| coding.is_some_and(|coding| coding.is_wrong(profile));
        let wrong = coded.iter().filter(|(profile, _)| is_wrong(**profile));
        let nodes = nodes.collect();
        Ok(ClusterStatus {
            nodes,
            maps,
            profile: coding.map(|coding| coding.wanted),
            chunks_to_recode: wrong.map(|(_, count)| count).sum(),
            coded,
            collecting,
        })
    }
}
