//! What somebody set of a thing, and what somebody was told of it.
//!
//! A register is a text: the path that tells it, and what of the answer. What is set is told from
//! then on, until something else is.

use node_base::NodeId;
use serde_json::Value;

/// One setting of a register, or one sight of it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Setting {
    pub(crate) register: String,
    pub(crate) value: Value,
    /// Told, and not set.
    pub(crate) is_told: bool,
    pub(crate) began: u64,
    /// [`super::NEVER`] where nobody knows whether it was set, or it may be yet.
    pub(crate) ended: u64,
    /// Who answered.
    pub(crate) node: NodeId,
}

impl Setting {
    /// For people.
    pub(crate) fn line(&self) -> String {
        let Self { register, value, began, node, .. } = self;
        let deed = if self.is_told { "told" } else { "set" };
        let ended = match self.ended {
            super::NEVER => "never".to_owned(),
            ended => ended.to_string(),
        };
        format!("{register} was {deed} as {value} by node {node}, {began}..{ended}")
    }
}
