//! The stories that are measured. Each makes its data, takes its yardstick, then has ours do it.

use std::path::{Path, PathBuf};

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
    scratch: PathBuf,
    sizes: Sizes,
}

type Scenario = fn(&mut Bench) -> Result<Vec<Row>, Failure>;

pub(crate) const SCENARIOS: [(&str, Scenario); 4] =
    [("large", large), ("delta", delta), ("small", small), ("requests", requests)];

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
        Ok(Self { node, daemon, first, share, scratch: scratch.to_owned(), sizes })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scratch.join(name)
    }

    fn remote(&self, path: &str) -> String {
        format!("{}:/{path}", self.share)
    }
}

/// A large file up and down; what the node needs for it in memory.
fn large(bench: &mut Bench) -> Result<Vec<Row>, Failure> {
    let modest = bench.path("modest.bin");
    data::file(&modest, bench.sizes.large / 16, 11)?;
    bench.first.transfer(&["put", text(&modest), &bench.remote("modest.bin")])?;
    let modest_peak = bench.node.peak_memory()?;

    let large = bench.path("large.bin");
    data::file(&large, bench.sizes.large, 12)?;
    let hashing = openssl_sha256(&large)?;
    let remote = bench.remote("large.bin");
    let up = bench.first.transfer(&["put", text(&large), &remote])?;
    let down = bench.first.transfer(&["get", &remote, text(&bench.path("large.back"))])?;
    let against = "openssl dgst -sha256 of it";
    Ok(vec![
        Row { name: "upload-large", ours: up.took, yardstick: hashing, against, bound: 3.0 },
        Row { name: "download-large", ours: down.took, yardstick: hashing, against, bound: 2.0 },
        Row {
            name: "node-memory",
            ours: bench.node.peak_memory()?,
            yardstick: modest_peak,
            against: "its peak after a file of a sixteenth",
            bound: 2.0,
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

/// Requests whose cost must not grow with what is stored: each against itself over little.
fn requests(bench: &mut Bench) -> Result<Vec<Row>, Failure> {
    let mut connection = Connection::open(&bench.node.url, &bench.node.token)?;
    let latest = format!("/api/v1/sync/changes?share_id={}&cursor=latest", bench.share);
    let idle_before = connection.poll(&latest)?;

    let page = (bench.sizes.small_files / 10).clamp(1, 1_000);
    let small = bench.listing("page", page, page, 41, &mut connection)?;
    let large = bench.listing("pages", bench.sizes.small_files, page, 42, &mut connection)?;
    let idle_after = connection.poll(&latest)?;
    Ok(vec![
        Row {
            name: "list-page",
            ours: large,
            yardstick: small,
            against: "p99 of the same page where it is the whole folder",
            bound: 2.0,
        },
        Row {
            name: "poll-idle",
            ours: idle_after,
            yardstick: idle_before,
            against: "p99 of the same before the files came",
            bound: 2.0,
        },
    ])
}

impl Bench {
    /// The p99 of listing the last page of a folder of `files`.
    fn listing(
        &self,
        name: &str,
        files: u64,
        page: u64,
        seed: u64,
        connection: &mut Connection,
    ) -> Result<Figure, Failure> {
        let folder = self.path(name);
        data::flat_files(&folder, files, 16, seed)?;
        let there = self.remote(name);
        self.first.ask(&["mkdir", &there])?;
        self.first.transfer(&["sync", text(&folder), &there, "--once"])?;
        let answer = self.first.ask(&["stat", &there])?;
        let id = answer["id"].as_str().ok_or_else(|| Failure::Answer {
            from: format!("stat {there}"),
            wanted: "an id",
            got: answer.to_string(),
        })?;
        let offset = files - page;
        let path = format!("/api/v1/folders/{id}/children?limit={page}&offset={offset}");
        connection.p99(&path, REQUESTS)
    }
}

impl Connection {
    /// The p99 of asking for changes after a cursor behind which there are none.
    fn poll(&mut self, latest: &str) -> Result<Figure, Failure> {
        let answer = self.get(latest)?;
        let cursor = answer["cursor"].as_str().ok_or_else(|| Failure::Answer {
            from: latest.to_owned(),
            wanted: "a cursor",
            got: answer.to_string(),
        })?;
        let escaped: String = cursor.bytes().map(|byte| format!("%{byte:02X}")).collect();
        self.p99(&format!("/api/v1/sync/changes?cursor={escaped}"), REQUESTS)
    }
}

/// Names below target/ are ours; only a target folder that is not UTF-8 could break this.
fn text(path: &Path) -> &str {
    path.to_str().expect("cargo answered the target folder as JSON text")
}
