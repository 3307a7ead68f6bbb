//! Upload sessions: the chunks of one file, named and received piece by piece.
//!
//! A session holds one reference to its manifest, whose id is the session's. By content, the client
//! declares each chunk: one that the share already holds is referenced at once, which pins it; one
//! that it lacks becomes a want, and is referenced when it comes. In fixed pieces there is nothing
//! to declare: what came stands in the pages. Either way completion finds everything in its place
//! and is one small commit. A session that gives up drops its manifest, and upkeep takes the
//! references back page by page.

mod complete;
mod create;
mod declare;
mod pages;
mod receive;
#[cfg(test)]
mod tests;

pub(crate) use complete::{Told, finish, take};

use node_base::{TenantId, UploadId};

use super::{Step, Stop, content};
use crate::command::UploadCommand;
use crate::outcome::{Answer, Expired, Noun, Refusal};
use crate::table;
use crate::table::upload::{Upload, UploadState, Uploads, Writers};
use crate::tables::TableError;

pub(crate) fn run(step: &mut Step<'_>, command: &UploadCommand) -> Result<Answer, Stop> {
    match command {
        UploadCommand::Create {
            destination,
            size,
            chunk_size,
            chunks,
            mime_type,
            checksum,
            client_modified_at,
            executable,
        } => {
            let new = create::New {
                destination,
                size: *size,
                chunk_size: *chunk_size,
                chunks,
                mime_type: mime_type.as_deref(),
                checksum: *checksum,
                client_modified_at: *client_modified_at,
                executable: *executable,
            };
            create::run(step, &new)
        }
        UploadCommand::Declare { upload, first, chunks } => {
            declare::run(step, *upload, *first, chunks)
        }
        UploadCommand::Receive { upload, chunks } => receive::run(step, *upload, chunks),
        UploadCommand::Complete { upload, computed, declared } => {
            complete::run(step, *upload, Told { computed: *computed, declared: *declared })
        }
        UploadCommand::Abort { upload } => abort(step, *upload),
    }
}

/// The caller's own session, in whatever state it is. Another's is not there.
fn session(step: &Step<'_>, id: UploadId) -> Result<(TenantId, Upload), Stop> {
    let (tenant, user) = step.who()?;
    let row = table::get::<Uploads>(step.reader(), &(tenant, id))?;
    let own = row.filter(|upload| upload.user == user);
    Ok((tenant, own.ok_or(Refusal::NotFound(Noun::Upload))?))
}

/// The caller's own session, if it still takes chunks.
fn open_session(step: &Step<'_>, id: UploadId) -> Result<(TenantId, Upload), Stop> {
    let (tenant, upload) = session(step, id)?;
    if upload.state == UploadState::Open && step.now < upload.expires_at() {
        Ok((tenant, upload))
    } else {
        Err(Refusal::Expired(Expired::Upload).into())
    }
}

fn abort(step: &mut Step<'_>, id: UploadId) -> Result<Answer, Stop> {
    let (tenant, upload) = session(step, id)?;
    match upload.state {
        UploadState::Open => give_up(step, (tenant, id), upload, UploadState::Aborted)?,
        UploadState::Aborted | UploadState::Expired => {}
        UploadState::Taken | UploadState::Completed { .. } | UploadState::Conflicted { .. } => {
            return Err(Refusal::Expired(Expired::Upload).into());
        }
    }
    Ok(Answer::Done)
}

/// Ends an open session without a file. Its references are taken back later.
pub(crate) fn give_up(
    step: &mut Step<'_>,
    key: (TenantId, UploadId),
    upload: Upload,
    state: UploadState,
) -> Result<(), TableError> {
    content::release_manifest(step, key.0, key.1)?;
    close(step, key, upload, state)
}

/// Nothing can be written under the session any more; its row stays for who asks again.
fn close(
    step: &mut Step<'_>,
    key: (TenantId, UploadId),
    mut upload: Upload,
    state: UploadState,
) -> Result<(), TableError> {
    table::delete::<Writers>(step.tables, &(upload.writer,))?;
    upload.state = state;
    upload.active_at = step.now;
    table::put::<Uploads>(step.tables, &key, &upload)
}
