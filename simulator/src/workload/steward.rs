//! Looks after people: makes and changes users, groups, quotas, tenants and partners, and looks
//! whether what was set is told, by any node. Who is suspended is shown nothing.

use http::Method;
use serde_json::{Value, json};

use super::desk::{Desk, Outcome};
use crate::client::request::Request;
use crate::client::{Person, sign_in};

/// What was made and not deleted.
#[derive(Default)]
struct Known {
    users: Vec<User>,
    groups: Vec<String>,
    partners: Vec<String>,
}

struct User {
    id: String,
    email: String,
    /// Once somebody signed in as them.
    person: Option<Person>,
}

pub(crate) async fn run(desk: Desk) {
    let mut known = Known::default();
    Box::pin(make_user(&desk, &mut known)).await;
    Box::pin(make_group(&desk, &mut known)).await;
    while desk.actor().rest().await {
        match desk.below(14) {
            0 => Box::pin(make_user(&desk, &mut known)).await,
            1 => Box::pin(make_group(&desk, &mut known)).await,
            2..4 => Box::pin(change_user(&desk, &known)).await,
            4..6 => Box::pin(suspend(&desk, &mut known)).await,
            6 => Box::pin(change_group(&desk, &known)).await,
            7..9 => Box::pin(fill_group(&desk, &known)).await,
            9..11 => Box::pin(limit(&desk, &known)).await,
            11 => Box::pin(change_tenant(&desk)).await,
            12 => Box::pin(look_round(&desk, &mut known)).await,
            _ => Box::pin(delete(&desk, &mut known)).await,
        }
    }
    Box::pin(look_last(&desk, &known)).await;
}

async fn make_user(desk: &Desk, known: &mut Known) {
    let email = format!("{}@example.com", desk.word("made").replace(' ', "-"));
    let (name, quota) = (desk.word("name"), 1_000_000 + desk.below(1_000_000));
    let body = json!({"email": email, "display_name": name, "quota_bytes": quota});
    let made = desk.change(Method::POST, "/admin/users", &body).await;
    let Some(id) = made.text("id") else { return };
    let path = format!("/admin/users/{id}");
    desk.sets_fields(&made, &path, &body);
    desk.sets(&made, format!("/quotas/users/{id} limit_bytes"), json!(quota));
    desk.is_there(&made, &path, true);
    known.users.push(User { id, email, person: None });
}

async fn make_group(desk: &Desk, known: &mut Known) {
    let body = json!({"name": desk.word("group"), "description": desk.word("for")});
    let made = desk.change(Method::POST, "/admin/groups", &body).await;
    let Some(id) = made.text("id") else { return };
    let path = format!("/admin/groups/{id}");
    desk.sets_fields(&made, &path, &body);
    desk.is_there(&made, &path, true);
    known.groups.push(id);
}

const USER: [&str; 4] = ["display_name", "email", "quota_bytes", "admin_role"];

async fn change_user(desk: &Desk, known: &Known) {
    let Some(user) = desk.actor().pick(&known.users) else { return };
    let path = format!("/admin/users/{}", user.id);
    let body = match desk.below(4) {
        0 => json!({"display_name": desk.word("renamed")}),
        1 => json!({"quota_bytes": 2_000_000 + desk.below(1_000_000)}),
        2 => json!({"admin_role": "tenant_admin"}),
        _ => json!({"admin_role": null, "display_name": desk.word("plain")}),
    };
    let done = desk.change(Method::PATCH, &path, &body).await;
    desk.sets_fields(&done, &path, &body);
    if let Some(quota) = body.get("quota_bytes") {
        desk.sets(&done, format!("/quotas/users/{} limit_bytes", user.id), quota.clone());
    }
    desk.look_at(&path, &USER).await;
}

/// Suspends somebody who is at work, and looks what they are shown then.
async fn suspend(desk: &Desk, known: &mut Known) {
    let many = known.users.len() as u64;
    if many == 0 {
        return;
    }
    let user = &mut known.users[desk.below(many) as usize];
    let Some(person) = signed_in(desk, user).await else { return };
    let path = format!("/admin/users/{}", user.id);
    for (deed, status) in [("suspend", "suspended"), ("activate", "active")] {
        let done = desk.change(Method::POST, &format!("{path}/{deed}"), &Value::Null).await;
        desk.sets(&done, format!("{path} status"), json!(status));
        desk.sets(&done, format!("{path} is let in"), json!(status == "active"));
        desk.look_at(&path, &["status"]).await;
        let client = desk.actor().client.of(&person);
        let request = Request::get("/users/me/shares".to_owned());
        let request = Request { may_be_nobody: true, ..request };
        let look = desk.send_as(&client, &request).await;
        if look.status != Some(401) {
            desk.told(&look, format!("{path} is let in"), json!(look.is_done()));
        }
    }
}

async fn signed_in(desk: &Desk, user: &mut User) -> Option<Person> {
    if user.person.is_none() {
        let cluster = &desk.actor().client.cluster;
        user.person = Some(Box::pin(sign_in(cluster, &user.email)).await);
    }
    user.person.clone()
}

const GROUP: [&str; 2] = ["name", "description"];

async fn change_group(desk: &Desk, known: &Known) {
    let Some(group) = desk.actor().pick(&known.groups) else { return };
    let path = format!("/admin/groups/{group}");
    let body = match desk.below(2) {
        0 => json!({"name": desk.word("regrouped")}),
        _ => json!({"description": desk.word("because")}),
    };
    let done = desk.change(Method::PATCH, &path, &body).await;
    desk.sets_fields(&done, &path, &body);
    desk.look_at(&path, &GROUP).await;
}

/// Somebody comes into a group, or goes; who is in it is told by the list of its members.
async fn fill_group(desk: &Desk, known: &Known) {
    let (group, user) = (desk.actor().pick(&known.groups), desk.actor().pick(&known.users));
    let (Some(group), Some(user)) = (group, user) else { return };
    let path = format!("/admin/groups/{group}/members");
    let joins = desk.actor().happens(0.6);
    let done = if joins {
        desk.change(Method::POST, &path, &json!({"user_id": user.id})).await
    } else {
        desk.change(Method::DELETE, &format!("{path}/{}", user.id), &Value::Null).await
    };
    desk.sets(&done, format!("{path} {}", user.id), json!(joins));
    let look = desk.look(&format!("{path}?limit=100")).await;
    if look.is_done() {
        let is_in = look.each("members", "user_id").any(|id| id == user.id);
        desk.told(&look, format!("{path} {}", user.id), json!(is_in));
    }
}

const QUOTA: [&str; 6] = [
    "limit_bytes",
    "limit_type",
    "warning_threshold_1",
    "grace_period_days",
    "exempt",
    "exempt_reason",
];

/// Sets, lifts and looks at quotas, and at what is used.
async fn limit(desk: &Desk, known: &Known) {
    let target = match desk.below(4) {
        0 => desk.actor().pick(&known.groups).map(|group| format!("groups/{group}")),
        1 => Some("tenant".to_owned()),
        2 => Some("partner".to_owned()),
        _ => desk.actor().pick(&known.users).map(|user| format!("users/{}", user.id)),
    };
    let Some(target) = target else { return };
    let path = format!("/quotas/{target}");
    match desk.below(4) {
        0 if target.contains('/') => {
            let body = json!({"exempt": desk.actor().happens(0.5), "exempt_reason": "a trial"});
            let done = desk.change(Method::POST, &format!("{path}/exempt"), &body).await;
            desk.sets(&done, format!("{path} exempt"), body["exempt"].clone());
        }
        1 if target.starts_with("groups") => {
            let done = desk.change(Method::DELETE, &path, &Value::Null).await;
            desk.is_there(&done, &path, false);
        }
        n => {
            // Nobody is to be stopped by it.
            let bytes = (1_u64 << 40) + desk.below(1 << 20);
            let kind = if n == 2 { "soft" } else { "hard" };
            let body = json!({
                "limit_bytes": bytes, "limit_type": kind,
                "warning_threshold_1": 10 + desk.below(50), "grace_period_days": desk.below(30),
            });
            let done = desk.change(Method::PUT, &path, &body).await;
            desk.sets_fields(&done, &path, &body);
            desk.is_there(&done, &path, true);
            if let Some(id) = target.strip_prefix("users/") {
                let register = format!("/admin/users/{id} quota_bytes");
                desk.sets(&done, register, json!(bytes));
            }
        }
    }
    desk.look_at(&path, &QUOTA[..5]).await;
    let recount = if desk.actor().happens(0.5) { "?recalculate=true" } else { "" };
    if target != "partner" {
        let usage = desk.look(&format!("/quotas/usage/{target}{recount}")).await;
        no_drift(desk, &usage);
    }
    desk.look("/quotas/usage/users?limit=3").await;
}

/// Counted anew, what is used is what is kept.
fn no_drift(desk: &Desk, usage: &Outcome) {
    if let Some(drift) = usage.body.get("drift_bytes") {
        desk.sets(usage, "drift".to_owned(), json!(0));
        desk.told(usage, "drift".to_owned(), drift.clone());
    }
}

async fn change_tenant(desk: &Desk) {
    let settings = match desk.below(3) {
        0 => json!({"vectorization_enabled": desk.actor().happens(0.5)}),
        1 => json!({"max_file_size_bytes": (1_u64 << 32) + desk.below(1 << 20)}),
        _ => json!({"external_sharing": desk.actor().happens(0.5)}),
    };
    let body = json!({"display_name": desk.word("tenant"), "settings": settings});
    let done = desk.change(Method::PATCH, "/admin/tenant", &body).await;
    desk.sets(&done, "/admin/tenant display_name".to_owned(), body["display_name"].clone());
    for (field, value) in settings.as_object().into_iter().flatten() {
        desk.sets(&done, format!("/admin/tenant/settings {field}"), value.clone());
    }
    let look = desk.look_at("/admin/tenant", &["display_name"]).await;
    for (field, value) in look.body["settings"].as_object().into_iter().flatten() {
        desk.told(&look, format!("/admin/tenant/settings {field}"), value.clone());
    }
}

/// The lists that an administrator looks through; and partners with their tenants.
async fn look_round(desk: &Desk, known: &mut Known) {
    const LISTS: [&str; 11] = [
        "/admin/users?search=made&limit=2&offset=1",
        "/admin/users?status=suspended",
        "/admin/users?is_admin=true",
        "/admin/groups?limit=2",
        "/admin/partners",
        "/enterprise/audit/events?limit=7",
        "/enterprise/audit/events?category=ADMIN&limit=5&offset=2",
        "/enterprise/audit/events?action=user.created&severity=info",
        "/shares?include_trashed=true",
        "/cluster/status",
        "/cluster/repair",
    ];
    for _ in 0..3 {
        if let Some(list) = desk.actor().pick(&LISTS) {
            desk.look(list).await;
        }
    }
    let path = match desk.actor().pick(&known.partners) {
        Some(partner) if desk.actor().happens(0.7) => format!("/admin/partners/{partner}"),
        _ => {
            let name = desk.word("partner").replace(' ', "-");
            let body = json!({"name": name, "display_name": "A partner"});
            let made = desk.change(Method::POST, "/admin/partners", &body).await;
            let Some(id) = made.text("id") else { return };
            let path = format!("/admin/partners/{id}");
            desk.sets_fields(&made, &path, &body);
            desk.sets(&made, format!("{path} status"), json!("active"));
            known.partners.push(id);
            path
        }
    };
    let status = if desk.actor().happens(0.5) { "suspended" } else { "active" };
    let body = json!({"display_name": desk.word("partners"), "status": status});
    let done = desk.change(Method::PATCH, &path, &body).await;
    desk.sets_fields(&done, &path, &body);
    desk.look_at(&path, &["name", "display_name", "status"]).await;
    let tenant = json!({"name": desk.word("tenant").replace(' ', "-")});
    let tenants = format!("{path}/tenants");
    let made = desk.change(Method::POST, &tenants, &tenant).await;
    let look = desk.look(&tenants).await;
    if let (Some(id), true) = (made.text("id"), look.is_done()) {
        desk.is_there(&made, &id, true);
        let is_there = look.each("tenants", "id").any(|one| one == id);
        desk.told(&look, format!("{id} is there"), json!(is_there));
    }
}

async fn delete(desk: &Desk, known: &mut Known) {
    if known.users.len() > 3 {
        let user = known.users.swap_remove(desk.below(known.users.len() as u64) as usize);
        let path = format!("/admin/users/{}", user.id);
        let done = desk.change(Method::DELETE, &path, &Value::Null).await;
        desk.is_there(&done, &path, false);
        desk.look_at(&path, &[]).await;
    }
    if known.groups.len() > 2 {
        let group = known.groups.swap_remove(0);
        let path = format!("/admin/groups/{group}");
        let done = desk.change(Method::DELETE, &path, &Value::Null).await;
        desk.is_there(&done, &path, false);
        desk.look_at(&path, &[]).await;
    }
}

/// Everything once more when all is over.
async fn look_last(desk: &Desk, known: &Known) {
    for user in &known.users {
        desk.look_at(&format!("/admin/users/{}", user.id), &USER).await;
    }
    for group in &known.groups {
        desk.look_at(&format!("/admin/groups/{group}"), &GROUP).await;
    }
    desk.look_at("/admin/tenant", &["display_name"]).await;
}
