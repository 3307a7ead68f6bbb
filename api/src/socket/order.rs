//! Tokens without a password, for who owns the data directory.

use api_ops::meta::table::people::UserStatus;
use api_ops::meta::{Scopes, UserCaller};
use api_types::v1::error::ErrorCode;
use axum::Json;
use axum::extract::State;
use node_base::Duration;
use serde::{Deserialize, Serialize};

use super::people::{self, Made};
use crate::error::ApiError;
use crate::extract::Told;
use crate::issuer::{self, OwnIssuer, scopes_of};
use crate::state::ApiState;

/// How long a token is good unless somebody says otherwise, and at most.
const LIFETIME: Duration = Duration::from_secs(3_600);
const LIFETIME_MAX: Duration = Duration::from_secs(366 * 24 * 3_600);

/// Whom a token is for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TokenOrder {
    /// An e-mail address or an id.
    pub user: String,
    pub tenant: Option<String>,
    /// Space-separated; absent: all that the user's stored role allows.
    pub scope: Option<String>,
    /// Absent: an hour.
    pub ttl_seconds: Option<u64>,
    /// Make the user if there is none of this address.
    pub create: bool,
}

/// A token of the built-in issuer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    pub access_token: String,
    pub expires_in: u64,
    pub scope: String,
    pub user_id: String,
    pub tenant_id: String,
    /// Whether the user was made just now.
    pub created: bool,
}

/// The built-in issuer, which must be on.
pub(super) fn own(state: &ApiState) -> Result<&OwnIssuer, ApiError> {
    let sentence = "The built-in issuer is off: set identity.built_in = true to use it.";
    state.identity.own().ok_or_else(|| ApiError::new(ErrorCode::NotConfigured, sentence))
}

pub(super) async fn token(
    State(state): State<ApiState>,
    Told(order): Told<TokenOrder>,
) -> Result<Json<Token>, ApiError> {
    let issuer = own(&state)?;
    let lifetime = order.ttl_seconds.map_or(LIFETIME, Duration::from_secs);
    if lifetime.is_zero() || lifetime > LIFETIME_MAX {
        let message = format!("must be between 1 and {}", LIFETIME_MAX.as_secs());
        return Err(ApiError::invalid("body", &["ttl_seconds"], message));
    }
    let asked = order.scope.as_deref().map(|scope| {
        Scopes::parse(scope).ok_or_else(|| {
            ApiError::invalid("body", &["scope"], "names no scope that is known here")
        })
    });
    let asked = asked.transpose()?;
    let (found, created) = people::find_or_create(&state, &order).await?;
    if !matches!(found.row.status, UserStatus::Active | UserStatus::Pending) {
        return Err(ApiError::new(ErrorCode::AuthzUserSuspended, "The user is suspended."));
    }
    let scopes = asked.unwrap_or_else(|| scopes_of(found.row.admin_role));
    let caller = UserCaller {
        tenant: found.tenant,
        user: found.id,
        scopes,
        service_account: None,
        ip: None,
        user_agent: None,
    };
    Ok(Json(Token {
        access_token: issuer.mint(&state.ops, &caller, lifetime).await?,
        expires_in: lifetime.as_secs(),
        scope: issuer::scope_text(scopes),
        user_id: found.id.to_string(),
        tenant_id: found.tenant.to_string(),
        created,
    }))
}

pub(super) async fn rotate(State(state): State<ApiState>) -> Result<Json<Made>, ApiError> {
    own(&state)?;
    Ok(Json(Made { id: issuer::rotate(&state.ops).await? }))
}
