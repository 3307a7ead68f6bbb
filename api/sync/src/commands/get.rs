//! One-off downloads.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use api_types::v1::files::File;
use api_types::v1::sync::{SnapshotLine, SnapshotQuery};
use api_types::v1::{Item, PageQuery};
use futures_util::{StreamExt, stream};
use node_base::limits::PAGE_MAX;
use node_base::{Name, NamePolicy};

use crate::commands::{Desk, finish, gather};
use crate::cutting::{self, SMALL_MAX};
use crate::disk::{self, Kind};
use crate::download::{self, Here, Wanted};
use crate::engine::{Engine, TransferError};
use crate::failure::{Exit, Failure};
use crate::place::{Found, Place};
use crate::scan;
use crate::state::Chunk;

const IN_FLIGHT: usize = 8;

pub(crate) async fn get(
    desk: &Desk,
    text: &str,
    target: Option<PathBuf>,
    recursive: bool,
    version: Option<u32>,
) -> Result<(), Failure> {
    let client = desk.client()?;
    let place = Place::read(&client, text).await?;
    let engine = Engine::new(client, desk.world.clone(), desk.output.bar());
    let mut problems = Vec::new();
    match place.find(&engine.client).await? {
        Found::Item(Item::File(file)) => {
            let target = file_target(target, &file)?;
            let wanted = match version {
                Some(number) => old(&engine, &file, number, target).await?,
                None => current(&file, target),
            };
            engine.bar.inc_length(wanted.size);
            fetch(&engine, wanted).await?;
        }
        found @ (Found::Root | Found::Item(Item::Folder(_))) => {
            if !recursive {
                return Err(Failure::usage(format!("{} is a folder", place.shown()))
                    .hint("download it with all that is in it: scaidrive get -r"));
            }
            let name = place.names.last().unwrap_or(&place.share.name).clone();
            let target = match target {
                Some(target) if goes_into(&target, &name) => target.join(checked(&name)?),
                Some(target) => target,
                None => PathBuf::from(checked(&name)?),
            };
            let folder_id = match found {
                Found::Item(item) => Some(item.id().to_owned()),
                Found::Root => None,
            };
            fetch_folder(&engine, &place, folder_id, &target, &mut problems).await?;
        }
    }
    finish(desk, &engine, problems)
}

/// Whether a folder goes into the target, or is the target: one that is there already and has the
/// folder's name was made by a run that did not end, unless a slash says otherwise.
fn goes_into(target: &Path, name: &str) -> bool {
    let with_slash = target.to_string_lossy().ends_with('/');
    let is_there = disk::look(target).ok().flatten().is_some();
    is_there && (with_slash || target.file_name().is_none_or(|last| last != name))
}

/// A name from the server must not lead out of the folder it is put in.
fn checked(name: &str) -> Result<&str, Failure> {
    match Name::new(name, NamePolicy::Any) {
        Ok(_) => Ok(name),
        Err(error) => Err(Failure::new(Exit::Failed, format!("the name '{name}': {error}"))),
    }
}

fn file_target(target: Option<PathBuf>, file: &File) -> Result<PathBuf, Failure> {
    let name = checked(&file.name)?;
    let Some(target) = target else { return Ok(PathBuf::from(name)) };
    // A link to a folder is as good as the folder.
    let led = disk::absolute(&target).unwrap_or_else(|_| target.clone());
    match disk::look(&led) {
        Ok(Some(Kind::Folder { .. })) => Ok(target.join(name)),
        Ok(_) => Ok(target),
        Err(error) => Err(Failure::file("looking at", &target, &error)),
    }
}

fn current(file: &File, target: PathBuf) -> Wanted {
    let name = target.file_name().map(|name| name.to_string_lossy().into_owned());
    let part = scan::part_name(&name.unwrap_or_default(), &file.version_id);
    Wanted {
        path: file.path.clone(),
        id: file.id.clone(),
        version: None,
        version_id: Some(file.version_id.clone()),
        size: file.size,
        checksum: file.checksum_sha256.map(|hash| hash.0),
        modified: file.client_modified_at.map(|time| time.0),
        executable: file.executable,
        part: target.with_file_name(part),
        target,
        over: None,
        sources: Vec::new(),
    }
}

async fn old(
    engine: &Engine,
    file: &File,
    number: u32,
    target: PathBuf,
) -> Result<Wanted, Failure> {
    let mut offset = 0;
    loop {
        let page = PageQuery { limit: Some(PAGE_MAX), offset: Some(offset) };
        let page = engine.client.versions(&file.id, &page).await?;
        offset += u32::try_from(page.versions.len()).unwrap_or(u32::MAX);
        let done = page.versions.is_empty() || u64::from(offset) >= page.total;
        let found = page.versions.into_iter().find(|version| version.version_number == number);
        if let Some(version) = found {
            let mut wanted = current(file, target);
            wanted.part = wanted.target.with_file_name(scan::part_name(&file.name, &version.id));
            wanted.version = Some(number);
            wanted.version_id = Some(version.id);
            wanted.size = version.size;
            wanted.checksum = version.checksum_sha256.map(|hash| hash.0);
            wanted.modified = Some(version.created_at.0);
            return Ok(wanted);
        }
        if done {
            return Err(Failure::not_found(format!("{} has no version {number}", file.path)));
        }
    }
}

/// Fetches a file; what is at its target now is cut, so that only what differs travels.
async fn fetch(engine: &Engine, mut wanted: Wanted) -> Result<(), TransferError> {
    let target = wanted.target.clone();
    let failed = |source| TransferError::File {
        doing: "reading",
        path: target.display().to_string(),
        source,
    };
    if let Some(Kind::File { stamp, .. }) = disk::look(&target).map_err(&failed)? {
        wanted.over = Some(stamp);
        if wanted.size > SMALL_MAX && stamp.size > 0 {
            let path = target.clone();
            let chunks = engine.world.blocking(move || cut(&path)).await.map_err(&failed)?;
            wanted.sources.push(Here { disk: target.clone(), chunks });
        }
    }
    download::fetch(engine, wanted, None).await.map(drop)
}

fn cut(path: &Path) -> std::io::Result<Vec<Chunk>> {
    let mut chunks = Vec::new();
    cutting::cut(path, |group| {
        chunks.extend(group.into_iter().map(|(chunk, _)| chunk));
        true
    })?;
    Ok(chunks)
}

async fn fetch_folder(
    engine: &Engine,
    place: &Place,
    folder_id: Option<String>,
    target: &Path,
    problems: &mut Vec<Failure>,
) -> Result<(), Failure> {
    let make = |path: &Path| {
        disk::make_folders(path).map_err(|error| Failure::file("making", path, &error))
    };
    make(target)?;
    let query = SnapshotQuery { share_id: place.share.id.clone(), folder_id: folder_id.clone() };
    let mut lines = engine.client.snapshot(&query).await?;
    let mut folders: BTreeMap<Option<String>, PathBuf> =
        BTreeMap::from([(folder_id.clone(), target.to_owned())]);
    let mut wanted = Vec::new();
    while let Some(line) = lines.next().await? {
        match line {
            SnapshotLine::Item(Item::Folder(folder)) if Some(&folder.id) != folder_id.as_ref() => {
                let Some(above) = folders.get(&folder.parent_id) else { continue };
                let made = checked(&folder.name).and_then(|name| {
                    let path = above.join(name);
                    let made = disk::make_folder(&path);
                    made.map_err(|error| Failure::file("making", &path, &error)).map(|()| path)
                });
                match made {
                    Ok(path) => drop(folders.insert(Some(folder.id), path)),
                    Err(failure) => problems.push(failure.about(&folder.path)),
                }
            }
            SnapshotLine::Item(Item::File(file)) => {
                let Some(above) = folders.get(&file.folder_id) else { continue };
                match checked(&file.name) {
                    Ok(name) => wanted.push(current(&file, above.join(name))),
                    Err(failure) => problems.push(failure.about(&file.path)),
                }
            }
            SnapshotLine::Item(Item::Folder(_)) | SnapshotLine::End(_) => {}
        }
    }
    engine.bar.inc_length(wanted.iter().map(|wanted| wanted.size).sum());
    let fetched = wanted.into_iter().map(|wanted| async move {
        let path = wanted.path.clone();
        let fetched = fetch(engine, wanted).await;
        fetched.err().map(|error| (path, error)).into_iter().collect()
    });
    gather(Box::pin(stream::iter(fetched).buffer_unordered(IN_FLIGHT)), problems).await;
    Ok(())
}
