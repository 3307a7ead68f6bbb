//! Lists of one's own come in pages.

use serde_json::{Value, json};

use super::files::Desk;
use crate::fixture::run;

#[test]
fn lists_of_ones_own_are_told_in_pages() {
    run(|fixture| async move {
        let desk = Desk::new(fixture).await;
        let bob = desk.fixture.token(desk.fixture.bob).await;
        let ann = desk.fixture.token(desk.fixture.ann).await;
        for number in 0..5 {
            let share = json!({"name": format!("Share {number}"), "share_type": "project",
                "owner_id": desk.fixture.ann.to_string()});
            let share = desk.post("/shares", share).await.expect(201).json();
            let share = share["id"].as_str().expect("an id").to_owned();
            let device = json!({"device_id": format!("dev_{number}"), "device_name": "One"});
            desk.post("/sync/devices", device).await.expect(201);
            let favorite = json!({"resource_type": "share", "resource_id": share});
            desk.post("/users/me/favorites", favorite).await.expect(204);
            desk.file(&format!("file {number}"), b"content").await;
            let invitation = json!({"email": "bob@example.com", "role": "reader"});
            desk.post(&format!("/shares/{share}/invitations"), invitation).await.expect(201);
        }
        for (who, list, path) in [
            (&ann, "shares", "/users/me/shares"),
            (&ann, "favorites", "/users/me/favorites"),
            (&ann, "items", "/users/me/recent"),
            (&bob, "invitations", "/users/me/invitations"),
            (&ann, "devices", "/sync/devices"),
        ] {
            let all = desk.fixture.get(who, path).await.expect(200).json();
            let total = all["total"].as_u64().expect("a number");
            assert!(total >= 5, "{path}: {all}");
            let mut told: Vec<Value> = Vec::new();
            for offset in (0..=total).step_by(2) {
                let page = format!("{path}?limit=2&offset={offset}");
                let page = desk.fixture.get(who, &page).await.expect(200).json();
                assert_eq!(page["total"], total, "{path}");
                told.extend_from_slice(page[list].as_array().expect("a list"));
            }
            assert_eq!(Value::from(told), all[list], "{path}");
            for limit in [0, 101] {
                desk.fixture.get(who, &format!("{path}?limit={limit}")).await.expect(422);
            }
        }
    });
}
