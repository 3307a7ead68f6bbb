//! Looking at what is there.

use api_types::v1::Item;
use api_types::v1::files::File;

use crate::commands::Desk;
use crate::failure::Failure;
use crate::output;
use crate::place::{self, Found, Place};

pub(crate) async fn ls(desk: &Desk, text: &str, long: bool) -> Result<(), Failure> {
    let client = desk.client()?;
    let place = Place::read(&client, text).await?;
    let found = place.find(&client).await?;
    let mut items = match (&found, found.folder_id()) {
        (_, Some(id)) => place::children(&client, &place.share.id, id).await?,
        (Found::Item(item), None) => vec![item.clone()],
        (Found::Root, None) => Vec::new(),
    };
    items.sort_by(|a, b| a.name().cmp(b.name()));
    for item in &items {
        if desk.output.json {
            desk.output.document(item)?;
        } else {
            desk.output.line(&shown(item, long))?;
        }
    }
    Ok(())
}

fn shown(item: &Item, long: bool) -> String {
    match (item, long) {
        (Item::Folder(folder), false) => format!("{}/", folder.name),
        (Item::File(file), false) => file.name.clone(),
        (Item::Folder(folder), true) => {
            format!("{:>10}  {}  {}/", "-", folder.modified_at.0, folder.name)
        }
        (Item::File(file), true) => {
            let time = file.client_modified_at.unwrap_or(file.modified_at);
            format!("{:>10}  {}  {}", output::size(file.size), time.0, file.name)
        }
    }
}

pub(crate) async fn stat(desk: &Desk, text: &str) -> Result<(), Failure> {
    let client = desk.client()?;
    let place = Place::read(&client, text).await?;
    match place.find(&client).await? {
        Found::Root => {
            let share = &place.share;
            desk.output.show(share, || {
                vec![
                    format!("share     {}", share.name),
                    format!("id        {}", share.id),
                    format!("used      {}", output::size(share.used_bytes)),
                    format!("made      {}", share.created_at.0),
                ]
            })
        }
        Found::Item(Item::Folder(folder)) => {
            desk.output.show(&Item::Folder(folder.clone()), || {
                vec![
                    format!("folder    {}", folder.path),
                    format!("id        {}", folder.id),
                    format!("made      {}", folder.created_at.0),
                    format!("changed   {}", folder.modified_at.0),
                ]
            })
        }
        Found::Item(Item::File(file)) => {
            desk.output.show(&Item::File(file.clone()), || described(&file))
        }
    }
}

fn described(file: &File) -> Vec<String> {
    let mut lines = vec![
        format!("file      {}", file.path),
        format!("id        {}", file.id),
        format!("size      {} ({} bytes)", output::size(file.size), file.size),
        format!("type      {}", file.mime_type),
        format!("version   {}", file.version),
        format!("changed   {}", file.modified_at.0),
    ];
    if let Some(hash) = file.checksum_sha256 {
        lines.push(format!("sha256    {}", hash.0));
    }
    lines
}

pub(crate) async fn cat(desk: &Desk, text: &str, version: Option<u32>) -> Result<(), Failure> {
    let client = desk.client()?;
    let file = Place::read(&client, text).await?.find_file(&client).await?;
    let mut download = client.content(&file.id, version).await?;
    while let Some(bytes) = download.next().await? {
        desk.output.bytes(&bytes)?;
    }
    Ok(())
}
