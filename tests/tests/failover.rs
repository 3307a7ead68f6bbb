//! The node that leads is ended hard, again and again, while people work at all the others.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::json;
use tests::{Api, Bench, root_children};

/// How often the leader is ended; `SCAIDRIVE_TEST_FAILOVERS` says otherwise.
fn rounds() -> u32 {
    let asked = std::env::var("SCAIDRIVE_TEST_FAILOVERS").ok();
    asked.and_then(|text| text.parse().ok()).unwrap_or(3)
}

/// One answer that was good.
struct Good {
    what: &'static str,
    node: usize,
    begun: Instant,
    ended: Instant,
}

/// What workers saw.
#[derive(Default)]
struct Notes {
    good: Mutex<Vec<Good>>,
    /// Names that were acknowledged, and what files hold.
    kept: Mutex<BTreeMap<String, Vec<u8>>>,
    failed: Mutex<BTreeMap<String, u32>>,
    stop: AtomicBool,
}

/// Asks for one thing after the other at a node; each until it is answered, under the same key.
async fn work(what: &'static str, node: usize, api: Api, place: (String, u32), notes: Arc<Notes>) {
    let (share, round) = place;
    let mut count = 0;
    while !notes.stop.load(Ordering::Relaxed) {
        count += 1;
        let name = format!("{round:03}-{node}-{what}-{count:05}");
        let content = crate::random_bytes([10, 3_000, 90_000, 400_000][count % 4]);
        let folder = json!({ "share_id": share, "name": name });
        let listing = root_children(&share, 5);
        loop {
            let begun = Instant::now();
            let sent = match what {
                "folder" => api.send("POST", "/folders", &name, Some(folder.clone())).await,
                "file" => api.upload(&share, &name, &name, &content).await,
                _ => api.send("GET", &listing, "", None).await,
            };
            match sent {
                Some((200 | 201, _)) => {
                    let ended = Instant::now();
                    let good = Good { what, node, begun, ended };
                    notes.good.lock().expect("never poisoned").push(good);
                    break;
                }
                other => {
                    let status = other.map_or(0, |(status, _)| status);
                    assert!(status == 0 || status == 503, "{name}: {status}");
                    let why = format!("{what} {status}");
                    *notes.failed.lock().expect("never poisoned").entry(why).or_default() += 1;
                    if notes.stop.load(Ordering::Relaxed) {
                        return;
                    }
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
        if what != "read" {
            let content = if what == "file" { content } else { Vec::new() };
            notes.kept.lock().expect("never poisoned").insert(name, content);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// What is measured in all rounds, by what was asked for.
type Spans = BTreeMap<&'static str, Vec<Duration>>;

fn figures(spans: &mut Spans) {
    for (what, spans) in spans {
        spans.sort();
        let at = |percent: usize| spans[(spans.len() * percent).div_ceil(100).max(1) - 1];
        let (median, most, longest) = (at(50), at(95), at(100));
        eprintln!("{what}: {} times; p50 {median:?}, p95 {most:?}, max {longest:?}", spans.len());
    }
}

#[test]
fn nothing_is_lost_or_doubled_when_the_leader_is_ended_under_load() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let mut bench = Bench::form(home.path(), 3, false);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let token = bench.any().token("ann@example.com");
    let api = |url: &str| Api::new(url, &token, Duration::from_secs(30));
    let share = runtime.block_on(api(&bench.any().url).make_share());
    let notes = Arc::new(Notes::default());
    let mut spans = Spans::new();
    for round in 0..rounds() {
        let dead = bench.leader().expect("one leads");
        let others: Vec<usize> = bench.up().into_iter().filter(|at| *at != dead).collect();
        notes.stop.store(false, Ordering::Relaxed);
        let mut workers = Vec::new();
        for (&node, what) in others.iter().flat_map(|n| ["folder", "file", "read"].map(|w| (n, w)))
        {
            let (api, place) = (api(&bench.server(node).url), (share.clone(), round));
            workers.push(runtime.spawn(work(what, node, api, place, Arc::clone(&notes))));
        }
        std::thread::sleep(Duration::from_millis(1_000));
        let killed = Instant::now();
        bench.kill(dead);
        let is_after = |good: &Good| good.begun >= killed;
        tests::wait("all go on", || {
            let good = notes.good.lock().expect("never poisoned");
            let on: BTreeSet<_> =
                good.iter().filter(|g| is_after(g)).map(|g| (g.what, g.node)).collect();
            on.len() == workers.len()
        });
        notes.stop.store(true, Ordering::Relaxed);
        for worker in workers {
            runtime.block_on(worker).expect("a worker does not panic");
        }
        let good = std::mem::take(&mut *notes.good.lock().expect("never poisoned"));
        for (&node, what) in others.iter().flat_map(|n| ["folder", "file", "read"].map(|w| (n, w)))
        {
            let own = good.iter().filter(|g| g.node == node && g.what == what && is_after(g));
            let first = own.map(|g| g.ended).min().expect("it went on");
            spans.entry(what).or_default().push(first.duration_since(killed));
        }
        bench.start(dead);
        bench.wait_until_up();
        check(&runtime, &api(&bench.server(dead).url), &share, &notes, round);
    }
    figures(&mut spans);
    eprintln!("answers that had to be asked for again: {:?}", notes.failed.lock().expect("whole"));
    bench.check_logs();
}

/// Looks for all that was acknowledged, each once, and at the bytes of this round's files.
fn check(runtime: &tokio::runtime::Runtime, api: &Api, share: &str, notes: &Notes, round: u32) {
    let kept = notes.kept.lock().expect("never poisoned").clone();
    runtime.block_on(async {
        let items = api.children(share).await;
        let mut names = BTreeMap::new();
        for item in &items {
            let name = item["name"].as_str().expect("a name");
            let before = names.insert(name, item["id"].as_str().expect("an id"));
            assert!(before.is_none(), "{name} is there twice");
        }
        for (name, content) in &kept {
            let id = names.get(name.as_str()).unwrap_or_else(|| panic!("{name} is lost"));
            if content.is_empty() || !name.starts_with(&format!("{round:03}-")) {
                continue;
            }
            let response = api.get(&format!("/files/{id}/content")).await;
            let bytes = response.bytes().await.expect("the whole content");
            assert!(bytes == content.as_slice(), "{name} has other bytes");
        }
    });
}
