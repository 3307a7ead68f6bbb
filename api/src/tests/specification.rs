//! The specification itself: checked in, complete, no route in it without a word on who may call.

use std::collections::{BTreeMap, BTreeSet};

use axum::body::Body;
use serde_json::{Value, json};

use crate::fixture::run;
use crate::openapi;

/// Who may call: everybody, whoever has a token, or an administrator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    Anybody,
    /// Whoever has a token; what they may do with the thing named is decided where it is done.
    User,
    Administrator,
    /// Whoever can prove who they are once it is open.
    Socket,
}

/// The table of who may call what: an address, and the methods for each kind of caller.
const TABLE: &str = include_str!("who.txt");

fn table() -> BTreeMap<(String, String), Who> {
    let mut table = BTreeMap::new();
    for line in TABLE.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [who, methods, path] = words.as_slice() else { panic!("not three words: {line}") };
        let who = match *who {
            "anybody" => Who::Anybody,
            "user" => Who::User,
            "administrator" => Who::Administrator,
            "socket" => Who::Socket,
            other => panic!("nobody is called {other}"),
        };
        for method in methods.split(',') {
            let twice = table.insert(((*path).to_owned(), method.to_owned()), who);
            assert_eq!(twice, None, "{method} {path} stands there twice");
        }
    }
    table
}

fn document() -> Value {
    serde_json::from_str(openapi::text()).expect("the document is JSON")
}

/// Every operation: its address, its method, and what is written about it.
fn operations(document: &Value) -> Vec<(String, String, Value)> {
    let methods = ["get", "head", "post", "put", "patch", "delete"];
    let paths = document["paths"].as_object().expect("paths").iter();
    let mut found = Vec::new();
    for (path, item) in paths {
        for method in methods {
            if let Some(operation) = item.get(method) {
                found.push((path.clone(), method.to_uppercase(), operation.clone()));
            }
        }
    }
    found
}

#[test]
fn the_document_that_is_checked_in_is_the_one_that_is_served() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/openapi.json");
    let checked_in = expect_test::expect_file![file];
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        return checked_in.assert_eq(openapi::text());
    }
    let known = checked_in.data();
    let served = openapi::text();
    let line = known.lines().zip(served.lines()).position(|(known, served)| known != served);
    let at = line.map_or("at its end".to_owned(), |line| format!("from line {} on", line + 1));
    assert!(known == served, "deploy/openapi.json differs {at}: run with UPDATE_EXPECT=1");
}

#[test]
fn every_route_says_who_may_call_it() {
    let document = document();
    let table = table();
    let mut specified = BTreeSet::new();
    for (path, method, operation) in operations(&document) {
        let who = table.get(&(path.clone(), method.clone()));
        let who = who.unwrap_or_else(|| panic!("{method} {path} is not in who.txt"));
        let open = operation["security"].as_array().is_some_and(|all| all.iter().all(is_empty));
        assert_eq!(open, *who == Who::Anybody, "{method} {path}");
        specified.insert((path, method));
    }
    let unknown: Vec<_> = table.keys().filter(|key| !specified.contains(key)).collect();
    assert!(unknown.is_empty(), "in who.txt and nowhere else: {unknown:?}");
}

fn is_empty(requirement: &Value) -> bool {
    requirement.as_object().is_some_and(serde_json::Map::is_empty)
}

#[test]
fn operations_have_names_of_their_own_words_and_every_reference_leads_somewhere() {
    let document = document();
    let mut names = BTreeSet::new();
    for (path, method, operation) in operations(&document) {
        let name = operation["operationId"].as_str().unwrap_or_default().to_owned();
        assert!(name.contains('_') && names.insert(name.clone()), "{method} {path}: {name}");
        assert!(operation["summary"].as_str().is_some_and(|text| !text.is_empty()), "{name}");
        assert!(operation["tags"].as_array().is_some_and(|tags| tags.len() == 1), "{name}");
        assert!(operation["responses"]["default"].is_object(), "{name}");
        let named: BTreeSet<&str> =
            path.split('{').skip(1).filter_map(|p| p.split('}').next()).collect();
        let parameters = operation["parameters"].as_array().into_iter().flatten();
        let said: BTreeSet<&str> = parameters
            .filter(|parameter| parameter["in"] == "path")
            .filter_map(|parameter| parameter["name"].as_str())
            .collect();
        assert_eq!(named, said, "{method} {path}");
    }
    let text = openapi::text();
    for reference in text.split("\"$ref\": \"#").skip(1).filter_map(|rest| rest.split('"').next()) {
        assert!(document.pointer(reference).is_some(), "{reference} leads nowhere");
    }
    assert_eq!(document["openapi"], "3.1.0");
    let about = document["info"]["description"].as_str().expect("a description");
    for number in ["65536", "262144", "1048576", "8388608"] {
        assert!(about.contains(number), "the cutting is published: {number}");
    }
}

/// An address with something in the place of its parameters.
fn filled(path: &str) -> String {
    let id = node_base::ShareId::from(7).to_string();
    let mut filled = String::new();
    for (at, piece) in path.split('{').enumerate() {
        match piece.split_once('}').filter(|_| at > 0) {
            Some((name, rest)) => {
                let value = match name {
                    "resource_type" | "type" | "item_type" => "share",
                    "target_type" => "users",
                    "index" | "number" | "n" => "1",
                    _ => &id,
                };
                filled.extend([value, rest]);
            }
            None => filled.push_str(piece),
        }
    }
    filled
}

#[test]
fn without_a_token_nothing_answers_but_what_is_for_anybody() {
    run(|fixture| async move {
        let ann = fixture.token(fixture.ann).await;
        for ((path, method), who) in table() {
            let request = |token: Option<&str>| {
                let mut request = http::Request::builder().method(method.as_str());
                request = request.uri(filled(&path)).header("content-type", "application/json");
                if let Some(token) = token {
                    request = request.header("authorization", format!("Bearer {token}"));
                }
                request.body(Body::from("{}")).expect("a request")
            };
            let reply = fixture.send(request(None)).await;
            let is_open = matches!(who, Who::Anybody | Who::Socket);
            let is_refused = reply.status == 401 && reply.code() == "AUTH_TOKEN_INVALID";
            assert_eq!(is_refused, !is_open, "{method} {path}: {}", reply.text());
            assert_eq!(
                reply.status.is_client_error(),
                who != Who::Anybody || {
                    // Without what they ask for, these two have nothing to say to anybody.
                    path.ends_with("/auth/callback") || path.ends_with("/auth/token")
                },
                "{method} {path}: {}",
                reply.text()
            );
            if who == Who::Administrator {
                let reply = fixture.send(request(Some(&ann))).await;
                let status = reply.status.as_u16();
                assert!(
                    matches!(status, 403 | 404 | 422),
                    "{method} {path} by a user: {}",
                    reply.text()
                );
                assert_ne!(status, 200);
            }
        }
    });
}

#[test]
fn the_page_for_people_has_no_scripts_and_all_operations() {
    run(|fixture| async move {
        let page = fixture.call("GET", "", "/api/docs", None).await.expect(200);
        assert!(!page.text().contains("<script"));
        assert!(page.text().contains("/api/v1/shares"));
        let served = fixture.call("GET", "", "/api/v1/openapi.json", None).await.expect(200);
        assert_eq!(served.text(), openapi::text());
        fixture.call("GET", "", "/api/v1/metrics", None).await.expect(404);
    });
}

#[test]
fn the_metrics_listener_counts_by_route_and_not_by_address() {
    run(|fixture| async move {
        let token = fixture.token(fixture.ann).await;
        let id = node_base::ShareId::from(7);
        fixture.get(&token, &format!("/shares/{id}")).await.expect(404);
        let listener = crate::metrics::router(fixture.state.clone());
        let request = http::Request::get("/metrics").body(Body::empty()).expect("a request");
        let text = crate::fixture::answer(listener, request).await.expect(200).text();
        let line = "scaidrive_requests_total{method=\"GET\",path=\"/api/v1/shares/{id}\",\
                    status=\"404\"} 1";
        assert!(text.contains(line), "{text}");
        assert!(text.contains("scaidrive_raft_is_leader 1") && text.ends_with("# EOF\n"), "{text}");
        for line in [
            "scaidrive_cluster_nodes{state=\"out\"} 0",
            "scaidrive_drives{state=\"sound\"} 1",
            "scaidrive_drives{state=\"silent\"} 0",
            "scaidrive_shards_to_repair 0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in {text}");
        }
        assert!(!text.contains(&id.to_string()));
    });
}

#[test]
fn health_and_readiness_are_told() {
    run(|fixture| async move {
        for path in ["/health", "/api/v1/health"] {
            let told = fixture.call("GET", "", path, None).await.expect(200).json();
            assert_eq!(told["status"], "healthy");
        }
        let ready = fixture.get("", "/ready").await.expect(200).json();
        let checks = json!({"raft": "ok", "storage": "ok", "identity": "ok", "search": "off"});
        assert_eq!(ready, json!({"status": "ready", "checks": checks}));
        let config = fixture.get("", "/config").await.expect(200).json();
        assert_eq!(config["limits"]["max_upload_chunk_size_bytes"], 8_388_608);
    });
}
