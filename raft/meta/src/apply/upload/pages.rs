//! The pages of a session's manifest, one at hand at a time.

use node_base::{TenantId, UploadId, limits};

use crate::apply::Step;
use crate::command::Declared;
use crate::table;
use crate::table::item::{ChunkRef, ManifestPage, ManifestPages};
use crate::table::upload::Upload;
use crate::tables::TableError;

/// Chunks of one page.
pub(super) const PAGE: u64 = limits::MANIFEST_PAGE as u64;

/// Reads and fills pages. What was changed is written by [`Pages::write`].
pub(super) struct Pages {
    key: (TenantId, UploadId),
    at_hand: Option<(u32, ManifestPage)>,
    changed: bool,
}

impl Pages {
    pub(super) fn of(key: (TenantId, UploadId)) -> Self {
        Self { key, at_hand: None, changed: false }
    }

    /// The chunk at this index, if one is declared or has come there.
    pub(super) fn chunk_at(
        &mut self,
        step: &mut Step<'_>,
        index: u64,
    ) -> Result<Option<ChunkRef>, TableError> {
        let page = self.page(step, index / PAGE)?;
        Ok(page.and_then(|page| page.chunks.get((index % PAGE) as usize).copied().flatten()))
    }

    /// Puts a chunk at this index of a session with chunks of a fixed size.
    pub(super) fn set(
        &mut self,
        step: &mut Step<'_>,
        upload: &Upload,
        chunk_size: u32,
        index: u64,
        chunk: ChunkRef,
    ) -> Result<(), TableError> {
        let number = index / PAGE;
        if self.page(step, number)?.is_none() {
            let chunk_size = u64::from(chunk_size);
            let all = upload.size.div_ceil(chunk_size);
            let here = (all - number * PAGE).min(PAGE) as usize;
            let offset = number * PAGE * chunk_size;
            let page = ManifestPage { offset, chunks: vec![None; here] };
            self.at_hand = Some((page_number(number)?, page));
        }
        let slot = self
            .at_hand
            .as_mut()
            .and_then(|(_, page)| page.chunks.get_mut((index % PAGE) as usize));
        *slot.ok_or(TableError::Invariant("a page is too short"))? = Some(chunk);
        self.changed = true;
        Ok(())
    }

    /// Appends declared chunks, and counts them.
    pub(super) fn append(
        &mut self,
        step: &mut Step<'_>,
        upload: &mut Upload,
        mut chunks: &[Declared],
    ) -> Result<(), TableError> {
        while !chunks.is_empty() {
            let number = upload.chunks / PAGE;
            if self.page(step, number)?.is_none() {
                let page = ManifestPage { offset: upload.bytes, chunks: Vec::new() };
                self.at_hand = Some((page_number(number)?, page));
            }
            let room = (PAGE - upload.chunks % PAGE) as usize;
            let (here, rest) = chunks.split_at(room.min(chunks.len()));
            if let Some((_, page)) = &mut self.at_hand {
                let refs = here.iter().map(|c| Some(ChunkRef { hash: c.hash, size: c.size }));
                page.chunks.extend(refs);
            }
            upload.chunks += here.len() as u64;
            upload.bytes += here.iter().map(|chunk| u64::from(chunk.size)).sum::<u64>();
            self.changed = true;
            chunks = rest;
        }
        self.write(step)
    }

    /// Writes the page at hand if it was changed.
    pub(super) fn write(&mut self, step: &mut Step<'_>) -> Result<(), TableError> {
        if let (true, Some((number, page))) = (self.changed, &self.at_hand) {
            let (tenant, id) = self.key;
            table::put::<ManifestPages>(step.tables, &(tenant, id, *number), page)?;
        }
        self.changed = false;
        Ok(())
    }

    /// Takes this page at hand, and writes the one that was before.
    fn page(
        &mut self,
        step: &mut Step<'_>,
        number: u64,
    ) -> Result<Option<&ManifestPage>, TableError> {
        let number = page_number(number)?;
        if self.at_hand.as_ref().is_none_or(|(at_hand, _)| *at_hand != number) {
            self.write(step)?;
            let (tenant, id) = self.key;
            let row = table::get::<ManifestPages>(step.reader(), &(tenant, id, number))?;
            self.at_hand = row.map(|page| (number, page));
        }
        Ok(self.at_hand.as_ref().map(|(_, page)| page))
    }
}

/// A session has far fewer pages than a `u32` counts; an index beyond them has no page.
fn page_number(number: u64) -> Result<u32, TableError> {
    u32::try_from(number).map_err(|_| TableError::Invariant("a manifest has too many pages"))
}
