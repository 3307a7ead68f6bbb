//! openraft's runtime, made of the world of the task that asks.
//!
//! openraft reaches its runtime through functions of a type, so the world is found by
//! [`node_world::task::current`]. All of its tasks, sleeps and random numbers thereby belong to the
//! node incarnation that opened the group, and end with it.

use std::fmt::{self, Debug};
use std::future::Future;
use std::marker::PhantomData;
use std::ops::{Add, AddAssign, Sub, SubAssign};
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};

use node_base::Duration;
use node_world::task::{Ended, current};
use node_world::{BoxFuture, Elapsed, Task, World};
use openraft::async_runtime::AsyncOneshotSendExt;
use openraft::{AsyncRuntime, OptionalSend};
use rand_core::{RngCore, impls};
use tokio::sync::oneshot;

/// See the module.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Runtime;

/// A moment in nanoseconds. Signed, because openraft subtracts spans from moments that are near
/// the world's beginning.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Moment(i64);

fn nanos(span: Duration) -> i64 {
    i64::try_from(span.as_nanos()).unwrap_or(i64::MAX)
}

impl Moment {
    fn of(world: &World) -> Self {
        Self(i64::try_from(world.now().nanos()).unwrap_or(i64::MAX))
    }
}

impl openraft::Instant for Moment {
    fn now() -> Self {
        Self::of(&current())
    }
}

impl Add<Duration> for Moment {
    type Output = Self;
    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(nanos(span)))
    }
}

impl AddAssign<Duration> for Moment {
    fn add_assign(&mut self, span: Duration) {
        *self = *self + span;
    }
}

impl Sub<Duration> for Moment {
    type Output = Self;
    fn sub(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(nanos(span)))
    }
}

impl SubAssign<Duration> for Moment {
    fn sub_assign(&mut self, span: Duration) {
        *self = *self - span;
    }
}

impl Sub for Moment {
    type Output = Duration;
    fn sub(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0).max(0).unsigned_abs())
    }
}

/// A sleep. The mutex is never contended: it makes shareable what openraft asks to be so.
pub(crate) struct Sleep(Mutex<BoxFuture<()>>);

impl Sleep {
    fn new(span: Duration) -> Self {
        let world = current();
        Self(Mutex::new(Box::pin(async move { world.sleep(span).await })))
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner).as_mut().poll(context)
    }
}

/// A future with a limit of time.
pub(crate) struct Timeout<R, F> {
    future: Pin<Box<F>>,
    limit: Sleep,
    output: PhantomData<fn() -> R>,
}

impl<R, F: Future<Output = R>> Future for Timeout<R, F> {
    type Output = Result<R, Elapsed>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Poll::Ready(output) = self.future.as_mut().poll(context) {
            return Poll::Ready(Ok(output));
        }
        Pin::new(&mut self.limit).poll(context).map(|()| Err(Elapsed))
    }
}

/// Random numbers from the world.
pub(crate) struct WorldRng(World);

impl RngCore for WorldRng {
    fn next_u32(&mut self) -> u32 {
        impls::next_u32_via_fill(self)
    }

    fn next_u64(&mut self) -> u64 {
        impls::next_u64_via_fill(self)
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        self.0.fill_random(bytes);
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), rand_core::Error> {
        self.fill_bytes(bytes);
        Ok(())
    }
}

/// The sending half of a channel for one value.
pub(crate) struct OneshotSender<T>(oneshot::Sender<T>);

impl<T: OptionalSend> AsyncOneshotSendExt<T> for OneshotSender<T> {
    fn send(self, value: T) -> Result<(), T> {
        self.0.send(value)
    }
}

impl<T> Debug for OneshotSender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OneshotSender")
    }
}

impl AsyncRuntime for Runtime {
    type JoinError = Ended;
    type JoinHandle<T: OptionalSend + 'static> = Task<T>;
    type Sleep = Sleep;
    type Instant = Moment;
    type TimeoutError = Elapsed;
    type Timeout<R, F: Future<Output = R> + OptionalSend> = Timeout<R, F>;
    type ThreadLocalRng = WorldRng;
    type OneshotSender<T: OptionalSend> = OneshotSender<T>;
    type OneshotReceiverError = oneshot::error::RecvError;
    type OneshotReceiver<T: OptionalSend> = oneshot::Receiver<T>;

    fn spawn<F>(future: F) -> Self::JoinHandle<F::Output>
    where
        F: Future + OptionalSend + 'static,
        F::Output: OptionalSend + 'static,
    {
        current().spawn(future)
    }

    fn sleep(span: Duration) -> Sleep {
        Sleep::new(span)
    }

    fn sleep_until(moment: Moment) -> Sleep {
        Sleep::new(moment - Moment::of(&current()))
    }

    fn timeout<R, F: Future<Output = R> + OptionalSend>(
        span: Duration,
        future: F,
    ) -> Self::Timeout<R, F> {
        Timeout { future: Box::pin(future), limit: Self::sleep(span), output: PhantomData }
    }

    fn timeout_at<R, F: Future<Output = R> + OptionalSend>(
        moment: Moment,
        future: F,
    ) -> Self::Timeout<R, F> {
        Timeout { future: Box::pin(future), limit: Self::sleep_until(moment), output: PhantomData }
    }

    fn is_panic(_: &Ended) -> bool {
        // A task ends without an output by a panic; or with its node, and then nobody asks.
        true
    }

    fn thread_rng() -> WorldRng {
        WorldRng(current())
    }

    fn oneshot<T: OptionalSend>() -> (OneshotSender<T>, oneshot::Receiver<T>) {
        let (sender, receiver) = oneshot::channel();
        (OneshotSender(sender), receiver)
    }
}
