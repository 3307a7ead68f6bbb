//! Audit events, chained by hash per tenant; and outcomes remembered for callers who ask again.

use node_base::{EventId, Sha256, TenantId, Timestamp, UserId};
use serde::{Deserialize, Serialize};

use super::tables;

tables! {
    /// By the tenant's own count of events.
    Events(110, "events"): (TenantId, u64) => Event;
    Chains(111, "chains"): (TenantId,) => Chain;
    Outcomes(112, "outcomes"): (TenantId, UserId, String) => Remembered;
    /// When outcomes may be forgotten.
    OutcomesByAge(113, "outcomes_by_age"): (Timestamp, TenantId, UserId, String) => ();
    /// What a caller was told of an outcome, where that says more than the outcome does. It goes
    /// when the outcome under the same key goes.
    Answers(114, "answers"): (TenantId, UserId, String) => KeptAnswer;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Category {
    Authentication,
    Authorization,
    FileAccess,
    FileModification,
    Sharing,
    Admin,
    Security,
    Compliance,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Severity {
    Info,
    Warning,
    Critical,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    pub id: EventId,
    pub at: Timestamp,
    pub category: Category,
    pub severity: Severity,
    /// Such as `share.member_added`.
    pub action: String,
    pub user: Option<UserId>,
    pub service_account: Option<String>,
    /// The text of an id.
    pub resource: Option<String>,
    pub ip: Option<String>,
    pub user_agent: Option<String>,
    /// Pairs of names and values.
    pub payload: Vec<(String, String)>,
    /// BLAKE3 of the event before and of this one without this field.
    pub chain: [u8; 32],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Chain {
    pub count: u64,
    pub head: [u8; 32],
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remembered {
    /// Of the request's body: the same key with another body is refused.
    pub body: Sha256,
    pub at: Timestamp,
    /// An encoded [`crate::Outcome`].
    pub outcome: Vec<u8>,
}

/// An answer as the caller got it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptAnswer {
    /// What the request said: [`Remembered::body`] of the outcome.
    pub request: Sha256,
    pub status: u16,
    pub etag: Option<String>,
    /// JSON, or nothing; at most [`node_base::limits::ANSWER_KEPT_MAX`] bytes.
    pub body: Vec<u8>,
}
