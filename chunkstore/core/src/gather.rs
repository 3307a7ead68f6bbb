//! Shards of one chunk coming in from anywhere, until they give the chunk back.
//!
//! They are taken at their word first: the chunk's own hash tells at the end. Only when it does not
//! come out is each one looked at, and those that are not what their header says are put aside, so
//! that others can take their place. Shards of another shape are never mixed.

use std::collections::BTreeMap;

use bytes::Bytes;
use node_base::sha256;

use crate::pack::unpack;
use crate::shard::{ChunkKey, ShardHeader};
use crate::stripe::Assembly;

/// Shards of one chunk, each with where it came from.
#[derive(Debug)]
pub struct Gather<S> {
    key: ChunkKey,
    /// Alike but for index and checksum, together.
    sets: Vec<(ShardHeader, BTreeMap<u8, Piece<S>>)>,
}

#[derive(Debug)]
struct Piece<S> {
    header: ShardHeader,
    body: Bytes,
    from: S,
}

/// A chunk that was put together.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Whole {
    /// Of one of its shards.
    pub header: ShardHeader,
    /// What its shards are cut from.
    pub stored: Bytes,
    /// What its hash is of.
    pub plain: Bytes,
}

impl<S: Copy> Gather<S> {
    pub const fn new(key: ChunkKey) -> Self {
        Self { key, sets: Vec::new() }
    }

    /// Takes a shard in; whether it is one of this chunk and was not there.
    pub fn add(&mut self, from: S, header: ShardHeader, body: Bytes) -> bool {
        let is_shard = header.key == self.key
            && body.len() == header.shape.shard_len()
            && usize::from(header.index) < header.shape.shards();
        if !is_shard {
            return false;
        }
        let like = |first: &ShardHeader| {
            ShardHeader { index: first.index, checksum: first.checksum, ..header } == *first
        };
        let at = self.sets.iter().position(|(first, _)| like(first)).unwrap_or_else(|| {
            self.sets.push((header, BTreeMap::new()));
            self.sets.len() - 1
        });
        let set = &mut self.sets[at].1;
        let is_new = !set.contains_key(&header.index);
        set.entry(header.index).or_insert(Piece { header, body, from });
        is_new
    }

    /// The set that lacks least.
    fn best(&self) -> Option<&(ShardHeader, BTreeMap<u8, Piece<S>>)> {
        self.sets.iter().min_by_key(|(like, set)| like.shape.needed().saturating_sub(set.len()))
    }

    /// The indexes that are in.
    pub fn indexes(&self) -> Vec<u8> {
        self.best().map(|(_, set)| set.keys().copied().collect()).unwrap_or_default()
    }

    /// How many shards give the chunk back, once one of them tells.
    pub fn needed(&self) -> Option<usize> {
        Some(self.best()?.0.shape.needed())
    }

    /// How many more are needed; nothing while no shard tells.
    pub fn lacking(&self) -> Option<usize> {
        let (like, set) = self.best()?;
        Some(like.shape.needed().saturating_sub(set.len()))
    }

    /// Puts the chunk together.
    ///
    /// # Errors
    /// Which shards were found to be other than they should, and are put aside; none when there
    /// are only too few.
    pub fn finish(&mut self) -> Result<Whole, Vec<(S, u8)>> {
        let Some((like, set)) = self.best() else { return Err(Vec::new()) };
        if set.len() < like.shape.needed() {
            return Err(Vec::new());
        }
        let key = self.key;
        if let Some(whole) = put_together(&key, like, set) {
            return Ok(whole);
        }
        let mut bad = Vec::new();
        for (_, set) in &mut self.sets {
            set.retain(|index, piece| {
                let is_sound = piece.header.matches(&piece.body);
                if !is_sound {
                    bad.push((piece.from, *index));
                }
                is_sound
            });
        }
        if bad.is_empty() {
            // Sound by their own word, and yet not the chunk: none of these can be believed.
            let at = self.sets.iter().position(|(like, set)| set.len() >= like.shape.needed());
            let set = at.map(|at| self.sets.remove(at).1).unwrap_or_default();
            bad.extend(set.into_iter().map(|(index, piece)| (piece.from, index)));
        }
        self.sets.retain(|(_, set)| !set.is_empty());
        Err(bad)
    }
}

fn put_together<S>(
    key: &ChunkKey,
    like: &ShardHeader,
    set: &BTreeMap<u8, Piece<S>>,
) -> Option<Whole> {
    let mut assembly = Assembly::new(like.shape);
    for (index, piece) in set {
        let index = usize::from(*index);
        if let Some(slot) = assembly.slot(index).filter(|slot| slot.len() == piece.body.len()) {
            slot.copy_from_slice(&piece.body);
            assembly.keep(index);
        }
    }
    let stored = assembly.finish().ok()?;
    let plain = unpack(like.compression, like.plain_len, stored.clone()).ok()?;
    (sha256(&plain) == key.hash).then_some(Whole { header: *like, stored, plain })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use node_base::{Generation, Profile, TenantId, sha256};
    use proptest::collection::vec;
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};
    use proptest::sample::select;

    use super::Gather;
    use crate::pack::Compression;
    use crate::shard::{ChunkKey, ShardHeader, checksum};
    use crate::stripe::{Shape, encode};

    fn shards_of(plain: &Bytes, profile: Profile) -> Vec<(ShardHeader, Bytes)> {
        let shape = Shape::new(profile, plain.len());
        let key =
            ChunkKey { tenant: TenantId::from(3), hash: sha256(plain), generation: Generation(5) };
        let shards = encode(shape, plain).expect("a code").into_iter().enumerate();
        let header = |index: usize, body: &Bytes| ShardHeader {
            key,
            shape,
            compression: Compression::Plain,
            index: index as u8,
            plain_len: plain.len(),
            checksum: checksum(body),
        };
        shards.map(|(index, body)| (header(index, &body), body)).collect()
    }

    proptest! {
        #[test]
        fn sound_shards_give_the_chunk_back_however_many_bad_ones_come_between(
            pair in select(&[(1_u8, 1_u8), (2, 1), (3, 2), (4, 2)][..]),
            len in select(&[1_usize, 70_000, 100_001][..]),
            order in vec((any::<u8>(), 0..4_u8), 1..20),
        ) {
            let plain: Bytes = (0..len).map(|i| (i * 7 + i / 251) as u8).collect();
            let profile = Profile { data: pair.0, parity: pair.1 };
            let shards = shards_of(&plain, profile);
            let others = shards_of(&plain, Profile { data: 5, parity: 2 });
            let mut gather = Gather::new(shards[0].0.key);
            let mut sound = std::collections::BTreeSet::new();
            for (pick, kind) in order {
                let (header, body) = shards[usize::from(pick) % shards.len()].clone();
                let mut bad = body.to_vec();
                bad[0] ^= 1;
                match kind {
                    0 => _ = gather.add(kind, header, Bytes::from(bad)),
                    1 => {
                        let (header, body) = others[usize::from(pick) % others.len()].clone();
                        _ = gather.add(kind, header, body);
                    }
                    _ => {
                        if gather.add(kind, header, body) {
                            sound.insert(header.index);
                        }
                    }
                }
                let result = gather.finish();
                if let Err(bad) = &result {
                    prop_assert!(bad.iter().all(|(kind, _)| *kind == 0), "{:?}", bad);
                    if sound.len() >= shards[0].0.shape.needed() {
                        prop_assert!(!bad.is_empty());
                        prop_assert_eq!(gather.finish().expect("enough").plain, plain.clone());
                    }
                } else {
                    prop_assert_eq!(result.expect("it is").plain, plain.clone());
                }
            }
        }
    }

    #[test]
    fn what_is_not_of_the_chunk_is_not_taken() {
        let (one, two) = (Bytes::from_static(b"one"), Bytes::from_static(b"two!"));
        let profile = Profile { data: 2, parity: 1 };
        let (one, two) = (shards_of(&one, profile), shards_of(&two, profile));
        let mut gather = Gather::new(one[0].0.key);
        assert!(!gather.add((), two[0].0, two[0].1.clone()));
        assert!(!gather.add((), one[0].0, two[0].1.clone()));
        assert_eq!((gather.lacking(), gather.needed()), (None, None));
        assert!(gather.add((), one[1].0, one[1].1.clone()));
        assert!(!gather.add((), one[1].0, one[1].1.clone()), "it is there");
        assert_eq!((gather.lacking(), gather.indexes()), (Some(0), vec![1]));
    }

    #[test]
    fn shards_that_are_sound_but_not_the_chunks_are_put_aside() {
        let plain = Bytes::from_static(b"right");
        let mut shards = shards_of(&plain, Profile { data: 1, parity: 1 });
        let mut gather = Gather::new(shards[0].0.key);
        shards[0].1 = Bytes::from_static(b"wrong");
        shards[0].0.checksum = checksum(b"wrong");
        assert!(gather.add('a', shards[0].0, shards[0].1.clone()));
        assert_eq!(gather.finish(), Err(vec![('a', 0)]));
        assert!(gather.add('b', shards[1].0, shards[1].1.clone()));
        assert_eq!(gather.finish().expect("right").plain, plain);
    }
}
