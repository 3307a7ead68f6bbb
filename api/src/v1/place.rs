//! Places that requests name, and what a commit of content left there.

use api_ops::meta::chain::Chain;
use api_ops::meta::command::{ItemCommand, Place};
use api_ops::meta::outcome::{ItemView, Noun};
use api_ops::meta::table::item::{ItemId, Items, Parent};
use api_ops::meta::{Answer, Command, Refusal, table};
use api_ops::{Call, Ops};
use api_types::v1::error::ErrorCode;
use api_types::v1::folders::{ROOT, Target};
use node_base::{FolderId, ShareId, TenantId};

use crate::error::ApiError;
use crate::extract::{id, path_id};
use crate::present;
use crate::state::ApiState;

/// A folder named by a field of the body: absent, null and `root` are the share's root.
pub(super) fn parent(field: &str, text: Option<&str>) -> Result<Parent, ApiError> {
    match text {
        None | Some(ROOT) => Ok(None),
        Some(text) => id("body", field, text).map(Some),
    }
}

/// A folder in the path: `root` needs to be told of which share.
pub(super) enum FolderPath {
    Root(ShareId),
    Folder(FolderId),
}

impl FolderPath {
    pub(super) fn parse(text: &str, share: Option<&str>) -> Result<Self, ApiError> {
        if text != ROOT {
            return path_id(text, Noun::Folder).map(Self::Folder);
        }
        let share = share.ok_or_else(|| {
            ApiError::invalid("query", &["share_id"], "is needed for the root of a share")
        })?;
        id("query", "share_id", share).map(Self::Root)
    }

    /// The share and the folder in it.
    pub(super) async fn place(
        &self,
        ops: &Ops,
        call: &Call,
    ) -> Result<(ShareId, Parent), ApiError> {
        match self {
            Self::Root(share) => Ok((*share, None)),
            Self::Folder(folder) => Ok((share_of(ops, call, *folder).await?, Some(*folder))),
        }
    }
}

/// Where something is moved or copied to.
async fn target(ops: &Ops, call: &Call, target: &Target) -> Result<Place, ApiError> {
    let share = target.target_share_id.as_deref();
    let share = share.map(|share| id("body", "target_share_id", share)).transpose()?;
    match (parent("target_folder_id", target.target_folder_id.as_deref())?, share) {
        (None, Some(share)) => Ok(Place { share, parent: None }),
        (None, None) => {
            let message = "a folder or a share is needed to go to";
            Err(ApiError::invalid("body", &["target_folder_id"], message))
        }
        (Some(folder), named) => {
            let share = seen_in(ops, call, folder).await?;
            if named.is_some_and(|named| named != share) {
                let message = "the folder is in another share";
                return Err(ApiError::invalid("body", &["target_share_id"], message));
            }
            Ok(Place { share, parent: Some(folder) })
        }
    }
}

/// Has an item copied; answers the copy.
pub(super) async fn copy(
    state: &ApiState,
    call: &Call,
    item: ItemId,
    body: Target,
) -> Result<ItemView, ApiError> {
    bring(state, call, body, |to, name| ItemCommand::Copy { item, to, name }).await
}

/// Has an item moved; answers it at its new place.
pub(super) async fn move_to(
    state: &ApiState,
    call: &Call,
    item: ItemId,
    body: Target,
) -> Result<ItemView, ApiError> {
    bring(state, call, body, |to, name| ItemCommand::Move { item, to, name }).await
}

async fn bring(
    state: &ApiState,
    call: &Call,
    body: Target,
    command: impl FnOnce(Place, Option<String>) -> ItemCommand,
) -> Result<ItemView, ApiError> {
    match target(&state.ops, call, &body).await {
        Ok(to) => Ok(state.ops.agree(call, Command::Item(command(to, body.name))).await?),
        Err(refused) => state.ops.answered_before(call, refused).await,
    }
}

/// The share that a folder is in. Whether the caller may see it is judged with what is done there.
async fn share_of(ops: &Ops, call: &Call, folder: FolderId) -> Result<ShareId, ApiError> {
    let tenant = call.caller.tenant;
    let share = ops
        .ask(call, move |tables, _| {
            let row = table::get::<Items>(tables, &(tenant, ItemId::Folder(folder)))?;
            Ok(row.ok_or(Refusal::NotFound(Noun::Folder))?.share)
        })
        .await?;
    Ok(share)
}

/// The same, of a folder that the caller has something to say in: where it is, is told of no other.
async fn seen_in(ops: &Ops, call: &Call, folder: FolderId) -> Result<ShareId, ApiError> {
    let tenant = call.caller.tenant;
    let share = ops
        .ask(call, move |tables, viewer| {
            let chain = Chain::of(tables, tenant, ItemId::Folder(folder))?;
            let chain = chain.ok_or(Refusal::NotFound(Noun::Folder))?;
            if viewer.mask(tables, &chain)?.is_empty() {
                return Err(Refusal::NotFound(Noun::Folder).into());
            }
            Ok(chain.share_id)
        })
        .await?;
    Ok(share)
}

/// The file that a commit left, or the conflict that it raised.
pub(super) fn committed<'a>(
    state: &ApiState,
    tenant: TenantId,
    answer: &'a Answer,
) -> Result<&'a ItemView, ApiError> {
    match answer {
        Answer::Item(view) | Answer::Committed { view, .. } => Ok(view),
        Answer::Conflicted { conflict, row, .. } => {
            let sentence = "The file was changed since the base version; what was sent is kept.";
            let mut error = ApiError::new(ErrorCode::VersionConflict, sentence);
            state.metrics.conflict(present::conflict::kind(row.kind));
            let shape = present::conflict(tenant, *conflict, row);
            error.more.conflict = Some(Box::new(shape));
            Err(error)
        }
        _ => Err(ApiError::new(ErrorCode::Internal, "The commit was answered by something else.")),
    }
}
