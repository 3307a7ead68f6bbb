//! The pretend network: messages take time, get lost, come twice, overtake one another, or meet a
//! partition.
//!
//! Each direction of each message is decided on its own. A message that is lost, and one to a node
//! that crashes while handling it, are silence until the sender's limit; a node that is down
//! refuses the connection.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use node_base::limits::MESSAGE_MAX;
use node_base::{Duration, NodeId};
use node_world::{BoxFuture, Class, Handler, Net, NetError, Peer, Refusal, Spawn};
use rand::RngExt;
use tokio::sync::mpsc;

use crate::node::Outside;
use crate::simulation::Shared;
use crate::trace::Digest;

/// How the network treats messages.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct NetFaults {
    /// A message takes between these; where they differ, messages overtake one another.
    pub delay_min: Duration,
    pub delay_max: Duration,
    /// The chance that a message, or a reply, is lost.
    pub loss: f64,
    /// The chance that a message comes twice.
    pub duplicate: f64,
}

impl Default for NetFaults {
    /// A good local network.
    fn default() -> Self {
        Self {
            delay_min: Duration::from_micros(100),
            delay_max: Duration::from_millis(3),
            loss: 0.0,
            duplicate: 0.0,
        }
    }
}

/// The state of the network.
#[derive(Default)]
pub(crate) struct Network(Mutex<State>);

#[derive(Default)]
struct State {
    faults: NetFaults,
    /// From, to.
    cut: BTreeSet<(NodeId, NodeId)>,
    messages: u64,
}

impl Network {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_faults(&self, faults: NetFaults) {
        self.lock().faults = faults;
    }

    pub(crate) fn cut(&self, from: NodeId, to: NodeId) {
        self.lock().cut.insert((from, to));
    }

    pub(crate) fn mend(&self) {
        self.lock().cut.clear();
    }

    fn next_message(&self) -> u64 {
        let mut state = self.lock();
        state.messages += 1;
        state.messages
    }

    fn is_cut(&self, from: NodeId, to: NodeId) -> bool {
        self.lock().cut.contains(&(from, to))
    }
}

/// The pretend address of a node.
pub(crate) fn address(node: NodeId) -> String {
    format!("node-{node}")
}

/// The node that a pretend address leads to.
fn resident(address: &str) -> Option<NodeId> {
    address.strip_prefix("node-")?.parse().ok().map(NodeId)
}

/// One way of one message.
#[derive(Clone)]
struct Flight {
    shared: Arc<Shared>,
    number: u64,
    from: NodeId,
    to: NodeId,
}

impl Flight {
    fn line(&self, what: &str) {
        self.shared.line(format_args!("- {what} {} {} {}", self.number, self.from, self.to));
    }

    fn back(&self) -> Self {
        Self { from: self.to, to: self.from, ..self.clone() }
    }

    /// How long each copy that the network makes of it takes.
    fn copies(&self, may_duplicate: bool) -> Vec<Duration> {
        let faults = self.shared.network.lock().faults;
        let mut chance = self.shared.schedule.draw();
        let mut happens = |p: f64| p > 0.0 && chance.random_bool(p.min(1.0));
        let copies = match () {
            () if happens(faults.loss) => 0,
            () if may_duplicate && happens(faults.duplicate) => 2,
            () => 1,
        };
        drop(chance);
        match copies {
            0 => self.line("lose"),
            2 => self.line("duplicate"),
            _ => {}
        }
        let delay = |_| self.shared.between(faults.delay_min, faults.delay_max);
        (0..copies).map(delay).collect()
    }

    /// Flies for `span`; whether it arrives.
    #[expect(clippy::disallowed_methods, reason = "the network belongs to no node's world")]
    async fn arrives(&self, span: Duration) -> bool {
        let cut = || self.shared.network.is_cut(self.from, self.to);
        let mut arrives = !cut();
        tokio::time::sleep(span).await;
        arrives &= !cut();
        self.line(if arrives { "arrive" } else { "cut" });
        arrives
    }
}

type Answer = Result<Bytes, NetError>;

struct Message {
    flight: Flight,
    /// Whom the sender thinks it speaks to; 0 is whoever is there.
    meant: NodeId,
    class: Class,
    request: Bytes,
    limit: Duration,
    /// Whether the network makes no other copy of it, which may be handled.
    is_only: bool,
    answers: mpsc::UnboundedSender<Answer>,
}

impl Message {
    /// One copy's way to the receiver, through its handler, and back.
    async fn travel(self, span: Duration) {
        if !self.flight.arrives(span).await {
            return;
        }
        let Some(receiver) = self.flight.shared.outside(self.flight.to) else {
            if !self.is_only {
                return;
            }
            let refused = NetError::Unreachable("connection refused".to_owned());
            return self.answer(Err(refused)).await;
        };
        if self.meant != self.flight.to && self.meant != NodeId::default() {
            let misled = Refusal(format!("this is not node {}", self.meant));
            return self.answer(Err(NetError::Refused(misled))).await;
        }
        // The handling dies with the receiver; the reply, once sent, does not.
        let handling = {
            let receiver = receiver.clone();
            async move {
                let (from, request) = (self.flight.from, self.request.clone());
                if let Some(answer) = receiver.handle(from, self.class, request, self.limit).await {
                    receiver.shared.fly(self.answer(answer));
                }
            }
        };
        receiver.spawn(Box::pin(handling));
    }

    async fn answer(self, answer: Answer) {
        let back = self.flight.back();
        for span in back.copies(false) {
            if back.arrives(span).await {
                // A sender that no longer waits does not hear it.
                let _ = self.answers.send(answer.clone());
            }
        }
    }
}

impl Shared {
    /// Starts something that no node's crash ends.
    #[expect(clippy::disallowed_methods, reason = "the network belongs to no node's world")]
    fn fly(&self, flight: impl Future<Output = ()> + Send + 'static) {
        drop(tokio::spawn(flight));
    }
}

impl Outside {
    /// What this node's handler says; nothing when it takes longer than `limit`.
    async fn handle(
        &self,
        from: NodeId,
        class: Class,
        request: Bytes,
        limit: Duration,
    ) -> Option<Answer> {
        let Some(handler) = self.handler(class) else {
            let nobody = Refusal(format!("nobody serves {} messages here", class.name()));
            return Some(Err(NetError::Refused(nobody)));
        };
        let reply = within(limit, handler.handle(from, request)).await?;
        Some(match reply {
            Ok(reply) if reply.len() > MESSAGE_MAX => {
                Err(NetError::TooLarge { size: reply.len(), max: MESSAGE_MAX })
            }
            Ok(reply) => Ok(reply),
            Err(refusal) => Err(NetError::Refused(refusal)),
        })
    }

    fn handler(&self, class: Class) -> Option<Arc<dyn Handler>> {
        let handlers = self.incarnation.handlers.lock().unwrap_or_else(PoisonError::into_inner);
        handlers.get(&class).map(Arc::clone)
    }

    async fn send(self, to: Peer, class: Class, request: Bytes, limit: Duration) -> Answer {
        if request.len() > MESSAGE_MAX {
            return Err(NetError::TooLarge { size: request.len(), max: MESSAGE_MAX });
        }
        if to.node == self.node() {
            let answer = self.handle(self.node(), class, request, limit).await;
            return answer.unwrap_or(Err(NetError::Elapsed));
        }
        let Some(resident) = resident(&to.address) else {
            return Err(NetError::Unreachable(format!("'{}' is no address", to.address)));
        };
        let (answers, mut answered) = mpsc::unbounded_channel();
        let flight = Flight {
            shared: Arc::clone(&self.shared),
            number: self.shared.network.next_message(),
            from: self.node(),
            to: resident,
        };
        self.line(format_args!(
            "send {} {} {} {}",
            flight.number,
            resident,
            class.name(),
            Digest(&request)
        ));
        let copies = flight.copies(true);
        let is_only = copies.len() == 1;
        for span in copies {
            let message = Message {
                flight: flight.clone(),
                meant: to.node,
                class,
                request: request.clone(),
                limit,
                is_only,
                answers: answers.clone(),
            };
            self.shared.fly(message.travel(span));
        }
        // Our own sender stays here: a message that nobody can answer any more is silence.
        let answer = within(limit, answered.recv()).await.flatten();
        drop(answers);
        answer.unwrap_or(Err(NetError::Elapsed))
    }
}

#[expect(clippy::disallowed_methods, reason = "the network belongs to no node's world")]
async fn within<T>(limit: Duration, future: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(limit, future).await.ok()
}

impl Net for Outside {
    fn call(
        &self,
        to: Peer,
        class: Class,
        request: Bytes,
        limit: Duration,
    ) -> BoxFuture<Result<Bytes, NetError>> {
        Box::pin(self.clone().send(to, class, request, limit))
    }

    fn serve(&self, class: Class, handler: Arc<dyn Handler>) {
        if self.is_alive() {
            let mut handlers =
                self.incarnation.handlers.lock().unwrap_or_else(PoisonError::into_inner);
            handlers.insert(class, handler);
        }
    }
}
