//! `scaidrived backup` and `restore`.

use std::collections::VecDeque;
use std::path::PathBuf;

use bytes::{Buf, Bytes};
use clap::Args;
use node_assembly::backup::{self, BackupError, Needed, RestoreError, Writing};
use node_assembly::{FIRST_NODE, Settings};
use node_base::Duration;
use node_os::RealWorld;
use node_world::{Instant, World};
use serde_json::json;

use crate::cluster::{advertised, runtime};
use crate::outcome::{Exit, Failure};
use crate::progress::Progress;
use crate::report::size;
use crate::serve::start_log;
use crate::socket::{At, print_json, print_line};

/// `scaidrived backup`
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  scaidrived backup --to /mnt/backup --data-dir /srv/a\n  \
                        scaidrived restore --from /mnt/backup --data-dir /srv/new")]
pub(crate) struct Backup {
    /// The folder of backups; what is there already is not copied again
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    /// How many backups stay in the folder; older ones are removed when this one is done
    #[arg(long, value_name = "COUNT", default_value_t = 7)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    keep: u32,
    /// Copy no more than so many MiB a second
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(1..))]
    rate: Option<u64>,
    #[command(flatten)]
    at: At,
}

/// `scaidrived restore`, beside what `serve` takes.
#[derive(Debug, Args)]
pub(crate) struct From {
    /// The folder of backups
    #[arg(long, value_name = "DIR")]
    from: PathBuf,
    /// Which backup of the folder; the newest without it
    #[arg(long, value_name = "NUMBER")]
    backup: Option<u32>,
}

/// How long a hold lasts, and how often it is renewed.
const HELD_SECONDS: u32 = 3_600;
const RENEWED_EVERY: Duration = Duration::from_secs(300);
/// Chunks of one question, and bytes of them.
const CHUNKS_MAX: usize = 500;
const BYTES_MAX: u64 = 8 << 20;
/// How often a node that cannot answer just now is asked again, and when.
const TRIES: u32 = 30;
const PAUSE: Duration = Duration::from_secs(1);

fn backup_failure(error: &BackupError) -> Failure {
    let exit = match error {
        BackupError::InUse { .. } => Exit::Unavailable,
        BackupError::NotOurs { .. } | BackupError::OtherCluster { .. } => Exit::Conflict,
        BackupError::None { .. } | BackupError::Unknown { .. } => Exit::NotFound,
        BackupError::Disk { .. }
        | BackupError::Damaged { .. }
        | BackupError::Newer { .. }
        | BackupError::Tables(_)
        | BackupError::Chunk(_) => Exit::Failed,
    };
    Failure::because("the folder of backups", error).exit(exit)
}

/// Makes a backup of the cluster, through one running node.
pub(crate) fn make(order: &Backup) -> Result<(), Failure> {
    let runtime = runtime()?;
    runtime.block_on(async {
        let world = RealWorld::client(runtime.handle());
        let started = world.now();
        let writing = Writing::begin(&world, &order.to).map_err(|error| backup_failure(&error))?;
        let mut making = Making { order, world: world.clone(), hold: None, renewed: started };
        let made = making.run(writing).await;
        making.release().await;
        let report = made?;
        let seconds = world.now().since(started).as_secs_f64();
        if order.at.json {
            return print_json(&json!({
                "backup": report.number,
                "tables_bytes": report.tables_bytes,
                "chunks": report.chunks,
                "bytes": report.chunk_bytes,
                "copied_chunks": report.copied_chunks,
                "copied_bytes": report.copied_bytes,
                "kept": report.kept,
                "removed": report.removed,
                "seconds": seconds,
            }));
        }
        print_line(&format!("backup {} is in {}", report.number, order.to.display()))?;
        print_line(&format!(
            "  {} chunks, {}; of these {} were new, {}; tables of {}; {seconds:.1} s",
            report.chunks,
            size(report.chunk_bytes),
            report.copied_chunks,
            size(report.copied_bytes),
            size(report.tables_bytes),
        ))?;
        let removed = report.removed;
        print_line(&format!("  {} backups are there, {removed} were removed", report.kept))
    })
}

struct Making<'a> {
    order: &'a Backup,
    world: World,
    hold: Option<u64>,
    renewed: Instant,
}

impl Making<'_> {
    async fn run(&mut self, mut writing: Writing) -> Result<backup::Report, Failure> {
        let failed = |error| backup_failure(&error);
        self.hold(HELD_SECONDS).await?;
        let mut tables = |bytes: &[u8]| writing.tables(bytes).map_err(failed);
        self.order.at.stream("GET", "/backup/tables", None, &mut tables).await?;
        let wanted = writing.tables_done().map_err(failed)?;
        let all = wanted.iter().map(|chunk| u64::from(chunk.size)).sum();
        let mut progress = Progress::new(&self.world, "copied", all);
        let mut wanted = VecDeque::from(wanted);
        let (started, mut copied) = (self.world.now(), 0);
        while !wanted.is_empty() {
            self.keep_holding().await?;
            let group = next_group(&wanted);
            let chunks = self.fetch(&group).await?;
            for (chunk, bytes) in group.iter().zip(&chunks) {
                writing.chunk(chunk.hash, bytes).map_err(failed)?;
                copied += bytes.len() as u64;
            }
            if chunks.is_empty() {
                return Err(Failure::new(Exit::Failed, "the node answered without any chunk"));
            }
            wanted.drain(..chunks.len().min(group.len()));
            progress.show(copied);
            self.slow_down(started, copied).await;
        }
        progress.end();
        writing.finish(self.order.keep).map_err(failed)
    }

    /// Begins to hold, or goes on.
    async fn hold(&mut self, seconds: u32) -> Result<(), Failure> {
        let body = json!({ "hold": self.hold, "seconds": seconds });
        let answer = self.order.at.ask_now("POST", "/backup/hold", Some(body)).await?;
        self.hold = answer["hold"].as_u64();
        self.renewed = self.world.now();
        Ok(())
    }

    async fn keep_holding(&mut self) -> Result<(), Failure> {
        if self.world.now().since(self.renewed) < RENEWED_EVERY {
            return Ok(());
        }
        let mut tries = TRIES;
        loop {
            match self.hold(HELD_SECONDS).await {
                Err(failure) if failure.is_passing() && tries > 0 => tries -= 1,
                held => {
                    return held.map_err(|failure| {
                        failure
                            .hint("start the backup again: what it has copied is not copied twice")
                    });
                }
            }
            self.world.sleep(PAUSE).await;
        }
    }

    /// A hold that is not released ends by itself.
    async fn release(&mut self) {
        if self.hold.is_some() {
            let _ = self.hold(0).await;
        }
    }

    /// The first chunks of a group, each checked when it is written.
    async fn fetch(&self, group: &[Needed]) -> Result<Vec<Bytes>, Failure> {
        let Some(first) = group.first() else { return Ok(Vec::new()) };
        let hashes: Vec<String> = group.iter().map(|chunk| chunk.hash.to_string()).collect();
        let body = json!({ "tenant": first.tenant.to_string(), "hashes": hashes });
        let mut tries = TRIES;
        let answer = loop {
            let mut answer = Vec::new();
            let mut take = |bytes: &[u8]| {
                answer.extend_from_slice(bytes);
                Ok(())
            };
            let at = &self.order.at;
            match at.stream("POST", "/backup/chunks", Some(body.clone()), &mut take).await {
                Ok(()) => break Bytes::from(answer),
                Err(failure) if failure.is_passing() && tries > 0 => tries -= 1,
                Err(failure) => return Err(failure),
            }
            self.world.sleep(PAUSE).await;
        };
        split(answer, group)
    }

    async fn slow_down(&self, started: Instant, copied: u64) {
        let Some(rate) = self.order.rate else { return };
        let due = Duration::from_millis(copied.saturating_mul(1_000) / (rate << 20));
        let passed = self.world.now().since(started);
        self.world.sleep(due.saturating_sub(passed)).await;
    }
}

/// The next chunks of one tenant that one question asks for.
fn next_group(wanted: &VecDeque<Needed>) -> Vec<Needed> {
    let tenant = wanted.front().map(|chunk| chunk.tenant);
    let mut bytes = 0;
    let fits = |chunk: &&Needed| {
        let fits = Some(chunk.tenant) == tenant && bytes < BYTES_MAX;
        bytes += u64::from(chunk.size);
        fits
    };
    wanted.iter().take(CHUNKS_MAX).take_while(fits).copied().collect()
}

/// The chunks of an answer: length, chunk, length, chunk.
fn split(mut answer: Bytes, group: &[Needed]) -> Result<Vec<Bytes>, Failure> {
    let wrong = || Failure::new(Exit::Failed, "the node's answer is not what was asked for");
    let mut chunks = Vec::with_capacity(group.len());
    while !answer.is_empty() {
        let chunk = group.get(chunks.len()).ok_or_else(wrong)?;
        let len = answer.try_get_u32_le().map_err(|_| wrong())?;
        if len == u32::MAX {
            let message = format!("chunk {} was removed while the backup was made", chunk.hash);
            return Err(Failure::new(Exit::Failed, message).hint("make the backup again"));
        }
        if len as usize > answer.len() {
            return Err(wrong());
        }
        chunks.push(answer.split_to(len as usize));
    }
    Ok(chunks)
}

/// Fills an empty data directory from a backup: the first node of a new cluster.
pub(crate) fn restore(settings: &Settings, from: &From, as_json: bool) -> Result<(), Failure> {
    start_log(&settings.log)?;
    let runtime = runtime()?;
    runtime.block_on(async {
        let world = RealWorld::offline(runtime.handle(), FIRST_NODE);
        let started = world.now();
        let address = advertised(settings)?;
        let mut progress: Option<Progress> = None;
        let show = |done, all| {
            progress.get_or_insert_with(|| Progress::counting(&world, "restored", all)).show(done);
        };
        let as_whom = (FIRST_NODE, address.as_str());
        let restored =
            backup::restore(&world, settings, &from.from, from.backup, as_whom, show).await;
        if let Some(mut progress) = progress {
            progress.end();
        }
        let restored = restored.map_err(|error| restore_failure(&error))?;
        let home = settings.data_dirs.first().cloned().unwrap_or_default().display().to_string();
        let seconds = world.now().since(started).as_secs_f64();
        if as_json {
            return print_json(&json!({
                "node": FIRST_NODE.0,
                "backup": restored.number,
                "made_at_ms": restored.at_ms,
                "chunks": restored.chunks,
                "bytes": restored.bytes,
                "data_dir": home,
                "seconds": seconds,
            }));
        }
        let (number, chunks) = (restored.number, restored.chunks);
        let bytes = size(restored.bytes);
        print_line(&format!(
            "backup {number} is restored: {chunks} chunks, {bytes}; {seconds:.1} s"
        ))?;
        print_line("a new cluster; this is node 1, and others can join it once it runs")?;
        print_line(&format!("  next  scaidrived serve --data-dir {home}"))
    })
}

fn restore_failure(error: &RestoreError) -> Failure {
    match error {
        RestoreError::Backup(error) => backup_failure(error),
        RestoreError::NotEmpty { .. } | RestoreError::Other { .. } => {
            Failure::because("nothing is restored", error).exit(Exit::Conflict)
        }
        error => Failure::because("the backup is not restored", error)
            .hint("the same command goes on where it ended, once the cause is mended"),
    }
}
