//! What Raft promises, looked at while the run lasts: one leader a ballot, no leader without what
//! was applied before, never back, one entry for an index and a ballot with the same before it, and
//! the same tables at the same place in the log.
//!
//! A ballot is a term and whom the vote is for. openraft orders votes by both: within one term a
//! second leader may follow the first, and what figure 3 says of terms holds for ballots.

use std::collections::BTreeMap;

use node_base::{NodeId, Sha256};

use super::Violation;

const PROMISED_IN: &str = "In Search of an Understandable Consensus Algorithm, figure 3";

/// How a node stands at some moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stand {
    pub(crate) node: NodeId,
    /// How many times it was started.
    pub(crate) life: u64,
    /// Its vote.
    pub(crate) ballot: Ballot,
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

/// A term and who is to lead it.
pub(crate) type Ballot = (u64, NodeId);

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
    /// The life in which each ballot was won.
    won: BTreeMap<Ballot, u64>,
    /// The last entry that was applied by somebody with this vote: some leader of this ballot or a
    /// lesser one had committed it.
    applied: BTreeMap<Ballot, u64>,
    /// The last ballot that each node won: its vote for itself was durable then.
    led: BTreeMap<NodeId, Ballot>,
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
        let Stand { node, ballot, .. } = stand;
        let led = self.led.entry(node).or_default();
        if ballot < *led {
            let what = format!("node {node} led by {led:?}, and its vote is {ballot:?} again");
            violations.push(violation("Raft: a vote is kept", what));
        }
        if stand.leads {
            *led = ballot.max(*led);
            violations.extend(self.see_leader(&stand));
        }
        let applied = self.applied.entry(ballot).or_default();
        *applied = stand.applied_entry.max(*applied);
        if let Some((command, tables)) = stand.tables {
            let (by, first) = *self.tables.entry(command).or_insert((node, tables));
            if first != tables {
                let what = format!("after command {command} nodes {by} and {node} differ");
                violations.push(violation("Raft: state machine safety", what));
            }
        }
        violations
    }

    fn see_leader(&mut self, stand: &Stand) -> Vec<Violation> {
        let mut violations = Vec::new();
        let Stand { node, life, ballot, last_entry, .. } = *stand;
        let won_in = *self.won.entry(ballot).or_insert(life);
        if ballot.1 != node {
            let what = format!("node {node} leads by {ballot:?}, which is another's");
            violations.push(violation("Raft: election safety", what));
        } else if won_in != life {
            let what = format!("node {node} leads by {ballot:?} again after it was down");
            violations.push(violation("Raft: election safety", what));
        }
        let needed = self.applied.range(..ballot).map(|(_, applied)| *applied).max();
        if let Some(needed) = needed.filter(|needed| *needed > last_entry) {
            let what = format!(
                "node {node} leads by {ballot:?} with a log up to {last_entry}, and {needed} was \
                 applied before"
            );
            violations.push(violation("Raft: leader completeness", what));
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

    /// A node that votes for the first where it does not lead.
    fn stand(node: u64, term: u64, leads: bool) -> Stand {
        let ballot = (term, NodeId(if leads { node } else { 1 }));
        let (last_entry, applied_entry, tables) = (10, 10, None);
        Stand { node: NodeId(node), life: 1, ballot, leads, last_entry, applied_entry, tables }
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
            Stand { ballot: (2, NodeId(2)), ..stand(1, 2, false) },
        ];
        assert_eq!(broken(&stands), [""; 0]);
    }

    #[test]
    fn a_second_leader_of_a_term_is_in_order_and_the_first_need_not_know_yet() {
        let ahead = Stand { last_entry: 12, applied_entry: 12, ..stand(3, 1, true) };
        assert_eq!(broken(&[stand(2, 1, true), ahead, stand(2, 1, true)]), [""; 0]);
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
        let others = [stand(1, 3, true), Stand { leads: true, ..stand(2, 3, false) }];
        assert_eq!(broken(&others), ["Raft: election safety"]);
        let again = [stand(1, 3, true), Stand { life: 2, ..stand(1, 3, true) }];
        assert_eq!(broken(&again), ["Raft: election safety"]);
        let back = [stand(1, 3, true), stand(1, 2, false)];
        assert_eq!(broken(&back), ["Raft: a vote is kept"]);
        for term in [3, 4] {
            let short = [stand(1, 3, true), Stand { last_entry: 9, ..stand(2, term, true) }];
            assert_eq!(broken(&short), ["Raft: leader completeness"], "{term}");
        }
        let tables = |n| Some((7, Sha256([n; 32])));
        let apart = [
            Stand { tables: tables(1), ..stand(1, 3, true) },
            Stand { tables: tables(2), ..stand(2, 3, false) },
        ];
        assert_eq!(broken(&apart), ["Raft: state machine safety"]);
    }
}
