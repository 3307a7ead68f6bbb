//! The versions of a file, and the chunks that each is made of.

use std::ops::ControlFlow;

use node_base::{FileId, VersionId, limits};

use super::denied::{self, Denied};
use super::page::{Page, Pager};
use crate::access::Viewer;
use crate::outcome::{Noun, Refusal};
use crate::table;
use crate::table::item::{Body, ChunkRef, Content, ItemId, ManifestPages, Version, Versions};
use crate::tables::{Reader, TableError};

/// Which version is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    Current,
    Number(u32),
    Id(VersionId),
}

/// A version with its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Numbered {
    pub number: u32,
    pub version: Version,
    /// The name of the file that it is a version of.
    pub file_name: String,
}

/// A stretch of a content: chunks, and where in the file the first begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChunksPage {
    pub offset: u64,
    pub chunks: Vec<ChunkRef>,
    /// The index of the first chunk behind the stretch, when there are more.
    pub next: Option<u64>,
}

/// A page of a file's versions, the newest first: READ on the file.
///
/// # Errors
/// Refused when the file is not there for the viewer, may not be read, or is in the trash.
pub fn list(
    tables: &dyn Reader,
    viewer: &Viewer,
    file: FileId,
    offset: u64,
    limit: u32,
) -> Result<Page<Numbered>, Denied> {
    let chain = denied::live(tables, viewer, ItemId::File(file))?;
    let file_name = chain.item().map(|item| item.name.as_str().to_owned()).unwrap_or_default();
    let mut pager = Pager::new(offset, limit);
    table::scan_back::<Versions>(tables, &(viewer.tenant(), file), &mut |key, version| {
        pager.push(Numbered { number: key.2, version, file_name: file_name.clone() });
        ControlFlow::Continue(())
    })?;
    Ok(pager.page())
}

/// One version of a file: READ on the file.
///
/// # Errors
/// Refused as [`list`] is, and when there is no such version.
pub fn get(
    tables: &dyn Reader,
    viewer: &Viewer,
    file: FileId,
    which: Which,
) -> Result<Numbered, Denied> {
    let chain = denied::live(tables, viewer, ItemId::File(file))?;
    let (current, file_name) = match chain.item() {
        Some(item) => match &item.body {
            Body::File(file) => (file.version, item.name.as_str().to_owned()),
            Body::Folder => return Err(Refusal::NotFound(Noun::File).into()),
        },
        None => return Err(Refusal::NotFound(Noun::File).into()),
    };
    let number = match which {
        Which::Current => Some(current),
        Which::Number(number) => Some(number),
        Which::Id(id) => number_of(tables, viewer, file, id)?,
    };
    let number = number.ok_or(Refusal::NotFound(Noun::Version))?;
    let version = table::get::<Versions>(tables, &(viewer.tenant(), file, number))?;
    let version = version.ok_or(Refusal::NotFound(Noun::Version))?;
    Ok(Numbered { number, version, file_name })
}

/// The newest first: mostly it is one of the last.
fn number_of(
    tables: &dyn Reader,
    viewer: &Viewer,
    file: FileId,
    id: VersionId,
) -> Result<Option<u32>, TableError> {
    let mut found = None;
    table::scan_back::<Versions>(tables, &(viewer.tenant(), file), &mut |key, version| {
        if version.id == id {
            found = Some(key.2);
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    })?;
    Ok(found)
}

/// The page of a content's chunks that starts at chunk `from`, a multiple of the pages' length.
/// Nothing when the content ends before it.
///
/// # Errors
/// Only when the tables fail.
pub fn chunks(
    tables: &dyn Reader,
    viewer: &Viewer,
    content: &Content,
    from: u64,
) -> Result<Option<ChunksPage>, TableError> {
    let length = limits::MANIFEST_PAGE as u64;
    match content {
        Content::Inline(chunks) if from == 0 => {
            Ok(Some(ChunksPage { offset: 0, chunks: chunks.clone(), next: None }))
        }
        Content::Inline(_) => Ok(None),
        Content::Paged(manifest) => {
            let Ok(number) = u32::try_from(from / length) else { return Ok(None) };
            let at =
                |number| table::get::<ManifestPages>(tables, &(viewer.tenant(), *manifest, number));
            let Some(page) = at(number)? else { return Ok(None) };
            let chunks: Option<Vec<ChunkRef>> = page.chunks.into_iter().collect();
            let chunks = chunks.ok_or(TableError::Invariant("a sealed manifest has a gap"))?;
            let next = at(number.saturating_add(1))?.map(|_| (u64::from(number) + 1) * length);
            Ok(Some(ChunksPage { offset: page.offset, chunks, next }))
        }
    }
}

/// The chunk, by its index, that holds this byte of the content, with the page it is in: where a
/// range begins.
///
/// # Errors
/// Only when the tables fail.
pub fn page_of_byte(
    tables: &dyn Reader,
    viewer: &Viewer,
    content: &Content,
    byte: u64,
) -> Result<Option<ChunksPage>, TableError> {
    let Content::Paged(manifest) = content else { return chunks(tables, viewer, content, 0) };
    let length = limits::MANIFEST_PAGE as u64;
    let manifest = (viewer.tenant(), *manifest);
    let Some(row) = table::get::<crate::table::item::Manifests>(tables, &manifest)? else {
        return Ok(None);
    };
    let (mut low, mut high) = (0, row.pages);
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        let page = table::get::<ManifestPages>(tables, &(manifest.0, manifest.1, middle))?;
        let page = page.ok_or(TableError::Invariant("a sealed manifest lacks a page"))?;
        if page.offset <= byte { low = middle } else { high = middle }
    }
    chunks(tables, viewer, content, u64::from(low) * length)
}
