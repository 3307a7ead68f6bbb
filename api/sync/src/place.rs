//! `SHARE[:/path]`: what people write, and what it stands for on the server.

use api_client::Client;
use api_types::v1::Item;
use api_types::v1::folders::{ChildrenQuery, ROOT};
use api_types::v1::shares::{NamePolicyName, Share, SharesQuery};
use node_base::{Name, NameKey, NamePolicy};

use crate::failure::{Exit, Failure};

/// A share, and a way down into it.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) share: Share,
    pub(crate) names: Vec<String>,
    /// It was written with a slash at its end: a folder is meant.
    pub(crate) is_folder: bool,
}

/// What is at a place.
#[derive(Debug, Clone)]
#[allow(clippy::large_enum_variant, reason = "lives for one command")]
pub(crate) enum Found {
    Root,
    Item(Item),
}

impl Found {
    /// The folder's id, `root` for the root.
    pub(crate) fn folder_id(&self) -> Option<&str> {
        match self {
            Self::Root => Some(ROOT),
            Self::Item(Item::Folder(folder)) => Some(&folder.id),
            Self::Item(Item::File(_)) => None,
        }
    }
}

/// The share and the path, as written.
fn split(text: &str) -> (&str, &str) {
    match text.split_once(":/") {
        Some((share, path)) => (share, path),
        None => (text.strip_suffix(':').unwrap_or(text), ""),
    }
}

/// Whether a text names a place on a server.
pub(crate) fn is_place(text: &str) -> bool {
    text.contains(":/") || text.ends_with(':')
}

impl Place {
    /// Reads what was written and finds the share.
    pub(crate) async fn read(client: &Client, text: &str) -> Result<Self, Failure> {
        let (share, path) = split(text);
        let names: Vec<String> =
            path.split('/').filter(|name| !name.is_empty()).map(str::to_owned).collect();
        if let Some(name) = names.iter().find(|name| *name == "." || *name == "..") {
            return Err(Failure::usage(format!("'{name}' means nothing in {text}")));
        }
        let is_folder = path.is_empty() || path.ends_with('/');
        Ok(Self { share: find_share(client, share).await?, names, is_folder })
    }

    pub(crate) fn policy(&self) -> NamePolicy {
        match self.share.settings.name_policy {
            NamePolicyName::Any => NamePolicy::Any,
            NamePolicyName::Portable => NamePolicy::Portable,
        }
    }

    /// What names that mean the same here have in common; nothing for what is no name.
    pub(crate) fn key(&self, name: &str) -> Option<NameKey> {
        Name::new(name, NamePolicy::Any).ok().map(|name| name.key(self.policy()))
    }

    /// As it is shown.
    pub(crate) fn shown(&self) -> String {
        format!("{}:/{}", self.share.name, self.names.join("/"))
    }

    /// The place that this one is in, and its last name; nothing for the root.
    pub(crate) fn split_last(&self) -> Option<(Self, &str)> {
        let (last, above) = self.names.split_last()?;
        let above = Self { names: above.to_vec(), is_folder: true, ..self.clone() };
        Some((above, last))
    }

    /// The place of this name in this one.
    pub(crate) fn join(&self, name: &str) -> Self {
        let mut names = self.names.clone();
        names.push(name.to_owned());
        Self { names, is_folder: false, ..self.clone() }
    }

    /// What is there; nothing if nothing is.
    pub(crate) async fn look(&self, client: &Client) -> Result<Option<Found>, Failure> {
        let mut at = Found::Root;
        for name in &self.names {
            let Some(folder) = at.folder_id() else { return Ok(None) };
            match self.child(client, folder, name).await? {
                Some(item) => at = Found::Item(item),
                None => return Ok(None),
            }
        }
        Ok(Some(at))
    }

    /// What is there.
    pub(crate) async fn find(&self, client: &Client) -> Result<Found, Failure> {
        let found = self.look(client).await?;
        found.ok_or_else(|| Failure::not_found(format!("there is nothing at {}", self.shown())))
    }

    /// The file or folder that is there, but not the root.
    pub(crate) async fn find_item(&self, client: &Client) -> Result<Item, Failure> {
        match self.find(client).await? {
            Found::Item(item) => Ok(item),
            Found::Root => {
                Err(Failure::usage(format!("{} is a share, not something in it", self.shown())))
            }
        }
    }

    /// The file that is there.
    pub(crate) async fn find_file(
        &self,
        client: &Client,
    ) -> Result<api_types::v1::files::File, Failure> {
        match self.find(client).await? {
            Found::Item(Item::File(file)) => Ok(file),
            Found::Item(Item::Folder(_)) | Found::Root => {
                Err(Failure::usage(format!("{} is a folder", self.shown())))
            }
        }
    }

    /// The id of the folder that is there.
    pub(crate) async fn find_folder(&self, client: &Client) -> Result<String, Failure> {
        let found = self.find(client).await?;
        let id = found.folder_id().map(str::to_owned);
        id.ok_or_else(|| {
            Failure::new(Exit::Conflict, format!("{} is a file, not a folder", self.shown()))
        })
    }

    async fn child(
        &self,
        client: &Client,
        folder: &str,
        name: &str,
    ) -> Result<Option<Item>, Failure> {
        let key = |name: &str| self.key(name);
        let wanted = key(name);
        let mut offset = 0;
        loop {
            let page = client.children(folder, &page(&self.share.id, offset)).await?;
            offset += u32::try_from(page.items.len()).unwrap_or(u32::MAX);
            let done = page.items.is_empty() || u64::from(offset) >= page.total;
            let found = page.items.into_iter().find(|item| key(item.name()) == wanted);
            if found.is_some() || done {
                return Ok(found);
            }
        }
    }
}

/// A page of the largest size.
fn page(share_id: &str, offset: u32) -> ChildrenQuery {
    ChildrenQuery {
        share_id: Some(share_id.to_owned()),
        limit: Some(node_base::limits::CHILDREN_PAGE_MAX),
        offset: Some(offset),
        ..ChildrenQuery::default()
    }
}

/// All that is in a folder.
pub(crate) async fn children(
    client: &Client,
    share_id: &str,
    folder: &str,
) -> Result<Vec<Item>, Failure> {
    let mut all = Vec::new();
    loop {
        let offset = u32::try_from(all.len()).unwrap_or(u32::MAX);
        let answer = client.children(folder, &page(share_id, offset)).await?;
        let done = answer.items.is_empty();
        all.extend(answer.items);
        if done || all.len() as u64 >= answer.total {
            return Ok(all);
        }
    }
}

async fn find_share(client: &Client, text: &str) -> Result<Share, Failure> {
    if text.starts_with("shr_") {
        return Ok(client.share(text).await?);
    }
    let mine = client.my_shares().await?.shares;
    let ids: Vec<String> =
        mine.into_iter().filter(|share| share.name == text).map(|share| share.id).collect();
    let ids = if ids.is_empty() { visible(client, text).await? } else { ids };
    match ids.as_slice() {
        [id] => Ok(client.share(id).await?),
        [] => Err(Failure::not_found(format!("there is no share '{text}'"))
            .hint("see which there are: scaidrive shares")),
        _ => Err(Failure::new(Exit::Conflict, format!("several shares are called '{text}'"))
            .hint(format!("name one by its id: {}", ids.join(", ")))),
    }
}

/// Administrators see shares that they are no members of.
async fn visible(client: &Client, name: &str) -> Result<Vec<String>, Failure> {
    let mut ids = Vec::new();
    let mut offset = 0;
    loop {
        let limit = Some(node_base::limits::PAGE_MAX);
        let query = SharesQuery { limit, offset: Some(offset), ..SharesQuery::default() };
        let page = client.shares(&query).await?;
        offset += u32::try_from(page.shares.len()).unwrap_or(u32::MAX);
        let done = page.shares.is_empty() || u64::from(offset) >= page.total;
        let named = page.shares.into_iter().filter(|share| share.name == name && !share.is_deleted);
        ids.extend(named.map(|share| share.id));
        if done {
            return Ok(ids);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{is_place, split};

    #[test]
    fn what_people_write() {
        assert_eq!(split("Team"), ("Team", ""));
        assert_eq!(split("Team:"), ("Team", ""));
        assert_eq!(split("Team:/"), ("Team", ""));
        assert_eq!(split("Team:/a/b"), ("Team", "a/b"));
        assert_eq!(split("A:B:/c"), ("A:B", "c"));
        assert!(is_place("Team:") && is_place("Team:/x") && !is_place("Team"));
    }
}
