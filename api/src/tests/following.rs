//! Changes, snapshots and devices through the whole surface.

use http::header;
use serde_json::{Value, json};

use super::files::{Desk, declared, text};
use crate::fixture::{Reply, run};

fn names(changes: &Value) -> Vec<String> {
    let changes = changes["changes"].as_array().expect("a list").iter();
    changes.map(|change| format!("{} {}", text(&change["change_type"]), change["name"])).collect()
}

#[test]
fn changes_are_told_once_and_in_order() {
    run(|fixture| async move {
        let desk = Desk::new(fixture).await;
        let url =
            |cursor: &str| format!("/sync/changes?share_id={}&limit=2&cursor={cursor}", desk.share);
        let from = text(&desk.get(&url("latest")).await.expect(200).json()["cursor"]);
        for name in ["a", "b", "c"] {
            let folder = json!({"share_id": desk.share, "name": name});
            desk.post("/folders", folder).await.expect(201);
        }
        let first = desk.get(&url(&from)).await.expect(200).json();
        assert_eq!(names(&first), ["created \"a\"", "created \"b\""]);
        assert_eq!(first["has_more"], true);
        let rest = desk.get(&url(&text(&first["cursor"]))).await.expect(200).json();
        assert_eq!(names(&rest), ["created \"c\""]);
        let none = desk.get(&url(&text(&rest["cursor"]))).await.expect(200).json();
        assert_eq!((names(&none), &none["has_more"]), (Vec::new(), &json!(false)));
        let waited = format!("{}&wait=30", url(&text(&rest["cursor"])));
        let slow = desk.get(&waited);
        let made = async {
            desk.fixture.world.sleep(node_base::Duration::from_secs(2)).await;
            let folder = json!({"share_id": desk.share, "name": "d"});
            desk.post("/folders", folder).await.expect(201);
        };
        let (told, ()) = futures_util::join!(slow, made);
        assert_eq!(names(&told.expect(200).json()), ["created \"d\""]);
        let all = desk.get("/sync/changes").await.expect(200).json();
        assert_eq!(all["share_id"], Value::Null);
    });
}

#[test]
fn a_snapshot_names_parents_first_and_ends_with_a_cursor_that_goes_on() {
    run(|fixture| async move {
        let desk = Desk::new(fixture).await;
        let mut parent = Value::Null;
        for name in ["x", "y", "z"] {
            let folder = json!({"share_id": desk.share, "name": name, "parent_id": parent});
            parent = desk.post("/folders", folder).await.expect(201).json()["id"].clone();
        }
        desk.file("file", b"1").await;
        let url = format!("/sync/snapshot?share_id={}", desk.share);
        let got = desk.get(&url).await.expect(200);
        assert_eq!(got.headers[header::CONTENT_TYPE], "application/x-ndjson");
        let lines: Vec<Value> = got
            .text()
            .lines()
            .map(|line| serde_json::from_str(line).expect("a line is JSON"))
            .collect();
        let paths: Vec<&Value> = lines.iter().map(|line| &line["path"]).collect();
        assert_eq!(paths.len(), 5);
        for path in ["/x", "/x/y", "/x/y/z", "/file"] {
            assert!(paths.contains(&&json!(path)), "{path}");
        }
        let cursor = text(&lines[4]["cursor"]);
        let after = format!("/sync/changes?share_id={}&cursor={cursor}", desk.share);
        assert_eq!(names(&desk.get(&after).await.expect(200).json()), Vec::<String>::new());
        let below = format!("{url}&folder_id={}", text(&parent));
        assert_eq!(desk.get(&below).await.expect(200).text().lines().count(), 2);
    });
}

#[test]
fn a_device_registers_applies_a_tree_and_says_how_far_it_is() {
    run(|fixture| async move {
        let desk = Desk::new(fixture).await;
        let device = json!({"device_id": "dev_laptop", "device_name": "Laptop"});
        let status = format!("/sync/status?share_id={}&device_id=dev_laptop", desk.share);
        desk.get(&status).await.expect(404);
        let made = desk.post("/sync/devices", device).await.expect(201).json();
        assert_eq!((&made["device_name"], &made["cursors"]), (&json!("Laptop"), &json!([])));
        let session = desk.session("ignored", &[b"note"]).await;
        desk.chunk(&session, "0", b"note").await.expect(200);
        let apply = json!({
            "device_id": "dev_laptop", "share_id": desk.share,
            "changes": [
                {"client_ref": "1", "resource_type": "folder", "change_type": "created",
                 "name": "a"},
                {"client_ref": "2", "resource_type": "folder", "change_type": "created",
                 "name": "b", "parent_ref": "1"},
                {"client_ref": "3", "resource_type": "file", "change_type": "created",
                 "name": "n.txt", "parent_ref": "2", "upload_session_id": session},
                {"client_ref": "4", "resource_type": "folder", "change_type": "created",
                 "name": "a/b"},
            ],
        });
        let told = desk.post("/sync/apply", apply).await.expect(200).json();
        let statuses: Vec<&Value> =
            told["results"].as_array().expect("a list").iter().map(|r| &r["status"]).collect();
        assert_eq!(statuses, ["applied", "applied", "applied", "rejected"], "{told}");
        assert_eq!(told["results"][2]["resource"]["path"], "/a/b/n.txt");
        let cursor = told["cursor"].clone();
        let stands = json!({"share_id": desk.share, "device_id": "dev_laptop", "cursor": cursor});
        let before = desk.get(&status).await.expect(200).json();
        assert!(before["pending_changes"].as_u64().expect("a number") >= 3);
        let stands = desk.post("/sync/cursor", stands).await.expect(200).json();
        assert_eq!(stands["pending_changes"], 0);
        assert_eq!(stands["cursor"], cursor);
        let folder = told["results"][0]["resource"]["id"].clone();
        let keep = json!({"share_id": desk.share, "mode": "selected", "folders": [folder]});
        let path = "/sync/devices/dev_laptop/preferences";
        desk.fixture.call("PUT", &desk.token, path, Some(keep.clone())).await.expect(200);
        let kept = desk.get(&format!("{path}?share_id={}", desk.share)).await.expect(200).json();
        assert_eq!(kept, keep);
        let rename = json!({"device_name": "Desk", "platform": "linux"});
        let path = "/sync/devices/dev_laptop";
        let named = desk.fixture.call("PATCH", &desk.token, path, Some(rename)).await.expect(200);
        assert_eq!(named.json()["platform"], "linux");
        desk.fixture.call("DELETE", &desk.token, path, None).await.expect(204);
        assert_eq!(desk.get("/sync/devices").await.expect(200).json()["total"], 0);
        desk.post("/uploads", json!({
            "share_id": desk.share, "file_name": "n", "file_size": 4, "chunks": [declared(b"note")],
        })).await.expect(201);
    });
}

#[test]
fn a_malformed_change_is_rejected_alone() {
    run(|fixture| async move {
        let desk = Desk::new(fixture).await;
        let device = json!({"device_id": "dev_laptop", "device_name": "Laptop"});
        desk.post("/sync/devices", device).await.expect(201);
        let results = apply(&desk, malformed()).await.expect(200).json()["results"].clone();
        let told: Vec<(&str, &str)> = results
            .as_array()
            .expect("a list")
            .iter()
            .map(|r| (r["client_ref"].as_str().expect("text"), r["status"].as_str().expect("it")))
            .collect();
        let no = "rejected";
        assert_eq!(
            told,
            [
                ("first", "applied"),
                ("number", no),
                ("kind", no),
                ("", no),
                ("", no),
                ("", no),
                ("id", no),
                ("time", no),
                ("below", no),
                ("", no),
                ("last", "applied"),
            ]
        );
        for rejected in 1..=9 {
            let code = &results[rejected]["error"]["code"];
            assert_eq!(code, "VALIDATION", "{rejected}: {results}");
        }
        let detail = results[1]["error"]["detail"].as_str().expect("a sentence");
        assert!(detail.contains("name") && detail.contains("string"), "{detail}");
    });
}

/// Changes of which the first and the last alone can be made.
fn malformed() -> Value {
    let folder = |client_ref: Value, name: Value| {
        json!({"client_ref": client_ref, "resource_type": "folder",
            "change_type": "created", "name": name})
    };
    let deep = (0..50).fold(json!([]), |deep, _| json!([deep]));
    json!([
        folder(json!("first"), json!("a")),
        folder(json!("number"), json!(7)),
        {"client_ref": "kind", "resource_type": "sheet", "change_type": "created"},
        null,
        deep,
        folder(json!({"deep": deep}), json!("b")),
        {"client_ref": "id", "resource_type": "file", "change_type": "deleted",
         "resource_id": "no id"},
        {"client_ref": "time", "resource_type": "file", "change_type": "updated",
         "resource_id": "fil_00000000000000000000000001", "client_modified_at": "noon"},
        {"client_ref": "below", "resource_type": "folder", "change_type": "created",
         "name": "c", "parent_ref": "number"},
        folder(json!("x".repeat(300)), json!("d")),
        folder(json!("last"), json!("e")),
    ])
}

async fn apply(desk: &Desk, changes: Value) -> Reply {
    let body = json!({"device_id": "dev_laptop", "share_id": desk.share, "changes": changes});
    desk.post("/sync/apply", body).await
}

#[test]
fn a_batch_is_a_list_of_changes_and_bounded() {
    run(|fixture| async move {
        let desk = Desk::new(fixture).await;
        let device = json!({"device_id": "dev_laptop", "device_name": "Laptop"});
        desk.post("/sync/devices", device).await.expect(201);
        let twice = format!(
            r#"{{"device_id": "dev_laptop", "share_id": "{}", "changes": [
                {{"client_ref": "1", "resource_type": "folder", "change_type": "created",
                  "name": "f", "name": "g"}}]}}"#,
            desk.share
        );
        let twice = desk.send("POST", "/sync/apply", "application/json", twice.into()).await;
        assert_eq!(twice.expect(200).json()["results"][0]["status"], "rejected");
        apply(&desk, vec![Value::Null; 1_001].into()).await.expect(422);
        apply(&desk, json!({})).await.expect(422);
        apply(&desk, json!([])).await.expect(200);
    });
}

#[test]
fn what_a_change_says_of_its_file_is_kept_and_needs_no_content() {
    run(|fixture| async move {
        let desk = Desk::new(fixture).await;
        let device = json!({"device_id": "dev_laptop", "device_name": "Laptop"});
        desk.post("/sync/devices", device).await.expect(201);
        let apply = async |change: Value| {
            apply(&desk, json!([change])).await.expect(200).json()["results"][0].clone()
        };
        let session = desk.session("ignored", &[b"note"]).await;
        desk.chunk(&session, "0", b"note").await.expect(200);
        let made = apply(json!({
            "client_ref": "1", "resource_type": "file", "change_type": "created", "name": "run.sh",
            "upload_session_id": session, "client_modified_at": "2026-01-02T03:04:05.000Z",
            "executable": true,
        }))
        .await["resource"]
            .clone();
        assert_eq!(made["client_modified_at"], "2026-01-02T03:04:05.000Z");
        assert_eq!(made["executable"], true);
        let change = |what: Value| {
            let mut change = json!({
                "client_ref": "1", "resource_type": "file", "change_type": "updated",
                "resource_id": made["id"], "base_version_id": made["version_id"],
            });
            let what = what.as_object().expect("fields").clone();
            change.as_object_mut().expect("fields").extend(what);
            change
        };
        let told = apply(change(json!({"executable": false}))).await;
        assert_eq!(
            (&told["status"], &told["resource"]["executable"]),
            (&json!("applied"), &json!(false)),
            "{told}"
        );
        let told = apply(change(json!({"client_modified_at": "2026-02-02T03:04:05.000Z"}))).await;
        let resource = &told["resource"];
        assert_eq!(resource["client_modified_at"], "2026-02-02T03:04:05.000Z");
        assert_eq!((&resource["version"], &resource["executable"]), (&json!(1), &json!(false)));
        assert_eq!(apply(change(json!({}))).await["error"]["code"], "VALIDATION");
    });
}

/// Has a device make a file of two chunks, of which it says that their hash is `told`.
async fn applied(desk: &Desk, name: &str, told: Option<&[u8]>) -> String {
    let device = json!({"device_id": "dev_laptop", "device_name": "Laptop"});
    desk.post("/sync/devices", device).await.expect(201);
    let body = json!({
        "share_id": desk.share, "file_name": name, "file_size": 6,
        "chunks": [declared(b"abc"), declared(b"def")],
        "checksum_sha256": told.map(|bytes| node_base::sha256(bytes).to_string()),
    });
    let session = text(&desk.post("/uploads", body).await.expect(201).json()["session_id"]);
    // The second file's chunks are there by then.
    desk.chunk(&session, "0", b"abc").await.expect(200);
    desk.chunk(&session, "1", b"def").await.expect(200);
    let apply = json!({
        "device_id": "dev_laptop", "share_id": desk.share,
        "changes": [{"client_ref": "1", "resource_type": "file", "change_type": "created",
                     "name": name, "upload_session_id": session}],
    });
    let told = desk.post("/sync/apply", apply).await.expect(200).json();
    assert_eq!(told["results"][0]["resource"]["checksum_status"], "pending", "{told}");
    text(&told["results"][0]["resource"]["id"])
}

#[test]
fn checksums_that_nobody_waited_for_are_computed_by_and_by() {
    run(|fixture| async move {
        let desk = Desk::new(fixture).await;
        let files = [
            (applied(&desk, "unsaid", None).await, "verified"),
            (applied(&desk, "right", Some(b"abcdef")).await, "verified"),
            (applied(&desk, "wrong", Some(b"else")).await, "mismatch"),
        ];
        let ops = &desk.fixture.state.ops;
        let background = api_ops::Background::start(ops, api_ops::BackgroundSettings::default());
        desk.fixture.world.sleep(node_base::Duration::from_secs(60)).await;
        background.stop();
        let sum = json!(node_base::sha256(b"abcdef").to_string());
        for (file, status) in files {
            let file = desk.get(&format!("/files/{file}")).await.expect(200).json();
            assert_eq!(
                (&file["checksum_status"], &file["checksum_sha256"]),
                (&json!(status), &sum)
            );
        }
        let root = desk.fixture.token(desk.fixture.root).await;
        let events = desk.fixture.get(&root, "/enterprise/audit/events").await.expect(200);
        assert!(events.text().contains("file.checksum_mismatch"), "{}", events.text());
    });
}

#[test]
fn who_is_suspended_while_waiting_for_changes_is_told_so_at_once() {
    run(|fixture| async move {
        let desk = Desk::new(fixture).await;
        let url = format!("/sync/changes?share_id={}&cursor=latest&wait=60", desk.share);
        let started = desk.fixture.world.now();
        let slow = desk.get(&url);
        let suspended = async {
            desk.fixture.world.sleep(node_base::Duration::from_secs(2)).await;
            let root = desk.fixture.token(desk.fixture.root).await;
            let path = format!("/admin/users/{}/suspend", desk.fixture.ann);
            desk.fixture.call("POST", &root, &path, None).await.expect(200);
        };
        let (told, ()) = futures_util::join!(slow, suspended);
        assert_eq!(told.expect(403).code(), "AUTHZ_USER_SUSPENDED");
        let waited = desk.fixture.world.now().since(started);
        assert!(waited < node_base::Duration::from_secs(10), "{waited:?}");
    });
}
