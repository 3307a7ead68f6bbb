//! Bad input about chunks, sessions, names, ranges and cursors: each gets its status and a sentence
//! that says what was wrong, and nothing is lost by it.

use bytes::Bytes;
use http::header;
use node_base::sha256;
use serde_json::{Value, json};

use super::files::{Desk, declared, noise, text};
use crate::fixture::{Reply, run};

/// A refusal with its code, and a sentence or a field with one.
#[track_caller]
pub(super) fn refused(reply: Reply, status: u16, code: &str) {
    let reply = reply.expect(status);
    assert_eq!(reply.code(), code, "{}", reply.text());
    let detail = &reply.json()["detail"];
    let sentence = detail.as_str().or(detail[0]["msg"].as_str()).unwrap_or_default();
    assert!(sentence.len() > 5, "{}", reply.text());
}

#[test]
fn chunks_that_are_not_what_was_said() {
    run(|fixture| async move {
        let desk = Desk::new(fixture).await;
        let (a, b) = (noise(1_000, 1), noise(2_000, 2));
        let session = desk.session("a", &[&a, &b]).await;
        let other = noise(1_000, 3);
        for (index, bytes, status, code) in [
            ("0", &other[..], 422, "CHECKSUM_MISMATCH"),
            ("0", &a[..999], 422, "VALIDATION"),
            ("0", &b[..], 422, "VALIDATION"),
            ("0", &[][..], 422, "VALIDATION"),
            ("2", &a[..], 422, "VALIDATION"),
            ("-1", &a[..], 422, "VALIDATION"),
            ("x", &a[..], 422, "VALIDATION"),
            ("18446744073709551615", &a[..], 422, "VALIDATION"),
            ("99999999999999999999999", &a[..], 422, "VALIDATION"),
        ] {
            refused(desk.chunk(&session, index, bytes).await, status, code);
        }
        let large = vec![0; (8 << 20) + 1];
        refused(desk.chunk(&session, "0", &large).await, 413, "PAYLOAD_TOO_LARGE");
        refused(desk.complete(&session).await, 422, "VALIDATION");
        for index in ["0", "0"] {
            desk.chunk(&session, index, &a).await.expect(200);
        }
        desk.chunk(&session, "1", &b).await.expect(200);
        desk.complete(&session).await.expect(200);
        desk.complete(&session).await.expect(200);
    });
}

#[test]
fn batches_of_chunks_that_cannot_be_read() {
    run(|fixture| async move {
        let desk = Desk::new(fixture).await;
        let session = desk.session("a", &[b"abc"]).await;
        let path = format!("/uploads/{session}/chunks/batch");
        let head = |index: u32, length: u32| [index.to_le_bytes(), length.to_le_bytes()].concat();
        for (body, status, code) in [
            (vec![1, 2, 3], 400, "BAD_REQUEST"),
            ([head(0, 3), b"ab".to_vec()].concat(), 400, "BAD_REQUEST"),
            (head(0, 0), 422, "VALIDATION"),
            (head(0, u32::MAX), 422, "VALIDATION"),
            (head(0, (8 << 20) + 1), 422, "VALIDATION"),
        ] {
            let kind = "application/octet-stream";
            refused(desk.send("POST", &path, kind, body.into()).await, status, code);
        }
        let wrong = [head(0, 3), b"abd".to_vec(), head(7, 1), b"x".to_vec()].concat();
        let told = desk.send("POST", &path, "application/octet-stream", wrong.into()).await;
        for result in told.expect(200).json()["results"].as_array().expect("a list") {
            assert_eq!(result["status"], "rejected");
            assert!(result["error"]["detail"].as_str().is_some_and(|text| text.len() > 5));
        }
        desk.send("POST", &path, "application/octet-stream", Bytes::new()).await.expect(200);
        let nowhere = format!("/uploads/{}/chunks/batch", node_base::UploadId::from(7));
        let reply = desk.send("POST", &nowhere, "application/octet-stream", Bytes::new()).await;
        refused(reply, 404, "NOT_FOUND");
    });
}

#[test]
fn forms_without_an_end_are_stopped() {
    run(|fixture| async move {
        let desk = Desk::new(fixture).await;
        let kind = "multipart/form-data; boundary=b";
        let long = "x".repeat(65 << 10);
        let share = desk.share.as_str();
        let named = form(&[("share_id", share), ("name", &long), ("file", "x")]);
        refused(desk.send("POST", "/files", kind, named).await, 413, "PAYLOAD_TOO_LARGE");
        let batch = format!("/files/batch?share_id={share}");
        for path in ["/files", batch.as_str()] {
            let (pieces, count) = endless();
            let request = desk
                .fixture
                .request("POST", path)
                .header(header::AUTHORIZATION, format!("Bearer {}", desk.token))
                .header(header::CONTENT_TYPE, kind)
                .body(axum::body::Body::from_stream(pieces));
            refused(desk.fixture.send(request.expect("a request")).await, 400, "BAD_REQUEST");
            let read = count.load(std::sync::atomic::Ordering::Relaxed);
            assert!(read < 8 << 20, "{path}: {read} bytes were read of a form without a part");
        }
    });
}

type Pieces = futures_util::stream::BoxStream<'static, Result<Bytes, std::io::Error>>;

/// A body of 256 MiB that is no form, and how many bytes of it were taken.
fn endless() -> (Pieces, std::sync::Arc<std::sync::atomic::AtomicUsize>) {
    use futures_util::StreamExt;
    let count = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let taken = std::sync::Arc::clone(&count);
    let pieces = futures_util::stream::iter(0..1024).map(move |_| {
        taken.fetch_add(256 << 10, std::sync::atomic::Ordering::Relaxed);
        Ok(Bytes::from(vec![0; 256 << 10]))
    });
    (pieces.boxed(), count)
}

#[test]
fn a_field_behind_the_content_is_not_passed_over() {
    run(|fixture| async move {
        let desk = Desk::new(fixture).await;
        let kind = "multipart/form-data; boundary=b";
        let share = desk.share.as_str();
        let late = form(&[("share_id", share), ("name", "a"), ("file", "x"), ("folder_id", "")]);
        refused(desk.send("POST", "/files", kind, late).await, 422, "VALIDATION");
        assert_eq!(desk.listed().await, 0);
        let other = form(&[("share_id", share), ("name", "a"), ("file", "x"), ("submit", "Send")]);
        desk.send("POST", "/files", kind, other).await.expect(201);
    });
}

#[test]
fn media_types_and_names_of_entries_are_looked_at() {
    run(|fixture| async move {
        let desk = Desk::new(fixture).await;
        for (kind, good) in [
            ("text/html\r\nX: y", false),
            ("text", false),
            ("te xt/plain", false),
            ("ü/plain", false),
            ("text/plain; charset=utf-8", true),
            ("application/vnd.ms-excel", true),
        ] {
            let body = json!({"share_id": desk.share, "file_name": format!("f{}", kind.len()),
                "file_size": 0, "mime_type": kind, "chunk_size": 4 << 20});
            let reply = desk.post("/uploads", body).await;
            assert_eq!(reply.status.is_success(), good, "{kind}: {}", reply.text());
            if !good {
                refused(reply, 422, "VALIDATION");
            }
        }
    });
}

#[test]
fn sessions_that_cannot_be_opened_or_are_not_ones_own() {
    run(|fixture| async move {
        let desk = Desk::new(fixture).await;
        let session = desk.session("a", &[b"abc"]).await;
        let bob = desk.fixture.token(desk.fixture.bob).await;
        for (method, path) in [
            ("GET", format!("/uploads/{session}")),
            ("DELETE", format!("/uploads/{session}")),
            ("POST", format!("/uploads/{session}/complete")),
            ("PUT", format!("/uploads/{session}/chunks/0")),
            ("POST", format!("/uploads/{session}/chunks/batch")),
            ("GET", "/uploads/nonsense".to_owned()),
        ] {
            let mine = desk.fixture.call(method, &bob, &path, None).await;
            let has_frames = path.ends_with("batch");
            // A batch without a chunk asks nothing of a session.
            if !has_frames {
                refused(mine, 404, "NOT_FOUND");
            }
        }
        let open = |more: Value| {
            let mut body = json!({"share_id": desk.share, "file_name": "b", "file_size": 3});
            for (key, value) in more.as_object().expect("fields") {
                body[key] = value.clone();
            }
            desk.post("/uploads", body)
        };
        for (more, status) in [
            (json!({"share_id": "nonsense"}), 422),
            (json!({"share_id": node_base::ShareId::from(7).to_string()}), 404),
            (json!({"folder_id": node_base::FolderId::from(7).to_string()}), 404),
            (json!({"file_size": -1}), 422),
            (json!({"file_size": "3"}), 422),
            (json!({"file_size": 6_000_000_000_u64}), 413),
            (json!({"chunk_size": 0}), 422),
            (json!({"chunk_size": 65_537}), 422),
            (json!({"chunk_size": 1 << 24}), 422),
            (json!({"chunk_size": 65_536, "chunks": []}), 422),
            (json!({"chunks": [{"sha256": "abc", "size": 3}]}), 422),
            (json!({"chunks": [{"sha256": sha256(b"a").to_string(), "size": 0}]}), 422),
            (json!({"chunks": [{"sha256": sha256(b"a").to_string(), "size": 9_000_000}]}), 422),
            (json!({"chunks": [declared(b"more than three")]}), 422),
            (json!({"checksum_sha256": "ABC"}), 422),
            (json!({"client_modified_at": "yesterday"}), 422),
        ] {
            let reply = open(more.clone()).await;
            assert_eq!(reply.status.as_u16(), status, "{more}: {}", reply.text());
        }
        let abort = format!("/uploads/{session}");
        desk.fixture.call("DELETE", &desk.token, &abort, None).await.expect(204);
        refused(desk.chunk(&session, "0", b"abc").await, 410, "EXPIRED");
        refused(desk.complete(&session).await, 410, "EXPIRED");
        refused(desk.get(&abort).await, 410, "EXPIRED");
    });
}

/// A form of parts, each a name, perhaps with a file's name, and a content.
fn form(parts: &[(&str, &str)]) -> Bytes {
    let part = |(name, content): &(&str, &str)| {
        format!("--b\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{content}\r\n")
    };
    let parts: String = parts.iter().map(part).collect();
    format!("{parts}--b--\r\n").into()
}

#[test]
fn forms_that_bring_no_file() {
    run(|fixture| async move {
        let desk = Desk::new(fixture).await;
        let kind = "multipart/form-data; boundary=b";
        let share = desk.share.as_str();
        let nowhere = node_base::ShareId::from(7).to_string();
        for (parts, status, code) in [
            (vec![], 422, "VALIDATION"),
            (vec![("share_id", share)], 422, "VALIDATION"),
            (vec![("file", "x"), ("share_id", share)], 422, "VALIDATION"),
            (vec![("share_id", share), ("file", "x")], 422, "VALIDATION"),
            (vec![("share_id", "no"), ("name", "a"), ("file", "x")], 422, "VALIDATION"),
            (vec![("share_id", &nowhere), ("name", "a"), ("file", "x")], 404, "NOT_FOUND"),
            (vec![("share_id", share), ("name", "a/b"), ("file", "x")], 422, "VALIDATION"),
            (
                vec![("share_id", share), ("client_modified_at", "noon"), ("file", "x")],
                422,
                "VALIDATION",
            ),
        ] {
            refused(desk.send("POST", "/files", kind, form(&parts)).await, status, code);
        }
        let torn = Bytes::from("--b\r\ncontent-disposition: form-data; name=\"file\"\r\n\r\nab");
        let reply = desk.send("POST", "/files", kind, torn.clone()).await;
        assert!(matches!(reply.status.as_u16(), 400 | 422), "{}", reply.text());
        refused(
            desk.send("POST", "/files", "text/plain", torn).await,
            415,
            "UNSUPPORTED_MEDIA_TYPE",
        );
        let batch = format!("/files/batch?share_id={share}");
        let item = r#"[{"client_ref": "1", "path": "a"}]"#;
        for (parts, status, code) in [
            (vec![], 422, "VALIDATION"),
            (vec![("items", "[]")], 422, "VALIDATION"),
            (vec![("items", "[{")], 400, "BAD_REQUEST"),
            (vec![("items", "[{\"path\": 7}]")], 422, "VALIDATION"),
            (vec![("content", "x"), ("items", item)], 422, "VALIDATION"),
            (vec![("items", item)], 422, "VALIDATION"),
            (vec![("items", item), ("content", "x"), ("content", "y")], 422, "VALIDATION"),
        ] {
            refused(desk.send("POST", &batch, kind, form(&parts)).await, status, code);
        }
        assert_eq!(desk.listed().await, 0);
    });
}

#[test]
fn names_that_are_none() {
    run(|fixture| async move {
        let desk = Desk::new(fixture).await;
        let make =
            |name: &str| desk.post("/folders", json!({"share_id": desk.share, "name": name}));
        let long = "x".repeat(256);
        for name in [
            "",
            ".",
            "..",
            "a/b",
            "a\0b",
            "a\nb",
            "a\\b",
            "a:b",
            "a*",
            "a?",
            "\"",
            "<",
            ">",
            "|",
            "trailing.",
            "trailing ",
            "CON",
            "con.txt",
            "COM1",
            "nul",
            &long,
        ] {
            let reply = make(name).await;
            assert_eq!(reply.status.as_u16(), 422, "{name:?}: {}", reply.text());
            refused(reply, 422, "VALIDATION");
        }
        make("Report.txt").await.expect(201);
        make("caf\u{e9}").await.expect(201);
        for same in ["report.TXT", "cafe\u{301}", "CAF\u{c9}"] {
            refused(make(same).await, 409, "NAME_CONFLICT");
        }
        let mut parent = Value::Null;
        let mut depth = 0;
        let too_deep = loop {
            let body = json!({"share_id": desk.share, "name": "d", "parent_id": parent});
            let reply = desk.post("/folders", body).await;
            if reply.status != 201 {
                break reply;
            }
            parent = reply.json()["id"].clone();
            depth += 1;
        };
        // So many lie above the last.
        assert_eq!(depth, node_base::limits::DEPTH_MAX + 1);
        refused(too_deep, 422, "VALIDATION");
    });
}

#[test]
fn ranges_that_cannot_be_served() {
    run(|fixture| async move {
        let desk = Desk::new(fixture).await;
        let file = text(&desk.file("a", b"0123456789").await["id"]);
        let hundred = format!("bytes={}", vec!["0-0"; 100].join(","));
        for (range, status) in [
            ("bytes=10-", 416),
            ("bytes=99-100", 416),
            ("bytes=-0", 416),
            (hundred.as_str(), 416),
            // What is not understood is passed over.
            ("bytes=5-2", 200),
            ("bytes=a-b", 200),
            ("lines=1-2", 200),
        ] {
            let request = desk
                .fixture
                .request("GET", &format!("/files/{file}/content"))
                .header(header::AUTHORIZATION, format!("Bearer {}", desk.token))
                .header(header::RANGE, range)
                .body(axum::body::Body::empty());
            let reply = desk.fixture.send(request.expect("a request")).await;
            assert_eq!(reply.status.as_u16(), status, "{range}");
            if status == 416 {
                assert_eq!(reply.headers[header::CONTENT_RANGE], "bytes */10");
                refused(reply, 416, "RANGE_NOT_SATISFIABLE");
            }
        }
    });
}

#[test]
fn cursors_that_were_never_given_out() {
    run(|fixture| async move {
        let desk = Desk::new(fixture).await;
        let other = desk.share("other").await;
        let url =
            |share: &str, cursor: &str| format!("/sync/changes?share_id={share}&cursor={cursor}");
        let cursor =
            text(&desk.get(&url(&desk.share, "latest")).await.expect(200).json()["cursor"]);
        let mut forged = cursor.clone().into_bytes();
        forged[95] = if forged[95] == b'0' { b'1' } else { b'0' };
        let forged = String::from_utf8(forged).expect("hex");
        for (share, cursor) in [
            (&other, cursor.as_str()),
            (&desk.share, forged.as_str()),
            (&desk.share, "nonsense"),
            (&desk.share, "%00"),
            (&desk.share, ""),
            (&desk.share, &cursor[1..]),
        ] {
            let reply = desk.get(&url(share, cursor)).await;
            assert_eq!(reply.json()["detail"][0]["loc"], json!(["query", "cursor"]), "{cursor}");
            refused(reply, 422, "VALIDATION");
        }
        let bob = desk.fixture.token(desk.fixture.bob).await;
        let path = url(&desk.share, &cursor);
        refused(desk.fixture.get(&bob, &path).await, 404, "NOT_FOUND");
        for query in ["limit=0", "limit=5001", "limit=x", "wait=61", "share_id=nonsense"] {
            refused(desk.get(&format!("/sync/changes?{query}")).await, 422, "VALIDATION");
        }
    });
}
