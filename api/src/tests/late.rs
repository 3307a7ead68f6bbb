//! What comes too late or too early: sessions that have ended, cursors that are ahead of the log.

use std::sync::{Arc, Mutex};

use api_ops::meta::Command;
use api_ops::meta::command::Upkeep;
use bytes::Bytes;
use node_base::NodeId;
use serde_json::json;

use super::files::{Desk, declared, noise, text};
use super::input::refused;
use crate::fixture::{Reply, run, run_in};

const NODE: NodeId = NodeId(1);
const DAY_MS: i64 = 24 * 3_600 * 1_000;

/// Has the node do some upkeep; answers how many rows it found to do.
async fn upkeep(desk: &Desk, command: Upkeep) -> u32 {
    let command = Command::Upkeep(command);
    desk.fixture.state.ops.agree_as_node(command).await.expect("nodes may")
}

/// Every call on the session but giving it up.
async fn calls(desk: &Desk, session: &str) -> Vec<Reply> {
    let path = format!("/uploads/{session}");
    let frame = [&0u32.to_le_bytes()[..], &3u32.to_le_bytes(), b"abc"].concat();
    let batch = format!("{path}/chunks/batch");
    let change = json!({
        "client_ref": "1", "resource_type": "file", "change_type": "created", "name": "z",
        "upload_session_id": session,
    });
    let apply = json!({"device_id": "dev_laptop", "share_id": desk.share, "changes": [change]});
    let applied = desk.post("/sync/apply", apply).await.expect(200).json();
    assert_eq!(applied["results"][0]["status"], "rejected", "{applied}");
    vec![
        desk.get(&path).await,
        desk.chunk(session, "0", b"abc").await,
        desk.send("POST", &batch, "application/octet-stream", Bytes::from(frame)).await,
        desk.post(&format!("{path}/chunks"), json!({"chunks": [declared(b"x")]})).await,
        desk.complete(session).await,
    ]
}

#[test]
fn a_session_ends_a_day_after_its_last_chunk_and_gives_its_chunks_back() {
    run_in(|fixture, sim| async move {
        let mut desk = Desk::new(fixture).await;
        let device = json!({"device_id": "dev_laptop", "device_name": "x", "platform": "linux",
            "client_version": "1"});
        desk.post("/sync/devices", device.clone()).await.expect(201);
        let body = json!({"share_id": desk.share, "file_name": "a", "file_size": 1_004,
            "chunks": [declared(b"abc"), declared(&noise(1_000, 1))]});
        let session = text(&desk.post("/uploads", body).await.expect(201).json()["session_id"]);
        desk.chunk(&session, "1", &noise(1_000, 1)).await.expect(200);
        // Log time is that of the last command: any will do.
        sim.set_skew_ms(NODE, DAY_MS);
        desk.token = desk.fixture.token(desk.fixture.ann).await;
        desk.post("/sync/devices", device).await.expect(201);
        for reply in calls(&desk, &session).await {
            refused(reply, 410, "EXPIRED");
        }
        assert_eq!(upkeep(&desk, Upkeep::Reap { before: u64::MAX, limit: 10 }).await, 0);
        assert!(upkeep(&desk, Upkeep::Expire { limit: 10 }).await > 0);
        for reply in calls(&desk, &session).await {
            refused(reply, 410, "EXPIRED");
        }
        while upkeep(&desk, Upkeep::Release { limit: 10 }).await > 0 {}
        assert_eq!(upkeep(&desk, Upkeep::Reap { before: u64::MAX, limit: 10 }).await, 1);
        let path = format!("/uploads/{session}");
        desk.fixture.call("DELETE", &desk.token, &path, None).await.expect(204);
        // In the end it is as if it had never been.
        sim.set_skew_ms(NODE, 2 * DAY_MS);
        upkeep(&desk, Upkeep::Expire { limit: 10 }).await;
        desk.token = desk.fixture.token(desk.fixture.ann).await;
        for reply in calls(&desk, &session).await {
            refused(reply, 404, "NOT_FOUND");
        }
        // What was to go up goes up in another session.
        desk.file("a", &noise(1_000, 1)).await;
    });
}

/// A cursor that was really given out by this very cluster, in a course of things in which more had
/// happened: the same share, the same incarnation, the right seal.
#[test]
fn a_cursor_of_the_future_is_refused_and_its_share_goes_on() {
    let told = Arc::new(Mutex::new(String::new()));
    for happens in [true, false] {
        let told = Arc::clone(&told);
        run(move |fixture| async move {
            let desk = Desk::new(fixture).await;
            let url = format!("/sync/changes?share_id={}", desk.share);
            let folder =
                |name| desk.post("/folders", json!({"share_id": desk.share, "name": name}));
            if happens {
                folder("a").await.expect(201);
                folder("b").await.expect(201);
                let latest = desk.get(&format!("{url}&cursor=latest")).await.expect(200).json();
                *told.lock().expect("not poisoned") = text(&latest["cursor"]);
                return;
            }
            let cursor = told.lock().expect("not poisoned").clone();
            let ahead = format!("{url}&cursor={cursor}");
            let waiting = format!("{ahead}&wait=60");
            for path in [&ahead, &waiting] {
                let reply = desk.get(path).await;
                assert_eq!(reply.json()["detail"][0]["msg"], "is ahead of all changes");
                refused(reply, 422, "VALIDATION");
            }
            let device = json!({"device_id": "dev_laptop", "device_name": "x",
                "platform": "linux", "client_version": "1"});
            desk.post("/sync/devices", device).await.expect(201);
            let come = json!({"share_id": desk.share, "device_id": "dev_laptop", "cursor": cursor});
            refused(desk.post("/sync/cursor", come).await, 422, "VALIDATION");
            // When as much has happened it is a cursor like any other.
            folder("a").await.expect(201);
            folder("b").await.expect(201);
            assert_eq!(desk.get(&ahead).await.expect(200).json()["changes"], json!([]));
        });
    }
}
