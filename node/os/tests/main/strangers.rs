//! Who is not of the cluster, or not any more, gets nowhere.
#![expect(clippy::disallowed_types, reason = "the other ends of sockets")]

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use node_base::{NodeId, Timestamp, sha256};
use node_os::RealWorld;
use node_world::{Class, NetError, Peer, Subject, World};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Handle;

use crate::cluster::{
    CLUSTER, LONG, anywhere, authority, by_hand, certify, credentials, echo, name, refusals, send,
};

const BOTH: [Class; 2] = [Class::Control, Class::ShardForeground];

async fn refused(world: &World, to: &RealWorld, class: Class, word: &str) {
    match send(world, (2, to.address), class, "x").await {
        Err(NetError::Refused(why)) => assert!(why.0.contains(word), "'{word}' is not in {why}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_node_of_another_cluster_is_refused_by_both_ends() {
    let node = echo(2, anywhere()).expect("a port");
    let other = RealWorld::node(&Handle::current(), NodeId(1), anywhere()).expect("a port").world;
    let theirs = credentials(&other).found(7, other.wall()).expect("entropy");
    certify(&other, 1, &theirs, 7);
    for class in BOTH {
        refused(&other, &node, class, "another cluster").await;
    }
    assert_eq!(refusals(&other, "other_cluster"), 2, "the caller looked first");

    // An authority of the same number that somebody else made: neither end can tell by the name.
    let forged = RealWorld::node(&Handle::current(), NodeId(1), anywhere()).expect("a port").world;
    let theirs = credentials(&forged).found(CLUSTER, forged.wall()).expect("entropy");
    certify(&forged, 1, &theirs, CLUSTER);
    for class in BOTH {
        refused(&forged, &node, class, "authority").await;
    }
}

/// Connects by hand as node 1, certified at `at`; whether the node lets it in.
async fn let_in(node: &RealWorld, at: Option<Timestamp>) -> bool {
    let stream = TcpStream::connect(node.address).await.expect("connected");
    let name = ServerName::try_from(name(2)).expect("a name");
    let connector = tokio_rustls::TlsConnector::from(Arc::new(by_hand(&node.world, at)));
    let Ok(mut stream) = connector.connect(name, stream).await else { return false };
    // The preface of HTTP/2, which a server answers with its settings.
    if stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.is_err() {
        return false;
    }
    let mut answer = [0; 1];
    let read = node.world.within(LONG, stream.read_exact(&mut answer)).await;
    read.expect("it answers, or hangs up").is_ok()
}

#[tokio::test]
async fn a_certificate_counts_while_it_is_valid() {
    let node = echo(2, anywhere()).expect("a port");
    let now = node.world.wall().millis();
    let days = |days: i64| Some(Timestamp::from_millis(now + days * 24 * 3_600_000));
    assert!(let_in(&node, days(0)).await);
    assert!(!let_in(&node, days(-91)).await, "it has expired");
    assert!(!let_in(&node, days(1)).await, "it is not valid yet");
    assert_eq!((refusals(&node.world, "expired"), refusals(&node.world, "not_valid_yet")), (1, 1));
}

#[tokio::test]
async fn a_removed_node_is_not_heard_even_where_it_is_connected() {
    let node = echo(2, anywhere()).expect("a port");
    let removed = echo(1, anywhere()).expect("a port").world;
    for class in BOTH {
        assert!(send(&removed, (2, node.address), class, "x").await.is_ok());
    }
    credentials(&node.world).revoke(BTreeSet::from([NodeId(1)]));
    for class in BOTH {
        let answer = send(&removed, (2, node.address), class, "x").await;
        assert_eq!(answer, Err(NetError::Removed));
    }
    assert_eq!(refusals(&node.world, "removed"), 2);
}

#[tokio::test]
async fn who_knows_the_authority_can_ask_to_join_and_nothing_else() {
    let node = echo(2, anywhere()).expect("a port");
    let joining = RealWorld::client(&Handle::current());
    let to = || Peer::at(&node.address.to_string());
    let ask = |class, text: Bytes| joining.net().call(to(), class, text, LONG);
    let unsure = ask(Class::Control, Bytes::from_static(b"who")).await;
    assert!(matches!(unsure, Err(NetError::Unreachable(_))), "whom does it believe? {unsure:?}");

    let own = credentials(&joining);
    own.believe(sha256(b"of somebody else"));
    let other = ask(Class::Control, Bytes::from_static(b"who")).await;
    assert!(matches!(other, Err(NetError::Refused(_))), "{other:?}");

    own.believe(sha256(&authority(&joining).certificate));
    let who = ask(Class::Control, Bytes::from_static(b"who")).await;
    assert_eq!(who, Ok(Bytes::from_static(b"0")), "it is nobody yet");
    let long = ask(Class::Control, Bytes::from(vec![0; 100_000])).await;
    assert!(long.is_err(), "a stranger's messages are short");
    let votes = ask(Class::Consensus, Bytes::from_static(b"x")).await;
    assert!(matches!(votes, Err(NetError::Refused(_))), "{votes:?}");
    assert_eq!(refusals(&node.world, "no_certificate"), 1);
    assert!(let_in(&node, None).await, "a stranger is let in as one");
}

#[tokio::test]
async fn what_was_saved_is_shown_by_the_next_process() {
    let node = echo(2, anywhere()).expect("a port");
    let first = echo(1, anywhere()).expect("a port").world;
    let saved = credentials(&first).save().expect("it is certified");
    let next = RealWorld::node(&Handle::current(), NodeId(1), anywhere()).expect("a port").world;
    let own = credentials(&next);
    assert!(own.save().is_none());
    let whom = |node| Subject { cluster: CLUSTER, node: NodeId(node) };
    assert!(own.load(whom(3), &saved).is_err(), "it is node 1's");
    assert!(own.load(whom(1), &saved[1..]).is_err(), "it is damaged");
    assert_eq!(own.load(whom(1), &saved), Ok(()));
    for class in BOTH {
        assert!(send(&next, (2, node.address), class, "x").await.is_ok());
    }
    let of_other_key = own.certify(authority(&next), whom(1), &[7; 32], next.wall()).expect("made");
    assert!(own.show(whom(1), &of_other_key, &authority(&next).certificate).is_err());
}
