//! What the issuer says of itself, and its addresses for programs.

use api_types::v1::auth::TokenRequest;
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, header};
use serde::Deserialize;
use serde_json::json;

use super::form::{self, FormError, own};
use super::grant::{DEVICE_GRANT, OAuthError, revoke as revoke_grant};
use super::{exchange, grant, sign};
use crate::error::ApiError;
use crate::extract::Asking;
use crate::page::page;
use crate::state::ApiState;

/// `GET /oidc/.well-known/openid-configuration`.
pub(super) async fn discovery(State(state): State<ApiState>) -> Result<Response, ApiError> {
    let issuer = own(&state)?.issuer();
    let document = json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("{issuer}/token"),
        "device_authorization_endpoint": format!("{issuer}/device_authorization"),
        "userinfo_endpoint": format!("{issuer}/userinfo"),
        "revocation_endpoint": format!("{issuer}/revoke"),
        "end_session_endpoint": format!("{issuer}/logout"),
        "jwks_uri": format!("{issuer}/jwks"),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code", "refresh_token", DEVICE_GRANT],
        "code_challenge_methods_supported": ["S256"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["EdDSA"],
        "token_endpoint_auth_methods_supported": ["none"],
        "revocation_endpoint_auth_methods_supported": ["none"],
        "authorization_response_iss_parameter_supported": true,
        "claims_supported": ["sub", "iss", "aud", "exp", "iat", "nonce", "email", "name"],
        "scopes_supported": [
            "openid", "profile", "email", "offline_access",
            "files:read", "files:write", "tenant:admin", "partner:admin", "admin:*",
        ],
    });
    Ok(([(header::CACHE_CONTROL, "max-age=300")], Json(document)).into_response())
}

/// `GET /oidc/jwks`.
pub(super) async fn jwks(State(state): State<ApiState>) -> Result<Response, ApiError> {
    own(&state)?;
    let keys = sign::published(&state.ops).await?;
    Ok(([(header::CACHE_CONTROL, "max-age=300")], Json(keys)).into_response())
}

/// `POST /oidc/token`.
pub(super) async fn token(
    State(state): State<ApiState>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let issuer = own(&state)?;
    let request: TokenRequest = match form::read(&headers, body).await {
        Ok(request) => request,
        Err(FormError::Body(error)) => return Err(error),
        Err(FormError::Shape) => {
            let what = "a form with grant_type is expected, no field twice";
            return Ok(OAuthError::new("invalid_request", what).into_response());
        }
    };
    Ok(match exchange(issuer, &state.ops, &request).await {
        Ok(tokens) => ([(header::CACHE_CONTROL, "no-store")], Json(tokens)).into_response(),
        Err(error) => error.into_response(),
    })
}

/// `GET` and `POST /oidc/userinfo`.
pub(super) async fn userinfo(
    State(state): State<ApiState>,
    Asking(call): Asking,
) -> Result<Response, ApiError> {
    own(&state)?;
    let who = (call.caller.tenant, call.caller.user);
    let Some(user) = grant::active_user(&state.ops, who).await? else {
        return Err(ApiError::not_found(api_ops::meta::outcome::Noun::User));
    };
    let claims = json!({
        "sub": call.caller.user.to_string(),
        "email": user.email,
        "name": user.display_name,
        "tenant_id": call.caller.tenant.to_string(),
    });
    Ok(Json(claims).into_response())
}

#[derive(Debug, Deserialize)]
struct Revocation {
    token: String,
}

/// `POST /oidc/revoke` (RFC 7009): refresh tokens and codes. An access token ends by itself.
pub(super) async fn revoke(
    State(state): State<ApiState>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    own(&state)?;
    let revocation: Revocation = match form::read(&headers, body).await {
        Ok(revocation) => revocation,
        Err(FormError::Body(error)) => return Err(error),
        Err(FormError::Shape) => {
            let what = "a form with token is expected";
            return Ok(OAuthError::new("invalid_request", what).into_response());
        }
    };
    revoke_grant(&state.ops, &revocation.token).await?;
    Ok(StatusCode::OK.into_response())
}

/// `GET` and `POST /oidc/logout` (OpenID Connect RP-Initiated Logout): the browser stays here.
pub(super) async fn end_session(
    State(state): State<ApiState>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let issuer = own(&state)?;
    let body = "<main class=\"narrow\"><h1>ScaiDrive</h1><p>You are signed out.</p></main>";
    let mut response = page(StatusCode::OK, "Signed out", body, "");
    form::end_session(&state, issuer, &headers, &mut response).await?;
    Ok(response)
}
