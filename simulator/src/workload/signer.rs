//! Signs in as people do: with a password, on a page, for a device that shows a code. Tokens are
//! renewed, given back, and tried again when they are used up, which must end all that came of
//! them.

use http::Method;
use serde_json::{Value, json};

use super::desk::{Desk, Outcome};
use crate::client::request::Request;
use crate::client::sign_in;

const CLIENT: &str = "client_id=scaidrive";
const GRANT: &str = "grant_type=urn:ietf:params:oauth:grant-type:device_code";

pub(crate) async fn run(desk: Desk) {
    let email = format!("signer-{}@example.com", desk.below(1 << 20));
    drop(Box::pin(sign_in(&desk.actor().client.cluster, &email)).await);
    let mut password = String::new();
    while desk.actor().rest().await {
        if password.is_empty() || desk.actor().happens(0.2) {
            let word = desk.word("a long secret").replace(' ', "-");
            let Some(()) = Box::pin(set_password(&desk, &email, &word)).await else { continue };
            password = word;
        }
        Box::pin(sign_in_once(&desk, &email, &password)).await;
        for _ in 0..4 {
            if !desk.actor().rest().await {
                return;
            }
        }
    }
}

/// On a node's own machine.
async fn set_password(desk: &Desk, email: &str, password: &str) -> Option<()> {
    let cluster = &desk.actor().client.cluster;
    let order = json!({"user": email, "password": password}).to_string();
    for node in cluster.nodes() {
        let request = http::Request::post("/users/passwd")
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(order.clone())
            .expect("it is well-formed");
        let answered = Box::pin(cluster.order(node, request)).await;
        if answered.is_ok_and(|answered| answered.status().is_success()) {
            return Some(());
        }
    }
    None
}

/// A form as browsers and devices send it.
fn form(path: &str, fields: &str, cookie: Option<String>) -> Request {
    Request {
        kind: Some("application/x-www-form-urlencoded".to_owned()),
        body: fields.to_owned().into(),
        cookie,
        root: "/oidc",
        ..Request::new(Method::POST, path.to_owned())
    }
}

async fn sign_in_once(desk: &Desk, email: &str, password: &str) {
    let begun = desk.send(&form("/device_authorization", CLIENT, None)).await;
    let (Some(device), Some(code)) = (begun.text("device_code"), begun.text("user_code")) else {
        return;
    };
    // The page's word must come back by the form and by the cookie.
    let word = "scaidrive_form=a-word";
    let typed = |typed| format!("user_code={code}&csrf=a-word&email={email}&password={typed}");
    if desk.actor().happens(0.2) {
        let wrong = form("/device", &typed("not-the-password"), Some(word.to_owned()));
        let wrong = Request { may_be_nobody: true, ..wrong };
        drop(desk.send(&wrong).await);
    }
    let fields = typed(password);
    let page = desk.send(&form("/device", &fields, Some(word.to_owned()))).await;
    let Some(session) = page.cookie("scaidrive_session") else { return };
    let choice = if desk.actor().happens(0.85) { "allow" } else { "deny" };
    let fields = format!("user_code={code}&csrf=a-word&choice={choice}");
    let cookie = format!("{word}; scaidrive_session={session}");
    let settled = desk.send(&form("/device", &fields, Some(cookie.clone()))).await;
    let asked = format!("{GRANT}&{CLIENT}&device_code={device}");
    let tokens = desk.send(&form("/token", &asked, None)).await;
    if settled.is_done() && !settled.was_repeated() && !tokens.was_repeated() {
        let register = format!("/oidc/token of {}", desk.word("a device"));
        desk.sets(&settled, register.clone(), json!(choice == "allow"));
        desk.told(&tokens, register, json!(tokens.is_done()));
    }
    if let Some(refresh) = tokens.text("refresh_token") {
        renew(desk, refresh).await;
    }
    if desk.actor().happens(0.4) {
        desk.send(&form("/logout", "", Some(cookie))).await;
    }
}

/// A refresh token is good once; used twice, it ends what it became, too.
async fn renew(desk: &Desk, first: String) {
    let second = refresh(desk, &first).await;
    let Some(next) = second.text("refresh_token") else { return };
    if desk.actor().happens(0.3) {
        let revoked = desk.send(&form("/revoke", &format!("token={next}"), None)).await;
        ended(desk, &revoked, &next).await;
    } else if desk.actor().happens(0.5) {
        let again = refresh(desk, &first).await;
        if again.status == Some(400) {
            ended(desk, &again, &next).await;
        }
    }
}

async fn refresh(desk: &Desk, token: &str) -> Outcome {
    let fields = format!("grant_type=refresh_token&{CLIENT}&refresh_token={token}");
    desk.send(&form("/token", &fields, None)).await
}

async fn ended(desk: &Desk, by: &Outcome, token: &str) {
    let register = format!("/oidc/token of {}", desk.word("an ended family"));
    if by.status.is_some() {
        desk.sets_anyway(by, register.clone(), Value::Bool(false));
        let look = refresh(desk, token).await;
        desk.told(&look, register, Value::Bool(look.is_done()));
    }
}
