//! Answers the messages of the other nodes of the group.

use std::sync::{Arc, Weak};

use bytes::Bytes;
use node_base::NodeId;
use node_world::{BoxFuture, Handler, Refusal};
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, VoteRequest};
use raft_meta::TableError;

use crate::group::Group;
use crate::join::Asked;
use crate::snapshot::{Note, NoteShape, SnapshotData};
use crate::tables::Replacement;
use crate::types::{Vote, decode_entry, encode};
use crate::wire::{Consensus, ConsensusReply, Control, ControlReply, SnapshotPart, unpack};

/// A snapshot that another node is sending.
pub(crate) struct Incoming {
    transfer: u128,
    /// The number of the next piece.
    next: u64,
    tables: Box<dyn Replacement>,
}

/// Handles the messages of votes, entries and snapshots.
pub(crate) struct ConsensusHandler(pub(crate) Weak<Group>);

/// Handles what other nodes ask of a leader.
pub(crate) struct ControlHandler(pub(crate) Weak<Group>);

fn refuse<E: std::fmt::Display>(error: E) -> Refusal {
    Refusal(error.to_string())
}

fn group(weak: &Weak<Group>) -> Result<Arc<Group>, Refusal> {
    weak.upgrade().ok_or_else(|| refuse("this node is stopping"))
}

impl Handler for ConsensusHandler {
    fn handle(&self, from: NodeId, request: Bytes) -> BoxFuture<Result<Bytes, Refusal>> {
        let group = group(&self.0);
        Box::pin(async move { Ok(Bytes::from(encode(&group?.consensus(from, &request).await?))) })
    }
}

impl Handler for ControlHandler {
    fn handle(&self, from: NodeId, request: Bytes) -> BoxFuture<Result<Bytes, Refusal>> {
        let group = group(&self.0);
        Box::pin(async move { Ok(Bytes::from(encode(&group?.control(from, &request).await?))) })
    }
}

impl Group {
    async fn consensus(&self, from: NodeId, request: &Bytes) -> Result<ConsensusReply, Refusal> {
        let (cluster, message) = unpack::<Consensus<'_>>(request).map_err(refuse)?;
        self.check_cluster(cluster)?;
        if self.is_removed(from) {
            return Ok(ConsensusReply::Removed);
        }
        match message {
            Consensus::Append { vote, previous, committed, entries } => {
                self.heard.send_replace(self.world.now());
                let entries = entries
                    .iter()
                    .map(|raw| decode_entry(request.slice_ref(raw.0)))
                    .collect::<Result<Vec<_>, _>>()
                    .map_err(refuse)?;
                let request = AppendEntriesRequest {
                    vote: vote.into(),
                    prev_log_id: previous.map(Into::into),
                    entries,
                    leader_commit: committed.map(Into::into),
                };
                let reply = self.raft.append_entries(request).await.map_err(refuse)?;
                Ok(match reply {
                    AppendEntriesResponse::Success => ConsensusReply::Appended,
                    AppendEntriesResponse::PartialSuccess(last) => {
                        ConsensusReply::AppendedUpTo(last.map(Into::into))
                    }
                    AppendEntriesResponse::Conflict => ConsensusReply::Conflict,
                    AppendEntriesResponse::HigherVote(vote) => {
                        ConsensusReply::HigherVote(vote.into())
                    }
                })
            }
            Consensus::Vote { vote, last } => {
                let request = VoteRequest::new(vote.into(), last.map(Into::into));
                let reply = self.raft.vote(request).await.map_err(refuse)?;
                Ok(ConsensusReply::Vote {
                    vote: reply.vote.into(),
                    granted: reply.vote_granted,
                    last: reply.last_log_id.map(Into::into),
                })
            }
            Consensus::Snapshot(part) => self.snapshot_part(part).await,
        }
    }

    /// Takes a piece of a snapshot, and installs the snapshot with the last one.
    async fn snapshot_part(&self, part: SnapshotPart<'_>) -> Result<ConsensusReply, Refusal> {
        let vote = Vote::from(part.vote);
        let mine = self.raft.metrics().borrow().vote;
        if vote < mine {
            return Ok(ConsensusReply::SnapshotTaken(mine.into()));
        }
        let mut incoming = self.incoming.lock().await;
        if part.number == 0 {
            // What an earlier sending left is given up before the next one begins.
            drop(incoming.take());
            let tables = self.machine.on_tables(|tables| tables.replacement()).await;
            let tables = tables.map_err(refuse)?;
            *incoming = Some(Incoming { transfer: part.transfer, next: 0, tables });
        }
        let Some(mut state) = incoming.take().filter(|state| state.transfer == part.transfer)
        else {
            return Ok(ConsensusReply::PieceUnknown);
        };
        if state.next == part.number + 1 && part.note.is_none() {
            // A piece that came twice, because its reply was lost.
            *incoming = Some(state);
            return Ok(ConsensusReply::PieceTaken);
        }
        if state.next != part.number {
            return Ok(ConsensusReply::PieceUnknown);
        }
        let rows: Vec<_> =
            part.rows.iter().map(|(key, value)| (key.0.to_vec(), value.0.to_vec())).collect();
        let put = move || {
            let put = state.tables.put(&rows);
            (state, put)
        };
        let (state, put): (Incoming, Result<(), TableError>) = self.world.blocking(put).await;
        put.map_err(refuse)?;
        let Some(note) = part.note else {
            *incoming = Some(Incoming { next: part.number + 1, ..state });
            return Ok(ConsensusReply::PieceTaken);
        };
        let shape: NoteShape = postcard::from_bytes(note.0).map_err(refuse)?;
        let note = Note::from(shape);
        let meta = note.meta();
        let snapshot = Box::new(SnapshotData::Received(state.tables, note));
        let snapshot = openraft::Snapshot { meta, snapshot };
        let reply = self.raft.install_full_snapshot(vote, snapshot).await.map_err(refuse)?;
        Ok(ConsensusReply::SnapshotTaken(reply.vote.into()))
    }

    async fn control(
        self: &Arc<Self>,
        from: NodeId,
        request: &Bytes,
    ) -> Result<ControlReply, Refusal> {
        let (cluster, message) = unpack::<Control<'_>>(request).map_err(refuse)?;
        if let (None, Control::Join { nonce, token, wish, address, zone, public_key }) =
            (cluster, &message)
        {
            let public_key = public_key.0;
            let asked = Asked { nonce: *nonce, token, wish: *wish, address, zone, public_key };
            return Ok(self.take_in(asked).await);
        }
        if from == NodeId::default() {
            return Err(refuse("a stranger can ask to join and nothing else"));
        }
        self.check_cluster(cluster)?;
        if self.is_removed(from) {
            return Ok(ControlReply::Removed);
        }
        Ok(match message {
            Control::Propose { term, message, proposal } => {
                if !(self.check)(proposal.0) {
                    return Err(refuse("the proposal cannot be decoded by this version"));
                }
                self.propose_for_other(term, message, request.slice_ref(proposal.0)).await
            }
            Control::ReadIndex => match self.read_index_here().await {
                Ok(index) => ControlReply::ReadIndex(index),
                Err(_) => ControlReply::NotLeader,
            },
            Control::Watch => self.watched(from).await,
            Control::Probe => ControlReply::Applied(self.machine.progress().borrow().entry),
            Control::Join { .. } => return Err(refuse("the node is of a cluster already")),
        })
    }

    /// Refuses messages of another cluster, and all while this node is of none.
    fn check_cluster(&self, theirs: Option<u128>) -> Result<(), Refusal> {
        match *self.cluster.borrow() {
            Some(ours) if theirs == Some(ours) => Ok(()),
            Some(_) => Err(refuse("the message is of another cluster")),
            None => Err(refuse("this node is of no cluster yet")),
        }
    }
}
