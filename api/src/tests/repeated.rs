//! The same request again, and another one, under one idempotency key.

use axum::body::Body;
use http::header;
use node_base::sha256;
use serde_json::{Value, json};

use super::files::{Desk, form, text};
use crate::fixture::{Fixture, Reply, run};

/// Sends a body under a key.
async fn post(desk: &Desk, key: &str, path: &str, kind: &str, body: String) -> Reply {
    let request = desk
        .fixture
        .request("POST", path)
        .header(header::AUTHORIZATION, format!("Bearer {}", desk.token))
        .header(header::CONTENT_TYPE, kind)
        .header("idempotency-key", key)
        .body(Body::from(body));
    desk.fixture.send(request.expect("a request")).await
}

#[track_caller]
fn reused(reply: Reply) {
    let reply = reply.expect(422);
    assert_eq!(reply.json()["detail"][0]["loc"], json!(["header", "Idempotency-Key"]));
}

/// Calls with JSON under a key.
async fn keyed(desk: &Desk, method: &str, key: &str, path: &str, body: &Value) -> Reply {
    let request = desk
        .fixture
        .request(method, path)
        .header(header::AUTHORIZATION, format!("Bearer {}", desk.token))
        .header(header::CONTENT_TYPE, "application/json")
        .header("idempotency-key", key)
        .body(Body::from(if body.is_null() { String::new() } else { body.to_string() }));
    desk.fixture.send(request.expect("a request")).await
}

/// Calls once, lets something happen, calls again: status, tag and body must be the first ones.
async fn twice(
    desk: &Desk,
    (method, path, body): (&str, &str, Value),
    meanwhile: impl AsyncFnOnce(&Value),
) -> Value {
    let first = keyed(desk, method, path, path, &body).await;
    assert!(first.status.is_success(), "{method} {path}: {}", first.text());
    let told = if first.body.is_empty() { Value::Null } else { first.json() };
    meanwhile(&told).await;
    let again = keyed(desk, method, path, path, &body).await;
    assert_eq!((again.status, &again.body), (first.status, &first.body), "{method} {path}");
    for name in [header::ETAG, header::CONTENT_TYPE] {
        assert_eq!(again.headers.get(&name), first.headers.get(&name), "{method} {path}");
    }
    told
}

/// The administrator at its desk.
async fn office(fixture: Fixture) -> Desk {
    let token = fixture.token(fixture.root).await;
    Desk { fixture, token, share: String::new() }
}

async fn change(desk: &Desk, method: &str, path: &str, body: Value) {
    let body = Some(body).filter(|body| !body.is_null());
    let reply = desk.fixture.call(method, &desk.token, path, body).await;
    assert!(reply.status.is_success(), "{method} {path}: {}", reply.text());
}

#[test]
fn who_asks_again_is_told_the_same_whatever_has_become_of_it() {
    run(|fixture| async move {
        let desk = office(fixture).await;
        let delete = async |path: String| change(&desk, "DELETE", &path, Value::Null).await;
        let group = json!({"name": "crew"});
        let made = twice(&desk, ("POST", "/admin/groups", group), async |told: &Value| {
            let path = format!("/admin/groups/{}", text(&told["id"]));
            change(&desk, "PATCH", &path, json!({"name": "band"})).await;
        });
        let group = format!("/admin/groups/{}", text(&made.await["id"]));
        reused(keyed(&desk, "POST", "/admin/groups", "/admin/groups", &json!({"name": "x"})).await);
        let members = format!("{group}/members");
        let ann = json!({"user_id": desk.fixture.ann.to_string()});
        twice(&desk, ("POST", &members, ann), async |_: &Value| {
            delete(format!("{members}/{}", desk.fixture.ann)).await;
        })
        .await;
        twice(&desk, ("PATCH", &group, json!({"name": "trio"})), async |_: &Value| {
            delete(group.clone()).await;
        })
        .await;
        // The key that is known stands for its request, though the group is gone.
        reused(keyed(&desk, "PATCH", &group, &group, &json!({"name": "x"})).await);
        let device = json!({"device_id": "dev_desk", "device_name": "desk"});
        twice(&desk, ("POST", "/sync/devices", device), async |_: &Value| {
            change(&desk, "PATCH", "/sync/devices/dev_desk", json!({"device_name": "x"})).await;
        })
        .await;
        let renamed = ("PATCH", "/sync/devices/dev_desk", json!({"device_name": "y"}));
        twice(&desk, renamed, async |_: &Value| delete("/sync/devices/dev_desk".to_owned()).await)
            .await;
    });
}

#[test]
fn shares_members_and_invitations_are_told_as_they_were() {
    run(|fixture| async move {
        let mut desk = office(fixture).await;
        desk.share = desk.share("plans").await;
        let (share, bob) = (format!("/shares/{}", desk.share), desk.fixture.bob.to_string());
        let delete = async |path: String| change(&desk, "DELETE", &path, Value::Null).await;
        twice(&desk, ("PATCH", &share, json!({"name": "one"})), async |_: &Value| {
            change(&desk, "PATCH", &share, json!({"name": "two"})).await;
        })
        .await;
        let member = format!("{share}/members/{bob}");
        let joins = json!({"principal_type": "user", "principal_id": bob, "role": "reader"});
        twice(&desk, ("POST", &format!("{share}/members"), joins), async |_: &Value| {
            change(&desk, "PATCH", &member, json!({"role": "contributor"})).await;
        })
        .await;
        twice(&desk, ("PATCH", &member, json!({"role": "admin"})), async |_: &Value| {
            delete(member.clone()).await;
        })
        .await;
        let invited = json!({"email": "dan@example.com", "role": "reader"});
        let invitations = format!("{share}/invitations");
        twice(&desk, ("POST", &invitations, invited), async |told: &Value| {
            delete(format!("{invitations}/{}", text(&told["id"]))).await;
        })
        .await;
        let quota = format!("/quotas/shares/{}", desk.share);
        let limit = json!({"limit_bytes": 1000, "limit_type": "hard"});
        change(&desk, "PUT", &quota, limit).await;
        let exempt = format!("{quota}/exempt");
        twice(&desk, ("POST", &exempt, json!({"exempt": true})), async |_: &Value| {
            delete(quota.clone()).await;
        })
        .await;
    });
}

#[test]
fn a_user_that_is_made_again_keeps_the_limit_it_was_given_since() {
    run(|fixture| async move {
        let desk = office(fixture).await;
        let new = json!({"email": "eve@example.com", "name": "eve", "quota_bytes": 1000});
        let made = twice(&desk, ("POST", "/admin/users", new), async |told: &Value| {
            let path = format!("/admin/users/{}", text(&told["id"]));
            change(&desk, "PATCH", &path, json!({"quota_bytes": 2000})).await;
        });
        let path = format!("/admin/users/{}", text(&made.await["id"]));
        assert_eq!(desk.get(&path).await.expect(200).json()["quota_bytes"], 2000);
        let named = ("PATCH", path.as_str(), json!({"display_name": "Eve"}));
        twice(&desk, named, async |_: &Value| {
            change(&desk, "DELETE", &path, Value::Null).await;
        })
        .await;
    });
}

/// Cheap bytes that are cut as often as others.
fn long(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let words = std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.flatten().take(length).collect()
}

#[test]
fn a_form_with_a_long_file_is_answered_again_when_its_folder_is_gone() {
    run(|fixture| async move {
        let desk = Desk::new(fixture).await;
        let folder = desk.post("/folders", json!({"share_id": desk.share, "name": "in"})).await;
        let folder = text(&folder.expect(201).json()["id"]);
        let field = |name: &str, value: &str| {
            format!("--b\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
        };
        let head = [
            field("share_id", &desk.share),
            field("folder_id", &folder),
            field("name", "long"),
            "--b\r\ncontent-disposition: form-data; name=\"file\"\r\n\r\n".to_owned(),
        ]
        .concat();
        let body = [head.as_bytes(), &long(40 << 20), b"\r\n--b--\r\n"].concat();
        let send = async || {
            let request = desk
                .fixture
                .request("POST", "/files")
                .header(header::AUTHORIZATION, format!("Bearer {}", desk.token))
                .header(header::CONTENT_TYPE, "multipart/form-data; boundary=b")
                .header("idempotency-key", "long")
                .body(Body::from(body.clone()));
            desk.fixture.send(request.expect("a request")).await
        };
        let first = send().await.expect(201);
        let file = text(&first.json()["id"]);
        let manifest = desk.get(&format!("/files/{file}/manifest")).await.expect(200).json();
        assert!(manifest["chunks"].as_array().is_some_and(|chunks| chunks.len() > 128));
        change(&desk, "DELETE", &format!("/folders/{folder}"), Value::Null).await;
        assert_eq!(send().await.expect(201).json(), first.json());
    });
}

#[test]
fn a_batch_of_files_stands_for_its_items_and_contents() {
    run(|fixture| async move {
        let desk = Desk::new(fixture).await;
        let path = format!("/files/batch?share_id={}", desk.share);
        let items = |name: &str| {
            let [a, b] = [("1", name), ("2", "b")]
                .map(|(client_ref, path)| json!({"client_ref": client_ref, "path": path}));
            json!([a, b])
        };
        let send = async |boundary: &str, name: &str, contents: [&str; 2]| {
            let body = form(boundary, &items(name), contents);
            let kind = format!("multipart/form-data; boundary={boundary}");
            post(&desk, "batch", &path, &kind, body).await
        };
        let first = send("one", "a", ["x", "y"]).await.expect(200).json();
        assert_eq!(first["results"][0]["status"], "created");
        // Every client draws its boundary anew.
        assert_eq!(send("two", "a", ["x", "y"]).await.expect(200).json(), first);
        reused(send("one", "a", ["x", "z"]).await);
        reused(send("one", "a", ["xy", ""]).await);
        reused(send("one", "c", ["x", "y"]).await);
        assert_eq!(desk.listed().await, 2);
        let file = text(&first["results"][1]["file"]["id"]);
        assert_eq!(desk.get(&format!("/files/{file}/content")).await.expect(200).text(), "y");
    });
}

#[test]
fn a_form_stands_for_its_fields_and_content() {
    run(|fixture| async move {
        let desk = Desk::new(fixture).await;
        let send = async |boundary: &str, name: &str, content: &str| {
            let head = |name: &str| {
                format!("--{boundary}\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n")
            };
            let body = format!(
                "{}{}\r\n{}{name}\r\n{}{content}\r\n--{boundary}--\r\n",
                head("share_id"),
                desk.share,
                head("name"),
                head("file"),
            );
            let kind = format!("multipart/form-data; boundary={boundary}");
            post(&desk, "form", "/files", &kind, body).await
        };
        let first = send("one", "a", "hello").await.expect(201).json();
        assert_eq!(send("two", "a", "hello").await.expect(201).json(), first);
        reused(send("one", "a", "hollo").await);
        reused(send("one", "b", "hello").await);
        assert_eq!(desk.listed().await, 1);
    });
}

#[test]
fn a_completion_stands_for_what_it_says_of_the_file() {
    run(|fixture| async move {
        let desk = Desk::new(fixture).await;
        let session = desk.session("a", &[b"abc"]).await;
        desk.chunk(&session, "0", b"abc").await.expect(200);
        let path = format!("/uploads/{session}/complete");
        let send = async |body: Value| {
            post(&desk, "done", &path, "application/json", body.to_string()).await
        };
        let right = json!({"checksum_sha256": sha256(b"abc").to_string()});
        let first = send(right.clone()).await.expect(200).json();
        assert_eq!(send(right).await.expect(200).json(), first);
        reused(send(json!({"checksum_sha256": sha256(b"abd").to_string()})).await);
        reused(send(json!({})).await);
        // Without a key a second completion gets the first answer, as ever.
        desk.complete(&session).await.expect(200);
    });
}

#[test]
fn a_long_answer_is_told_again_as_it_was() {
    run(|fixture| async move {
        let desk = Desk::new(fixture).await;
        let device = json!({"device_id": "dev_laptop", "device_name": "Laptop"});
        desk.post("/sync/devices", device).await.expect(201);
        let changes: Vec<Value> = (0..300)
            .map(|number| {
                json!({"client_ref": number.to_string(), "resource_type": "folder",
                    "change_type": "created", "name": format!("{number:0>200}")})
            })
            .collect();
        let body = json!({"device_id": "dev_laptop", "share_id": desk.share, "changes": changes});
        let share = format!("/shares/{}", desk.share);
        let told = twice(&desk, ("POST", "/sync/apply", body), async |_: &Value| {
            change(&desk, "DELETE", &share, Value::Null).await;
            change(&desk, "DELETE", &format!("{share}?permanent=true"), Value::Null).await;
        })
        .await;
        assert!(told.to_string().len() > 128 << 10, "it is long");
    });
}
