//! Looks after what is a person's own: devices and what they sync, favorites, the lists of what is
//! theirs, the trash and the conflicts of the shares they are in.

use http::Method;
use node_base::ShareId;
use raft_meta::table::item::ItemId;
use serde_json::{Value, json};

use super::desk::Desk;

pub(crate) async fn run(desk: Desk, shares: Vec<ShareId>) {
    let mut devices: Vec<String> = Vec::new();
    while desk.actor().rest().await {
        let Some(share) = desk.actor().pick(&shares).copied() else { return };
        match desk.below(10) {
            0 => Box::pin(add_device(&desk, &mut devices)).await,
            1..3 => Box::pin(change_device(&desk, &mut devices)).await,
            3 => Box::pin(prefer(&desk, &devices, share)).await,
            4..6 => Box::pin(acknowledge(&desk, &devices, share)).await,
            6 => Box::pin(favor(&desk, share)).await,
            _ => Box::pin(look_round(&desk, share)).await,
        }
    }
    for device in &devices {
        look_at_device(&desk, device).await;
    }
}

async fn add_device(desk: &Desk, devices: &mut Vec<String>) {
    let id = desk.word("dev").replace(' ', "_");
    let body = json!({
        "device_id": id, "device_name": desk.word("a device"), "platform": "linux",
        "client_version": "1.2.3",
    });
    let done = desk.change(Method::POST, "/sync/devices", &body).await;
    desk.sets_fields(&done, &format!("/sync/devices/{id}"), &body);
    desk.is_there(&done, &format!("/sync/devices/{id}"), true);
    if done.is_done() {
        devices.push(id);
    }
}

async fn look_at_device(desk: &Desk, id: &str) {
    let path = format!("/sync/devices/{id}");
    let look = desk.look("/sync/devices?limit=100").await;
    if !look.is_done() {
        return;
    }
    let all = look.body["devices"].as_array().cloned().unwrap_or_default();
    let one = all.iter().find(|device| device["device_id"] == id);
    desk.told(&look, format!("{path} is there"), json!(one.is_some()));
    for field in ["device_name", "platform", "client_version"] {
        if let Some(device) = one {
            desk.told(&look, format!("{path} {field}"), device[field].clone());
        }
    }
}

async fn change_device(desk: &Desk, devices: &mut Vec<String>) {
    let Some(id) = desk.actor().pick(devices).cloned() else { return };
    let path = format!("/sync/devices/{id}");
    if devices.len() > 2 && desk.actor().happens(0.3) {
        let done = desk.change(Method::DELETE, &path, &Value::Null).await;
        desk.is_there(&done, &path, false);
        devices.retain(|device| *device != id);
    } else {
        let body = match desk.below(2) {
            0 => json!({"device_name": desk.word("another name")}),
            _ => json!({"platform": "windows", "client_version": desk.word("1.3")}),
        };
        let done = desk.change(Method::PATCH, &path, &body).await;
        desk.sets_fields(&done, &path, &body);
    }
    look_at_device(desk, &id).await;
}

async fn prefer(desk: &Desk, devices: &[String], share: ShareId) {
    let Some(id) = desk.actor().pick(devices) else { return };
    let path = format!("/sync/devices/{id}/preferences");
    let is_folder = |item: &ItemId| matches!(item, ItemId::Folder(_));
    let folder = desk.actor().some(share, |seen| is_folder(&seen.item) && !seen.is_trashed);
    let body = match folder.map(|seen| seen.item) {
        Some(ItemId::Folder(folder)) if desk.actor().happens(0.7) => {
            let folders = [folder.to_string()];
            json!({"share_id": share.to_string(), "mode": "selected", "folders": folders})
        }
        _ => json!({"share_id": share.to_string(), "mode": "all", "folders": []}),
    };
    let path = format!("{path}?share_id={share}");
    let done = desk.change(Method::PUT, &path, &body).await;
    desk.sets(&done, format!("{path} mode"), body["mode"].clone());
    let look = desk.look(&path).await;
    if look.is_done() {
        desk.told(&look, format!("{path} mode"), look.body["mode"].clone());
    }
}

/// Says how far a device has come, which is told from then on.
async fn acknowledge(desk: &Desk, devices: &[String], share: ShareId) {
    let Some(id) = desk.actor().pick(devices) else { return };
    let limit = 1 + desk.below(20);
    let page = desk.look(&format!("/sync/changes?share_id={share}&limit={limit}")).await;
    let Some(cursor) = page.text("cursor") else { return };
    let body = json!({"share_id": share.to_string(), "device_id": id, "cursor": cursor});
    let done = desk.change(Method::POST, "/sync/cursor", &body).await;
    let status = format!("/sync/status?share_id={share}&device_id={id}");
    let register = format!("{status} cursor_position");
    desk.sets(&done, register.clone(), done.body["cursor_position"].clone());
    let look = desk.look(&status).await;
    if look.is_done() {
        desk.told(&look, register, look.body["cursor_position"].clone());
    }
}

async fn favor(desk: &Desk, share: ShareId) {
    let Some(seen) = desk.actor().some(share, |seen| !seen.is_trashed) else { return };
    let (kind, id) = match seen.item {
        ItemId::File(file) => ("file", file.to_string()),
        ItemId::Folder(folder) => ("folder", folder.to_string()),
    };
    let (path, likes) = ("/users/me/favorites", desk.actor().happens(0.7));
    let method = if likes { Method::POST } else { Method::DELETE };
    let body = json!({"resource_type": kind, "resource_id": id});
    let done = desk.change(method, path, &body).await;
    if !likes {
        desk.sets(&done, format!("{path} {id}"), json!(false));
    }
    let look = desk.look(&format!("{path}?limit=100")).await;
    if look.is_done() && !likes {
        let is_there = look.each("favorites", "resource_id").any(|one| one == id);
        desk.told(&look, format!("{path} {id}"), json!(is_there));
    }
}

/// The lists of one's own, in pages: what is on one is not on the next.
async fn look_round(desk: &Desk, share: ShareId) {
    let lists = [
        "/users/me?".to_owned(),
        "/users/me/shares?limit=2".to_owned(),
        "/users/me/shared-items?limit=5".to_owned(),
        "/users/me/quota?".to_owned(),
        "/users/me/stats?".to_owned(),
        "/users/me/recent?limit=5".to_owned(),
        "/users/me/favorites?limit=2".to_owned(),
        format!("/sync/conflicts?share_id={share}&include_resolved=true&limit=3"),
        "/sync/conflicts?limit=2".to_owned(),
        format!("/trash?share_id={share}&limit=3"),
        format!("/quotas/usage/shares/{share}?recalculate=true"),
        format!("/quotas/shares/{share}?"),
        "/shares/search/principals?q=user&limit=3".to_owned(),
        format!("/shares/{share}/members?limit=2"),
        "/shares?limit=2".to_owned(),
    ];
    for _ in 0..3 {
        let Some(list) = desk.actor().pick(&lists) else { return };
        desk.look(list).await;
        if list.contains("limit") {
            desk.look(&format!("{list}&offset=2")).await;
        }
    }
    let Some((file, _)) = desk.actor().file(share) else { return };
    desk.look(&format!("/files/{file}/versions?limit=2")).await;
    desk.look(&format!("/files/{file}/manifest")).await;
}
