//! Answers that are kept beside the outcomes they tell of.
//!
//! An outcome is remembered under its key by the commit that brings it. A caller may be told more
//! than that, read from the tables a moment later; asking again, it must be told the same, whatever
//! has become of things. So that is kept as well, by a second command. Where a node is lost between
//! the two, nobody was told anything yet, and what is told at the repetition is kept.

use raft_meta::command::Upkeep;
use raft_meta::query::outcome;
use raft_meta::table::audit::KeptAnswer;
use raft_meta::{Answer, Command};

use crate::call::{Call, Ops};
use crate::error::OpError;

/// What a caller is told, as far as it is to be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    pub status: u16,
    pub etag: Option<String>,
    /// JSON, or nothing.
    pub body: Vec<u8>,
}

impl From<KeptAnswer> for Told {
    fn from(kept: KeptAnswer) -> Self {
        Self { status: kept.status, etag: kept.etag, body: kept.body }
    }
}

impl Call {
    /// Whether what the caller is told of it is to be kept.
    pub fn is_to_be_kept(&self) -> bool {
        self.is_remembered() && self.read_under_key().is_some()
    }

    /// Whether a refusal of it may come from how things are now, while it was answered before.
    pub fn may_be_known(&self) -> bool {
        self.read_under_key().is_some()
    }
}

impl Ops {
    /// Keeps what the caller is told. Answers what it was told before, which is to be said again.
    ///
    /// # Errors
    /// Why nothing could be agreed.
    pub async fn keep_answer(&self, call: &Call, told: Told) -> Result<Option<Told>, OpError> {
        let Some(remember) = call.remember.clone() else { return Ok(None) };
        let (tenant, user) = (call.caller.tenant, call.caller.user);
        let Told { status, etag, body } = told;
        let answer = KeptAnswer { request: remember.request, status, etag, body };
        let keep = Upkeep::KeepAnswer { tenant, user, key: remember.key, answer };
        match self.agree_as_node(Command::Upkeep(keep)).await? {
            Answer::Kept(first) => Ok(Some(first.into())),
            _ => Ok(None),
        }
    }

    /// What the caller of the same request was told before, as far as it is kept.
    ///
    /// # Errors
    /// When the key stands for another request; or why nothing could be read.
    pub async fn kept_answer(&self, call: &Call) -> Result<Option<Told>, OpError> {
        let Some(remember) = call.remember.clone() else { return Ok(None) };
        let kept =
            self.ask(call, move |tables, viewer| Ok(outcome::kept(tables, viewer, &remember)?));
        Ok(kept.await?.transpose()?.map(Told::from))
    }
}
