//! Forms and cookies of the issuer's own pages.
//!
//! A form that acts carries a random word that a cookie of the browser repeats: another site can
//! have the form sent, but not make the two agree.

use api_ops::Ops;
use api_ops::meta::table::identity::GrantKind;
use api_types::v1::error::ErrorCode;
use axum::body::Body;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use node_base::{Duration, TenantId, UserId};
use serde::de::DeserializeOwned;

use super::{OwnIssuer, grant, secret};
use crate::error::ApiError;
use crate::extract::read_body;
use crate::page::{Escaped, page};
use crate::state::ApiState;

/// Forms are short.
const FORM_MAX: usize = 16 << 10;
const SESSION_COOKIE: &str = "scaidrive_session";
const FORM_COOKIE: &str = "scaidrive_form";
/// How long a browser stays signed in at the issuer's pages.
const SESSION_LIFETIME: Duration = Duration::from_secs(12 * 3_600);

/// The issuer, if it is on: else its addresses are not there.
pub(super) fn own(state: &ApiState) -> Result<&OwnIssuer, ApiError> {
    let absent = || ApiError::new(ErrorCode::NotFound, "There is nothing at this address.");
    state.identity.own().ok_or_else(absent)
}

/// Why a form cannot be read.
pub(crate) enum FormError {
    /// It is too large, or never came whole.
    Body(ApiError),
    /// It is not a form, or lacks a field, or has one twice.
    Shape,
}

/// The fields of a form that was sent.
pub(crate) async fn read<T: DeserializeOwned>(
    headers: &HeaderMap,
    body: Body,
) -> Result<T, FormError> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = kind.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Err(FormError::Shape);
    }
    let bytes = read_body(headers, body, FORM_MAX).await.map_err(FormError::Body)?;
    serde_urlencoded::from_bytes(&bytes).map_err(|_| FormError::Shape)
}

/// A cookie that the browser sent.
fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.split_once('='));
    pairs.find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim())
}

fn set_cookie(issuer: &OwnIssuer, response: &mut Response, name: &str, value: &str, site: &str) {
    let secure = if issuer.is_encrypted() { "; Secure" } else { "" };
    let life = if value.is_empty() { "; Max-Age=0" } else { "" };
    let text = format!("{name}={value}; Path=/oidc; HttpOnly; SameSite={site}{secure}{life}");
    if let Ok(value) = HeaderValue::from_str(&text) {
        response.headers_mut().append(header::SET_COOKIE, value);
    }
}

/// A new form's word: to be put into the form and, by [`Word::set`], into the browser.
pub(super) struct Word(String);

impl Word {
    fn new(ops: &Ops) -> Self {
        Self(URL_SAFE_NO_PAD.encode(ops.world.random().to_le_bytes()))
    }

    fn field(&self) -> String {
        hidden("csrf", &self.0)
    }

    fn set(&self, issuer: &OwnIssuer, response: &mut Response) {
        set_cookie(issuer, response, FORM_COOKIE, &self.0, "Strict");
    }

    /// Whether a form that was sent came from a page of ours.
    pub(super) fn agrees(headers: &HeaderMap, field: &str) -> bool {
        !field.is_empty() && cookie(headers, FORM_COOKIE) == Some(field)
    }
}

/// A field that people do not see.
pub(super) fn hidden(name: &str, value: &str) -> String {
    format!("<input type=\"hidden\" name=\"{name}\" value=\"{}\">", Escaped(value))
}

/// The fields for an address and a password.
pub(super) const CREDENTIALS: &str = "\
<label for=\"email\">E-mail</label>\
<input id=\"email\" name=\"email\" type=\"email\" autocomplete=\"username\" required autofocus>\
<label for=\"password\">Password</label>\
<input id=\"password\" name=\"password\" type=\"password\" \
autocomplete=\"current-password\" required>";

/// A page of ours with a form in it.
pub(super) struct FormPage<'a> {
    pub(super) title: &'a str,
    pub(super) heading: &'a str,
    /// Where the form goes to.
    pub(super) action: &'a str,
    /// The origin that the browser ends at when it was sent; empty when that is ours.
    pub(super) origin: &'a str,
}

impl FormPage<'_> {
    /// The page, with what stands above the form and the fields in it.
    pub(super) fn show(
        &self,
        state: &ApiState,
        issuer: &OwnIssuer,
        status: StatusCode,
        (above, fields): (&str, &str),
    ) -> Response {
        let word = Word::new(&state.ops);
        let body = format!(
            "<main class=\"narrow\"><h1>{}</h1>{above}\
             <form method=\"post\" action=\"{}\">{}{fields}</form></main>",
            self.heading,
            self.action,
            word.field(),
        );
        let mut response = page(status, self.title, &body, self.origin);
        word.set(issuer, &mut response);
        response
    }
}

/// What is wrong, above a form; nothing for nothing.
pub(super) fn complain(complaint: &str) -> String {
    match complaint {
        "" => String::new(),
        complaint => format!("<p class=\"wrong\" role=\"alert\">{}</p>", Escaped(complaint)),
    }
}

/// Whose browser this is.
pub(super) async fn session_of(
    state: &ApiState,
    headers: &HeaderMap,
) -> Result<Option<(TenantId, UserId)>, ApiError> {
    match cookie(headers, SESSION_COOKIE) {
        Some(secret) => Ok(grant::session(&state.ops, secret).await?),
        None => Ok(None),
    }
}

/// Keeps a browser signed in.
pub(super) async fn begin_session(
    state: &ApiState,
    issuer: &OwnIssuer,
    user: (TenantId, UserId),
    response: &mut Response,
) -> Result<(), ApiError> {
    let (text, hash) = secret(&state.ops);
    grant::keep(&state.ops, hash, GrantKind::Session, "", Some(user), SESSION_LIFETIME).await?;
    set_cookie(issuer, response, SESSION_COOKIE, &text, "Lax");
    Ok(())
}

/// Signs a browser out.
pub(super) async fn end_session(
    state: &ApiState,
    issuer: &OwnIssuer,
    headers: &HeaderMap,
    response: &mut Response,
) -> Result<(), ApiError> {
    if let Some(secret) = cookie(headers, SESSION_COOKIE) {
        grant::revoke(&state.ops, secret).await?;
    }
    set_cookie(issuer, response, SESSION_COOKIE, "", "Lax");
    Ok(())
}

/// A page that says what is wrong.
pub(super) fn wrong(status: StatusCode, sentence: &str) -> Response {
    let sentence = Escaped(sentence);
    let body = format!(
        "<main class=\"narrow\"><h1>ScaiDrive</h1><p class=\"wrong\">{sentence}</p></main>"
    );
    page(status, "ScaiDrive", &body, "")
}
