//! Bodies, queries and heads that are not what they should be.

use axum::body::{Body, Bytes};
use futures_util::stream;
use serde_json::json;

use crate::fixture::{Fixture, Reply, run};

async fn post(fixture: &Fixture, body: impl Into<Body>, kind: &str) -> Reply {
    let token = fixture.token(fixture.root).await;
    let request = fixture
        .request("POST", "/admin/groups")
        .header("authorization", format!("Bearer {token}"))
        .header("content-type", kind)
        .body(body.into());
    fixture.send(request.expect("a request")).await
}

const JSON: &str = "application/json";

#[test]
fn what_is_no_json_is_400_and_other_json_is_422_with_the_place() {
    run(|fixture| async move {
        for body in ["", "{", "{\"name\":", "nonsense", "{\"name\":\"a\"} more", "\u{feff}{}"] {
            let reply = post(&fixture, body, JSON).await.expect(400);
            assert_eq!(reply.code(), "BAD_REQUEST", "{body}");
        }
        let broken = Bytes::from_static(b"{\"name\":\"\xff\"}");
        assert_eq!(post(&fixture, broken, JSON).await.expect(400).code(), "BAD_REQUEST");
        for (body, loc) in [
            ("[]", json!(["body"])),
            ("7", json!(["body"])),
            ("null", json!(["body"])),
            ("{}", json!(["body"])),
            ("{\"name\":7}", json!(["body", "name"])),
            ("{\"name\":[\"a\"]}", json!(["body", "name"])),
            ("{\"name\":\"a\",\"description\":{}}", json!(["body", "description"])),
        ] {
            let reply = post(&fixture, body, JSON).await.expect(422);
            assert_eq!(reply.code(), "VALIDATION", "{body}");
            assert_eq!(reply.json()["detail"][0]["loc"], loc, "{body}: {}", reply.text());
        }
        let deep = format!("{{\"name\":{}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
        let status = post(&fixture, deep, JSON).await.status.as_u16();
        assert!(matches!(status, 400 | 422), "{status}");
        post(&fixture, "{\"name\":\"a\"}", "text/plain").await.expect(415);
        let utf8 = "application/json; charset=utf-8";
        post(&fixture, "{\"name\":\"a\",\"more\":1}", utf8).await.expect(201);
    });
}

#[test]
fn a_hundred_megabytes_are_refused_at_the_first_of_them() {
    run(|fixture| async move {
        use std::sync::Arc;
        use std::sync::atomic::{AtomicUsize, Ordering};
        let sent = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&sent);
        let chunk = Bytes::from(vec![b' '; 1 << 20]);
        let endless = stream::iter((0..100).map(move |_| {
            counted.fetch_add(1, Ordering::Relaxed);
            Ok::<Bytes, std::io::Error>(chunk.clone())
        }));
        let reply = post(&fixture, Body::from_stream(endless), JSON).await.expect(413);
        assert_eq!(reply.code(), "PAYLOAD_TOO_LARGE");
        assert!(sent.load(Ordering::Relaxed) <= 6, "{}", sent.load(Ordering::Relaxed));
        let token = fixture.token(fixture.root).await;
        let declared = fixture
            .request("POST", "/admin/groups")
            .header("authorization", format!("Bearer {token}"))
            .header("content-length", "104857600")
            .body(Body::empty());
        fixture.send(declared.expect("a request")).await.expect(413);
    });
}

#[test]
fn who_may_not_speak_is_told_so_before_the_body_is_read() {
    run(|fixture| async move {
        let never = stream::pending::<Result<Bytes, std::io::Error>>();
        let request = fixture.request("POST", "/shares").body(Body::from_stream(never));
        fixture.send(request.expect("a request")).await.expect(401);
    });
}

#[test]
fn a_body_that_stops_coming_is_given_up() {
    run(|fixture| async move {
        let never = stream::pending::<Result<Bytes, std::io::Error>>();
        let reply = post(&fixture, Body::from_stream(never), JSON).await.expect(400);
        assert_eq!(reply.json()["detail"], "The body ended before its end.");
    });
}

#[test]
fn addresses_methods_and_heads_have_their_own_refusals() {
    run(|fixture| async move {
        let token = fixture.token(fixture.ann).await;
        let reply = fixture.get(&token, "/nothing").await.expect(404);
        assert_eq!(reply.json()["detail"], "There is nothing at this address.");
        let reply = fixture.call("DELETE", &token, "/users/me", None).await.expect(405);
        assert_eq!(reply.code(), "METHOD_NOT_ALLOWED");
        assert_eq!(reply.headers["allow"], "GET,HEAD");
        let long = format!("/shares?q={}", "x".repeat(20_000));
        assert_eq!(fixture.get(&token, &long).await.expect(414).code(), "URI_TOO_LONG");
        for (query, field) in [
            ("limit=0", "limit"),
            ("limit=101", "limit"),
            ("limit=-1", "limit"),
            ("offset=x", "offset"),
            ("include_trashed=perhaps", "include_trashed"),
            ("consistency=rumour", "consistency"),
        ] {
            let reply = fixture.get(&token, &format!("/shares?{query}")).await.expect(422);
            assert_eq!(reply.json()["detail"][0]["loc"], json!(["query", field]), "{query}");
        }
        fixture.get(&token, "/shares?consistency=stale").await.expect(200);
        let reply = fixture.get(&token, "/shares/shr_nonsense").await.expect(404);
        assert_eq!(reply.json()["detail"], "There is no such share.");
        fixture.get(&token, "/shares/%ff").await.expect(400);
        let absent = node_base::ShareId::from(7);
        fixture.get(&token, &format!("/shares/{absent}")).await.expect(404);
    });
}

#[test]
fn every_answer_has_its_id_and_a_sane_one_is_kept() {
    run(|fixture| async move {
        let with = |id: &str| {
            let request = fixture.request("GET", "/health").header("x-request-id", id);
            request.body(Body::empty()).expect("a request")
        };
        let kept = fixture.send(with("trace-1.a_B")).await.expect(200);
        assert_eq!(kept.headers["x-request-id"], "trace-1.a_B");
        for odd in ["a b", &"x".repeat(65), "<script>"] {
            let reply = fixture.send(with(odd)).await.expect(200);
            assert_eq!(reply.headers["x-request-id"].len(), 32);
        }
        let refused = fixture.get("", "/users/me").await.expect(401);
        let id = refused.headers["x-request-id"].to_str().expect("text").to_owned();
        assert_eq!(refused.json()["error"]["request_id"], json!(id));
    });
}
