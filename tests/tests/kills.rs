//! The node is ended hard, again and again, while people work.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};
use tests::{Server, Start};

/// How often the node is ended; `SCAIDRIVE_TEST_KILLS` says otherwise.
fn rounds() -> u32 {
    let asked = std::env::var("SCAIDRIVE_TEST_KILLS").ok();
    asked.and_then(|text| text.parse().ok()).unwrap_or(12)
}

/// What was acknowledged: names and what they hold.
type Acknowledged = Arc<Mutex<BTreeMap<String, Vec<u8>>>>;

struct Api {
    http: reqwest::Client,
    url: String,
    token: String,
}

impl Api {
    async fn get(&self, path: &str) -> reqwest::Response {
        let request = self.http.get(format!("{}/api/v1{path}", self.url)).bearer_auth(&self.token);
        request.send().await.expect("the node answers")
    }

    async fn json(&self, path: &str) -> Value {
        let response = self.get(path).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        serde_json::from_slice(&response.bytes().await.expect("a body")).expect("an answer is JSON")
    }

    /// Uploads a file in one request; whether that was acknowledged.
    async fn upload(&self, share: &str, name: &str, content: Vec<u8>) -> bool {
        let boundary = "a-boundary-that-is-in-no-content";
        let head = format!(
            "--{boundary}\r\ncontent-disposition: form-data; name=\"share_id\"\r\n\r\n{share}\r\n\
             --{boundary}\r\ncontent-disposition: form-data; name=\"file\"; \
             filename=\"{name}\"\r\n\r\n"
        );
        let body =
            [head.as_bytes(), &content, format!("\r\n--{boundary}--\r\n").as_bytes()].concat();
        let request = self
            .http
            .post(format!("{}/api/v1/files", self.url))
            .bearer_auth(&self.token)
            .header("content-type", format!("multipart/form-data; boundary={boundary}"))
            .body(body);
        match request.send().await {
            Ok(response) if response.status() == StatusCode::CREATED => true,
            Ok(response) => {
                assert!(response.status() != StatusCode::INTERNAL_SERVER_ERROR, "{name}");
                false
            }
            Err(_) => false,
        }
    }
}

fn api(server: &Server) -> Api {
    // A second choice of the provider is refused, and is the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let http = reqwest::Client::builder().timeout(Duration::from_secs(30)).build();
    Api {
        http: http.expect("a client"),
        url: server.url.clone(),
        token: server.token("ann@example.com"),
    }
}

async fn make_share(api: &Api) -> String {
    let me = api.json("/users/me").await;
    let body = json!({ "name": "Load", "share_type": "project", "owner_id": me["id"] });
    let request = api.http.post(format!("{}/api/v1/shares", api.url)).bearer_auth(&api.token);
    let response = request
        .header("content-type", "application/json")
        .body(body.to_string())
        .send()
        .await
        .expect("the node answers");
    assert_eq!(response.status(), StatusCode::CREATED);
    let body = response.bytes().await.expect("a body");
    let share: Value = serde_json::from_slice(&body).expect("JSON");
    share["id"].as_str().expect("an id").to_owned()
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
                if !api.upload(&share, &name, content.clone()).await {
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
    let share = make_share(&api(&server)).await;
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
    let mut offset = 0;
    loop {
        let path = format!("/folders/root/children?share_id={share}&limit=1000&offset={offset}");
        let page = api.json(&path).await;
        let items = page["items"].as_array().expect("a list");
        for item in items {
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
        offset += items.len();
        if items.is_empty() || offset as u64 >= page["total"].as_u64().expect("a number") {
            return;
        }
    }
}
