//! References: which chunks are needed, and by how many.
//!
//! A chunk's count says how often manifests (sealed, or of an open session) and inline versions
//! name it. It may only err high: a count that falls below what is really there loses bytes. At
//! zero the chunk is condemned, and any new reference takes that back; only [`reap`](super::upkeep)
//! removes it. A wanted chunk of a session has no reference of that session until it comes.
//!
//! A chunk that is written is taken up under the generation it was written with, once: a copy that
//! comes second is superfluous, and a generation that was reaped, or was told to be superfluous,
//! never comes back.

use std::collections::BTreeMap;

use node_base::plant::{self, Bug};
use node_base::{Generation, Profile, Sha256, ShareId, TenantId, UploadId, limits};

use super::{Step, Stop, quota};
use crate::command::{NewChunk, Written};
use crate::outcome::{Invalid, Refusal};
use crate::table::chunk::{Chunk, Chunks, Coded, Condemned, ShareChunks, Spent};
use crate::table::item::{Content, Manifests};
use crate::table::upload::{Dropped, Writer, Writers};
use crate::table::{self};
use crate::tables::TableError;

/// Written copies that nobody needs: their generations may be deleted.
pub(crate) type Superfluous = Vec<(Sha256, Generation)>;

/// Takes up one reference for each chunk named, adopting those that are written and new. Answers
/// the written copies that are not needed.
///
/// Refused with [`Refusal::ChunksGone`](crate::Refusal) where a chunk taken to be here is not, and
/// with [`Refusal::WriterClosed`](crate::Refusal) where a written one's writer is closed.
pub(crate) fn adopt(
    step: &mut Step<'_>,
    tenant: TenantId,
    share: ShareId,
    chunks: &[NewChunk],
) -> Result<Superfluous, Stop> {
    let mut adoption = Adoption::new(tenant, share, None);
    for chunk in chunks {
        adoption.take_up(step, chunk, 1)?;
    }
    adoption.finish(step)
}

/// Chunks being taken up by one command.
pub(crate) struct Adoption {
    tenant: TenantId,
    share: ShareId,
    /// The writer number of the session whose chunks these are; its own writes are taken besides
    /// those of leases.
    session: Option<u64>,
    /// The writer that was last found open: a batch has one, mostly.
    open: Option<u64>,
    stored_bytes: i64,
    /// New chunks by how they are coded.
    coded: BTreeMap<Profile, i64>,
    superfluous: Superfluous,
    gone: Vec<Sha256>,
}

impl Adoption {
    pub(crate) fn new(tenant: TenantId, share: ShareId, session: Option<u64>) -> Self {
        Self {
            tenant,
            share,
            session,
            open: None,
            stored_bytes: 0,
            coded: BTreeMap::new(),
            superfluous: Vec::new(),
            gone: Vec::new(),
        }
    }

    /// Takes up this many references to the chunk, in the share's count too.
    pub(crate) fn take_up(
        &mut self,
        step: &mut Step<'_>,
        chunk: &NewChunk,
        count: u64,
    ) -> Result<(), Stop> {
        self.check(step, chunk)?;
        let mut row = match table::get::<Chunks>(step.reader(), &(self.tenant, chunk.hash))? {
            Some(row) => {
                self.compare(step, chunk, &row)?;
                row
            }
            None => match chunk.written {
                Some(written) if !is_spent(step, written.generation)? => {
                    self.stored_bytes += i64::from(written.stored_size);
                    *self.coded.entry(written.profile).or_default() += 1;
                    new_chunk(chunk.size, written)
                }
                _ => {
                    self.gone.push(chunk.hash);
                    return Ok(());
                }
            },
        };
        refer(step, self.tenant, chunk.hash, &mut row, count)?;
        count_in_share(step, self.tenant, self.share, chunk.hash, count)?;
        Ok(())
    }

    /// A chunk that came though the session has it, or had it from elsewhere: nothing is taken up,
    /// and another copy than the one that stands is superfluous.
    pub(crate) fn pass_over(&mut self, step: &mut Step<'_>, chunk: &NewChunk) -> Result<(), Stop> {
        self.check(step, chunk)?;
        let row = table::get::<Chunks>(step.reader(), &(self.tenant, chunk.hash))?;
        let row = row.ok_or(TableError::Invariant("a session's chunk is not there"))?;
        self.compare(step, chunk, &row)
    }

    /// The copies that are not needed; refused where a chunk is gone.
    pub(crate) fn finish(self, step: &mut Step<'_>) -> Result<Superfluous, Stop> {
        if !self.gone.is_empty() {
            return Err(Refusal::ChunksGone { hashes: self.gone }.into());
        }
        quota::count_stored(step, self.tenant, self.stored_bytes)?;
        for (profile, count) in self.coded {
            count_coded(step, self.tenant, profile, count)?;
        }
        Ok(self.superfluous)
    }

    fn check(&mut self, step: &Step<'_>, chunk: &NewChunk) -> Result<(), Stop> {
        check_size("chunks", chunk.size)?;
        let Some(written) = chunk.written else { return Ok(()) };
        let writer = written.generation.writer();
        if self.open != Some(writer) {
            match table::get::<Writers>(step.reader(), &(writer,))? {
                Some(Writer::Lease { .. }) => {}
                Some(Writer::Upload(..)) if self.session == Some(writer) => {}
                _ => return Err(Refusal::WriterClosed.into()),
            }
            self.open = Some(writer);
        }
        Ok(())
    }

    /// Notes a written copy beside the one that stands as superfluous. The very same one is a
    /// command that came twice.
    fn compare(&mut self, step: &mut Step<'_>, chunk: &NewChunk, row: &Chunk) -> Result<(), Stop> {
        if row.size != chunk.size {
            return Err(rule("chunks", "a chunk of this hash has another size").into());
        }
        if let Some(written) = chunk.written.filter(|new| new.generation != row.generation) {
            table::put::<Spent>(step.tables, &(written.generation,), &())?;
            self.superfluous.push((chunk.hash, written.generation));
        }
        Ok(())
    }
}

/// A chunk has 1 byte to 8 MiB.
pub(crate) fn check_size(field: &str, size: u32) -> Result<(), Refusal> {
    let max = limits::CHUNK_MAX as u64;
    if size == 0 || u64::from(size) > max {
        return Err(Refusal::invalid(field, Invalid::OutOfRange { min: 1, max }));
    }
    Ok(())
}

pub(super) fn rule(field: &str, sentence: &str) -> Refusal {
    Refusal::invalid(field, Invalid::Rule(sentence.to_owned()))
}

fn is_spent(step: &Step<'_>, generation: Generation) -> Result<bool, TableError> {
    Ok(table::has::<Spent>(step.reader(), &(generation,))? && !plant::on(Bug::ReuseGeneration))
}

fn new_chunk(size: u32, written: Written) -> Chunk {
    Chunk {
        generation: written.generation,
        size,
        stored_size: written.stored_size,
        profile: written.profile,
        references: 0,
        condemned_at: None,
    }
}

fn refer(
    step: &mut Step<'_>,
    tenant: TenantId,
    hash: Sha256,
    row: &mut Chunk,
    count: u64,
) -> Result<(), TableError> {
    if let Some(at) = row.condemned_at.take_if(|_| !plant::on(Bug::CollectPinned)) {
        table::delete::<Condemned>(step.tables, &(at, tenant, hash))?;
    }
    if row.references == 0 || !plant::on(Bug::CountOnce) {
        row.references += count;
    }
    table::put::<Chunks>(step.tables, &(tenant, hash), row)
}

/// Counts so many more, or fewer, chunks of this profile.
pub(crate) fn count_coded(
    step: &mut Step<'_>,
    tenant: TenantId,
    profile: Profile,
    more: i64,
) -> Result<(), TableError> {
    let key = (tenant, profile.data, profile.parity);
    let count = table::get::<Coded>(step.reader(), &key)?.unwrap_or_default();
    match count.saturating_add_signed(more) {
        0 => table::delete::<Coded>(step.tables, &key),
        count => table::put::<Coded>(step.tables, &key, &count),
    }
}

pub(crate) fn count_in_share(
    step: &mut Step<'_>,
    tenant: TenantId,
    share: ShareId,
    hash: Sha256,
    count: u64,
) -> Result<(), TableError> {
    let key = (tenant, share, hash);
    let held = table::get::<ShareChunks>(step.reader(), &key)?.unwrap_or_default();
    table::put::<ShareChunks>(step.tables, &key, &(held + count))
}

pub(crate) fn discount_in_share(
    step: &mut Step<'_>,
    tenant: TenantId,
    share: ShareId,
    hash: Sha256,
) -> Result<(), TableError> {
    let key = (tenant, share, hash);
    match table::get::<ShareChunks>(step.reader(), &key)? {
        None | Some(0) => Err(TableError::Invariant("a share lets go of a chunk it does not hold")),
        Some(1) => table::delete::<ShareChunks>(step.tables, &key),
        Some(held) => table::put::<ShareChunks>(step.tables, &key, &(held - 1)),
    }
}

/// More references to a chunk that is there.
pub(crate) fn refer_to(
    step: &mut Step<'_>,
    tenant: TenantId,
    share: ShareId,
    hash: Sha256,
    count: u64,
) -> Result<(), TableError> {
    let row = table::get::<Chunks>(step.reader(), &(tenant, hash))?;
    let mut row = row.ok_or(TableError::Invariant("a chunk that is named is not there"))?;
    refer(step, tenant, hash, &mut row, count)?;
    count_in_share(step, tenant, share, hash, count)
}

/// One reference less; without any the chunk is condemned.
pub(crate) fn let_go(
    step: &mut Step<'_>,
    tenant: TenantId,
    share: ShareId,
    hash: Sha256,
) -> Result<(), TableError> {
    let row = table::get::<Chunks>(step.reader(), &(tenant, hash))?;
    let mut row = row.ok_or(TableError::Invariant("a chunk that is named is not there"))?;
    let left = row.references.checked_sub(1);
    row.references = left.ok_or(TableError::Invariant("a chunk loses a reference it has not"))?;
    if row.references == 0 {
        row.condemned_at = Some(step.index);
        table::put::<Condemned>(step.tables, &(step.index, tenant, hash), &())?;
    }
    table::put::<Chunks>(step.tables, &(tenant, hash), &row)?;
    discount_in_share(step, tenant, share, hash)
}

/// One more holder of this content: a copy, a restored version, a conflict.
///
/// A manifest's chunks stay counted in the share it was uploaded to: another share that holds it
/// too is not told of them, which errs on the side of silence.
pub(crate) fn hold(
    step: &mut Step<'_>,
    tenant: TenantId,
    share: ShareId,
    content: &Content,
) -> Result<(), Stop> {
    match content {
        Content::Inline(chunks) => {
            for chunk in chunks {
                refer_to(step, tenant, share, chunk.hash, 1)?;
            }
        }
        Content::Paged(manifest) => {
            let row = table::get::<Manifests>(step.reader(), &(tenant, *manifest))?;
            let mut row = row.ok_or(TableError::Invariant("a manifest is not there"))?;
            if row.holders == 0 {
                return Err(TableError::Invariant("a dropped manifest is held again").into());
            }
            row.holders += 1;
            table::put::<Manifests>(step.tables, &(tenant, *manifest), &row)?;
        }
    }
    Ok(())
}

/// One holder less. Inline chunks lose their references now, a manifest's page by page later.
pub(crate) fn release(
    step: &mut Step<'_>,
    tenant: TenantId,
    share: ShareId,
    content: &Content,
) -> Result<(), Stop> {
    match content {
        Content::Inline(chunks) => {
            for chunk in chunks {
                let_go(step, tenant, share, chunk.hash)?;
            }
        }
        Content::Paged(manifest) => release_manifest(step, tenant, *manifest)?,
    }
    Ok(())
}

/// One holder less of a manifest; without any it is dropped.
pub(crate) fn release_manifest(
    step: &mut Step<'_>,
    tenant: TenantId,
    manifest: UploadId,
) -> Result<(), TableError> {
    let key = (tenant, manifest);
    let row = table::get::<Manifests>(step.reader(), &key)?;
    let mut row = row.ok_or(TableError::Invariant("a manifest is not there"))?;
    let left = row.holders.checked_sub(1);
    row.holders = left.ok_or(TableError::Invariant("a manifest loses a holder it has not"))?;
    if row.holders == 0 {
        table::put::<Dropped>(step.tables, &key, &())?;
    }
    table::put::<Manifests>(step.tables, &key, &row)
}
