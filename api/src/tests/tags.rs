//! The tags of objects, and what `If-Match` says of them.

use serde_json::{Value, json};

use super::files::Desk;
use crate::fixture::{Fixture, Reply, run};

/// Asks on the condition that the object is still what the tag says.
async fn if_match(
    fixture: &Fixture,
    token: &str,
    (method, path): (&str, &str),
    tag: &str,
    body: Option<&Value>,
) -> Reply {
    let request = fixture
        .request(method, path)
        .header("authorization", format!("Bearer {token}"))
        .header("if-match", tag)
        .body(body.map_or_else(axum::body::Body::empty, |body| body.to_string().into()));
    fixture.send(request.expect("a request")).await
}

fn tag(reply: &Reply) -> String {
    reply.headers.get("etag").expect("a tag").to_str().expect("text").to_owned()
}

/// Two changes by who read the object at the same time: one passes, the other is told. Answers the
/// tag that the object has then.
async fn check(
    fixture: &Fixture,
    token: &str,
    (method, path): (&str, &str),
    read: &Reply,
    bodies: [Option<Value>; 2],
) -> String {
    let [first, second] = bodies;
    let old = tag(read);
    let never = if_match(fixture, token, (method, path), "\"r1-0\"", first.as_ref()).await;
    assert_eq!(never.expect(412).code(), "PRECONDITION_FAILED", "{method} {path}");
    let changed = if_match(fixture, token, (method, path), &old, first.as_ref()).await;
    let changed = tag(&changed.expect(200));
    assert_ne!(changed, old, "{method} {path}");
    let late = if_match(fixture, token, (method, path), &old, second.as_ref()).await;
    assert_eq!(late.expect(412).code(), "PRECONDITION_FAILED", "{method} {path}");
    let any = if_match(fixture, token, (method, path), "*", second.as_ref()).await;
    tag(&any.expect(200))
}

/// A deletion by a stale tag is refused, and by a good one done.
async fn check_gone(fixture: &Fixture, token: &str, path: &str, good: &str) {
    if_match(fixture, token, ("DELETE", path), "\"r1-0\"", None).await.expect(412);
    if_match(fixture, token, ("DELETE", path), good, None).await.expect(204);
}

fn body(name: &str, value: &str) -> Option<Value> {
    Some(json!({ name: value }))
}

#[test]
fn what_administrators_change_is_compared_with_what_they_saw() {
    run(|fixture| async move {
        let root = fixture.token(fixture.root).await;
        let new = Some(json!({"name": "crew"}));
        let group = fixture.call("POST", &root, "/admin/groups", new).await.expect(201);
        let path = format!("/admin/groups/{}", group.json()["id"].as_str().expect("an id"));
        let bodies = [body("name", "band"), body("name", "club")];
        let good = check(&fixture, &root, ("PATCH", &path), &group, bodies).await;
        let members = format!("{path}/members");
        let bob = Some(json!({"user_id": fixture.bob.to_string()}));
        let joined = if_match(&fixture, &root, ("POST", &members), "\"r1\"", bob.as_ref()).await;
        joined.expect(412);
        check_gone(&fixture, &root, &path, &good).await;

        let tenant = fixture.get(&root, "/admin/tenant").await.expect(200);
        let bodies = [body("display_name", "One"), body("display_name", "Two")];
        check(&fixture, &root, ("PATCH", "/admin/tenant"), &tenant, bodies).await;

        let id = tenant.json()["partner_id"].as_str().expect("an id").to_owned();
        let path = format!("/admin/partners/{id}");
        let partner = fixture.get(&root, &path).await.expect(200);
        let bodies = [body("display_name", "One"), body("display_name", "Two")];
        check(&fixture, &root, ("PATCH", &path), &partner, bodies).await;

        let quota = format!("/quotas/users/{}", fixture.bob);
        let limit = |bytes: u64| Some(json!({ "limit_bytes": bytes }));
        if_match(&fixture, &root, ("PUT", &quota), "\"r1\"", limit(10).as_ref()).await.expect(412);
        let set = fixture.call("PUT", &root, &quota, limit(10)).await.expect(200);
        let good = check(&fixture, &root, ("PUT", &quota), &set, [limit(20), limit(30)]).await;
        let exempt = format!("{quota}/exempt");
        let why = Some(json!({"exempt": true, "exempt_reason": "guest"}));
        if_match(&fixture, &root, ("POST", &exempt), "\"r1\"", why.as_ref()).await.expect(412);
        check_gone(&fixture, &root, &quota, &good).await;

        let path = format!("/admin/users/{}", fixture.bob);
        let suspend = format!("{path}/suspend");
        let user = fixture.get(&root, &path).await.expect(200);
        check(&fixture, &root, ("POST", &suspend), &user, [None, None]).await;
        let activate = format!("{path}/activate");
        let user = fixture.get(&root, &path).await.expect(200);
        let good = check(&fixture, &root, ("POST", &activate), &user, [None, None]).await;
        check_gone(&fixture, &root, &path, &good).await;
    });
}

#[test]
fn what_belongs_to_shares_and_devices_is_compared_with_what_was_seen() {
    run(|fixture| async move {
        let ann = fixture.token(fixture.ann).await;
        let new =
            json!({"name": "Plans", "share_type": "project", "owner_id": fixture.ann.to_string()});
        let share = fixture.call("POST", &ann, "/shares", Some(new)).await.expect(201).json();
        let share = share["id"].as_str().expect("an id");
        let members = format!("/shares/{share}/members");
        let member = json!({"principal_type": "user",
            "principal_id": fixture.bob.to_string(), "role": "reader"});
        let member = fixture.call("POST", &ann, &members, Some(member)).await.expect(201);
        let path = format!("{members}/{}", fixture.bob);
        let bodies = [body("role", "contributor"), body("role", "admin")];
        let good = check(&fixture, &ann, ("PATCH", &path), &member, bodies).await;
        check_gone(&fixture, &ann, &path, &good).await;

        let invitations = format!("/shares/{share}/invitations");
        let new = json!({"email": "guest@example.com", "role": "reader"});
        let sent = fixture.call("POST", &ann, &invitations, Some(new)).await.expect(201);
        let path = format!("{invitations}/{}", sent.json()["id"].as_str().expect("an id"));
        let resend = format!("{path}/resend");
        let good = check(&fixture, &ann, ("POST", &resend), &sent, [None, None]).await;
        check_gone(&fixture, &ann, &path, &good).await;

        let new = json!({"device_id": "dev_one", "device_name": "a", "platform": "linux"});
        let device = fixture.call("POST", &ann, "/sync/devices", Some(new)).await.expect(201);
        let path = "/sync/devices/dev_one";
        let bodies = [body("device_name", "b"), body("device_name", "c")];
        check(&fixture, &ann, ("PATCH", path), &device, bodies).await;
        let preferences = format!("{path}/preferences");
        let read = fixture.get(&ann, &format!("{preferences}?share_id={share}")).await.expect(200);
        let keep = |folders: &[&str]| {
            Some(json!({"share_id": share, "mode": "selected", "folders": folders}))
        };
        let bodies = [keep(&[]), keep(&["fld_00000000000000000000000001"])];
        check(&fixture, &ann, ("PUT", &preferences), &read, bodies).await;
        let devices = fixture.get(&ann, "/sync/devices").await.expect(200).json();
        assert_eq!(devices["total"], 1);
        if_match(&fixture, &ann, ("DELETE", path), "\"r1\"", None).await.expect(412);
        fixture.call("DELETE", &ann, path, None).await.expect(204);
    });
}

#[test]
fn a_moved_item_has_its_tag_and_a_reading_goes_on_only_with_the_same_version() {
    run(|fixture| async move {
        let desk = Desk::new(fixture).await;
        let folder = json!({"name": "f", "share_id": desk.share});
        let folder = desk.post("/folders", folder).await.expect(201).json();
        let file = desk.file("a.txt", b"0123456789").await;
        let id = file["id"].as_str().expect("an id");
        let (fixture, ann) = (&desk.fixture, desk.token.clone());
        let path = format!("/files/{id}");
        let to = Some(json!({"target_folder_id": folder["id"]}));
        let moved = fixture.call("POST", &ann, &format!("{path}/move"), to).await.expect(200);
        let read = fixture.get(&ann, &path).await.expect(200);
        assert_eq!(tag(&moved), tag(&read));
        if_match(fixture, &ann, ("GET", &path), &tag(&read), None).await.expect(200);
        let other = if_match(fixture, &ann, ("GET", &path), "\"r1-0\"", None).await.expect(412);
        assert_eq!(other.code(), "PRECONDITION_FAILED");

        let content = format!("{path}/content");
        let tag = tag(&fixture.get(&ann, &content).await.expect(200));
        let resume = async |tag: &str| {
            let request = fixture
                .request("GET", &content)
                .header("authorization", format!("Bearer {ann}"))
                .header("range", "bytes=4-")
                .header("if-match", tag)
                .body(axum::body::Body::empty());
            fixture.send(request.expect("a request")).await
        };
        assert_eq!(&resume(&tag).await.expect(206).body[..], b"456789");
        resume("*").await.expect(206);
        resume("\"ver_00000000000000000000000001\"").await.expect(412);
        resume(&format!("W/{tag}")).await.expect(412);
    });
}
