//! Signing in and out.
//!
//! In a browser by the authorization code with PKCE (RFC 7636, RFC 8252), by a device code
//! (RFC 8628), or with a token that one has already. Each way ends in asking the server who it is.

use std::net::{Ipv4Addr, SocketAddr};

use api_client::{Client, Credentials, TokenAnswer};
use api_types::v1::auth::{AuthConfig, DeviceAuthorizationRequest, TokenRequest, Tokens};
use api_types::v1::users::Me;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use node_base::{Duration, sha256};
use node_os::listen;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use url::Url;

use crate::commands::Desk;
use crate::failure::{Exit, Failure};
use crate::session::{self, Saved};

const SCOPE: &str = "openid profile email offline_access";
const PATIENCE: Duration = Duration::from_secs(600);
/// A browser's request is shorter than this.
const REQUEST_MAX: usize = 16 << 10;

pub(crate) async fn login(
    desk: &Desk,
    addresses: Vec<String>,
    device: bool,
) -> Result<(), Failure> {
    let urls = addresses.join(", ");
    let saved = match &desk.global.token {
        Some(token) => Saved {
            addresses,
            access_token: token.trim().to_owned(),
            refresh_token: None,
            client_id: None,
        },
        None => {
            let client = client(desk, &addresses, None)?;
            let config = client.auth_config().await?;
            let tokens = match device {
                true => by_code(desk, &client, &config).await?,
                false => in_browser(desk, &client, &config).await?,
            };
            Saved {
                addresses,
                access_token: tokens.access_token,
                refresh_token: tokens.refresh_token,
                client_id: Some(config.client_id),
            }
        }
    };
    let me = client(desk, &saved.addresses, Some(&saved.access_token))?.me().await?;
    session::save(&saved)?;
    desk.output.show(&me, || vec![format!("signed in to {urls} as {}", shown(&me))])
}

fn client(desk: &Desk, addresses: &[String], token: Option<&str>) -> Result<Client, Failure> {
    let access_token = token.map(str::to_owned);
    let credentials = Credentials { access_token, ..Credentials::default() };
    session::build(&desk.world, &desk.global, addresses.to_vec(), credentials)
}

fn shown(me: &Me) -> String {
    me.email.clone().or_else(|| me.name.clone()).unwrap_or_else(|| me.id.clone())
}

pub(crate) fn logout(desk: &Desk) -> Result<(), Failure> {
    session::forget()?;
    desk.output.message("signed out");
    Ok(())
}

pub(crate) async fn whoami(desk: &Desk) -> Result<(), Failure> {
    let me = desk.client()?.me().await?;
    desk.output.show(&me, || {
        let scopes = me.scopes.join(" ");
        vec![
            format!("user      {} ({})", shown(&me), me.id),
            format!("tenant    {}", me.tenant_id),
            format!("scopes    {scopes}"),
        ]
    })
}

/// A text that nobody can guess.
fn secret(desk: &Desk) -> String {
    let mut bytes = [0; 32];
    desk.world.fill_random(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}

fn unusable(what: &str) -> Failure {
    Failure::new(Exit::Failed, format!("the server's sign-in cannot be used: {what}"))
        .hint("sign in with a token: scaidrive login URL --token TOKEN")
}

async fn in_browser(desk: &Desk, client: &Client, config: &AuthConfig) -> Result<Tokens, Failure> {
    let listener = listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
        .map_err(|error| unusable(&error.to_string()))?;
    let port = listener.address().map_err(|error| unusable(&error.to_string()))?.port();
    let mut redirect = Url::parse(&config.desktop_callback_url)
        .map_err(|_| unusable("its callback is no address"))?;
    redirect.set_port(Some(port)).map_err(|()| unusable("its callback is no address"))?;
    let (state, verifier) = (secret(desk), secret(desk));
    let mut address = Url::parse(&config.authorize_url)
        .map_err(|_| unusable("the place to sign in is no address"))?;
    let challenge = URL_SAFE_NO_PAD.encode(sha256(verifier.as_bytes()).0);
    address
        .query_pairs_mut()
        .append_pair("response_type", "code")
        .append_pair("client_id", &config.client_id)
        .append_pair("redirect_uri", redirect.as_str())
        .append_pair("scope", config.scope.as_deref().unwrap_or(SCOPE))
        .append_pair("state", &state)
        .append_pair("code_challenge", &challenge)
        .append_pair("code_challenge_method", "S256");
    desk.output.message(&format!("open this in a browser to sign in:\n  {address}"));
    open_browser(address.as_str());
    let answered = desk.world.within(PATIENCE, callback(&listener, &redirect, &state)).await;
    let code = answered.map_err(|_| unusable("nobody signed in within ten minutes"))??;
    let request = TokenRequest {
        grant_type: "authorization_code".to_owned(),
        client_id: Some(config.client_id.clone()),
        code: Some(code),
        redirect_uri: Some(redirect.to_string()),
        code_verifier: Some(verifier),
        ..TokenRequest::default()
    };
    match client.token(&request).await? {
        TokenAnswer::Granted(tokens) => Ok(tokens),
        TokenAnswer::Refused(refusal) => {
            let told = refusal.error_description.unwrap_or(refusal.error);
            Err(Failure::new(Exit::NotAllowed, format!("sign-in was refused: {told}")))
        }
    }
}

#[expect(clippy::disallowed_types, reason = "a person's browser is no part of a node")]
fn open_browser(address: &str) {
    let opener = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let quiet = std::process::Stdio::null;
    // Where there is none, the person opens the address by hand.
    let _ = std::process::Command::new(opener)
        .arg(address)
        .stdin(quiet())
        .stdout(quiet())
        .stderr(quiet())
        .spawn();
}

/// Waits for the browser to come back with a code.
async fn callback(
    listener: &node_os::Listener,
    redirect: &Url,
    state: &str,
) -> Result<String, Failure> {
    loop {
        let (mut stream, _) = listener.accept().await;
        let mut request = Vec::new();
        let mut buffer = [0; 2048];
        while !request.windows(4).any(|end| end == b"\r\n\r\n") && request.len() < REQUEST_MAX {
            match stream.read(&mut buffer).await {
                Ok(0) | Err(_) => break,
                Ok(count) => request.extend_from_slice(&buffer[..count]),
            }
        }
        let code = code_in(&String::from_utf8_lossy(&request), redirect, state);
        let (status, text) = match &code {
            Some(Ok(_)) => ("200 OK", "You are signed in. This page can be closed."),
            Some(Err(_)) => ("403 Forbidden", "You are not signed in."),
            None => ("404 Not Found", "There is nothing here."),
        };
        let answer = format!(
            "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{text}",
            text.len()
        );
        // The browser may have gone; what it brought counts.
        let _ = stream.write_all(answer.as_bytes()).await;
        let _ = stream.shutdown().await;
        if let Some(code) = code {
            return code;
        }
    }
}

/// The code in a browser's request; nothing if it is about something else.
fn code_in(request: &str, redirect: &Url, state: &str) -> Option<Result<String, Failure>> {
    let target = request.strip_prefix("GET ")?.split(' ').next()?;
    let url = redirect.join(target).ok()?;
    let value = |name: &str| {
        url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    };
    if url.path() != redirect.path() || value("state").as_deref() != Some(state) {
        return None;
    }
    match (value("code"), value("error")) {
        (Some(code), None) => Some(Ok(code)),
        (_, error) => {
            let told = value("error_description").or(error).unwrap_or_default();
            let text = format!("sign-in was refused: {told}");
            Some(Err(Failure::new(Exit::NotAllowed, text)))
        }
    }
}

async fn by_code(desk: &Desk, client: &Client, config: &AuthConfig) -> Result<Tokens, Failure> {
    let url = config.device_authorization_url.as_deref();
    let url = url.ok_or_else(|| unusable("it knows no device codes"))?;
    let request = DeviceAuthorizationRequest {
        client_id: config.client_id.clone(),
        scope: Some(config.scope.clone().unwrap_or_else(|| SCOPE.to_owned())),
    };
    let device = client.device_code(url, &request).await?;
    let address = device.verification_uri_complete.as_ref().unwrap_or(&device.verification_uri);
    desk.output.message(&format!("open {address} and enter the code {}", device.user_code));
    let request = TokenRequest {
        grant_type: "urn:ietf:params:oauth:grant-type:device_code".to_owned(),
        client_id: Some(config.client_id.clone()),
        device_code: Some(device.device_code),
        ..TokenRequest::default()
    };
    let begun = desk.world.now();
    let mut interval = Duration::from_secs(device.interval.unwrap_or(5).clamp(1, 60));
    while desk.world.now().since(begun) < Duration::from_secs(device.expires_in) {
        desk.world.sleep(interval).await;
        let refusal = match client.token(&request).await? {
            TokenAnswer::Granted(tokens) => return Ok(tokens),
            TokenAnswer::Refused(refusal) => refusal,
        };
        match refusal.error.as_str() {
            "authorization_pending" => {}
            "slow_down" => interval += Duration::from_secs(5),
            _ => {
                let told = refusal.error_description.unwrap_or(refusal.error);
                return Err(Failure::new(Exit::NotAllowed, format!("sign-in was refused: {told}")));
            }
        }
    }
    Err(unusable("the code ran out"))
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::code_in;

    #[test]
    fn only_the_callback_with_our_state_brings_a_code() {
        let redirect = Url::parse("http://127.0.0.1:7/callback").expect("an address");
        let code = |line: &str| code_in(line, &redirect, "s1");
        let good = code("GET /callback?code=c%201&state=s1 HTTP/1.1\r\n");
        assert_eq!(good.and_then(Result::ok).as_deref(), Some("c 1"));
        assert!(code("GET /favicon.ico HTTP/1.1\r\n").is_none());
        assert!(code("GET /callback?code=c&state=other HTTP/1.1\r\n").is_none());
        assert!(code("POST /callback?code=c&state=s1 HTTP/1.1\r\n").is_none());
        let refused = code("GET /callback?error=access_denied&state=s1 HTTP/1.1\r\n");
        assert!(refused.is_some_and(|answer| answer.is_err()));
    }
}
