//! Chunks, manifests and sessions.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use node_base::{Profile, Sha256, TenantId, UploadId};

use super::books::{Books, Counter, Subject};
use crate::query::quota::tenants_of;
use crate::table::chunk::{Chunks, Coded, Condemned, ShareChunks, Spent};
use crate::table::item::{Manifest, ManifestPage, ManifestPages, Manifests};
use crate::table::people::Tenants;
use crate::table::quota::{QuotaTarget, Usages};
use crate::table::upload::{
    Cutting, Dropped, Upload, UploadState, Uploads, Wants, Writer, Writers,
};
use crate::table::{self};
use crate::tables::{Reader, TableError};

/// What pages name, and what manifests and sessions say of their pages.
pub(super) fn manifests(
    tables: &dyn Reader,
    tenant: TenantId,
    books: &mut Books,
) -> Result<(), TableError> {
    let mut open = BTreeMap::new();
    table::scan::<Uploads>(tables, &(tenant,), &mut |(_, id), upload| {
        if upload.state == UploadState::Open {
            open.insert(id, upload);
        }
        ControlFlow::Continue(())
    })?;
    let wants = wants(tables, tenant, &open, books)?;
    let mut rows = BTreeMap::new();
    table::scan::<Manifests>(tables, &(tenant,), &mut |(_, id), manifest| {
        rows.insert(id, manifest);
        ControlFlow::Continue(())
    })?;
    for (id, manifest) in &rows {
        manifest_row(books, *id, manifest, open.contains_key(id));
    }
    table::scan::<Dropped>(tables, &(tenant,), &mut |(_, id), ()| {
        books.stored(Subject::Dropped(id), 1);
        ControlFlow::Continue(())
    })?;
    table::scan::<ManifestPages>(tables, &(tenant,), &mut |(_, id, number), row| {
        let context = Context { id, manifest: rows.get(&id), upload: open.get(&id), wants: &wants };
        page(books, &context, number, &row);
        ControlFlow::Continue(())
    })?;
    for (id, upload) in &open {
        session(books, *id, upload, &wants);
    }
    writers(tables, tenant, &open, books)
}

type Wanted = BTreeSet<(UploadId, Sha256)>;

fn wants(
    tables: &dyn Reader,
    tenant: TenantId,
    open: &BTreeMap<UploadId, Upload>,
    books: &mut Books,
) -> Result<Wanted, TableError> {
    let mut wants = BTreeSet::new();
    table::scan::<Wants>(tables, &(tenant,), &mut |(_, id, hash), want| {
        wants.insert((id, hash));
        // A session that gave up loses its pages before its wants.
        if open.contains_key(&id) {
            books.stored(Subject::WantCount(id, hash), want.count);
        }
        ControlFlow::Continue(())
    })?;
    Ok(wants)
}

fn manifest_row(books: &mut Books, id: UploadId, manifest: &Manifest, is_open: bool) {
    books.stored(Subject::Holders(id), manifest.holders);
    books.counted(Subject::Holders(id), u64::from(is_open));
    books.counted(Subject::Dropped(id), u64::from(manifest.holders == 0));
    if manifest.holders > 0 && !is_open {
        books.stored(Subject::ManifestChunks(id), manifest.chunks);
        books.stored(Subject::ManifestBytes(id), manifest.size);
        books.stored(Subject::ManifestPages(id), u64::from(manifest.pages));
    }
}

/// What a page belongs to.
struct Context<'a> {
    id: UploadId,
    manifest: Option<&'a Manifest>,
    /// The session, while it is open.
    upload: Option<&'a Upload>,
    wants: &'a Wanted,
}

fn page(books: &mut Books, context: &Context<'_>, number: u32, row: &ManifestPage) {
    let id = context.id;
    let Some(manifest) = context.manifest else {
        return books.stored(Subject::ManifestPages(id), 1);
    };
    let here = row.chunks.iter().flatten();
    let (chunks, bytes) =
        here.clone().fold((0, 0), |(chunks, bytes), c| (chunks + 1, bytes + u64::from(c.size)));
    for chunk in here {
        if context.wants.contains(&(id, chunk.hash)) {
            if context.upload.is_some() {
                books.counted(Subject::WantCount(id, chunk.hash), 1);
            }
        } else {
            books.counted(Subject::References(chunk.hash), 1);
            books.counted(Subject::ShareReferences(manifest.share, chunk.hash), 1);
        }
    }
    let (all, sum) = if context.upload.is_some() {
        (Subject::SessionChunks(id), Subject::SessionBytes(id))
    } else {
        (Subject::ManifestChunks(id), Subject::ManifestBytes(id))
    };
    // Pages of a dropped manifest go one by one, and no sum is kept of what is left.
    if manifest.holders == 0 {
        return;
    }
    let begins = match context.upload.map(|upload| upload.cutting) {
        Some(Cutting::Fixed(size)) => {
            u64::from(number) * node_base::limits::MANIFEST_PAGE as u64 * u64::from(size)
        }
        _ => books.count_of(&sum),
    };
    books.stored(Subject::PageOffset(id, number), row.offset);
    books.counted(Subject::PageOffset(id, number), begins);
    books.counted(all, chunks);
    books.counted(sum, bytes);
    if context.upload.is_none() {
        books.counted(Subject::ManifestPages(id), 1);
    }
}

fn session(books: &mut Books, id: UploadId, upload: &Upload, wants: &Wanted) {
    books.stored(Subject::SessionChunks(id), upload.chunks);
    books.stored(Subject::SessionBytes(id), upload.bytes);
    books.stored(Subject::Wanted(id), upload.wanted);
    books.counted(Subject::Writer(id), upload.writer);
    let wanted = match upload.cutting {
        Cutting::Content => {
            let from = (id, Sha256([0; 32]));
            wants.range(from..).take_while(|(of, _)| *of == id).count() as u64
        }
        Cutting::Fixed(size) => {
            let all = upload.size.div_ceil(u64::from(size));
            all.saturating_sub(books.count_of(&Subject::SessionChunks(id)))
        }
    };
    books.counted(Subject::Wanted(id), wanted);
}

fn writers(
    tables: &dyn Reader,
    tenant: TenantId,
    open: &BTreeMap<UploadId, Upload>,
    books: &mut Books,
) -> Result<(), TableError> {
    table::scan::<Writers>(tables, &(), &mut |(number,), writer| {
        match writer {
            Writer::Upload(of, id) if of == tenant || open.contains_key(&id) => {
                books.stored(Subject::Writer(id), number);
            }
            Writer::Upload(..) | Writer::Lease { .. } => {}
        }
        ControlFlow::Continue(())
    })
}

/// Records of chunks, against the references that were counted before.
pub(super) fn chunks(
    tables: &dyn Reader,
    tenant: TenantId,
    books: &mut Books,
) -> Result<(), TableError> {
    let physical = Subject::Usage(QuotaTarget::Tenant(tenant), Counter::PhysicalBytes);
    let mut generations = Vec::new();
    table::scan::<Chunks>(tables, &(tenant,), &mut |(_, hash), chunk| {
        let needed = books.count_of(&Subject::References(hash)) > 0;
        books.stored(Subject::References(hash), chunk.references);
        books.stored(Subject::Unneeded(hash), u64::from(chunk.condemned_at.is_some()));
        books.counted(Subject::Unneeded(hash), u64::from(!needed));
        books.stored(Subject::Condemned(hash), chunk.condemned_at.unwrap_or_default());
        books.counted(physical.clone(), u64::from(chunk.stored_size));
        books.counted(Subject::Coded(chunk.profile), 1);
        generations.push(chunk.generation);
        ControlFlow::Continue(())
    })?;
    table::scan::<Coded>(tables, &(tenant,), &mut |(_, data, parity), count| {
        books.stored(Subject::Coded(Profile { data, parity }), count);
        ControlFlow::Continue(())
    })?;
    for generation in generations {
        if table::has::<Spent>(tables, &(generation,))? {
            books.stored(Subject::Spent(generation), 1);
        }
    }
    table::scan::<Condemned>(tables, &(), &mut |(at, of, hash), ()| {
        if of == tenant {
            books.counted(Subject::Condemned(hash), at);
        }
        ControlFlow::Continue(())
    })?;
    table::scan::<ShareChunks>(tables, &(tenant,), &mut |(_, share, hash), count| {
        books.stored(Subject::ShareReferences(share, hash), count);
        ControlFlow::Continue(())
    })?;
    partner(tables, tenant, books)
}

/// A partner's numbers are the sums of what its tenants' rows say.
fn partner(tables: &dyn Reader, tenant: TenantId, books: &mut Books) -> Result<(), TableError> {
    let Some(row) = table::get::<Tenants>(tables, &(tenant,))? else { return Ok(()) };
    let target = QuotaTarget::Partner(row.partner);
    if let Some(usage) = table::get::<Usages>(tables, &(target,))? {
        books.usage(target, &usage, Books::stored);
    }
    for tenant in tenants_of(tables, row.partner)? {
        if let Some(usage) = table::get::<Usages>(tables, &(QuotaTarget::Tenant(tenant),))? {
            books.usage(target, &usage, Books::counted);
        }
    }
    Ok(())
}
