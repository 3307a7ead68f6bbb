//! Section 2: errors. The list of codes is closed, and each answers three questions: which status,
//! may the client try again, did anything happen.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::conflicts::Conflict;

/// Whether the same request may be sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// It will be refused again until something else changes.
    No,
    /// After a while, at once by another node, or as `Retry-After` says.
    Later,
    /// Only under an idempotency key, or where doing it twice is harmless.
    IfIdempotent,
}

/// What the request did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Happened {
    /// Nothing.
    No,
    /// All of it or nothing; asking again under the same idempotency key tells which.
    Perhaps,
}

/// Why a request was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ErrorCode {
    BadRequest,
    AuthTokenInvalid,
    LinkPasswordRequired,
    PermissionDenied,
    ScopeMissing,
    AuthzUserSuspended,
    OwnerOnly,
    LinkNotAllowed,
    LegalHoldBlockedDeletion,
    RetentionBlockedDeletion,
    NotFound,
    MethodNotAllowed,
    NameConflict,
    VersionConflict,
    AlreadyExists,
    AlreadyRunning,
    Cycle,
    NotConfigured,
    Trashed,
    Expired,
    CursorExpired,
    PreconditionFailed,
    PayloadTooLarge,
    UriTooLong,
    UnsupportedMediaType,
    RangeNotSatisfiable,
    Validation,
    ChecksumMismatch,
    RateLimited,
    HeadersTooLarge,
    /// A bug: no input may cause it.
    Internal,
    UpstreamFailed,
    Unavailable,
    UpstreamTimeout,
    QuotaExceeded,
    BudgetExceeded,
}

impl ErrorCode {
    /// All of them, by status.
    pub const ALL: [Self; 36] = [
        Self::BadRequest,
        Self::AuthTokenInvalid,
        Self::LinkPasswordRequired,
        Self::PermissionDenied,
        Self::ScopeMissing,
        Self::AuthzUserSuspended,
        Self::OwnerOnly,
        Self::LinkNotAllowed,
        Self::LegalHoldBlockedDeletion,
        Self::RetentionBlockedDeletion,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::NameConflict,
        Self::VersionConflict,
        Self::AlreadyExists,
        Self::AlreadyRunning,
        Self::Cycle,
        Self::NotConfigured,
        Self::Trashed,
        Self::Expired,
        Self::CursorExpired,
        Self::PreconditionFailed,
        Self::PayloadTooLarge,
        Self::UriTooLong,
        Self::UnsupportedMediaType,
        Self::RangeNotSatisfiable,
        Self::Validation,
        Self::ChecksumMismatch,
        Self::RateLimited,
        Self::HeadersTooLarge,
        Self::Internal,
        Self::UpstreamFailed,
        Self::Unavailable,
        Self::UpstreamTimeout,
        Self::QuotaExceeded,
        Self::BudgetExceeded,
    ];

    /// The HTTP status.
    pub const fn status(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::AuthTokenInvalid | Self::LinkPasswordRequired => 401,
            Self::PermissionDenied
            | Self::ScopeMissing
            | Self::AuthzUserSuspended
            | Self::OwnerOnly
            | Self::LinkNotAllowed
            | Self::LegalHoldBlockedDeletion
            | Self::RetentionBlockedDeletion => 403,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::NameConflict
            | Self::VersionConflict
            | Self::AlreadyExists
            | Self::AlreadyRunning
            | Self::Cycle
            | Self::NotConfigured => 409,
            Self::Trashed | Self::Expired | Self::CursorExpired => 410,
            Self::PreconditionFailed => 412,
            Self::PayloadTooLarge => 413,
            Self::UriTooLong => 414,
            Self::UnsupportedMediaType => 415,
            Self::RangeNotSatisfiable => 416,
            Self::Validation | Self::ChecksumMismatch => 422,
            Self::RateLimited => 429,
            Self::HeadersTooLarge => 431,
            Self::Internal => 500,
            Self::UpstreamFailed => 502,
            Self::Unavailable => 503,
            Self::UpstreamTimeout => 504,
            Self::QuotaExceeded | Self::BudgetExceeded => 507,
        }
    }

    /// Whether the same request may be sent again.
    pub const fn retry(self) -> Retry {
        match self {
            Self::RateLimited => Retry::Later,
            Self::Internal | Self::UpstreamFailed | Self::Unavailable | Self::UpstreamTimeout => {
                Retry::IfIdempotent
            }
            Self::BadRequest
            | Self::AuthTokenInvalid
            | Self::LinkPasswordRequired
            | Self::PermissionDenied
            | Self::ScopeMissing
            | Self::AuthzUserSuspended
            | Self::OwnerOnly
            | Self::LinkNotAllowed
            | Self::LegalHoldBlockedDeletion
            | Self::RetentionBlockedDeletion
            | Self::NotFound
            | Self::MethodNotAllowed
            | Self::NameConflict
            | Self::VersionConflict
            | Self::AlreadyExists
            | Self::AlreadyRunning
            | Self::Cycle
            | Self::NotConfigured
            | Self::Trashed
            | Self::Expired
            | Self::CursorExpired
            | Self::PreconditionFailed
            | Self::PayloadTooLarge
            | Self::UriTooLong
            | Self::UnsupportedMediaType
            | Self::RangeNotSatisfiable
            | Self::Validation
            | Self::ChecksumMismatch
            | Self::HeadersTooLarge
            | Self::QuotaExceeded
            | Self::BudgetExceeded => Retry::No,
        }
    }

    /// What the request did. Only where the answer came from above the agreement may it have been
    /// done after all.
    pub const fn happened(self) -> Happened {
        match self.retry() {
            Retry::No | Retry::Later => Happened::No,
            Retry::IfIdempotent => Happened::Perhaps,
        }
    }
}

/// One part of the way to a field: a name, or a place in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum Loc {
    Field(String),
    Index(u64),
}

/// What is wrong with one field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FieldError {
    /// `body`, `query`, `path` or `header`, then the way to the field.
    pub loc: Vec<Loc>,
    pub msg: String,
    #[serde(rename = "type")]
    pub kind: String,
}

/// What was wrong: a sentence, or for 422 a list of fields.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum Detail {
    Sentence(String),
    Fields(Vec<FieldError>),
}

/// The level whose quota or budget would be passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    Share,
    User,
    Group,
    Tenant,
    Partner,
}

/// The code, and what some codes add to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ErrorInfo {
    pub code: ErrorCode,
    pub request_id: String,
    /// `VERSION_CONFLICT`: the conflict that was raised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conflict: Option<Box<Conflict>>,
    /// An upload that lacks chunks: their indexes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<Vec<u64>>,
    /// `CURSOR_EXPIRED`: whether the history itself is another one, as after a restore from backup.
    /// Then a client merges, and never takes an absence for a deletion; absent: it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history_replaced: Option<bool>,
    /// `QUOTA_EXCEEDED`, `BUDGET_EXCEEDED`: who has used it up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<Level>,
    /// `RATE_LIMITED`: what is counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dimension: Option<String>,
    /// `RATE_LIMITED`: units in a window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window_seconds: Option<u64>,
    /// Seconds to wait, as the header of that name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u64>,
}

impl ErrorInfo {
    /// A code that adds nothing.
    pub fn new(code: ErrorCode, request_id: String) -> Self {
        Self {
            code,
            request_id,
            conflict: None,
            missing: None,
            history_replaced: None,
            level: None,
            dimension: None,
            limit: None,
            window_seconds: None,
            retry_after: None,
        }
    }
}

/// The body of every refusal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ErrorBody {
    pub detail: Detail,
    pub error: ErrorInfo,
}

impl ErrorBody {
    /// What was wrong, as one sentence.
    pub fn sentence(&self) -> String {
        match &self.detail {
            Detail::Sentence(sentence) => sentence.clone(),
            Detail::Fields(fields) => {
                let told: Vec<String> = fields.iter().map(FieldError::sentence).collect();
                told.join("; ")
            }
        }
    }
}

impl FieldError {
    fn sentence(&self) -> String {
        let way: Vec<String> = self
            .loc
            .iter()
            .skip(1)
            .map(|part| match part {
                Loc::Field(name) => name.clone(),
                Loc::Index(index) => index.to_string(),
            })
            .collect();
        if way.is_empty() { self.msg.clone() } else { format!("{}: {}", way.join("."), self.msg) }
    }
}

/// Why one entry of a batch was refused, while others were not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ItemError {
    pub code: ErrorCode,
    pub detail: String,
}

#[cfg(test)]
mod tests {
    use super::{Detail, ErrorBody, ErrorCode, ErrorInfo, FieldError, Happened, Loc, Retry};

    #[test]
    fn the_list_is_complete_and_each_is_written_as_the_contract_says() {
        let mut names: Vec<String> = ErrorCode::ALL
            .iter()
            .map(|code| serde_json::to_string(code).expect("writable"))
            .map(|json| json.trim_matches('"').to_owned())
            .collect();
        let written = names.join(" ");
        expect_test::expect![[r#"
            BAD_REQUEST AUTH_TOKEN_INVALID LINK_PASSWORD_REQUIRED PERMISSION_DENIED SCOPE_MISSING
            AUTHZ_USER_SUSPENDED OWNER_ONLY LINK_NOT_ALLOWED LEGAL_HOLD_BLOCKED_DELETION
            RETENTION_BLOCKED_DELETION NOT_FOUND METHOD_NOT_ALLOWED NAME_CONFLICT VERSION_CONFLICT
            ALREADY_EXISTS ALREADY_RUNNING CYCLE NOT_CONFIGURED TRASHED EXPIRED CURSOR_EXPIRED
            PRECONDITION_FAILED PAYLOAD_TOO_LARGE URI_TOO_LONG UNSUPPORTED_MEDIA_TYPE
            RANGE_NOT_SATISFIABLE VALIDATION CHECKSUM_MISMATCH RATE_LIMITED HEADERS_TOO_LARGE
            INTERNAL UPSTREAM_FAILED UNAVAILABLE UPSTREAM_TIMEOUT QUOTA_EXCEEDED BUDGET_EXCEEDED
        "#]]
        .assert_eq(&wrapped(&written));
        names.sort();
        names.dedup();
        assert_eq!(names.len(), ErrorCode::ALL.len());
        let last = ErrorCode::ALL.last().copied().map(|code| code as usize);
        assert_eq!(last, Some(ErrorCode::ALL.len() - 1), "ALL lists them in order of declaration");
    }

    fn wrapped(words: &str) -> String {
        let mut lines = vec![String::new()];
        for word in words.split(' ') {
            if lines.last().is_some_and(|line| line.len() + word.len() > 87) {
                lines.push(String::new());
            }
            let line = lines.last_mut().expect("never empty");
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        lines.join("\n") + "\n"
    }

    #[test]
    fn what_may_have_happened_is_retried_only_when_that_is_harmless() {
        for code in ErrorCode::ALL {
            let refused = code.status() < 500 || code.status() == 507;
            assert_eq!(code.happened() == Happened::No, refused, "{code:?}");
            assert_eq!(code.retry() == Retry::IfIdempotent, !refused, "{code:?}");
        }
        assert_eq!(ErrorCode::RateLimited.retry(), Retry::Later);
    }

    #[test]
    fn a_refusal_reads_as_a_sentence_either_way() {
        let sentence = ErrorBody {
            detail: Detail::Sentence("There is no such file.".to_owned()),
            error: ErrorInfo::new(ErrorCode::NotFound, "r1".to_owned()),
        };
        assert_eq!(sentence.sentence(), "There is no such file.");
        let json = serde_json::to_string(&sentence).expect("writable");
        let golden =
            r#"{"detail":"There is no such file.","error":{"code":"NOT_FOUND","request_id":"r1"}}"#;
        assert_eq!(json, golden);

        let json = r#"{"detail":[{"loc":["body","changes",3,"name"],"msg":"a name cannot be empty",
            "type":"value_error"}],"error":{"code":"VALIDATION","request_id":"r2"}}"#;
        let fields: ErrorBody = serde_json::from_str(json).expect("as the contract says");
        assert_eq!(fields.sentence(), "changes.3.name: a name cannot be empty");
        let whole = FieldError {
            loc: vec![Loc::Field("body".to_owned())],
            msg: "an object is expected".to_owned(),
            kind: "type_error".to_owned(),
        };
        assert_eq!(whole.sentence(), "an object is expected");
    }

    #[test]
    fn an_unknown_code_is_not_taken_for_a_known_one() {
        assert!(serde_json::from_str::<ErrorCode>(r#""TEAPOT""#).is_err());
    }
}
