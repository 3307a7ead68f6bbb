//! Several proposals in one entry.
//!
//! openraft 0.9 waits for the sync of each entry before it takes the next one. So what waits is put
//! into one entry, and shares its sync.

use bytes::{Buf, BufMut, Bytes};

/// A batch takes no more proposals once it has this many bytes.
pub(crate) const FULL_BYTES: usize = 1 << 20;
/// Or this many proposals.
pub(crate) const FULL_COUNT: usize = 1024;

/// Bytes that are no batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the bytes are not a batch of proposals")]
pub(crate) struct BatchError;

/// Joins encoded proposals: a length (u32) and the bytes of each.
pub(crate) fn join<'a>(proposals: impl IntoIterator<Item = &'a Bytes>) -> Bytes {
    let mut batch = Vec::new();
    for proposal in proposals {
        batch.put_u32_le(u32::try_from(proposal.len()).expect("commands are far below 4 GiB"));
        batch.extend_from_slice(proposal);
    }
    Bytes::from(batch)
}

/// The proposals of a batch.
pub(crate) fn split(mut batch: Bytes) -> Result<Vec<Bytes>, BatchError> {
    let mut proposals = Vec::new();
    while !batch.is_empty() {
        let length = batch.try_get_u32_le().map_err(|_| BatchError)? as usize;
        if length > batch.len() {
            return Err(BatchError);
        }
        proposals.push(batch.split_to(length));
    }
    Ok(proposals)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::{prop_assert_eq, proptest};

    use super::{BatchError, join, split};

    proptest! {
        #[test]
        fn a_batch_leads_back(proposals: Vec<Vec<u8>>) {
            let proposals: Vec<Bytes> = proposals.into_iter().map(Bytes::from).collect();
            prop_assert_eq!(split(join(&proposals)), Ok(proposals));
        }

        #[test]
        fn any_bytes_are_answered(bytes: Vec<u8>) {
            let _ = split(Bytes::from(bytes));
        }
    }

    #[test]
    fn a_batch_that_is_cut_is_refused() {
        let batch = join(&[Bytes::from_static(b"ab"), Bytes::from_static(b"cd")]);
        assert_eq!(split(batch.slice(..batch.len() - 1)), Err(BatchError));
        assert_eq!(split(batch.slice(..8)), Err(BatchError));
    }
}
