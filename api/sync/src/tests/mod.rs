//! Whole runs against a server in memory.
#![expect(clippy::disallowed_methods, reason = "the tests are the person whose files these are")]

mod deletions;
mod feed;
mod parts;
mod troubles;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use api_client::{Client, Credentials, Patience, Settings};
use indicatif::ProgressBar;
use node_base::NamePolicy;
use node_os::RealWorld;

use crate::engine::{Engine, Figures, WorldMachine};
use crate::failure::Failure;
use crate::fake::{self, SHARE, Server};
use crate::scan::Selection;
use crate::state::State;
use crate::sync::{self, Outcome, Pair};

/// A person with a folder.
struct Person {
    home: tempfile::TempDir,
    address: String,
    exclude: Vec<String>,
    select: Vec<String>,
}

impl Person {
    fn new(address: &str) -> Self {
        let home = tempfile::tempdir().expect("a folder");
        fs::create_dir(home.path().join("files")).expect("made");
        Self { home, address: address.to_owned(), exclude: Vec::new(), select: Vec::new() }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.home.path().join("files").join(path)
    }

    fn write(&self, path: &str, bytes: &[u8]) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().expect("below the root")).expect("made");
        fs::write(path, bytes).expect("written");
    }

    fn engine(&self) -> Engine {
        let world = RealWorld::client(&tokio::runtime::Handle::current());
        let settings = Settings {
            addresses: vec![self.address.clone()],
            credentials: Credentials::default(),
            patience: Patience { attempts: 2, ..Patience::default() },
            extra_roots_pem: Vec::new(),
            user_agent: "test".to_owned(),
        };
        let client = Client::new(settings, WorldMachine(world.clone())).expect("well-formed");
        Engine::new(client, world, ProgressBar::hidden())
    }

    async fn sync_with(&self, adjust: impl FnOnce(&mut Pair)) -> (Figures, Outcome) {
        self.try_sync(adjust).await.expect("it runs")
    }

    async fn try_sync(
        &self,
        adjust: impl FnOnce(&mut Pair),
    ) -> Result<(Figures, Outcome), Failure> {
        let mut pair = Pair {
            root: self.home.path().join("files"),
            share_id: SHARE.to_owned(),
            folder_id: None,
            policy: NamePolicy::Portable,
            selection: Selection::new(&self.exclude, &self.select).expect("well-formed"),
            accept_deletions: false,
            merge: false,
            device: "laptop".to_owned(),
        };
        adjust(&mut pair);
        let engine = self.engine();
        let state = State::open(&self.home.path().join("state")).expect("opened");
        let outcome = sync::once(&engine, &pair, state).await?;
        Ok((engine.figures(), outcome))
    }

    async fn sync(&self) -> Figures {
        let (figures, outcome) = self.sync_with(|_| ()).await;
        assert!(outcome.failure().is_none(), "{:?}", outcome.problems);
        figures
    }

    fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let mut files = BTreeMap::new();
        let root = self.path("");
        let mut open = vec![root.clone()];
        while let Some(folder) = open.pop() {
            for entry in fs::read_dir(folder).expect("listed") {
                let path = entry.expect("listed").path();
                if path.is_dir() {
                    open.push(path);
                } else {
                    let name = path.strip_prefix(&root).expect("below").display().to_string();
                    files.insert(name, fs::read(&path).expect("read"));
                }
            }
        }
        files
    }
}

fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut seed = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        bytes.extend(seed.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

type Shared = Arc<Mutex<Server>>;

fn server(shared: &Shared) -> std::sync::MutexGuard<'_, Server> {
    shared.lock().expect("not poisoned")
}

fn alike(person: &Person, shared: &Shared) {
    let there = server(shared).files();
    let there: BTreeMap<String, Vec<u8>> =
        there.into_iter().map(|(path, bytes)| (path, bytes.to_vec())).collect();
    let here = person.files();
    assert_eq!(here.keys().collect::<Vec<_>>(), there.keys().collect::<Vec<_>>());
    assert!(here == there, "the contents are the same");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tree_goes_up_and_comes_down_elsewhere_and_then_nothing_moves() {
    let (address, shared) = fake::serve().await;
    let (ann, bob) = (Person::new(&address), Person::new(&address));
    for i in 0..600 {
        ann.write(&format!("d{}/e/f{i}", i % 7), format!("content {i}").as_bytes());
    }
    ann.write("empty", b"");
    ann.write("large", &noise(1, 3 << 20));
    let figures = ann.sync().await;
    assert_eq!((figures.files, figures.conflicts), (602, 0));
    alike(&ann, &shared);
    server(&shared).forget_requests();
    let figures = ann.sync().await;
    assert_eq!((figures.files, figures.sent_bytes), (0, 0));
    assert_eq!(server(&shared).asked, ["GET /api/v1/sync/changes"]);
    let figures = bob.sync().await;
    assert_eq!(figures.files, 602);
    alike(&bob, &shared);
    let times = |person: &Person| {
        fs::metadata(person.path("large")).and_then(|file| file.modified()).expect("has a time")
    };
    let millis = |time: std::time::SystemTime| {
        time.duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_millis()
    };
    assert_eq!(millis(times(&ann)), millis(times(&bob)));
    server(&shared).forget_requests();
    assert_eq!(bob.sync().await.files, 0);
    assert_eq!(server(&shared).asked, ["GET /api/v1/sync/changes"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_in_a_large_file_sends_and_fetches_little_more_than_itself() {
    let (address, shared) = fake::serve().await;
    let (ann, bob) = (Person::new(&address), Person::new(&address));
    let mut bytes = noise(2, 12 << 20);
    ann.write("large", &bytes);
    ann.sync().await;
    bob.sync().await;
    let middle = 6 << 20;
    bytes.splice(middle..middle, noise(3, 1 << 20));
    ann.write("large", &bytes);
    let figures = ann.sync().await;
    assert!(figures.sent_bytes < 4 << 20, "{} bytes were sent", figures.sent_bytes);
    let figures = bob.sync().await;
    assert!(figures.received_bytes < 4 << 20, "{} bytes were received", figures.received_bytes);
    alike(&bob, &shared);
    // The same content under another name: nothing but its description travels.
    ann.write("copy", &bytes);
    let figures = ann.sync().await;
    assert!(figures.sent_bytes < 24 << 10, "{} bytes were sent", figures.sent_bytes);
    assert_eq!(figures.chunks_sent, 0);
    let figures = bob.sync().await;
    assert!(figures.received_bytes < 64 << 10, "{} bytes were received", figures.received_bytes);
    alike(&bob, &shared);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deletions_moves_and_edits_travel_both_ways() {
    let (address, shared) = fake::serve().await;
    let ann = Person::new(&address);
    for name in ["gone-here", "gone-there", "d/moved-there", "e/moved-here", "edited"] {
        ann.write(name, name.as_bytes());
    }
    ann.sync().await;
    fs::remove_file(ann.path("gone-here")).expect("removed");
    fs::rename(ann.path("e"), ann.path("n")).expect("moved");
    ann.write("edited", b"by ann");
    server(&shared).delete("gone-there");
    server(&shared).shift("d", "m");
    server(&shared).forget_requests();
    let figures = ann.sync().await;
    assert_eq!(figures.files, 1, "only the edit moves bytes");
    alike(&ann, &shared);
    let names: Vec<String> = ann.files().into_keys().collect();
    assert_eq!(names, ["edited", "m/moved-there", "n/moved-here"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_edits_are_both_kept_on_both_sides() {
    let (address, shared) = fake::serve().await;
    let ann = Person::new(&address);
    ann.write("x.txt", b"first");
    ann.write("same", b"first");
    ann.sync().await;
    ann.write("x.txt", b"by ann");
    server(&shared).write("x.txt", b"by bob");
    ann.write("same", b"alike");
    server(&shared).write("same", b"alike");
    let figures = ann.sync().await;
    assert_eq!(figures.conflicts, 1);
    alike(&ann, &shared);
    let files = ann.files();
    assert_eq!(files["x.txt"], b"by bob");
    let (aside, content) = files.iter().find(|(name, _)| name.contains("conflict")).expect("kept");
    assert!(aside.starts_with("x (conflict of laptop 2") && aside.ends_with(").txt"), "{aside}");
    assert_eq!(content, b"by ann");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_broke_off_goes_on_where_it_was() {
    let (address, shared) = fake::serve().await;
    let ann = Person::new(&address);
    ann.write("large", &noise(5, 14 << 20));
    server(&shared).batches_left = Some(2);
    let (_, outcome) = ann.sync_with(|_| ()).await;
    assert!(outcome.failure().is_some());
    server(&shared).batches_left = None;
    server(&shared).forget_requests();
    let figures = ann.sync().await;
    assert!(figures.sent_bytes < 8 << 20, "{} bytes were sent again", figures.sent_bytes);
    let opened =
        server(&shared).asked.iter().filter(|line| *line == "POST /api/v1/uploads").count();
    assert_eq!(opened, 0, "the old session is taken up");
    alike(&ann, &shared);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chunk_that_went_away_before_the_completion_is_sent_again() {
    let (address, shared) = fake::serve().await;
    let ann = Person::new(&address);
    ann.write("large", &noise(7, 1 << 20));
    ann.sync().await;
    ann.write("copy", &noise(7, 1 << 20));
    server(&shared).loses_a_chunk = true;
    assert_eq!(ann.sync().await.chunks_sent, 1);
    alike(&ann, &shared);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_download_that_broke_off_goes_on_where_it_was() {
    let (address, shared) = fake::serve().await;
    let ann = Person::new(&address);
    let bytes = noise(6, 8 << 20);
    server(&shared).write("large", &bytes);
    // What a killed run leaves: the file on its way, with half of it good.
    let mut half = bytes.clone();
    half[4 << 20..].fill(0);
    let part = crate::scan::part_name("large", "ver_fil_1_1");
    ann.write(&part, &half);
    let figures = ann.sync().await;
    assert!(figures.received_bytes < 5 << 20, "{} bytes came again", figures.received_bytes);
    alike(&ann, &shared);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_folder_deletes_nothing_until_that_is_meant() {
    let (address, shared) = fake::serve().await;
    let ann = Person::new(&address);
    ann.write("x", b"x");
    ann.sync().await;
    fs::remove_file(ann.path("x")).expect("removed");
    let (_, outcome) = ann.sync_with(|_| ()).await;
    assert_eq!((outcome.held, server(&shared).files().len()), (1, 1));
    assert!(outcome.failure().is_some());
    let (_, outcome) = ann.sync_with(|pair| pair.merge = true).await;
    assert!(outcome.failure().is_none());
    alike(&ann, &shared);
    fs::remove_file(ann.path("x")).expect("removed");
    let (_, outcome) = ann.sync_with(|pair| pair.accept_deletions = true).await;
    assert!(outcome.failure().is_none());
    assert_eq!(server(&shared).files().len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_the_server_was_restored_from_a_backup_nothing_here_is_deleted() {
    let (address, shared) = fake::serve().await;
    let ann = Person::new(&address);
    ann.write("old", b"old");
    ann.write("new", b"new");
    ann.sync().await;
    server(&shared).delete("new");
    server(&shared).incarnation += 1;
    let (_, outcome) = ann.sync_with(|_| ()).await;
    assert!(outcome.merged);
    assert_eq!(ann.files().len(), 2);
    alike(&ann, &shared);
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_unix_bit_travels_and_links_are_left_alone() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let (address, shared) = fake::serve().await;
    let (ann, bob) = (Person::new(&address), Person::new(&address));
    ann.write("tool", b"#!/bin/sh");
    ann.sync().await;
    bob.sync().await;
    fs::set_permissions(ann.path("tool"), fs::Permissions::from_mode(0o755)).expect("marked");
    symlink("/etc", ann.path("link")).expect("made");
    server(&shared).write("link/passwd", b"from elsewhere");
    let (_, outcome) = ann.sync_with(|_| ()).await;
    let left: Vec<&str> = outcome.left_alone.iter().map(|left| left.path.as_str()).collect();
    assert_eq!(left, ["link"]);
    assert!(!Path::new("/etc/passwd.part").exists());
    assert!(server(&shared).is_executable("tool"));
    assert!(server(&shared).files().contains_key("link/passwd"), "nothing was deleted there");
    bob.sync().await;
    let mode = fs::metadata(bob.path("tool")).expect("there").permissions().mode();
    assert_eq!(mode & 0o111, 0o111);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_excluded_stays_on_its_side() {
    let (address, shared) = fake::serve().await;
    let mut ann = Person::new(&address);
    ann.exclude = vec!["target".to_owned(), "*.tmp".to_owned()];
    ann.write("a/target/x", b"x");
    ann.write("b.tmp", b"x");
    ann.write("c", b"c");
    server(&shared).write("d/e.tmp", b"there");
    server(&shared).write("target/y", b"there");
    ann.sync().await;
    let there: Vec<String> = server(&shared).files().into_keys().collect();
    assert_eq!(there, ["c", "d/e.tmp", "target/y"]);
    let here: Vec<String> = ann.files().into_keys().collect();
    assert_eq!(here, ["a/target/x", "b.tmp", "c"]);
}
