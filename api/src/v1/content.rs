//! The content of a file: whole, in ranges, or not at all when the caller has it.

use std::ops::Range;

use api_ops::OpenContent;
use api_types::v1::error::ErrorCode;
use api_types::v1::files::VersionQuery;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::Response;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use node_base::limits::RANGES_MAX;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::files::{file_id, which};
use crate::error::ApiError;
use crate::extract::{Asking, Asks};
use crate::state::ApiState;

/// Fetch a file's content
///
/// One range or several, `If-Range`, `If-None-Match`; the tag is the version's id. HEAD answers the
/// headers alone.
#[utoipa::path(
    get, path = "/files/{id}/content", operation_id = "get_content", tag = "files",
    params(
        ("id" = String, Path),
        VersionQuery,
        ("Range" = Option<String>, Header, description = "`bytes=…`, at most 16 ranges"),
    ),
    responses(
        (status = 200, content_type = "application/octet-stream", description = "The content"),
        (status = 206, content_type = "application/octet-stream", description = "The ranges"),
        (status = 304, description = "The caller has this version")
    ),
)]
pub(super) async fn get_content(
    State(state): State<ApiState>,
    method: Method,
    Asking(call): Asking,
    Path(text): Path<String>,
    Asks(query): Asks<VersionQuery>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let which = which(query.version)?;
    let open = state.ops.open_content(&call, file_id(&text)?, which).await?;
    respond(&state, &open, &method, &headers, None)
}

/// Answers a request for a content. `only` is a range that the address names.
pub(super) fn respond(
    state: &ApiState,
    open: &OpenContent,
    method: &Method,
    headers: &HeaderMap,
    only: Option<Range<u64>>,
) -> Result<Response, ApiError> {
    let tag = format!("\"{}\"", open.numbered.version.id);
    let size = open.size();
    let mut response = Response::new(Body::empty());
    if headers.contains_key(header::IF_MATCH) && !names_tag(headers, &header::IF_MATCH, &tag) {
        let sentence = "The file's content is not the version that If-Match names.";
        return Err(ApiError::new(ErrorCode::PreconditionFailed, sentence));
    }
    set(&mut response, header::ETAG, &tag);
    set(&mut response, header::ACCEPT_RANGES, "bytes");
    set(&mut response, header::LAST_MODIFIED, &http_date(open));
    set(&mut response, header::CONTENT_DISPOSITION, &disposition(open));
    // What people upload must not run in the origin that serves it.
    set(&mut response, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(&mut response, header::CONTENT_SECURITY_POLICY, "sandbox; default-src 'none'");
    if names_tag(headers, &header::IF_NONE_MATCH, &tag) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return Ok(response);
    }
    let fresh =
        headers.get(header::IF_RANGE).is_none_or(|value| value.as_bytes() == tag.as_bytes());
    let asked = headers.get(header::RANGE).filter(|_| fresh);
    let ranges = match (only, asked) {
        (Some(range), _) => Some(vec![range]),
        (None, Some(value)) => parse_ranges(value, size).map_err(|error| error.answer(size))?,
        (None, None) => None,
    };
    let mime = open.numbered.version.mime_type.as_str();
    let (status, mime, length, pieces) = match ranges {
        None => (StatusCode::OK, mime.to_owned(), size, vec![Piece::Range(0..size)]),
        Some(ranges) if ranges.len() == 1 => {
            let range = ranges[0].clone();
            let value = content_range(&range, size);
            set(&mut response, header::CONTENT_RANGE, &value);
            let length = range.end - range.start;
            (StatusCode::PARTIAL_CONTENT, mime.to_owned(), length, vec![Piece::Range(range)])
        }
        Some(ranges) => {
            let boundary = format!("{:032x}", state.world.random());
            let pieces = multipart(&boundary, mime, &ranges, size);
            let length = pieces.iter().map(Piece::len).sum();
            let mime = format!("multipart/byteranges; boundary={boundary}");
            (StatusCode::PARTIAL_CONTENT, mime, length, pieces)
        }
    };
    *response.status_mut() = status;
    set(&mut response, header::CONTENT_TYPE, &mime);
    set(&mut response, header::CONTENT_LENGTH, &length.to_string());
    if method != Method::HEAD {
        state.metrics.downloaded_bytes.inc_by(length);
        let parts: Vec<_> = pieces.into_iter().map(|piece| piece.stream(open)).collect();
        *response.body_mut() = Body::from_stream(stream::iter(parts).flatten());
    }
    Ok(response)
}

fn set(response: &mut Response, name: HeaderName, value: &str) {
    // Names of files are encoded; what is left are our own texts and checked media types.
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

fn names_tag(headers: &HeaderMap, name: &HeaderName, tag: &str) -> bool {
    let value = headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    // A weak tag is as good to spare a transfer, and never to go on with one (RFC 9110, 13.1.1).
    let is_strong = *name == header::IF_MATCH;
    let weak = |other: &str| match other.trim() {
        other if is_strong => other == tag,
        other => other.trim_start_matches("W/") == tag,
    };
    value.trim() == "*" || value.split(',').any(weak)
}

fn http_date(open: &OpenContent) -> String {
    let millis = open.numbered.version.created_at.millis().max(0).unsigned_abs();
    let since = std::time::Duration::from_millis(millis);
    httpdate::fmt_http_date(std::time::UNIX_EPOCH + since)
}

/// What may stand in RFC 5987's extended value.
const ATTR: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'!')
    .remove(b'#')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b'-')
    .remove(b'.')
    .remove(b'^')
    .remove(b'_')
    .remove(b'`')
    .remove(b'|')
    .remove(b'~');

/// RFC 6266: a plain name for old clients, the real one beside it.
fn disposition(open: &OpenContent) -> String {
    let name = open.numbered.file_name.as_str();
    let plain: String = name
        .chars()
        .map(|c| if c.is_ascii_graphic() && !"\"\\%".contains(c) || c == ' ' { c } else { '_' })
        .collect();
    format!(
        "attachment; filename=\"{plain}\"; filename*=UTF-8''{}",
        utf8_percent_encode(name, ATTR)
    )
}

fn content_range(range: &Range<u64>, size: u64) -> String {
    format!("bytes {}-{}/{size}", range.start, range.end - 1)
}

/// One stretch of a body: text between ranges, or a range.
enum Piece {
    Text(String),
    Range(Range<u64>),
}

impl Piece {
    fn len(&self) -> u64 {
        match self {
            Self::Text(text) => text.len() as u64,
            Self::Range(range) => range.end - range.start,
        }
    }

    fn stream(
        self,
        open: &OpenContent,
    ) -> futures_util::stream::BoxStream<'static, Result<Bytes, api_ops::OpError>> {
        match self {
            Self::Text(text) => stream::iter([Ok(Bytes::from(text))]).boxed(),
            Self::Range(range) => open.read(range).boxed(),
        }
    }
}

fn multipart(boundary: &str, mime: &str, ranges: &[Range<u64>], size: u64) -> Vec<Piece> {
    let mut pieces = Vec::new();
    for range in ranges {
        let value = content_range(range, size);
        pieces.push(Piece::Text(format!(
            "\r\n--{boundary}\r\ncontent-type: {mime}\r\ncontent-range: {value}\r\n\r\n"
        )));
        pieces.push(Piece::Range(range.clone()));
    }
    pieces.push(Piece::Text(format!("\r\n--{boundary}--\r\n")));
    pieces
}

/// Why ranges cannot be served.
#[derive(Debug, PartialEq, Eq)]
enum RangeError {
    NotSatisfiable,
    TooMany,
}

impl RangeError {
    fn answer(&self, size: u64) -> ApiError {
        let sentence = match self {
            Self::NotSatisfiable => format!("The range lies outside the file's {size} bytes."),
            Self::TooMany => format!("At most {RANGES_MAX} ranges are served at once."),
        };
        ApiError::range_not_satisfiable(size, sentence)
    }
}

/// RFC 9110, section 14: nothing for a header that is not understood, which is passed over.
fn parse_ranges(value: &HeaderValue, size: u64) -> Result<Option<Vec<Range<u64>>>, RangeError> {
    let Some(set) = value.to_str().ok().and_then(|text| text.trim().strip_prefix("bytes=")) else {
        return Ok(None);
    };
    let specs: Vec<&str> = set.split(',').map(str::trim).filter(|spec| !spec.is_empty()).collect();
    if specs.len() > RANGES_MAX {
        return Err(RangeError::TooMany);
    }
    let mut ranges = Vec::new();
    for spec in specs {
        let Some((first, last)) = spec.split_once('-') else { return Ok(None) };
        let number = |text: &str| text.parse::<u64>().ok();
        let range = match (first.is_empty(), last.is_empty()) {
            (true, true) => return Ok(None),
            (true, false) => {
                let Some(suffix) = number(last) else { return Ok(None) };
                size.saturating_sub(suffix)..size
            }
            (false, open_end) => {
                let Some(first) = number(first) else { return Ok(None) };
                let last = if open_end { Some(u64::MAX) } else { number(last) };
                let Some(last) = last else { return Ok(None) };
                if last < first {
                    return Ok(None);
                }
                first..last.saturating_add(1).min(size)
            }
        };
        if range.start < range.end {
            ranges.push(range);
        }
    }
    if ranges.is_empty() { Err(RangeError::NotSatisfiable) } else { Ok(Some(ranges)) }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::{RangeError, parse_ranges};

    fn check(text: &str, expected: Result<Option<Vec<(u64, u64)>>, RangeError>) {
        let value = HeaderValue::from_str(text).expect("a header");
        let parsed = parse_ranges(&value, 100);
        let parsed =
            parsed.map(|all| all.map(|all| all.iter().map(|r| (r.start, r.end)).collect()));
        assert_eq!(parsed, expected, "{text}");
    }

    #[test]
    fn ranges_of_a_hundred_bytes() {
        check("bytes=0-0", Ok(Some(vec![(0, 1)])));
        check("bytes=10-", Ok(Some(vec![(10, 100)])));
        check("bytes=-5", Ok(Some(vec![(95, 100)])));
        check("bytes=-500", Ok(Some(vec![(0, 100)])));
        check("bytes=90-1000, 0-1", Ok(Some(vec![(90, 100), (0, 2)])));
        check("bytes=100-", Err(RangeError::NotSatisfiable));
        check("bytes=-0", Err(RangeError::NotSatisfiable));
        check("bytes=18446744073709551615-", Err(RangeError::NotSatisfiable));
        let hundred = vec!["0-0"; 100].join(",");
        check(&format!("bytes={hundred}"), Err(RangeError::TooMany));
        for passed_over in ["items=0-1", "bytes=5-2", "bytes=a-b", "bytes=-", "bytes=1"] {
            check(passed_over, Ok(None));
        }
    }
}
