//! From stored bytes to shards and back.
//!
//! Large chunks are striped: `data` pieces of equal length, the last padded with zeros, and
//! `parity` more. Small ones, and all of a profile with one data shard, are kept as whole copies:
//! reading one is one read, and a code over a few kilobytes saves nothing that its headers do not
//! cost.

use bytes::Bytes;
use node_base::Profile;
use node_base::limits::STRIPE_MIN;

use crate::buffer::{Buffer, Buffers};
use crate::codec::{CodecError, codec};

/// How the shards of a chunk make up its stored bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Form {
    /// Every shard is all of it.
    Copies,
    /// Any `data` shards give it back.
    Stripe,
}

/// The shape of a chunk's shards: all of them follow from these three.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shape {
    pub profile: Profile,
    pub form: Form,
    pub stored_len: usize,
}

impl Shape {
    /// The shape new chunks of this stored length take.
    pub const fn new(profile: Profile, stored_len: usize) -> Self {
        let striped = profile.data > 1 && stored_len >= STRIPE_MIN;
        let form = if striped { Form::Stripe } else { Form::Copies };
        Self { profile, form, stored_len }
    }

    /// How many shards there are.
    pub const fn shards(self) -> usize {
        match self.form {
            Form::Copies => 1 + self.profile.parity as usize,
            Form::Stripe => self.profile.shards(),
        }
    }

    /// How many of them give the chunk back.
    pub const fn needed(self) -> usize {
        match self.form {
            Form::Copies => 1,
            Form::Stripe => self.profile.data as usize,
        }
    }

    /// How long each of them is.
    pub const fn shard_len(self) -> usize {
        self.stored_len.div_ceil(self.needed())
    }
}

/// The shards of a chunk. Copies and data shards share the stored bytes' memory, except a last one
/// that needs padding.
///
/// # Errors
/// [`CodecError::Profile`] when there is no code for the profile.
pub fn encode(shape: Shape, stored: &Bytes) -> Result<Vec<Bytes>, CodecError> {
    if stored.len() != shape.stored_len {
        return Err(CodecError::Shape);
    }
    if shape.form == Form::Copies {
        return Ok(vec![stored.clone(); shape.shards()]);
    }
    let len = shape.shard_len();
    let mut shards: Vec<Bytes> = (0..shape.needed())
        .map(|index| {
            let from = (index * len).min(stored.len());
            let part = stored.slice(from..(from + len).min(stored.len()));
            if part.len() == len {
                return part;
            }
            let mut padded = part.to_vec();
            padded.resize(len, 0);
            Bytes::from(padded)
        })
        .collect();
    if shape.profile.parity > 0 {
        let mut parity = vec![vec![0; len]; usize::from(shape.profile.parity)];
        let data: Vec<&[u8]> = shards.iter().map(|shard| &shard[..]).collect();
        let mut out: Vec<&mut [u8]> = parity.iter_mut().map(Vec::as_mut_slice).collect();
        codec(shape.profile)?.encode(&data, &mut out)?;
        shards.extend(parity.into_iter().map(Bytes::from));
    }
    Ok(shards)
}

/// A chunk being put together: read what shards there are into [`Assembly::slot`], then
/// [`Assembly::finish`].
pub struct Assembly {
    shape: Shape,
    /// The data shards one behind the other, so that a whole set needs no copying.
    data: Buffer,
    parity: Vec<(usize, Vec<u8>)>,
    filled: Vec<bool>,
}

impl Assembly {
    /// Room for a chunk of this shape.
    pub fn new(shape: Shape) -> Self {
        Self::within(shape, Buffer::new)
    }

    /// The same, in memory that was used before.
    pub fn reusing(shape: Shape, buffers: &Buffers) -> Self {
        Self::within(shape, |len| buffers.take(len))
    }

    fn within(shape: Shape, room: impl FnOnce(usize) -> Buffer) -> Self {
        let data = room(shape.shard_len() * shape.needed());
        Self { shape, data, parity: Vec::new(), filled: vec![false; shape.shards()] }
    }

    /// Whether enough shards are in.
    pub fn is_enough(&self) -> bool {
        self.filled.iter().filter(|filled| **filled).count() >= self.shape.needed()
    }

    /// Where the shard of this index is to be read to; nothing when it is not needed any more, or
    /// not a shard of this shape. What was read counts once [`Assembly::keep`] says so.
    pub fn slot(&mut self, index: usize) -> Option<&mut [u8]> {
        if self.is_enough() || *self.filled.get(index)? {
            return None;
        }
        let len = self.shape.shard_len();
        match self.shape.form {
            Form::Copies => Some(self.data.as_mut()),
            Form::Stripe if index < self.shape.needed() => {
                self.data.as_mut().get_mut(index * len..(index + 1) * len)
            }
            Form::Stripe => {
                self.parity.retain(|(held, _)| *held != index);
                self.parity.push((index, vec![0; len]));
                self.parity.last_mut().map(|(_, shard)| shard.as_mut_slice())
            }
        }
    }

    /// Counts the shard that was read into its slot.
    pub fn keep(&mut self, index: usize) {
        if let Some(filled) = self.filled.get_mut(index) {
            *filled = true;
        }
    }

    /// The stored bytes.
    ///
    /// # Errors
    /// [`CodecError::TooFew`] when not enough shards came in.
    pub fn finish(mut self) -> Result<Bytes, CodecError> {
        if !self.is_enough() {
            return Err(CodecError::TooFew);
        }
        if self.shape.form == Form::Stripe {
            self.restore()?;
        }
        Ok(self.data.freeze(self.shape.stored_len))
    }

    fn restore(&mut self) -> Result<(), CodecError> {
        let (needed, len) = (self.shape.needed(), self.shape.shard_len());
        let wanted: Vec<usize> = (0..needed).filter(|index| !self.filled[*index]).collect();
        if wanted.is_empty() {
            return Ok(());
        }
        let mut shards: Vec<Option<&[u8]>> = vec![None; self.shape.shards()];
        let mut out = Vec::with_capacity(wanted.len());
        for (index, part) in self.data.as_mut().chunks_exact_mut(len).enumerate() {
            if self.filled[index] {
                shards[index] = Some(part);
            } else {
                out.push(part);
            }
        }
        for (index, shard) in self.parity.iter().filter(|(index, _)| self.filled[*index]) {
            shards[*index] = Some(shard);
        }
        codec(self.shape.profile)?.reconstruct(&shards, &wanted, &mut out)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use node_base::Profile;
    use proptest::prelude::{ProptestConfig, any, prop_assert, prop_assert_eq, proptest};
    use proptest::sample::select;

    use super::{Assembly, Form, Shape, encode};
    use crate::codec::CodecError;

    const PROFILES: [(u8, u8); 6] = [(1, 0), (1, 1), (2, 0), (2, 1), (3, 2), (10, 4)];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn any_shards_that_are_enough_give_the_chunk_back(
            pair in select(&PROFILES[..]),
            len in 1..300_000_usize,
            order in any::<u64>(),
        ) {
            let profile = Profile { data: pair.0, parity: pair.1 };
            let shape = Shape::new(profile, len);
            let stored: Bytes = (0..len).map(|i| (i * 7 + i / 251) as u8).collect();
            let shards = encode(shape, &stored).expect("a code");
            prop_assert_eq!(shards.len(), shape.shards());
            prop_assert!(shards.iter().all(|shard| shard.len() == shape.shard_len()));

            let mut assembly = Assembly::new(shape);
            let mut indexes: Vec<usize> = (0..shards.len()).collect();
            indexes.sort_by_key(|index| (*index as u64).wrapping_mul(order | 1).rotate_left(17));
            for index in indexes {
                prop_assert!(assembly.slot(99).is_none());
                // A read that failed half-way leaves no trace.
                if let Some(slot) = assembly.slot(index) {
                    slot.fill(0xEE);
                }
                if let Some(slot) = assembly.slot(index) {
                    slot.copy_from_slice(&shards[index]);
                    assembly.keep(index);
                }
            }
            prop_assert_eq!(assembly.finish(), Ok(stored));
        }
    }

    #[test]
    fn small_chunks_and_single_data_shards_are_copies_that_share_memory() {
        let shape = |pair: (u8, u8), len| Shape::new(Profile { data: pair.0, parity: pair.1 }, len);
        assert_eq!(shape((2, 1), 65_535).form, Form::Copies);
        assert_eq!(shape((2, 1), 65_536).form, Form::Stripe);
        assert_eq!(shape((1, 1), 1 << 20).form, Form::Copies);
        assert_eq!((shape((4, 2), 9).shards(), shape((4, 2), 9).needed()), (3, 1));

        let stored = Bytes::from(vec![5; 1 << 20]);
        let copies = encode(shape((1, 1), 1 << 20), &stored).expect("copies");
        assert!(copies.iter().all(|copy| copy.as_ptr() == stored.as_ptr()));
        let striped = encode(shape((2, 1), 1 << 20), &stored).expect("a code");
        assert_eq!(striped[1].as_ptr(), stored[1 << 19..].as_ptr());
    }

    #[test]
    fn too_few_shards_give_nothing() {
        let shape = Shape::new(Profile { data: 2, parity: 1 }, 100_000);
        let mut assembly = Assembly::new(shape);
        assert!(assembly.slot(2).is_some());
        assembly.keep(2);
        assert!(!assembly.is_enough());
        assert_eq!(assembly.finish(), Err(CodecError::TooFew));
    }
}
