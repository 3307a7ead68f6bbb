//! Content on its way, while several runs are at work in one folder.

use std::fs;

use super::{Person, alike, server};
use crate::disk::Part;
use crate::fake;
use crate::scan::part_name;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_run_is_writing_is_not_cleared_away_and_what_nobody_writes_is() {
    let (address, shared) = fake::serve().await;
    let ann = Person::new(&address);
    server(&shared).write("x", b"x");
    let (held, left) = (ann.path(&part_name("a", "ver_1")), ann.path(&part_name("b", "ver_1")));
    fs::write(&left, b"left").expect("written");
    let part = Part::claim(&held, false).expect("claimed");
    ann.sync().await;
    assert!(held.exists() && !left.exists());
    drop(part);
    fs::remove_file(held).expect("removed");
    alike(&ann, &shared);
}

#[test]
fn a_part_is_written_by_one_and_takes_its_place_only_if_it_still_is_itself() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, target) = (folder.path().join("part"), folder.path().join("x"));
    let part = Part::claim(&path, false).expect("claimed");
    assert!(Part::claim(&path, false).is_err(), "it is held");
    part.write_at(b"whole", 0).expect("written");
    // Somebody clears it away and begins anew.
    fs::remove_file(&path).expect("removed");
    fs::write(&path, b"h").expect("written");
    assert!(part.take_place(&target, None).is_err());
    assert!(!target.exists());
    drop(part);
    let part = Part::claim(&path, false).expect("claimed");
    assert!(part.take_place(&target, None).expect("renamed"));
    assert_eq!(fs::read(target).expect("read"), b"h");
}

#[cfg(unix)]
#[test]
fn what_replaces_a_private_file_is_private_from_its_first_byte() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("part");
    let part = Part::claim(&path, true).expect("claimed");
    let mode = fs::metadata(&path).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    drop(part);
}
