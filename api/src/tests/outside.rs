//! Tokens of an outside issuer: keys by discovery, asked for again when unknown, and not too often.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use node_base::{Duration, NodeId};
use node_world::{FetchReply, FetchRequest};
use serde_json::{Value, json};
use simulator_world::{Options, Sim, Simulation};

use super::keys::{EC, RSA};
use crate::auth::{IdentitySettings, IssuerSettings};
use crate::fixture::Fixture;

const ISSUER: &str = "https://id.example.com/realm";
const ORIGIN: &str = "https://id.example.com";

/// What the pretend provider publishes and has been asked.
#[derive(Default)]
struct Provider {
    keys: std::sync::Mutex<Vec<Value>>,
    asked: AtomicU64,
    fails: std::sync::atomic::AtomicBool,
    traded: std::sync::Mutex<Vec<String>>,
}

impl Provider {
    fn answer(&self, request: &FetchRequest) -> FetchReply {
        if self.fails.load(Ordering::Relaxed) {
            return reply(500, &json!({}));
        }
        match request.url.strip_prefix(ORIGIN) {
            Some("/realm/.well-known/openid-configuration") => reply(
                200,
                &json!({
                    "issuer": ISSUER,
                    "jwks_uri": format!("{ORIGIN}/keys"),
                    "authorization_endpoint": format!("{ORIGIN}/authorize"),
                    "token_endpoint": format!("{ORIGIN}/token"),
                }),
            ),
            Some("/keys") => {
                self.asked.fetch_add(1, Ordering::Relaxed);
                let mut keys = self.keys.lock().expect("not poisoned").clone();
                keys.push(json!({"kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA"}));
                keys.push(json!({"kty": "new"}));
                reply(200, &json!({"keys": keys}))
            }
            Some("/token") => {
                let form = String::from_utf8_lossy(&request.body).into_owned();
                let refused = form.contains("code=stale");
                self.traded.lock().expect("not poisoned").push(form);
                if refused {
                    reply(400, &json!({"error": "invalid_grant"}))
                } else {
                    reply(200, &json!({"access_token": "t", "token_type": "Bearer", "x": 1}))
                }
            }
            _ => reply(404, &json!({})),
        }
    }

    fn publish(&self, kid: &str, pem: &str, algorithm: Algorithm) {
        let mut jwk = Jwk::from_encoding_key(&key(pem, algorithm), algorithm).expect("a key");
        jwk.common.key_id = Some(kid.to_owned());
        let value = serde_json::to_value(&jwk).expect("data");
        self.keys.lock().expect("not poisoned").push(value);
    }

    fn times_asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }
}

fn reply(status: u16, body: &Value) -> FetchReply {
    FetchReply { status, headers: Vec::new(), body: body.to_string().into() }
}

fn key(pem: &str, algorithm: Algorithm) -> EncodingKey {
    let key = match algorithm {
        Algorithm::RS256 => EncodingKey::from_rsa_pem(pem.as_bytes()),
        _ => EncodingKey::from_ec_pem(pem.as_bytes()),
    };
    key.expect("a key of this kind")
}

fn token(fixture: &Fixture, kid: &str, pem: &str, by: Algorithm, change: &Value) -> String {
    let now = fixture.world.wall().millis() / 1_000;
    let mut claims = json!({
        "iss": ISSUER, "aud": "drive", "sub": "u-1", "mail": "Eve@Example.com", "name": "Eve",
        "exp": now + 100_000, "scope": "openid files:read tenant:admin",
        "act": {"client_id": "agent-7"},
    });
    for (name, value) in change.as_object().expect("an object") {
        claims[name] = value.clone();
    }
    let header = Header { kid: Some(kid.to_owned()), ..Header::new(by) };
    jsonwebtoken::encode(&header, &claims, &key(pem, by)).expect("signed")
}

fn settings() -> IdentitySettings {
    let issuer: IssuerSettings = serde_json::from_value(json!({
        "issuer": ISSUER, "audience": "drive", "client_id": "scaidrive-desktop",
        "claims": {"email": "mail"},
    }))
    .expect("settings");
    IdentitySettings { built_in: None, issuers: vec![issuer] }
}

fn run(scenario: impl AsyncFnOnce(Sim, Fixture, Arc<Provider>) + Send) {
    Simulation::new(3, Options::default()).run(async move |sim: Sim| {
        let provider = Arc::new(Provider::default());
        let server = Arc::clone(&provider);
        sim.serve_http(ORIGIN, move |request| server.answer(request));
        let world = sim.world(NodeId(1));
        let inner = world.clone();
        let made =
            world.spawn(async move { Box::pin(Fixture::with(inner, settings(), false)).await });
        let fixture = made.await.expect("a fixture");
        Box::pin(scenario(sim, fixture, provider)).await;
    });
}

#[test]
fn a_subject_becomes_a_user_at_first_sight_and_stays_the_same() {
    run(async |_, fixture, provider| {
        provider.publish("a", RSA, Algorithm::RS256);
        provider.publish("b", EC, Algorithm::ES256);
        let first = token(&fixture, "a", RSA, Algorithm::RS256, &json!({}));
        let me = fixture.get(&first, "/users/me").await.expect(200).json();
        assert_eq!((&me["email"], &me["is_admin"]), (&json!("Eve@Example.com"), &json!(false)));
        assert_eq!(me["scopes"], json!(["files:read", "tenant:admin"]));
        let second = token(&fixture, "b", EC, Algorithm::ES256, &json!({"scope": "openid"}));
        let again = fixture.get(&second, "/users/me").await.expect(200).json();
        assert_eq!(again["id"], me["id"]);
        assert_eq!(again["scopes"], json!(["files:read", "files:write"]), "the default");
        assert_eq!(fixture.get(&first, "/users/me/shares").await.expect(200).json()["total"], 1);
        let admin = fixture.get(&first, "/admin/users").await.expect(403);
        assert_eq!(admin.code(), "PERMISSION_DENIED", "a token alone makes no administrator");
        assert_eq!(provider.times_asked(), 1, "keys are kept");
    });
}

#[test]
fn a_subject_that_cannot_become_a_user_is_told_so() {
    run(async |_, fixture, provider| {
        provider.publish("a", EC, Algorithm::ES256);
        for change in [json!({"mail": "ann@example.com"}), json!({"mail": "nonsense"})] {
            let token = token(&fixture, "a", EC, Algorithm::ES256, &change);
            let reply = fixture.get(&token, "/users/me").await.expect(403);
            assert_eq!(reply.code(), "PERMISSION_DENIED", "{change}");
        }
    });
}

#[test]
fn unknown_keys_are_asked_for_at_once_but_not_at_every_request() {
    run(async |sim, fixture, provider| {
        provider.publish("a", EC, Algorithm::ES256);
        let old = token(&fixture, "a", EC, Algorithm::ES256, &json!({}));
        fixture.get(&old, "/users/me").await.expect(200);
        let new = token(&fixture, "b", RSA, Algorithm::RS256, &json!({}));
        fixture.get(&new, "/users/me").await.expect(401);
        let asked = provider.times_asked();
        for _ in 0..20 {
            fixture.get(&new, "/users/me").await.expect(401);
        }
        assert_eq!(provider.times_asked(), asked, "at most once in ten seconds");
        provider.publish("b", RSA, Algorithm::RS256);
        sim.sleep(Duration::from_secs(11)).await;
        fixture.get(&new, "/users/me").await.expect(200);
        assert_eq!(provider.times_asked(), asked + 1);
    });
}

#[test]
fn keys_that_were_taken_back_are_forgotten_within_minutes() {
    run(async |sim, fixture, provider| {
        provider.publish("a", EC, Algorithm::ES256);
        let token = token(&fixture, "a", EC, Algorithm::ES256, &json!({}));
        fixture.get(&token, "/users/me").await.expect(200);
        provider.keys.lock().expect("not poisoned").clear();
        sim.sleep(Duration::from_secs(301)).await;
        fixture.get(&token, "/users/me").await.expect(401);
    });
}

#[test]
fn algorithms_do_not_cross_and_audiences_are_kept_apart() {
    run(async |_, fixture, provider| {
        provider.publish("a", RSA, Algorithm::RS256);
        provider.publish("b", EC, Algorithm::ES256);
        for (kid, pem, by, change) in [
            ("a", EC, Algorithm::ES256, json!({})),
            ("b", RSA, Algorithm::RS256, json!({})),
            ("a", RSA, Algorithm::RS256, json!({"aud": "other"})),
            ("a", RSA, Algorithm::RS256, json!({"iss": "https://id.example.com"})),
            ("a", RSA, Algorithm::RS256, json!({"exp": 1})),
            ("a", RSA, Algorithm::RS256, json!({"sub": ""})),
            ("a", RSA, Algorithm::RS256, json!({"sub": 7})),
        ] {
            let token = token(&fixture, kid, pem, by, &change);
            let reply = fixture.get(&token, "/users/me").await;
            assert_eq!(reply.status, 401, "{change}: {}", reply.text());
        }
        let public = provider.keys.lock().expect("not poisoned")[0]["n"].to_string();
        let header = Header { kid: Some("a".to_owned()), ..Header::new(Algorithm::HS256) };
        let secret = EncodingKey::from_secret(public.as_bytes());
        let claims = json!({"iss": ISSUER, "aud": "drive", "sub": "u-1", "exp": 9_999_999_999_u64});
        let forged = jsonwebtoken::encode(&header, &claims, &secret).expect("signed");
        fixture.get(&forged, "/users/me").await.expect(401);
    });
}

#[test]
fn a_provider_that_fails_is_told_from_a_token_that_is_wrong() {
    run(async |_, fixture, provider| {
        provider.fails.store(true, Ordering::Relaxed);
        let token = token(&fixture, "a", EC, Algorithm::ES256, &json!({}));
        let reply = fixture.get(&token, "/users/me").await.expect(502);
        assert_eq!(reply.code(), "UPSTREAM_FAILED");
        fixture.get("", "/ready").await.expect(503);
        provider.fails.store(false, Ordering::Relaxed);
        provider.publish("a", EC, Algorithm::ES256);
        fixture.get(&token, "/users/me").await.expect(200);
        fixture.get("", "/ready").await.expect(200);
    });
}

#[test]
fn codes_and_refresh_tokens_are_traded_at_the_provider() {
    run(async |_, fixture, provider| {
        let config = fixture.get("", "/auth/config").await.expect(200).json();
        assert_eq!(config["authorize_url"], format!("{ORIGIN}/authorize"));
        assert_eq!(config["client_id"], "scaidrive-desktop");
        assert_eq!(config["token_url"], "http://127.0.0.1:8000/api/v1/auth/token");
        let fields = [
            ("grant_type", "authorization_code"),
            ("code", "c&d"),
            ("code_verifier", "v"),
            ("redirect_uri", "http://127.0.0.1:1/cb"),
        ];
        let tokens = fixture.form("/auth/token", "", &fields).await.expect(200);
        assert_eq!(tokens.json(), json!({"access_token": "t", "token_type": "Bearer"}));
        let traded = provider.traded.lock().expect("not poisoned").clone();
        assert_eq!(
            traded,
            ["grant_type=authorization_code&client_id=scaidrive-desktop&code=c%26d\
              &redirect_uri=http%3A%2F%2F127.0.0.1%3A1%2Fcb&code_verifier=v"]
        );
        let stale = [("grant_type", "authorization_code"), ("code", "stale")];
        let refused = fixture.form("/auth/token", "", &stale).await.expect(400);
        assert_eq!(refused.json(), json!({"error": "invalid_grant"}));
        let password = [("grant_type", "password"), ("username", "a"), ("password", "b")];
        let refused = fixture.form("/auth/token", "", &password).await.expect(400);
        assert_eq!(refused.json()["error"], "unsupported_grant_type");
        let foreign = [("grant_type", "refresh_token"), ("client_id", "other")];
        fixture.form("/auth/token", "", &foreign).await.expect(401);
        assert_eq!(provider.traded.lock().expect("not poisoned").len(), 2);
        fixture.call("GET", "", "/oidc/jwks", None).await.expect(404);
    });
}
