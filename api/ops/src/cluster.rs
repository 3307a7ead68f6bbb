//! The cluster itself: who may join, vote, stay.

use node_base::{NodeId, sha256};
use raft_meta::command::ClusterCommand;
use raft_meta::table::cluster::Seat;
use raft_meta::{Answer, Command};

use crate::call::Ops;
use crate::error::OpError;

impl Ops {
    /// Makes a token with which so many nodes can join within so many seconds of log time. The
    /// cluster keeps its hash alone: it cannot be told again.
    ///
    /// # Errors
    /// The refusal of a number that is too large, or why nothing could be agreed.
    pub async fn invite(&self, seconds: u32, uses: u32) -> Result<String, OpError> {
        let mut secret = [0; 32];
        self.world.fill_random(&mut secret);
        let text: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
        let token = format!("join_{text}");
        let secret = sha256(token.as_bytes());
        let add = ClusterCommand::AddJoinToken { secret, seconds, uses };
        self.agree_as_node::<Answer>(Command::Cluster(add)).await?;
        Ok(token)
    }

    /// Promotes, demotes or removes a node. The leader then arranges who votes.
    ///
    /// # Errors
    /// The refusal when nobody would be left who may vote, or there is no such node.
    pub async fn set_seat(&self, node: NodeId, seat: Seat) -> Result<(), OpError> {
        self.agree_as_node(Command::Cluster(ClusterCommand::SetSeat { node, seat })).await
    }
}
