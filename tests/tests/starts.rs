//! Starts that must not succeed, and what they say.

use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tests::{Server, Start, binary};

/// How long a process may take that has nothing to wait for.
const PATIENCE: Duration = Duration::from_secs(30);

fn refused(start: &Start, word: &str) {
    match start.try_ready() {
        Ok(server) => panic!("the node started: {}", server.ready),
        Err((code, said)) => {
            assert!(code.is_some_and(|code| code != 0 && code != 101), "{code:?}: {said}");
            assert!(said.contains(word), "'{word}' is not said in: {said}");
            assert!(!said.contains("panicked"), "{said}");
        }
    }
}

#[test]
fn a_data_directory_is_one_nodes_alone() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let server = Start::at(home.path()).ready();
    refused(&Start::at(home.path()), "in use");
    assert_eq!(server.stop(), Some(0));
    assert_eq!(Start::at(home.path()).ready().stop(), Some(0));
}

#[test]
fn a_folder_of_somebody_else_is_left_alone() {
    let home = tempfile::tempdir().expect("a temporary folder");
    fs::write(home.path().join("thesis.txt"), b"years of work").expect("writable");
    refused(&Start::at(home.path()), "other things");
    let left: Vec<_> = fs::read_dir(home.path()).expect("a folder").collect();
    assert_eq!(left.len(), 1);
}

#[test]
fn data_of_a_newer_version_is_not_touched() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let data = home.path().join("data");
    let start = Start::at(&data);
    assert_eq!(start.ready().stop(), Some(0));
    let format = newer(&data.join("raft"));
    refused(&start, "newer");
    fs::write(data.join("raft/format"), format).expect("writable");
    assert_eq!(start.ready().stop(), Some(0));
}

/// Raises the version in a format file; the bytes it had.
fn newer(folder: &Path) -> Vec<u8> {
    let path = folder.join("format");
    let bytes = fs::read(&path).expect("the format file is there");
    // A magic of eight bytes, then the version.
    let mut raised = bytes.clone();
    raised[8] += 1;
    fs::write(&path, raised).expect("writable");
    bytes
}

#[test]
fn a_taken_port_is_named() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let server = Start::at(&home.path().join("first")).ready();
    let taken = server.ready["listen"].as_str().expect("an address").to_owned();
    let mut second = Start::at(&home.path().join("second"));
    second.listen = taken;
    refused(&second, "in use");
}

#[test]
fn a_setting_that_nobody_knows_is_told_with_its_line() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let config = home.path().join("node.toml");
    fs::write(&config, "zone = \"a\"\nzoen = \"b\"\n").expect("writable");
    let mut start = Start::at(&home.path().join("data"));
    start.flags = vec!["--config".to_owned(), config.to_string_lossy().into_owned()];
    refused(&start, "zoen");
    fs::write(&config, "zone = 7\n").expect("writable");
    refused(&start, "line 1");
    fs::write(&config, "zone = \"a\"\n").expect("writable");
    assert_eq!(start.ready().stop(), Some(0));
}

#[test]
fn several_drives_hold_what_one_of_them_loses() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let folders: Vec<_> = (0..3).map(|drive| home.path().join(format!("drive{drive}"))).collect();
    let start = Start { data_dirs: folders.clone(), ..Start::at(home.path()) };
    let server = start.ready();
    let mut ann = tests::Client::new(&server, "ann@example.com");
    ann.json(&["share", "create", "Team"]);
    let content = crate::random_bytes(5 << 20);
    fs::write(ann.path("a.bin"), &content).expect("writable");
    ann.json(&["put", "a.bin", "Team:/a.bin"]);
    assert_eq!(server.stop(), Some(0));

    // The third drive is replaced by an empty one.
    fs::remove_dir_all(&folders[2]).expect("there");
    let server = start.ready();
    ann.follow(&server, "ann@example.com");
    ann.json(&["get", "Team:/a.bin", "back.bin"]);
    assert_eq!(fs::read(ann.path("back.bin")).expect("readable"), content);
}

#[test]
fn a_node_that_waits_for_the_others_stops_when_it_is_told() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let servers = crate::cluster::three(home.path());
    let starts: Vec<Start> = servers.into_iter().map(Server::kill).collect();
    let [first, ..] = starts.as_slice() else { panic!("there were three") };
    let mut child = Command::new(binary("scaidrived"))
        .args(["--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"])
        .args(["--cluster-listen", &first.cluster_listen, "--data-dir"])
        .arg(&first.data_dirs[0])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary can be started");
    let begun = Instant::now();
    let mut told = false;
    while child.try_wait().expect("it is ours").is_none() && begun.elapsed() < PATIENCE {
        // It listens for signals before it does for nodes.
        if !told && TcpStream::connect(&first.cluster_listen).is_ok() {
            kill_process(Pid::from_child(&child), Signal::TERM).expect("it is ours");
            told = true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    // One that has ended keeps its code.
    let _ = child.kill();
    assert_eq!(child.wait().expect("it is ours").code(), Some(0));
}
