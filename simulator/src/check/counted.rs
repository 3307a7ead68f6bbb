//! P4: quotas, usage and references, counted anew, are what is stored.

use super::Violation;
use super::facts::Facts;
use crate::history::History;
use crate::workload::ground::Kind;

const PROMISE: &str = "P4 counted";
const PROMISED_IN: &str = "ARCHITECTURE.md, section 9, P4";

pub(super) fn check(history: &History, facts: &Facts) -> Vec<Violation> {
    let drift = facts.drift.iter().map(|drift| {
        let (subject, stored, counted) = (&drift.subject, drift.stored, drift.counted);
        format!("{subject:?} is kept as {stored}, and there are {counted}")
    });
    let full = history.sites.iter().filter(|site| site.kind == Kind::Tight).filter_map(|site| {
        let used = used(facts, site.share);
        let quota = site.quota.filter(|quota| used > *quota)?;
        Some(format!("{} holds {used} bytes under a quota of {quota}", site.share))
    });
    let violation = |what: String| Violation {
        promise: PROMISE,
        promised_in: PROMISED_IN,
        what,
        touching: Vec::new(),
    };
    drift.chain(full).map(violation).collect()
}

/// The bytes of all versions of a share's files.
fn used(facts: &Facts, share: node_base::ShareId) -> u64 {
    let here = facts.versions.values().filter(|stored| {
        let item = raft_meta::table::item::ItemId::File(stored.file);
        facts.items.get(&item).is_some_and(|fact| fact.share == share)
    });
    here.map(|stored| stored.stuff.size).sum()
}

#[cfg(test)]
mod tests {
    use node_base::Sha256;
    use raft_meta::query::audit::{Drift, Subject};

    use super::check;
    use crate::check::example::Example;
    use crate::workload::ground::Kind;

    #[test]
    fn a_drift_and_a_passed_quota_are_found() {
        let mut example = Example::default();
        example.file("a", 1);
        let site = example.history.sites.first_mut().expect("a share");
        (site.kind, site.quota) = (Kind::Tight, Some(1_000_000));
        assert_eq!(check(&example.history, &example.facts), []);
        if let Some(site) = example.history.sites.first_mut() {
            site.quota = Some(1);
        }
        let subject = Subject::References(Sha256([1; 32]));
        example.facts.drift.push(Drift { subject, stored: 1, counted: 2 });
        assert_eq!(check(&example.history, &example.facts).len(), 2);
    }
}
