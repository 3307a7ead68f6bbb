//! What openraft is told about us, and the shapes of its nouns in our files and messages.
//!
//! Nothing of openraft's is stored or sent in its own serialised form: each noun has a shape here,
//! so that another version of openraft reads what this one wrote.

use std::collections::{BTreeMap, BTreeSet};

use bytes::{Buf, BufMut, Bytes};
use node_base::limits::COMMAND_MAX;
use openraft::{CommittedLeaderId, EntryPayload, Membership, RaftTypeConfig, StoredMembership};
use serde::{Deserialize, Serialize};

use crate::runtime::Runtime;
use crate::snapshot::SnapshotData;

/// The types openraft works with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Types;

impl RaftTypeConfig for Types {
    /// A batch of encoded proposals, see [`crate::batch`].
    type D = Bytes;
    /// The encoded outcome of each proposal of the batch.
    type R = Vec<Bytes>;
    type NodeId = u64;
    /// Where the node listens.
    type Node = String;
    type Entry = openraft::Entry<Self>;
    type SnapshotData = SnapshotData;
    type AsyncRuntime = Runtime;
    type Responder = openraft::impls::OneshotResponder<Self>;
}

pub(crate) type Entry = openraft::Entry<Types>;
pub(crate) type LogId = openraft::LogId<u64>;
pub(crate) type Vote = openraft::Vote<u64>;
pub(crate) type Members = Membership<u64, String>;
pub(crate) type StoredMembers = StoredMembership<u64, String>;
pub(crate) type StorageError = openraft::StorageError<u64>;
pub(crate) type SnapshotMeta = openraft::SnapshotMeta<u64, String>;

/// The largest entry, encoded: one largest command and the batch around it.
pub(crate) const ENTRY_MAX: usize = COMMAND_MAX + (64 << 10);

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct LogIdShape {
    term: u64,
    node: u64,
    index: u64,
}

impl From<LogId> for LogIdShape {
    fn from(id: LogId) -> Self {
        Self { term: id.leader_id.term, node: id.leader_id.node_id, index: id.index }
    }
}

impl From<LogIdShape> for LogId {
    fn from(shape: LogIdShape) -> Self {
        Self::new(CommittedLeaderId::new(shape.term, shape.node), shape.index)
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct VoteShape {
    term: u64,
    node: u64,
    committed: bool,
}

impl From<Vote> for VoteShape {
    fn from(vote: Vote) -> Self {
        let leader = vote.leader_id;
        Self { term: leader.term, node: leader.node_id, committed: vote.committed }
    }
}

impl From<VoteShape> for Vote {
    fn from(shape: VoteShape) -> Self {
        if shape.committed {
            Self::new_committed(shape.term, shape.node)
        } else {
            Self::new(shape.term, shape.node)
        }
    }
}

/// Who votes, by one set or two in passing, and where every member listens.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct MembersShape {
    voters: Vec<BTreeSet<u64>>,
    addresses: BTreeMap<u64, String>,
}

impl From<&Members> for MembersShape {
    fn from(members: &Members) -> Self {
        Self {
            voters: members.get_joint_config().clone(),
            addresses: members.nodes().map(|(node, at)| (*node, at.clone())).collect(),
        }
    }
}

impl From<MembersShape> for Members {
    fn from(shape: MembersShape) -> Self {
        Self::new(shape.voters, shape.addresses)
    }
}

#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct StoredMembersShape {
    at: Option<LogIdShape>,
    members: MembersShape,
}

impl From<&StoredMembers> for StoredMembersShape {
    fn from(stored: &StoredMembers) -> Self {
        Self { at: stored.log_id().map(Into::into), members: stored.membership().into() }
    }
}

impl From<StoredMembersShape> for StoredMembers {
    fn from(shape: StoredMembersShape) -> Self {
        Self::new(shape.at.map(Into::into), shape.members.into())
    }
}

/// Bytes that are no entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the bytes are not an entry of the log")]
pub(crate) struct EntryError;

const BLANK: u8 = 0;
const BATCH: u8 = 1;
const MEMBERS: u8 = 2;
/// How many bytes of an encoded entry tell its log id.
pub(crate) const ENTRY_HEAD: usize = 24;

/// Writes an entry: in the log's frames and in messages alike.
///
/// ```text
///  0  term   u64 ┐
///  8  leader u64 ├ first, so that a scan of the log need not decode what follows
/// 16  index  u64 ┘
/// 24  kind   u8    0 blank · 1 batch of proposals · 2 members
/// 25  body         nothing · the batch · members in postcard
/// ```
pub(crate) fn encode_entry(entry: &Entry, out: &mut Vec<u8>) {
    out.put_u64_le(entry.log_id.leader_id.term);
    out.put_u64_le(entry.log_id.leader_id.node_id);
    out.put_u64_le(entry.log_id.index);
    match &entry.payload {
        EntryPayload::Blank => out.put_u8(BLANK),
        EntryPayload::Normal(batch) => {
            out.put_u8(BATCH);
            out.extend_from_slice(batch);
        }
        EntryPayload::Membership(members) => {
            out.put_u8(MEMBERS);
            out.extend(encode(&MembersShape::from(members)));
        }
    }
}

/// The log id that an encoded entry starts with.
pub(crate) fn decode_entry_id(mut bytes: &[u8]) -> Result<LogId, EntryError> {
    if bytes.len() < ENTRY_HEAD {
        return Err(EntryError);
    }
    let leader = CommittedLeaderId::new(bytes.get_u64_le(), bytes.get_u64_le());
    Ok(LogId::new(leader, bytes.get_u64_le()))
}

/// Reads what [`encode_entry`] wrote.
pub(crate) fn decode_entry(mut bytes: Bytes) -> Result<Entry, EntryError> {
    let log_id = decode_entry_id(&bytes)?;
    bytes.advance(ENTRY_HEAD);
    if bytes.is_empty() {
        return Err(EntryError);
    }
    let payload = match (bytes.get_u8(), bytes.len()) {
        (BLANK, 0) => EntryPayload::Blank,
        (BATCH, _) => EntryPayload::Normal(bytes),
        (MEMBERS, _) => {
            let shape: MembersShape = postcard::from_bytes(&bytes).map_err(|_| EntryError)?;
            EntryPayload::Membership(shape.into())
        }
        _ => return Err(EntryError),
    };
    Ok(Entry { log_id, payload })
}

/// Roughly what an entry takes in memory.
pub(crate) fn weight(entry: &Entry) -> usize {
    const FIXED: usize = 96;
    match &entry.payload {
        EntryPayload::Blank => FIXED,
        EntryPayload::Normal(batch) => FIXED + batch.len(),
        EntryPayload::Membership(members) => {
            FIXED + members.nodes().map(|(_, at)| 32 + at.len()).sum::<usize>()
        }
    }
}

/// A shape in postcard. Our shapes have no maps of unknown length and no untagged parts, which is
/// all that postcard refuses.
pub(crate) fn encode<T: Serialize>(shape: &T) -> Vec<u8> {
    postcard::to_stdvec(shape).expect("shapes of this package can be encoded")
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use bytes::Bytes;
    use openraft::{CommittedLeaderId, EntryPayload};
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    use super::{Entry, EntryError, LogId, Members, decode_entry, encode_entry};

    fn entry(index: u64, payload: EntryPayload<super::Types>) -> Entry {
        Entry { log_id: LogId::new(CommittedLeaderId::new(3, 9), index), payload }
    }

    proptest! {
        #[test]
        fn an_entry_leads_back(index: u64, body: Vec<u8>, nodes: BTreeMap<u64, String>) {
            let voters: BTreeSet<u64> = nodes.keys().copied().collect();
            for payload in [
                EntryPayload::Blank,
                EntryPayload::Normal(Bytes::from(body)),
                EntryPayload::Membership(Members::new(vec![voters], nodes)),
            ] {
                let entry = entry(index, payload);
                let mut bytes = Vec::new();
                encode_entry(&entry, &mut bytes);
                let back = decode_entry(Bytes::from(bytes));
                prop_assert!(back.is_ok());
                prop_assert_eq!(back.expect("just checked"), entry);
            }
        }

        #[test]
        fn any_bytes_are_answered(bytes in any::<Vec<u8>>()) {
            let _ = decode_entry(Bytes::from(bytes));
        }
    }

    #[test]
    fn an_unknown_kind_is_refused() {
        let mut bytes = Vec::new();
        encode_entry(&entry(1, EntryPayload::Blank), &mut bytes);
        *bytes.last_mut().expect("the kind") = 3;
        assert_eq!(decode_entry(Bytes::from(bytes)), Err(EntryError));
    }
}
