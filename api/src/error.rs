//! Refusals as answers.
//!
//! A handler fails with an [`ApiError`]; its response carries the error along, and the outermost
//! layer, which knows the request's id, writes the body. Answers that the router gives by itself
//! (no such address, method not allowed) get their body there too: every refusal looks the same.

use api_ops::OpError;
use api_ops::meta::Refusal;
use api_ops::meta::outcome::{Expired, Noun, QuotaLevel};
use api_ops::meta::table::conflict::Conflict;
use api_types::v1::error::{Detail, ErrorBody, ErrorCode, ErrorInfo, FieldError, Level, Loc};
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use node_base::{ConflictId, TenantId};

use crate::issuer::MintError;
use crate::present;

/// Why a request was refused, before its id is known.
#[derive(Debug, Clone)]
pub struct ApiError {
    pub code: ErrorCode,
    pub detail: Detail,
    /// What some codes add.
    pub more: Box<ErrorInfo>,
    /// The conflict that was raised, to be shown in the words of the caller's tenant.
    pub conflict: Option<(ConflictId, Box<Conflict>)>,
    /// How long the content is of which a range was asked that it does not have.
    pub size: Option<u64>,
}

impl ApiError {
    /// A refusal with one sentence.
    pub fn new(code: ErrorCode, sentence: impl Into<String>) -> Self {
        let more = Box::new(ErrorInfo::new(code, String::new()));
        Self { code, detail: Detail::Sentence(sentence.into()), more, conflict: None, size: None }
    }

    /// A value that is not valid, and where it stands.
    pub fn invalid(place: &str, field: &[&str], message: impl Into<String>) -> Self {
        let way = std::iter::once(&place).chain(field);
        let loc = way.map(|part| Loc::Field((*part).to_owned())).collect();
        Self::invalid_at(loc, message)
    }

    /// The same with numbered places on the way.
    pub fn invalid_at(loc: Vec<Loc>, message: impl Into<String>) -> Self {
        let field = FieldError { loc, msg: message.into(), kind: "value_error".to_owned() };
        let more = Box::new(ErrorInfo::new(ErrorCode::Validation, String::new()));
        let detail = Detail::Fields(vec![field]);
        Self { code: ErrorCode::Validation, detail, more, conflict: None, size: None }
    }

    /// A range that a content of `size` bytes does not have.
    pub fn range_not_satisfiable(size: u64, sentence: impl Into<String>) -> Self {
        Self { size: Some(size), ..Self::new(ErrorCode::RangeNotSatisfiable, sentence) }
    }

    /// What anybody is told of what is not there, or not theirs to see.
    pub fn not_found(noun: Noun) -> Self {
        Self::new(ErrorCode::NotFound, format!("There is no such {}.", noun_name(noun)))
    }

    /// The body that goes out, for a request with this id by a caller of this tenant.
    pub fn body(self, request_id: &str, tenant: Option<TenantId>) -> ErrorBody {
        let mut error = ErrorInfo { request_id: request_id.to_owned(), ..*self.more };
        if let (Some((id, row)), Some(tenant)) = (&self.conflict, tenant) {
            error.conflict = Some(Box::new(present::conflict(tenant, *id, row)));
        }
        ErrorBody { detail: self.detail, error }
    }
}

impl IntoResponse for ApiError {
    fn into_response(mut self) -> Response {
        let status = StatusCode::from_u16(self.code.status()).expect("codes have real statuses");
        if status == StatusCode::SERVICE_UNAVAILABLE {
            self.more.retry_after.get_or_insert(1);
        }
        let mut response = status.into_response();
        if let Some(seconds) = self.more.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(size) = self.size
            && let Ok(value) = HeaderValue::try_from(format!("bytes */{size}"))
        {
            response.headers_mut().insert(header::CONTENT_RANGE, value);
        }
        if self.code == ErrorCode::AuthTokenInvalid {
            let bearer = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, bearer);
        }
        response.extensions_mut().insert(self);
        response
    }
}

/// The noun in a sentence.
pub const fn noun_name(noun: Noun) -> &'static str {
    match noun {
        Noun::Partner => "partner",
        Noun::Tenant => "tenant",
        Noun::User => "user",
        Noun::Group => "group",
        Noun::Share => "share",
        Noun::Member => "member",
        Noun::Invitation => "invitation",
        Noun::Folder => "folder",
        Noun::File => "file",
        Noun::Version => "version",
        Noun::Upload => "upload session",
        Noun::Device => "device",
        Noun::Conflict => "conflict",
        Noun::Entry => "permission entry",
        Noun::Quota => "quota",
        Noun::Grant => "grant",
        Noun::Node => "node",
    }
}

const fn level(level: QuotaLevel) -> Level {
    match level {
        QuotaLevel::Share => Level::Share,
        QuotaLevel::User => Level::User,
        QuotaLevel::Group => Level::Group,
        QuotaLevel::Tenant => Level::Tenant,
        QuotaLevel::Partner => Level::Partner,
    }
}

impl From<OpError> for ApiError {
    fn from(error: OpError) -> Self {
        match error {
            OpError::Refused(refusal) => refusal.into(),
            OpError::Unavailable { retry_after } => {
                let sentence = "The cluster cannot agree on anything just now; try again soon.";
                let mut error = Self::new(ErrorCode::Unavailable, sentence);
                error.more.retry_after = Some(retry_after.as_secs().max(1));
                error
            }
            OpError::Unknown => Self::new(
                ErrorCode::Unavailable,
                "It is not known whether the change was made; ask again under the same \
                 Idempotency-Key.",
            ),
            OpError::DrivesFull => {
                let sentence = "The drives of the server are full; nothing was stored.";
                let mut error = Self::new(ErrorCode::Unavailable, sentence);
                error.more.retry_after = Some(60);
                error
            }
            OpError::Unreadable(source) => {
                tracing::error!(error = &*source, "stored bytes cannot be read");
                let sentence = "Stored bytes cannot be read just now; try again soon.";
                let mut error = Self::new(ErrorCode::Unavailable, sentence);
                error.more.retry_after = Some(5);
                error
            }
            OpError::TooLarge { max } => {
                let sentence = format!("More than {max} bytes cannot be agreed on at once.");
                Self::new(ErrorCode::PayloadTooLarge, sentence)
            }
            OpError::Failed(source) => {
                tracing::error!(error = &*source, "this node has failed");
                Self::new(ErrorCode::Unavailable, "This node has failed; ask another.")
            }
        }
    }
}

impl From<MintError> for ApiError {
    fn from(error: MintError) -> Self {
        match error {
            MintError::Op(error) => error.into(),
            error @ MintError::Sign(_) => {
                tracing::error!(error = &error as &dyn std::error::Error, "a token is not signed");
                Self::new(ErrorCode::Unavailable, "The server could not sign a token.")
            }
        }
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NotFound(noun) => Self::not_found(noun),
            Refusal::Invalid { field, reason } => {
                let way: Vec<&str> = field.iter().map(String::as_str).collect();
                Self::invalid("body", &way, reason.to_string())
            }
            Refusal::QuotaExceeded { level: at, limit_bytes, used_bytes } => {
                let sentence = format!(
                    "This would pass the quota of the {}: {used_bytes} of {limit_bytes} bytes \
                     are used.",
                    level_name(at)
                );
                let mut error = Self::new(ErrorCode::QuotaExceeded, sentence);
                error.more.level = Some(level(at));
                error
            }
            Refusal::ChunksMissing { indexes } => {
                let mut error = Self::invalid("body", &[], "chunks are missing; send them first");
                error.more.missing = Some(indexes);
                error
            }
            Refusal::VersionConflict { conflict, row } => {
                let sentence = "The file was changed since the base version.";
                let mut error = Self::new(ErrorCode::VersionConflict, sentence);
                error.conflict = Some((conflict, row));
                error
            }
            Refusal::ScopeMissing(scope) => {
                let sentence = format!("The token lacks the scope {}.", scope.name());
                Self::new(ErrorCode::ScopeMissing, sentence)
            }
            Refusal::FileTooLarge { limit } => {
                let sentence = format!("A file may have at most {limit} bytes here.");
                Self::new(ErrorCode::PayloadTooLarge, sentence)
            }
            Refusal::ChecksumMismatch => {
                let message = "the bytes are not those of the declared SHA-256";
                let mut error = Self::invalid("body", &[], message);
                (error.code, error.more.code) =
                    (ErrorCode::ChecksumMismatch, ErrorCode::ChecksumMismatch);
                error
            }
            Refusal::KeyReused => {
                let message = "this key was used for another request";
                Self::invalid("header", &["Idempotency-Key"], message)
            }
            plain => {
                let (code, sentence) = sentence(&plain);
                Self::new(code, sentence)
            }
        }
    }
}

/// Refusals that need no more than a sentence.
const fn sentence(refusal: &Refusal) -> (ErrorCode, &'static str) {
    use ErrorCode as Code;
    match refusal {
        Refusal::PermissionDenied => {
            (Code::PermissionDenied, "You are not allowed to do this here.")
        }
        Refusal::RoleMissing => {
            (Code::PermissionDenied, "Your administrative role does not allow this.")
        }
        Refusal::WrongCaller => (Code::PermissionDenied, "This is not for users."),
        Refusal::Suspended => (Code::AuthzUserSuspended, "Your account is suspended."),
        Refusal::Throttled { .. } => {
            (Code::RateLimited, "There were too many wrong attempts; try again later.")
        }
        Refusal::OwnerOnly => (Code::OwnerOnly, "Only the owner may do this."),
        Refusal::NameConflict { .. } => {
            (Code::NameConflict, "Something of this name is there already.")
        }
        Refusal::AlreadyExists => (Code::AlreadyExists, "It is there already."),
        Refusal::Cycle => (Code::Cycle, "A folder cannot be put into itself."),
        Refusal::Trashed => (Code::Trashed, "It is in the trash; restore it first."),
        Refusal::Expired(what @ Expired::Cursor) => (Code::CursorExpired, expired(*what)),
        Refusal::Expired(what) => (Code::Expired, expired(*what)),
        Refusal::PreconditionFailed => {
            (Code::PreconditionFailed, "It has changed since you read it.")
        }
        Refusal::ChunksGone { .. } | Refusal::WriterClosed => {
            (Code::Unavailable, "The upload was interrupted on the server; send it again.")
        }
        Refusal::NotFound(_)
        | Refusal::Invalid { .. }
        | Refusal::QuotaExceeded { .. }
        | Refusal::ChunksMissing { .. }
        | Refusal::VersionConflict { .. }
        | Refusal::ScopeMissing(_)
        | Refusal::FileTooLarge { .. }
        | Refusal::ChecksumMismatch
        | Refusal::KeyReused => (Code::Internal, "The server has no words for this refusal."),
    }
}

const fn expired(what: Expired) -> &'static str {
    match what {
        Expired::Upload => "The upload session has ended; start another.",
        Expired::Invitation => "The invitation has expired; ask for another.",
        Expired::Grant => "The grant has expired.",
        Expired::Cursor => "The history behind the cursor is not kept; list once and go on.",
    }
}

const fn level_name(level: QuotaLevel) -> &'static str {
    match level {
        QuotaLevel::Share => "share",
        QuotaLevel::User => "user",
        QuotaLevel::Group => "group",
        QuotaLevel::Tenant => "tenant",
        QuotaLevel::Partner => "partner",
    }
}
