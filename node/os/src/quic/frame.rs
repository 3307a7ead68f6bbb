//! What is said on one stream: a head and a body, and the same back.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use node_base::limits::MESSAGE_MAX;
use node_base::{Duration, NodeId, Timestamp};
use node_world::{Class, NetError, Refusal};
use quinn::{ReadError, ReadExactError, RecvStream, SendStream, WriteError};

const VERSION: u8 = 1;
const REQUEST_LEN: usize = 26;
const REPLY_LEN: usize = 13;
/// A refusal's text, in bytes.
const TEXT_MAX: usize = 1_024;
/// Pieces of a body that are taken at once.
const PIECES: usize = 32;

/// Before a request.
///
/// ```text
///  0  1  version, 1
///  1  1  class
///  2  8  the node it is meant for
/// 10  8  what the sender's clock shows, in milliseconds
/// 18  4  milliseconds that the sender waits
/// 22  4  length of the body
/// 26     body
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Request {
    pub(super) class: Class,
    pub(super) to: NodeId,
    pub(super) at: Timestamp,
    pub(super) limit: Duration,
    pub(super) len: usize,
}

/// Why a stream gives no message.
#[derive(Debug, thiserror::Error)]
pub(super) enum FrameError {
    #[error("the stream ends early")]
    Short(#[from] ReadExactError),
    #[error("reading the stream")]
    Read(#[from] ReadError),
    #[error("writing the stream")]
    Write(#[from] WriteError),
    #[error("the message is of a version or a kind that is not known here")]
    Unknown,
    #[error("the message is too long")]
    TooLong,
}

fn millis(span: Duration) -> u32 {
    u32::try_from(span.as_millis()).unwrap_or(u32::MAX)
}

impl Request {
    pub(super) fn encode(&self) -> Bytes {
        let mut bytes = BytesMut::with_capacity(REQUEST_LEN);
        bytes.put_u8(VERSION);
        bytes.put_u8(Class::ALL.iter().position(|class| *class == self.class).unwrap_or(0) as u8);
        bytes.put_u64_le(self.to.0);
        bytes.put_i64_le(self.at.millis());
        bytes.put_u32_le(millis(self.limit));
        bytes.put_u32_le(self.len as u32);
        bytes.freeze()
    }

    fn decode(mut bytes: &[u8]) -> Result<Self, FrameError> {
        let (version, class) = (bytes.get_u8(), bytes.get_u8());
        let class = Class::ALL.get(usize::from(class)).filter(|_| version == VERSION);
        let request = Self {
            class: *class.ok_or(FrameError::Unknown)?,
            to: NodeId(bytes.get_u64_le()),
            at: Timestamp::from_millis(bytes.get_i64_le()),
            limit: Duration::from_millis(u64::from(bytes.get_u32_le())),
            len: bytes.get_u32_le() as usize,
        };
        if request.len > MESSAGE_MAX { Err(FrameError::TooLong) } else { Ok(request) }
    }

    pub(super) async fn read(stream: &mut RecvStream) -> Result<Self, FrameError> {
        let mut head = [0; REQUEST_LEN];
        stream.read_exact(&mut head).await?;
        Self::decode(&head)
    }
}

/// So many bytes of a stream, copied once at most.
pub(super) async fn body(stream: &mut RecvStream, len: usize) -> Result<Bytes, FrameError> {
    let (mut pieces, mut have) = (Vec::new(), 0);
    let mut some = [const { Bytes::new() }; PIECES];
    while have < len {
        let count = stream.read_chunks(&mut some).await?;
        let count = count.ok_or(FrameError::Short(ReadExactError::FinishedEarly(have)))?;
        have += some[..count].iter().map(Bytes::len).sum::<usize>();
        if have > len {
            return Err(FrameError::TooLong);
        }
        pieces.extend(some[..count].iter_mut().map(std::mem::take));
    }
    if pieces.len() == 1 {
        return Ok(pieces.swap_remove(0));
    }
    let mut whole = BytesMut::with_capacity(len);
    pieces.iter().for_each(|piece| whole.extend_from_slice(piece));
    Ok(whole.freeze())
}

/// Before a reply.
///
/// ```text
///  0  1  0 a reply, 1 a refusal and its text, 2 a reply that is too large, 3 the sender was
///        removed, 4 the time ran out
///  1  8  the size of a reply that is too large
///  9  4  length of the body
/// 13     body
/// ```
pub(super) async fn write_reply(
    stream: &mut SendStream,
    reply: Result<Bytes, NetError>,
) -> Result<(), FrameError> {
    let (kind, size, body) = match reply {
        Ok(body) => (0, 0, body),
        Err(NetError::Refused(refusal)) => (1, 0, text(refusal.0)),
        Err(NetError::Unreachable(why) | NetError::Broken(why)) => (1, 0, text(why)),
        Err(NetError::TooLarge { size, .. }) => (2, size, Bytes::new()),
        Err(NetError::Removed) => (3, 0, Bytes::new()),
        Err(NetError::Elapsed) => (4, 0, Bytes::new()),
    };
    let mut head = BytesMut::with_capacity(REPLY_LEN);
    head.put_u8(kind);
    head.put_u64_le(size as u64);
    head.put_u32_le(body.len() as u32);
    stream.write_all_chunks(&mut [head.freeze(), body]).await?;
    // Only a stream that was finished before cannot be.
    let _ = stream.finish();
    Ok(())
}

fn text(mut text: String) -> Bytes {
    let end = (0..=text.len().min(TEXT_MAX)).rev().find(|&at| text.is_char_boundary(at));
    text.truncate(end.unwrap_or(0));
    Bytes::from(text)
}

pub(super) async fn read_reply(
    stream: &mut RecvStream,
) -> Result<Result<Bytes, NetError>, FrameError> {
    let mut head = [0; REPLY_LEN];
    stream.read_exact(&mut head).await?;
    let mut head = &head[..];
    let (kind, size, len) = (head.get_u8(), head.get_u64_le(), head.get_u32_le() as usize);
    if len > MESSAGE_MAX {
        return Err(FrameError::TooLong);
    }
    let body = body(stream, len).await?;
    Ok(match kind {
        0 => Ok(body),
        1 => Err(NetError::Refused(Refusal(String::from_utf8_lossy(&body).into_owned()))),
        2 => {
            let size = usize::try_from(size).unwrap_or(usize::MAX);
            Err(NetError::TooLarge { size, max: MESSAGE_MAX })
        }
        3 => Err(NetError::Removed),
        4 => Err(NetError::Elapsed),
        _ => return Err(FrameError::Unknown),
    })
}

#[cfg(test)]
mod tests {
    use node_base::limits::MESSAGE_MAX;
    use node_base::{Duration, NodeId, Timestamp};
    use node_world::Class;
    use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

    use super::{REQUEST_LEN, Request};

    proptest! {
        #[test]
        fn a_head_leads_back(
            class in 0..4_usize, to: u64, at: i64, limit: u32, len in 0..=MESSAGE_MAX,
        ) {
            let request = Request {
                class: Class::ALL[class],
                to: NodeId(to),
                at: Timestamp::from_millis(at),
                limit: Duration::from_millis(u64::from(limit)),
                len,
            };
            let bytes = request.encode();
            prop_assert_eq!(bytes.len(), REQUEST_LEN);
            prop_assert_eq!(Request::decode(&bytes).ok(), Some(request));
        }

        #[test]
        fn any_head_is_answered(bytes: [u8; REQUEST_LEN]) {
            let len = Request::decode(&bytes).map_or(0, |request| request.len);
            prop_assert!(len <= MESSAGE_MAX);
        }
    }
}
