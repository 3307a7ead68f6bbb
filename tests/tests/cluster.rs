//! Several nodes, formed by the commands that people type, on loopback addresses of their own.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;
use tests::{Client, Ran, Server, Start};

const PATIENCE: Duration = Duration::from_secs(60);

/// A node of its own loopback address, with its data in a folder of this number.
pub(crate) fn node(home: &Path, number: u8) -> Start {
    let host = format!("127.0.0.{}", 20 + number);
    let free = TcpListener::bind((host.as_str(), 0)).expect("a loopback address");
    let cluster_listen = free.local_addr().expect("bound").to_string();
    Start {
        listen: format!("{host}:0"),
        cluster_listen,
        environment: vec![("SCAIDRIVE_CHUNKS_CARE_SECONDS".to_owned(), "1".to_owned())],
        ..Start::at(&home.join(format!("node{number}")))
    }
}

/// Looks until it is so.
pub(crate) fn wait(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

pub(crate) fn succeeded(ran: &Ran) -> Value {
    assert_eq!(ran.code, Some(0), "{}", ran.errors);
    ran.json()
}

pub(crate) fn join(start: &Start, via: &Start, token: &str) -> Ran {
    start.form(&["join", "--via", &via.cluster_listen, "--token", token])
}

/// The nodes as one of them sees them.
fn seen(server: &Server) -> Vec<Value> {
    server.status()["cluster"]["nodes"].as_array().expect("a list").clone()
}

fn are_up(server: &Server, voters: usize) -> bool {
    let nodes = seen(server);
    let votes = nodes.iter().filter(|node| node["role"] == "voter" || node["role"] == "leader");
    votes.count() == voters && nodes.iter().all(|node| node["state"] == "up")
}

/// A cluster of three, formed by commands.
pub(crate) fn three(home: &Path) -> Vec<Server> {
    let starts = [node(home, 1), node(home, 2), node(home, 3)];
    let founded = succeeded(&starts[0].form(&["init"]));
    let token = founded["join_token"].as_str().expect("a token");
    let first = starts[0].ready();
    assert_eq!(succeeded(&join(&starts[1], &starts[0], token))["node"], 2);
    let second = starts[1].ready();
    let token = second.command(&["join-token"]);
    assert_eq!(succeeded(&join(&starts[2], &starts[1], token.trim()))["node"], 3);
    let servers = vec![first, second, starts[2].ready()];
    wait("three nodes vote", || servers.iter().all(|server| are_up(server, 3)));
    servers
}

/// The place of the node that leads.
fn leader(servers: &[Server]) -> usize {
    let leader = servers[0].status()["leader"].as_u64();
    servers.iter().position(|server| server.status()["node"].as_u64() == leader).expect("one leads")
}

#[test]
fn three_nodes_serve_as_one_and_outlive_their_leader() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let mut servers = three(home.path());
    let mut ann = Client::new(&servers[0], "ann@example.com");
    ann.json(&["share", "create", "Team"]);
    let content = crate::random_bytes(3 << 20);
    fs::write(ann.path("a.bin"), &content).expect("writable");
    ann.turn_to(&servers[1]);
    ann.json(&["put", "a.bin", "Team:/a.bin"]);
    ann.turn_to(&servers[2]);
    ann.json(&["get", "Team:/a.bin", "back.bin"]);
    assert!(fs::read(ann.path("back.bin")).expect("readable") == content);

    let dead = servers.remove(leader(&servers));
    let urls = [&dead.url, &servers[0].url, &servers[1].url].map(|url| url.to_owned());
    let dead = dead.kill();
    // Told of all nodes, the client finds one that answers, and waits until it can.
    ann.turn_to_any(&urls.each_ref().map(String::as_str));
    ann.json(&["put", "a.bin", "Team:/b.bin"]);
    ann.turn_to(&servers[1]);
    for name in ["Team:/a.bin", "Team:/b.bin"] {
        ann.json(&["get", name, "back.bin"]);
        assert!(fs::read(ann.path("back.bin")).expect("readable") == content, "{name}");
    }
    assert!(seen(&servers[0]).iter().any(|node| node["state"] == "down"), "status tells of it");

    servers.push(dead.ready());
    wait("all three are back", || servers.iter().all(|server| are_up(server, 3)));
    ann.turn_to(&servers[2]);
    ann.json(&["get", "Team:/b.bin", "back.bin"]);
    assert!(fs::read(ann.path("back.bin")).expect("readable") == content);
    for server in servers {
        let log = server.log();
        assert!(!log.contains("panicked") && !log.contains("ERROR"), "{log}");
        assert_eq!(server.stop(), Some(0));
    }
}

#[test]
fn a_drained_node_can_be_removed_and_nothing_is_lost() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let mut servers = three(home.path());
    let mut ann = Client::new(&servers[0], "ann@example.com");
    ann.json(&["share", "create", "Team"]);
    let content = crate::random_bytes(2 << 20);
    fs::write(ann.path("a.bin"), &content).expect("writable");
    ann.json(&["put", "a.bin", "Team:/a.bin"]);

    let early = servers[0].try_command(&["remove", "3"]);
    assert_eq!(early.code, Some(2));
    assert!(early.errors.contains("drain it first"), "{}", early.errors);
    let drained = servers[0].command(&["drain", "3"]);
    assert!(drained.contains("may be removed"), "{drained}");
    servers[1].command(&["remove", "3"]);
    let mut gone = servers.remove(2);
    wait("the removed node ends", || !gone.runs());
    assert!(gone.log().contains("removed from the cluster"), "{}", gone.log());
    assert_eq!(seen(&servers[0]).len(), 2);
    let again = gone.kill().try_ready().err().expect("it is of no cluster");
    assert!(again.1.contains("removed from the cluster"), "{}", again.1);

    for server in &servers {
        ann.turn_to(server);
        ann.json(&["get", "Team:/a.bin", "back.bin"]);
        assert!(fs::read(ann.path("back.bin")).expect("readable") == content);
    }
    assert!(servers[0].command(&["status"]).contains("cluster of 2 nodes"));
}

fn refused(ran: &Ran, code: i32, word: &str) {
    assert_eq!(ran.code, Some(code), "{}{}", ran.output, ran.errors);
    assert!(ran.errors.contains(word), "'{word}' is not said in: {}", ran.errors);
    assert!(!ran.errors.contains("panicked"), "{}", ran.errors);
}

#[test]
fn who_cannot_join_is_told_why_and_the_cluster_goes_on() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let (at, joining) = (node(home.path(), 4), node(home.path(), 5));
    let server = at.ready();
    let new_token = || server.command(&["join-token"]).trim().to_owned();
    let token = new_token();
    let (secret, authority) = token.split_once('.').expect("two parts");

    refused(&join(&joining, &at, secret), 2, "cut off or mistyped");
    let forged = format!("{}.{authority}", secret.replace(['1', '2', '3'], "0"));
    refused(&join(&joining, &at, &forged), 3, "not one of this cluster");
    let foreign = format!("{secret}.{}", "0f".repeat(32));
    refused(&join(&joining, &at, &foreign), 1, "another cluster");
    let form = |via: &str, more: &[&str]| {
        joining.form(&[&["join", "--via", via, "--token", &token], more].concat())
    };
    refused(&form(&at.cluster_listen, &["--node", "1"]), 5, "the number 1");
    let http = server.ready["listen"].as_str().expect("an address").to_owned();
    refused(&form(&http, &[]), 1, "TLS");
    refused(&form("127.0.0.99:9", &[]), 6, "127.0.0.99:9");
    assert_eq!(form(&at.cluster_listen, &[]).code, Some(0), "the token is still good");
    refused(&form(&at.cluster_listen, &[]), 5, "node 2");
    let late = node(home.path(), 6);
    refused(&join(&late, &at, &token), 3, "used up");
    refused(&late.form(&["init", "--advertise", "", "--zone", "z", "--bogus"]), 2, "--bogus");

    // What speaks HTTP to the port for nodes is hung up on, and counted.
    let mut stream = TcpStream::connect(&at.cluster_listen).expect("it listens");
    std::io::Write::write_all(&mut stream, b"GET / HTTP/1.1\r\n\r\n").expect("sent");
    let _ = std::io::Read::read_to_end(&mut stream, &mut Vec::new());
    wait("the stranger is logged", || server.log().contains("it does not speak TLS"));
    // The second node has not started: alone, the first one still leads.
    assert_eq!(server.token("ann@example.com").split('.').count(), 3);
    assert_eq!(server.stop(), Some(0));
}
