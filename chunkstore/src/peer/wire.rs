//! What nodes say to one another about shards, as bytes.
//!
//! ```text
//!  0   1  version, 1
//!  1  16  cluster
//! 17   4  length of the head
//! 21      head, in postcard
//!         shards, each its header of 112 bytes and then its bytes
//! ```
//!
//! Numbers are little-endian. Requests and replies have one frame. A shard's own header says how
//! long it is; what is left over, or missing, makes all of it no message.

use bytes::{BufMut, Bytes, BytesMut};
use chunkstore_core::shard::{ChunkKey, HEADER_LEN, HeaderError, ShardHeader};
use node_base::{DriveId, Generation, Sha256, TenantId, Timestamp};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::store::told::Told;

const VERSION: u8 = 1;
const FRAME_LEN: usize = 21;
const HEAD_MAX: usize = 1 << 20;
/// Chunks asked about, and shards sent, in one message.
pub(crate) const KEYS_MAX: usize = 1_024;
pub(crate) const SHARDS_MAX: usize = 4_096;
/// Shards of one chunk.
const OF_CHUNK_MAX: usize = 255;

/// Why bytes are no message that this node takes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WireError {
    #[error("the message is cut off")]
    Short,
    #[error("the message has version {0}, and only version 1 is known here")]
    Version(u8),
    #[error("the message is of another cluster")]
    OtherCluster,
    #[error("the message's head cannot be read")]
    Head,
    #[error("the message asks for more than one may")]
    TooMuch,
    #[error(transparent)]
    Shard(#[from] HeaderError),
}

/// A [`ChunkKey`] on its way.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub(crate) struct Key {
    tenant: TenantId,
    hash: Sha256,
    generation: u64,
}

impl From<ChunkKey> for Key {
    fn from(key: ChunkKey) -> Self {
        Self { tenant: key.tenant, hash: key.hash, generation: key.generation.0 }
    }
}

impl From<Key> for ChunkKey {
    fn from(key: Key) -> Self {
        Self { tenant: key.tenant, hash: key.hash, generation: Generation(key.generation) }
    }
}

/// What a node asks of another.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum Request {
    /// Make these shards durable, each on the drive named. Those `away` belong elsewhere.
    Put { drives: Vec<DriveId>, away: bool },
    /// Hand out up to `count` shards of a chunk, other than those in `skip`.
    Get { key: Key, skip: Vec<u8>, count: u8, check: bool },
    /// Say which shards of these chunks are there.
    Find { keys: Vec<Key> },
    /// Read a shard and make sure that it is whole, durable, and not about to go: the asker is
    /// about to drop another of the same index.
    Keep { key: Key, index: u8, drive: DriveId },
    /// End chunks for good.
    Purge { keys: Vec<Key> },
    /// Say how your drives stand.
    Tell,
    /// Put these chunks into the trash, as of then.
    Trash { keys: Vec<Key>, at: Timestamp },
}

/// What became of a shard that was sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum Kept {
    Durable,
    Full,
    Failed,
    /// It is not what its header says.
    Torn,
    /// The drive is none of the node's.
    NoSuchDrive,
}

/// A shard that is on a drive.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Found {
    pub(crate) index: u8,
    pub(crate) drive: DriveId,
    pub(crate) is_sound: bool,
    pub(crate) is_trashed: bool,
}

/// What the other says.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum Reply {
    /// For each shard sent.
    Put(Vec<Kept>),
    /// The shards are behind.
    Get,
    /// For each chunk asked about.
    Find(Vec<Vec<Found>>),
    Keep(bool),
    Purge(bool),
    Told(Told),
    Trash(bool),
}

/// A shard on its way.
pub(crate) type Shard = (ShardHeader, Bytes);

/// A message, as bytes.
pub(crate) fn encode(cluster: u128, head: &impl Serialize, shards: &[Shard]) -> Bytes {
    let head = postcard::to_stdvec(head).expect("messages can be written");
    let bodies: usize = shards.iter().map(|(_, body)| HEADER_LEN + body.len()).sum();
    let mut bytes = BytesMut::with_capacity(FRAME_LEN + head.len() + bodies);
    bytes.put_u8(VERSION);
    bytes.put_u128_le(cluster);
    // Far below four gigabytes: every list in it is bounded.
    bytes.put_u32_le(head.len() as u32);
    bytes.put_slice(&head);
    for (header, body) in shards {
        bytes.put_slice(&header.encode());
        bytes.put_slice(body);
    }
    bytes.freeze()
}

fn decode<T: DeserializeOwned>(
    cluster: u128,
    mut message: Bytes,
) -> Result<(T, Vec<Shard>), WireError> {
    let frame: [u8; FRAME_LEN] = match message.first_chunk() {
        Some(frame) => *frame,
        None => return Err(message.first().map_or(WireError::Short, |v| version(*v))),
    };
    if frame[0] != VERSION {
        return Err(version(frame[0]));
    }
    if frame[1..17] != cluster.to_le_bytes() {
        return Err(WireError::OtherCluster);
    }
    let head_len = u32::from_le_bytes([frame[17], frame[18], frame[19], frame[20]]) as usize;
    let mut rest = message.split_off(FRAME_LEN);
    if head_len > HEAD_MAX || head_len > rest.len() {
        return Err(WireError::Short);
    }
    let head = rest.split_to(head_len);
    let (head, left) = postcard::take_from_bytes(&head).map_err(|_| WireError::Head)?;
    if !left.is_empty() {
        return Err(WireError::Head);
    }
    let mut shards = Vec::new();
    while !rest.is_empty() {
        if rest.len() < HEADER_LEN || shards.len() == SHARDS_MAX {
            return Err(WireError::Short);
        }
        let header = ShardHeader::decode(&rest.split_to(HEADER_LEN))?;
        let len = header.shape.shard_len();
        if rest.len() < len {
            return Err(WireError::Short);
        }
        shards.push((header, rest.split_to(len)));
    }
    Ok((head, shards))
}

const fn version(version: u8) -> WireError {
    if version == VERSION { WireError::Short } else { WireError::Version(version) }
}

/// Reads a request.
pub(crate) fn request(cluster: u128, message: Bytes) -> Result<(Request, Vec<Shard>), WireError> {
    let (request, shards) = decode(cluster, message)?;
    let (lists, expected) = match &request {
        Request::Put { drives, .. } => (drives.len() <= SHARDS_MAX, drives.len()),
        Request::Get { skip, .. } => (skip.len() <= OF_CHUNK_MAX, 0),
        Request::Find { keys } | Request::Purge { keys } | Request::Trash { keys, .. } => {
            (keys.len() <= KEYS_MAX, 0)
        }
        Request::Keep { .. } | Request::Tell => (true, 0),
    };
    match lists && shards.len() == expected {
        true => Ok((request, shards)),
        false => Err(WireError::TooMuch),
    }
}

/// Reads the reply to a request.
pub(crate) fn reply(
    cluster: u128,
    to: &Request,
    message: Bytes,
) -> Result<(Reply, Vec<Shard>), WireError> {
    let (reply, shards) = decode(cluster, message)?;
    let fits = match (to, &reply) {
        (Request::Put { drives, .. }, Reply::Put(kept)) => kept.len() == drives.len(),
        (Request::Find { keys }, Reply::Find(found)) => {
            found.len() == keys.len() && found.iter().all(|found| found.len() <= SHARDS_MAX)
        }
        (Request::Get { count, .. }, Reply::Get) => shards.len() <= usize::from(*count),
        (Request::Keep { .. }, Reply::Keep(_))
        | (Request::Purge { .. }, Reply::Purge(_))
        | (Request::Tell, Reply::Told(_))
        | (Request::Trash { .. }, Reply::Trash(_)) => true,
        _ => false,
    };
    let is_bare = matches!(reply, Reply::Get) || shards.is_empty();
    if fits && is_bare { Ok((reply, shards)) } else { Err(WireError::TooMuch) }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use chunkstore_core::pack::Compression;
    use chunkstore_core::shard::{ChunkKey, ShardHeader, checksum};
    use chunkstore_core::stripe::Shape;
    use node_base::{DriveId, Generation, Profile, TenantId, Timestamp, sha256};
    use proptest::collection::vec;
    use proptest::prelude::{any, prop_assert_eq, proptest};

    use super::{
        Found, KEYS_MAX, Kept, Reply, Request, Shard, Told, WireError, encode, reply, request,
    };

    const CLUSTER: u128 = 7;

    fn key() -> ChunkKey {
        ChunkKey { tenant: TenantId::from(3), hash: sha256(b"plain"), generation: Generation(5) }
    }

    fn shard(index: u8) -> Shard {
        let body = Bytes::from(vec![index; 300]);
        let header = ShardHeader {
            key: key(),
            shape: Shape::new(Profile { data: 2, parity: 1 }, 300),
            compression: Compression::Plain,
            index,
            plain_len: 300,
            checksum: checksum(&body),
        };
        (header, body)
    }

    fn requests() -> Vec<(Request, Vec<Shard>)> {
        let (key, drive) = (key().into(), DriveId(9));
        vec![
            (
                Request::Put { drives: vec![drive, DriveId(8)], away: true },
                vec![shard(0), shard(1)],
            ),
            (Request::Get { key, skip: vec![1, 2], count: 2, check: false }, vec![]),
            (Request::Find { keys: vec![key] }, vec![]),
            (Request::Keep { key, index: 3, drive }, vec![]),
            (Request::Purge { keys: vec![key; 2] }, vec![]),
            (Request::Tell, vec![]),
            (Request::Trash { keys: vec![key], at: Timestamp::from_millis(5) }, vec![]),
        ]
    }

    fn replies() -> Vec<(Reply, Vec<Shard>)> {
        let found = Found { index: 1, drive: DriveId(9), is_sound: true, is_trashed: false };
        vec![
            (Reply::Put(vec![Kept::Durable, Kept::Full]), vec![]),
            (Reply::Get, vec![shard(0)]),
            (Reply::Find(vec![vec![found]]), vec![]),
            (Reply::Keep(true), vec![]),
            (Reply::Purge(false), vec![]),
            (Reply::Told(Told { drives: 2, settled_epoch: Some(4), ..Told::default() }), vec![]),
            (Reply::Trash(true), vec![]),
        ]
    }

    #[test]
    fn messages_lead_back_and_nothing_shorter_or_longer_does() {
        for ((asked, shards), (said, back)) in requests().into_iter().zip(replies()) {
            let bytes = encode(CLUSTER, &asked, &shards);
            assert_eq!(request(CLUSTER, bytes.clone()), Ok((asked.clone(), shards)));
            for end in 0..bytes.len() {
                assert!(request(CLUSTER, bytes.slice(..end)).is_err(), "{asked:?} {end}");
            }
            let longer = Bytes::from([&bytes[..], &[0]].concat());
            assert!(request(CLUSTER, longer).is_err());
            let bytes = encode(CLUSTER, &said, &back);
            assert_eq!(reply(CLUSTER, &asked, bytes), Ok((said, back)));
        }
    }

    #[test]
    fn a_reply_to_another_question_is_none() {
        for (at, (asked, _)) in requests().into_iter().enumerate() {
            for (other, (said, back)) in replies().into_iter().enumerate() {
                let told = reply(CLUSTER, &asked, encode(CLUSTER, &said, &back));
                assert_eq!(told.is_ok(), at == other, "{asked:?} {said:?}");
            }
        }
    }

    #[test]
    fn strangers_later_versions_and_the_greedy_are_refused() {
        let (asked, shards) = requests().swap_remove(0);
        let told = |bytes: Bytes| request(CLUSTER, bytes).expect_err("refused").to_string();
        let mut later = encode(CLUSTER, &asked, &shards).to_vec();
        later[0] = 2;
        let mut torn = encode(CLUSTER, &asked, &shards).to_vec();
        let at = torn.len() - 2 * (112 + 300);
        torn[at] ^= 1;
        let key = key().into();
        let many = Request::Find { keys: vec![key; KEYS_MAX + 1] };
        assert_eq!(
            [
                told(encode(8, &asked, &shards)),
                told(Bytes::from(later)),
                told(Bytes::from_static(&[2])),
                told(Bytes::new()),
                told(Bytes::from(torn)),
                told(encode(CLUSTER, &many, &[])),
                told(encode(CLUSTER, &asked, &shards[..1])),
            ],
            [
                "the message is of another cluster",
                "the message has version 2, and only version 1 is known here",
                "the message has version 2, and only version 1 is known here",
                "the message is cut off",
                "a shard header is 112 bytes and starts with SDsh",
                "the message asks for more than one may",
                "the message asks for more than one may",
            ]
        );
        assert_eq!(WireError::Head.to_string(), "the message's head cannot be read");
    }

    /// Nodes of two versions speak to one another: what was sent once is read for good.
    #[test]
    fn golden_messages() {
        let mut all = Vec::new();
        for (asked, shards) in requests() {
            all.extend_from_slice(&encode(CLUSTER, &asked, &shards));
        }
        for (said, shards) in replies() {
            all.extend_from_slice(&encode(CLUSTER, &said, &shards));
        }
        assert_eq!(blake3::hash(&all).to_hex()[..32], *"551a7be8412d01f3c1193de178007826");
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered(
            noise in vec(any::<u8>(), 0..300), which in 0..6_usize, at: usize, value: u8,
        ) {
            let _ = request(CLUSTER, Bytes::from(noise.clone()));
            let mut framed = encode(CLUSTER, &(), &[]).to_vec();
            framed[17] = noise.len() as u8;
            framed.extend_from_slice(&noise);
            let _ = request(CLUSTER, Bytes::from(framed));
            let (asked, shards) = requests().swap_remove(which);
            let mut bytes = encode(CLUSTER, &asked, &shards).to_vec();
            let at = at % bytes.len();
            bytes[at] = value;
            if let Ok(read) = request(CLUSTER, Bytes::from(bytes)) {
                let again = encode(CLUSTER, &read.0, &read.1);
                prop_assert_eq!(request(CLUSTER, again), Ok(read));
            }
        }
    }
}
