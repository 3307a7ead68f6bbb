//! Files through the whole surface: up in every way, down whole and in parts, and what is told of
//! them.

use api_ops::meta::Command;
use api_ops::meta::command::Upkeep;
use api_types::v1::folders::ROOT;
use axum::body::Body;
use bytes::Bytes;
use http::header;
use node_base::sha256;
use serde_json::{Value, json};

use crate::fixture::{Fixture, Reply, run};

/// Somebody with a share of their own.
pub(super) struct Desk {
    pub(super) fixture: Fixture,
    pub(super) token: String,
    pub(super) share: String,
}

impl Desk {
    pub(super) async fn new(fixture: Fixture) -> Self {
        let token = fixture.token(fixture.ann).await;
        let desk = Self { fixture, token, share: String::new() };
        let share = desk.share("plans").await;
        Self { share, ..desk }
    }

    /// Makes another share.
    pub(super) async fn share(&self, name: &str) -> String {
        let owner = self.fixture.ann.to_string();
        let share = json!({"name": name, "share_type": "project", "owner_id": owner});
        text(&self.post("/shares", share).await.expect(201).json()["id"])
    }

    pub(super) async fn get(&self, path: &str) -> Reply {
        self.fixture.get(&self.token, path).await
    }

    /// How many things are in the share's root.
    pub(super) async fn listed(&self) -> u64 {
        let list = format!("/folders/{ROOT}/children?share_id={}", self.share);
        self.get(&list).await.expect(200).json()["total"].as_u64().expect("a number")
    }

    pub(super) async fn post(&self, path: &str, body: Value) -> Reply {
        self.fixture.call("POST", &self.token, path, Some(body)).await
    }

    /// Sends bytes of a kind.
    pub(super) async fn send(&self, method: &str, path: &str, kind: &str, body: Bytes) -> Reply {
        let request = self
            .fixture
            .request(method, path)
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token))
            .header(header::CONTENT_TYPE, kind)
            .body(Body::from(body));
        self.fixture.send(request.expect("a request")).await
    }

    pub(super) async fn chunk(&self, session: &str, index: &str, bytes: &[u8]) -> Reply {
        let path = format!("/uploads/{session}/chunks/{index}");
        let body = Bytes::copy_from_slice(bytes);
        self.send("PUT", &path, "application/octet-stream", body).await
    }

    /// Opens a session by content for these chunks.
    pub(super) async fn session(&self, name: &str, chunks: &[&[u8]]) -> String {
        let size: usize = chunks.iter().map(|chunk| chunk.len()).sum();
        let chunks: Vec<Value> = chunks.iter().map(|chunk| declared(chunk)).collect();
        let body = json!({
            "share_id": self.share, "file_name": name, "file_size": size, "chunks": chunks,
        });
        text(&self.post("/uploads", body).await.expect(201).json()["session_id"])
    }

    pub(super) async fn complete(&self, session: &str) -> Reply {
        self.fixture.call("POST", &self.token, &format!("/uploads/{session}/complete"), None).await
    }

    /// Makes a file of one chunk; answers it.
    pub(super) async fn file(&self, name: &str, bytes: &[u8]) -> Value {
        let session = self.session(name, &[bytes]).await;
        self.chunk(&session, "0", bytes).await.expect(200);
        self.complete(&session).await.expect(200).json()
    }

    async fn ranged(&self, file: &str, range: &str) -> Reply {
        let request = self
            .fixture
            .request("GET", &format!("/files/{file}/content"))
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token))
            .header(header::RANGE, range)
            .body(Body::empty());
        self.fixture.send(request.expect("a request")).await
    }
}

pub(super) fn declared(chunk: &[u8]) -> Value {
    json!({"sha256": sha256(chunk).to_string(), "size": chunk.len()})
}

pub(super) fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

/// A batch of small files as a form.
pub(super) fn form<const N: usize>(boundary: &str, items: &Value, contents: [&str; N]) -> String {
    let head = |name: &str| {
        format!("--{boundary}\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n")
    };
    let mut form = format!("{}{items}\r\n", head("items"));
    for content in contents {
        form.push_str(&format!("{}{content}\r\n", head("content")));
    }
    form + &format!("--{boundary}--\r\n")
}

/// Bytes that no compression shortens.
pub(super) fn noise(length: usize, seed: u8) -> Vec<u8> {
    let blocks = (0u32..).map(|n| sha256(&[n.to_be_bytes().as_slice(), &[seed]].concat()).0);
    blocks.flatten().take(length).collect()
}

#[test]
fn a_file_goes_up_in_pieces_of_one_size_in_any_order() {
    run(|fixture| async move {
        let desk = Desk::new(fixture).await;
        let bytes = noise(200_000, 1);
        let body = json!({
            "share_id": desk.share, "file_name": "a.bin", "file_size": bytes.len(),
            "chunk_size": 65536, "checksum_sha256": sha256(&bytes).to_string(),
        });
        let opened = desk.post("/uploads", body).await.expect(201).json();
        assert_eq!(opened["total_chunks"], 4);
        assert_eq!(opened["missing"], json!([0, 1, 2, 3]));
        let session = text(&opened["session_id"]);
        for index in [3usize, 0, 2] {
            let chunk = bytes.chunks(65536).nth(index).expect("four of them");
            let told = desk.chunk(&session, &index.to_string(), chunk).await.expect(200).json();
            assert_eq!(told["sha256"], sha256(chunk).to_string());
        }
        let told = desk.get(&format!("/uploads/{session}")).await.expect(200).json();
        assert_eq!((&told["received"], &told["missing"]), (&json!(3), &json!([1])));
        let refused = desk.complete(&session).await.expect(422);
        assert_eq!(refused.json()["error"]["missing"], json!([1]));
        desk.chunk(&session, "1", &bytes[65536..131_072]).await.expect(200);
        let made = desk.complete(&session).await.expect(200).json();
        assert_eq!(made["checksum_status"], "verified");
        assert_eq!(made["file_id"], made["id"]);
        assert_eq!(desk.complete(&session).await.expect(200).json(), made);
        let file = text(&made["id"]);
        let got = desk.get(&format!("/files/{file}/content")).await.expect(200);
        assert_eq!(got.body, bytes);
        let tag = got.headers[header::ETAG].to_str().expect("text").to_owned();
        assert_eq!(tag, format!("\"{}\"", text(&made["version_id"])));
        assert_eq!(desk.chunk(&session, "1", b"late").await.expect(410).code(), "EXPIRED");
    });
}

#[test]
fn a_client_may_change_its_mind_about_a_piece_as_often_as_it_likes() {
    run(|fixture| async move {
        let desk = Desk::new(fixture).await;
        let bytes = noise(65_536, 3);
        let body = json!({
            "share_id": desk.share, "file_name": "a.bin", "file_size": 65_536,
            "chunk_size": 65_536, "checksum_sha256": sha256(&bytes).to_string(),
        });
        let opened = desk.post("/uploads", body).await.expect(201).json();
        let session = text(&opened["session_id"]);
        for seed in 1..=3 {
            desk.chunk(&session, "0", &noise(65_536, seed)).await.expect(200);
            // What the one before it was written under is spent from here on.
            let reap = Command::Upkeep(Upkeep::Reap { before: u64::MAX, limit: 100 });
            let _: u32 = desk.fixture.state.ops.agree_as_node(reap).await.expect("nodes may");
        }
        let made = desk.complete(&session).await.expect(200).json();
        let content = format!("/files/{}/content", text(&made["id"]));
        assert_eq!(desk.get(&content).await.expect(200).body, bytes);
    });
}

#[test]
fn what_the_share_holds_already_is_not_sent_again() {
    run(|fixture| async move {
        let desk = Desk::new(fixture).await;
        let (a, b, c) = (noise(70_000, 1), noise(80_000, 2), noise(90_000, 3));
        let first = desk.session("one", &[&a, &b]).await;
        let frame = |index: u32, bytes: &[u8]| {
            let length = bytes.len() as u32;
            [&index.to_le_bytes()[..], &length.to_le_bytes()[..], bytes].concat()
        };
        let both = [frame(0, &a), frame(1, &b), frame(1, &c)].concat();
        let path = format!("/uploads/{first}/chunks/batch");
        let sent = desk.send("POST", &path, "application/octet-stream", both.into()).await;
        let results = sent.expect(200).json()["results"].clone();
        let statuses: Vec<&Value> =
            results.as_array().expect("a list").iter().map(|r| &r["status"]).collect();
        assert_eq!(statuses, ["stored", "stored", "rejected"]);
        desk.complete(&first).await.expect(200);
        let body = json!({
            "share_id": desk.share, "file_name": "two", "file_size": 240_000,
            "chunks": [declared(&b), declared(&c), declared(&a)],
        });
        let opened = desk.post("/uploads", body).await.expect(201).json();
        assert_eq!(opened["missing"], json!([1]));
        let session = text(&opened["session_id"]);
        desk.chunk(&session, "1", &c).await.expect(200);
        let made = desk.complete(&session).await.expect(200).json();
        let whole = [b, c, a].concat();
        assert_eq!(made["checksum_sha256"], sha256(&whole).to_string());
        let manifest = format!("/files/{}/manifest", text(&made["id"]));
        let manifest = desk.get(&manifest).await.expect(200).json();
        let offsets: Vec<u64> = manifest["chunks"]
            .as_array()
            .expect("a list")
            .iter()
            .filter_map(|chunk| chunk["offset"].as_u64())
            .collect();
        assert_eq!(offsets, [0, 80_000, 170_000]);
        let got = desk.get(&format!("/files/{}/content", text(&made["id"]))).await.expect(200);
        assert_eq!(got.body, whole);
    });
}

#[test]
fn a_checksum_that_is_not_the_bytes_commits_nothing() {
    run(|fixture| async move {
        let desk = Desk::new(fixture).await;
        let (a, b) = (noise(1_000, 1), noise(1_000, 2));
        let session = desk.session("wrong", &[&a, &b]).await;
        desk.chunk(&session, "0", &a).await.expect(200);
        desk.chunk(&session, "1", &b).await.expect(200);
        let path = format!("/uploads/{session}/complete");
        let wrong = json!({"checksum_sha256": sha256(b"else").to_string()});
        let refused = desk.post(&path, wrong).await.expect(422);
        assert_eq!(refused.code(), "CHECKSUM_MISMATCH");
        assert_eq!(desk.listed().await, 0);
        let right = json!({"checksum_sha256": sha256(&[a, b].concat()).to_string()});
        let made = desk.post(&path, right).await.expect(200).json();
        assert_eq!(made["checksum_status"], "verified");
    });
}

#[test]
fn a_form_brings_one_file_and_a_batch_many() {
    run(|fixture| async move {
        let desk = Desk::new(fixture).await;
        let one = format!(
            "--b\r\ncontent-disposition: form-data; name=\"share_id\"\r\n\r\n{}\r\n\
             --b\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\n\
             content-type: text/plain\r\n\r\nhello\r\n--b--\r\n",
            desk.share
        );
        let kind = "multipart/form-data; boundary=b";
        let made = desk.send("POST", "/files", kind, one.clone().into()).await.expect(201).json();
        assert_eq!((&made["size"], &made["mime_type"]), (&json!(5), &json!("text/plain")));
        let again = desk.send("POST", "/files", kind, one.into()).await.expect(409);
        assert_eq!(again.code(), "NAME_CONFLICT");
        let items = json!([
            {"client_ref": "1", "path": "new/deep/b.txt"},
            {"client_ref": "2", "path": "a.txt"},
            {"client_ref": "3", "path": "", "replace_file_id": made["id"]},
        ]);
        let batch = form("b", &items, ["one", "two", "three"]);
        let path = format!("/files/batch?share_id={}", desk.share);
        let told = desk.send("POST", &path, kind, batch.into()).await.expect(200).json();
        let statuses: Vec<&Value> =
            told["results"].as_array().expect("a list").iter().map(|r| &r["status"]).collect();
        assert_eq!(statuses, ["created", "rejected", "replaced"], "{told}");
        assert_eq!(told["results"][0]["file"]["path"], "/new/deep/b.txt");
        assert_eq!(told["results"][1]["error"]["code"], "NAME_CONFLICT");
        assert_eq!(told["results"][2]["file"]["version"], 2);
    });
}

#[test]
fn ranges_of_a_content_are_what_they_say() {
    run(|fixture| async move {
        let desk = Desk::new(fixture).await;
        let (a, b) = (noise(70_000, 4), noise(70_000, 5));
        let session = desk.session("r", &[&a, &b]).await;
        desk.chunk(&session, "0", &a).await.expect(200);
        desk.chunk(&session, "1", &b).await.expect(200);
        let file = text(&desk.complete(&session).await.expect(200).json()["id"]);
        let whole = [a, b].concat();
        for (range, expected) in [
            ("bytes=0-0", 0..1),
            ("bytes=69999-70000", 69_999..70_001),
            ("bytes=139000-", 139_000..140_000),
            ("bytes=-10", 139_990..140_000),
            ("bytes=100-999999999", 100..140_000),
        ] {
            let got = desk.ranged(&file, range).await.expect(206);
            assert_eq!(got.body, &whole[expected.clone()], "{range}");
            let said = format!("bytes {}-{}/140000", expected.start, expected.end - 1);
            assert_eq!(got.headers[header::CONTENT_RANGE], said.as_str());
        }
        let many = desk.ranged(&file, "bytes=0-1,139998-").await.expect(206);
        let kind = many.headers[header::CONTENT_TYPE].to_str().expect("text");
        let boundary = kind.split("boundary=").nth(1).expect("a boundary");
        assert_eq!(many.text().matches(boundary).count(), 3);
        for (query, status, length) in [
            ("range_start=5&range_end=9", 206, 5),
            ("range_start=139999", 206, 1),
            ("range_start=140000", 416, 0),
            ("range_start=9&range_end=5", 416, 0),
            ("version=2", 404, 0),
            ("version=0", 422, 0),
        ] {
            let got = desk.get(&format!("/sync/download/{file}?{query}")).await.expect(status);
            assert!(status != 206 || got.body.len() == length, "{query}");
        }
    });
}

#[test]
fn old_versions_come_back_and_the_trash_gives_back() {
    run(|fixture| async move {
        let desk = Desk::new(fixture).await;
        let first = desk.file("a.txt", b"one").await;
        let file = text(&first["id"]);
        let body = json!({
            "share_id": desk.share, "file_name": "", "file_size": 3, "replace_file_id": file,
            "base_version_id": first["version_id"], "chunks": [declared(b"two")],
        });
        let session =
            text(&desk.post("/uploads", body.clone()).await.expect(201).json()["session_id"]);
        desk.chunk(&session, "0", b"two").await.expect(200);
        assert_eq!(desk.complete(&session).await.expect(200).json()["version"], 2);
        let mut stale = body;
        stale["chunks"] = json!([declared(b"too")]);
        let session = text(&desk.post("/uploads", stale).await.expect(201).json()["session_id"]);
        desk.chunk(&session, "0", b"too").await.expect(200);
        let conflict = desk.complete(&session).await.expect(409);
        assert_eq!(conflict.code(), "VERSION_CONFLICT");
        assert_eq!(conflict.json()["error"]["conflict"]["resource_id"], json!(file));
        let open = desk.get("/sync/conflicts").await.expect(200).json();
        assert_eq!(open["total"], 1);
        let conflict = text(&open["conflicts"][0]["id"]);
        let resolve = format!("/sync/conflicts/{conflict}/resolve?resolution=SERVER_WINS");
        let settled = desk.fixture.call("POST", &desk.token, &resolve, None).await.expect(200);
        assert_eq!(settled.json()["status"], "resolved");
        let list = format!("/files/{file}/versions");
        let versions = desk.get(&list).await.expect(200).json();
        let total = versions["total"].as_u64().expect("a number");
        let restore = format!("{list}/1/restore");
        let restored = desk.fixture.call("POST", &desk.token, &restore, None).await.expect(200);
        assert_eq!(restored.json()["version"], json!(total + 1));
        let content = format!("/files/{file}/content");
        assert_eq!(desk.get(&content).await.expect(200).body, "one");
        let prune = |n: u64| format!("{list}/{n}");
        desk.fixture.call("DELETE", &desk.token, &prune(2), None).await.expect(204);
        desk.fixture.call("DELETE", &desk.token, &prune(total + 1), None).await.expect(422);
        let delete =
            async |path: String| desk.fixture.call("DELETE", &desk.token, &path, None).await;
        delete(format!("/trash/file/{file}")).await.expect(404);
        delete(format!("/files/{file}")).await.expect(204);
        assert_eq!(desk.get(&format!("/files/{file}")).await.expect(410).code(), "TRASHED");
        let trash = desk.get(&format!("/trash?share_id={}", desk.share)).await.expect(200).json();
        assert_eq!((&trash["total"], &trash["items"][0]["id"]), (&json!(1), &json!(file)));
        let restore = format!("/trash/file/{file}/restore");
        let back = desk.fixture.call("POST", &desk.token, &restore, None).await.expect(200).json();
        assert_eq!((&back["is_deleted"], &back["type"]), (&json!(false), &json!("file")));
        delete(format!("/files/{file}")).await.expect(204);
        delete(format!("/trash/file/{file}")).await.expect(204);
        desk.get(&format!("/files/{file}")).await.expect(404);
    });
}

#[test]
fn a_purge_asked_for_again_under_its_key_is_answered_as_before() {
    run(|fixture| async move {
        let desk = Desk::new(fixture).await;
        let file = text(&desk.file("a.txt", b"one").await["id"]);
        let purge = async |key: &str| {
            let request = desk
                .fixture
                .request("DELETE", &format!("/trash/file/{file}"))
                .header(header::AUTHORIZATION, format!("Bearer {}", desk.token))
                .header("idempotency-key", key)
                .body(Body::empty());
            desk.fixture.send(request.expect("a request")).await
        };
        purge("early").await.expect(404);
        let delete = format!("/files/{file}");
        desk.fixture.call("DELETE", &desk.token, &delete, None).await.expect(204);
        purge("first").await.expect(204);
        purge("first").await.expect(204);
        purge("second").await.expect(404);
    });
}

#[test]
fn a_file_sent_again_under_its_key_is_answered_as_before() {
    run(|fixture| async move {
        let desk = Desk::new(fixture).await;
        let body = json!({"name": "f", "share_id": desk.share});
        let folder = text(&desk.post("/folders", body).await.expect(201).json()["id"]);
        let form = format!(
            "--b\r\ncontent-disposition: form-data; name=\"share_id\"\r\n\r\n{}\r\n\
             --b\r\ncontent-disposition: form-data; name=\"folder_id\"\r\n\r\n{folder}\r\n\
             --b\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\n\r\n\
             hello\r\n--b--\r\n",
            desk.share
        );
        let send = async |key: &str| {
            let request = desk
                .fixture
                .request("POST", "/files")
                .header(header::AUTHORIZATION, format!("Bearer {}", desk.token))
                .header(header::CONTENT_TYPE, "multipart/form-data; boundary=b")
                .header("idempotency-key", key)
                .body(Body::from(form.clone()));
            desk.fixture.send(request.expect("a request")).await
        };
        let made = send("one").await.expect(201).json();
        let delete = format!("/folders/{folder}");
        desk.fixture.call("DELETE", &desk.token, &delete, None).await.expect(204);
        assert_eq!(send("one").await.expect(201).json(), made);
        send("two").await.expect(410);
    });
}

#[test]
fn a_move_asked_for_again_under_its_key_is_answered_as_before_whatever_became_of_its_target() {
    run(|fixture| async move {
        let desk = Desk::new(fixture).await;
        let folder = async |name: &str| {
            let body = json!({"name": name, "share_id": desk.share});
            text(&desk.post("/folders", body).await.expect(201).json()["id"])
        };
        let (moved, target) = (folder("moved").await, folder("target").await);
        let ask = async |how: &str, key: &str| {
            let body = json!({"target_folder_id": target, "name": how}).to_string();
            let request = desk
                .fixture
                .request("POST", &format!("/folders/{moved}/{how}"))
                .header(header::AUTHORIZATION, format!("Bearer {}", desk.token))
                .header(header::CONTENT_TYPE, "application/json")
                .header("idempotency-key", key)
                .body(Body::from(body));
            desk.fixture.send(request.expect("a request")).await
        };
        let made = ask("move", "one").await.expect(200).json();
        let copied = ask("copy", "two").await.expect(201).json();
        let delete = format!("/folders/{target}?permanent=true");
        desk.fixture.call("DELETE", &desk.token, &delete, None).await.expect(204);
        let purge = Command::Upkeep(Upkeep::Release { limit: 100 });
        let done: u32 = desk.fixture.state.ops.agree_as_node(purge).await.expect("nodes may");
        assert!(done > 0);
        assert_eq!(ask("move", "one").await.expect(200).json(), made);
        assert_eq!(ask("copy", "two").await.expect(201).json(), copied);
        ask("move", "three").await.expect(404);
        ask("copy", "one").await.expect(422);
    });
}

#[test]
fn the_tag_of_a_file_tells_of_a_folder_above_that_was_renamed() {
    run(|fixture| async move {
        let desk = Desk::new(fixture).await;
        let folder = json!({"share_id": desk.share, "name": "one"});
        let folder = text(&desk.post("/folders", folder).await.expect(201).json()["id"]);
        let file = text(&desk.file("a", b"1").await["id"]);
        let to = json!({"target_folder_id": folder});
        desk.post(&format!("/files/{file}/move"), to).await.expect(200);
        let path = format!("/files/{file}");
        let first = desk.get(&path).await.expect(200);
        let ask = async |method: &str, condition: &str, body: &'static str| {
            let request = desk
                .fixture
                .request(method, &path)
                .header(header::AUTHORIZATION, format!("Bearer {}", desk.token))
                .header(condition, &first.headers[header::ETAG])
                .body(Body::from(body));
            desk.fixture.send(request.expect("a request")).await
        };
        ask("GET", "if-none-match", "").await.expect(304);
        let token = &desk.token;
        let renamed = Some(json!({"name": "two"}));
        desk.fixture.call("PATCH", token, &format!("/folders/{folder}"), renamed).await.expect(200);
        let told = ask("GET", "if-none-match", "").await.expect(200).json();
        assert_eq!(told["path"], "/two/a");
        // The file itself is as it was.
        ask("PATCH", "if-match", "{\"name\":\"b\"}").await.expect(200);
        ask("PATCH", "if-match", "{\"name\":\"c\"}").await.expect(412);
    });
}

#[test]
fn what_is_closed_is_answered_as_what_is_not_there() {
    run(|fixture| async move {
        let desk = Desk::new(fixture).await;
        let other = desk.share("other").await;
        let join = json!({
            "principal_type": "user", "principal_id": desk.fixture.bob.to_string(),
            "role": "contributor",
        });
        desk.post(&format!("/shares/{}/members", desk.share), join).await.expect(201);
        let folder = json!({"share_id": desk.share, "name": "private"});
        let folder = text(&desk.post("/folders", folder).await.expect(201).json()["id"]);
        let secret = text(&desk.file("secret", b"1").await["id"]);
        let to = json!({"target_folder_id": folder});
        desk.post(&format!("/files/{secret}/move"), to).await.expect(200);
        let closed = Some(json!({"inherit_from_parent": false}));
        let path = format!("/permissions/acl/folder/{folder}/inheritance");
        let reply = desk.fixture.call("PUT", &desk.token, &path, closed).await;
        assert!(reply.status.is_success(), "{}", reply.text());
        let mine = text(&desk.file("mine", b"2").await["id"]);
        let token = desk.fixture.token(desk.fixture.bob).await;
        let desk = Desk { token, ..desk };

        let nowhere = node_base::FolderId::from(7).to_string();
        let mut told = Vec::new();
        for folder in [&folder, &nowhere] {
            let to = json!({"target_folder_id": folder, "target_share_id": other});
            told.push(desk.post(&format!("/files/{mine}/copy"), to).await.expect(404).json());
        }
        assert_eq!(told[0]["detail"], told[1]["detail"]);

        let unknown = node_base::FileId::from(7).to_string();
        let device = json!({"device_id": "dev_bob", "device_name": "bob"});
        desk.post("/sync/devices", device).await.expect(201);
        let deletes: Vec<Value> = [&secret, &unknown]
            .into_iter()
            .map(|file| {
                json!({"client_ref": "1", "change_type": "deleted", "resource_type": "file",
                    "resource_id": file})
            })
            .collect();
        let body = json!({"share_id": desk.share, "device_id": "dev_bob", "changes": deletes});
        let results = desk.post("/sync/apply", body).await.expect(200).json()["results"].clone();
        assert_eq!(results[0], results[1]);

        let items = json!([
            {"client_ref": "1", "path": "private/secret/x"},
            {"client_ref": "1", "path": "private/nothing/x"},
        ]);
        let body = form("b", &items, ["x", "x"]);
        let path = format!("/files/batch?share_id={}", desk.share);
        let kind = "multipart/form-data; boundary=b";
        let results = desk.send("POST", &path, kind, Bytes::from(body)).await.expect(200).json();
        assert_eq!(results["results"][0], results["results"][1]);
        assert_eq!(results["results"][0]["error"]["code"], "NOT_FOUND");
    });
}
