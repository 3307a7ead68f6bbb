//! Signing in at a browser, for a code (RFC 6749 4.1, RFC 7636, OpenID Connect Core 3.1).

use api_ops::meta::table::identity::GrantKind;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use node_base::{TenantId, UserId};
use serde::Deserialize;

use super::form::{
    CREDENTIALS, FormError, FormPage, Word, begin_session, complain, hidden, own, session_of, wrong,
};
use super::password::SignInError;
use super::{CLIENT_ID, OwnIssuer, form, grant};
use crate::error::ApiError;
use crate::extract::Asks;
use crate::page::Escaped;
use crate::state::ApiState;

/// What a client asks a browser to bring.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Request {
    response_type: String,
    client_id: String,
    redirect_uri: String,
    scope: String,
    state: String,
    nonce: String,
    code_challenge: String,
    code_challenge_method: String,
    prompt: String,
}

/// The same, coming back with what the person did.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Answer {
    response_type: String,
    client_id: String,
    redirect_uri: String,
    scope: String,
    state: String,
    nonce: String,
    code_challenge: String,
    code_challenge_method: String,
    csrf: String,
    email: String,
    password: String,
    /// `continue` as who is signed in, or `other`.
    choice: String,
}

/// What is wrong with a request.
enum Flaw {
    /// Nobody knows where to send the browser: it stays here.
    Here(&'static str),
    /// The client is told, in OAuth's words.
    Client(&'static str, &'static str),
}

impl Request {
    fn of(answer: &Answer) -> Self {
        Self {
            response_type: answer.response_type.clone(),
            client_id: answer.client_id.clone(),
            redirect_uri: answer.redirect_uri.clone(),
            scope: answer.scope.clone(),
            state: answer.state.clone(),
            nonce: answer.nonce.clone(),
            code_challenge: answer.code_challenge.clone(),
            code_challenge_method: answer.code_challenge_method.clone(),
            prompt: String::new(),
        }
    }

    fn check(&self, issuer: &OwnIssuer) -> Result<(), Flaw> {
        if self.client_id != CLIENT_ID {
            return Err(Flaw::Here("The program that sent you here is not known."));
        }
        if !may_return_to(&self.redirect_uri, &issuer.callback_url()) {
            return Err(Flaw::Here("The program that sent you here names a foreign address."));
        }
        if self.response_type != "code" {
            return Err(Flaw::Client("unsupported_response_type", "only code is given"));
        }
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        let challenge = &self.code_challenge;
        if self.code_challenge_method != "S256"
            || challenge.len() != 43
            || !challenge.bytes().all(plain)
        {
            return Err(Flaw::Client("invalid_request", "PKCE with S256 is required"));
        }
        let lengths = [self.scope.len(), self.state.len(), self.nonce.len()];
        if lengths.into_iter().any(|length| length > 2_048) {
            return Err(Flaw::Client("invalid_request", "a parameter is too long"));
        }
        Ok(())
    }

    /// The request in a form, so that it comes back.
    fn fields(&self) -> String {
        let fields = [
            ("response_type", &self.response_type),
            ("client_id", &self.client_id),
            ("redirect_uri", &self.redirect_uri),
            ("scope", &self.scope),
            ("state", &self.state),
            ("nonce", &self.nonce),
            ("code_challenge", &self.code_challenge),
            ("code_challenge_method", &self.code_challenge_method),
        ];
        fields.into_iter().map(|(name, value)| hidden(name, value)).collect()
    }

    /// Sends the browser back to the client.
    fn redirect(&self, issuer: &OwnIssuer, pairs: &[(&str, &str)]) -> Response {
        let state = (!self.state.is_empty()).then_some(("state", self.state.as_str()));
        let own = [("iss", issuer.issuer())];
        let pairs: Vec<(&str, &str)> = pairs.iter().copied().chain(state).chain(own).collect();
        let query = serde_urlencoded::to_string(pairs).unwrap_or_default();
        let join = if self.redirect_uri.contains('?') { '&' } else { '?' };
        let Ok(location) = HeaderValue::from_str(&format!("{}{join}{query}", self.redirect_uri))
        else {
            return wrong(StatusCode::BAD_REQUEST, "The address to return to cannot be used.");
        };
        let headers = [(header::LOCATION, location)];
        (StatusCode::SEE_OTHER, headers, [(header::CACHE_CONTROL, "no-store")]).into_response()
    }

    /// The origin that the form ends at, for the page's policy.
    fn origin(&self) -> String {
        let uri: Option<Uri> = self.redirect_uri.parse().ok();
        let authority = uri.as_ref().and_then(|uri| uri.authority());
        let scheme = uri.as_ref().and_then(|uri| uri.scheme_str()).unwrap_or("http");
        authority.map(|authority| format!("{scheme}://{authority}")).unwrap_or_default()
    }
}

/// Whether a browser may be sent there: our own page, or a program on the same machine (RFC 8252,
/// 7.3), whose port differs from time to time.
fn may_return_to(address: &str, own: &str) -> bool {
    if address == own {
        return true;
    }
    // What browsers and servers read differently does not get as far as being read.
    let plain = |byte: u8| byte.is_ascii_graphic() && !b"\\#@\"'<>^`{|}".contains(&byte);
    if address.len() > 512 || !address.bytes().all(plain) {
        return false;
    }
    let Ok(uri) = address.parse::<Uri>() else { return false };
    uri.scheme_str() == Some("http")
        && matches!(uri.host(), Some("127.0.0.1" | "[::1]" | "localhost"))
}

fn flawed(issuer: &OwnIssuer, request: &Request, flaw: &Flaw) -> Response {
    match flaw {
        Flaw::Here(sentence) => wrong(StatusCode::BAD_REQUEST, sentence),
        Flaw::Client(error, description) => {
            request.redirect(issuer, &[("error", error), ("error_description", description)])
        }
    }
}

/// `GET /oidc/authorize`.
pub(super) async fn ask(
    State(state): State<ApiState>,
    headers: HeaderMap,
    asks: Result<Asks<Request>, ApiError>,
) -> Result<Response, ApiError> {
    let issuer = own(&state)?;
    let Ok(Asks(request)) = asks else {
        return Ok(wrong(StatusCode::BAD_REQUEST, "The address of this page is not complete."));
    };
    if let Err(flaw) = request.check(issuer) {
        return Ok(flawed(issuer, &request, &flaw));
    }
    let signed_in = session_of(&state, &headers).await?;
    match (signed_in, request.prompt.as_str()) {
        (Some(user), "" | "consent" | "select_account") => {
            confirm_page(&state, issuer, &request, user).await
        }
        (None, "none") => Ok(request.redirect(issuer, &[("error", "login_required")])),
        // Somebody must see that a program on the machine asks in their name.
        (Some(_), "none") => Ok(request.redirect(issuer, &[("error", "interaction_required")])),
        _ => Ok(sign_in_page(&state, issuer, &request, StatusCode::OK, "")),
    }
}

fn form_page(
    state: &ApiState,
    issuer: &OwnIssuer,
    request: &Request,
    status: StatusCode,
    (above, fields): (&str, &str),
) -> Response {
    let page = FormPage {
        title: "Sign in",
        heading: "Sign in to ScaiDrive",
        action: "/oidc/authorize",
        origin: &request.origin(),
    };
    page.show(state, issuer, status, (above, &format!("{}{fields}", request.fields())))
}

fn sign_in_page(
    state: &ApiState,
    issuer: &OwnIssuer,
    request: &Request,
    status: StatusCode,
    complaint: &str,
) -> Response {
    let fields = format!("{CREDENTIALS}<button>Sign in</button>");
    form_page(state, issuer, request, status, (&complain(complaint), &fields))
}

async fn confirm_page(
    state: &ApiState,
    issuer: &OwnIssuer,
    request: &Request,
    user: (TenantId, UserId),
) -> Result<Response, ApiError> {
    let Some(user) = grant::active_user(&state.ops, user).await? else {
        return Ok(sign_in_page(state, issuer, request, StatusCode::OK, ""));
    };
    let above = format!(
        "<p>A program on this machine wants to act as <b>{}</b>.</p>",
        Escaped(&user.email)
    );
    let fields = "<button name=\"choice\" value=\"continue\">Continue</button>\
                  <button name=\"choice\" value=\"other\">Somebody else</button>";
    Ok(form_page(state, issuer, request, StatusCode::OK, (&above, fields)))
}

/// `POST /oidc/authorize`.
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
    let request = Request::of(&answer);
    if let Err(flaw) = request.check(issuer) {
        return Ok(flawed(issuer, &request, &flaw));
    }
    if !Word::agrees(&headers, &answer.csrf) {
        let again = "The page was too old. Please try again.";
        return Ok(sign_in_page(&state, issuer, &request, StatusCode::FORBIDDEN, again));
    }
    match answer.choice.as_str() {
        "continue" => match session_of(&state, &headers).await? {
            Some(user) => finish(&state, issuer, &request, user).await,
            None => Ok(sign_in_page(&state, issuer, &request, StatusCode::OK, "")),
        },
        "other" => Ok(sign_in_page(&state, issuer, &request, StatusCode::OK, "")),
        _ => match issuer.sign_in(&state.ops, &answer.email, &answer.password).await {
            Ok(user) => {
                let mut response = finish(&state, issuer, &request, user).await?;
                begin_session(&state, issuer, user, &mut response).await?;
                Ok(response)
            }
            Err(error) => {
                let (status, complaint) = complaint(error)?;
                Ok(sign_in_page(&state, issuer, &request, status, &complaint))
            }
        },
    }
}

/// What a person is told who was not signed in.
pub(super) fn complaint(error: SignInError) -> Result<(StatusCode, String), ApiError> {
    match error {
        SignInError::Op(error) => Err(error.into()),
        SignInError::Wrong => {
            let sentence = "The address or the password is wrong.";
            Ok((StatusCode::UNAUTHORIZED, sentence.to_owned()))
        }
        SignInError::Wait { seconds } => {
            let sentence = format!("Too many wrong attempts. Wait {seconds} seconds.");
            Ok((StatusCode::TOO_MANY_REQUESTS, sentence))
        }
        SignInError::Suspended => {
            Ok((StatusCode::FORBIDDEN, "Your account is suspended.".to_owned()))
        }
    }
}

async fn finish(
    state: &ApiState,
    issuer: &OwnIssuer,
    request: &Request,
    user: (TenantId, UserId),
) -> Result<Response, ApiError> {
    let kind = GrantKind::Code {
        redirect_uri: request.redirect_uri.clone(),
        challenge: Some(request.code_challenge.clone()),
        nonce: (!request.nonce.is_empty()).then(|| request.nonce.clone()),
    };
    let code = grant::give_code(&state.ops, kind, &request.scope, user).await?;
    Ok(request.redirect(issuer, &[("code", &code)]))
}

#[cfg(test)]
mod tests {
    use super::may_return_to;

    #[test]
    fn browsers_are_sent_to_this_machine_or_to_our_own_page_alone() {
        let own = "https://drive.example.com/api/v1/auth/callback";
        for address in [
            own,
            "http://127.0.0.1:49152/callback",
            "http://127.0.0.1/",
            "http://[::1]:1/x?y=z",
            "http://localhost:8080/cb",
        ] {
            assert!(may_return_to(address, own), "{address}");
        }
        for address in [
            "",
            "https://drive.example.com/api/v1/auth/callback/",
            "https://127.0.0.1/callback",
            "http://127.0.0.1@example.com/",
            "http://127.0.0.1.example.com/",
            "http://127.0.0.1\\@example.com/",
            "http://127.0.0.2/",
            "http://example.com/#127.0.0.1",
            "http://localhost:80/#x",
            "http://localhost:80/\r\nSet-Cookie: a=b",
            "javascript:alert(1)",
            "//127.0.0.1/",
            "127.0.0.1",
        ] {
            assert!(!may_return_to(address, own), "{address}");
        }
    }
}
