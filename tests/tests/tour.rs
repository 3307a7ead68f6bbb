//! What a user does on the first day.

use std::fs;
use std::path::Path;

use tests::{Client, Server, Start};

use crate::random_bytes;

fn server() -> (tempfile::TempDir, Server) {
    let home = tempfile::tempdir().expect("a temporary folder");
    let server = Start::at(&home.path().join("data")).ready();
    (home, server)
}

/// Every file below a folder with its content, in order.
fn tree(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(at) = folders.pop() {
        for entry in fs::read_dir(&at).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).expect("below").to_string_lossy().into_owned();
                found.push((name, fs::read(&path).expect("readable")));
            }
        }
    }
    found.sort();
    found
}

#[test]
fn a_big_file_travels_once_and_then_only_what_changed() {
    let (_home, server) = server();
    let ann = Client::new(&server, "ann@example.com");
    ann.json(&["share", "create", "Team"]);

    let mut content = random_bytes(24 << 20);
    let file = ann.path("disk.img");
    fs::write(&file, &content).expect("writable");
    let first = ann.json(&["put", "disk.img", "Team:/disk.img"]);
    assert_eq!(first["bytes"], content.len());
    assert!(first["sent_bytes"].as_u64() >= Some(content.len() as u64));

    // Two megabytes in the middle are overwritten, two near the start are inserted.
    let middle = content.len() / 2;
    content.splice(middle..middle + (2 << 20), random_bytes(2 << 20));
    fs::write(&file, &content).expect("writable");
    let second = ann.json(&["put", "disk.img", "Team:/disk.img"]);
    assert!(second["sent_bytes"].as_u64() <= Some(4 << 20), "{second}");
    content.splice(100_000..100_000, random_bytes(2 << 20));
    fs::write(&file, &content).expect("writable");
    let third = ann.json(&["put", "disk.img", "Team:/disk.img"]);
    assert!(third["sent_bytes"].as_u64() <= Some(4 << 20), "{third}");

    // Under another name nothing but its description is sent.
    fs::write(ann.path("copy.img"), &content).expect("writable");
    let copy = ann.json(&["put", "copy.img", "Team:/copy.img"]);
    assert!(copy["sent_bytes"].as_u64() <= Some(content.len() as u64 / 1_000), "{copy}");

    // Each version comes back as it was; with the old one at hand, little is fetched.
    ann.json(&["get", "Team:/disk.img", "first.img", "--version", "1"]);
    let target = ann.path("first.img");
    assert_eq!(fs::metadata(&target).expect("there").len(), 24 << 20);
    let fetched = ann.json(&["get", "Team:/disk.img", "first.img"]);
    assert_eq!(fs::read(&target).expect("readable"), content);
    assert!(fetched["received_bytes"].as_u64() <= Some(8 << 20), "{fetched}");
    let versions = ann.run(&["versions", "Team:/disk.img", "--json"]).output;
    assert_eq!(versions.lines().count(), 3, "{versions}");
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn a_tree_goes_up_and_down_and_stays_in_step() {
    let (_home, server) = server();
    let mut ann = Client::new(&server, "ann@example.com");
    let bob = Client::new(&server, "bob@example.com");
    let share = ann.json(&["share", "create", "Code", "--name-policy", "any"]);
    let here = ann.path("code");
    for folder in 0..20 {
        let folder = here.join(format!("folder {folder}/deep/er"));
        fs::create_dir_all(&folder).expect("writable");
        for file in 0..15 {
            let bytes = random_bytes(if file == 0 { 200_000 } else { file * 300 });
            fs::write(folder.join(format!("file {file}.txt")), bytes).expect("writable");
        }
    }
    fs::write(here.join("CON"), b"any name").expect("writable");
    fs::write(here.join("empty"), b"").expect("writable");
    let up = ann.json(&["sync", "code", "Code", "--once"]);
    assert_eq!(up["files"].as_u64(), Some(302), "{up}");
    // A folder that is not there may be a disk that is not mounted: it is nobody's wish to sync it.
    assert_eq!(ann.try_run(&["sync", "down", "Code", "--once"]).code, Some(4));
    fs::create_dir(ann.path("down")).expect("writable");
    ann.json(&["sync", "down", "Code", "--once"]);
    assert_eq!(tree(&here), tree(&ann.path("down")));

    // A second run moves nothing.
    let again = ann.json(&["sync", "code", "Code", "--once"]);
    assert_eq!((again["sent_bytes"].as_u64(), again["conflicts"].as_u64()), (Some(0), Some(0)));

    // Changes, deletions and new files travel both ways, also over a restart of the node.
    fs::remove_dir_all(here.join("folder 3")).expect("there");
    fs::write(here.join("folder 4/deep/er/file 2.txt"), b"changed").expect("writable");
    fs::write(ann.path("down").join("new.txt"), b"new").expect("writable");
    let start = server.kill();
    let server = start.ready();
    ann.follow(&server, "ann@example.com");
    for folder in ["code", "down", "code"] {
        ann.json(&["sync", folder, "Code", "--once"]);
    }
    assert_eq!(tree(&here), tree(&ann.path("down")));
    assert!(here.join("new.txt").exists() && !here.join("folder 3").exists());

    // Who is no member sees nothing of it.
    let mut bob = bob;
    bob.follow(&server, "bob@example.com");
    let id = share["id"].as_str().expect("a share has an id");
    assert_eq!(bob.try_run(&["ls", id]).code, Some(4));
}

#[test]
fn a_folder_that_is_moved_again_goes_on_where_it_was() {
    let (_home, server) = server();
    let ann = Client::new(&server, "ann@example.com");
    ann.run(&["share", "create", "Team"]);
    let photos = ann.path("photos");
    fs::create_dir_all(photos.join("2025/summer/sea")).expect("writable");
    for number in 0..20 {
        fs::write(photos.join(format!("2025/summer/{number}")), format!("photo {number}"))
            .expect("writable");
    }
    fs::write(photos.join("2025/summer/sea/blue"), b"blue").expect("writable");
    let up = ann.json(&["put", "-r", "photos", "Team:/"]);
    assert_eq!(up["chunks_sent"].as_u64(), Some(21), "{up}");

    // What is there is not sent again, and the folder that has the name already is the goal.
    fs::write(photos.join("2025/summer/7"), b"another").expect("writable");
    for target in ["Team:/", "Team:/photos"] {
        let up = ann.json(&["put", "-r", "photos", target]);
        let sent = if target == "Team:/" { 1 } else { 0 };
        assert_eq!(up["chunks_sent"].as_u64(), Some(sent), "{up}");
    }
    assert_eq!(ann.try_run(&["stat", "Team:/photos/photos"]).code, Some(4));
    ann.run(&["put", "-r", "photos", "Team:/photos/"]);
    ann.run(&["stat", "Team:/photos/photos/2025/summer/sea/blue"]);
    ann.run(&["rm", "-r", "Team:/photos/photos"]);

    fs::create_dir(ann.path("down")).expect("writable");
    for target in ["down", "down/photos"] {
        ann.run(&["get", "-r", "Team:/photos", target]);
        assert_eq!(tree(&photos), tree(&ann.path("down/photos")));
    }

    // One name that the share refuses does not stop the others, and what was moved is told.
    fs::write(photos.join("2025/CON"), b"a device elsewhere").expect("writable");
    fs::write(photos.join("2025/zebra"), b"a last one").expect("writable");
    let ran = ann.try_run(&["put", "-r", "photos", "Team:/", "--json"]);
    assert_eq!(ran.code, Some(1), "{}", ran.errors);
    assert!(ran.errors.contains("CON"), "{}", ran.errors);
    assert_eq!(ran.json()["files"].as_u64(), Some(22), "{}", ran.output);
    ann.run(&["stat", "Team:/photos/2025/zebra"]);
}

#[test]
fn what_was_deleted_comes_back() {
    let (_home, server) = server();
    let ann = Client::new(&server, "ann@example.com");
    ann.json(&["share", "create", "Team"]);
    ann.run(&["mkdir", "-p", "Team:/a/b"]);
    fs::write(ann.path("note.txt"), b"first").expect("writable");
    ann.json(&["put", "note.txt", "Team:/a/b/note.txt"]);
    fs::write(ann.path("note.txt"), b"second").expect("writable");
    ann.json(&["put", "note.txt", "Team:/a/b/note.txt"]);
    assert_eq!(ann.run(&["cat", "Team:/a/b/note.txt"]).output, "second");

    ann.run(&["restore", "Team:/a/b/note.txt", "--version", "1"]);
    assert_eq!(ann.run(&["cat", "Team:/a/b/note.txt"]).output, "first");

    ann.run(&["mv", "Team:/a", "Team:/z"]);
    assert_eq!(ann.run(&["cat", "Team:/z/b/note.txt"]).output, "first");
    ann.run(&["rm", "-r", "Team:/z"]);
    assert_eq!(ann.try_run(&["cat", "Team:/z/b/note.txt"]).code, Some(4));
    ann.run(&["restore", "Team:/z"]);
    assert_eq!(ann.run(&["cat", "Team:/z/b/note.txt"]).output, "first");
    ann.run(&["cp", "Team:/z/b/note.txt", "Team:/z/copy.txt"]);
    assert_eq!(ann.run(&["cat", "Team:/z/copy.txt"]).output, "first");
    assert_eq!(ann.try_run(&["cat", "Team:/nothing"]).code, Some(4));
    assert_eq!(ann.try_run(&["mkdir", "Team:/z"]).code, Some(5));
    assert_eq!(ann.try_run(&["mkdir", "Team:/CON"]).code, Some(2));
}
