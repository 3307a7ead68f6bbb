//! The built-in issuer: browsers, codes, devices, refresh tokens, passwords; the private socket.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use node_base::Duration;
use serde_json::json;

use crate::fixture::{Fixture, PASSWORD, Reply, answer, run};

const VERIFIER: &str = "a-verifier-of-at-least-forty-three-characters-abc";
const RETURN: &str = "http://127.0.0.1:49152/callback";

fn challenge() -> String {
    URL_SAFE_NO_PAD.encode(node_base::sha256(VERIFIER.as_bytes()).0)
}

fn authorize(changes: &[(&str, &str)]) -> String {
    let challenge = challenge();
    let mut fields = vec![
        ("response_type", "code"),
        ("client_id", "scaidrive"),
        ("redirect_uri", RETURN),
        ("scope", "openid files:read files:write"),
        ("state", "s<>&1"),
        ("nonce", "n1"),
        ("code_challenge", challenge.as_str()),
        ("code_challenge_method", "S256"),
    ];
    for (name, value) in changes {
        fields.retain(|(other, _)| other != name);
        fields.push((name, value));
    }
    format!("/oidc/authorize?{}", serde_urlencoded::to_string(fields).expect("text"))
}

/// The value of a hidden field of a page.
fn field(page: &Reply, name: &str) -> String {
    let text = page.text();
    let start = format!("name=\"{name}\" value=\"");
    let at = text.find(&start).unwrap_or_else(|| panic!("no {name} in {text}")) + start.len();
    let value = text[at..].split('"').next().unwrap_or_default();
    value.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&")
}

/// The cookies that an answer sets, as a browser sends them back.
fn cookies(reply: &Reply) -> String {
    let set = reply.headers.get_all("set-cookie").iter();
    let pairs = set.filter_map(|line| line.to_str().ok()?.split(';').next());
    pairs.collect::<Vec<&str>>().join("; ")
}

/// Fills in the form of a page.
async fn submit(fixture: &Fixture, page: &Reply, extra: &[(&str, &str)]) -> Reply {
    let names = [
        "response_type",
        "client_id",
        "redirect_uri",
        "scope",
        "state",
        "nonce",
        "code_challenge",
        "code_challenge_method",
        "csrf",
    ];
    let hidden: Vec<(&str, String)> = names.map(|name| (name, field(page, name))).into();
    let mut fields: Vec<(&str, &str)> =
        hidden.iter().map(|(name, value)| (*name, value.as_str())).collect();
    fields.extend(extra);
    fixture.form("/oidc/authorize", &cookies(page), &fields).await
}

fn query(reply: &Reply, name: &str) -> Option<String> {
    let location = reply.headers.get("location")?.to_str().ok()?;
    let (_, query) = location.split_once('?')?;
    let pairs: Vec<(String, String)> = serde_urlencoded::from_str(query).ok()?;
    pairs.into_iter().find(|(key, _)| key == name).map(|(_, value)| value)
}

async fn code(fixture: &Fixture) -> String {
    let page = fixture.call("GET", "", &authorize(&[]), None).await.expect(200);
    let credentials = [("email", "Ann@Example.com "), ("password", PASSWORD)];
    let done = submit(fixture, &page, &credentials).await.expect(303);
    assert!(done.headers["location"].to_str().is_ok_and(|at| at.starts_with(RETURN)));
    assert_eq!(query(&done, "state").as_deref(), Some("s<>&1"));
    query(&done, "code").expect("a code")
}

async fn trade(fixture: &Fixture, fields: &[(&str, &str)]) -> Reply {
    fixture.form("/auth/token", "", fields).await
}

fn by_code(code: &str) -> [(&str, &str); 5] {
    [
        ("grant_type", "authorization_code"),
        ("client_id", "scaidrive"),
        ("code", code),
        ("code_verifier", VERIFIER),
        ("redirect_uri", RETURN),
    ]
}

#[test]
fn a_browser_signs_in_for_a_program_on_the_same_machine() {
    run(|fixture| async move {
        let page = fixture.call("GET", "", &authorize(&[]), None).await.expect(200);
        let policy = page.headers["content-security-policy"].to_str().expect("text");
        assert!(policy.starts_with("default-src 'none'"), "{policy}");
        assert!(policy.contains("form-action 'self' http://127.0.0.1:49152"), "{policy}");
        let set = page.headers["set-cookie"].to_str().expect("text");
        assert!(set.contains("HttpOnly") && set.contains("SameSite=Strict"), "{set}");
        assert!(!page.text().contains("s<>&1"), "what came in is escaped");

        let code = code(&fixture).await;
        let tokens = trade(&fixture, &by_code(&code)).await.expect(200).json();
        let access = tokens["access_token"].as_str().expect("a token");
        assert_eq!(tokens["scope"], "files:read files:write");
        let me = fixture.get(access, "/users/me").await.expect(200).json();
        assert_eq!(me["id"], fixture.ann.to_string());
        let info = fixture.call("GET", access, "/oidc/userinfo", None).await.expect(200).json();
        assert_eq!((&info["sub"], &info["email"]), (&me["id"], &json!("ann@example.com")));
        let id = tokens["id_token"].as_str().expect("openid was asked for");
        let claims = URL_SAFE_NO_PAD.decode(id.split('.').nth(1).expect("a part")).expect("base64");
        let claims: serde_json::Value = serde_json::from_slice(&claims).expect("JSON");
        assert_eq!((&claims["aud"], &claims["nonce"]), (&json!("scaidrive"), &json!("n1")));
        fixture.get(id, "/users/me").await.expect(401);
    });
}

#[test]
fn a_code_is_good_once_for_its_asker_alone() {
    run(|fixture| async move {
        for (name, value) in [
            ("code_verifier", "another-verifier-of-at-least-forty-three-chars"),
            ("redirect_uri", "http://127.0.0.1:1/callback"),
            ("code", "made-up"),
        ] {
            let code = code(&fixture).await;
            let mut fields = by_code(&code).to_vec();
            fields.retain(|(other, _)| *other != name);
            assert_eq!(
                trade(&fixture, &fields).await.expect(400).json()["error"],
                "invalid_request"
            );
            fields.push((name, value));
            assert_eq!(trade(&fixture, &fields).await.expect(400).json()["error"], "invalid_grant");
        }
        let code = code(&fixture).await;
        let tokens = trade(&fixture, &by_code(&code)).await.expect(200).json();
        let refresh = tokens["refresh_token"].as_str().expect("one").to_owned();
        trade(&fixture, &by_code(&code)).await.expect(400);
        let renew = [("grant_type", "refresh_token"), ("refresh_token", refresh.as_str())];
        let ended = trade(&fixture, &renew).await.expect(400).json();
        assert_eq!(ended["error"], "invalid_grant", "a stolen code ends what came of it");
    });
}

#[test]
fn a_refresh_token_is_replaced_and_used_twice_ends_its_family() {
    run(|fixture| async move {
        let code = code(&fixture).await;
        let mut tokens = trade(&fixture, &by_code(&code)).await.expect(200).json();
        let mut seen = Vec::new();
        for _ in 0..3 {
            let refresh = tokens["refresh_token"].as_str().expect("one").to_owned();
            let renew = [("grant_type", "refresh_token"), ("refresh_token", refresh.as_str())];
            tokens = trade(&fixture, &renew).await.expect(200).json();
            assert!(!seen.contains(&refresh));
            seen.push(refresh);
        }
        let stolen = [("grant_type", "refresh_token"), ("refresh_token", seen[0].as_str())];
        trade(&fixture, &stolen).await.expect(400);
        let last = tokens["refresh_token"].as_str().expect("one");
        trade(&fixture, &[("grant_type", "refresh_token"), ("refresh_token", last)])
            .await
            .expect(400);
        let access = tokens["access_token"].as_str().expect("one");
        fixture.get(access, "/users/me").await.expect(200);
    });
}

#[test]
fn requests_that_are_not_ours_go_nowhere() {
    run(|fixture| async move {
        for changes in [
            [("client_id", "other")],
            [("redirect_uri", "https://attacker.example/")],
            [("redirect_uri", "http://127.0.0.1@attacker.example/")],
            [("redirect_uri", "")],
        ] {
            let page = fixture.call("GET", "", &authorize(&changes), None).await.expect(400);
            assert!(page.headers.get("location").is_none(), "{changes:?}");
        }
        for (changes, error) in [
            ([("response_type", "token")], "unsupported_response_type"),
            ([("code_challenge", "")], "invalid_request"),
            ([("code_challenge_method", "plain")], "invalid_request"),
            ([("prompt", "none")], "login_required"),
        ] {
            let back = fixture.call("GET", "", &authorize(&changes), None).await.expect(303);
            assert_eq!(query(&back, "error").as_deref(), Some(error), "{changes:?}");
        }
        let page = fixture.call("GET", "", &authorize(&[]), None).await.expect(200);
        let stranger = Reply { headers: http::HeaderMap::new(), ..page };
        let credentials = [("email", "ann@example.com"), ("password", PASSWORD)];
        let refused = submit(&fixture, &stranger, &credentials).await.expect(403);
        assert!(query(&refused, "code").is_none(), "without the cookie the form is another site's");
        fixture.form("/oidc/authorize", "", &[]).await.expect(400);
    });
}

#[test]
fn guessing_passwords_is_slow_and_tells_nothing() {
    run(|fixture| async move {
        let page = fixture.call("GET", "", &authorize(&[]), None).await.expect(200);
        let unknown = [("email", "nobody@example.com"), ("password", "guess")];
        let unknown = submit(&fixture, &page, &unknown).await.expect(401);
        let guess = [("email", "ann@example.com"), ("password", "guess")];
        let wrong = submit(&fixture, &page, &guess).await.expect(401);
        let same = |reply: &Reply| reply.text().replace(&field(reply, "csrf"), "");
        assert_eq!(same(&unknown), same(&wrong));
        let mut tries = 1;
        while submit(&fixture, &page, &guess).await.status != 429 {
            tries += 1;
            assert!(tries < 10, "nothing slows guessing down");
        }
        let right = [("email", "ann@example.com"), ("password", PASSWORD)];
        submit(&fixture, &page, &right).await.expect(429);
        fixture.world.sleep(Duration::from_secs(60)).await;
        submit(&fixture, &page, &right).await.expect(303);
    });
}

#[test]
fn a_device_is_connected_by_whoever_is_at_the_browser() {
    run(|fixture| async move {
        let fields = [("client_id", "scaidrive"), ("scope", "files:read")];
        let asked =
            fixture.form("/oidc/device_authorization", "", &fields).await.expect(200).json();
        let device = asked["device_code"].as_str().expect("a code").to_owned();
        let grant = "urn:ietf:params:oauth:grant-type:device_code";
        let poll = [("grant_type", grant), ("device_code", device.as_str())];
        let pending = trade(&fixture, &poll).await.expect(400).json();
        assert_eq!(pending["error"], "authorization_pending");
        let shown = asked["user_code"].as_str().expect("a code").to_lowercase();
        let address = format!("/oidc/device?user_code={shown}");
        let page = fixture.call("GET", "", &address, None).await.expect(200);
        let (csrf, user_code) = (field(&page, "csrf"), field(&page, "user_code"));
        let sign_in = [
            ("csrf", csrf.as_str()),
            ("user_code", user_code.as_str()),
            ("email", "bob@example.com"),
            ("password", PASSWORD),
        ];
        let page = fixture.form("/oidc/device", &cookies(&page), &sign_in).await.expect(200);
        trade(&fixture, &poll).await.expect(400);
        let csrf = field(&page, "csrf");
        let wrong = [("csrf", csrf.as_str()), ("user_code", "BBBB-BBBB"), ("choice", "allow")];
        let told = fixture.form("/oidc/device", &cookies(&page), &wrong).await.expect(200);
        assert!(told.text().contains("No device is waiting"), "{}", told.text());
        let allow =
            [("csrf", csrf.as_str()), ("user_code", user_code.as_str()), ("choice", "allow")];
        fixture.form("/oidc/device", &cookies(&page), &allow).await.expect(200);
        let tokens = trade(&fixture, &poll).await.expect(200).json();
        assert_eq!(tokens["scope"], "files:read");
        let access = tokens["access_token"].as_str().expect("a token");
        let me = fixture.get(access, "/users/me").await.expect(200).json();
        assert_eq!(me["id"], fixture.bob.to_string());
        trade(&fixture, &poll).await.expect(400);
    });
}

#[test]
fn keys_rotate_and_old_tokens_live_out_their_time() {
    run(|fixture| async move {
        let old = fixture.token(fixture.ann).await;
        let socket = crate::socket::router(fixture.state.clone());
        let rotate = http::Request::post("/keys/rotate").body(axum::body::Body::empty());
        let kid = answer(socket, rotate.expect("a request")).await.expect(200).json()["id"].clone();
        let new = fixture.token(fixture.ann).await;
        let header =
            URL_SAFE_NO_PAD.decode(new.split('.').next().expect("a part")).expect("base64");
        let header: serde_json::Value = serde_json::from_slice(&header).expect("JSON");
        assert_eq!(header["kid"], kid);
        for token in [&old, &new] {
            fixture.get(token, "/users/me").await.expect(200);
        }
        let keys = fixture.call("GET", "", "/oidc/jwks", None).await.expect(200).json();
        assert_eq!(keys["keys"].as_array().map(Vec::len), Some(2));
        assert!(!keys.to_string().contains("\"d\""), "private halves stay here");
        let told = fixture.call("GET", "", "/oidc/.well-known/openid-configuration", None).await;
        assert_eq!(told.expect(200).json()["jwks_uri"], "http://127.0.0.1:8000/oidc/jwks");
    });
}

async fn tell(fixture: &Fixture, path: &str, body: serde_json::Value) -> Reply {
    let socket = crate::socket::router(fixture.state.clone());
    let request = http::Request::post(path).body(axum::body::Body::from(body.to_string()));
    answer(socket, request.expect("a request")).await
}

#[test]
fn the_private_socket_hands_out_tokens_and_makes_people() {
    run(|fixture| async move {
        tell(&fixture, "/token", json!({"user": "new@example.com"})).await.expect(404);
        let order = json!({"user": "new@example.com", "create": true, "ttl_seconds": 60});
        let made = tell(&fixture, "/token", order.clone()).await.expect(200).json();
        assert_eq!((&made["created"], &made["expires_in"]), (&json!(true), &json!(60)));
        assert_eq!(made["scope"], "files:read files:write");
        let again = tell(&fixture, "/token", order).await.expect(200).json();
        assert_eq!((&again["created"], &again["user_id"]), (&json!(false), &made["user_id"]));
        let token = made["access_token"].as_str().expect("a token");
        fixture.get(token, "/users/me").await.expect(200);
        let root = tell(&fixture, "/token", json!({"user": "root@example.com"})).await.expect(200);
        assert!(root.json()["scope"].as_str().is_some_and(|scope| scope.contains("admin:*")));
        for odd in [json!({"ttl_seconds": 0}), json!({"scope": "nonsense"}), json!({"tenant": "x"})]
        {
            let mut order = odd.clone();
            order["user"] = json!("root@example.com");
            let status = tell(&fixture, "/token", order).await.status.as_u16();
            assert!(matches!(status, 404 | 422), "{odd}: {status}");
        }
        let person = json!({"email": "carl@example.com", "admin_role": "super_admin"});
        let carl = tell(&fixture, "/users", person.clone()).await.expect(200).json();
        assert_eq!(carl["password"].as_str().map(str::len), Some(23));
        tell(&fixture, "/users", person).await.expect(409);
        let short = json!({"user": "carl@example.com", "password": "short"});
        tell(&fixture, "/users/passwd", short).await.expect(422);
        let set = json!({"user": "carl@example.com"});
        tell(&fixture, "/users/passwd", set).await.expect(200);
        let role = json!({"user": "ann@example.com", "admin_role": "tenant_admin"});
        let ann = tell(&fixture, "/users/role", role).await.expect(200).json();
        assert_eq!(ann["admin_role"], "tenant_admin");
        tell(&fixture, "/partners", json!({"name": "acme"})).await.expect(200);
        let tenant = json!({"name": "branch", "partner": "ACME"});
        tell(&fixture, "/tenants", tenant).await.expect(200);
        for (path, list, count) in [
            ("/users", "users", 5),
            ("/tenants", "tenants", 2),
            ("/partners", "partners", 2),
            ("/status", "drives", 1),
        ] {
            let socket = crate::socket::router(fixture.state.clone());
            let request = http::Request::get(path).body(axum::body::Body::empty());
            let told = answer(socket, request.expect("a request")).await.expect(200).json();
            assert_eq!(told[list].as_array().map(Vec::len), Some(count), "{told}");
        }
    });
}
