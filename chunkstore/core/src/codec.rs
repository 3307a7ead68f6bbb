//! Erasure coding of equally long shards.
//!
//! Two implementations of one code, the systematic Reed–Solomon code over GF(2⁸)/0x11d whose matrix
//! is `V · V_top⁻¹` of a Vandermonde matrix: `rusty_erasure`, which picks the processor's vector
//! instructions at run time, and `reed-solomon-erasure`, the slow reference. Their shards are the
//! same to the byte (tested here), so which one a node uses is its own affair.

use node_base::Profile;
use reed_solomon_erasure::galois_8::ReedSolomon;
use rusty_erasure::{Coder, coder, compat};

/// Work goes in pieces that stay in a core's second-level cache.
const PIECE: usize = 64 << 10;

/// Why shards could not be coded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    #[error("no code has {0} shards")]
    Profile(Profile),
    #[error("shards of one stripe differ in number or length from what their profile says")]
    Shape,
    #[error("fewer shards are left than the profile needs")]
    TooFew,
}

/// A code of one profile.
pub trait ErasureCodec: Send + Sync {
    /// Fills `parity` from `data`.
    ///
    /// # Errors
    /// [`CodecError::Shape`] when numbers or lengths are not the profile's.
    fn encode(&self, data: &[&[u8]], parity: &mut [&mut [u8]]) -> Result<(), CodecError>;

    /// Fills `out` with the shards of the indexes `wanted`, from any that are there.
    ///
    /// # Errors
    /// [`CodecError::TooFew`] when fewer than the profile's `data` are there.
    fn reconstruct(
        &self,
        shards: &[Option<&[u8]>],
        wanted: &[usize],
        out: &mut [&mut [u8]],
    ) -> Result<(), CodecError>;
}

/// The fast codec where it can be had for this profile, the reference otherwise.
///
/// # Errors
/// [`CodecError::Profile`] for profiles without data or parity, or of more than 255 shards.
pub fn codec(profile: Profile) -> Result<Box<dyn ErasureCodec>, CodecError> {
    match Fast::new(profile) {
        Ok(fast) => Ok(Box::new(fast)),
        Err(_) => Ok(Box::new(Reference::new(profile)?)),
    }
}

/// `rusty_erasure` with the reference's matrix.
pub struct Fast(Coder);

impl Fast {
    /// The code of `profile`.
    ///
    /// # Errors
    /// [`CodecError::Profile`] when there is no such code.
    pub fn new(profile: Profile) -> Result<Self, CodecError> {
        let (data, parity) = (usize::from(profile.data), usize::from(profile.parity));
        compat::reed_solomon_erasure_matrix(data, parity)
            .and_then(coder)
            .map(Self)
            .map_err(|_| CodecError::Profile(profile))
    }
}

impl ErasureCodec for Fast {
    fn encode(&self, data: &[&[u8]], parity: &mut [&mut [u8]]) -> Result<(), CodecError> {
        let len = data.first().map_or(0, |shard| shard.len());
        let even = data.iter().all(|s| s.len() == len) && parity.iter().all(|s| s.len() == len);
        if !even || (data.len(), parity.len()) != (self.0.k(), self.0.p()) {
            return Err(CodecError::Shape);
        }
        for from in (0..len).step_by(PIECE) {
            let to = (from + PIECE).min(len);
            let data: Vec<&[u8]> = data.iter().map(|shard| &shard[from..to]).collect();
            let mut parity: Vec<&mut [u8]> =
                parity.iter_mut().map(|shard| &mut shard[from..to]).collect();
            self.0.encode(&data, &mut parity).map_err(|_| CodecError::Shape)?;
        }
        Ok(())
    }

    fn reconstruct(
        &self,
        shards: &[Option<&[u8]>],
        wanted: &[usize],
        out: &mut [&mut [u8]],
    ) -> Result<(), CodecError> {
        let len = check_shape(self.0.k() + self.0.p(), self.0.k(), shards, wanted, out)?;
        let there: Vec<bool> = shards.iter().map(Option::is_some).collect();
        let plan = self.0.decode_plan(&there, wanted).map_err(|_| CodecError::TooFew)?;
        for from in (0..len).step_by(PIECE) {
            let to = (from + PIECE).min(len);
            let shards: Vec<Option<&[u8]>> =
                shards.iter().map(|shard| shard.map(|shard| &shard[from..to])).collect();
            let mut out: Vec<&mut [u8]> =
                out.iter_mut().map(|shard| &mut shard[from..to]).collect();
            self.0.recover_with(&plan, &shards, &mut out).map_err(|_| CodecError::Shape)?;
        }
        Ok(())
    }
}

/// `reed-solomon-erasure`: portable, slow, the oracle of the tests.
pub struct Reference(ReedSolomon);

impl Reference {
    /// The code of `profile`.
    ///
    /// # Errors
    /// [`CodecError::Profile`] when there is no such code.
    pub fn new(profile: Profile) -> Result<Self, CodecError> {
        ReedSolomon::new(usize::from(profile.data), usize::from(profile.parity))
            .map(Self)
            .map_err(|_| CodecError::Profile(profile))
    }
}

impl ErasureCodec for Reference {
    fn encode(&self, data: &[&[u8]], parity: &mut [&mut [u8]]) -> Result<(), CodecError> {
        self.0.encode_sep(data, parity).map_err(|_| CodecError::Shape)
    }

    fn reconstruct(
        &self,
        shards: &[Option<&[u8]>],
        wanted: &[usize],
        out: &mut [&mut [u8]],
    ) -> Result<(), CodecError> {
        let (total, data) = (self.0.total_shard_count(), self.0.data_shard_count());
        check_shape(total, data, shards, wanted, out)?;
        let mut all: Vec<Option<Vec<u8>>> =
            shards.iter().map(|shard| shard.map(<[u8]>::to_vec)).collect();
        self.0.reconstruct(&mut all).map_err(|_| CodecError::TooFew)?;
        for (index, out) in wanted.iter().zip(out) {
            out.copy_from_slice(all[*index].as_deref().ok_or(CodecError::TooFew)?);
        }
        Ok(())
    }
}

fn check_shape(
    total: usize,
    data: usize,
    shards: &[Option<&[u8]>],
    wanted: &[usize],
    out: &[&mut [u8]],
) -> Result<usize, CodecError> {
    let mut there = shards.iter().flatten();
    if there.clone().count() < data {
        return Err(CodecError::TooFew);
    }
    let len = there.next().map_or(0, |shard| shard.len());
    let even = there.all(|shard| shard.len() == len) && out.iter().all(|s| s.len() == len);
    let named = wanted.len() == out.len() && wanted.iter().all(|index| *index < total);
    if even && named && shards.len() == total && len > 0 { Ok(len) } else { Err(CodecError::Shape) }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use node_base::Profile;
    use proptest::prelude::{ProptestConfig, any, prop_assert_eq, proptest};
    use proptest::sample::select;

    use super::{CodecError, ErasureCodec, Fast, Reference, codec};

    const PROFILES: [(u8, u8); 8] =
        [(1, 1), (2, 1), (2, 2), (3, 2), (4, 2), (6, 3), (10, 4), (17, 3)];

    fn profile((data, parity): (u8, u8)) -> Profile {
        Profile { data, parity }
    }

    fn data(profile: Profile, len: usize, seed: u8) -> Vec<Vec<u8>> {
        let byte = |shard: u8, i: usize| {
            (i as u8).wrapping_mul(31).wrapping_add(shard.wrapping_mul(77)) ^ seed ^ (i >> 8) as u8
        };
        (0..profile.data).map(|shard| (0..len).map(|i| byte(shard, i)).collect()).collect()
    }

    fn parity(codec: &dyn ErasureCodec, profile: Profile, data: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let mut parity = vec![vec![0; data[0].len()]; usize::from(profile.parity)];
        let data: Vec<&[u8]> = data.iter().map(Vec::as_slice).collect();
        let mut out: Vec<&mut [u8]> = parity.iter_mut().map(Vec::as_mut_slice).collect();
        codec.encode(&data, &mut out).expect("the shape is the profile's");
        parity
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(96))]

        #[test]
        fn both_code_alike_and_any_data_shards_give_all_back(
            pair in select(&PROFILES[..]),
            len in 1..150_000_usize,
            seed in any::<u8>(),
            losses in any::<u64>(),
        ) {
            let profile = profile(pair);
            let fast = Fast::new(profile).expect("a code");
            let reference = Reference::new(profile).expect("a code");
            let data = data(profile, len, seed);
            let parity_fast = parity(&fast, profile, &data);
            prop_assert_eq!(&parity_fast, &parity(&reference, profile, &data));

            let all: Vec<Vec<u8>> = data.into_iter().chain(parity_fast).collect();
            let mut order: Vec<usize> = (0..all.len()).collect();
            let draw = |index: &usize| {
                *blake3::hash(&[losses.to_le_bytes(), index.to_le_bytes()].concat()).as_bytes()
            };
            order.sort_by_key(draw);
            let mut lost = order;
            lost.truncate(usize::from(profile.parity));
            lost.sort_unstable();
            let shards = all.iter().enumerate();
            let left: Vec<Option<&[u8]>> =
                shards.map(|(i, shard)| (!lost.contains(&i)).then_some(&shard[..])).collect();
            for codec in [&fast as &dyn ErasureCodec, &reference] {
                let mut back = vec![vec![0; len]; lost.len()];
                let mut out: Vec<&mut [u8]> = back.iter_mut().map(Vec::as_mut_slice).collect();
                codec.reconstruct(&left, &lost, &mut out).expect("enough are left");
                for (index, shard) in lost.iter().zip(&back) {
                    prop_assert_eq!(shard, &all[*index]);
                }
            }
        }
    }

    #[test]
    fn golden_parity() {
        let mut lines = String::new();
        for profile in PROFILES.map(profile) {
            let codec = codec(profile).expect("a code");
            let bytes = parity(&*codec, profile, &data(profile, 70_000, 9)).concat();
            lines += &format!("{profile} {}\n", &blake3::hash(&bytes).to_hex()[..16]);
        }
        expect![[r#"
            1+1 6c14151108bd4ac6
            2+1 597f223cc125662e
            2+2 0ac8571cc45f4631
            3+2 4b4ef28d40d8984a
            4+2 7554bd39b65f9096
            6+3 a5ac52f92663a896
            10+4 a1b04af0d88e8997
            17+3 d6dde2c56a4dc029
        "#]]
        .assert_eq(&lines);
    }

    #[test]
    fn what_cannot_be_coded_is_refused() {
        for pair in [(0, 1), (1, 0), (0, 0), (200, 100)] {
            assert_eq!(codec(profile(pair)).err(), Some(CodecError::Profile(profile(pair))));
        }
        let (fast, reference) = (
            Fast::new(profile((2, 1))).expect("a code"),
            Reference::new(profile((2, 1))).expect("a code"),
        );
        for codec in [&fast as &dyn ErasureCodec, &reference] {
            let (a, mut b, mut c) = ([1; 4], [0; 4], [0; 3]);
            assert_eq!(codec.encode(&[&a], &mut [&mut b]), Err(CodecError::Shape));
            assert_eq!(codec.encode(&[&a, &a], &mut [&mut c]), Err(CodecError::Shape));
            let one_left = [None, None, Some(&a[..])];
            assert_eq!(codec.reconstruct(&one_left, &[0], &mut [&mut b]), Err(CodecError::TooFew));
            let uneven = [None, Some(&a[..]), Some(&a[1..])];
            assert_eq!(codec.reconstruct(&uneven, &[0], &mut [&mut b]), Err(CodecError::Shape));
            let two = [None, Some(&a[..]), Some(&a[..])];
            assert_eq!(codec.reconstruct(&two, &[3], &mut [&mut b]), Err(CodecError::Shape));
        }
    }
}
