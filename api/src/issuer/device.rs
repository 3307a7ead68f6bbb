//! Signing in at one device for another (RFC 8628): a terminal shows a short code, a browser
//! anywhere confirms it.

use api_ops::OpError;
use api_ops::meta::Command;
use api_ops::meta::command::IdentityCommand;
use api_ops::meta::table::identity::GrantKind;
use api_types::v1::auth::{DeviceAuthorization, DeviceAuthorizationRequest};
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, header};
use node_base::{Duration, TenantId, UserId};
use serde::Deserialize;

use super::authorize::complaint;
use super::form::{
    CREDENTIALS, FormError, FormPage, Word, begin_session, complain, hidden, own, session_of, wrong,
};
use super::grant::OAuthError;
use super::{CLIENT_ID, OwnIssuer, form, grant, secret};
use crate::error::ApiError;
use crate::extract::Asks;
use crate::page::{Escaped, page};
use crate::state::ApiState;

/// How long somebody may take to find a browser.
const DEVICE_LIFETIME: Duration = Duration::from_secs(900);
/// Letters of user codes: no vowels, so that no code is a word (RFC 8628, 6.1).
const LETTERS: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";
/// Seconds between two questions of the device.
const INTERVAL: u64 = 3;

/// `POST /oidc/device_authorization`.
pub(super) async fn authorization(
    State(state): State<ApiState>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let issuer = own(&state)?;
    let request: DeviceAuthorizationRequest = match form::read(&headers, body).await {
        Ok(request) => request,
        Err(FormError::Body(error)) => return Err(error),
        Err(FormError::Shape) => {
            let what = "a form with client_id is expected";
            return Ok(OAuthError::new("invalid_request", what).into_response());
        }
    };
    if request.client_id != CLIENT_ID {
        let what = "this issuer has no such client";
        return Ok(OAuthError::new("invalid_client", what).into_response());
    }
    let (device_code, hash) = secret(&state.ops);
    let user_code = user_code(state.ops.world.random());
    let kind = GrantKind::Device { user_code: user_code.clone(), denied: false };
    let scope = request.scope.unwrap_or_default();
    let scope: String = scope.chars().take(1_024).collect();
    grant::keep(&state.ops, hash, kind, &scope, None, DEVICE_LIFETIME).await?;
    let verification_uri = format!("{}/device", issuer.issuer());
    let answer = DeviceAuthorization {
        device_code,
        verification_uri_complete: Some(format!("{verification_uri}?user_code={user_code}")),
        user_code,
        verification_uri,
        expires_in: DEVICE_LIFETIME.as_secs(),
        interval: Some(INTERVAL),
    };
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(answer)).into_response())
}

/// Eight letters with a hyphen in the middle: 34 bits, for a quarter of an hour.
fn user_code(mut random: u128) -> String {
    let mut code = String::new();
    for at in 0..8 {
        if at == 4 {
            code.push('-');
        }
        code.push(char::from(LETTERS[(random % 20) as usize]));
        random /= 20;
    }
    code
}

/// A code as somebody typed it, in the form it was given out.
fn tidied(typed: &str) -> String {
    let letters = typed.chars().filter(char::is_ascii_alphabetic).take(8);
    let mut code: String = letters.map(|letter| letter.to_ascii_uppercase()).collect();
    if code.len() > 4 {
        code.insert(4, '-');
    }
    code
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Shown {
    user_code: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Answer {
    user_code: String,
    csrf: String,
    email: String,
    password: String,
    /// `allow` or `deny`.
    choice: String,
}

/// `GET /oidc/device`.
pub(super) async fn ask(
    State(state): State<ApiState>,
    headers: HeaderMap,
    asks: Result<Asks<Shown>, ApiError>,
) -> Result<Response, ApiError> {
    let issuer = own(&state)?;
    let code = asks.map(|Asks(shown)| tidied(&shown.user_code)).unwrap_or_default();
    match session_of(&state, &headers).await? {
        Some(user) => confirm_page(&state, issuer, &code, user, "").await,
        None => Ok(sign_in_page(&state, issuer, &code, StatusCode::OK, "")),
    }
}

const PAGE: FormPage<'_> = FormPage {
    title: "Connect a device",
    heading: "Connect a device to ScaiDrive",
    action: "/oidc/device",
    origin: "",
};

fn sign_in_page(
    state: &ApiState,
    issuer: &OwnIssuer,
    code: &str,
    status: StatusCode,
    complaint: &str,
) -> Response {
    let fields = format!("{}{CREDENTIALS}<button>Sign in</button>", hidden("user_code", code));
    PAGE.show(state, issuer, status, (&complain(complaint), &fields))
}

async fn confirm_page(
    state: &ApiState,
    issuer: &OwnIssuer,
    code: &str,
    user: (TenantId, UserId),
    complaint: &str,
) -> Result<Response, ApiError> {
    let Some(user) = grant::active_user(&state.ops, user).await? else {
        return Ok(sign_in_page(state, issuer, code, StatusCode::OK, ""));
    };
    let above = format!(
        "{}<p>A device wants to act as <b>{}</b>. Is this the code it shows?</p>",
        complain(complaint),
        Escaped(&user.email),
    );
    let fields = format!(
        "<label for=\"code\">Code</label>\
         <input id=\"code\" name=\"user_code\" value=\"{}\" autocomplete=\"off\" required>\
         <button name=\"choice\" value=\"allow\">Yes, connect it</button>\
         <button name=\"choice\" value=\"deny\">No</button>",
        Escaped(code),
    );
    Ok(PAGE.show(state, issuer, StatusCode::OK, (&above, &fields)))
}

/// `POST /oidc/device`.
pub(super) async fn answer(
    State(state): State<ApiState>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let issuer = own(&state)?;
    let answer: Answer = match form::read(&headers, body).await {
        Ok(answer) => answer,
        Err(FormError::Body(error)) => return Err(error),
        Err(FormError::Shape) => {
            return Ok(wrong(StatusCode::BAD_REQUEST, "The form cannot be read."));
        }
    };
    let code = tidied(&answer.user_code);
    if !Word::agrees(&headers, &answer.csrf) {
        let again = "The page was too old. Please try again.";
        return Ok(sign_in_page(&state, issuer, &code, StatusCode::FORBIDDEN, again));
    }
    if matches!(answer.choice.as_str(), "allow" | "deny") {
        return match session_of(&state, &headers).await? {
            Some(user) => settle(&state, issuer, &code, user, answer.choice == "allow").await,
            None => Ok(sign_in_page(&state, issuer, &code, StatusCode::OK, "")),
        };
    }
    match issuer.sign_in(&state.ops, &answer.email, &answer.password).await {
        Ok(user) => {
            let mut response = confirm_page(&state, issuer, &code, user, "").await?;
            begin_session(&state, issuer, user, &mut response).await?;
            Ok(response)
        }
        Err(error) => {
            let (status, sentence) = complaint(error)?;
            Ok(sign_in_page(&state, issuer, &code, status, &sentence))
        }
    }
}

async fn settle(
    state: &ApiState,
    issuer: &OwnIssuer,
    code: &str,
    user: (TenantId, UserId),
    allowed: bool,
) -> Result<Response, ApiError> {
    let command =
        IdentityCommand::AnswerDevice { user_code: code.to_owned(), user: allowed.then_some(user) };
    match state.ops.agree_as_node::<()>(Command::Identity(command)).await {
        Ok(()) => {
            let sentence = if allowed {
                "It is connected. You may close this page."
            } else {
                "It was not connected. You may close this page."
            };
            let body = format!("<main class=\"narrow\"><h1>ScaiDrive</h1><p>{sentence}</p></main>");
            Ok(page(StatusCode::OK, "ScaiDrive", &body, ""))
        }
        Err(OpError::Refused(_)) => {
            let sentence = "No device is waiting with this code.";
            confirm_page(state, issuer, code, user, sentence).await
        }
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::{tidied, user_code};

    #[test]
    fn a_code_is_found_however_it_is_typed() {
        let code = user_code(0x1234_5678_9abc_def0);
        assert_eq!(code.len(), 9);
        for typed in [code.clone(), code.to_lowercase(), code.replace('-', " ")] {
            assert_eq!(tidied(&typed), code);
        }
        assert_eq!(tidied(&format!("{code}XYZ")), code, "what is too long is cut");
        assert_eq!(tidied("<b>"), "B");
        assert_eq!(tidied(""), "");
    }
}
