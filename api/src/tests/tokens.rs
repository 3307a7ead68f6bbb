//! Every attack on tokens that we can name, against the built-in issuer.

use api_ops::meta::query;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};

use crate::fixture::{Fixture, URL, run};

/// What a forger knows of the issuer, and for the worst of them the key itself.
struct Forge {
    kid: String,
    der: Vec<u8>,
    claims: Value,
}

fn part(json: &str) -> String {
    URL_SAFE_NO_PAD.encode(json)
}

impl Forge {
    async fn new(fixture: &Fixture) -> Self {
        fixture.token(fixture.ann).await;
        let keys = fixture.state.ops.look(query::identity::signing_keys).await.expect("readable");
        let (kid, key) = keys.into_iter().next().expect("the first token made one");
        let now = fixture.world.wall().millis() / 1_000;
        let claims = json!({
            "iss": format!("{URL}/oidc"),
            "aud": "scaidrive-api",
            "sub": fixture.ann.to_string(),
            "tenant_id": fixture.tenant.to_string(),
            "scope": "files:read",
            "iat": now,
            "exp": now + 600,
        });
        Self { kid, der: key.private_der, claims }
    }

    fn header(&self) -> Value {
        json!({"alg": "EdDSA", "typ": "at+jwt", "kid": self.kid})
    }

    /// Signed by the issuer's own key, whatever it says.
    fn signed(&self, header: &str, claims: &str) -> String {
        self.signed_by(header, claims, &EncodingKey::from_ed_der(&self.der), Algorithm::EdDSA)
    }

    fn signed_by(&self, header: &str, claims: &str, key: &EncodingKey, by: Algorithm) -> String {
        let message = format!("{}.{}", part(header), part(claims));
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), key, by).expect("signed");
        format!("{message}.{signature}")
    }

    fn with_header(&self, change: impl FnOnce(&mut Value)) -> String {
        let mut header = self.header();
        change(&mut header);
        self.signed(&header.to_string(), &self.claims.to_string())
    }

    fn with_claims(&self, change: impl FnOnce(&mut Value)) -> String {
        let mut claims = self.claims.clone();
        change(&mut claims);
        self.signed(&self.header().to_string(), &claims.to_string())
    }

    fn without(&self, claim: &str) -> String {
        self.with_claims(|claims| {
            claims.as_object_mut().expect("an object").remove(claim);
        })
    }
}

async fn refused(fixture: &Fixture, attack: &str, token: &str, sentence: &str) {
    let reply = fixture.get(token, "/users/me").await;
    assert_eq!(reply.status, 401, "{attack}: {}", reply.text());
    assert_eq!(reply.code(), "AUTH_TOKEN_INVALID", "{attack}");
    assert_eq!(reply.headers["www-authenticate"], "Bearer", "{attack}");
    assert_eq!(reply.json()["detail"], sentence, "{attack}");
}

const ALGORITHM: &str = "The token is signed by an algorithm that is not accepted.";
const MALFORMED: &str = "The token is not a JSON Web Token.";
const SIGNATURE: &str = "The token's signature is wrong.";
const KEY: &str = "The token's key is not one of its issuer's.";

#[test]
fn what_the_issuer_signed_is_believed() {
    run(|fixture| async move {
        let forge = Forge::new(&fixture).await;
        for token in [
            forge.with_claims(|_| {}),
            forge.with_claims(|claims| claims["aud"] = json!(["other", "scaidrive-api"])),
            forge.with_claims(|claims| claims["exp"] = json!(claims["iat"].as_i64().unwrap() - 59)),
            forge.with_claims(|claims| claims["nbf"] = json!(claims["iat"].as_i64().unwrap() + 59)),
        ] {
            let reply = fixture.get(&token, "/users/me").await.expect(200);
            assert_eq!(reply.json()["email"], "ann@example.com");
            assert_eq!(reply.json()["scopes"], json!(["files:read"]));
        }
    });
}

#[test]
fn algorithms_that_prove_nothing_are_refused() {
    run(|fixture| async move {
        let forge = Forge::new(&fixture).await;
        let claims = forge.claims.to_string();
        for none in ["none", "None", "nOnE", "NONE", ""] {
            let header = json!({"alg": none, "typ": "at+jwt", "kid": forge.kid}).to_string();
            let bare = format!("{}.{}.", part(&header), part(&claims));
            refused(&fixture, none, &bare, ALGORITHM).await;
            refused(&fixture, none, &forge.signed(&header, &claims), ALGORITHM).await;
        }
        let jwks = fixture.call("GET", "", "/oidc/jwks", None).await.expect(200).json();
        let public = jwks["keys"][0]["x"].as_str().expect("an Ed25519 key").to_owned();
        let raw = URL_SAFE_NO_PAD.decode(&public).expect("base64");
        for secret in [raw.as_slice(), public.as_bytes(), b"", jwks.to_string().as_bytes()] {
            let key = EncodingKey::from_secret(secret);
            let header = json!({"alg": "HS256", "typ": "at+jwt", "kid": forge.kid}).to_string();
            let token = forge.signed_by(&header, &claims, &key, Algorithm::HS256);
            refused(&fixture, "HS256 with the public key", &token, ALGORITHM).await;
        }
        for alg in ["RS256", "ES256"] {
            let token = forge.with_header(|header| header["alg"] = json!(alg));
            refused(&fixture, "another family's algorithm", &token, KEY).await;
        }
        for alg in ["PS256", "RS512", "ES384", "HS512", "EdDSA "] {
            let token = forge.with_header(|header| header["alg"] = json!(alg));
            refused(&fixture, alg, &token, ALGORITHM).await;
        }
    });
}

#[test]
fn keys_come_from_the_issuer_and_not_from_the_token() {
    run(|fixture| async move {
        let forge = Forge::new(&fixture).await;
        let claims = forge.claims.to_string();
        for kid in ["../../../../dev/null", "/etc/passwd", "' OR 1=1 --", "", "unknown"] {
            let token = forge.with_header(|header| header["kid"] = json!(kid));
            refused(&fixture, kid, &token, KEY).await;
        }
        let seed = [9; 32];
        let der = [&forge.der[..16], &seed].concat();
        let own = EncodingKey::from_ed_der(&der);
        let jwk = jsonwebtoken::jwk::Jwk::from_encoding_key(&own, Algorithm::EdDSA).expect("a key");
        for (name, value) in [
            ("jwk", serde_json::to_value(&jwk).expect("data")),
            ("jku", json!("https://attacker.example/keys")),
            ("x5u", json!("https://attacker.example/chain")),
        ] {
            let mut header = forge.header();
            header[name] = value;
            let token = forge.signed_by(&header.to_string(), &claims, &own, Algorithm::EdDSA);
            refused(&fixture, name, &token, SIGNATURE).await;
        }
        let token = forge.with_header(|header| header["crit"] = json!(["exp"]));
        let extension = "The token asks for an extension that is not known.";
        refused(&fixture, "crit", &token, extension).await;
        for value in [json!([]), json!(null), json!("exp")] {
            let token = forge.with_header(|header| header["crit"] = value);
            refused(&fixture, "crit, of a kind", &token, extension).await;
        }
        let good = forge.with_claims(|_| {});
        let parts: Vec<&str> = good.split('.').collect();
        let mut claims = forge.claims.clone();
        claims["scope"] = json!("admin:*");
        let swapped = format!("{}.{}.{}", parts[0], part(&claims.to_string()), parts[2]);
        refused(&fixture, "other claims under the signature", &swapped, SIGNATURE).await;
        let cut = &good[..good.len() - 4];
        refused(&fixture, "a shorter signature", cut, SIGNATURE).await;
    });
}

#[test]
fn claims_are_judged_even_under_a_right_signature() {
    run(|fixture| async move {
        let forge = Forge::new(&fixture).await;
        let now = forge.claims["iat"].as_i64().expect("seconds");
        let late = |name: &'static str, by: i64| forge.with_claims(|c| c[name] = json!(now + by));
        refused(&fixture, "expired", &late("exp", -60), "The token has expired.").await;
        for name in ["nbf", "iat"] {
            refused(&fixture, name, &late(name, 62), "The token is not valid yet.").await;
        }
        let audience = "The token is for another audience.";
        for aud in [json!("scaidrive"), json!(["x"]), json!([]), json!(null), json!(7)] {
            let token = forge.with_claims(|claims| claims["aud"] = aud);
            refused(&fixture, "another audience", &token, audience).await;
        }
        refused(&fixture, "no audience", &forge.without("aud"), audience).await;
        let issuer = "The token's issuer is not trusted here.";
        for iss in ["https://attacker.example", "", "http://127.0.0.1:8000/oidc/"] {
            let token = forge.with_claims(|claims| claims["iss"] = json!(iss));
            refused(&fixture, "another issuer", &token, issuer).await;
        }
        let elsewhere = json!("http://10.0.0.2:8000/oidc");
        let token = forge.with_claims(|claims| claims["iss"] = elsewhere);
        let reply = fixture.get(&token, "/users/me").await;
        assert_eq!(reply.status, 200, "another node of the cluster: {}", reply.text());
        for name in ["exp", "sub", "tenant_id"] {
            let missing = format!("The token lacks the claim '{name}'.");
            refused(&fixture, name, &forge.without(name), &missing).await;
        }
        let token = forge.with_claims(|claims| claims["sub"] = json!("ann"));
        refused(&fixture, "a subject that is no user", &token, MALFORMED).await;
        let stranger = node_base::UserId::from(12_345).to_string();
        let token = forge.with_claims(|claims| claims["sub"] = json!(stranger));
        refused(&fixture, "a user that is not there", &token, "The token's user is gone.").await;
        let other = node_base::TenantId::from(12_345).to_string();
        let token = forge.with_claims(|claims| claims["tenant_id"] = json!(other));
        refused(&fixture, "another tenant", &token, "The token's user is gone.").await;
        let token = forge.with_claims(|claims| claims["exp"] = json!("tomorrow"));
        refused(&fixture, "a time that is none", &token, MALFORMED).await;
        let token = forge.with_header(|header| header["typ"] = json!("JWT"));
        refused(&fixture, "an ID token", &token, "The token is not an access token.").await;
    });
}

#[test]
fn what_is_said_twice_is_not_believed() {
    run(|fixture| async move {
        let forge = Forge::new(&fixture).await;
        let (header, claims) = (forge.header().to_string(), forge.claims.to_string());
        let root = fixture.root.to_string();
        let twice = claims.replacen('{', &format!("{{\"sub\":\"{root}\","), 1);
        refused(&fixture, "claims twice", &forge.signed(&header, &twice), MALFORMED).await;
        let escaped = claims.replacen('{', &format!("{{\"s\\u0075b\":\"{root}\","), 1);
        refused(&fixture, "claims twice, hidden", &forge.signed(&header, &escaped), MALFORMED)
            .await;
        let twice = header.replacen('{', "{\"alg\":\"none\",", 1);
        refused(&fixture, "two algorithms", &forge.signed(&twice, &claims), MALFORMED).await;
        let good = forge.with_claims(|_| {});
        let two = fixture
            .request("GET", "/users/me")
            .header("authorization", format!("Bearer {good}"))
            .header("authorization", format!("Bearer {good}"))
            .body(axum::body::Body::empty());
        let reply = fixture.send(two.expect("a request")).await.expect(401);
        assert_eq!(reply.json()["detail"], "There is more than one Authorization header.");
    });
}

#[test]
fn what_is_no_token_is_refused_without_much_work() {
    run(|fixture| async move {
        let forge = Forge::new(&fixture).await;
        let good = forge.with_claims(|_| {});
        for garbage in ["a", "a.b", "..", "....", "a.b.c", "é.é.é", &format!("{good}.x")] {
            let reply = fixture.get(garbage, "/users/me").await.expect(401);
            assert_eq!(reply.code(), "AUTH_TOKEN_INVALID", "{garbage}");
        }
        let padding = "x".repeat(20_000);
        let huge = forge.with_claims(|claims| claims["padding"] = json!(padding));
        refused(&fixture, "a huge token", &huge, MALFORMED).await;
        let monstrous = "x".repeat(100_000);
        let reply = fixture.get(&monstrous, "/users/me").await.expect(431);
        assert_eq!(reply.code(), "HEADERS_TOO_LARGE");
        let deep = format!("{}1{}", "[".repeat(5_000), "]".repeat(5_000));
        let deep = format!("{}.{}.AA", part(&forge.header().to_string()), part(&deep));
        refused(&fixture, "deep nesting", &deep, MALFORMED).await;
        for value in ["Basic YTpi", "Bearer", "Bearer ", "Token x", ""] {
            let request = fixture
                .request("GET", "/users/me")
                .header("authorization", value)
                .body(axum::body::Body::empty());
            fixture.send(request.expect("a request")).await.expect(401);
        }
        fixture.get("", "/users/me").await.expect(401);
    });
}

#[test]
fn a_suspended_user_is_out_at_once_whatever_the_token_says() {
    run(|fixture| async move {
        let (root, ann) = (fixture.token(fixture.root).await, fixture.token(fixture.ann).await);
        fixture.get(&ann, "/users/me").await.expect(200);
        let suspend = format!("/admin/users/{}/suspend", fixture.ann);
        fixture.call("POST", &root, &suspend, None).await.expect(200);
        let reply = fixture.get(&ann, "/users/me").await.expect(403);
        assert_eq!(reply.code(), "AUTHZ_USER_SUSPENDED");
        let activate = format!("/admin/users/{}/activate", fixture.ann);
        fixture.call("POST", &root, &activate, None).await.expect(200);
        fixture.get(&ann, "/users/me").await.expect(200);
    });
}
