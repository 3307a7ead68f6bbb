//! This node's own right to write bytes that a commit will name.
//!
//! Each request that brings a file takes a [`Ticket`] and keeps it until its commit is answered.
//! From time to time the node opens another lease; the old one is closed once its last ticket is
//! gone, and what was written under it and never named is collected then.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use node_base::Generation;
use node_base::plant::{self, Bug};
use tokio::sync::watch;

/// A lease as the agreement gave it.
#[derive(Debug)]
struct Open {
    writer: u64,
    given: AtomicU64,
}

/// The lease that new requests write under.
#[derive(Debug)]
pub struct Lease(watch::Sender<Arc<Open>>);

/// The right to write under one lease, for one request.
#[derive(Debug, Clone)]
pub struct Ticket(Arc<Open>);

impl Lease {
    /// The lease with this agreed number.
    pub fn new(writer: u64) -> Self {
        Self(watch::Sender::new(Arc::new(Open { writer, given: AtomicU64::new(0) })))
    }

    /// The agreed number.
    pub fn writer(&self) -> u64 {
        self.0.borrow().writer
    }

    /// A ticket for one request.
    pub fn ticket(&self) -> Ticket {
        Ticket(Arc::clone(&self.0.borrow()))
    }

    /// Puts another lease in its place. The answer is ready for closing once it is
    /// [`idle`](Retired::idle).
    pub fn replace(&self, writer: u64) -> Retired {
        Retired(self.0.send_replace(Arc::new(Open { writer, given: AtomicU64::new(0) })))
    }
}

/// A lease that no new request writes under.
#[derive(Debug)]
pub struct Retired(Arc<Open>);

impl Retired {
    pub fn writer(&self) -> u64 {
        self.0.writer
    }

    /// Whether its last ticket is gone.
    pub fn idle(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }
}

impl Ticket {
    /// A generation that nothing was ever written under; nothing when the lease is used up.
    pub fn next(&self) -> Option<Generation> {
        let step = u64::from(!plant::on(Bug::ReuseGeneration));
        Generation::new(self.0.writer, self.0.given.fetch_add(step, Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::Lease;

    #[test]
    fn a_retired_lease_is_idle_when_its_last_ticket_is_gone() {
        let lease = Lease::new(7);
        let ticket = lease.ticket();
        let (first, second) = (ticket.next(), ticket.next());
        assert!(first < second && first.is_some());
        let retired = lease.replace(9);
        assert!(!retired.idle());
        assert_eq!(lease.ticket().next().map(|generation| generation.writer()), Some(9));
        drop(ticket);
        assert!(retired.idle());
        assert_eq!((retired.writer(), lease.writer()), (7, 9));
    }
}
