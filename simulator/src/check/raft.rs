//! What Raft promises, looked at while the run lasts: one leader a term, no leader without what was
//! applied before, never back, and the same tables at the same place in the log.

use std::collections::BTreeMap;

use node_base::{NodeId, Sha256};

use super::Violation;

const PROMISED_IN: &str = "In Search of an Understandable Consensus Algorithm, figure 3";

/// How a node stands at some moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stand {
    pub(crate) node: NodeId,
    pub(crate) term: u64,
    pub(crate) leads: bool,
    pub(crate) last_entry: u64,
    pub(crate) applied_entry: u64,
    /// The commands applied, and the tables after them, where they were looked at.
    pub(crate) tables: Option<(u64, Sha256)>,
}

/// What has been seen of the agreement so far.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    leaders: BTreeMap<u64, NodeId>,
    /// The last entry that anybody had applied by the time this term was first seen.
    applied_before: BTreeMap<u64, u64>,
    applied_max: u64,
    /// The last term that each node led: its vote for itself was durable then.
    led: BTreeMap<NodeId, u64>,
    tables: BTreeMap<u64, (NodeId, Sha256)>,
}

impl Watch {
    /// Compares what is with what was.
    pub(crate) fn see(&mut self, stand: Stand) -> Vec<Violation> {
        let mut violations = Vec::new();
        let Stand { node, term, .. } = stand;
        let led = self.led.entry(node).or_default();
        if term < *led {
            let what = format!("node {node} led term {led}, and is in term {term} again");
            violations.push(violation("Raft: a vote is kept", what));
        }
        if stand.leads {
            *led = term.max(*led);
        }
        self.applied_before.entry(term).or_insert(self.applied_max);
        if stand.leads {
            let leader = *self.leaders.entry(term).or_insert(node);
            if leader != node {
                let what = format!("nodes {leader} and {node} both lead term {term}");
                violations.push(violation("Raft: election safety", what));
            }
            let needed = self.applied_before[&term];
            if stand.last_entry < needed {
                let last = stand.last_entry;
                let what = format!(
                    "node {node} leads term {term} with a log up to {last}, and {needed} was \
                     applied before"
                );
                violations.push(violation("Raft: leader completeness", what));
            }
        }
        self.applied_max = self.applied_max.max(stand.applied_entry);
        if let Some((command, tables)) = stand.tables {
            let (by, first) = *self.tables.entry(command).or_insert((node, tables));
            if first != tables {
                let what = format!("after command {command} nodes {by} and {node} differ");
                violations.push(violation("Raft: state machine safety", what));
            }
        }
        violations
    }
}

fn violation(promise: &'static str, what: String) -> Violation {
    Violation { promise, promised_in: PROMISED_IN, what, touching: Vec::new() }
}

#[cfg(test)]
mod tests {
    use node_base::{NodeId, Sha256};

    use super::{Stand, Watch};

    fn stand(node: u64, term: u64, leads: bool) -> Stand {
        Stand { node: NodeId(node), term, leads, last_entry: 10, applied_entry: 10, tables: None }
    }

    /// What is broken when these are seen one after the other.
    fn broken(stands: &[Stand]) -> Vec<&'static str> {
        let mut watch = Watch::default();
        stands.iter().flat_map(|stand| watch.see(*stand)).map(|found| found.promise).collect()
    }

    #[test]
    fn a_new_leader_of_a_new_term_is_in_order() {
        let tables = Some((7, Sha256([1; 32])));
        let stands = [
            Stand { tables, ..stand(1, 1, true) },
            Stand { tables, ..stand(2, 1, false) },
            stand(2, 2, true),
            stand(1, 2, false),
        ];
        assert_eq!(broken(&stands), [""; 0]);
    }

    #[test]
    fn each_promise_that_is_broken_is_found() {
        let two = [stand(1, 3, true), stand(2, 3, true)];
        assert_eq!(broken(&two), ["Raft: election safety"]);
        let back = [stand(1, 3, true), stand(1, 2, false)];
        assert_eq!(broken(&back), ["Raft: a vote is kept"]);
        let short = [stand(1, 3, true), Stand { last_entry: 9, ..stand(2, 4, true) }];
        assert_eq!(broken(&short), ["Raft: leader completeness"]);
        let tables = |n| Some((7, Sha256([n; 32])));
        let apart = [
            Stand { tables: tables(1), ..stand(1, 3, true) },
            Stand { tables: tables(2), ..stand(2, 3, false) },
        ];
        assert_eq!(broken(&apart), ["Raft: state machine safety"]);
    }
}
