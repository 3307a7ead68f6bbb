//! Messages between the nodes of a group, as bytes.
//!
//! ```text
//!  0  version u8     1
//!  1  cluster u128   zero while the sender is of none
//! 17  message        in postcard
//! ```

use bytes::{BufMut, Bytes, BytesMut};
use raft_meta::outcome::JoinRefusal;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::types::{LogIdShape, VoteShape};

const VERSION: u8 = 1;
const HEAD: usize = 17;

/// Bytes that are no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the message cannot be read")]
pub(crate) struct WireError;

/// Bytes inside a message, taken from it without a copy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Raw<'a>(pub(crate) &'a [u8]);

impl Serialize for Raw<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Raw<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <&[u8]>::deserialize(deserializer).map(Self)
    }
}

/// What nodes ask one another in [`node_world::Class::Consensus`].
#[derive(PartialEq, Debug, Serialize, Deserialize)]
pub(crate) enum Consensus<'a> {
    Append {
        vote: VoteShape,
        previous: Option<LogIdShape>,
        committed: Option<LogIdShape>,
        #[serde(borrow)]
        entries: Vec<Raw<'a>>,
    },
    Vote {
        vote: VoteShape,
        last: Option<LogIdShape>,
    },
    Snapshot(#[serde(borrow)] SnapshotPart<'a>),
}

/// A piece of a snapshot. Pieces are sent one after the other.
#[derive(PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct SnapshotPart<'a> {
    pub(crate) vote: VoteShape,
    /// Which sending of a snapshot it belongs to.
    pub(crate) transfer: u128,
    /// Counted from zero.
    pub(crate) number: u64,
    #[serde(borrow)]
    pub(crate) rows: Vec<(Raw<'a>, Raw<'a>)>,
    /// The note, with the last piece.
    #[serde(borrow)]
    pub(crate) note: Option<Raw<'a>>,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) enum ConsensusReply {
    Appended,
    /// Only up to this entry.
    AppendedUpTo(Option<LogIdShape>),
    Conflict,
    HigherVote(VoteShape),
    Vote {
        vote: VoteShape,
        granted: bool,
        last: Option<LogIdShape>,
    },
    /// The piece is taken.
    PieceTaken,
    /// The piece does not follow what was taken: begin again.
    PieceUnknown,
    /// The snapshot is installed, or the sender no longer leads.
    SnapshotTaken(VoteShape),
    /// The sender was removed from the cluster.
    Removed,
}

/// What nodes ask the leader in [`node_world::Class::Control`].
#[derive(PartialEq, Debug, Serialize, Deserialize)]
pub(crate) enum Control<'a> {
    /// Propose an encoded proposal, as the leader of this term.
    Propose {
        term: u64,
        /// The same in each copy that the network makes of the message, and in no other message.
        message: u128,
        #[serde(borrow)]
        proposal: Raw<'a>,
    },
    /// Up to where must be applied what a read shows that begins now?
    ReadIndex,
    /// A node that is of no cluster yet asks any that is of one to be taken in.
    Join {
        /// The same whenever this node asks.
        nonce: u128,
        token: &'a str,
        /// The number that it would have.
        wish: Option<u64>,
        address: &'a str,
        zone: &'a str,
        /// What it will prove itself with, where that is asked.
        #[serde(borrow)]
        public_key: Raw<'a>,
    },
    /// How far are you?
    Probe,
    /// Answered when the leader stops to lead; until then the connection tells that it is there.
    Watch,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) enum ControlReply {
    /// The encoded outcome.
    Outcome(Vec<u8>),
    ReadIndex(Option<u64>),
    /// This node does not lead; nothing happened.
    NotLeader,
    /// This node has too much to do; nothing happened.
    Busy,
    /// Whether it happened is not known.
    Uncertain,
    /// Its number, and the cluster's.
    Joined {
        node: u64,
        cluster: u128,
        /// Its certificate, and the authority's; empty where nobody asks for proof.
        certificate: Vec<u8>,
        authority: Vec<u8>,
    },
    NotJoined(JoinRefusal),
    /// The index of the last entry applied.
    Applied(Option<u64>),
    /// The sender was removed from the cluster.
    Removed,
    /// The leader stops: the sender should lead now.
    TakeOver,
}

/// A whole message.
pub(crate) fn pack<T: Serialize>(cluster: Option<u128>, message: &T) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_u8(VERSION);
    bytes.put_u128_le(cluster.unwrap_or(0));
    postcard::to_extend(message, bytes).expect("messages of this package can be encoded").freeze()
}

/// The cluster a message is of, and the message itself.
pub(crate) fn unpack<'a, T: Deserialize<'a>>(
    bytes: &'a [u8],
) -> Result<(Option<u128>, T), WireError> {
    let (head, body) = bytes.split_at_checked(HEAD).ok_or(WireError)?;
    if head[0] != VERSION {
        return Err(WireError);
    }
    let cluster = u128::from_le_bytes(head[1..].try_into().map_err(|_| WireError)?);
    let message = postcard::from_bytes(body).map_err(|_| WireError)?;
    Ok((Some(cluster).filter(|cluster| *cluster != 0), message))
}

/// A reply, which has no head: it answers a message of the same cluster.
pub(crate) fn unpack_reply<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, WireError> {
    postcard::from_bytes(bytes).map_err(|_| WireError)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert_eq, proptest};

    use super::{
        Consensus, ConsensusReply, Control, ControlReply, Raw, SnapshotPart, WireError, pack,
        unpack, unpack_reply,
    };
    use crate::types::{Vote, VoteShape};

    proptest! {
        #[test]
        fn messages_lead_back(
            cluster in 1..u128::MAX, term: u64, rows: Vec<(Vec<u8>, Vec<u8>)>,
        ) {
            let vote = VoteShape::from(Vote::new(term, 4));
            let rows: Vec<_> = rows.iter().map(|(key, value)| (Raw(key), Raw(value))).collect();
            let entries = rows.iter().map(|(key, _)| *key).collect();
            let part = SnapshotPart { vote, transfer: 7, number: 1, rows, note: Some(Raw(b"n")) };
            for message in [
                Consensus::Append { vote, previous: None, committed: None, entries },
                Consensus::Snapshot(part),
            ] {
                let bytes = pack(Some(cluster), &message);
                prop_assert_eq!(unpack(&bytes), Ok((Some(cluster), message)));
            }
        }

        #[test]
        fn any_bytes_are_answered(bytes: Vec<u8>) {
            let _ = unpack::<Consensus<'_>>(&bytes);
            let _ = unpack::<Control<'_>>(&[&[1; 17], bytes.as_slice()].concat());
            let _ = unpack::<Consensus<'_>>(&[&[1; 17], bytes.as_slice()].concat());
            let _ = unpack_reply::<ControlReply>(&bytes);
            let _ = unpack_reply::<ConsensusReply>(&bytes);
        }
    }

    #[test]
    fn another_version_is_refused() {
        let mut bytes = pack(None, &Control::ReadIndex).to_vec();
        assert_eq!(unpack(&bytes), Ok((None, Control::ReadIndex)));
        bytes[0] += 1;
        assert_eq!(unpack::<Control<'_>>(&bytes), Err(WireError));
    }
}
