//! The stories that are measured. Each makes its data, takes its yardstick, then has ours do it.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::failure::Failure;

use super::client::{Client, Node};
use super::data::{self, Sizes};
use super::http::Connection;
use super::row::{Figure, Row};
use super::yardstick::{Daemon, openssl_sha256};

/// One node, one share, and a yardstick's daemon beside them.
pub(crate) struct Bench {
    node: Node,
    daemon: Daemon,
    first: Client,
    share: String,
    binaries: PathBuf,
    scratch: PathBuf,
    sizes: Sizes,
}

type Scenario = fn(&mut Bench) -> Result<Vec<Row>, Failure>;

pub(crate) const SCENARIOS: [(&str, Scenario); 6] = [
    ("large", large),
    ("memory", memory),
    ("delta", delta),
    ("small", small),
    ("listing", listing),
    ("many", many),
];

/// What a node may hold in memory while ten large files go up, and just after its start.
const MEMORY_MAX: Figure = Figure::Bytes(400_000_000);
const MEMORY_IDLE_MAX: Figure = Figure::Bytes(120_000_000);

/// 4 MB may be sent where rsync, with the file sizes above, sends 2.12 MB.
const RSYNC_BOUND: f64 = 1.88;
/// Requests timed for one figure.
const REQUESTS: usize = 500;

impl Bench {
    pub(crate) fn start(binaries: &Path, scratch: &Path, sizes: Sizes) -> Result<Self, Failure> {
        let node = Node::start(binaries, scratch)?;
        let daemon = Daemon::start(scratch)?;
        let first = node.client(scratch.join("first"));
        let share = first.share()?;
        let (binaries, scratch) = (binaries.to_owned(), scratch.to_owned());
        Ok(Self { node, daemon, first, share, binaries, scratch, sizes })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scratch.join(name)
    }

    fn remote(&self, path: &str) -> String {
        format!("{}:/{path}", self.share)
    }
}

/// A large file up and down.
fn large(bench: &mut Bench) -> Result<Vec<Row>, Failure> {
    let mut best = [Figure::Seconds(f64::INFINITY); 3];
    // What else this machine's host does comes and goes: each is the better of two, in turn.
    for seed in [12, 13] {
        let large = bench.path("large.bin");
        data::file(&large, bench.sizes.large, seed)?;
        let hashing = openssl_sha256(&large)?;
        let remote = bench.remote(&format!("large-{seed}.bin"));
        let up = bench.first.transfer(&["put", text(&large), &remote])?;
        let back = bench.path(&format!("large-{seed}.back"));
        let down = bench.first.transfer(&["get", &remote, text(&back)])?;
        for (best, now) in best.iter_mut().zip([hashing, up.took, down.took]) {
            *best = best.better(now);
        }
    }
    let [hashing, up, down] = best;
    let against = "openssl dgst -sha256 of it";
    Ok(vec![
        Row { name: "upload-large", ours: up, yardstick: hashing, against, bound: 3.0 },
        Row { name: "download-large", ours: down, yardstick: hashing, against, bound: 2.0 },
    ])
}

/// Ten large files up, one after the other: what the node holds in memory meanwhile.
fn memory(bench: &mut Bench) -> Result<Vec<Row>, Failure> {
    bench.node.stop_and_start()?;
    bench.first = bench.node.client(bench.path("first"));
    let idle = bench.node.peak_memory()?;
    let file = bench.path("memory.bin");
    for number in 0..10 {
        data::file(&file, bench.sizes.large, 100 + number)?;
        let remote = bench.remote(&format!("memory-{number}.bin"));
        bench.first.transfer(&["put", text(&file), &remote])?;
    }
    Ok(vec![
        Row {
            name: "memory-idle",
            ours: idle,
            yardstick: MEMORY_IDLE_MAX,
            against: "what it may hold after its start",
            bound: 1.0,
        },
        Row {
            name: "memory-uploading",
            ours: bench.node.peak_memory()?,
            yardstick: MEMORY_MAX,
            against: "what it may hold while ten such files go up",
            bound: 1.0,
        },
    ])
}

/// A file that is edited: what travels.
fn delta(bench: &mut Bench) -> Result<Vec<Row>, Failure> {
    let sizes = bench.sizes;
    let folder = bench.path("delta");
    std::fs::create_dir_all(&folder).map_err(Failure::file(&folder))?;
    let edited = folder.join("edited.bin");
    let name = "edited.bin";
    let remote = bench.remote("delta/edited.bin");
    data::file(&edited, sizes.edited, 21)?;
    bench.daemon.send(&edited, name)?;
    let there = bench.remote("delta");
    bench.first.ask(&["mkdir", &there])?;
    bench.first.transfer(&["put", text(&edited), &remote])?;

    data::overwrite(&edited, sizes.edited / 2, sizes.edit, 22)?;
    let rsync_overwrite = bench.daemon.send(&edited, name)?;
    let overwrite = bench.first.transfer(&["put", text(&edited), &remote])?.sent;

    data::insert(&edited, sizes.edited / 100, sizes.edit, 23)?;
    let rsync_insert = bench.daemon.send(&edited, name)?;
    let insert = bench.first.transfer(&["put", text(&edited), &remote])?.sent;

    let again = bench.remote("delta-again.bin");
    let again = bench.first.transfer(&["put", text(&edited), &again])?.sent;

    let second = bench.node.client(bench.path("second"));
    let mirror = bench.path("mirror");
    std::fs::create_dir_all(&mirror).map_err(Failure::file(&mirror))?;
    let sync = ["sync", text(&mirror), &there, "--once"];
    second.transfer(&sync)?;
    data::overwrite(&edited, sizes.edited / 3, 1, 24)?;
    bench.first.transfer(&["put", text(&edited), &remote])?;
    let seen = second.transfer(&sync)?.received;

    let whole = Figure::Bytes(sizes.edited + sizes.edit);
    let rsync = "bytes that rsync sent";
    let size = "bytes of the file";
    Ok(vec![
        Row {
            name: "sent-after-overwrite",
            ours: overwrite,
            yardstick: rsync_overwrite,
            against: rsync,
            bound: RSYNC_BOUND,
        },
        Row {
            name: "sent-after-insertion",
            ours: insert,
            yardstick: rsync_insert,
            against: rsync,
            bound: RSYNC_BOUND,
        },
        Row {
            name: "sent-for-known-content",
            ours: again,
            yardstick: whole,
            against: size,
            bound: 0.001,
        },
        Row {
            name: "fetched-for-one-byte",
            ours: seen,
            yardstick: whole,
            against: size,
            bound: 0.004,
        },
    ])
}

/// Many small files up.
fn small(bench: &mut Bench) -> Result<Vec<Row>, Failure> {
    let folder = bench.path("small");
    data::small_files(&folder, bench.sizes.small_files, bench.sizes.small, 31)?;
    let rsync = bench.daemon.copy_synced(&folder, "small")?;
    let there = bench.remote("small");
    bench.first.ask(&["mkdir", &there])?;
    let up = bench.first.transfer(&["sync", text(&folder), &there, "--once"])?;
    Ok(vec![Row {
        name: "sync-small-files",
        ours: up.took,
        yardstick: rsync,
        against: "rsync --fsync of them to a daemon",
        bound: 2.0,
    }])
}

/// A page of a folder in which each file has an entry of its own.
fn listing(bench: &mut Bench) -> Result<Vec<Row>, Failure> {
    let page = (bench.sizes.small_files / 10).clamp(1, 1_000);
    let small = bench.list_page("page", page, page, 41)?;
    let large = bench.list_page("pages", bench.sizes.small_files, page, 42)?;
    Ok(vec![Row {
        name: "list-page",
        ours: large,
        yardstick: small,
        against: "p99 of the same page where it is the whole folder",
        bound: 2.0,
    }])
}

/// What must not grow with the number of files: asking for changes when there are none, starting.
fn many(bench: &mut Bench) -> Result<Vec<Row>, Failure> {
    let connect = |bench: &Bench| Connection::open(bench.node.url(), &bench.node.token);
    let changes = format!("/api/v1/sync/changes?share_id={}", bench.share);
    let idle_before = connect(bench)?.poll(&changes)?;

    let (folder, there) = (bench.path("many"), bench.remote("many"));
    // A folder of more is not copied in one step.
    let files = bench.sizes.small_files / 2;
    data::flat_files(&folder, files, 0, 51)?;
    bench.first.ask(&["mkdir", &there])?;
    bench.first.transfer(&["sync", text(&folder), &there, "--once"])?;
    let copy = format!("/api/v1/folders/{}/copy", bench.id(&there)?);
    let mut connection = connect(bench)?;
    for number in 1..bench.sizes.many_files / files {
        let name = format!("many-{number}");
        let target = json!({ "target_share_id": bench.share, "name": name });
        connection.post(&copy, &target)?;
    }
    let idle_after = connection.poll(&changes)?;

    let empty = Node::start(&bench.binaries, &bench.path("empty"))?.started;
    bench.node.stop_and_start()?;
    let stopped = bench.node.started;
    bench.node.kill_and_start()?;
    let killed = bench.node.started;
    bench.first = bench.node.client(bench.path("first"));
    let against = "the start of an empty node";
    Ok(vec![
        Row {
            name: "poll-idle",
            ours: idle_after,
            yardstick: idle_before,
            against: "p99 of the same before the files came",
            bound: 3.0,
        },
        Row { name: "start-many-files", ours: stopped, yardstick: empty, against, bound: 2.5 },
        Row { name: "start-after-kill", ours: killed, yardstick: empty, against, bound: 2.5 },
    ])
}

impl Bench {
    /// The id of what is at a path.
    fn id(&self, there: &str) -> Result<String, Failure> {
        let answer = self.first.ask(&["stat", there])?;
        answer["id"].as_str().map(str::to_owned).ok_or_else(|| Failure::Answer {
            from: format!("stat {there}"),
            wanted: "an id",
            got: answer.to_string(),
        })
    }

    /// The p99 of listing the last page of a folder of `files`, each with an entry of its own.
    fn list_page(&self, name: &str, files: u64, page: u64, seed: u64) -> Result<Figure, Failure> {
        let (folder, there) = (self.path(name), self.remote(name));
        data::flat_files(&folder, files, 16, seed)?;
        self.first.ask(&["mkdir", &there])?;
        self.first.transfer(&["sync", text(&folder), &there, "--once"])?;
        let mut connection = Connection::open(self.node.url(), &self.node.token)?;
        let children = format!("/api/v1/folders/{}/children?limit={page}", self.id(&there)?);
        let entry = json!({
            "principal_type": "everyone", "ace_type": "allow", "permissions": ["READ"],
        });
        for from in (0..files).step_by(page.try_into().unwrap_or(usize::MAX)) {
            let listed = connection.get(&format!("{children}&offset={from}"))?;
            for file in listed["items"].as_array().into_iter().flatten() {
                let id = file["id"].as_str().unwrap_or_default();
                connection.post(&format!("/api/v1/permissions/acl/file/{id}"), &entry)?;
            }
        }
        connection.p99(&format!("{children}&offset={}", files - page), REQUESTS)
    }
}

impl Connection {
    /// The p99 of asking a stream for changes after a cursor behind which there are none.
    fn poll(&mut self, changes: &str) -> Result<Figure, Failure> {
        let latest = format!("{changes}&cursor=latest");
        let answer = self.get(&latest)?;
        let cursor = answer["cursor"].as_str().ok_or_else(|| Failure::Answer {
            from: latest.clone(),
            wanted: "a cursor",
            got: answer.to_string(),
        })?;
        let escaped: String = cursor.bytes().map(|byte| format!("%{byte:02X}")).collect();
        self.p99(&format!("{changes}&cursor={escaped}"), REQUESTS)
    }
}

/// Names below target/ are ours; only a target folder that is not UTF-8 could break this.
fn text(path: &Path) -> &str {
    path.to_str().expect("cargo answered the target folder as JSON text")
}
