//! One-off uploads.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use api_sync_core::{Local, Stamp};
use api_types::v1::folders::ROOT;
use api_types::v1::{Item, files};
use futures_util::{StreamExt, stream};
use node_base::NameKey;

use crate::commands::{Desk, change, finish, gather};
use crate::cutting::SMALL_MAX;
use crate::disk::{self, Kind};
use crate::engine::{Engine, TransferError};
use crate::failure::{Exit, Failure};
use crate::place::{self, Found, Place};
use crate::scan::{self, LeftAlone, Selection};
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
    /// The file that has the name there now.
    there: Option<files::File>,
}

impl Work {
    /// The file and the version that it replaces.
    fn replaces(&self) -> Option<(String, String)> {
        self.there.as_ref().map(|file| (file.id.clone(), file.version_id.clone()))
    }
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
    let mut plan = Plan::default();
    for file in files {
        let planned = plan_one(&engine, &target, file, files.len() > 1, recursive, &mut plan).await;
        plan.problems.extend(planned.err());
    }
    let Plan { work, left_alone, mut problems } = plan;
    desk.output.some_of(left_alone.iter().map(LeftAlone::to_string));
    engine.bar.inc_length(work.iter().map(|work| work.source.stamp.size).sum());
    let state = open_transfers()?;
    send_all(&engine, &target, work, state, &mut problems).await;
    finish(desk, &engine, problems)
}

/// What is to be sent, and what cannot be.
#[derive(Default)]
struct Plan {
    work: Vec<Work>,
    left_alone: Vec<LeftAlone>,
    problems: Vec<Failure>,
}

/// Sessions of earlier runs. While another run has them, uploads begin anew.
fn open_transfers() -> Result<Option<Arc<State>>, Failure> {
    match State::open(&session::state_folder()?.join("transfers.redb")) {
        Ok(state) => Ok(Some(Arc::new(state))),
        Err(crate::state::StateError::InUse) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

async fn plan_one(
    engine: &Engine,
    target: &Place,
    file: &Path,
    several: bool,
    recursive: bool,
    plan: &mut Plan,
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
            plan.work.push(place_file(engine, target, source, name, several).await?);
            Ok(())
        }
        Some(Kind::Folder { .. }) if recursive => {
            // Where it was put before it is put again, so that a run that was killed goes on.
            let again = !target.is_folder
                && target.names.last().is_some_and(|last| target.key(last) == target.key(name));
            let place = match target.look(&engine.client).await? {
                Some(_) if !again => target.join(name),
                Some(_) | None => target.clone(),
            };
            plan_folder(engine, &place, &whole, plan).await
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
    Ok(Work { source, folder, name, there })
}

async fn plan_folder(
    engine: &Engine,
    place: &Place,
    disk_root: &Path,
    plan: &mut Plan,
) -> Result<(), Failure> {
    let root = change::make_all(&engine.client, place).await?;
    let (at, policy) = (disk_root.to_owned(), place.policy());
    let selection = Selection::default().without(session::own_folders()?);
    let scanned = engine.world.blocking(move || scan::scan(&at, policy, &selection)).await;
    let mut scan = scanned.map_err(|error| Failure::file("looking into", disk_root, &error))?;
    plan.problems.append(&mut scan.problems);
    plan.left_alone.append(&mut scan.left_alone);
    let mut folders = BTreeMap::from([(String::new(), root)]);
    let mut there: BTreeMap<String, BTreeMap<Option<NameKey>, Item>> = BTreeMap::new();
    for (path, local) in &scan.tree {
        let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
        let Some(folder) = folders.get(above).cloned() else { continue };
        if !there.contains_key(above) {
            let items = place::children(&engine.client, &place.share.id, &folder).await?;
            let named = items.into_iter().map(|item| (place.key(item.name()), item)).collect();
            there.insert(above.to_owned(), named);
        }
        let known = there.get(above).and_then(|items| items.get(&place.key(name)));
        match (local, known) {
            (Local::Folder(_), Some(Item::Folder(known))) => {
                folders.insert(path.clone(), known.id.clone());
            }
            (Local::Folder(_), Some(Item::File(_))) => {
                let text = format!("{}/{path} is a file, not a folder", place.shown());
                plan.problems.push(Failure::new(Exit::Conflict, text));
            }
            (Local::Folder(_), None) => {
                match change::make(&engine.client, &place.share.id, &folder, name).await {
                    Ok(made) => {
                        folders.insert(path.clone(), made.id);
                        there.insert(path.clone(), BTreeMap::new());
                    }
                    Err(failure) if failure.exit == Exit::Unavailable => return Err(failure),
                    Err(failure) => plan.problems.push(failure.about(path)),
                }
            }
            (Local::File(file), known) => {
                let there = match known {
                    Some(Item::File(known)) => Some(known.clone()),
                    Some(Item::Folder(_)) | None => None,
                };
                let source = Source {
                    path: path.clone(),
                    disk: disk_root.join(scan.on_disk(path)),
                    stamp: file.stamp,
                    executable: file.executable,
                };
                plan.work.push(Work { source, folder, name: name.to_owned(), there });
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
    problems: &mut Vec<Failure>,
) {
    let (small, large): (Vec<Work>, Vec<Work>) =
        work.into_iter().partition(|work| work.source.stamp.size <= SMALL_MAX);
    let share_id = &target.share.id;
    let batches = batches(small).into_iter();
    let sent = batches.map(|batch| send_batch(engine, share_id, batch));
    gather(Box::pin(stream::iter(sent).buffer_unordered(IN_FLIGHT)), problems).await;
    if problems.iter().any(|problem| problem.exit == Exit::Unavailable) {
        return;
    }
    let state = &state;
    let sent = large.into_iter().map(|work| async move {
        let path = work.source.path.clone();
        let sent = send_large(engine, share_id, work, state.as_ref()).await;
        sent.err().map(|error| (path, error)).into_iter().collect()
    });
    gather(Box::pin(stream::iter(sent).buffer_unordered(LARGE_IN_FLIGHT)), problems).await;
}

fn batches(work: Vec<Work>) -> Vec<Vec<Work>> {
    let mut batches: Vec<Vec<Work>> = Vec::new();
    let mut bytes = 0;
    for work in work {
        let size = work.source.stamp.size;
        match batches.last_mut() {
            Some(batch) if batch.len() < BATCH_FILES && bytes + size <= BATCH_BYTES => {
                bytes += size;
                batch.push(work);
            }
            _ => {
                bytes = size;
                batches.push(vec![work]);
            }
        }
    }
    batches
}

/// Sends small files together, those that are not there as they are here; what was not sent.
async fn send_batch(
    engine: &Engine,
    share_id: &str,
    batch: Vec<Work>,
) -> Vec<(String, TransferError)> {
    let sort = move || batch.into_iter().partition::<Vec<Work>, _>(is_there);
    let (there, missing) = engine.world.blocking(sort).await;
    for work in &there {
        engine.count_file(work.source.stamp.size);
        engine.count_known(1);
        engine.bar.inc(work.source.stamp.size);
    }
    let paths: Vec<String> = missing.iter().map(|work| work.source.path.clone()).collect();
    let files = missing.into_iter().map(|work| Small {
        replaces: work.replaces(),
        path: work.name,
        folder_id: Some(work.folder).filter(|id| id != ROOT),
        source: work.source,
    });
    match upload::send_small(engine, share_id, files.collect()).await {
        Ok(outcomes) => {
            let outcomes = paths.into_iter().zip(outcomes);
            outcomes.filter_map(|(path, outcome)| Some((path, outcome.err()?))).collect()
        }
        // All met the same: it is told once.
        Err(error) => match paths.as_slice() {
            [] => Vec::new(),
            [path] => vec![(path.clone(), error)],
            [path, more @ ..] => vec![(format!("{path} and {} more", more.len()), error)],
        },
    }
}

/// Whether the server has the file as it is here. What cannot be read is found when it is sent.
fn is_there(work: &Work) -> bool {
    let (stamp, executable) = (work.source.stamp, work.source.executable);
    let Some(there) = &work.there else { return false };
    let modified = there.client_modified_at.map(|time| time.0);
    let looks_the_same = there.size == stamp.size
        && there.executable == executable
        && modified == Some(disk::moment_of(&stamp));
    let Some(checksum) = there.checksum_sha256.filter(|_| looks_the_same) else { return false };
    let bytes = disk::read_small(&work.source.disk, SMALL_MAX as usize).ok().flatten();
    bytes.is_some_and(|bytes| node_base::sha256(&bytes) == checksum.0)
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
        replaces: work.replaces(),
        folder_id: Some(work.folder).filter(|id| id != ROOT),
        name: work.name,
    };
    upload::send(engine, &work.source, &destination, resume, &keep).await.map(drop)
}

/// What an unfinished upload is found by: the file here, and its place there.
fn key(share_id: &str, work: &Work) -> String {
    let Stamp { size, modified, inode } = work.source.stamp;
    let here = work.source.disk.display();
    format!("{share_id}/{}/{}\n{here}\n{size} {modified} {inode}", work.folder, work.name)
}
