//! How long the other side of a connection is waited for.
//!
//! ```text
//!           a byte comes           the request is heard
//!   idle ────────────────▶ head ─────────────────────────▶ busy
//!    ▲                                                      │
//!    └──────────────────────────────────────────────────────┘
//!                the body of the last answer is done
//! ```
//!
//! Between requests a connection may rest for long; a head that has begun has to come soon. HTTP/2
//! has frames of its own, so that a byte tells nothing: such a connection is idle or busy. While it
//! is busy nothing is measured here: bodies have their own limit, and who reads slowly is not
//! hurried.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use node_base::Duration;
use node_world::{Instant, World};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;

/// How HTTP/2 begins, and no method of HTTP/1 does.
const PREFACE: &[u8] = b"PRI ";

/// What a connection is waiting for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Idle,
    Head,
    /// So many requests are being answered.
    Busy(usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    /// So many bytes of HTTP/2's beginning have come.
    Unknown(usize),
    One,
    Two,
}

impl Protocol {
    fn after(self, bytes: &[u8]) -> Self {
        let Self::Unknown(known) = self else { return self };
        let come = bytes.len().min(PREFACE.len() - known);
        match bytes[..come] == PREFACE[known..known + come] {
            false => Self::One,
            true if known + come == PREFACE.len() => Self::Two,
            true => Self::Unknown(known + come),
        }
    }
}

/// Where a connection stands.
#[derive(Debug, Clone, Copy)]
struct Line {
    protocol: Protocol,
    stage: Stage,
    since: Instant,
}

/// The patience with one connection. Clones are of the same connection.
#[derive(Clone)]
pub(super) struct Patience {
    world: World,
    line: Arc<watch::Sender<Line>>,
}

impl Patience {
    pub(super) fn new(world: World) -> Self {
        let (protocol, stage, since) = (Protocol::Unknown(0), Stage::Idle, world.now());
        let line = Arc::new(watch::Sender::new(Line { protocol, stage, since }));
        Self { world, line }
    }

    /// Ready when nothing came for too long; answers what was waited for.
    pub(super) async fn run_out(&self, idle: Duration, head: Duration) -> Stage {
        let mut line = self.line.subscribe();
        loop {
            let Line { stage, since, .. } = *line.borrow_and_update();
            let limit = match stage {
                Stage::Idle => Some(idle),
                Stage::Head => Some(head),
                Stage::Busy(_) => None,
            };
            let waited = self.world.now().since(since);
            let rest = async {
                match limit {
                    Some(limit) => self.world.sleep(limit.saturating_sub(waited)).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                changed = line.changed() => changed.expect("the sender is ours"),
                () = rest => return stage,
            }
        }
    }

    /// A request was heard. It is being answered until what this returns is dropped.
    pub(super) fn begin(&self) -> Request {
        self.step(|line| match line.stage {
            Stage::Busy(requests) => Stage::Busy(requests + 1),
            Stage::Idle | Stage::Head => Stage::Busy(1),
        });
        Request(self.clone())
    }

    fn heard(&self, bytes: &[u8]) {
        self.step(|line| {
            line.protocol = line.protocol.after(bytes);
            match (line.stage, line.protocol) {
                (busy @ Stage::Busy(_), _) => busy,
                (_, Protocol::Two) => Stage::Idle,
                (_, Protocol::Unknown(_) | Protocol::One) => Stage::Head,
            }
        });
    }

    /// The end of an answer goes out when its body is done already: who takes that slowly is not
    /// idle. On HTTP/2 we ask after the other side ourselves, which says nothing of it.
    fn told(&self) {
        self.line.send_if_modified(|line| {
            let counts = line.stage == Stage::Idle && line.protocol != Protocol::Two;
            if counts {
                line.since = self.world.now();
            }
            counts
        });
    }

    fn step(&self, next: impl FnOnce(&mut Line) -> Stage) {
        self.line.send_if_modified(|line| {
            let before = line.stage;
            line.stage = next(line);
            if line.stage != before {
                line.since = self.world.now();
            }
            line.stage != before
        });
    }
}

/// A request that is being answered.
pub(super) struct Request(Patience);

impl Drop for Request {
    fn drop(&mut self) {
        self.0.step(|line| match line.stage {
            Stage::Busy(requests @ 2..) => Stage::Busy(requests - 1),
            Stage::Idle | Stage::Head | Stage::Busy(_) => Stage::Idle,
        });
    }
}

/// The body of an answer, which is done when this is dropped.
pub(super) struct Answer {
    body: Body,
    _request: Request,
}

impl Answer {
    pub(super) fn new(body: Body, request: Request) -> Self {
        Self { body, _request: request }
    }
}

impl hyper::body::Body for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A stream whose bytes are noted as they come and go.
pub(super) struct Wire<S> {
    stream: S,
    patience: Patience,
}

impl<S> Wire<S> {
    pub(super) fn new(stream: S, patience: Patience) -> Self {
        Self { stream, patience }
    }

    fn told(&self, sent: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if matches!(sent, Poll::Ready(Ok(_))) {
            self.patience.told();
        }
        sent
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        let come = &buffer.filled()[before..];
        if !come.is_empty() {
            self.patience.heard(come);
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let sent = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.told(sent)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let sent = Pin::new(&mut self.stream).poll_write_vectored(context, pieces);
        self.told(sent)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
