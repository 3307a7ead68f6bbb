//! Hints as server-sent events.

use api_ops::meta::Refusal;
use api_ops::meta::outcome::Expired;
use api_ops::meta::query::feed::Stream;
use api_ops::{FollowFrom, OpError};
use api_types::v1::realtime::{DeviceEvent, EventsQuery};
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, header};
use node_base::Duration;
use node_world::Instant;

use super::super::sync::{of_query, stream_of};
use super::{CHECKED_EVERY, PAGE, Signed, closing};
use crate::error::ApiError;
use crate::extract::Asks;
use crate::present;
use crate::state::ApiState;

/// After so long without a change a line is sent that says nothing, so that everybody between knows
/// that the connection lives.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
const NOTHING: &[u8] = b": nothing new\n\n";
/// Before a question is put again that could not be answered.
const PAUSE: Duration = Duration::from_secs(1);

/// Somebody who listens.
struct Listener {
    state: ApiState,
    signed: Signed,
    stream: Stream,
    cursor: FollowFrom,
    checked_at: Instant,
}

/// Hints as server-sent events
///
/// Events are named `change` and `force_sync`; an event's id continues behind it
/// (`Last-Event-ID`).
#[utoipa::path(
    get, path = "/sync/events", operation_id = "follow_events", tag = "realtime",
    params(
        EventsQuery,
        ("Last-Event-ID" = Option<String>, Header, description = "From where on; absent: from now"),
    ),
    responses((
        status = 200,
        description = "Events as they come.",
        content_type = "text/event-stream",
        body = DeviceEvent,
    )),
)]
pub(super) async fn events(
    State(state): State<ApiState>,
    signed: Signed,
    Asks(asked): Asks<EventsQuery>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let stream = stream_of(asked.share_id.as_deref())?;
    let last = headers.get("last-event-id").and_then(|value| value.to_str().ok());
    let from = match last.filter(|last| !last.is_empty()) {
        Some(last) => FollowFrom::Cursor(last.to_owned()),
        None => FollowFrom::Now,
    };
    // What is wrong with the question is said before the answer begins.
    let begun = state.ops.changes(&signed.call, stream, from.clone(), 1, Duration::ZERO).await;
    let begun = begun.map_err(of_query)?;
    let cursor = match from {
        FollowFrom::Now => FollowFrom::Cursor(begun.cursor),
        from => from,
    };
    let checked_at = state.world.now();
    let listener = Listener { state, signed, stream, cursor, checked_at };
    let lines = stream::unfold((listener, Bytes::from_static(b"retry: 2000\n\n")), next);
    let headers =
        [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, Body::from_stream(lines)).into_response())
}

type Lines = Result<Bytes, std::convert::Infallible>;

/// Hands out what is ready and asks for what comes after it.
async fn next((mut listener, ready): (Listener, Bytes)) -> Option<(Lines, (Listener, Bytes))> {
    if !ready.is_empty() {
        return Some((Ok(ready), (listener, Bytes::new())));
    }
    let lines = listener.lines().await?;
    Some((Ok(lines), (listener, Bytes::new())))
}

impl Listener {
    /// The next lines; nothing when the token or the node has come to its end.
    async fn lines(&mut self) -> Option<Bytes> {
        let Self { state, signed, .. } = self;
        if state.ops.is_stopping() {
            return None;
        }
        if state.world.now().since(self.checked_at) >= CHECKED_EVERY {
            let checked = state.identity.authenticate(&signed.token).await;
            if checked.is_err_and(|error| closing(&error).is_some()) {
                return None;
            }
            self.checked_at = state.world.now();
        }
        let from = self.cursor.clone();
        let page = state.ops.changes(&signed.call, self.stream, from, PAGE, KEEP_ALIVE).await;
        match page {
            Ok(page) => {
                let tenant = signed.call.caller.tenant;
                let mut lines = Vec::new();
                let count = page.changes.len();
                for (number, told) in page.changes.iter().enumerate() {
                    if number + 1 == count {
                        lines.extend_from_slice(format!("id: {}\n", page.cursor).as_bytes());
                    }
                    let share_id = told.share.to_string();
                    let data = Box::new(present::change(tenant, told));
                    write_event(&mut lines, "change", &DeviceEvent::Change { share_id, data });
                }
                self.cursor = FollowFrom::Cursor(page.cursor);
                Some(if lines.is_empty() { NOTHING.into() } else { lines.into() })
            }
            Err(OpError::Refused(Refusal::Expired(Expired::Cursor))) => {
                self.cursor = FollowFrom::Now;
                let mut lines = Vec::new();
                write_event(&mut lines, "force_sync", &DeviceEvent::ForceSync { share_id: None });
                Some(lines.into())
            }
            Err(OpError::Unavailable { .. } | OpError::Unknown) => {
                state.world.sleep(PAUSE).await;
                Some(NOTHING.into())
            }
            // The share is out of sight now, or the node has failed: asking again tells which.
            Err(_) => None,
        }
    }
}

fn write_event(lines: &mut Vec<u8>, name: &str, event: &DeviceEvent) {
    lines.extend_from_slice(format!("event: {name}\ndata: ").as_bytes());
    serde_json::to_writer(&mut *lines, event).expect("events are plain data");
    lines.extend_from_slice(b"\n\n");
}
