//! What a check reports.

use std::fmt;

/// One violation: where, of which rule, and what to do instead.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Finding {
    /// `path:line`, or `path` when no line is to blame.
    pub(crate) place: String,
    pub(crate) rule: String,
    pub(crate) instead: String,
}

impl Finding {
    pub(crate) fn new(
        place: impl Into<String>,
        rule: impl Into<String>,
        instead: impl Into<String>,
    ) -> Self {
        Self { place: place.into(), rule: rule.into(), instead: instead.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; instead: {}", self.place, self.rule, self.instead)
    }
}

/// Fails with all findings, one a line.
#[track_caller]
pub(crate) fn demand_none(mut findings: Vec<Finding>) {
    findings.sort();
    let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
    assert!(findings.is_empty(), "{} broken rules:\n{}\n", findings.len(), lines.join("\n"));
}

/// Fails unless the findings are at exactly these places, in this order.
#[track_caller]
pub(crate) fn demand_places(findings: &[Finding], places: &[&str]) {
    let found: Vec<&str> = findings.iter().map(|finding| finding.place.as_str()).collect();
    assert_eq!(found, places, "{findings:#?}");
}
