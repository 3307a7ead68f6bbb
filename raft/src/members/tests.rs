use std::collections::{BTreeMap, BTreeSet};

use node_base::{Epoch, NodeId};
use openraft::ChangeMembers;
use proptest::prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, proptest};
use raft_meta::table::cluster::{Node, Seat};

use super::{Change, VOTERS_MAX, next_change};
use crate::types::Members;

fn row(id: u64, zone: &str, seat: Seat, is_out: bool) -> Node {
    Node {
        id: NodeId(id),
        address: format!("node-{id}"),
        zone: zone.to_owned(),
        incarnation: 1,
        lease: None,
        seat,
        nonce: 0,
        drives: Vec::new(),
        is_out,
        deleted_up_to: 0,
        settled: Epoch::default(),
    }
}

/// Rows of a sketch such as `1a 2a 3b- 4b! 5cx`: a number, a zone, and perhaps that it only learns
/// (`-`), is out (`!`), or was removed (`x`).
fn rows(sketch: &str) -> Vec<Node> {
    let parse = |word: &str| {
        let (id, rest) = word.split_at(word.find(char::is_alphabetic).expect("a zone"));
        let (zone, mark) = rest.split_at(1);
        let seat = match mark {
            "-" => Seat::Learns,
            "x" => Seat::Removed,
            _ => Seat::MayVote,
        };
        row(id.parse().expect("a number"), zone, seat, mark == "!")
    };
    sketch.split_whitespace().map(parse).collect()
}

fn members(sets: &[&[u64]], all: &[u64]) -> Members {
    let sets = sets.iter().map(|set| set.iter().copied().collect()).collect();
    let nodes: BTreeMap<u64, String> = all.iter().map(|id| (*id, format!("node-{id}"))).collect();
    Members::new(sets, nodes)
}

/// Who votes after the next change, where `down` do not answer.
fn check(voters: &[u64], sketch: &str, down: &[u64], expected: Option<&[u64]>) {
    let rows = rows(sketch);
    let all: Vec<u64> = rows.iter().map(|row| row.id.0).collect();
    let up = |node| !down.contains(&node);
    let change = next_change(&members(&[voters], &all), &rows, up, up);
    let expected = expected.map(|set| Change::ReplaceAllVoters(set.iter().copied().collect()));
    let removes = matches!(change, Some(ChangeMembers::RemoveNodes(_)));
    assert_eq!(change.filter(|_| !removes), expected, "{voters:?} {sketch} down {down:?}");
}

#[test]
fn voters_are_odd_in_number_and_at_most_seven() {
    check(&[1], "1a", &[], None);
    check(&[1], "1a 2a", &[], None);
    check(&[1], "1a 2a 3a", &[], Some(&[1, 2, 3]));
    check(&[1, 2, 3], "1a 2a 3a 4a", &[], None);
    check(&[1, 2, 3], "1a 2a 3a 4a 5a", &[], Some(&[1, 2, 3, 4, 5]));
    check(&[1, 2, 3, 4, 5, 6, 7], "1a 2a 3a 4a 5a 6a 7a 8a 9a", &[], None);
}

#[test]
fn voters_are_spread_over_zones() {
    check(&[1, 2, 3], "1a 2a 3a 4b", &[], Some(&[1, 2, 4]));
    check(&[1, 2, 4], "1a 2a 3a 4b 5c", &[], Some(&[1, 2, 3, 4, 5]));
    check(&[2], "1a 2a 3b 4c", &[], Some(&[2, 3, 4]));
}

#[test]
fn who_does_not_answer_is_not_made_a_voter_and_keeps_its_vote_until_it_is_out() {
    check(&[1], "1a 2a 3a", &[3], None);
    check(&[1, 2, 3], "1a 2a 3a 4a", &[2], None);
    check(&[1, 2, 3], "1a 2a! 3a 4a", &[2], Some(&[1, 3, 4]));
    check(&[1, 2, 3], "1a 2a! 3a", &[2], None);
    check(&[1, 2, 3], "1a 2a! 3a 4a!", &[2, 4], None);
}

#[test]
fn who_may_not_vote_stops_when_the_others_can_go_on() {
    check(&[1, 2, 3], "1a 2a 3a-", &[], Some(&[1]));
    check(&[1, 2, 3], "1a 2a 3a-", &[1], Some(&[2]));
    check(&[1, 2, 3], "1a 2ax 3a 4a", &[2], Some(&[1, 3, 4]));
    check(&[1, 2, 3], "1ax 2a 3a", &[], Some(&[2]));
    // Both that could go on are silent: whoever leads still needs the others.
    check(&[1, 2, 3], "1a 2a 3a-", &[1, 2], None);
}

#[test]
fn nodes_come_and_move_and_go_one_change_at_a_time() {
    let rows = rows("1a 2a 3ax 4a");
    let mut known: BTreeMap<u64, String> = (1..=3).map(|id| (id, format!("node-{id}"))).collect();
    let change = |known: &BTreeMap<u64, String>| {
        let members = Members::new(vec![[1].into()], known.clone());
        next_change(&members, &rows, |_| true, |_| false)
    };
    let new = BTreeMap::from([(4, "node-4".to_owned())]);
    assert_eq!(change(&known), Some(Change::AddNodes(new)));
    known.insert(4, "elsewhere".to_owned());
    let moved = BTreeMap::from([(4, "node-4".to_owned())]);
    assert_eq!(change(&known), Some(Change::SetNodes(moved)));
    known.insert(4, "node-4".to_owned());
    assert_eq!(change(&known), Some(Change::RemoveNodes([3].into())));
    known.remove(&3);
    assert_eq!(change(&known), None);
}

#[test]
fn a_change_that_was_left_half_done_is_finished() {
    let rows = rows("1a 2a 3a");
    let half = members(&[&[1], &[1, 2, 3]], &[1, 2, 3]);
    let wanted = Some(Change::ReplaceAllVoters([1, 2, 3].into()));
    assert_eq!(next_change(&half, &rows, |_| true, |_| true), wanted);
}

fn sketches() -> impl Strategy<Value = Vec<(Node, bool, bool)>> {
    let seat = any::<u8>().prop_map(|draw| match draw {
        0..180 => Seat::MayVote,
        180..220 => Seat::Learns,
        _ => Seat::Removed,
    });
    let node = (Just(()), seat, any::<bool>(), 0u8..3, any::<bool>(), any::<bool>());
    proptest::collection::vec(node, 1..12).prop_map(|nodes| {
        let number = |(id, ((), seat, is_out, zone, up, votes))| {
            let zone = char::from(b'a' + zone).to_string();
            (row(id, &zone, seat, is_out), up, votes)
        };
        (1..).zip(nodes).map(number).collect()
    })
}

proptest! {
    /// Whatever the table says, the members come to rest, and never at the mercy of silent nodes.
    #[test]
    fn changes_end_with_voters_that_answer(nodes in sketches()) {
        let rows: Vec<Node> = nodes.iter().map(|(row, ..)| row.clone()).collect();
        let up: BTreeSet<u64> =
            nodes.iter().filter(|(_, up, _)| *up).map(|(row, ..)| row.id.0).collect();
        let all: BTreeMap<u64, String> =
            rows.iter().map(|row| (row.id.0, row.address.clone())).collect();
        let mut votes: BTreeSet<u64> =
            nodes.iter().filter(|(.., votes)| *votes).map(|(row, ..)| row.id.0).collect();
        votes.insert(1);
        let mut members = Members::new(vec![votes], all);
        for step in 0.. {
            prop_assert!(step < 8, "it comes to rest");
            let is_up = |node| up.contains(&node);
            match next_change(&members, &rows, is_up, is_up) {
                Some(ChangeMembers::ReplaceAllVoters(voters)) => {
                    prop_assert_eq!(voters.len() % 2, 1);
                    prop_assert!(voters.len() <= VOTERS_MAX);
                    prop_assert!(voters.intersection(&up).count() * 2 > voters.len());
                    let nodes = members.nodes().map(|(id, at)| (*id, at.clone()));
                    let nodes: BTreeMap<u64, String> = nodes.collect();
                    members = Members::new(vec![voters], nodes);
                }
                Some(ChangeMembers::RemoveNodes(gone)) => {
                    let nodes = members.nodes().filter(|(id, _)| !gone.contains(id));
                    let nodes = nodes.map(|(id, at)| (*id, at.clone()));
                    let nodes: BTreeMap<u64, String> = nodes.collect();
                    members = Members::new(members.get_joint_config().clone(), nodes);
                }
                Some(other) => prop_assert!(false, "{:?}", other),
                None => break,
            }
        }
    }
}
