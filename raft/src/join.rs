//! How a node comes to be of a cluster.
//!
//! A node that has none asks any node that does, with a token, and gets its number and the
//! cluster's. It writes both down before it does anything else, and is that node from then on. It
//! asks with a nonce that it keeps in its folder: if the power goes before the answer is written
//! down, it asks again, and is given the same number and no second one.
//!
//! The answer makes it a row of the nodes' table and no more. The leader brings the members of the
//! group in line with that table, see [`members`](crate::members), and so reaches the node once it
//! has started.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use node_base::{Duration, NodeId, Sha256, sha256};
use node_world::{Class, CredentialError, Credentials, NetError, Peer, Subject, World};
use raft_meta::command::ClusterCommand;
use raft_meta::outcome::JoinRefusal;
use raft_meta::table::cluster::{JoinTokens, Node, Nodes};
use raft_meta::{Answer, Command, Outcome, Proposal, TableError, table};

use crate::folder::{Folder, FolderError, Identity};
use crate::group::Group;
use crate::proof;
use crate::propose::ProposeError;
use crate::tables::Engine;
use crate::wire::{Control, ControlReply, Raw, pack, unpack_reply};

/// What a node asks to join with.
#[derive(Clone, Debug)]
pub struct JoinRequest {
    /// Addresses of nodes of the cluster, any of which will do.
    pub via: Vec<String>,
    pub token: String,
    /// The number that the node bears already; the next one, where there is no wish.
    pub wish: Option<NodeId>,
    /// Where the node will listen.
    pub address: String,
    pub zone: String,
    /// How often each address is asked that does not answer as it should.
    pub rounds: u32,
}

/// Why a node does not join.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    #[error(transparent)]
    Folder(#[from] FolderError),
    #[error("no address of a node of the cluster is given")]
    NoAddress,
    #[error(transparent)]
    Refused(#[from] JoinRefusal),
    #[error("{address} answered, but not as a node of the cluster: {why}")]
    NoMember { address: String, why: String },
    #[error("the join token is cut off or mistyped: it has two parts of hexadecimal digits")]
    Token,
    #[error(transparent)]
    Credentials(#[from] CredentialError),
    #[error("no node of the cluster could be asked: {0}")]
    Unavailable(String),
}

/// How long one question may take, and how long the node waits before the next.
const QUESTION_LIMIT: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(200);
/// A token, in bytes.
const TOKEN_MAX: usize = 256;

/// Who the node of this folder is; nothing when it is none yet.
///
/// # Errors
/// When the folder holds something else, or cannot be read.
pub async fn identity(world: &World, folder: PathBuf) -> Result<Option<Identity>, FolderError> {
    let inner = world.clone();
    world.blocking(move || Ok(Folder::open(&inner, &folder)?.identity())).await
}

/// Has the node of this folder join a cluster, unless it is of one; answers who it is now.
///
/// # Errors
/// See [`JoinError`].
pub async fn join(
    world: &World,
    folder: PathBuf,
    request: &JoinRequest,
) -> Result<Identity, JoinError> {
    let inner = world.clone();
    let open = move || {
        let folder = Folder::open(&inner, &folder)?;
        let nonce = if folder.identity().is_none() { folder.nonce()? } else { 0 };
        Ok::<_, FolderError>((folder, nonce))
    };
    let (mut folder, nonce) = world.blocking(open).await?;
    if let Some(identity) = folder.identity() {
        return Ok(identity);
    }
    let secret = introduce(world, &request.token)?;
    let joined = ask(world, nonce, secret, request).await?;
    let identity = Identity { node: joined.node, cluster: Some(joined.cluster), has_joined: true };
    let shown = show(world, &joined)?;
    let inner = world.clone();
    let keep = move || {
        if let Some(shown) = shown {
            let failed = |source| FolderError::disk("write", &folder.path, source);
            proof::save(&inner, &folder.path, &shown).map_err(failed)?;
        }
        folder.write(identity)
    };
    world.blocking(keep).await?;
    Ok(identity)
}

/// The secret of a token. Behind it stands the SHA-256 of the cluster's authority, by which the
/// cluster is known, where it has to prove itself.
fn introduce<'a>(world: &World, token: &'a str) -> Result<&'a str, JoinError> {
    let Some(credentials) = world.net().credentials() else { return Ok(token) };
    let (secret, authority) = token.trim().split_once('.').ok_or(JoinError::Token)?;
    credentials.believe(authority.parse().map_err(|_| JoinError::Token)?);
    Ok(secret)
}

/// Shows the certificate that joining gave; what to keep of it.
fn show(world: &World, joined: &Joined) -> Result<Option<Vec<u8>>, CredentialError> {
    let Some(credentials) = world.net().credentials() else { return Ok(None) };
    let whom = Subject { cluster: joined.cluster, node: joined.node };
    credentials.show(whom, &joined.certificate, &joined.authority)?;
    Ok(credentials.save())
}

/// What joining gives.
struct Joined {
    node: NodeId,
    cluster: u128,
    certificate: Vec<u8>,
    authority: Vec<u8>,
}

/// Asks one address after the other until one has an answer.
async fn ask(
    world: &World,
    nonce: u128,
    secret: &str,
    request: &JoinRequest,
) -> Result<Joined, JoinError> {
    let public_key = world.net().credentials().map(Credentials::public_key).unwrap_or_default();
    let message = Control::Join {
        nonce,
        token: secret,
        wish: request.wish.map(|node| node.0),
        address: &request.address,
        zone: &request.zone,
        public_key: Raw(&public_key),
    };
    let message = pack(None, &message);
    let mut last = JoinError::NoAddress;
    for round in 1..=request.rounds.max(1) {
        for address in &request.via {
            match ask_one(world, address, message.clone()).await {
                Err(error @ (JoinError::Unavailable(_) | JoinError::NoMember { .. })) => {
                    last = error;
                }
                answer => return answer,
            }
        }
        if round < request.rounds {
            world.sleep(PAUSE).await;
        }
    }
    Err(last)
}

async fn ask_one(world: &World, address: &str, message: Bytes) -> Result<Joined, JoinError> {
    let reply = world.net().call(Peer::at(address), Class::Control, message, QUESTION_LIMIT).await;
    let stranger = |why: String| JoinError::NoMember { address: address.to_owned(), why };
    match reply {
        Ok(reply) => match unpack_reply(&reply) {
            Ok(ControlReply::Joined { node, cluster, certificate, authority }) => {
                Ok(Joined { node: NodeId(node), cluster, certificate, authority })
            }
            Ok(ControlReply::NotJoined(refusal)) => Err(refusal.into()),
            Ok(_) => Err(JoinError::Unavailable("it found no leader".to_owned())),
            Err(error) => Err(stranger(error.to_string())),
        },
        Err(NetError::Refused(refusal)) => Err(stranger(refusal.0)),
        Err(error) => Err(JoinError::Unavailable(format!("{address}: {error}"))),
    }
}

/// What another node wants to join with, as it said it.
pub(crate) struct Asked<'a> {
    pub(crate) nonce: u128,
    pub(crate) token: &'a str,
    pub(crate) wish: Option<u64>,
    pub(crate) address: &'a str,
    pub(crate) zone: &'a str,
    pub(crate) public_key: &'a [u8],
}

impl Group {
    /// Has the cluster agree on whether a node may join.
    pub(crate) async fn take_in(self: &Arc<Self>, asked: Asked<'_>) -> ControlReply {
        let Some(cluster) = *self.cluster.borrow() else { return ControlReply::NotLeader };
        if asked.token.len() > TOKEN_MAX {
            return ControlReply::NotJoined(JoinRefusal::UnknownToken);
        }
        let secret = sha256(asked.token.as_bytes());
        if !self.may_be_let_in(asked.nonce, secret).await {
            return ControlReply::NotJoined(JoinRefusal::UnknownToken);
        }
        let join = ClusterCommand::Join {
            nonce: asked.nonce,
            secret,
            wish: asked.wish.map(NodeId),
            address: asked.address.to_owned(),
            zone: asked.zone.to_owned(),
        };
        match self.agree(Command::Cluster(join)).await {
            Ok(Ok(Answer::Joined(Ok(node)))) => {
                match self.prove_joined(Subject { cluster, node }, asked.public_key).await {
                    Ok((certificate, authority)) => {
                        ControlReply::Joined { node: node.0, cluster, certificate, authority }
                    }
                    // It asks again, with the same nonce.
                    Err(error) => {
                        tracing::warn!(%node, %error, "a node that joins cannot be certified");
                        ControlReply::Uncertain
                    }
                }
            }
            Ok(Ok(Answer::Joined(Err(refusal)))) => ControlReply::NotJoined(refusal),
            Ok(_) => ControlReply::NotJoined(JoinRefusal::Malformed),
            Err(_) => ControlReply::Uncertain,
        }
    }

    /// Whether the tables may know of the token, or of the asker. Anybody who can reach the port
    /// can ask: what is sure to be refused takes no room in the log.
    async fn may_be_let_in(&self, nonce: u128, secret: Sha256) -> bool {
        let knows = move |tables: &dyn Engine| {
            let tables = tables.snapshot()?;
            let is_asker = |row: &Node| row.nonce == nonce;
            Ok(table::has::<JoinTokens>(&*tables, &(secret,))?
                || table::all::<Nodes>(&*tables, &())?.iter().any(|(_, row)| is_asker(row)))
        };
        let known: Result<bool, TableError> = self.machine.on_tables(knows).await;
        if known.unwrap_or(true) || self.catch_up().await.is_err() {
            return true;
        }
        self.machine.on_tables(knows).await.unwrap_or(true)
    }

    /// Has a command of this node agreed.
    pub(crate) async fn agree(&self, command: Command) -> Result<Outcome, ProposeError> {
        let (at, seed) = (self.world.wall(), self.world.id_seed());
        let proposal = Proposal::of_node(self.node, at, seed, command);
        let outcome = self.propose(Bytes::from(proposal.encode()), false).await?;
        postcard::from_bytes(&outcome).map_err(|_| ProposeError::uncertain())
    }
}
