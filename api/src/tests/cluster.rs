//! The cluster, as its administrators see it and change it.

use axum::body::Body;
use serde_json::{Value, json};

use crate::fixture::run;

const LOOKS: [&str; 6] = ["status", "nodes", "layout", "repair", "scrub", "gc"];

#[test]
fn administrators_of_all_look_at_the_cluster_and_nobody_else_does() {
    run(|fixture| async move {
        let (root, ann) = (fixture.token(fixture.root).await, fixture.token(fixture.ann).await);
        for what in LOOKS {
            let path = format!("/cluster/{what}");
            fixture.get(&ann, &path).await.expect(403);
            fixture.get(&root, &path).await.expect(200);
        }
        let status = fixture.get(&root, "/cluster/status").await.expect(200).json();
        assert_eq!((&status["nodes"], &status["voters"]), (&json!(1), &json!(1)));
        assert_eq!(status["leader_id"], status["node_id"]);
        let nodes = fixture.get(&root, "/cluster/nodes").await.expect(200).json();
        assert_eq!((&nodes["total"], &nodes["nodes"][0]["role"]), (&json!(1), &json!("leader")));
        let none = fixture.get(&root, "/cluster/nodes?offset=1").await.expect(200).json();
        assert_eq!((&none["total"], &none["nodes"]), (&json!(1), &json!([])));
    });
}

#[test]
fn a_node_is_let_in_by_a_token_that_a_repetition_gives_again() {
    run(|fixture| async move {
        let (root, ann) = (fixture.token(fixture.root).await, fixture.token(fixture.ann).await);
        let admit = async |token: &str, key: &str, body: Value| {
            let request = fixture
                .request("POST", "/cluster/nodes")
                .header("authorization", format!("Bearer {token}"))
                .header("idempotency-key", key)
                .body(Body::from(body.to_string()));
            fixture.send(request.expect("a request")).await
        };
        let body = json!({"expires_in_seconds": 600, "uses": 2});
        admit(&ann, "k", body.clone()).await.expect(403);
        let first = admit(&root, "k", body.clone()).await.expect(201).json();
        assert!(first["token"].as_str().expect("a token").starts_with("join_"));
        assert_eq!(admit(&root, "k", body.clone()).await.expect(201).json(), first);
        let other = admit(&root, "l", body).await.expect(201).json();
        assert_ne!(other["token"], first["token"]);
        let never = admit(&root, "m", json!({"expires_in_seconds": 0})).await.expect(422);
        assert!(never.text().contains("expires_in_seconds"), "{}", never.text());
    });
}

#[test]
fn the_last_node_stays_and_one_that_is_not_there_is_not_found() {
    run(|fixture| async move {
        let root = fixture.token(fixture.root).await;
        let nodes = fixture.get(&root, "/cluster/nodes").await.expect(200).json();
        let own = nodes["nodes"][0]["id"].to_string();
        let node = |id: &str| format!("/cluster/nodes/{id}");
        fixture
            .call("DELETE", &root, &format!("{}?force=true", node(&own)), None)
            .await
            .expect(422);
        fixture.call("POST", &root, &format!("{}/drain", node(&own)), None).await.expect(422);
        for unknown in ["77", "x", "18446744073709551616"] {
            fixture.call("DELETE", &root, &node(unknown), None).await.expect(404);
            let drain = format!("{}/drain", node(unknown));
            fixture.call("POST", &root, &drain, None).await.expect(404);
        }
    });
}
