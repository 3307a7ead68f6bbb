//! The node is ended hard, again and again, while people work.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::StatusCode;
use tests::{Api, Server, Start};

/// How often the node is ended; `SCAIDRIVE_TEST_KILLS` says otherwise.
fn rounds() -> u32 {
    let asked = std::env::var("SCAIDRIVE_TEST_KILLS").ok();
    asked.and_then(|text| text.parse().ok()).unwrap_or(12)
}

/// What was acknowledged: names and what they hold.
type Acknowledged = Arc<Mutex<BTreeMap<String, Vec<u8>>>>;

fn api(server: &Server) -> Api {
    Api::new(&server.url, &server.token("ann@example.com"), Duration::from_secs(30))
}

/// Whether an upload was acknowledged.
async fn uploads(api: &Api, share: &str, name: &str, content: &[u8]) -> bool {
    let status = api.upload(share, name, "", content).await.map(|(status, _)| status);
    assert!(status != Some(500), "{name}");
    status == Some(201)
}

/// Uploads until the node is gone; what was acknowledged is noted.
async fn load(server: &Server, share: &str, round: u32, acknowledged: &Acknowledged) {
    let stop = Arc::new(AtomicBool::new(false));
    let mut workers = Vec::new();
    for worker in 0..4 {
        let (api, share) = (api(server), share.to_owned());
        let (acknowledged, stop) = (Arc::clone(acknowledged), Arc::clone(&stop));
        workers.push(tokio::spawn(async move {
            let mut count = 0;
            while !stop.load(Ordering::Relaxed) {
                let name = format!("{round:04}-{worker}-{count:05}.bin");
                let size = [10, 3_000, 90_000, 700_000][(worker + count) % 4];
                let content = crate::random_bytes(size);
                if !uploads(&api, &share, &name, &content).await {
                    break;
                }
                acknowledged.lock().expect("never poisoned").insert(name, content);
                count += 1;
            }
        }));
    }
    // Until some work is done; then at once.
    let before = acknowledged.lock().expect("never poisoned").len();
    while acknowledged.lock().expect("never poisoned").len() < before + 20 + round as usize % 7 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    stop.store(true, Ordering::Relaxed);
    let pid = rustix::process::Pid::from_raw(server.pid().cast_signed()).expect("a process");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("it is ours");
    for worker in workers {
        worker.await.expect("a worker does not panic");
    }
}

/// The change stream from the beginning: numbers without gap or repeat, and the names it creates.
async fn stream(api: &Api, share: &str) -> Vec<String> {
    let (mut cursor, mut names, mut number) = (String::new(), Vec::new(), 0);
    loop {
        let from = if cursor.is_empty() { String::new() } else { format!("&cursor={cursor}") };
        let page = api.json(&format!("/sync/changes?share_id={share}&limit=777{from}")).await;
        for change in page["changes"].as_array().expect("a list") {
            let seq = change["seq"].as_u64().expect("a number");
            assert_eq!(seq, number + 1, "the stream has a gap or a repeat");
            number = seq;
            if change["change_type"] == "created" && change["resource_type"] == "file" {
                names.push(change["name"].as_str().expect("a name").to_owned());
            }
        }
        cursor = page["cursor"].as_str().expect("a cursor").to_owned();
        if page["has_more"] != true {
            return names;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_acknowledged_write_survives_a_hard_end_of_the_node() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let mut server = Start::at(&home.path().join("data")).ready();
    let share = api(&server).make_share().await;
    let acknowledged = Acknowledged::default();
    for round in 0..rounds() {
        load(&server, &share, round, &acknowledged).await;
        server = server.kill().ready();
        let api = api(&server);
        let mut names = stream(&api, &share).await;
        names.sort();
        let distinct = names.len();
        names.dedup();
        assert_eq!(names.len(), distinct, "a file was created twice");
        let kept = acknowledged.lock().expect("never poisoned").clone();
        for name in kept.keys() {
            assert!(names.binary_search(name).is_ok(), "{name} was acknowledged and is gone");
        }
        check_contents(&api, &share, &kept, round).await;
    }
    let log = server.log();
    assert!(!log.contains("panicked") && !log.contains("ERROR"), "{log}");
    assert_eq!(server.stop(), Some(0));
}

/// The contents of this round's files, and of all of them after the last round.
async fn check_contents(api: &Api, share: &str, kept: &BTreeMap<String, Vec<u8>>, round: u32) {
    let everything = round + 1 == rounds();
    let prefix = format!("{round:04}-");
    for item in api.children(share).await {
        let name = item["name"].as_str().expect("a name");
        let Some(content) = kept.get(name) else { continue };
        if everything || name.starts_with(&prefix) {
            let id = item["id"].as_str().expect("an id");
            let response = api.get(&format!("/files/{id}/content")).await;
            assert_eq!(response.status(), StatusCode::OK, "{name}");
            let bytes = response.bytes().await.expect("the whole content");
            assert!(bytes == content.as_slice(), "{name} has other bytes");
        }
    }
}
