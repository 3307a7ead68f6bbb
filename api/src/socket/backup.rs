//! What `scaidrived backup` asks: a hold, the tables, and chunks.

use api_ops::Moment;
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::{BufMut, BytesMut};
use futures_util::{StreamExt, stream};
use http::header;
use node_base::{Sha256, TenantId, limits};
use serde::{Deserialize, Serialize};

use crate::error::ApiError;
use crate::extract::Told;
use crate::state::ApiState;

/// Chunks of one question, and bytes of one answer: what is left out can be asked for again.
const CHUNKS_MAX: usize = 1_000;
const ANSWER_MAX: usize = 2 * limits::CHUNK_MAX;
/// Chunks that are read at the same time.
const AT_ONCE: usize = 4;

/// A new hold, one to go on with, or, with no seconds, one to end.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HoldOrder {
    pub hold: Option<u64>,
    pub seconds: u32,
}

/// A hold on what may be collected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    pub hold: u64,
}

/// Chunks of a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChunksWanted {
    pub tenant: String,
    pub hashes: Vec<String>,
}

pub(super) async fn hold(
    State(state): State<ApiState>,
    Told(order): Told<HoldOrder>,
) -> Result<Json<Held>, ApiError> {
    Ok(Json(Held { hold: state.ops.hold(order.hold, order.seconds).await? }))
}

fn bytes(body: Body) -> Response {
    ([(header::CONTENT_TYPE, "application/octet-stream")], body).into_response()
}

/// The tables of one moment, as they are stored in a backup.
pub(super) async fn tables(State(state): State<ApiState>) -> Result<Response, ApiError> {
    let moment = state.ops.copy_tables().await?;
    let parts = stream::try_unfold(moment, |mut moment: Moment| async move {
        Ok::<_, api_ops::meta::TableError>(moment.next().await?.map(|part| (part, moment)))
    });
    Ok(bytes(Body::from_stream(parts)))
}

/// For each chunk in the order asked for, as many as one answer takes: its length in four bytes,
/// little-endian, all ones for one that is gone; and the chunk.
pub(super) async fn chunks(
    State(state): State<ApiState>,
    Told(wanted): Told<ChunksWanted>,
) -> Result<Response, ApiError> {
    let invalid = |field, message: &str| ApiError::invalid("body", &[field], message);
    let tenant: TenantId =
        wanted.tenant.parse().map_err(|_| invalid("tenant", "is no tenant's id"))?;
    if wanted.hashes.len() > CHUNKS_MAX {
        return Err(invalid("hashes", "are more than one answer takes"));
    }
    let parsed = wanted.hashes.iter().map(|hash| hash.parse::<Sha256>());
    let hashes = parsed.collect::<Result<Vec<_>, _>>();
    let hashes = hashes.map_err(|_| invalid("hashes", "are SHA-256, in hex"))?;
    let reads = stream::iter(hashes).map(|hash| {
        let ops = state.ops.clone();
        async move { ops.copy_chunk(tenant, hash).await }
    });
    let mut reads = std::pin::pin!(reads.buffered(AT_ONCE));
    let mut answer = BytesMut::new();
    while let Some(read) = reads.next().await {
        match read? {
            Some(chunk) => {
                answer.put_u32_le(u32::try_from(chunk.len()).unwrap_or(u32::MAX - 1));
                answer.extend_from_slice(&chunk);
            }
            None => answer.put_u32_le(u32::MAX),
        }
        if answer.len() >= ANSWER_MAX {
            break;
        }
    }
    Ok(bytes(Body::from(answer.freeze())))
}
