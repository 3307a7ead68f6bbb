use node_base::{Drive, DriveId, Duration, Epoch, NodeId, sha256};

use crate::caller::{Caller, Scope, Scopes, UserCaller};
use crate::command::{ClusterCommand, Command, Upkeep};
use crate::fixture::Fixture;
use crate::outcome::{Answer, JoinRefusal, Noun, Outcome, Refusal};
use crate::table::audit::Events;
use crate::table::cluster::{Authorities, Maps, Nodes, Seat};
use crate::table::people::AdminRole;
use crate::table::upload::Writers;
use crate::table::{self};

fn say(fixture: &mut Fixture, node: u64, command: ClusterCommand) -> Outcome {
    fixture.run_as(Caller::Node(NodeId(node)), Command::Cluster(command))
}

fn token(fixture: &mut Fixture, secret: &[u8], uses: u32) {
    let add = ClusterCommand::AddJoinToken { secret: sha256(secret), seconds: 3600, uses };
    assert_eq!(say(fixture, 1, add), Ok(Answer::Done));
}

fn ask(
    fixture: &mut Fixture,
    nonce: u128,
    secret: &[u8],
    wish: Option<u64>,
) -> Result<NodeId, JoinRefusal> {
    let join = ClusterCommand::Join {
        nonce,
        secret: sha256(secret),
        wish: wish.map(NodeId),
        address: "b:1".to_owned(),
        zone: "z".to_owned(),
    };
    match say(fixture, 1, join) {
        Ok(Answer::Joined(joined)) => joined,
        other => panic!("an answer to a join, not {other:?}"),
    }
}

/// Has a node of this number join.
pub(crate) fn join(fixture: &mut Fixture, node: u64) {
    token(fixture, b"token", 1);
    assert_eq!(ask(fixture, u128::from(node) + 1000, b"token", Some(node)), Ok(NodeId(node)));
}

fn start(fixture: &mut Fixture, node: u64) -> u64 {
    let (address, zone) = ("a:1".to_owned(), "z".to_owned());
    let start = Upkeep::StartNode { node: NodeId(node), address, zone };
    match fixture.run_as(Caller::Node(NodeId(node)), Command::Upkeep(start)) {
        Ok(Answer::Lease(lease)) => lease,
        other => panic!("a lease, not {other:?}"),
    }
}

fn drive(id: u128, node: u64) -> Drive {
    Drive { id: DriveId(id), node: NodeId(node), zone: "z".to_owned(), weight: 1 }
}

fn state(fixture: &mut Fixture, node: u64, ids: &[u128]) -> Outcome {
    let drives = ids.iter().map(|id| drive(*id, node)).collect();
    say(fixture, node, ClusterCommand::StateDrives { drives })
}

/// Epochs that are kept, and the drives of the newest.
fn maps(fixture: &Fixture) -> (Vec<u64>, Vec<u128>) {
    let maps = table::all::<Maps>(&fixture.tables, &()).expect("memory never fails");
    let drives = maps.last().map(|(_, map)| map.drives.iter().map(|drive| drive.id.0).collect());
    (maps.iter().map(|((epoch,), _)| *epoch).collect(), drives.unwrap_or_default())
}

fn three() -> Fixture {
    let mut fixture = Fixture::new();
    start(&mut fixture, 1);
    join(&mut fixture, 2);
    join(&mut fixture, 3);
    fixture
}

#[test]
fn a_token_lets_in_as_often_as_it_says_and_the_same_node_as_often_as_it_asks() {
    let mut fixture = Fixture::new();
    start(&mut fixture, 1);
    token(&mut fixture, b"t", 2);
    assert_eq!(ask(&mut fixture, 11, b"forged", None), Err(JoinRefusal::UnknownToken));
    let founders = ask(&mut fixture, 0, b"forged", None);
    assert_eq!(founders, Err(JoinRefusal::UnknownToken), "nobody is taken for the founder");
    assert_eq!(ask(&mut fixture, 11, b"t", None), Ok(NodeId(2)));
    assert_eq!(ask(&mut fixture, 11, b"t", None), Ok(NodeId(2)));
    assert_eq!(ask(&mut fixture, 12, b"t", Some(9)), Ok(NodeId(9)));
    assert_eq!(ask(&mut fixture, 13, b"t", None), Err(JoinRefusal::UnknownToken));
    assert_eq!(ask(&mut fixture, 12, b"t", Some(9)), Ok(NodeId(9)));
    token(&mut fixture, b"u", 2);
    assert_eq!(ask(&mut fixture, 13, b"u", Some(2)), Err(JoinRefusal::NumberTaken(NodeId(2))));
    assert_eq!(ask(&mut fixture, 13, b"u", Some(0)), Err(JoinRefusal::NumberTaken(NodeId(0))));
    assert_eq!(ask(&mut fixture, 13, b"u", None), Ok(NodeId(10)));
    fixture.pass(Duration::from_secs(3600));
    assert_eq!(ask(&mut fixture, 14, b"u", None), Err(JoinRefusal::ExpiredToken));
}

#[test]
fn a_token_is_bounded() {
    let mut fixture = Fixture::new();
    let secret = sha256(b"t");
    for (seconds, uses) in [(0, 1), (1, 0), (u32::MAX, 1), (1, u32::MAX)] {
        let refused = say(&mut fixture, 1, ClusterCommand::AddJoinToken { secret, seconds, uses });
        assert!(matches!(refused, Err(Refusal::Invalid { .. })), "{refused:?}");
    }
    let ann = fixture.ann;
    let add = ClusterCommand::AddJoinToken { secret, seconds: 1, uses: 1 };
    assert_eq!(fixture.run(ann, Command::Cluster(add)), Err(Refusal::RoleMissing));
}

#[test]
fn nodes_that_state_their_drives_at_once_are_both_heard() {
    let mut fixture = three();
    assert_eq!(state(&mut fixture, 2, &[20, 21]), Ok(Answer::Done));
    assert_eq!(state(&mut fixture, 1, &[10]), Ok(Answer::Done));
    assert_eq!(maps(&fixture), (vec![1, 2], vec![10, 20, 21]));
    assert_eq!(state(&mut fixture, 1, &[10]), Ok(Answer::Done));
    assert_eq!(state(&mut fixture, 2, &[21]), Ok(Answer::Done));
    assert_eq!(maps(&fixture), (vec![1, 2, 3], vec![10, 21]));
    for ids in [&[10][..], &[30, 30], &[31; 300]] {
        let refused = state(&mut fixture, 3, ids);
        assert!(matches!(refused, Err(Refusal::Invalid { .. })), "{refused:?}");
    }
    let drives = vec![drive(40, 2)];
    let refused = say(&mut fixture, 3, ClusterCommand::StateDrives { drives });
    assert!(matches!(refused, Err(Refusal::Invalid { .. })), "{refused:?}");
    assert_eq!(state(&mut fixture, 4, &[50]), Err(Refusal::WrongCaller));
}

#[test]
fn a_node_that_is_out_has_no_drives_in_the_map_until_it_is_back() {
    let mut fixture = three();
    for node in 1..=3 {
        state(&mut fixture, node, &[u128::from(node)]).expect("its own");
    }
    let out = |node, is_out| ClusterCommand::SetOut { node: NodeId(node), is_out };
    say(&mut fixture, 1, out(2, true)).expect("a member");
    assert_eq!(maps(&fixture), (vec![1, 2, 3, 4], vec![1, 3]));
    say(&mut fixture, 1, out(2, true)).expect("a member");
    assert_eq!(maps(&fixture).0.len(), 4);
    say(&mut fixture, 3, out(2, false)).expect("a member");
    assert_eq!(maps(&fixture), (vec![1, 2, 3, 4, 5], vec![1, 2, 3]));
    assert_eq!(say(&mut fixture, 3, out(7, false)), Err(Refusal::WrongCaller));
}

#[test]
fn a_map_is_retired_when_every_node_that_is_in_has_moved() {
    let mut fixture = three();
    for node in 1..=3 {
        state(&mut fixture, node, &[u128::from(node)]).expect("its own");
    }
    let settle = |epoch| ClusterCommand::Settle { epoch: Epoch(epoch) };
    say(&mut fixture, 1, settle(3)).expect("a member");
    say(&mut fixture, 2, settle(99)).expect("a member");
    assert_eq!(maps(&fixture).0, [1, 2, 3]);
    say(&mut fixture, 3, settle(2)).expect("a member");
    assert_eq!(maps(&fixture).0, [2, 3]);
    say(&mut fixture, 3, settle(1)).expect("a member");
    assert_eq!(maps(&fixture).0, [2, 3]);
    let out = ClusterCommand::SetOut { node: NodeId(3), is_out: true };
    say(&mut fixture, 1, out).expect("a member");
    assert_eq!(maps(&fixture), (vec![3, 4], vec![1, 2]));
}

#[test]
fn a_removed_node_is_heard_no_more_and_its_lease_and_drives_are_gone() {
    let mut fixture = three();
    let first = start(&mut fixture, 2);
    let rotate = Command::Upkeep(Upkeep::RotateLease { node: NodeId(2), close: None });
    let rotated = fixture.run_as(Caller::Node(NodeId(2)), rotate);
    let Ok(Answer::Lease(second)) = rotated else { panic!("a lease: {rotated:?}") };
    state(&mut fixture, 1, &[1]).expect("its own");
    state(&mut fixture, 2, &[2]).expect("its own");
    let seat = |node, seat| ClusterCommand::SetSeat { node: NodeId(node), seat };
    say(&mut fixture, 1, seat(2, Seat::Removed)).expect("a member");
    for lease in [first, second] {
        assert!(!table::has::<Writers>(&fixture.tables, &(lease,)).expect("memory never fails"));
    }
    assert_eq!(maps(&fixture), (vec![1, 2, 3], vec![1]));
    assert_eq!(state(&mut fixture, 2, &[2]), Err(Refusal::WrongCaller));
    let back = say(&mut fixture, 1, seat(2, Seat::MayVote));
    assert_eq!(back, Err(Refusal::NotFound(Noun::Node)));
    assert_eq!(ask(&mut fixture, 1002, b"x", Some(2)), Err(JoinRefusal::Removed));
    let rows = table::all::<Nodes>(&fixture.tables, &()).expect("memory never fails");
    assert_eq!(rows.len(), 3, "its number is never given again");
    assert_eq!(state(&mut fixture, 3, &[2]), Ok(Answer::Done), "its drive moved");
}

#[test]
fn somebody_is_left_who_may_vote() {
    let mut fixture = three();
    let seat = |node, seat| ClusterCommand::SetSeat { node: NodeId(node), seat };
    say(&mut fixture, 1, seat(2, Seat::Learns)).expect("a member");
    say(&mut fixture, 1, seat(3, Seat::Removed)).expect("a member");
    for last in [Seat::Learns, Seat::Removed] {
        let refused = say(&mut fixture, 1, seat(1, last));
        assert!(matches!(refused, Err(Refusal::Invalid { .. })), "{refused:?}");
    }
    say(&mut fixture, 1, seat(2, Seat::MayVote)).expect("a member");
    assert_eq!(say(&mut fixture, 2, seat(1, Seat::Removed)), Ok(Answer::Done));
}

#[test]
fn what_was_reaped_is_remembered_until_all_nodes_have_deleted_it() {
    let mut fixture = three();
    let forget = |fixture: &mut Fixture, node: u64, up_to| {
        let forget = Command::Upkeep(Upkeep::ForgetReaped { up_to });
        fixture.run_as(Caller::Node(NodeId(node)), forget)
    };
    let reaped = fixture.index + 50;
    let key = (reaped, fixture.tenant, sha256(b"chunk"), node_base::Generation(7));
    let now = fixture.now;
    table::put::<crate::table::chunk::Reaped>(&mut fixture.tables, &key, &now).expect("memory");
    assert_eq!(forget(&mut fixture, 1, reaped), Ok(Answer::Worked(0)));
    assert_eq!(forget(&mut fixture, 2, reaped), Ok(Answer::Worked(0)));
    assert_eq!(forget(&mut fixture, 3, reaped - 1), Ok(Answer::Worked(0)));
    let out = ClusterCommand::SetOut { node: NodeId(3), is_out: true };
    say(&mut fixture, 1, out).expect("a member");
    assert_eq!(forget(&mut fixture, 1, reaped), Ok(Answer::Worked(1)));
    assert_eq!(forget(&mut fixture, 9, reaped), Err(Refusal::WrongCaller));
}

#[test]
fn a_node_that_drains_is_needed_until_it_says_that_nothing_is_left() {
    let mut fixture = three();
    for node in 1..=3 {
        state(&mut fixture, node, &[u128::from(node)]).expect("its own");
    }
    let settle = |epoch| ClusterCommand::Settle { epoch: Epoch(epoch) };
    let remove = |node| ClusterCommand::RemoveDrained { node: NodeId(node) };
    let early = say(&mut fixture, 1, remove(3));
    assert!(matches!(early, Err(Refusal::Invalid { .. })), "it holds shards: {early:?}");
    let drain = ClusterCommand::SetSeat { node: NodeId(3), seat: Seat::Drains };
    say(&mut fixture, 1, drain).expect("a member");
    assert_eq!(maps(&fixture), (vec![1, 2, 3, 4], vec![1, 2]), "its drives count no more");
    say(&mut fixture, 1, settle(4)).expect("a member");
    say(&mut fixture, 2, settle(4)).expect("a member");
    let early = say(&mut fixture, 1, remove(3));
    assert!(matches!(early, Err(Refusal::Invalid { .. })), "it still moves shards: {early:?}");
    say(&mut fixture, 3, settle(4)).expect("it is heard while it drains");
    assert_eq!(maps(&fixture).0, [4]);
    assert_eq!(say(&mut fixture, 1, remove(3)), Ok(Answer::Done));
    assert_eq!(say(&mut fixture, 3, settle(4)), Err(Refusal::WrongCaller));
    assert_eq!(say(&mut fixture, 1, remove(9)), Err(Refusal::NotFound(Noun::Node)));
}

#[test]
fn a_node_that_drains_may_stay_after_all() {
    let mut fixture = three();
    state(&mut fixture, 1, &[1]).expect("its own");
    state(&mut fixture, 2, &[2]).expect("its own");
    let seat = |node, seat| ClusterCommand::SetSeat { node: NodeId(node), seat };
    say(&mut fixture, 1, seat(2, Seat::Drains)).expect("a member");
    say(&mut fixture, 2, seat(2, Seat::MayVote)).expect("a member");
    assert_eq!(maps(&fixture).1, [1, 2]);
}

#[test]
fn the_first_authority_stays() {
    let mut fixture = three();
    let set = |text: &[u8]| ClusterCommand::SetAuthority {
        certificate: text.to_vec(),
        key: text.to_vec(),
    };
    let long = say(&mut fixture, 1, set(&[7; 5_000]));
    assert!(matches!(long, Err(Refusal::Invalid { .. })), "{long:?}");
    for text in [b"first", b"later"] {
        assert_eq!(say(&mut fixture, 1, set(text)), Ok(Answer::Done));
    }
    let row = table::get::<Authorities>(&fixture.tables, &()).expect("memory never fails");
    assert_eq!(row.map(|row| row.certificate), Some(b"first".to_vec()));
}

#[test]
fn people_look_after_the_cluster_by_role_and_scope_and_it_is_recorded() {
    let mut fixture = three();
    let boss = fixture.user("boss", Some(AdminRole::SuperAdmin));
    let drain = ClusterCommand::SetSeat { node: NodeId(3), seat: Seat::Drains };
    let run = |fixture: &mut Fixture, user, scopes, command: &ClusterCommand| {
        let caller = UserCaller { scopes, ..fixture.caller(user) };
        fixture.run_as(Caller::User(caller), Command::Cluster(command.clone()))
    };
    let (ann, root) = (fixture.ann, fixture.root);
    for user in [ann, root] {
        assert_eq!(run(&mut fixture, user, Scopes::ALL, &drain), Err(Refusal::RoleMissing));
    }
    let narrow = run(&mut fixture, boss, Scopes::DEFAULT, &drain);
    assert_eq!(narrow, Err(Refusal::ScopeMissing(Scope::AdminAll)));
    let before = table::all::<Events>(&fixture.tables, &(fixture.tenant,)).expect("memory");
    let token = ClusterCommand::AddJoinToken { secret: sha256(b"x"), seconds: 60, uses: 1 };
    for command in [&token, &drain] {
        assert_eq!(run(&mut fixture, boss, Scopes::ALL, command), Ok(Answer::Done));
    }
    let events = table::all::<Events>(&fixture.tables, &(fixture.tenant,)).expect("memory");
    let told = events[before.len()..].iter().map(|(_, event)| (event.user, event.action.as_str()));
    let expected = ["cluster.join_token_added", "cluster.seat_set"];
    assert_eq!(told.collect::<Vec<_>>(), expected.map(|action| (Some(boss), action)));
    for own in [
        ClusterCommand::StateDrives { drives: vec![drive(9, 3)] },
        ClusterCommand::Settle { epoch: Epoch(9) },
        ClusterCommand::SetOut { node: NodeId(3), is_out: true },
    ] {
        let refused = run(&mut fixture, boss, Scopes::ALL, &own);
        assert_eq!(refused, Err(Refusal::WrongCaller), "a node alone says so: {own:?}");
    }
}
