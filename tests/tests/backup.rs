//! A cluster backed up and restored into another one, with a client that followed the first.

use std::fs;
use std::path::Path;

use tests::{Client, Ran, Server, Start};

use crate::cluster::{join, node, succeeded, three, wait};

fn back_up(server: &Server, to: &Path) -> serde_json::Value {
    let to = to.display().to_string();
    let made = server.command(&["backup", "--to", &to, "--keep", "2", "--json"]);
    serde_json::from_str(&made).expect("one document")
}

fn restore(start: &Start, from: &Path) -> Ran {
    start.form(&["restore", "--from", &from.display().to_string()])
}

/// The chunks that are yet to be coded as new ones are.
fn to_recode(server: &Server) -> Option<u64> {
    server.status()["cluster"]["chunks_to_recode"].as_u64()
}

/// The files of a folder with what is in them, without what the client keeps for itself.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry"));
    let mut files: Vec<(String, Vec<u8>)> = entries
        .filter(|entry| entry.file_type().expect("a type").is_file())
        .map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry.path()))
        .map(|(name, path)| (name, fs::read(path).expect("readable")))
        .collect();
    files.sort();
    files
}

#[test]
fn a_restored_cluster_has_every_byte_and_a_client_of_before_deletes_nothing() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let backups = home.path().join("backups");
    let servers = three(home.path());
    let ann = Client::new(&servers[0], "ann@example.com");
    ann.json(&["share", "create", "Team"]);
    let work = ann.path("work");
    fs::create_dir(&work).expect("writable");
    let write = |name: &str, bytes: usize| {
        fs::write(work.join(name), crate::random_bytes(bytes)).expect("writable");
    };
    let sync = || ann.json(&["sync", "work", "Team", "--once"]);
    write("large.bin", 5 << 20);
    write("small.txt", 1_000);
    write("goes.txt", 2_000);
    sync();
    let first = back_up(&servers[1], &backups);
    assert_eq!(first["copied_chunks"], first["chunks"]);
    write("more.bin", 2 << 20);
    sync();
    let second = back_up(&servers[2], &backups);
    let added = second["chunks"].as_u64().zip(first["chunks"].as_u64()).map(|(a, b)| a - b);
    assert_eq!(second["copied_chunks"].as_u64(), added, "only what is new is copied");
    assert_eq!((&second["backup"], &second["kept"]), (&2.into(), &2.into()));
    // What happens behind the last backup is lost to the cluster, not to its clients.
    write("late.bin", 100_000);
    fs::remove_file(work.join("goes.txt")).expect("there");
    sync();

    let address = servers[0].url.trim_start_matches("http://").to_owned();
    for server in servers {
        assert_eq!(server.stop(), Some(0));
    }
    let start = Start { listen: address, ..node(home.path(), 4) };
    assert_eq!(succeeded(&restore(&start, &backups))["chunks"], second["chunks"]);
    let again = restore(&start, &backups);
    assert_eq!(again.code, Some(5), "the folder is taken: {}", again.errors);
    let restored = start.ready();
    let before = files(&work);
    sync();
    let after = files(&work);
    assert!(before.iter().all(|file| after.contains(file)), "nothing is deleted or changed");
    let names: Vec<&str> = after.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["goes.txt", "large.bin", "late.bin", "more.bin", "small.txt"]);

    wait("the new cluster has an authority", || {
        restored.try_command(&["join-token"]).code == Some(0)
    });
    let token = restored.command(&["join-token"]);
    let second = node(home.path(), 5);
    succeeded(&join(&second, &start, token.trim()));
    let second = second.ready();
    wait("all is coded for two", || to_recode(&second) == Some(0));
    // A second client sees the same through the second node, after the first one is gone.
    let mut other = Client::new(&restored, "ann@example.com");
    other.turn_to(&second);
    for (name, content) in &after {
        other.json(&["get", &format!("Team:/{name}"), "back"]);
        assert!(fs::read(other.path("back")).expect("readable") == *content, "{name}");
    }
    for server in [restored, second] {
        let log = server.log();
        assert!(!log.contains("panicked") && !log.contains("ERROR"), "{log}");
    }
}

#[test]
fn a_backup_that_is_damaged_or_none_is_refused_with_a_sentence() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let backups = home.path().join("backups");
    let server = Start::at(&home.path().join("node")).ready();
    let ann = Client::new(&server, "ann@example.com");
    ann.json(&["share", "create", "Team"]);
    fs::write(ann.path("a.bin"), crate::random_bytes(300_000)).expect("writable");
    ann.json(&["put", "a.bin", "Team:/a.bin"]);
    let foreign = server.try_command(&["backup", "--to", &home.path().display().to_string()]);
    assert_eq!(foreign.code, Some(5), "{}", foreign.errors);
    back_up(&server, &backups);

    let none = restore(&node(home.path(), 6), &home.path().join("nothing"));
    assert!(none.code == Some(1) || none.code == Some(4), "{}", none.errors);
    let pack = backups.join("packs/00000001.pack");
    let mut bytes = fs::read(&pack).expect("a pack");
    bytes[1_000] ^= 1;
    fs::write(&pack, &bytes).expect("writable");
    let start = node(home.path(), 6);
    let refused = restore(&start, &backups);
    assert_eq!(refused.code, Some(1));
    assert!(refused.errors.contains("00000001.pack is damaged: chunk "), "{}", refused.errors);
    // Nothing runs on what is half there; the same again, of a mended backup, goes on.
    let (_, said) = start.try_ready().err().expect("it does not start");
    assert!(said.contains("was being filled from a backup"), "{said}");
    bytes[1_000] ^= 1;
    fs::write(&pack, &bytes).expect("writable");
    succeeded(&restore(&start, &backups));
    start.ready();
}
