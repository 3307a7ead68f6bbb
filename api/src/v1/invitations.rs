//! Section 5: invitations to a share.

use api_ops::meta::command::ShareCommand;
use api_ops::meta::outcome::Noun;
use api_ops::meta::query::share;
use api_ops::meta::table;
use api_ops::meta::table::share::Invitations;
use api_ops::meta::{Answer, Command, Refusal};
use api_ops::{Call, OpError};
use api_types::v1::PageQuery;
use api_types::v1::shares::{CreateInvitation, Invitation, InvitationList};
use axum::Json;
use axum::extract::{Path, State};
use node_base::{InvitationId, ShareId, limits};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::answer::{CreatedAs, Done, Tagged};
use crate::error::ApiError;
use crate::extract::{Asked, Asking, Asks, bounds, path_id};
use crate::present;
use crate::state::ApiState;

/// How long an invitation is good unless it says otherwise.
const DAYS: u32 = 14;

pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(list_invitations, create_invitation))
        .routes(routes!(resend_invitation))
        .routes(routes!(revoke_invitation))
}

/// The invitations to a share.
#[utoipa::path(get, path = "/shares/{id}/invitations", tag = "shares", params(PageQuery),
    responses((status = 200, description = "A page of invitations.", body = InvitationList)))]
async fn list_invitations(
    State(state): State<ApiState>,
    Path(id): Path<String>,
    Asking(call): Asking,
    Asks(query): Asks<PageQuery>,
) -> Result<Json<InvitationList>, ApiError> {
    let share: ShareId = path_id(&id, Noun::Share)?;
    let (offset, limit) = bounds(query.limit, query.offset, limits::PAGE_MAX)?;
    let (page, now) = state
        .ops
        .ask(&call, move |tables, viewer| {
            Ok((share::invitations(tables, viewer, share, offset, limit)??, viewer.now()))
        })
        .await?;
    let rows = page.items.iter();
    let invitations = rows.map(|(id, row)| present::share::invitation(share, *id, row, now));
    Ok(Json(InvitationList { invitations: invitations.collect(), total: page.total }))
}

async fn shown(
    state: &ApiState,
    call: &Call,
    share: ShareId,
    id: InvitationId,
) -> Result<Tagged<Json<Invitation>>, OpError> {
    state
        .ops
        .ask(call, move |tables, viewer| {
            let page = share::invitations(tables, viewer, share, 0, u32::MAX)??;
            let found = page.items.into_iter().find(|(other, _)| *other == id);
            let (_, row) = found.ok_or(Refusal::NotFound(Noun::Invitation))?;
            let invitation = present::share::invitation(share, id, &row, viewer.now());
            Ok(Tagged(table::mark::<Invitations>(&row)?, Json(invitation)))
        })
        .await
}

async fn agree(
    state: &ApiState,
    call: &Call,
    command: ShareCommand,
) -> Result<Tagged<Json<Invitation>>, ApiError> {
    match state.ops.agree(call, Command::Share(command)).await? {
        Answer::Invitation { share, invitation } => {
            Ok(shown(state, call, share, invitation).await?)
        }
        _ => Err(OpError::Unknown.into()),
    }
}

/// Invites somebody by address.
#[utoipa::path(post, path = "/shares/{id}/invitations", tag = "shares",
    request_body = CreateInvitation,
    responses((status = 201, description = "It is sent.", body = Invitation)))]
async fn create_invitation(
    State(state): State<ApiState>,
    Path(id): Path<String>,
    Asked(call, new): Asked<CreateInvitation>,
) -> Result<CreatedAs<Tagged<Json<Invitation>>>, ApiError> {
    let command = ShareCommand::Invite {
        share: path_id(&id, Noun::Share)?,
        email: new.email,
        role: present::share::role_row(new.role),
        message: new.message,
        days: new.expires_in_days.unwrap_or(DAYS),
    };
    Ok(CreatedAs(agree(&state, &call, command).await?))
}

/// Sends an invitation again; it is good for as long again.
#[utoipa::path(post, path = "/shares/{id}/invitations/{invitation_id}/resend", tag = "shares",
    responses((status = 200, description = "The invitation as it is now.", body = Invitation)))]
async fn resend_invitation(
    State(state): State<ApiState>,
    Path((id, invitation_id)): Path<(String, String)>,
    Asking(call): Asking,
) -> Result<Tagged<Json<Invitation>>, ApiError> {
    let share = path_id(&id, Noun::Share)?;
    let invitation = path_id(&invitation_id, Noun::Invitation)?;
    agree(&state, &call, ShareCommand::ResendInvitation { share, invitation }).await
}

/// Takes an invitation back.
#[utoipa::path(delete, path = "/shares/{id}/invitations/{invitation_id}", tag = "shares",
    responses((status = 204, description = "It is taken back.")))]
async fn revoke_invitation(
    State(state): State<ApiState>,
    Path((id, invitation_id)): Path<(String, String)>,
    Asking(call): Asking,
) -> Result<Done, ApiError> {
    let share = path_id(&id, Noun::Share)?;
    let invitation = path_id(&invitation_id, Noun::Invitation)?;
    let command = ShareCommand::RevokeInvitation { share, invitation };
    state.ops.agree::<()>(&call, Command::Share(command)).await?;
    Ok(Done)
}
