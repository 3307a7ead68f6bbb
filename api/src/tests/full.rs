//! Full drives: each way for bytes to come is refused with a sentence, nothing that was there is
//! lost, and when there is room again the same requests succeed.

use std::path::Path;

use bytes::Bytes;
use node_base::NodeId;
use serde_json::json;
use simulator_world::{DiskFaults, Sim};

use super::files::{Desk, form, noise, text};
use super::input::refused;
use crate::fixture::{Reply, run_in};

const NODE: NodeId = NodeId(1);
const BYTES: &str = "application/octet-stream";
const FORM: &str = "multipart/form-data; boundary=b";

/// Leaves so many bytes on the node's drives, and no more.
fn leave(desk: &Desk, sim: &Sim, free: u64) {
    sim.set_disk_faults(NODE, DiskFaults::default());
    let space = desk.fixture.world.disk().space(Path::new("data")).expect("it is there");
    let capacity = Some(space.total - space.free + free);
    sim.set_disk_faults(NODE, DiskFaults { capacity, ..DiskFaults::default() });
}

/// What takes bytes: a chunk, a batch of chunks, a batch of files, a file.
async fn sends(desk: &Desk, session: &str) -> [Reply; 4] {
    let content = String::from_utf8(vec![b'x'; 3_000]).expect("text");
    let framed = [&1u32.to_le_bytes()[..], &70_000u32.to_le_bytes(), &noise(70_000, 2)].concat();
    let frames = format!("/uploads/{session}/chunks/batch");
    let items = json!([{"client_ref": "1", "path": "small"}]);
    let files = format!("/files/batch?share_id={}", desk.share);
    let one = format!(
        "--b\r\ncontent-disposition: form-data; name=\"share_id\"\r\n\r\n{}\r\n\
         --b\r\ncontent-disposition: form-data; name=\"file\"; filename=\"one\"\r\n\r\n\
         1{content}\r\n--b--\r\n",
        desk.share
    );
    [
        desk.chunk(session, "0", &noise(70_000, 1)).await,
        desk.send("POST", &frames, BYTES, Bytes::from(framed)).await,
        desk.send("POST", &files, FORM, form("b", &items, [&content]).into()).await,
        desk.send("POST", "/files", FORM, one.into()).await,
    ]
}

#[test]
fn full_drives_take_nothing_lose_nothing_and_go_on_when_there_is_room() {
    run_in(|fixture, sim| async move {
        let desk = Desk::new(fixture).await;
        let before = desk.file("before", &noise(5_000, 9)).await;
        let session = desk.session("a", &[&noise(70_000, 1), &noise(70_000, 2)]).await;
        // Room for the log, and none for chunks.
        leave(&desk, &sim, 4 << 20);
        for reply in sends(&desk, &session).await {
            assert_eq!(reply.headers["retry-after"], "60", "{}", reply.text());
            refused(reply, 503, "UNAVAILABLE");
        }
        refused(desk.complete(&session).await, 422, "VALIDATION");
        let state = desk.get(&format!("/uploads/{session}")).await.expect(200).json();
        assert_eq!(state["missing"], json!([0, 1]));
        assert_eq!(desk.listed().await, 1);
        let content = format!("/files/{}/content", text(&before["id"]));
        assert_eq!(desk.get(&content).await.expect(200).body, noise(5_000, 9));
        // What is known already needs no room.
        desk.file("again", &noise(5_000, 9)).await;
        sim.set_disk_faults(NODE, DiskFaults::default());
        for (reply, status) in sends(&desk, &session).await.into_iter().zip([200, 200, 200, 201]) {
            reply.expect(status);
        }
        let made = desk.complete(&session).await.expect(200).json();
        let content = format!("/files/{}/content", text(&made["id"]));
        let whole = [noise(70_000, 1), noise(70_000, 2)].concat();
        assert_eq!(desk.get(&content).await.expect(200).body, whole);
        assert_eq!(desk.listed().await, 5);
    });
}
