//! The same request again, and another one, under one idempotency key.

use axum::body::Body;
use http::header;
use node_base::sha256;
use serde_json::{Value, json};

use super::files::{Desk, form, text};
use crate::fixture::{Reply, run};

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

async fn listed(desk: &Desk) -> u64 {
    let list = format!("/folders/root/children?share_id={}", desk.share);
    desk.get(&list).await.expect(200).json()["total"].as_u64().expect("a number")
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
        assert_eq!(listed(&desk).await, 2);
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
        assert_eq!(listed(&desk).await, 1);
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
