//! What handlers take from a request, each with its own refusal.

use api_ops::meta::{Remember, UserCaller};
use api_ops::{Call, Consistency};
use api_types::Patch;
use api_types::v1::error::{ErrorCode, Loc};
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use http::request::Parts;
use http::{HeaderMap, header};
use node_base::{DeviceId, limits};
use serde::de::DeserializeOwned;

use crate::error::ApiError;
use crate::layer::Whose;
use crate::repeat::Keyed;
use crate::state::ApiState;

/// Who asks: a signed-in user, and how the call is to be carried out.
pub struct Asking(pub Call);

impl FromRequestParts<ApiState> for Asking {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, ApiError> {
        let call = asking(parts, state).await?;
        tell(parts, &call, false);
        Ok(Self(call))
    }
}

async fn asking(parts: &mut Parts, state: &ApiState) -> Result<Call, ApiError> {
    let mut call = Call::new(caller(parts, state, bearer(&parts.headers)?).await?);
    call.consistency = consistency(parts.uri.query().unwrap_or_default())?;
    call.if_revision = if_match(&parts.headers)?;
    call.remember = idempotency(parts)?;
    Ok(call)
}

/// Tells whoever sends the answer what may be asked again.
fn tell(parts: &Parts, call: &Call, is_whole: bool) {
    if let Some(keyed) = parts.extensions.get::<Keyed>() {
        keyed.tell(call, is_whole);
    }
}

/// Who the bearer of a token is, as audit events name them.
pub(crate) async fn caller(
    parts: &Parts,
    state: &ApiState,
    token: &str,
) -> Result<UserCaller, ApiError> {
    let mut caller = state.identity.authenticate(token).await?;
    if let Some(whose) = parts.extensions.get::<Whose>() {
        whose.tell(caller.tenant);
    }
    caller.ip = parts.extensions.get::<crate::serve::PeerAddress>().map(|peer| peer.ip());
    caller.user_agent = text(&parts.headers, header::USER_AGENT.as_str());
    Ok(caller)
}

/// How fresh the answer must be, which any address may say.
fn consistency(query: &str) -> Result<Consistency, ApiError> {
    let mut named = query.split('&').filter_map(|pair| pair.strip_prefix("consistency="));
    match named.next() {
        None | Some("linearizable") => Ok(Consistency::Linearizable),
        Some("stale") => Ok(Consistency::Stale),
        Some(_) => Err(invalid_query("consistency", "must be linearizable or stale")),
    }
}

pub(crate) fn bearer(headers: &HeaderMap) -> Result<&str, ApiError> {
    let refused = |sentence: &str| ApiError::new(ErrorCode::AuthTokenInvalid, sentence);
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next().ok_or_else(|| refused("A bearer token is needed."))?;
    if values.next().is_some() {
        return Err(refused("There is more than one Authorization header."));
    }
    let value = value.to_str().map_err(|_| refused("The Authorization header is not text."))?;
    let (scheme, token) = value.split_once(' ').unwrap_or((value, ""));
    if scheme.eq_ignore_ascii_case("bearer") && !token.trim().is_empty() {
        Ok(token.trim())
    } else {
        Err(refused("The Authorization header is not a bearer token."))
    }
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    let value = headers.get(name)?.to_str().ok()?;
    Some(value.chars().take(256).collect())
}

/// The revisions that `If-Match` names; `*` and an absent header ask for none.
fn if_match(headers: &HeaderMap) -> Result<Option<Vec<u64>>, ApiError> {
    let Some(value) = headers.get(header::IF_MATCH) else { return Ok(None) };
    let value = value.to_str().unwrap_or_default();
    if value.trim() == "*" {
        return Ok(None);
    }
    // A tag that we never gave out matches nothing, which is what an empty list says.
    Ok(Some(value.split(',').filter_map(|tag| revision(tag.trim())).collect()))
}

/// The revision in a tag of metadata, `"rREVISION-DIGEST"`. The digest is no part of the condition:
/// a caller changes the row that it saw, whatever is shown beside it now.
fn revision(tag: &str) -> Option<u64> {
    let inner = tag.strip_prefix("\"r")?.strip_suffix('"')?;
    inner.split_once('-').map_or(inner, |(revision, _)| revision).parse().ok()
}

/// The tag of metadata at a revision, as this body shows it.
pub fn metadata_tag(revision: u64, body: &[u8]) -> String {
    let digest = node_base::sha256(body).to_string();
    format!("\"r{revision}-{}\"", &digest[..16])
}

/// The hash of a request's body, put into its extensions by whoever has read it.
#[derive(Clone, Copy)]
struct BodyHash(node_base::Sha256);

fn idempotency(parts: &Parts) -> Result<Option<Remember>, ApiError> {
    let Some(value) = parts.headers.get("idempotency-key") else { return Ok(None) };
    let key = value.to_str().unwrap_or_default();
    let plain = |byte: u8| byte.is_ascii_graphic();
    if !(1..=limits::IDEMPOTENCY_KEY_MAX).contains(&key.len()) || !key.bytes().all(plain) {
        let message = format!("has 1 to {} visible characters", limits::IDEMPOTENCY_KEY_MAX);
        return Err(ApiError::invalid("header", &["Idempotency-Key"], message));
    }
    let body = parts.extensions.get::<BodyHash>().map_or([0; 32], |hash| hash.0.0);
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let request = [parts.method.as_str().as_bytes(), b" ", path.as_bytes(), &body].concat();
    Ok(Some(Remember { key: key.to_owned(), request: node_base::sha256(&request) }))
}

/// A JSON body and who sent it. One extractor, because the idempotency key stands for the body too.
pub struct Asked<T, const MAX: usize = { limits::JSON_MAX }>(pub Call, pub T);

impl<T: DeserializeOwned + Send, const MAX: usize> FromRequest<ApiState> for Asked<T, MAX> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &ApiState) -> Result<Self, ApiError> {
        let (mut parts, body) = request.into_parts();
        // Who may not speak is told so before the body is looked at.
        let mut call = asking(&mut parts, state).await?;
        check_json_type(&parts.headers)?;
        let bytes = read_body(&parts.headers, body, MAX).await?;
        parts.extensions.insert(BodyHash(node_base::sha256(&bytes)));
        call.remember = idempotency(&parts)?;
        tell(&parts, &call, true);
        Ok(Self(call, parse_json(&bytes)?))
    }
}

/// A JSON body whose sender need not say who it is.
pub struct Told<T>(pub T);

impl<T: DeserializeOwned> FromRequest<ApiState> for Told<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &ApiState) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        check_json_type(&parts.headers)?;
        let bytes = read_body(&parts.headers, body, limits::JSON_MAX).await?;
        Ok(Self(parse_json(&bytes)?))
    }
}

fn check_json_type(headers: &HeaderMap) -> Result<(), ApiError> {
    let declared = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = declared.map(|value| value.split(';').next().unwrap_or_default().trim());
    let json = essence.is_none_or(|e| {
        e.eq_ignore_ascii_case("application/json") || e.to_ascii_lowercase().ends_with("+json")
    });
    if json {
        return Ok(());
    }
    Err(ApiError::new(ErrorCode::UnsupportedMediaType, "The body must be application/json."))
}

/// A body that is wanted whole, of at most `max` bytes.
pub async fn read_body(
    headers: &HeaderMap,
    body: axum::body::Body,
    max: usize,
) -> Result<Bytes, ApiError> {
    let too_large = || {
        let sentence = format!("The body may have at most {max} bytes.");
        ApiError::new(ErrorCode::PayloadTooLarge, sentence)
    };
    let declared = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    if declared.and_then(|value| value.parse().ok()).is_some_and(|length: usize| length > max) {
        return Err(too_large());
    }
    let mut stream = body.into_data_stream();
    let mut bytes = BytesMut::new();
    while let Some(frame) = stream.next().await {
        let frame = frame.map_err(|_| broken_body())?;
        if bytes.len() + frame.len() > max {
            return Err(too_large());
        }
        bytes.extend_from_slice(&frame);
    }
    Ok(bytes.freeze())
}

/// The client stopped in the middle of its body.
pub fn broken_body() -> ApiError {
    ApiError::new(ErrorCode::BadRequest, "The body ended before its end.")
}

/// Bytes as the JSON of a type: 400 for what is no JSON, 422 for what is other JSON.
pub fn parse_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let parsed = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let way = way_of(error.path());
        let inner = error.into_inner();
        if inner.is_data() {
            let message = inner.to_string();
            // serde adds where in the text it was; the way to the field says it better.
            let message = message.split(" at line ").next().unwrap_or_default().to_owned();
            return ApiError::invalid_at(way, message);
        }
        ApiError::new(ErrorCode::BadRequest, format!("The body is not JSON: {inner}."))
    })?;
    match deserializer.end() {
        Ok(()) => Ok(parsed),
        Err(_) => Err(ApiError::new(
            ErrorCode::BadRequest,
            "The body is not JSON: there is more behind its end.",
        )),
    }
}

/// JSON that is read already as a type.
pub fn from_value<T: DeserializeOwned>(value: serde_json::Value) -> Result<T, ApiError> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let way = way_of(error.path());
        ApiError::invalid_at(way, error.into_inner().to_string())
    })
}

fn way_of(path: &serde_path_to_error::Path) -> Vec<Loc> {
    use serde_path_to_error::Segment;
    let parts = path.iter().filter_map(|segment| match segment {
        Segment::Seq { index } => Some(Loc::Index(*index as u64)),
        Segment::Map { key } => Some(Loc::Field(key.clone())),
        Segment::Enum { variant } => Some(Loc::Field(variant.clone())),
        Segment::Unknown => None,
    });
    std::iter::once(Loc::Field("body".to_owned())).chain(parts).collect()
}

/// The query of an address.
pub struct Asks<T>(pub T);

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for Asks<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        match Query::try_from_uri(&parts.uri) {
            Ok(Query(query)) => Ok(Self(query)),
            Err(rejection) => {
                let told = rejection.body_text();
                let told = told.strip_prefix(QUERY_PREFIX).unwrap_or(&told);
                Err(match told.split_once(": ") {
                    Some((field, message)) => ApiError::invalid("query", &[field], message),
                    None => ApiError::invalid("query", &[], told),
                })
            }
        }
    }
}

/// How the framework begins what it says of a query.
const QUERY_PREFIX: &str = "Failed to deserialize query string: ";

/// The bounds of a list: how many to pass over, and how many at most.
///
/// # Errors
/// When `limit` is not from 1 to `most`.
pub fn bounds(limit: Option<u32>, offset: Option<u32>, most: u32) -> Result<(u64, u32), ApiError> {
    let limit = limit.unwrap_or(limits::PAGE_DEFAULT.min(most));
    if (1..=most).contains(&limit) {
        Ok((u64::from(offset.unwrap_or(0)), limit))
    } else {
        Err(invalid_query("limit", &format!("must be between 1 and {most}")))
    }
}

/// The part of a list that is asked for, and how long the list is.
pub fn part<T>(all: Vec<T>, (offset, limit): (u64, u32)) -> (Vec<T>, u64) {
    let total = all.len() as u64;
    let offset = usize::try_from(offset).unwrap_or(usize::MAX);
    (all.into_iter().skip(offset).take(limit as usize).collect(), total)
}

/// An id in the path. What is not even an id of the kind is simply not there.
pub fn path_id<I: std::str::FromStr>(
    text: &str,
    noun: api_ops::meta::outcome::Noun,
) -> Result<I, ApiError> {
    text.parse().map_err(|_| ApiError::not_found(noun))
}

/// An id in the body or query.
pub fn id<I>(place: &str, field: &str, text: &str) -> Result<I, ApiError>
where
    I: std::str::FromStr,
    I::Err: std::fmt::Display,
{
    text.parse().map_err(|error: I::Err| ApiError::invalid(place, &[field], error.to_string()))
}

/// A field of a change that can be set and not cleared.
pub fn not_null<T>(field: &str, patch: Patch<T>) -> Result<Option<T>, ApiError> {
    match patch {
        Patch::Absent => Ok(None),
        Patch::Set(value) => Ok(Some(value)),
        Patch::Clear => {
            let way: Vec<&str> = field.split('.').collect();
            Err(ApiError::invalid("body", &way, "cannot be null"))
        }
    }
}

/// What a client calls an entry of a list, to know it again in the answer.
pub fn client_ref(text: &str) -> Result<(), ApiError> {
    let max = limits::CLIENT_REF_MAX;
    if text.len() > max {
        let message = format!("is longer than {max} bytes");
        return Err(ApiError::invalid("body", &["client_ref"], message));
    }
    Ok(())
}

/// A device's own id.
pub fn device(place: &str, text: &str) -> Result<DeviceId, ApiError> {
    id(place, "device_id", text)
}

/// What is wrong with one field of a query.
pub fn invalid_query(field: &str, message: &str) -> ApiError {
    ApiError::invalid("query", &[field], message)
}
