//! P8 with real processes: nodes are ended, held up, cut off and refilled at random while people
//! make and remove folders by few names at all nodes; an order must explain what they were told.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde_json::{Value, json};
use simulator_order::{Event, Model, NEVER, Verdict, search};
use tests::{Api, Bench, root_children};

/// How long it goes on; `SCAIDRIVE_TEST_CHAOS_SECONDS` says otherwise.
fn span() -> Duration {
    let asked = std::env::var("SCAIDRIVE_TEST_CHAOS_SECONDS").ok();
    Duration::from_secs(asked.and_then(|text| text.parse().ok()).unwrap_or(20))
}

/// What was done about one name, and what was told.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Step {
    /// Made, and which folder that is; nothing when it was there.
    Make(Option<String>),
    /// This folder was removed; or was not there.
    Remove(String, bool),
    /// Whether a folder has the name, and which.
    Look(Option<String>),
    /// An answer was lost: it may have made a folder, which was never seen.
    MakeUnseen,
}

/// One name in a folder: what has it.
#[derive(Default)]
struct Place {
    has: Option<String>,
}

impl Model for Place {
    type Step = Step;
    type Undo = Option<String>;

    fn take(&mut self, step: &Step, undo: &mut Vec<Option<String>>) -> bool {
        let next = match (step, &self.has) {
            (Step::Make(Some(made)), None) => Some(made.clone()),
            (Step::MakeUnseen, None) => Some(String::new()),
            (Step::Make(None), Some(_)) | (Step::Remove(_, false), None) => return true,
            (Step::Remove(which, false), Some(has)) => return which != has,
            (Step::Remove(which, true), Some(has)) if which == has => None,
            (Step::Look(seen), has) => return seen == has,
            _ => return false,
        };
        undo.push(std::mem::replace(&mut self.has, next));
        true
    }

    fn take_back(&mut self, undo: &mut Vec<Option<String>>) {
        while let Some(before) = undo.pop() {
            self.has = before;
        }
    }

    fn hash(&self) -> u64 {
        let bytes = self.has.iter().flat_map(|has| has.bytes());
        bytes.fold(u64::from(self.has.is_some()), |hash, byte| {
            simulator_order::mix(hash ^ u64::from(byte))
        })
    }
}

/// Few, so that people get into each other's way.
const NAMES: u64 = 6;
const WORKERS: u64 = 6;

/// What people were told, by name.
#[derive(Default)]
struct Notes {
    events: Mutex<BTreeMap<String, Vec<Event<Step>>>>,
    number: AtomicU32,
    stop: AtomicBool,
}

struct Worker {
    seed: u64,
    share: String,
    token: String,
    /// Where the nodes are.
    urls: Arc<Mutex<Vec<String>>>,
    notes: Arc<Notes>,
    epoch: Instant,
}

impl Worker {
    fn now(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_nanos()).expect("not for centuries")
    }

    fn note(&self, name: &str, began: u64, ended: u64, step: Step) {
        let number = self.notes.number.fetch_add(1, Ordering::Relaxed);
        let mut events = self.notes.events.lock().expect("never poisoned");
        let event = Event { number, began, ended, step };
        events.entry(name.to_owned()).or_default().push(event);
    }

    /// The folder that has a name, as a listing tells; nothing where there is no answer.
    async fn look(&self, api: &Api, name: &str) -> Option<Option<String>> {
        let began = self.now();
        let path = root_children(&self.share, 1_000);
        let (status, page) = api.send("GET", &path, "", None).await?;
        if status != 200 {
            return None;
        }
        let items = page["items"].as_array()?;
        let found = items.iter().find(|item| item["name"] == name);
        let found = found.and_then(|item| item["id"].as_str()).map(str::to_owned);
        self.note(name, began, self.now(), Step::Look(found.clone()));
        Some(found)
    }

    async fn make(&self, api: &Api, name: &str, key: &str) {
        let body = json!({ "share_id": self.share, "name": name });
        let began = self.now();
        let sent = api.send("POST", "/folders", key, Some(body)).await;
        let ended = self.now();
        match sent {
            Some((201, folder)) => {
                let id = folder["id"].as_str().expect("an id").to_owned();
                self.note(name, began, ended, Step::Make(Some(id)));
            }
            Some((409, _)) => self.note(name, began, ended, Step::Make(None)),
            other => self.lost(name, began, other, Step::MakeUnseen),
        }
    }

    async fn remove(&self, api: &Api, name: &str, id: String) {
        let began = self.now();
        let sent = api.send("DELETE", &format!("/folders/{id}?permanent=true"), "", None).await;
        let ended = self.now();
        match sent {
            Some((204, _)) => self.note(name, began, ended, Step::Remove(id, true)),
            Some((404 | 410, _)) => self.note(name, began, ended, Step::Remove(id, false)),
            other => self.lost(name, began, other, Step::Remove(id, true)),
        }
    }

    /// It may have happened, at any time from then on.
    fn lost(&self, name: &str, began: u64, sent: Option<(u16, Value)>, step: Step) {
        if let Some((status, body)) = sent {
            assert_eq!(status, 503, "{body}");
        }
        self.note(name, began, NEVER, step);
    }

    async fn work(self) {
        let mut random = ChaCha8Rng::seed_from_u64(self.seed);
        let mut count = 0;
        while !self.notes.stop.load(Ordering::Relaxed) {
            count += 1;
            let url = {
                let urls = self.urls.lock().expect("never poisoned");
                urls[(random.next_u64() % urls.len() as u64) as usize].clone()
            };
            let api = Api::new(&url, &self.token, Duration::from_secs(7));
            let name = format!("name{}", random.next_u64() % NAMES);
            match random.next_u64() % 3 {
                0 => self.make(&api, &name, &format!("{}-{count}", self.seed)).await,
                1 => drop(self.look(&api, &name).await),
                _ => {
                    if let Some(Some(id)) = self.look(&api, &name).await {
                        self.remove(&api, &name, id).await;
                    }
                }
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// A folder whose answer was lost may have been seen later: then it is known which one it is.
fn settle(events: &mut Vec<Event<Step>>) {
    let made: Vec<String> = events
        .iter()
        .filter_map(|event| match &event.step {
            Step::Make(Some(id)) => Some(id.clone()),
            _ => None,
        })
        .collect();
    let mut seen: Vec<String> = events
        .iter()
        .filter_map(|event| match &event.step {
            Step::Look(Some(id)) if !made.contains(id) => Some(id.clone()),
            _ => None,
        })
        .collect();
    seen.sort();
    seen.dedup();
    // Which of the lost ones made which is not known: each may have made each.
    let lost: Vec<Event<Step>> =
        events.iter().filter(|event| event.step == Step::MakeUnseen).cloned().collect();
    for id in &seen {
        assert!(!lost.is_empty(), "nobody made {id}");
        for event in &lost {
            events.push(Event { step: Step::Make(Some(id.clone())), ..event.clone() });
        }
    }
    // An answer that was lost together with a folder that nobody saw and nobody can remove: such a
    // folder would be seen by the look at the end, so there is none.
    events.retain(|event| event.step != Step::MakeUnseen);
    events.sort_by_key(|event| event.began);
}

/// Does something to a node for a while, and takes it back.
fn disturb(bench: &mut Bench, random: &mut ChaCha8Rng, urls: &Mutex<Vec<String>>) -> &'static str {
    let up = bench.up();
    let at = up[(random.next_u64() % up.len() as u64) as usize];
    let a_while = Duration::from_millis(500 + random.next_u64() % 3_000);
    let what = match random.next_u64() % 10 {
        0..=2 => {
            bench.kill(at);
            std::thread::sleep(a_while);
            bench.start(at);
            "kill"
        }
        3 | 4 => {
            bench.pause(at);
            std::thread::sleep(a_while);
            bench.resume(at);
            "pause"
        }
        5 | 6 => {
            bench.cut(at);
            std::thread::sleep(a_while);
            bench.mend(at);
            "cut"
        }
        7 => {
            bench.slow(at, Duration::from_millis(40));
            std::thread::sleep(a_while);
            bench.mend(at);
            "slow"
        }
        8 => {
            bench.stop(at);
            bench.start(at);
            "restart"
        }
        _ => {
            bench.refill(at);
            "refill"
        }
    };
    let running = bench.up().into_iter().map(|at| bench.server(at).url.clone()).collect();
    *urls.lock().expect("never poisoned") = running;
    what
}

#[test]
fn what_people_are_told_has_an_order_whatever_happens_to_nodes() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let mut bench = Bench::form(home.path(), 3, true);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let token =
        bench.any().command(&["token", "--user", "ann@example.com", "--create", "--ttl", "12h"]);
    let token = token.trim().to_owned();
    let api = Api::new(&bench.any().url, &token, Duration::from_secs(30));
    let share = runtime.block_on(api.make_share());
    let urls = bench.up().into_iter().map(|at| bench.server(at).url.clone()).collect();
    let (urls, notes) = (Arc::new(Mutex::new(urls)), Arc::new(Notes::default()));
    let epoch = Instant::now();
    let worker = |seed| {
        let (share, token) = (share.clone(), token.clone());
        let (urls, notes) = (Arc::clone(&urls), Arc::clone(&notes));
        Worker { seed, share, token, urls, notes, epoch }
    };
    let workers: Vec<_> = (0..WORKERS).map(|seed| runtime.spawn(worker(seed).work())).collect();
    let mut random = ChaCha8Rng::seed_from_u64(u64::from(std::process::id()));
    let mut done: BTreeMap<&str, u32> = BTreeMap::new();
    while epoch.elapsed() < span() {
        *done.entry(disturb(&mut bench, &mut random, &urls)).or_default() += 1;
        bench.wait_until_up();
    }
    notes.stop.store(true, Ordering::Relaxed);
    for task in workers {
        runtime.block_on(task).expect("a worker does not panic");
    }
    // What is there in the end, at each node.
    for at in bench.up() {
        let api = Api::new(&bench.server(at).url, &token, Duration::from_secs(30));
        let last = worker(WORKERS);
        for name in 0..NAMES {
            let looked = runtime.block_on(last.look(&api, &format!("name{name}")));
            assert!(looked.is_some(), "a healed cluster answers");
        }
    }
    let mut events = std::mem::take(&mut *notes.events.lock().expect("never poisoned"));
    let lost = events.values().flatten().filter(|event| event.ended == NEVER).count();
    for (name, events) in &mut events {
        settle(events);
        let verdict = search::<Place>(events, 20_000_000);
        assert!(verdict == Verdict::InOrder, "{name}: {verdict:?}\n{events:#?}");
    }
    let count: usize = events.values().map(Vec::len).sum();
    eprintln!("{count} answers in order, {lost} of them lost; {done:?}");
    bench.check_logs();
}

#[test]
fn an_answer_that_no_order_explains_is_found() {
    let event = |number: u32, began, ended, step| Event { number, began, ended, step };
    let (a, b) = (|| Some("a".to_owned()), || Some("b".to_owned()));
    let mut events = vec![
        event(0, 0, 10, Step::Make(a())),
        event(1, 5, 15, Step::Look(None)),
        event(2, 20, 30, Step::Look(a())),
        event(3, 22, NEVER, Step::Remove("a".to_owned(), true)),
        event(4, 40, 50, Step::Make(b())),
    ];
    assert_eq!(search::<Place>(&events, 1_000), Verdict::InOrder);
    events.push(event(5, 60, 70, Step::Look(a())));
    assert!(matches!(search::<Place>(&events, 1_000), Verdict::OutOfOrder { placed: 5, .. }));
}
