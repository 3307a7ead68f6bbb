//! Looks after a share of their own: brings files by the dozen, copies folders, sets the share's
//! rules and its lists of permissions, invites, hands things over, and throws shares away.

use bytes::Bytes;
use http::Method;
use node_base::sha256;
use serde_json::{Value, json};

use super::desk::{Desk, Outcome};
use crate::client::Person;
use crate::client::content::{Content, Piece};
use crate::client::request::{Request, parts};

/// What was made and not thrown away.
struct Known {
    share: String,
    /// Others, to be thrown away.
    more: Vec<String>,
    folders: Vec<String>,
    files: Vec<String>,
    invitations: Vec<String>,
}

/// `guest` is somebody who is invited.
pub(crate) async fn run(desk: Desk, guest: Person) {
    let Some(share) = make_share(&desk).await else { return };
    let mut known = Known {
        share,
        more: Vec::new(),
        folders: Vec::new(),
        files: Vec::new(),
        invitations: Vec::new(),
    };
    Box::pin(bring(&desk, &mut known)).await;
    while desk.actor().rest().await {
        match desk.below(16) {
            0..4 => Box::pin(bring(&desk, &mut known)).await,
            4 => Box::pin(copy(&desk, &mut known)).await,
            5..7 => Box::pin(set_rules(&desk, &known)).await,
            7..9 => Box::pin(invite(&desk, &mut known, &guest)).await,
            9..12 => Box::pin(permit(&desk, &known, &guest)).await,
            12 => Box::pin(set_inheritance(&desk, &known)).await,
            13 => Box::pin(hand_over(&desk, &known, &guest)).await,
            14 => Box::pin(set_member(&desk, &known, &guest)).await,
            _ => Box::pin(throw_away(&desk, &mut known)).await,
        }
    }
    for file in &known.files {
        read(&desk, file).await;
    }
    desk.look_at(&format!("/shares/{}", known.share), &SHARE).await;
}

const SHARE: [&str; 4] = ["name", "description", "is_public", "is_deleted"];

async fn make_share(desk: &Desk) -> Option<String> {
    let owner = desk.actor().client.person.user.to_string();
    let body = json!({
        "name": desk.word("hosted"), "share_type": "project", "owner_id": owner,
        "description": desk.word("for"), "settings": {"name_policy": "any"},
    });
    let made = desk.change(Method::POST, "/shares", &body).await;
    let id = made.text("id")?;
    let path = format!("/shares/{id}");
    for field in ["name", "description"] {
        desk.sets(&made, format!("{path} {field}"), body[field].clone());
    }
    desk.sets(&made, format!("{path} is_deleted"), json!(false));
    Some(id)
}

/// A batch of small files, some over others, some in folders that are made for them.
async fn bring(desk: &Desk, known: &mut Known) {
    let (mut items, mut contents) = (Vec::new(), Vec::new());
    for n in 0..=desk.below(6) {
        let name = desk.actor().name("batched");
        let path = match desk.below(3) {
            0 => format!("deep {}/deeper/{name}", desk.below(3)),
            1 => format!("deep {}/{name}", desk.below(3)),
            _ => name,
        };
        let mut item = json!({"client_ref": n.to_string(), "path": path});
        if let (Some(file), true) = (desk.actor().pick(&known.files), desk.actor().happens(0.3)) {
            item["replace_file_id"] = json!(file);
            item["path"] = json!("");
        } else if let (Some(folder), 0) = (desk.actor().pick(&known.folders), desk.below(3)) {
            item["folder_id"] = json!(folder);
        }
        if desk.actor().happens(0.2) {
            item["executable"] = json!(true);
            item["client_modified_at"] = json!("2026-01-02T03:04:05Z");
        }
        let size = 1 + desk.below(3_000) as u32;
        let content = Content(vec![Piece { seed: desk.below(u64::MAX), size }]);
        contents.push(Bytes::from(content.bytes()));
        items.push(item);
    }
    let list = Bytes::from(Value::from(items.clone()).to_string());
    let mut fields = vec![("items", "application/json", list)];
    let files = contents.iter().map(|bytes| ("content", "application/octet-stream", bytes.clone()));
    fields.extend(files);
    let path = format!("/files/batch?share_id={}", known.share);
    let key = desk.word("batch").replace(' ', "-");
    let done = desk.send(&parts(path, &fields).with_key(key)).await;
    let results = done.body["results"].as_array().cloned().unwrap_or_default();
    for ((result, content), item) in results.iter().zip(&contents).zip(&items) {
        // Who may write a file and not read it is not shown it.
        let hidden = item["replace_file_id"].as_str().filter(|_| result["status"] == "replaced");
        let Some(id) = result["file"]["id"].as_str().or(hidden) else { continue };
        let register = format!("/files/{id}/content is");
        desk.sets(&done, register, json!(sha256(content).to_string()));
        if result["status"] == "created" {
            known.files.push(id.to_owned());
            known.folders.extend(result["file"]["folder_id"].as_str().map(str::to_owned));
        }
    }
    known.folders.sort();
    known.folders.dedup();
    if let Some(file) = desk.actor().pick(&known.files) {
        read(desk, file).await;
    }
}

/// Reads a file; what cannot be read, for bytes are lost or it is deleted, is told of elsewhere.
async fn read(desk: &Desk, file: &str) {
    let look = desk.read(file).await;
    if let Some((look, hash)) = look {
        desk.told(&look, format!("/files/{file}/content is"), json!(hash));
    }
}

async fn copy(desk: &Desk, known: &mut Known) {
    let target = json!({"target_share_id": known.share, "name": desk.word("copy")});
    let Some(folder) = desk.actor().pick(&known.folders) else { return };
    let done = desk.change(Method::POST, &format!("/folders/{folder}/copy"), &target).await;
    if let Some(id) = done.text("id") {
        let path = format!("/folders/{id}");
        desk.sets(&done, format!("{path} name"), target["name"].clone());
        desk.look_at(&path, &["name"]).await;
        known.folders.push(id);
    }
}

async fn set_rules(desk: &Desk, known: &Known) {
    let path = format!("/shares/{}", known.share);
    let settings = match desk.below(4) {
        0 => json!({"conflict_resolution": "KEEP_BOTH"}),
        1 => json!({"max_versions": 1 + desk.below(5)}),
        2 => json!({"trash_retention_days": 1 + desk.below(20), "max_versions": null}),
        _ => json!({"version_retention_days": null}),
    };
    let body = json!({
        "name": desk.word("renamed"), "is_public": desk.actor().happens(0.3),
        "description": desk.word("because"),
    });
    let mut patch = body.clone();
    patch["settings"] = settings.clone();
    let done = desk.change(Method::PATCH, &path, &patch).await;
    desk.sets_fields(&done, &path, &body);
    desk.sets_fields(&done, &format!("{path}/settings"), &settings);
    let look = desk.look_at(&path, &SHARE).await;
    for (field, value) in look.body["settings"].as_object().into_iter().flatten() {
        desk.told(&look, format!("{path}/settings {field}"), value.clone());
    }
}

/// Invites the guest, who accepts, declines, or is too late.
async fn invite(desk: &Desk, known: &mut Known, guest: &Person) {
    let path = format!("/shares/{}/invitations", known.share);
    if let (Some(old), true) = (known.invitations.pop(), desk.actor().happens(0.6)) {
        let (method, end) = match desk.below(2) {
            0 => (Method::POST, "/resend"),
            _ => (Method::DELETE, ""),
        };
        desk.change(method, &format!("{path}/{old}{end}"), &Value::Null).await;
    }
    let address = if desk.actor().happens(0.6) { &guest.email } else { "nobody@example.org" };
    let role = if desk.actor().happens(0.5) { "reader" } else { "contributor" };
    let body = json!({"email": address, "role": role, "message": "Come in", "expires_in_days": 3});
    let made = desk.change(Method::POST, &path, &body).await;
    let Some(id) = made.text("id") else { return };
    let own = format!("/users/me/invitations/{id}");
    let client = desk.actor().client.of(guest);
    desk.look(&format!("{path}?limit=5")).await;
    let list = Request::get("/users/me/invitations".to_owned());
    let look = desk.send_as(&client, &list).await;
    if look.is_done() && address == guest.email {
        desk.is_there(&made, &own, true);
        let is_there = look.each("invitations", "id").any(|one| one == id);
        desk.told(&look, format!("{own} is there"), json!(is_there));
    }
    let deed = match desk.below(3) {
        0 => "accept",
        1 => "decline",
        _ => {
            known.invitations.push(id);
            return;
        }
    };
    let key = desk.word("answer").replace(' ', "-");
    let answer = Request::new(Method::POST, format!("{own}/{deed}")).with_key(key);
    let done = desk.send_as(&client, &answer).await;
    if done.is_done() && deed == "accept" {
        is_member(desk, known, guest, &done, Some(role)).await;
    }
}

/// What a guest is in the share, from then on, and as it is told.
async fn is_member(desk: &Desk, known: &Known, guest: &Person, done: &Outcome, role: Option<&str>) {
    let path = format!("/shares/{}/members", known.share);
    let (user, register) = (guest.user.to_string(), format!("{path}/{} role", guest.user));
    desk.sets(done, register.clone(), json!(role));
    let look = desk.look(&path).await;
    if look.is_done() {
        let members = look.body["members"].as_array().cloned().unwrap_or_default();
        let one = members.iter().find(|member| member["principal_id"] == user.as_str());
        desk.told(&look, register, one.map_or(Value::Null, |member| member["role"].clone()));
    }
}

async fn set_member(desk: &Desk, known: &Known, guest: &Person) {
    let path = format!("/shares/{}/members", known.share);
    let one = format!("{path}/{}", guest.user);
    let role = if desk.actor().happens(0.5) { "admin" } else { "reader" };
    let (done, role) = match desk.below(3) {
        0 => {
            let user = guest.user.to_string();
            let body = json!({"principal_type": "user", "principal_id": user, "role": role});
            (desk.change(Method::POST, &path, &body).await, Some(role))
        }
        1 => (desk.change(Method::PATCH, &one, &json!({"role": role})).await, Some(role)),
        _ => (desk.change(Method::DELETE, &one, &Value::Null).await, None),
    };
    if done.is_done() {
        is_member(desk, known, guest, &done, role).await;
    }
}

/// Something of the share: its root, a folder, a file.
fn target(desk: &Desk, known: &Known) -> String {
    let folder = desk.actor().pick(&known.folders).filter(|_| desk.actor().happens(0.6));
    let file = desk.actor().pick(&known.files).filter(|_| desk.actor().happens(0.6));
    match (folder, file) {
        (Some(folder), _) => format!("folder/{folder}"),
        (None, Some(file)) => format!("file/{file}"),
        (None, None) => format!("share/{}", known.share),
    }
}

const BITS: [&str; 6] = ["READ", "WRITE", "DELETE", "CREATE", "SHARE", "MANAGE_PERMISSIONS"];

/// Puts an entry into a list, or takes one out, and looks what the guest may then: by the list, by
/// a question, and by the reasons, which must not be at odds.
async fn permit(desk: &Desk, known: &Known, guest: &Person) {
    let target = target(desk, known);
    let path = format!("/permissions/acl/{target}");
    let trustee = match desk.below(4) {
        0 => json!({"principal_type": "everyone"}),
        1 => json!({"principal_type": "creator_owner"}),
        _ => json!({"principal_type": "user", "principal_id": guest.user.to_string()}),
    };
    let mut body = trustee;
    body["ace_type"] = json!(if desk.actor().happens(0.7) { "allow" } else { "deny" });
    if desk.actor().happens(0.7) {
        let bits: Vec<&str> = BITS.into_iter().filter(|_| desk.actor().happens(0.4)).collect();
        body["permissions"] = json!(if bits.is_empty() { vec!["READ"] } else { bits });
        let applies = ["this_and_children", "this_only", "children_only"];
        if !target.starts_with("file") {
            body["applies_to"] = json!(applies[desk.below(3) as usize]);
        }
        let made = desk.change(Method::POST, &path, &body).await;
        if let Some(id) = made.text("id") {
            desk.is_there(&made, &id, true);
            let look = desk.look(&path).await;
            if look.is_done() {
                let is_there = look.each("entries", "id").any(|one| one == id);
                desk.told(&look, format!("{id} is there"), json!(is_there));
            }
            if desk.actor().happens(0.3) {
                let gone = desk.change(Method::DELETE, &path, &json!({"id": id})).await;
                desk.is_there(&gone, &id, false);
                let look = desk.look(&path).await;
                if look.is_done() {
                    let is_there = look.each("entries", "id").any(|one| one == id);
                    desk.told(&look, format!("{id} is there"), json!(is_there));
                }
            }
        }
    } else {
        desk.change(Method::DELETE, &path, &body).await;
    }
    explain(desk, &target, guest).await;
}

/// Nobody but this host changes these lists: both answers are of the same lists.
async fn explain(desk: &Desk, target: &str, guest: &Person) {
    let Some((kind, id)) = target.split_once('/') else { return };
    let of = format!("resource_type={kind}&resource_id={id}");
    desk.look(&format!("/permissions/effective?{of}&principal_id={}", guest.user)).await;
    let client = desk.actor().client.of(guest);
    let effective = Request::get(format!("/permissions/effective?{of}"));
    let effective = desk.send_as(&client, &effective).await;
    let checks: Vec<Value> = BITS
        .iter()
        .map(|bit| json!({"resource_type": kind, "resource_id": id, "permission": bit}))
        .collect();
    let checks = json!({"checks": checks});
    let asked = Request::json(Method::POST, "/permissions/check/batch".to_owned(), &checks);
    let checked = desk.send_as(&client, &asked).await;
    if effective.is_done() && checked.is_done() {
        let fields = ["read", "write", "delete", "create", "share", "manage_permissions"];
        for (at, field) in fields.iter().enumerate() {
            let register = format!("{target} {} may {field} {}", guest.user, desk.word("now"));
            desk.sets(&effective, register.clone(), effective.body[format!("can_{field}")].clone());
            desk.told(&checked, register, checked.body["results"][at]["allowed"].clone());
        }
    }
    let one = Request::get(format!("/permissions/check?{of}&permission=READ"));
    desk.send_as(&client, &one).await;
}

async fn set_inheritance(desk: &Desk, known: &Known) {
    let target = target(desk, known);
    let inherits = desk.actor().happens(0.5);
    let copies = desk.actor().happens(0.5);
    let body = json!({"inherit_from_parent": inherits, "copy_inherited": copies && !inherits});
    let path = format!("/permissions/acl/{target}");
    let done = desk.change(Method::PUT, &format!("{path}/inheritance"), &body).await;
    if !target.starts_with("share") {
        desk.sets(&done, format!("{path} inherit_from_parent"), json!(inherits));
    }
    let look = desk.look(&path).await;
    if look.is_done() {
        let told = look.body["inherit_from_parent"].clone();
        desk.told(&look, format!("{path} inherit_from_parent"), told);
    }
}

/// Hands a thing to the guest; it stays this host's share.
async fn hand_over(desk: &Desk, known: &Known, guest: &Person) {
    let (kind, id) = match (desk.actor().pick(&known.files), desk.actor().pick(&known.folders)) {
        (Some(file), _) if desk.actor().happens(0.5) => ("file", file),
        (_, Some(folder)) => ("folder", folder),
        _ => return,
    };
    let own = desk.actor().client.person.user;
    let owner = if desk.actor().happens(0.5) { guest.user } else { own };
    let owner = json!({"new_owner_id": owner.to_string()});
    let path = format!("/permissions/ownership/{kind}/{id}/transfer");
    let done = desk.change(Method::POST, &path, &owner).await;
    let path = format!("/{kind}s/{id}");
    desk.sets(&done, format!("{path} owner_id"), owner["new_owner_id"].clone());
    let look = desk.look(&path).await;
    if look.is_done() {
        desk.told(&look, format!("{path} owner_id"), look.body["owner_id"].clone());
    }
}

/// A share goes to the trash, comes back, goes for good; with what is in it.
async fn throw_away(desk: &Desk, known: &mut Known) {
    if known.more.len() < 2 {
        known.more.extend(make_share(desk).await);
        return;
    }
    let share = known.more.swap_remove(0);
    let path = format!("/shares/{share}");
    let folder = json!({"name": "inside", "share_id": share, "parent_id": "root"});
    desk.change(Method::POST, "/folders", &folder).await;
    let gone = desk.change(Method::DELETE, &path, &Value::Null).await;
    desk.sets(&gone, format!("{path} is_deleted"), json!(true));
    desk.look_at(&path, &["is_deleted"]).await;
    if desk.actor().happens(0.6) {
        let back = format!("/trash/share/{share}/restore");
        let back = desk.change(Method::POST, &back, &Value::Null).await;
        desk.sets(&back, format!("{path} is_deleted"), json!(false));
        desk.look_at(&path, &["is_deleted"]).await;
        known.more.push(share);
    } else {
        desk.change(Method::DELETE, &format!("{path}?permanent=true"), &Value::Null).await;
    }
}
