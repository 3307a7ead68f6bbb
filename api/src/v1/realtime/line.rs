//! One open socket: what comes, what is told, and when it ends.

use std::convert::Infallible;

use api_ops::meta::query::feed::{ChangesPage, Stream};
use api_ops::meta::table::device::Preference;
use api_ops::{Call, FollowFrom, OpError};
use axum::extract::ws::{CloseFrame, Message, WebSocket};
use node_base::{Duration, ShareId};
use node_world::BoxFuture;

use super::side::{Side, Turn};
use super::{CHECKED_EVERY, PAGE, closing};
use crate::state::ApiState;

/// How long a frame may wait for who reads.
const SEND_LIMIT: Duration = Duration::from_secs(10);
/// Who answers no ping for so long has gone.
const SILENCE_MAX: Duration = Duration::from_secs(90);
/// How long one question for changes waits before it is put again.
const WAIT: Duration = Duration::from_secs(60);
/// Before a question is put again that could not be answered.
const PAUSE: Duration = Duration::from_secs(1);

/// How a socket ends.
pub(super) enum End {
    /// Nobody is there any more.
    Gone,
    Close(u16, &'static str),
}

/// What happened next.
enum Woken {
    Tick,
    Frame(Option<Result<Message, axum::Error>>),
    Page(Result<ChangesPage, OpError>),
    Kept(Result<Kept, OpError>),
}

type Kept = Vec<(ShareId, Preference)>;

/// Who is told, and by what right.
pub(super) struct Who {
    pub(super) state: ApiState,
    pub(super) call: Call,
    token: String,
}

pub(super) struct Line {
    who: Who,
    socket: WebSocket,
    /// From where on changes are told, once somebody has subscribed.
    cursor: Option<FollowFrom>,
}

/// Counts an open socket, for as long as it is.
struct Counted(ApiState);

impl Counted {
    fn new(state: &ApiState) -> Self {
        state.metrics.websockets.inc();
        Self(state.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.metrics.websockets.dec();
    }
}

impl Who {
    /// The end of the log.
    async fn now(&self) -> FollowFrom {
        let ops = &self.state.ops;
        let page = ops.changes(&self.call, Stream::All, FollowFrom::Now, 1, Duration::ZERO).await;
        page.map_or(FollowFrom::Now, |page| FollowFrom::Cursor(page.cursor))
    }

    /// Looks at the token and at its user again.
    async fn check(&self) -> Result<(), End> {
        match self.state.identity.authenticate(&self.token).await {
            Ok(_) => Ok(()),
            Err(error) => match closing(&error) {
                Some((code, reason)) => Err(End::Close(code, reason)),
                None => Ok(()),
            },
        }
    }
}

impl Line {
    pub(super) fn new(state: ApiState, socket: WebSocket, call: Call, token: String) -> Self {
        Self { who: Who { state, call, token }, socket, cursor: None }
    }

    /// Talks until one side ends it.
    pub(super) async fn run(mut self, mut side: Side) {
        let counted = Counted::new(&self.who.state);
        let Err(end) = self.converse(&mut side).await;
        if let End::Close(code, reason) = end {
            let frame = Message::Close(Some(CloseFrame { code, reason: reason.into() }));
            // Who does not read has gone without it.
            let _ = self.who.state.world.within(PAUSE, self.socket.send(frame)).await;
        }
        drop(counted);
    }

    async fn converse(&mut self, side: &mut Side) -> Result<Infallible, End> {
        let (ops, world) = (self.who.state.ops.clone(), self.who.state.world.clone());
        let mut stopping = std::pin::pin!(ops.stopping());
        let mut heard = world.now();
        let mut tick = sleep(&self.who.state, CHECKED_EVERY);
        let mut page = self.next_page(Duration::ZERO);
        let mut kept = self.next_kept(side, None, Duration::ZERO);
        let mut known: Option<Kept> = None;
        if let Some(frame) = side.greeting() {
            self.send(frame).await?;
        }
        loop {
            let woken = tokio::select! {
                biased;
                () = &mut stopping => return Err(End::Close(1001, "the node is stopping")),
                () = &mut tick => Woken::Tick,
                frame = self.socket.recv() => Woken::Frame(frame),
                next = &mut page => Woken::Page(next),
                next = &mut kept => Woken::Kept(next),
            };
            match woken {
                Woken::Tick => {
                    self.who.check().await?;
                    if world.now().since(heard) >= SILENCE_MAX {
                        return Err(End::Gone);
                    }
                    self.message(Message::Ping(bytes::Bytes::new())).await?;
                    tick = sleep(&self.who.state, CHECKED_EVERY);
                }
                Woken::Frame(frame) => {
                    heard = world.now();
                    if self.hear(side, frame).await? {
                        page = self.next_page(Duration::ZERO);
                    }
                }
                Woken::Page(next) => {
                    let pause = self.tell(side, next).await?;
                    page = self.next_page(pause);
                }
                Woken::Kept(next) => {
                    let pause = self.tell_kept(&mut known, next).await?;
                    kept = self.next_kept(side, known.clone(), pause);
                }
            }
        }
    }

    /// Takes a frame; answers whether from now on other changes are followed.
    async fn hear(
        &mut self,
        side: &mut Side,
        frame: Option<Result<Message, axum::Error>>,
    ) -> Result<bool, End> {
        let text = match frame {
            None | Some(Err(_) | Ok(Message::Close(_))) => return Err(End::Gone),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => return Ok(false),
            Some(Ok(Message::Binary(_))) => {
                return Err(End::Close(1003, "only text is understood here"));
            }
            Some(Ok(Message::Text(text))) => text,
        };
        let Turn { answer, follow } = side.hear(&self.who, text.as_str()).await;
        let turned = match follow {
            Some(true) if self.cursor.is_none() => {
                // Where it begins is known before it is said to have begun.
                self.cursor = Some(self.who.now().await);
                true
            }
            Some(false) => self.cursor.take().is_some(),
            Some(true) | None => false,
        };
        self.send(answer).await?;
        Ok(turned)
    }

    fn next_page(&self, pause: Duration) -> BoxFuture<Result<ChangesPage, OpError>> {
        let Some(from) = self.cursor.clone() else { return Box::pin(std::future::pending()) };
        let (state, call) = (self.who.state.clone(), self.who.call.clone());
        Box::pin(async move {
            if !pause.is_zero() {
                state.world.sleep(pause).await;
            }
            state.ops.changes(&call, Stream::All, from, PAGE, WAIT).await
        })
    }

    fn next_kept(
        &self,
        side: &Side,
        known: Option<Kept>,
        pause: Duration,
    ) -> BoxFuture<Result<Kept, OpError>> {
        let Some(device) = side.device_id() else { return Box::pin(std::future::pending()) };
        let (state, call) = (self.who.state.clone(), self.who.call.clone());
        Box::pin(async move {
            if !pause.is_zero() {
                state.world.sleep(pause).await;
            }
            state.ops.preferences(&call, device, known.as_deref(), WAIT).await
        })
    }

    /// Tells of a page of changes; answers how long to wait before the next.
    async fn tell(
        &mut self,
        side: &Side,
        page: Result<ChangesPage, OpError>,
    ) -> Result<Duration, End> {
        match page {
            Ok(page) => {
                let Ok(frames) = side.frames(&self.who, &page.changes).await else {
                    return Ok(PAUSE);
                };
                for frame in frames {
                    self.send(frame).await?;
                }
                self.cursor = Some(FollowFrom::Cursor(page.cursor));
                Ok(Duration::ZERO)
            }
            Err(OpError::Refused(_)) => {
                // It may be the caller who is refused, not the cursor.
                self.who.check().await?;
                self.cursor = Some(self.who.now().await);
                if let Some(frame) = side.start_anew() {
                    self.send(frame).await?;
                }
                Ok(PAUSE)
            }
            Err(OpError::Failed(_)) => Err(End::Close(1011, "this node has failed")),
            Err(_) => Ok(PAUSE),
        }
    }

    /// Tells for which shares a device keeps something else than it did.
    async fn tell_kept(
        &mut self,
        known: &mut Option<Kept>,
        kept: Result<Kept, OpError>,
    ) -> Result<Duration, End> {
        // A device that nobody has registered may be later.
        let Ok(kept) = kept else { return Ok(CHECKED_EVERY) };
        if let Some(before) = known.replace(kept.clone()) {
            let gone = before.iter().filter(|old| !kept.contains(old));
            let come = kept.iter().filter(|new| !before.contains(new));
            let mut shares: Vec<ShareId> = gone.chain(come).map(|(share, _)| *share).collect();
            shares.sort();
            shares.dedup();
            // Before it subscribes a device is told nothing.
            shares.retain(|_| self.cursor.is_some());
            for share in shares {
                self.send(Side::kept_anew(share)).await?;
            }
        }
        Ok(Duration::ZERO)
    }

    async fn send(&mut self, frame: String) -> Result<(), End> {
        self.message(Message::text(frame)).await
    }

    async fn message(&mut self, message: Message) -> Result<(), End> {
        let world = self.who.state.world.clone();
        match world.within(SEND_LIMIT, self.socket.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(End::Gone),
            Err(_) => Err(End::Close(1013, "frames are not read fast enough")),
        }
    }
}

fn sleep(state: &ApiState, span: Duration) -> BoxFuture<()> {
    let world = state.world.clone();
    Box::pin(async move { world.sleep(span).await })
}
