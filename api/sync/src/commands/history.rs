//! Versions and trash.

use api_client::Client;
use api_types::v1::versions::{TrashQuery, Version};
use api_types::v1::{Item, PageQuery};
use node_base::limits::PAGE_MAX;

use crate::commands::{Desk, change};
use crate::failure::Failure;
use crate::output;
use crate::place::Place;

pub(crate) async fn versions(desk: &Desk, text: &str) -> Result<(), Failure> {
    let client = desk.client()?;
    let file = Place::read(&client, text).await?.find_file(&client).await?;
    let mut all: Vec<Version> = Vec::new();
    loop {
        let offset = u32::try_from(all.len()).unwrap_or(u32::MAX);
        let page = PageQuery { limit: Some(PAGE_MAX), offset: Some(offset) };
        let answer = client.versions(&file.id, &page).await?;
        let done = answer.versions.is_empty();
        all.extend(answer.versions);
        if done || all.len() as u64 >= answer.total {
            break;
        }
    }
    for version in &all {
        if desk.output.json {
            desk.output.document(version)?;
        } else {
            let size = output::size(version.size);
            let (number, time) = (version.version_number, version.created_at.0);
            desk.output
                .line(&format!("{number:>6}  {size:>10}  {time}  {}", version.created_by))?;
        }
    }
    Ok(())
}

pub(crate) async fn restore(desk: &Desk, text: &str, version: Option<u32>) -> Result<(), Failure> {
    let client = desk.client()?;
    let place = Place::read(&client, text).await?;
    let restored = match version {
        Some(version) => {
            let file = place.find_file(&client).await?;
            Item::File(client.restore_version(&file.id, version).await?)
        }
        None => {
            let path = format!("/{}", place.names.join("/"));
            let all = trashed(&client, &place.share.id).await?;
            let item = all.into_iter().find(|item| path_of(item) == path).ok_or_else(|| {
                Failure::not_found(format!("{} is not in the trash", place.shown()))
                    .hint("see what is: scaidrive trash SHARE")
            })?;
            client.restore_item(change::kind(&item), item.id()).await?
        }
    };
    desk.output.show(&restored, || vec![format!("restored {}", path_of(&restored))])
}

fn path_of(item: &Item) -> &str {
    match item {
        Item::File(file) => &file.path,
        Item::Folder(folder) => &folder.path,
    }
}

async fn trashed(client: &Client, share_id: &str) -> Result<Vec<Item>, Failure> {
    let mut all = Vec::new();
    loop {
        let offset = u32::try_from(all.len()).unwrap_or(u32::MAX);
        let share_id = share_id.to_owned();
        let query = TrashQuery { share_id, limit: Some(PAGE_MAX), offset: Some(offset) };
        let page = client.trash(&query).await?;
        let done = page.items.is_empty();
        all.extend(page.items);
        if done || all.len() as u64 >= page.total {
            return Ok(all);
        }
    }
}

pub(crate) async fn trash(desk: &Desk, share: &str, purge: Option<String>) -> Result<(), Failure> {
    let client = desk.client()?;
    let place = Place::read(&client, share).await?;
    let all = trashed(&client, &place.share.id).await?;
    if let Some(id) = purge {
        let item = all.iter().find(|item| item.id() == id).ok_or_else(|| {
            Failure::not_found(format!("{id} is not in the trash of {}", place.share.name))
        })?;
        return Ok(client.purge_item(change::kind(item), item.id()).await?);
    }
    for item in &all {
        if desk.output.json {
            desk.output.document(item)?;
        } else {
            desk.output.line(&format!("{}  {}", item.id(), path_of(item)))?;
        }
    }
    Ok(())
}
