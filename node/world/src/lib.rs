//! What a node may ask of the outside: time, entropy, drives, other machines, and to have work
//! done.
//!
//! Product code never names the machine's clock, threads, files or sockets. It is handed a
//! [`World`] and asks that. There are two implementations: the real one, and a pretend one in
//! which time is virtual, drives tear, and messages get lost, all decided by a seed.
//!
//! Never here: an implementation of any of it.

pub mod clock;
pub mod conformance;
pub mod credentials;
pub mod disk;
pub mod fetch;
pub mod net;
pub mod task;

use std::sync::Arc;

use node_base::{Duration, IdSeed, Timestamp};

pub use clock::{Clock, Elapsed, Entropy, Instant};
pub use credentials::{Authority, CredentialError, Credentials, Subject};
pub use disk::{Disk, Entry, File, OpenMode, Space};
pub use fetch::{Fetch, FetchError, FetchReply, FetchRequest};
pub use net::{Class, Handler, Net, NetError, Peer, Refusal};
pub use task::{BoxFuture, Spawn, Task};

/// What a world is made of.
pub struct Parts {
    pub clock: Box<dyn Clock>,
    pub entropy: Box<dyn Entropy>,
    pub disk: Box<dyn Disk>,
    pub net: Box<dyn Net>,
    pub fetch: Box<dyn Fetch>,
    pub spawn: Box<dyn Spawn>,
}

/// The outside of one node incarnation. Cheap to clone; all clones are the same world.
#[derive(Clone)]
pub struct World(Arc<Parts>);

impl World {
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new_cyclic(|world| {
            let net = Box::new(net::Adopting::new(parts.net, world.clone()));
            Parts { net, ..parts }
        }))
    }

    /// Monotonic time.
    pub fn now(&self) -> Instant {
        self.0.clock.now()
    }

    /// What this node believes the wall clock shows; it may be wrong, and it may jump.
    pub fn wall(&self) -> Timestamp {
        self.0.clock.wall()
    }

    /// Waits for this long.
    pub async fn sleep(&self, span: Duration) {
        self.0.clock.sleep_until(self.now().after(span)).await;
    }

    /// Waits for `future`, but not past `limit`.
    ///
    /// # Errors
    /// [`Elapsed`] when the limit came first; the future is dropped then.
    pub async fn within<F: Future>(
        &self,
        limit: Duration,
        future: F,
    ) -> Result<F::Output, Elapsed> {
        tokio::select! {
            biased;
            output = future => Ok(output),
            () = self.sleep(limit) => Err(Elapsed),
        }
    }

    /// Fills `bytes` with entropy.
    pub fn fill_random(&self, bytes: &mut [u8]) {
        self.0.entropy.fill(bytes);
    }

    /// 128 random bits.
    pub fn random(&self) -> u128 {
        let mut bytes = [0; 16];
        self.fill_random(&mut bytes);
        u128::from_le_bytes(bytes)
    }

    /// A seed for the ids of one command.
    pub fn id_seed(&self) -> IdSeed {
        IdSeed::new(self.wall(), self.random())
    }

    /// The drives.
    pub fn disk(&self) -> &dyn Disk {
        &*self.0.disk
    }

    /// The other nodes.
    pub fn net(&self) -> &dyn Net {
        &*self.0.net
    }

    /// HTTP to parties that are not nodes.
    pub fn fetch(&self) -> &dyn Fetch {
        &*self.0.fetch
    }

    /// Starts a task that lives no longer than this node incarnation. Dropping the [`Task`] lets it
    /// run on.
    pub fn spawn<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> Task<T> {
        task::start(self, future)
    }

    /// Runs work that computes or waits for a drive, off the threads that serve requests.
    pub async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        task::run_blocking(self, work).await
    }

    fn spawner(&self) -> &dyn Spawn {
        &*self.0.spawn
    }
}
