//! Chunks that came: verified and durable, and now referenced.

use node_base::{TenantId, UploadId, limits};

use super::open_session;
use super::pages::Pages;
use crate::apply::content::{self, Adoption};
use crate::apply::{Step, Stop};
use crate::command::Received;
use crate::outcome::{Answer, Invalid, Refusal};
use crate::table;
use crate::table::item::ChunkRef;
use crate::table::upload::{Cutting, Upload, Uploads, Wants};

/// A session that takes chunks, while one command brings some.
struct Receiving {
    key: (TenantId, UploadId),
    upload: Upload,
    pages: Pages,
    adoption: Adoption,
}

pub(super) fn run(step: &mut Step<'_>, id: UploadId, chunks: &[Received]) -> Result<Answer, Stop> {
    let max = limits::DECLARED_CHUNKS_MAX;
    if chunks.len() > max {
        return Err(Refusal::invalid("chunks", Invalid::TooMany { max: max as u64 }).into());
    }
    let (tenant, upload) = open_session(step, id)?;
    let mut receiving = Receiving {
        key: (tenant, id),
        pages: Pages::of((tenant, id)),
        adoption: Adoption::new(tenant, upload.share, Some(upload.writer)),
        upload,
    };
    for received in chunks {
        match receiving.upload.cutting {
            Cutting::Content => receiving.take_declared(step, received)?,
            Cutting::Fixed(size) => receiving.take_fixed(step, received, size)?,
        }
    }
    receiving.finish(step)
}

impl Receiving {
    /// All places of the file where the chunk stands are served at once.
    fn take_declared(&mut self, step: &mut Step<'_>, received: &Received) -> Result<(), Stop> {
        let index = Some(received.index).filter(|index| *index < self.upload.chunks);
        let index = index.ok_or_else(|| content::rule("index", "no chunk is declared there"))?;
        let declared = self.pages.chunk_at(step, index)?;
        if declared.is_none_or(|declared| declared.hash != received.chunk.hash) {
            return Err(Refusal::ChecksumMismatch.into());
        }
        if declared.is_some_and(|declared| declared.size != received.chunk.size) {
            return Err(content::rule("size", "the chunk is declared with another size").into());
        }
        let key = (self.key.0, self.key.1, received.chunk.hash);
        match table::get::<Wants>(step.reader(), &key)? {
            Some(want) => {
                self.adoption.take_up(step, &received.chunk, want.count)?;
                table::delete::<Wants>(step.tables, &key)?;
                self.upload.wanted -= 1;
            }
            None => self.adoption.pass_over(step, &received.chunk)?,
        }
        Ok(())
    }

    /// The last that comes for an index counts, for a client may have changed its mind.
    fn take_fixed(
        &mut self,
        step: &mut Step<'_>,
        received: &Received,
        chunk_size: u32,
    ) -> Result<(), Stop> {
        let Received { index, chunk } = *received;
        let start = index.saturating_mul(u64::from(chunk_size));
        if start >= self.upload.size {
            let all = self.upload.size.div_ceil(u64::from(chunk_size));
            let reason = Invalid::OutOfRange { min: 0, max: all.saturating_sub(1) };
            return Err(Refusal::invalid("index", reason).into());
        }
        let size = (self.upload.size - start).min(u64::from(chunk_size));
        if u64::from(chunk.size) != size {
            let reason = Invalid::OutOfRange { min: size, max: size };
            return Err(Refusal::invalid("size", reason).into());
        }
        let before = self.pages.chunk_at(step, index)?;
        if before.is_some_and(|before| before.hash == chunk.hash) {
            return self.adoption.pass_over(step, &chunk);
        }
        self.adoption.take_up(step, &chunk, 1)?;
        match before {
            Some(before) => content::let_go(step, self.key.0, self.upload.share, before.hash)?,
            None => {
                self.upload.chunks += 1;
                self.upload.bytes += size;
                self.upload.wanted -= 1;
            }
        }
        let chunk = ChunkRef { hash: chunk.hash, size: chunk.size };
        self.pages.set(step, &self.upload, chunk_size, index, chunk)?;
        Ok(())
    }

    fn finish(mut self, step: &mut Step<'_>) -> Result<Answer, Stop> {
        self.pages.write(step)?;
        let superfluous = self.adoption.finish(step)?;
        self.upload.active_at = step.now;
        table::put::<Uploads>(step.tables, &self.key, &self.upload)?;
        Ok(Answer::Received { superfluous })
    }
}
