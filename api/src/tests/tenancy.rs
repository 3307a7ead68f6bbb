//! People, shares, permissions and quotas through the routes, from end to end.

use api_ops::meta::Scopes;
use serde_json::json;

use super::files::Desk;
use crate::fixture::run;

#[test]
fn a_share_is_made_opened_and_closed_again() {
    run(|fixture| async move {
        let (ann, bob) = (fixture.token(fixture.ann).await, fixture.token(fixture.bob).await);
        let new =
            json!({"name": "Plans", "share_type": "project", "owner_id": fixture.ann.to_string()});
        let share = fixture.call("POST", &ann, "/shares", Some(new)).await.expect(201);
        let tag = share.headers["etag"].clone();
        let id = share.json()["id"].as_str().expect("an id").to_owned();
        let path = format!("/shares/{id}");
        fixture.get(&bob, &path).await.expect(404);
        let member = json!({"principal_type": "user",
            "principal_id": fixture.bob.to_string(), "role": "reader"});
        let members = format!("{path}/members");
        fixture.call("POST", &bob, &members, Some(member.clone())).await.expect(404);
        fixture.call("POST", &ann, &members, Some(member.clone())).await.expect(201);
        let twice = fixture.call("POST", &ann, &members, Some(member)).await.expect(409);
        assert_eq!(twice.code(), "ALREADY_EXISTS");
        fixture.get(&bob, &path).await.expect(200);
        let mine = fixture.get(&bob, "/users/me/shares").await.expect(200).json();
        assert_eq!(mine["total"], 2);
        fixture.call("PATCH", &bob, &path, Some(json!({"name": "Mine"}))).await.expect(403);
        let check =
            format!("/permissions/check?resource_type=share&resource_id={id}&permission=WRITE");
        assert_eq!(fixture.get(&bob, &check).await.expect(200).json()["allowed"], false);
        assert_eq!(fixture.get(&ann, &check).await.expect(200).json()["allowed"], true);
        let one = format!("{members}/{}", fixture.bob);
        fixture.call("DELETE", &ann, &one, None).await.expect(204);
        fixture.get(&bob, &path).await.expect(404);

        let known = fixture
            .request("GET", &path)
            .header("authorization", format!("Bearer {ann}"))
            .header("if-none-match", &tag)
            .body(axum::body::Body::empty());
        let spared = fixture.send(known.expect("a request")).await.expect(304);
        assert!(spared.body.is_empty());
        let changed = fixture
            .request("PATCH", &path)
            .header("authorization", format!("Bearer {ann}"))
            .header("if-match", "\"r1\"")
            .body(axum::body::Body::from("{\"name\":\"Other\"}"));
        let refused = fixture.send(changed.expect("a request")).await.expect(412);
        assert_eq!(refused.code(), "PRECONDITION_FAILED");
        fixture.call("DELETE", &ann, &path, None).await.expect(204);
        fixture.call("DELETE", &ann, &format!("{path}?permanent=true"), None).await.expect(204);
        fixture.get(&ann, &path).await.expect(404);
    });
}

#[test]
fn the_same_key_gets_the_first_answer_and_another_body_is_refused() {
    run(|fixture| async move {
        let root = fixture.token(fixture.root).await;
        let post = async |body: &str| {
            let request = fixture
                .request("POST", "/admin/groups")
                .header("authorization", format!("Bearer {root}"))
                .header("idempotency-key", "key-1")
                .body(axum::body::Body::from(body.to_owned()));
            fixture.send(request.expect("a request")).await
        };
        let first = post("{\"name\":\"crew\"}").await.expect(201).json();
        assert_eq!(post("{\"name\":\"crew\"}").await.expect(201).json(), first);
        let other = post("{\"name\":\"band\"}").await.expect(422);
        assert_eq!(other.json()["detail"][0]["loc"], json!(["header", "Idempotency-Key"]));
        assert_eq!(fixture.get(&root, "/admin/groups").await.expect(200).json()["total"], 1);
    });
}

#[test]
fn administration_needs_the_scope_and_the_role() {
    run(|fixture| async move {
        let all = Scopes::ALL;
        let ann = fixture.token_with(fixture.ann, all).await;
        let narrow = fixture.token_with(fixture.root, Scopes::DEFAULT).await;
        let root = fixture.token(fixture.root).await;
        for path in ["/admin/users", "/admin/tenant", "/admin/groups", "/enterprise/audit/events"] {
            assert_eq!(fixture.get(&ann, path).await.expect(403).code(), "PERMISSION_DENIED");
            assert_eq!(fixture.get(&narrow, path).await.expect(403).code(), "SCOPE_MISSING");
            fixture.get(&root, path).await.expect(200);
        }
        let path = format!("/admin/users/{}", fixture.bob);
        let patch =
            json!({"quota_bytes": 1_000, "display_name": "Bobby", "admin_role": "tenant_admin"});
        let bob = fixture.call("PATCH", &root, &path, Some(patch)).await.expect(200).json();
        assert_eq!(
            (&bob["quota_bytes"], &bob["admin_role"]),
            (&json!(1_000), &json!("tenant_admin"))
        );
        let token = fixture.token_with(fixture.bob, all).await;
        fixture.get(&token, "/admin/users").await.expect(200);
        let raise = json!({"admin_role": "super_admin"});
        fixture.call("PATCH", &token, &path, Some(raise)).await.expect(403);
        assert_eq!(
            fixture.get(&token, "/users/me/quota").await.expect(200).json()["quota_bytes"],
            1_000
        );
        let events = fixture.get(&root, "/enterprise/audit/events?action=user").await.expect(200);
        assert!(events.json()["total"].as_u64() >= Some(4), "{}", events.text());
        let tenant = json!({"settings": {"max_versions": 7, "trash_retention_days": 3}});
        let tenant = fixture.call("PATCH", &root, "/admin/tenant", Some(tenant)).await.expect(200);
        assert_eq!(tenant.json()["settings"]["max_versions"], 7);
        let clear = json!({"settings": {"max_versions": null, "trash_retention_days": null}});
        fixture.call("PATCH", &root, "/admin/tenant", Some(clear)).await.expect(422);
    });
}

#[test]
fn changes_of_different_settings_at_the_same_time_are_all_kept() {
    run(|fixture| async move {
        let (root, ann) = (fixture.token(fixture.root).await, fixture.token(fixture.ann).await);
        let new =
            json!({"name": "Plans", "share_type": "project", "owner_id": fixture.ann.to_string()});
        let share = fixture.call("POST", &ann, "/shares", Some(new)).await.expect(201).json();
        let share = format!("/shares/{}", share["id"].as_str().expect("an id"));
        let patch = async |token: &str, path: &str, settings| {
            let body = Some(json!({"settings": settings}));
            fixture.call("PATCH", token, path, body).await.expect(200);
        };
        for (token, path) in [(&root, "/admin/tenant"), (&ann, share.as_str())] {
            tokio::join!(
                patch(token, path, json!({"max_versions": 7})),
                patch(token, path, json!({"version_retention_days": 3})),
            );
            let settings = fixture.get(token, path).await.expect(200).json()["settings"].clone();
            assert_eq!(
                (&settings["max_versions"], &settings["version_retention_days"]),
                (&json!(7), &json!(3)),
                "{path}"
            );
        }
        patch(&ann, &share, json!({"trash_retention_days": 5})).await;
        let wider = json!({"settings": {"trash_retention_days": 31}});
        let wider = fixture.call("PATCH", &ann, &share, Some(wider)).await.expect(422);
        assert_eq!(wider.code(), "VALIDATION");
        let told = fixture.get(&ann, &share).await.expect(200).json();
        assert_eq!(told["settings"]["trash_retention_days"], 5);
        assert_eq!(told["settings"]["max_versions"], 7);
    });
}

#[test]
fn lists_of_entries_are_changed_and_explained() {
    run(|fixture| async move {
        let (ann, bob) = (fixture.token(fixture.ann).await, fixture.token(fixture.bob).await);
        let new =
            json!({"name": "Plans", "share_type": "project", "owner_id": fixture.ann.to_string()});
        let share = fixture.call("POST", &ann, "/shares", Some(new)).await.expect(201).json();
        let acl = format!("/permissions/acl/share/{}", share["id"].as_str().expect("an id"));
        let entry = json!({"principal_type": "user", "principal_id": fixture.bob.to_string(),
            "permissions": ["READ", "WRITE"], "ace_type": "allow"});
        let added = fixture.call("POST", &ann, &acl, Some(entry)).await.expect(201).json();
        assert_eq!(added["permissions"], json!(["READ", "WRITE"]));
        assert_eq!(added["applies_to"], "this_and_children");
        let odd = json!({"principal_type": "everyone", "permissions": ["READ"], "ace_type": "deny",
            "applies_to": "this_only", "inherit_to_children": true});
        fixture.call("POST", &ann, &acl, Some(odd)).await.expect(422);
        let list = fixture.get(&ann, &acl).await.expect(200).json();
        assert_eq!(list["entries"].as_array().map(Vec::len), Some(2), "and the owner: {list}");
        fixture.get(&bob, &acl).await.expect(403);
        let why = format!(
            "/permissions/effective?resource_type=share&resource_id={}",
            share["id"].as_str().expect("an id")
        );
        let told = fixture.get(&bob, &why).await.expect(200).json();
        assert_eq!((&told["mask"], &told["can_share"]), (&json!(3), &json!(false)));
        assert_eq!(told["explain"][0]["ace_id"], added["id"]);
        let gone = json!({"id": added["id"]});
        fixture.call("DELETE", &ann, &acl, Some(gone)).await.expect(204);
        fixture.get(&bob, &why).await.expect(404);
    });
}

#[test]
fn invitations_are_answered_by_whom_they_are_for() {
    run(|fixture| async move {
        let (ann, bob) = (fixture.token(fixture.ann).await, fixture.token(fixture.bob).await);
        let new =
            json!({"name": "Plans", "share_type": "project", "owner_id": fixture.ann.to_string()});
        let share = fixture.call("POST", &ann, "/shares", Some(new)).await.expect(201).json();
        let path = format!("/shares/{}/invitations", share["id"].as_str().expect("an id"));
        let new = json!({"email": "BOB@example.com", "role": "contributor"});
        let made = fixture.call("POST", &ann, &path, Some(new)).await.expect(201).json();
        let mine = fixture.get(&bob, "/users/me/invitations").await.expect(200).json();
        assert_eq!(mine["invitations"][0]["id"], made["id"]);
        let accept =
            format!("/users/me/invitations/{}/accept", made["id"].as_str().expect("an id"));
        fixture.call("POST", &ann, &accept, None).await.expect(404);
        fixture.call("POST", &bob, &accept, None).await.expect(204);
        fixture.call("POST", &bob, &accept, None).await.expect(409);
        fixture
            .get(&bob, &format!("/shares/{}", share["id"].as_str().expect("an id")))
            .await
            .expect(200);
    });
}

#[test]
fn limits_are_set_by_those_above() {
    run(|fixture| async move {
        let (root, ann) = (fixture.token(fixture.root).await, fixture.token(fixture.ann).await);
        let path = format!("/quotas/users/{}", fixture.ann);
        fixture.call("PUT", &ann, &path, Some(json!({"limit_bytes": 5}))).await.expect(403);
        fixture.call("PUT", &root, &path, Some(json!({}))).await.expect(422);
        let set = json!({"limit_bytes": 5, "limit_type": "soft", "warning_threshold_1": 50});
        let quota = fixture.call("PUT", &root, &path, Some(set)).await.expect(200).json();
        assert_eq!(
            (&quota["limit_type"], &quota["warning_threshold_2"]),
            (&json!("soft"), &json!(85))
        );
        assert_eq!(fixture.get(&ann, &path).await.expect(200).json()["limit_bytes"], 5);
        fixture.get(&ann, &format!("/quotas/users/{}", fixture.bob)).await.expect(403);
        let exempt = json!({"exempt": true, "exempt_reason": "moving house"});
        fixture.call("POST", &root, &format!("{path}/exempt"), Some(exempt)).await.expect(200);
        fixture.call("DELETE", &root, &path, None).await.expect(204);
        fixture.get(&ann, &path).await.expect(404);
        let usage = fixture.get(&root, "/quotas/usage/tenant?recalculate=true").await.expect(200);
        assert_eq!(usage.json()["drift_bytes"], 0);
    });
}

#[test]
fn what_an_administrator_reads_past_the_lists_is_on_record_once_a_minute() {
    run(|fixture| async move {
        let desk = Desk::new(fixture).await;
        let root = desk.fixture.token(desk.fixture.root).await;
        let folder = json!({"share_id": desk.share, "name": "secret", "parent_id": null});
        let folder = desk.post("/folders", folder).await.expect(201).json();
        let path = format!("/folders/{}", folder["id"].as_str().expect("an id"));
        let passes = async || {
            let events = "/enterprise/audit/events?action=permission.overridden";
            desk.fixture.get(&root, events).await.expect(200).json()["total"].clone()
        };
        assert_eq!(passes().await, 0);
        desk.fixture.get(&root, &path).await.expect(200);
        assert_eq!(passes().await, 1);
        desk.fixture.get(&root, &path).await.expect(200);
        assert_eq!(passes().await, 1, "it is the same minute");
        desk.get(&path).await.expect(200);
        assert_eq!(passes().await, 1, "the owner's own right lets it pass");
    });
}
