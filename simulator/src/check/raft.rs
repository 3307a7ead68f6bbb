//! What Raft promises, looked at while the run lasts: one leader a term, no leader without what was
//! applied before, never back, one entry for an index and a term with the same before it, and the
//! same tables at the same place in the log.

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

/// An entry of a node's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) index: u64,
    pub(crate) ballot: Ballot,
    pub(crate) digest: Sha256,
}

/// A term and who led it. openraft orders leaders by both: within one term a second may follow.
type Ballot = (u64, NodeId);

/// An entry as it was first seen: in whose log, and behind an entry of which leader.
#[derive(Debug, Clone, Copy)]
struct First {
    node: NodeId,
    digest: Sha256,
    behind: Option<Ballot>,
}

/// What has been seen of the agreement so far.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    entries: BTreeMap<(u64, Ballot), First>,
    /// How far each node's log went when it was looked at last, and what was applied of it.
    looked: BTreeMap<NodeId, (u64, u64)>,
    leaders: BTreeMap<u64, NodeId>,
    /// The last entry that anybody had applied by the time this term was first seen.
    applied_before: BTreeMap<u64, u64>,
    applied_max: u64,
    /// The last term that each node led: its vote for itself was durable then.
    led: BTreeMap<NodeId, u64>,
    tables: BTreeMap<u64, (NodeId, Sha256)>,
}

impl Watch {
    /// From where on a node's log is to be looked at; nothing when it is as it was. What was
    /// applied cannot change any more.
    pub(crate) fn unseen(&mut self, stand: &Stand) -> Option<u64> {
        let now = (stand.last_entry, stand.applied_entry);
        let before = self.looked.insert(stand.node, now);
        let from = before.map_or(0, |(_, applied)| applied);
        (before.is_none_or(|(last, _)| last != stand.last_entry)).then_some(from)
    }

    /// Compares what is in a node's log with what was seen in others, and in it before.
    pub(crate) fn match_logs(&mut self, node: NodeId, marks: &[Mark]) -> Vec<Violation> {
        let mut violations = Vec::new();
        let mut before: Option<Mark> = None;
        for mark in marks {
            let behind = before.filter(|before| before.index + 1 == mark.index);
            let behind = behind.map(|before| before.ballot);
            before = Some(*mark);
            let seen = First { node, digest: mark.digest, behind };
            let first = self.entries.entry((mark.index, mark.ballot)).or_insert(seen);
            let is_behind_other =
                behind.is_some_and(|ballot| first.behind.unwrap_or(ballot) != ballot);
            if first.digest != mark.digest || is_behind_other {
                let (Mark { index, ballot: (term, _), .. }, other) = (*mark, first.node);
                let what = format!(
                    "entry {index} of term {term} is another at node {node} than it was at \
                     {other}, or behind another"
                );
                violations.push(violation("Raft: log matching", what));
            }
            first.behind = first.behind.or(behind);
        }
        violations
    }

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

    use super::{Mark, Stand, Watch};

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
    fn logs_match_where_an_entry_has_one_index_and_term() {
        let mark =
            |index, term, n| Mark { index, ballot: (term, NodeId(1)), digest: Sha256([n; 32]) };
        let broken = |one: &[Mark], other: &[Mark]| {
            let mut watch = Watch::default();
            assert_eq!(watch.match_logs(NodeId(1), one), []);
            watch.match_logs(NodeId(2), other).len()
        };
        let log = [mark(1, 1, 1), mark(2, 1, 2), mark(3, 2, 3)];
        assert_eq!(broken(&log, &log), 0);
        assert_eq!(broken(&log, &[mark(1, 1, 1), mark(2, 3, 9)]), 0, "not yet overwritten");
        assert_eq!(broken(&log, &[mark(2, 1, 9)]), 1, "another entry");
        assert_eq!(broken(&log, &[mark(2, 2, 9), mark(3, 2, 3)]), 1, "behind another");
        let mut watch = Watch::default();
        let stand =
            |last_entry, applied_entry| Stand { last_entry, applied_entry, ..stand(1, 1, true) };
        assert_eq!(watch.unseen(&stand(5, 3)), Some(0));
        assert_eq!(watch.unseen(&stand(5, 5)), None);
        assert_eq!(watch.unseen(&stand(9, 6)), Some(5));
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
