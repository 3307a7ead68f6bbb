//! Opening a session: what can be refused early is refused before a byte is sent.

use node_base::{Name, Permission, Sha256, Timestamp, UploadId, limits};

use super::declare;
use crate::access;
use crate::apply::{Step, Stop, content, quota};
use crate::chain::Chain;
use crate::command::{Declared, FileDestination};
use crate::outcome::{Answer, Invalid, Noun, Refusal, UploadAnswer};
use crate::table;
use crate::table::item::{Body, ItemId, Manifest, Manifests};
use crate::table::people::Tenants;
use crate::table::upload::{
    Cutting, Destination, Upload, UploadState, Uploads, UploadsDue, Writer, Writers,
};
use crate::tables::TableError;

pub(super) struct New<'a> {
    pub(super) destination: &'a FileDestination,
    pub(super) size: u64,
    pub(super) chunk_size: Option<u32>,
    pub(super) chunks: &'a [Declared],
    pub(super) mime_type: Option<&'a str>,
    pub(super) checksum: Option<Sha256>,
    pub(super) client_modified_at: Option<Timestamp>,
    pub(super) executable: bool,
}

pub(super) fn run(step: &mut Step<'_>, new: &New<'_>) -> Result<Answer, Stop> {
    let (tenant, user) = step.who()?;
    let (chain, destination) = resolve(step, new.destination)?;
    let cutting = cutting(new)?;
    check_mime_type(new.mime_type)?;
    check_size(step, new.size)?;
    let owner = match destination {
        Destination::New { .. } => user,
        Destination::Replace { .. } => chain.item().map_or(user, |item| item.owner),
    };
    quota::would_fit(step, tenant, chain.share_id, owner, new.size)?;
    let id: UploadId = step.new_id();
    if table::has::<Uploads>(step.reader(), &(tenant, id))? {
        // The same proposal came twice; a second row under the id would lose the first one's pins.
        return Err(Refusal::AlreadyExists.into());
    }
    let mut upload = Upload {
        writer: step.index,
        user,
        share: chain.share_id,
        destination,
        size: new.size,
        cutting,
        chunks: 0,
        bytes: 0,
        wanted: match cutting {
            Cutting::Content => 0,
            Cutting::Fixed(size) => new.size.div_ceil(u64::from(size)),
        },
        mime_type: new.mime_type.map(str::to_owned),
        checksum: new.checksum,
        client_modified_at: new.client_modified_at,
        executable: new.executable,
        created_at: step.now,
        active_at: step.now,
        state: UploadState::Open,
    };
    let manifest = Manifest { holders: 1, share: upload.share, chunks: 0, size: 0, pages: 0 };
    table::put::<Manifests>(step.tables, &(tenant, id), &manifest)?;
    table::put::<Writers>(step.tables, &(upload.writer,), &Writer::Upload(tenant, id))?;
    table::put::<UploadsDue>(step.tables, &(upload.expires_at(), tenant, id), &())?;
    let missing = declare::declare(step, (tenant, id), &mut upload, 0, new.chunks)?;
    table::put::<Uploads>(step.tables, &(tenant, id), &upload)?;
    Ok(answer(id, &upload, missing))
}

/// What a session says of itself when chunks have been declared to it.
pub(super) fn answer(id: UploadId, upload: &Upload, missing: Vec<u64>) -> Answer {
    let chunks = match upload.cutting {
        Cutting::Content => upload.chunks,
        Cutting::Fixed(size) => upload.size.div_ceil(u64::from(size)),
    };
    let (writer, expires_at) = (upload.writer, upload.expires_at());
    Answer::Upload(UploadAnswer { upload: id, writer, chunks, missing, expires_at })
}

/// Where the file is to go, if the caller may put it there. Whether the name is free and the base
/// current is decided at completion: a sync client uploads first what may turn out a conflict.
fn resolve(step: &mut Step<'_>, to: &FileDestination) -> Result<(Chain, Destination), Stop> {
    let (tenant, _) = step.who()?;
    match to {
        FileDestination::New { place, name } => {
            let chain = match place.parent {
                Some(folder) => Chain::of(step.reader(), tenant, ItemId::Folder(folder))?,
                None => Chain::root(step.reader(), tenant, place.share)?,
            };
            let chain = chain.filter(|chain| chain.share_id == place.share);
            let chain = chain.ok_or(Refusal::NotFound(Noun::Folder))?;
            access::require(step, &chain, Permission::Create)?;
            refuse_trashed(&chain)?;
            let policy = chain.share.settings.name_policy;
            let name = Name::new(name, policy).map_err(|error| Refusal::invalid("name", error))?;
            Ok((chain, Destination::New { parent: place.parent, name }))
        }
        FileDestination::Replace { file, base } => {
            let chain = Chain::of(step.reader(), tenant, ItemId::File(*file))?;
            let chain = chain.ok_or(Refusal::NotFound(Noun::File))?;
            access::require(step, &chain, Permission::Write)?;
            refuse_trashed(&chain)?;
            if !chain.item().is_some_and(|item| matches!(item.body, Body::File(_))) {
                return Err(TableError::Invariant("a file's row is not a file's").into());
            }
            Ok((chain, Destination::Replace { file: *file, base: *base }))
        }
    }
}

fn refuse_trashed(chain: &Chain) -> Result<(), Refusal> {
    if chain.is_trashed() { Err(Refusal::Trashed) } else { Ok(()) }
}

fn cutting(new: &New<'_>) -> Result<Cutting, Refusal> {
    let Some(size) = new.chunk_size else { return Ok(Cutting::Content) };
    let (min, max) = (limits::FIXED_CHUNK_MIN as u64, limits::CHUNK_MAX as u64);
    if !(min..=max).contains(&u64::from(size)) {
        return Err(Refusal::invalid("chunk_size", Invalid::OutOfRange { min, max }));
    }
    if !size.is_power_of_two() {
        return Err(content::rule("chunk_size", "must be a power of two"));
    }
    if !new.chunks.is_empty() {
        return Err(content::rule("chunks", "are declared only without a fixed chunk size"));
    }
    Ok(Cutting::Fixed(size))
}

fn check_mime_type(mime_type: Option<&str>) -> Result<(), Refusal> {
    let max = limits::MIME_TYPE_MAX;
    match mime_type {
        Some(text) if text.len() > max => {
            Err(Refusal::invalid("mime_type", Invalid::TooLong { max: max as u64 }))
        }
        // It goes into heads of answers, where lines have their own meaning.
        Some(text) if !is_media_type(text) => {
            let rule = "is a type and a subtype, such as text/plain".to_owned();
            Err(Refusal::invalid("mime_type", Invalid::Rule(rule)))
        }
        _ => Ok(()),
    }
}

/// RFC 9110, 8.3.1: a type and a subtype, and parameters of visible characters.
fn is_media_type(text: &str) -> bool {
    let essence = text.split(';').next().unwrap_or_default().trim_end();
    let token = |part: &str| {
        let mark = |byte: u8| b"!#$%&'*+-.^_`|~".contains(&byte);
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || mark(byte))
    };
    let is_pair = essence.split_once('/').is_some_and(|(kind, sub)| token(kind) && token(sub));
    is_pair && text.bytes().all(|byte| (b' '..=b'~').contains(&byte))
}

fn check_size(step: &Step<'_>, size: u64) -> Result<(), Stop> {
    let (tenant, _) = step.who()?;
    let row = table::get::<Tenants>(step.reader(), &(tenant,))?;
    let limit = row.ok_or(Refusal::NotFound(Noun::Tenant))?.settings.max_file_size_bytes;
    if size > limit { Err(Refusal::FileTooLarge { limit }.into()) } else { Ok(()) }
}
