//! Section 13: hints of changes, as they come.
//!
//! Each connection follows the change log for its caller from the moment it subscribes: the
//! permissions in force hold for frames as for reads. Nothing is queued for a connection but the
//! page of changes that is being sent: one who reads slowly gets later what is in the log anyway,
//! and one who does not read is let go.

mod events;
mod line;
mod side;

use api_ops::meta::outcome::Noun;
use api_ops::{Call, Consistency};
use api_types::v1::error::ErrorCode;
use api_types::v1::realtime::{CLOSE_BAD_TOKEN, SocketQuery};
use axum::extract::ws::{CloseFrame, Message, WebSocketUpgrade};
use axum::extract::{FromRequestParts, Path, Query, State};
use axum::response::Response;
use http::header;
use http::request::Parts;
use node_base::Duration;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use self::line::Line;
use self::side::Side;
use crate::error::ApiError;
use crate::extract::{bearer, caller, path_id};
use crate::state::ApiState;

pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(device_socket))
        .routes(routes!(viewer_socket))
        .routes(routes!(events::events))
}

/// How long the token and the user are believed before both are looked at again.
const CHECKED_EVERY: Duration = Duration::from_secs(30);
/// Changes that are sent before it is looked whether anybody still listens.
const PAGE: usize = 200;
/// The longest frame that is taken.
const FRAME_MAX: usize = 16 << 10;
/// What a socket is closed with when its user is suspended.
const CLOSE_SUSPENDED: u16 = 4403;

/// Somebody who follows: the token comes in a header or in the address.
struct Signed {
    call: Call,
    token: String,
}

impl FromRequestParts<ApiState> for Signed {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, ApiError> {
        let told = Query::<SocketQuery>::try_from_uri(&parts.uri);
        let told = told.ok().and_then(|Query(query)| query.token);
        let token = match told {
            Some(_) if parts.headers.contains_key(header::AUTHORIZATION) => {
                let sentence = "The token comes in the header or in the address, not in both.";
                return Err(ApiError::new(ErrorCode::AuthTokenInvalid, sentence));
            }
            Some(token) => token,
            None => bearer(&parts.headers)?.to_owned(),
        };
        let caller = caller(parts, state, &token).await?;
        // Hints come from what this node has applied; nobody else is asked for each of them.
        let call = Call { consistency: Consistency::Stale, ..Call::new(caller) };
        Ok(Self { call, token })
    }
}

/// Why a caller is not followed any more.
fn closing(error: &ApiError) -> Option<(u16, &'static str)> {
    match error.code {
        ErrorCode::AuthTokenInvalid => Some((CLOSE_BAD_TOKEN, "the token is not valid")),
        ErrorCode::AuthzUserSuspended => Some((CLOSE_SUSPENDED, "the user is suspended")),
        // Whoever could tell is not there just now.
        _ => None,
    }
}

/// Hints for a device (WebSocket)
///
/// Of all the caller's shares, once the device has sent `{"type":"subscribe"}`.
#[utoipa::path(
    get, path = "/sync/ws/{device_id}", operation_id = "follow_device", tag = "realtime",
    params(("device_id" = String, Path), SocketQuery),
    responses((status = 101, description = "The connection is a WebSocket from here on")),
)]
async fn device_socket(
    State(state): State<ApiState>,
    Path(text): Path<String>,
    signed: Result<Signed, ApiError>,
    upgrade: WebSocketUpgrade,
) -> Result<Response, ApiError> {
    let device = path_id(&text, Noun::Device)?;
    Ok(answer(state, upgrade, signed, Side::device(device)))
}

/// Hints for a viewer (WebSocket)
///
/// Of the shares that the viewer subscribes to.
#[utoipa::path(
    get, path = "/realtime/ws", operation_id = "follow_shares", tag = "realtime",
    params(SocketQuery),
    responses((status = 101, description = "The connection is a WebSocket from here on")),
)]
async fn viewer_socket(
    State(state): State<ApiState>,
    signed: Result<Signed, ApiError>,
    upgrade: WebSocketUpgrade,
) -> Response {
    answer(state, upgrade, signed, Side::viewer())
}

fn answer(
    state: ApiState,
    upgrade: WebSocketUpgrade,
    signed: Result<Signed, ApiError>,
    side: Side,
) -> Response {
    let upgrade = upgrade.max_message_size(FRAME_MAX).max_frame_size(FRAME_MAX);
    upgrade.on_upgrade(async move |mut socket| {
        let world = state.world.clone();
        // A task of this node, not of the server's library: it ends with the node.
        world.spawn(async move {
            match signed {
                Ok(Signed { call, token }) => {
                    Line::new(state, socket, call, token).run(side).await;
                }
                Err(error) => {
                    let refused = (1013, "try again later");
                    let (code, reason) = closing(&error).unwrap_or(refused);
                    let frame = CloseFrame { code, reason: reason.into() };
                    let sent = socket.send(Message::Close(Some(frame)));
                    // Who has gone already need not be told.
                    let _ = state.world.within(Duration::from_secs(1), sent).await;
                }
            }
        });
    })
}
