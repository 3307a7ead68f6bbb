//! `scaidrived check`: what people are told of a data directory.

use clap::Args;
use node_assembly::check::{self, Found};
use node_assembly::{CheckError, FolderError, Settings};
use node_os::RealWorld;
use serde_json::{Value, json};

use crate::cluster::runtime;
use crate::outcome::{Exit, Failure};
use crate::progress::Progress;
use crate::report::size;
use crate::serve::start_log;
use crate::socket::{print_json, print_line};

/// `scaidrived check`, beside what `serve` takes.
#[derive(Debug, Args)]
pub(crate) struct How {
    /// Read every byte, and count everything anew
    #[arg(long)]
    deep: bool,
}

/// Checks the data directories of a node that does not run.
pub(crate) fn run(settings: &Settings, how: &How, as_json: bool) -> Result<(), Failure> {
    start_log(&settings.log)?;
    let runtime = runtime()?;
    let found = runtime.block_on(async {
        // Nobody is spoken to: the number does not matter.
        let world = RealWorld::client(runtime.handle());
        let mut progress: Option<Progress> = None;
        let show = |done, all| {
            progress.get_or_insert_with(|| Progress::counting(&world, "shards", all)).show(done);
        };
        let found = check::check(&world, settings, how.deep, show).await;
        if let Some(mut progress) = progress {
            progress.end();
        }
        found.map_err(|error| refusal(&error))
    })?;
    let wrong = complaints(&found);
    if as_json {
        print_json(&document(&found, &wrong))?;
    } else {
        lines(&found).iter().try_for_each(|line| print_line(line))?;
        wrong.iter().try_for_each(|line| print_line(&format!("wrong       {line}")))?;
    }
    if found.is_sound() {
        return if as_json { Ok(()) } else { print_line("sound") };
    }
    Err(Failure::new(Exit::Failed, "the data directory is not sound")
        .hint("a node of a larger cluster mends its drives by itself; the manual tells the rest"))
}

fn refusal(error: &CheckError) -> Failure {
    let failure = Failure::because("nothing was checked", error);
    match error {
        CheckError::Folder(FolderError::InUse { .. }) => {
            failure.exit(Exit::Unavailable).hint("stop the node first")
        }
        CheckError::Nobody { .. } => failure.exit(Exit::NotFound),
        _ => failure,
    }
}

fn with_causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}

/// What is wrong, a sentence each.
fn complaints(found: &Found) -> Vec<String> {
    let mut wrong = Vec::new();
    let agreement = &found.agreement;
    if let Err(error) = &agreement.log {
        wrong.push(with_causes(error));
    }
    match &agreement.tables {
        Err(error) => wrong.push(with_causes(error)),
        Ok(tables) => {
            if !tables.is_whole {
                wrong.push("pages of the tables' file have other checksums".to_owned());
            }
            wrong.extend(tables.named.iter().cloned());
        }
    }
    wrong.extend(agreement.gap());
    for (tenant, drift) in found.drifts.iter().flatten() {
        let (stored, counted) = (drift.stored, drift.counted);
        wrong.push(format!("tenant {tenant}: {:?} is {stored}, not {counted}", drift.subject));
    }
    match &found.drives {
        None if found.is_behind() => {}
        None => wrong.push("the tables do not tell of which cluster the drives are".to_owned()),
        Some(Err(error)) => wrong.push(with_causes(error)),
        Some(Ok(drives)) => {
            for drive in &drives.drives {
                let counts = [
                    (drive.rotten_shards, "shards are not what was written"),
                    (drive.misindexed_shards, "shards are told otherwise by hints and packs"),
                    (drive.unread_packs, "packs cannot be read"),
                ];
                let folder = drive.folder.display();
                let some = counts.iter().filter(|(count, _)| *count > 0);
                wrong.extend(some.map(|(count, what)| format!("{folder}: {count} {what}")));
            }
            if drives.wrong_chunks > 0 {
                let names = drives.named.iter().map(|key| key.hash.to_string());
                let names = names.collect::<Vec<_>>().join(", ");
                wrong.push(format!("{} chunks are damaged: {names}", drives.wrong_chunks));
            }
        }
    }
    if let Some(chunks) = found.chunks.as_ref().filter(|chunks| chunks.missing > 0) {
        let names = chunks.named.iter().map(|(tenant, hash)| format!("{hash} of {tenant}"));
        let names = names.collect::<Vec<_>>().join(", ");
        let (missing, known) = (chunks.missing, chunks.known);
        wrong.push(format!("{missing} of {known} chunks are not on the drives: {names}"));
    }
    wrong
}

/// What was looked at.
fn lines(found: &Found) -> Vec<String> {
    let mut lines = Vec::new();
    if let Ok(log) = &found.agreement.log {
        lines.push(format!("log         {} entries, {}", log.entries, size(log.bytes)));
    }
    if let Ok(tables) = &found.agreement.tables {
        let rows: u64 = tables.rows.values().sum();
        let (kinds, commands) = (tables.rows.len(), tables.commands);
        lines.push(format!("tables      {rows} rows of {kinds} tables, {commands} commands"));
    }
    if found.is_behind() {
        let told = "behind      the tables lack the end of the log, which the next start applies";
        lines.push(told.to_owned());
    }
    if let Some(Ok(drives)) = &found.drives {
        for drive in &drives.drives {
            lines.push(format!(
                "drive       {}: {} shards, {}, in {} packs",
                drive.folder.display(),
                drive.shards,
                size(drive.bytes),
                drive.packs,
            ));
        }
        if drives.whole_chunks > 0 {
            lines.push(format!("chunks      {} read and hashed", drives.whole_chunks));
        }
    }
    if let Some(chunks) = &found.chunks {
        let (known, missing) = (chunks.known, chunks.missing);
        lines.push(format!("known       {known} chunks, {missing} of them missing"));
    }
    lines
}

fn document(found: &Found, wrong: &[String]) -> Value {
    let agreement = &found.agreement;
    let log = agreement.log.as_ref().ok().map(|log| {
        json!({
            "entries": log.entries,
            "bytes": log.bytes,
            "first": log.first,
            "last": log.last,
            "purged": log.purged,
        })
    });
    let tables = agreement.tables.as_ref().ok().map(|tables| {
        json!({
            "rows": tables.rows,
            "wrong_rows": tables.wrong_rows,
            "is_whole": tables.is_whole,
            "commands": tables.commands,
            "applied_entry": tables.applied,
        })
    });
    let drives = found.drives.as_ref().and_then(|drives| drives.as_ref().ok());
    let drive_lines = drives.map(|drives| {
        let line = |drive: &check::DriveCheck| {
            json!({
                "folder": drive.folder.display().to_string(),
                "shards": drive.shards,
                "bytes": drive.bytes,
                "packs": drive.packs,
                "rotten_shards": drive.rotten_shards,
                "misindexed_shards": drive.misindexed_shards,
                "unread_packs": drive.unread_packs,
            })
        };
        drives.drives.iter().map(line).collect::<Vec<_>>()
    });
    json!({
        "is_sound": found.is_sound(),
        "node": found.node.0,
        "is_behind": found.is_behind(),
        "log": log,
        "tables": tables,
        "drifts": found.drifts.as_ref().map(Vec::len),
        "drives": drive_lines,
        "whole_chunks": drives.map(|drives| drives.whole_chunks),
        "wrong_chunks": drives.map(|drives| drives.wrong_chunks),
        "known_chunks": found.chunks.as_ref().map(|chunks| chunks.known),
        "missing_chunks": found.chunks.as_ref().map(|chunks| chunks.missing),
        "wrong": wrong,
    })
}
