//! One-off uploads.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use api_sync_core::{Local, Stamp};
use api_types::v1::folders::ROOT;
use api_types::v1::{Item, files};
use futures_util::{StreamExt, TryStreamExt, stream};

use crate::commands::{Desk, change};
use crate::cutting::SMALL_MAX;
use crate::disk::{self, Kind};
use crate::engine::{Engine, TransferError};
use crate::failure::{Exit, Failure};
use crate::place::{self, Found, Place};
use crate::scan::{self, Selection};
use crate::session;
use crate::state::{Edit, State};
use crate::upload::{self, Destination, Small, Source};

/// Small files in one request, and their bytes; requests under way.
const BATCH_FILES: usize = 250;
const BATCH_BYTES: u64 = 4 << 20;
const IN_FLIGHT: usize = 4;
const LARGE_IN_FLIGHT: usize = 2;

/// A file and where it goes.
struct Work {
    source: Source,
    /// `root` for the root.
    folder: String,
    name: String,
    replaces: Option<(String, String)>,
}

pub(crate) async fn put(
    desk: &Desk,
    files: &[PathBuf],
    text: &str,
    recursive: bool,
) -> Result<(), Failure> {
    if !place::is_place(text) {
        return Err(Failure::usage(format!("'{text}' is no place on a server"))
            .hint("write it as SHARE:/path, such as Team:/reports/"));
    }
    let client = desk.client()?;
    let target = Place::read(&client, text).await?;
    let engine = Engine::new(client, desk.world.clone(), desk.output.bar());
    let mut work = Vec::new();
    for file in files {
        gather(&engine, &target, file, files.len() > 1, recursive, &mut work).await?;
    }
    engine.bar.inc_length(work.iter().map(|work| work.source.stamp.size).sum());
    let state = open_transfers()?;
    send_all(&engine, &target, work, state).await?;
    engine.bar.finish_and_clear();
    desk.output.figures(&engine.figures())
}

/// Sessions of earlier runs. While another run has them, uploads begin anew.
fn open_transfers() -> Result<Option<Arc<State>>, Failure> {
    match State::open(&session::state_folder()?.join("transfers.redb")) {
        Ok(state) => Ok(Some(Arc::new(state))),
        Err(crate::state::StateError::InUse) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

async fn gather(
    engine: &Engine,
    target: &Place,
    file: &Path,
    several: bool,
    recursive: bool,
    work: &mut Vec<Work>,
) -> Result<(), Failure> {
    let whole = disk::absolute(file).map_err(|error| not_here(file, &error))?;
    let kind = disk::look(&whole).map_err(|error| not_here(file, &error))?;
    let name = whole
        .file_name()
        .and_then(|name| name.to_str())
        .ok_or_else(|| Failure::usage(format!("{} has no name that is UTF-8", file.display())))?;
    match kind {
        Some(Kind::File { stamp, executable }) => {
            let source =
                Source { path: file.display().to_string(), disk: whole.clone(), stamp, executable };
            work.push(place_file(engine, target, source, name, several).await?);
            Ok(())
        }
        Some(Kind::Folder { .. }) if recursive => {
            let place = match target.look(&engine.client).await? {
                Some(_) => target.join(name),
                None => target.clone(),
            };
            gather_folder(engine, &place, &whole, work).await
        }
        Some(Kind::Folder { .. }) => Err(Failure::usage(format!("{} is a folder", file.display()))
            .hint("upload it with all that is in it: scaidrive put -r")),
        Some(Kind::Other) | None => {
            Err(Failure::usage(format!("{} is neither file nor folder", file.display())))
        }
    }
}

fn not_here(file: &Path, error: &std::io::Error) -> Failure {
    let mut failure = Failure::file("reading", file, error);
    if error.kind() == std::io::ErrorKind::NotFound {
        failure.exit = Exit::NotFound;
    }
    failure
}

async fn place_file(
    engine: &Engine,
    target: &Place,
    source: Source,
    name: &str,
    several: bool,
) -> Result<Work, Failure> {
    let found = target.look(&engine.client).await?;
    let (folder, name) = match (&found, target.split_last()) {
        (Some(found), _) if found.folder_id().is_some() => {
            (found.folder_id().unwrap_or(ROOT).to_owned(), name.to_owned())
        }
        (_, Some((above, last))) if !several && !target.is_folder => {
            (above.find_folder(&engine.client).await?, last.to_owned())
        }
        _ => {
            return Err(Failure::not_found(format!("there is no folder {}", target.shown()))
                .hint("make it first: scaidrive mkdir -p"));
        }
    };
    let there = match found {
        Some(Found::Item(Item::File(file))) => Some(file),
        _ => match target.join(&name).look(&engine.client).await? {
            Some(Found::Item(Item::File(file))) => Some(file),
            Some(_) | None => None,
        },
    };
    Ok(Work { source, folder, name, replaces: there.map(|file| replaced(&file)) })
}

fn replaced(file: &files::File) -> (String, String) {
    (file.id.clone(), file.version_id.clone())
}

async fn gather_folder(
    engine: &Engine,
    place: &Place,
    disk_root: &Path,
    work: &mut Vec<Work>,
) -> Result<(), Failure> {
    let root = change::make_all(&engine.client, place).await?;
    let (at, policy) = (disk_root.to_owned(), place.policy());
    let scanned =
        engine.world.blocking(move || scan::scan(&at, policy, &Selection::default())).await;
    let scan = scanned.map_err(|error| Failure::file("looking into", disk_root, &error))?;
    for left in &scan.left_alone {
        tracing::warn!(path = left.path, reason = left.reason, "left alone");
    }
    let mut folders = BTreeMap::from([(String::new(), root)]);
    let mut there: BTreeMap<String, BTreeMap<String, Item>> = BTreeMap::new();
    for (path, local) in &scan.tree {
        let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
        let Some(folder) = folders.get(above).cloned() else { continue };
        if !there.contains_key(above) {
            let items = place::children(&engine.client, &place.share.id, &folder).await?;
            let named = items.into_iter().map(|item| (item.name().to_owned(), item)).collect();
            there.insert(above.to_owned(), named);
        }
        let known = there.get(above).and_then(|items| items.get(name));
        match (local, known) {
            (Local::Folder(_), Some(Item::Folder(known))) => {
                folders.insert(path.clone(), known.id.clone());
            }
            (Local::Folder(_), _) => {
                let below = path.split('/').fold(place.clone(), |at, name| at.join(name));
                folders.insert(path.clone(), change::make_all(&engine.client, &below).await?);
                there.insert(path.clone(), BTreeMap::new());
            }
            (Local::File(file), known) => {
                let replaces = match known {
                    Some(Item::File(known)) => Some(replaced(known)),
                    Some(Item::Folder(_)) | None => None,
                };
                let source = Source {
                    path: path.clone(),
                    disk: disk_root.join(scan.on_disk(path)),
                    stamp: file.stamp,
                    executable: file.executable,
                };
                work.push(Work { source, folder, name: name.to_owned(), replaces });
            }
        }
    }
    Ok(())
}

async fn send_all(
    engine: &Engine,
    target: &Place,
    work: Vec<Work>,
    state: Option<Arc<State>>,
) -> Result<(), Failure> {
    let (small, large): (Vec<Work>, Vec<Work>) =
        work.into_iter().partition(|work| work.source.stamp.size <= SMALL_MAX);
    let share_id = &target.share.id;
    stream::iter(batches(small))
        .map(|batch| async move {
            for outcome in upload::send_small(engine, share_id, batch).await? {
                outcome?;
            }
            Ok::<_, TransferError>(())
        })
        .buffer_unordered(IN_FLIGHT)
        .try_collect::<()>()
        .await?;
    let state = &state;
    stream::iter(large)
        .map(|work| async move { send_large(engine, share_id, work, state.as_ref()).await })
        .buffer_unordered(LARGE_IN_FLIGHT)
        .try_collect::<()>()
        .await?;
    Ok(())
}

fn batches(work: Vec<Work>) -> Vec<Vec<Small>> {
    let mut batches: Vec<Vec<Small>> = Vec::new();
    let mut bytes = 0;
    for work in work {
        let size = work.source.stamp.size;
        let small = Small {
            path: work.name,
            folder_id: Some(work.folder).filter(|id| id != ROOT),
            replaces: work.replaces,
            source: work.source,
        };
        match batches.last_mut() {
            Some(batch) if batch.len() < BATCH_FILES && bytes + size <= BATCH_BYTES => {
                bytes += size;
                batch.push(small);
            }
            _ => {
                bytes = size;
                batches.push(vec![small]);
            }
        }
    }
    batches
}

async fn send_large(
    engine: &Engine,
    share_id: &str,
    work: Work,
    state: Option<&Arc<State>>,
) -> Result<(), TransferError> {
    let key = key(share_id, &work);
    let resume = match state {
        Some(state) => state.upload(&key)?,
        None => None,
    };
    let keep = |resume| match state {
        Some(state) => Ok(state.write(&[Edit::Upload { path: key.clone(), resume }])?),
        None => Ok(()),
    };
    let destination = Destination {
        share_id: share_id.to_owned(),
        folder_id: Some(work.folder).filter(|id| id != ROOT),
        name: work.name,
        replaces: work.replaces,
    };
    upload::send(engine, &work.source, &destination, resume, &keep).await.map(drop)
}

/// What an unfinished upload is found by: the file here, and its place there.
fn key(share_id: &str, work: &Work) -> String {
    let Stamp { size, modified, inode } = work.source.stamp;
    let here = work.source.disk.display();
    format!("{share_id}/{}/{}\n{here}\n{size} {modified} {inode}", work.folder, work.name)
}
