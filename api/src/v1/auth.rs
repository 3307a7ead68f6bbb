//! Section 3: signing in, for clients that know nothing but the server's address.

use api_types::v1::auth::{AuthConfig, CallbackQuery, TokenRefusal, TokenRequest, Tokens};
use api_types::v1::error::ErrorCode;
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, header};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::auth::{IssuerError, Outside, issuer_failed};
use crate::error::ApiError;
use crate::extract::{Asks, parse_json, read_body};
use crate::issuer::{self, CLIENT_ID, FormError, OAuthError, exchange};
use crate::page::{Escaped, page};
use crate::state::ApiState;

/// Where a desktop client listens; the port is whatever it got.
const DESKTOP_CALLBACK: &str = "http://127.0.0.1/callback";
/// What our own client asks the built-in issuer for; it gives no more than the role allows.
const OWN_SCOPE: &str = "openid profile email offline_access files:read files:write tenant:admin \
                         partner:admin admin:*";
/// What is asked of an outside issuer, which need not know our scopes.
const OUTSIDE_SCOPE: &str = "openid profile email offline_access";
const JSON_MAX: usize = 16 << 10;

pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(get_auth_config))
        .routes(routes!(get_auth_callback))
        .routes(routes!(post_auth_token))
}

fn no_issuer() -> ApiError {
    let sentence = "Nobody can sign in here: no issuer has a client for it.";
    ApiError::new(ErrorCode::NotConfigured, sentence)
}

/// What a client needs to sign its user in.
#[utoipa::path(get, path = "/auth/config", tag = "sign-in", security(()),
    responses((status = 200, description = "Addresses and client.", body = AuthConfig)))]
async fn get_auth_config(State(state): State<ApiState>) -> Result<Json<AuthConfig>, ApiError> {
    let token_url = format!("{}/api/v1/auth/token", state.public_url.trim_end_matches('/'));
    let desktop_callback_url = DESKTOP_CALLBACK.to_owned();
    if let Some(outside) = state.identity.outside() {
        let discovery = outside.discovery().await.map_err(issuer_failed)?;
        return Ok(Json(AuthConfig {
            authorize_url: discovery.authorization_endpoint.ok_or_else(no_issuer)?,
            token_url,
            client_id: outside.settings.client_id.clone().ok_or_else(no_issuer)?,
            desktop_callback_url,
            device_authorization_url: discovery.device_authorization_endpoint,
            scope: Some(OUTSIDE_SCOPE.to_owned()),
        }));
    }
    let issuer = state.identity.own().ok_or_else(no_issuer)?.issuer();
    Ok(Json(AuthConfig {
        authorize_url: format!("{issuer}/authorize"),
        token_url,
        client_id: CLIENT_ID.to_owned(),
        desktop_callback_url,
        device_authorization_url: Some(format!("{issuer}/device_authorization")),
        scope: Some(OWN_SCOPE.to_owned()),
    }))
}

/// Where a browser ends whose client listens nowhere: the code, to be carried over by hand.
#[utoipa::path(get, path = "/auth/callback", tag = "sign-in", security(()),
    params(CallbackQuery),
    responses((status = 200, description = "A page.", content_type = "text/html", body = String)))]
async fn get_auth_callback(asks: Result<Asks<CallbackQuery>, ApiError>) -> Response {
    let query = asks.map(|Asks(query)| query).unwrap_or_default();
    let (status, told) = match (&query.code, &query.error) {
        (Some(code), None) => {
            let code = Escaped(code);
            let told = format!(
                "<p>Copy this code into the program that asked for it:</p><pre>{code}</pre>"
            );
            (StatusCode::OK, told)
        }
        (_, Some(error)) => {
            let why = query.error_description.as_deref().unwrap_or(error);
            (
                StatusCode::OK,
                format!("<p class=\"wrong\">You were not signed in: {}</p>", Escaped(why)),
            )
        }
        (None, None) => {
            let told = "<p class=\"wrong\">There is no code in the address of this page.</p>";
            (StatusCode::BAD_REQUEST, told.to_owned())
        }
    };
    let body = format!("<main class=\"narrow\"><h1>ScaiDrive</h1>{told}</main>");
    page(status, "ScaiDrive", &body, "")
}

/// Tokens for a code with its PKCE verifier, a refresh token or a device code.
///
/// The request goes to the issuer that `/auth/config` names; its refusals are handed on.
#[utoipa::path(post, path = "/auth/token", tag = "sign-in", security(()),
    request_body(
        description = "RFC 6749, 4.1.3 and 6; RFC 7636; RFC 8628, 3.4.",
        content(
            (TokenRequest = "application/x-www-form-urlencoded"),
            (TokenRequest = "application/json"))),
    responses(
        (status = 200, description = "Tokens.", body = Tokens),
        (status = 400, description = "The issuer refuses.", body = TokenRefusal),
        (status = 401, description = "The issuer does not know the client.", body = TokenRefusal)))]
async fn post_auth_token(
    State(state): State<ApiState>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let request = match token_request(&headers, body).await {
        Ok(request) => request,
        Err(FormError::Body(error)) => return Err(error),
        Err(FormError::Shape) => {
            let what = "a form with grant_type is expected, no field twice";
            return Ok(OAuthError::new("invalid_request", what).into_response());
        }
    };
    if let Some(outside) = state.identity.outside() {
        return trade_outside(outside, request).await;
    }
    let issuer = state.identity.own().ok_or_else(no_issuer)?;
    Ok(match exchange(issuer, &state.ops, &request).await {
        Ok(tokens) => ([(header::CACHE_CONTROL, "no-store")], Json(tokens)).into_response(),
        Err(error) => error.into_response(),
    })
}

async fn token_request(headers: &HeaderMap, body: Body) -> Result<TokenRequest, FormError> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if kind.is_some_and(|kind| kind.to_ascii_lowercase().starts_with("application/json")) {
        let bytes = read_body(headers, body, JSON_MAX).await.map_err(FormError::Body)?;
        return parse_json(&bytes).map_err(FormError::Body);
    }
    issuer::read_form(headers, body).await
}

async fn trade_outside(outside: &Outside, request: TokenRequest) -> Result<Response, ApiError> {
    let ours = outside.settings.client_id.clone();
    if request.client_id.is_some() && request.client_id != ours {
        let what = "this server speaks for another client";
        return Ok(OAuthError::new("invalid_client", what).into_response());
    }
    let known = ["authorization_code", "refresh_token", issuer::DEVICE_GRANT];
    if !known.contains(&request.grant_type.as_str()) {
        let what = "this grant type is not handed on";
        return Ok(OAuthError::new("unsupported_grant_type", what).into_response());
    }
    let request = TokenRequest { client_id: ours, ..request };
    let unreadable = || issuer_failed(IssuerError::Failed("its answer cannot be read".to_owned()));
    let form = serde_urlencoded::to_string(&request).map_err(|_| unreadable())?;
    let reply = outside.trade(form).await.map_err(issuer_failed)?;
    let no_store = [(header::CACHE_CONTROL, "no-store")];
    match reply.status {
        200 => {
            let tokens: Tokens = serde_json::from_slice(&reply.body).map_err(|_| unreadable())?;
            Ok((no_store, Json(tokens)).into_response())
        }
        status @ 400..=499 => {
            let refusal: TokenRefusal =
                serde_json::from_slice(&reply.body).map_err(|_| unreadable())?;
            let unknown = status == 401;
            let status = if unknown { StatusCode::UNAUTHORIZED } else { StatusCode::BAD_REQUEST };
            Ok((status, no_store, Json(refusal)).into_response())
        }
        status => {
            let why = format!("its token endpoint answered with status {status}");
            Err(issuer_failed(IssuerError::Failed(why)))
        }
    }
}
