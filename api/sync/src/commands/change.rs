//! Changing the tree.

use api_client::Client;
use api_types::Patch;
use api_types::v1::files::PatchFile;
use api_types::v1::folders::{CreateFolder, Folder, PatchFolder, ROOT, Target};
use api_types::v1::{Item, ItemType};

use crate::commands::Desk;
use crate::failure::{Exit, Failure};
use crate::place::{Found, Place};

pub(crate) fn kind(item: &Item) -> ItemType {
    match item {
        Item::File(_) => ItemType::File,
        Item::Folder(_) => ItemType::Folder,
    }
}

pub(crate) async fn mkdir(desk: &Desk, text: &str, parents: bool) -> Result<(), Failure> {
    let client = desk.client()?;
    let place = Place::read(&client, text).await?;
    let Some((above, name)) = place.split_last() else {
        return Err(Failure::usage(format!("{} is a share: it is there", place.shown())));
    };
    if parents {
        make_all(&client, &place).await?;
        return Ok(());
    }
    let parent = above.find_folder(&client).await?;
    let folder = make(&client, &place.share.id, &parent, name).await?;
    desk.output.show(&Item::Folder(folder.clone()), || vec![format!("made {}", place.shown())])
}

pub(crate) async fn make(
    client: &Client,
    share_id: &str,
    parent: &str,
    name: &str,
) -> Result<Folder, Failure> {
    let (name, share_id) = (name.to_owned(), share_id.to_owned());
    let parent_id = Some(parent.to_owned()).filter(|id| id != ROOT);
    Ok(client.create_folder(&CreateFolder { name, share_id, parent_id }).await?)
}

/// Makes a folder and those above it, as far as they are missing; its id.
pub(crate) async fn make_all(client: &Client, place: &Place) -> Result<String, Failure> {
    let mut at = Place { names: Vec::new(), is_folder: true, ..place.clone() };
    let mut id = ROOT.to_owned();
    for name in &place.names {
        at = at.join(name);
        id = match at.look(client).await? {
            Some(found) => found.folder_id().map(str::to_owned).ok_or_else(|| {
                Failure::new(Exit::Conflict, format!("{} is a file, not a folder", at.shown()))
            })?,
            None => make(client, &place.share.id, &id, name).await?.id,
        };
    }
    Ok(id)
}

pub(crate) async fn rm(
    desk: &Desk,
    texts: &[String],
    recursive: bool,
    permanent: bool,
) -> Result<(), Failure> {
    let client = desk.client()?;
    for text in texts {
        let place = Place::read(&client, text).await?;
        let item = place.find_item(&client).await?;
        if matches!(item, Item::Folder(_)) && !recursive {
            return Err(Failure::usage(format!("{} is a folder", place.shown()))
                .hint("delete it with all that is in it: scaidrive rm -r"));
        }
        client.delete_item(kind(&item), item.id(), permanent).await?;
    }
    Ok(())
}

/// Where something goes: into a folder under its own name, or to a name of its own.
struct Goal {
    /// `root` for the root.
    folder: String,
    share_id: String,
    name: String,
}

impl Goal {
    fn target(&self, old_name: &str) -> Target {
        let root = self.folder == ROOT;
        Target {
            target_folder_id: (!root).then(|| self.folder.clone()),
            target_share_id: root.then(|| self.share_id.clone()),
            name: (self.name != old_name).then(|| self.name.clone()),
        }
    }
}

async fn goal(client: &Client, to: &Place, old_name: &str) -> Result<Goal, Failure> {
    let share_id = to.share.id.clone();
    match to.look(client).await? {
        Some(found) => match found.folder_id() {
            Some(id) => Ok(Goal { folder: id.to_owned(), share_id, name: old_name.to_owned() }),
            None => Err(Failure::new(Exit::Conflict, format!("{} is there already", to.shown()))
                .hint("delete it first, or take another name")),
        },
        None if to.is_folder => {
            Err(Failure::not_found(format!("there is no folder {}", to.shown()))
                .hint("make it first: scaidrive mkdir -p"))
        }
        None => {
            let Some((above, name)) = to.split_last() else {
                return Err(Failure::not_found(format!("there is nothing at {}", to.shown())));
            };
            let folder = above.find_folder(client).await?;
            Ok(Goal { folder, share_id, name: name.to_owned() })
        }
    }
}

pub(crate) async fn mv(desk: &Desk, from: &str, to: &str) -> Result<(), Failure> {
    let client = desk.client()?;
    let source = Place::read(&client, from).await?;
    let target = Place::read(&client, to).await?;
    let item = source.find_item(&client).await?;
    let goal = match goal(&client, &target, item.name()).await {
        // A change of case finds the thing itself: it is a new name, not a folder to go into.
        Ok(_) if is_itself(&client, &target, &item).await? => {
            return rename(&client, &target, &item).await;
        }
        other => other?,
    };
    let moved = client.move_item(kind(&item), item.id(), &goal.target(item.name())).await?;
    if desk.output.json { desk.output.document(&moved) } else { Ok(()) }
}

async fn is_itself(client: &Client, target: &Place, item: &Item) -> Result<bool, Failure> {
    let found = target.look(client).await?;
    Ok(matches!(found, Some(Found::Item(there)) if there.id() == item.id()))
}

async fn rename(client: &Client, target: &Place, item: &Item) -> Result<(), Failure> {
    let Some(name) = target.names.last() else { return Ok(()) };
    let name = Patch::Set(name.clone());
    match item {
        Item::File(file) => {
            let patch = PatchFile { name, ..PatchFile::default() };
            client.patch_file(&file.id, &patch).await?;
        }
        Item::Folder(folder) => {
            let patch = PatchFolder { name, ..PatchFolder::default() };
            client.patch_folder(&folder.id, &patch).await?;
        }
    }
    Ok(())
}

pub(crate) async fn cp(desk: &Desk, from: &str, to: &str) -> Result<(), Failure> {
    let client = desk.client()?;
    let source = Place::read(&client, from).await?;
    let target = Place::read(&client, to).await?;
    let item = source.find_item(&client).await?;
    let goal = goal(&client, &target, item.name()).await?;
    let copied = client.copy_item(kind(&item), item.id(), &goal.target(item.name())).await?;
    if desk.output.json { desk.output.document(&copied) } else { Ok(()) }
}
