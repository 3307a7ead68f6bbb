//! Keeping a folder and a share in step.

use std::path::Path;

use crate::args::SyncArguments;
use crate::commands::Desk;
use crate::disk;
use crate::engine::Engine;
use crate::failure::{Exit, Failure};
use crate::place::{Found, Place};
use crate::scan::{LeftAlone, Selection};
use crate::session;
use crate::state::State;
use crate::sync::{self, Pair};

pub(crate) async fn sync(desk: &Desk, arguments: SyncArguments) -> Result<(), Failure> {
    let client = desk.client()?;
    let place = Place::read(&client, &arguments.place).await?;
    let folder_id = match place.find(&client).await? {
        Found::Root => None,
        found => match found.folder_id() {
            Some(id) => Some(id.to_owned()),
            None => return Err(Failure::usage(format!("{} is a file", place.shown()))),
        },
    };
    let root = root(&arguments.folder)?;
    let selection = Selection::new(&arguments.exclude, &arguments.select)
        .map_err(|error| Failure::usage(error.to_string()))?
        .without(session::own_folders()?);
    let state = open_state(&root, &place.share.id, folder_id.as_deref())?;
    let pair = Pair {
        root,
        share_id: place.share.id.clone(),
        folder_id,
        policy: place.policy(),
        selection,
        accept_deletions: arguments.accept_deletions,
        merge: arguments.merge,
        device: session::device(),
    };
    let engine = Engine::new(client, desk.world.clone(), desk.output.bar());
    let outcome = sync::once(&engine, &pair, state).await?;
    engine.bar.finish_and_clear();
    if outcome.merged {
        desk.output.message(
            "the server's history is another one than before: both sides were brought together, \
             and nothing was deleted",
        );
    }
    desk.output.some_of(outcome.left_alone.iter().map(LeftAlone::to_string));
    desk.output
        .some_of(outcome.problems.iter().map(|problem| format!("error: {}", problem.line())));
    desk.output.figures(&engine.figures())?;
    outcome.failure().map_or(Ok(()), Err)
}

/// The folder as the machine knows it. It must be there: a disk that is not mounted is no reason to
/// make one.
fn root(folder: &Path) -> Result<std::path::PathBuf, Failure> {
    match disk::look(&disk::absolute(folder).unwrap_or_else(|_| folder.to_owned())) {
        Ok(Some(disk::Kind::Folder { .. })) => {}
        Ok(None) => {
            let text = format!("there is no folder {}", folder.display());
            return Err(Failure::not_found(text).hint("make it first, or mount its disk"));
        }
        Ok(Some(_)) => {
            return Err(Failure::usage(format!("{} is not a folder", folder.display())));
        }
        Err(error) => return Err(Failure::file("looking at", folder, &error)),
    }
    disk::absolute(folder).map_err(|error| Failure::file("looking at", folder, &error))
}

fn open_state(root: &Path, share_id: &str, folder_id: Option<&str>) -> Result<State, Failure> {
    let pair = format!("{}\0{share_id}\0{}", root.display(), folder_id.unwrap_or_default());
    let name = node_base::sha256(pair.as_bytes()).to_string();
    let folder = session::state_folder()?.join("sync");
    disk::make_folders(&folder).map_err(|error| Failure::file("making", &folder, &error))?;
    State::open(&folder.join(format!("{}.redb", &name[..32]))).map_err(|error| match error {
        crate::state::StateError::InUse => {
            let text = format!("another scaidrive is at work on {}", root.display());
            Failure::new(Exit::Unavailable, text).hint("wait for it to end")
        }
        other => other.into(),
    })
}
