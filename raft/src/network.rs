//! The way to the other nodes of the group, as openraft wants it.

use std::future::Future;

use bytes::Bytes;
use node_base::{Duration, NodeId};
use node_world::{Class, NetError, Peer, Task, World};
use openraft::error::{
    Fatal, NetworkError, RPCError, RaftError, ReplicationClosed, StreamingError, Unreachable,
};
use openraft::network::{Backoff, RPCOption, RaftNetwork, RaftNetworkFactory};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse,
};
use openraft::{AnyError, OptionalSend, StorageIOError};
use raft_meta::TableError;
use tokio::sync::watch;

use crate::members::REMOVED;
use crate::snapshot::{Note, SnapshotData, part};
use crate::tables::{Row, Snapshot};
use crate::types::{LogId, StorageError, Types, Vote, encode_entry};
use crate::wire::{Consensus, ConsensusReply, Raw, SnapshotPart, WireError, pack, unpack_reply};

/// About how many bytes of rows one piece of a snapshot has.
const PIECE_BYTES: usize = 1 << 20;
/// How long a node that cannot be reached is left alone.
const UNREACHABLE_PAUSE: Duration = Duration::from_millis(200);

/// How long entries may take: a lost message holds its peer up for no longer than this, and many
/// bytes still arrive over a slow network.
const ENTRIES_LIMIT: Duration = Duration::from_secs(2);
/// The slowest network that is waited for, in bytes a second.
const ENTRIES_PACE: u32 = 256 << 10;
/// However many bytes there are.
const ENTRIES_LIMIT_MAX: Duration = Duration::from_secs(30);

type RpcError = RPCError<u64, String, RaftError<u64>>;

/// Ways to peers.
pub(crate) struct Network {
    pub(crate) world: World,
    pub(crate) cluster: watch::Receiver<Option<u128>>,
    /// Told when another node says that this one was removed.
    pub(crate) broken: watch::Sender<Option<String>>,
}

impl RaftNetworkFactory<Types> for Network {
    type Network = Way;

    async fn new_client(&mut self, target: u64, address: &String) -> Way {
        let peer = Peer { node: NodeId(target), address: address.clone() };
        Way {
            world: self.world.clone(),
            cluster: self.cluster.clone(),
            broken: self.broken.clone(),
            peer,
            under_way: None,
        }
    }
}

/// The way to one peer.
pub(crate) struct Way {
    world: World,
    cluster: watch::Receiver<Option<u128>>,
    broken: watch::Sender<Option<String>>,
    peer: Peer,
    under_way: Option<UnderWay>,
}

/// Entries that were sent, and whose reply openraft may have stopped waiting for.
///
/// openraft gives a message one heartbeat's time and then sends it again. Large entries on a slow
/// network would never arrive that way, so the message goes on, and the next attempt waits for it.
struct UnderWay {
    vote: Vote,
    previous: Option<LogId>,
    last: LogId,
    reply: Task<Result<ConsensusReply, CallError>>,
}

impl UnderWay {
    /// Whether it has the first of the entries that are to be sent.
    fn begins(&self, request: &AppendEntriesRequest<Types>) -> bool {
        self.vote == request.vote
            && self.previous == request.prev_log_id
            && request.entries.iter().any(|entry| entry.log_id == self.last)
    }
}

/// Why there is no use in a reply.
#[derive(Debug, thiserror::Error)]
enum CallError {
    #[error(transparent)]
    Net(#[from] NetError),
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error("the reply does not answer the question")]
    Unasked,
    #[error("the node does not know of the pieces before this one")]
    Interrupted,
}

impl From<CallError> for RpcError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Net(NetError::Elapsed) => Self::Network(NetworkError::new(&error)),
            _ => Self::Unreachable(Unreachable::new(&error)),
        }
    }
}

impl Way {
    async fn ask(
        &self,
        message: &Consensus<'_>,
        limit: Duration,
    ) -> Result<ConsensusReply, CallError> {
        let request = pack(*self.cluster.borrow(), message);
        self.send(request, limit).await
    }

    fn send(
        &self,
        request: Bytes,
        limit: Duration,
    ) -> impl Future<Output = Result<ConsensusReply, CallError>> + Send + use<> {
        let call = self.world.net().call(self.peer.clone(), Class::Consensus, request, limit);
        let broken = self.broken.clone();
        async move {
            let reply = call.await;
            if matches!(reply, Err(NetError::Removed)) {
                broken.send_replace(Some(REMOVED.to_owned()));
            }
            let reply = unpack_reply(&reply?)?;
            if reply == ConsensusReply::Removed {
                broken.send_replace(Some(REMOVED.to_owned()));
            }
            Ok(reply)
        }
    }

    /// Sends entries, unless the first of them are under way already; answers what came of those
    /// that are, and up to where they reach.
    async fn send_entries(
        &mut self,
        request: &AppendEntriesRequest<Types>,
        last: LogId,
    ) -> Result<(ConsensusReply, LogId), CallError> {
        if self.under_way.as_ref().is_none_or(|under_way| !under_way.begins(request)) {
            if let Some(mut old) = self.under_way.take() {
                old.reply.abort();
            }
            let message = self.append(request);
            let limit = entries_limit(message.len());
            let reply = self.world.spawn(self.send(message, limit));
            let (vote, previous) = (request.vote, request.prev_log_id);
            self.under_way = Some(UnderWay { vote, previous, last, reply });
        }
        let Some(under_way) = &mut self.under_way else { return Err(CallError::Unasked) };
        let reply = (&mut under_way.reply).await;
        let last = under_way.last;
        self.under_way = None;
        Ok((reply.map_err(|_| CallError::Unasked)??, last))
    }

    fn append(&self, request: &AppendEntriesRequest<Types>) -> Bytes {
        let encoded: Vec<Vec<u8>> = request
            .entries
            .iter()
            .map(|entry| {
                let mut bytes = Vec::new();
                encode_entry(entry, &mut bytes);
                bytes
            })
            .collect();
        let message = Consensus::Append {
            vote: request.vote.into(),
            previous: request.prev_log_id.map(Into::into),
            committed: request.leader_commit.map(Into::into),
            entries: encoded.iter().map(|bytes| Raw(bytes)).collect(),
        };
        pack(*self.cluster.borrow(), &message)
    }

    /// Sends the rows of a moment of the tables, piece by piece.
    async fn send_rows(
        &self,
        vote: Vote,
        tables: Box<dyn Snapshot>,
        limit: Duration,
    ) -> Result<Vote, SendError> {
        let transfer = self.world.random();
        let (mut tables, mut from, mut number) = (tables, Some(Vec::new()), 0);
        while let Some(start) = from {
            let (back, piece) = self.piece(tables, start).await;
            tables = back;
            let (rows, rest, note) = piece?;
            let rows = rows.iter().map(|(key, value)| (Raw(key), Raw(value))).collect();
            let note = note.as_deref().map(Raw);
            let part = SnapshotPart { vote: vote.into(), transfer, number, rows, note };
            match self.ask(&Consensus::Snapshot(part), limit).await? {
                ConsensusReply::PieceTaken => {}
                ConsensusReply::SnapshotTaken(vote) => return Ok(vote.into()),
                ConsensusReply::PieceUnknown => return Err(CallError::Interrupted.into()),
                _ => return Err(CallError::Unasked.into()),
            }
            (from, number) = (rest, number + 1);
        }
        Err(CallError::Unasked.into())
    }

    async fn piece(&self, tables: Box<dyn Snapshot>, start: Vec<u8>) -> (Box<dyn Snapshot>, Piece) {
        self.world
            .blocking(move || {
                let piece = read_piece(&*tables, &start);
                (tables, piece)
            })
            .await
    }
}

/// How long a message of entries of this size may take.
fn entries_limit(bytes: usize) -> Duration {
    let pace = Duration::from_secs(1) / ENTRIES_PACE;
    let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
    ENTRIES_LIMIT.saturating_add(pace.saturating_mul(bytes)).min(ENTRIES_LIMIT_MAX)
}

/// Rows, where the rest begins, and with the last rows the note.
type Piece = Result<(Vec<Row>, Option<Vec<u8>>, Option<Vec<u8>>), TableError>;

fn read_piece(tables: &dyn Snapshot, start: &[u8]) -> Piece {
    let (rows, rest) = part(tables, start, PIECE_BYTES)?;
    let note = if rest.is_none() { Some(Note::of(tables)?.encode()) } else { None };
    Ok((rows, rest, note))
}

#[derive(Debug, thiserror::Error)]
enum SendError {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error(transparent)]
    Tables(#[from] TableError),
}

impl From<SendError> for StreamingError<Types, Fatal<u64>> {
    fn from(error: SendError) -> Self {
        match error {
            SendError::Call(error) => Self::Unreachable(Unreachable::new(&error)),
            SendError::Tables(error) => {
                let source = StorageIOError::read_snapshot(None, AnyError::new(&error));
                Self::StorageError(StorageError::from(source))
            }
        }
    }
}

impl RaftNetwork<Types> for Way {
    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<Types>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<u64>, RpcError> {
        let wanted = request.entries.last().map(|entry| entry.log_id);
        let (reply, sent) = match wanted {
            Some(last) => {
                let (reply, last) = self.send_entries(&request, last).await?;
                (reply, Some(last))
            }
            None => (self.send(self.append(&request), option.hard_ttl()).await?, None),
        };
        match reply {
            ConsensusReply::Appended if sent != wanted => {
                Ok(AppendEntriesResponse::PartialSuccess(sent))
            }
            ConsensusReply::Appended => Ok(AppendEntriesResponse::Success),
            ConsensusReply::AppendedUpTo(last) => {
                Ok(AppendEntriesResponse::PartialSuccess(last.map(Into::into)))
            }
            ConsensusReply::Conflict => Ok(AppendEntriesResponse::Conflict),
            ConsensusReply::HigherVote(vote) => Ok(AppendEntriesResponse::HigherVote(vote.into())),
            _ => Err(CallError::Unasked.into()),
        }
    }

    async fn vote(
        &mut self,
        request: VoteRequest<u64>,
        option: RPCOption,
    ) -> Result<VoteResponse<u64>, RpcError> {
        let last = request.last_log_id.map(Into::into);
        let message = Consensus::Vote { vote: request.vote.into(), last };
        match self.ask(&message, option.hard_ttl()).await? {
            ConsensusReply::Vote { vote, granted, last } => {
                Ok(VoteResponse::new(Vote::from(vote), last.map(Into::into), granted))
            }
            _ => Err(CallError::Unasked.into()),
        }
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: openraft::Snapshot<Types>,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<u64>, StreamingError<Types, Fatal<u64>>> {
        let SnapshotData::Reading(tables) = *snapshot.snapshot else {
            let error = TableError::Invariant("only tables of this node are sent");
            return Err(SendError::Tables(error).into());
        };
        tokio::select! {
            biased;
            closed = cancel => Err(StreamingError::Closed(closed)),
            sent = self.send_rows(vote, tables, option.hard_ttl()) => {
                Ok(SnapshotResponse::new(sent?))
            }
        }
    }

    fn backoff(&self) -> Backoff {
        Backoff::new(std::iter::repeat(UNREACHABLE_PAUSE))
    }
}
