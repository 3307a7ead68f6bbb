//! What goes wrong between nodes: each fault seen happening, and not happening when it is off.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::future::join_all;
use node_base::{Duration, NodeId};
use node_world::{
    BoxFuture, Class, FetchError, FetchReply, FetchRequest, Handler, NetError, Peer, Refusal, World,
};
use simulator_world::{NetFaults, Options, Sim, Simulation};

const A: NodeId = NodeId(1);
const B: NodeId = NodeId(2);
const LIMIT: Duration = Duration::from_secs(1);
const MESSAGES: u8 = 100;

/// Writes down what it was sent, and answers it.
#[derive(Clone, Default)]
struct Notes(Arc<Mutex<Vec<u8>>>);

impl Notes {
    fn taken(&self) -> Vec<u8> {
        self.0.lock().expect("no panic inside").clone()
    }
}

impl Handler for Notes {
    fn handle(&self, _: NodeId, request: Bytes) -> BoxFuture<Result<Bytes, Refusal>> {
        self.0.lock().expect("no panic inside").extend_from_slice(&request);
        Box::pin(std::future::ready(Ok(request)))
    }
}

type Answer = Result<Bytes, NetError>;

fn send(world: &World, to: Peer, number: u8) -> BoxFuture<Answer> {
    world.net().call(to, Class::Control, Bytes::from(vec![number]), LIMIT)
}

/// Two nodes, of which the second notes what it is sent.
fn pair<T: Send>(act: impl AsyncFnOnce(&Sim, &World, &Notes) -> T + Send) -> T {
    Simulation::new(3, Options::default()).run(async |sim| {
        let (a, b) = (sim.world(A), sim.world(B));
        let notes = Notes::default();
        b.net().serve(Class::Control, Arc::new(notes.clone()));
        act(&sim, &a, &notes).await
    })
}

/// A hundred messages at once: what was answered, and what was handled in which order.
fn burst(faults: NetFaults) -> (Vec<Answer>, Vec<u8>) {
    pair(async |sim, a, notes| {
        sim.set_net_faults(faults);
        let sent = (0..MESSAGES).map(|number| send(a, sim.peer(B), number));
        (join_all(sent).await, notes.taken())
    })
}

fn steady() -> NetFaults {
    let delay = Duration::from_millis(5);
    NetFaults { delay_min: delay, delay_max: delay, ..NetFaults::default() }
}

#[test]
fn a_good_network_brings_each_message_once() {
    let (answers, mut taken) = burst(NetFaults::default());
    assert!(answers.iter().all(Result::is_ok));
    taken.sort_unstable();
    assert_eq!(taken, (0..MESSAGES).collect::<Vec<_>>());
}

#[test]
fn a_message_takes_its_time() {
    let passed = |faults| {
        pair(async |sim, a, _| {
            sim.set_net_faults(faults);
            let start = a.now();
            send(a, sim.peer(B), 1).await.expect("a reply");
            a.now().since(start)
        })
    };
    assert!(passed(steady()) >= Duration::from_millis(10), "there and back");
    let far = Duration::from_millis(300);
    assert!(passed(NetFaults { delay_min: far, delay_max: far, ..steady() }) >= far * 2);
}

#[test]
fn messages_and_replies_are_lost() {
    let (answers, taken) = burst(NetFaults { loss: 0.5, ..steady() });
    let answered = answers.iter().filter(|answer| answer.is_ok()).count();
    let silent = answers.iter().filter(|answer| **answer == Err(NetError::Elapsed)).count();
    assert_eq!(answered + silent, answers.len());
    assert!((30..70).contains(&taken.len()), "half the messages: {}", taken.len());
    assert!(answered < taken.len(), "and half the replies: {answered}");
    assert_eq!(burst(steady()).1.len(), answers.len());
}

#[test]
fn a_message_may_come_twice() {
    let (answers, taken) = burst(NetFaults { duplicate: 0.5, ..steady() });
    assert!(answers.iter().all(Result::is_ok));
    assert!((130..170).contains(&taken.len()), "{}", taken.len());
    assert_eq!(burst(steady()).1.len(), usize::from(MESSAGES));
}

#[test]
fn messages_overtake_one_another() {
    let spread = NetFaults { delay_max: Duration::from_millis(500), ..steady() };
    assert!(!burst(spread).1.is_sorted());
    let calm = Options { yield_chance: 0.0, ..Options::default() };
    Simulation::new(3, calm).run(async |sim| {
        let (a, b) = (sim.world(A), sim.world(B));
        let notes = Notes::default();
        b.net().serve(Class::Control, Arc::new(notes.clone()));
        sim.set_net_faults(steady());
        join_all((0..MESSAGES).map(|number| send(&a, sim.peer(B), number))).await;
        assert!(notes.taken().is_sorted(), "where all take as long, none does");
    });
}

#[test]
fn a_partition_is_silence_until_it_heals() {
    pair(async |sim, a, notes| {
        sim.partition(A, B);
        assert_eq!(send(a, sim.peer(B), 1).await, Err(NetError::Elapsed));
        assert_eq!(notes.taken(), []);
        sim.heal();
        assert!(send(a, sim.peer(B), 2).await.is_ok());
        assert_eq!(notes.taken(), [2]);
    });
}

#[test]
fn a_partition_may_be_one_way() {
    pair(async |sim, a, notes| {
        sim.partition_one_way(B, A);
        assert_eq!(send(a, sim.peer(B), 1).await, Err(NetError::Elapsed), "the reply is cut");
        assert_eq!(notes.taken(), [1], "the message is not");
    });
}

#[test]
fn a_node_that_is_down_refuses_and_one_that_dies_is_silent() {
    pair(async |sim, a, notes| {
        sim.crash(B);
        let refused = send(a, sim.peer(B), 1).await;
        assert!(matches!(refused, Err(NetError::Unreachable(_))), "{refused:?}");
        let b = sim.world(B);
        let unserved = send(a, sim.peer(B), 2).await;
        assert!(matches!(unserved, Err(NetError::Refused(_))), "handlers died too: {unserved:?}");
        struct Dies(Sim, Notes);
        impl Handler for Dies {
            fn handle(&self, from: NodeId, request: Bytes) -> BoxFuture<Result<Bytes, Refusal>> {
                let (sim, noted) = (self.0.clone(), self.1.handle(from, request));
                Box::pin(async move {
                    sim.crash(B);
                    noted.await
                })
            }
        }
        b.net().serve(Class::Control, Arc::new(Dies(sim.clone(), notes.clone())));
        assert_eq!(send(a, sim.peer(B), 3).await, Err(NetError::Elapsed));
        assert_eq!(notes.taken(), [3]);
    });
}

fn ask(world: &World, url: &str, body_max: usize) -> BoxFuture<Result<FetchReply, FetchError>> {
    world.fetch().fetch(FetchRequest {
        method: "GET",
        url: url.to_owned(),
        headers: Vec::new(),
        body: Bytes::new(),
        limit: LIMIT,
        body_max,
    })
}

#[test]
fn a_pretend_server_answers_for_its_origin() {
    pair(async |sim, a, _| {
        sim.serve_http("https://issuer.example", |request| FetchReply {
            status: 200,
            headers: Vec::new(),
            body: Bytes::from(request.url.clone()),
        });
        let url = "https://issuer.example/.well-known/openid-configuration";
        let reply = ask(a, url, 100).await.expect("an answer");
        assert_eq!((reply.status, &reply.body[..]), (200, url.as_bytes()));
        assert_eq!(ask(a, url, 10).await.err(), Some(FetchError::TooLarge(10)));
        let other = ask(a, "https://issuer.example.evil/", 100).await;
        assert!(matches!(other, Err(FetchError::Connection(_))), "{other:?}");
        let odd = ask(a, "issuer.example", 100).await;
        assert!(matches!(odd, Err(FetchError::Address(_))), "{odd:?}");
    });
}
