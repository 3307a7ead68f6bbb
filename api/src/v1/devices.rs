//! Section 11: devices, and what each keeps of its shares.

use api_ops::meta::access::Viewer;
use api_ops::meta::command::SyncCommand;
use api_ops::meta::outcome::Noun;
use api_ops::meta::query::Denied;
use api_ops::meta::query::feed::{self, Stream};
use api_ops::meta::query::sync::{self, DeviceView};
use api_ops::meta::table;
use api_ops::meta::table::device::{Devices, Preference, Preferences as DevicePreferences};
use api_ops::meta::{Command, Reader};
use api_ops::{Call, OpError};
use api_types::v1::PageQuery;
use api_types::v1::sync::{
    Device, DeviceCursor, DeviceList, PatchDevice, PreferenceMode, Preferences, PreferencesQuery,
    RegisterDevice,
};
use api_types::{Patch, Time};
use axum::Json;
use axum::extract::{Path, State};
use node_base::{DeviceId, ShareId, limits};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::answer::{CreatedAs, Done, Tagged};
use crate::error::ApiError;
use crate::extract::{Asked, Asking, Asks, bounds, device, id, not_null, part, path_id};
use crate::present::filled;
use crate::state::ApiState;

pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(list, register))
        .routes(routes!(patch, remove))
        .routes(routes!(preferences, prefer))
}

fn device_id(text: &str) -> Result<DeviceId, ApiError> {
    path_id(text, Noun::Device)
}

/// A device, with how far it has come in the shares that its user still sees.
fn present(tables: &dyn Reader, viewer: &Viewer, view: DeviceView) -> Result<Device, Denied> {
    let mut cursors = Vec::new();
    for (share, at) in view.cursors {
        match feed::require_visible(tables, viewer, share) {
            Ok(()) => {}
            Err(Denied::Refused(_)) => continue,
            Err(error) => return Err(error),
        }
        let (incarnation, last) = feed::newest(tables, viewer, Stream::Share(share))?;
        let read = if at.incarnation == incarnation { at.position } else { 0 };
        let stands = (at.incarnation, at.position);
        cursors.push(DeviceCursor {
            share_id: share.to_string(),
            cursor: feed::cursor_at(tables, viewer, Stream::Share(share), stands)?,
            lag: last.saturating_sub(read),
            acknowledged_at: Some(Time(at.synced_at)),
        });
    }
    Ok(Device {
        device_id: view.id.to_string(),
        device_name: view.device.name,
        platform: filled(&view.device.platform),
        client_version: filled(&view.device.client_version),
        last_seen_at: Time(view.device.last_seen_at),
        created_at: Time(view.device.created_at),
        cursors,
    })
}

async fn show(
    state: &ApiState,
    call: &Call,
    device: DeviceId,
) -> Result<Tagged<Json<Device>>, ApiError> {
    let shown = state.ops.ask(call, move |tables, viewer| {
        let view = sync::device(tables, viewer, &device)?;
        let mark = table::mark::<Devices>(&view.device)?;
        Ok(Tagged(mark, Json(present(tables, viewer, view)?)))
    });
    Ok(shown.await?)
}

/// List one's devices
#[utoipa::path(
    get, path = "/sync/devices", operation_id = "list_devices", tag = "sync", params(PageQuery),
    responses((status = 200, description = "As it is now.", body = DeviceList)),
)]
async fn list(
    State(state): State<ApiState>,
    Asking(call): Asking,
    Asks(query): Asks<PageQuery>,
) -> Result<Json<DeviceList>, ApiError> {
    let bounds = bounds(query.limit, query.offset, limits::PAGE_MAX)?;
    let (devices, total) = state
        .ops
        .ask(&call, move |tables, viewer| {
            let (views, total) = part(sync::devices(tables, viewer)?, bounds);
            let devices = views.into_iter().map(|view| present(tables, viewer, view));
            Ok((devices.collect::<Result<Vec<Device>, _>>()?, total))
        })
        .await?;
    Ok(Json(DeviceList { devices, total }))
}

/// Register a device, or show itself again
#[utoipa::path(
    post, path = "/sync/devices", operation_id = "register_device", tag = "sync",
    request_body = RegisterDevice,
    responses((status = 201, description = "Made.", body = Device)),
)]
async fn register(
    State(state): State<ApiState>,
    Asked(call, body): Asked<RegisterDevice>,
) -> Result<CreatedAs<Tagged<Json<Device>>>, ApiError> {
    let device = device("body", &body.device_id)?;
    let command = SyncCommand::RegisterDevice {
        device: device.clone(),
        name: body.device_name,
        platform: body.platform.unwrap_or_default(),
        client_version: body.client_version.unwrap_or_default(),
    };
    state.ops.agree::<DeviceId>(&call, Command::Sync(command)).await?;
    Ok(CreatedAs(show(&state, &call, device).await?))
}

/// Change what a device says of itself
#[utoipa::path(
    patch, path = "/sync/devices/{id}", operation_id = "patch_device", tag = "sync",
    params(("id" = String, Path)), request_body = PatchDevice,
    responses((status = 200, description = "As it is now.", body = Device)),
)]
async fn patch(
    State(state): State<ApiState>,
    Path(text): Path<String>,
    Asked(call, body): Asked<PatchDevice>,
) -> Result<Tagged<Json<Device>>, ApiError> {
    let device = device_id(&text)?;
    let name = not_null("device_name", body.device_name)?;
    let asked = device.clone();
    let known = state.ops.ask(&call, move |tables, viewer| sync::device(tables, viewer, &asked));
    let known = known.await?.device;
    let command = SyncCommand::RegisterDevice {
        device: device.clone(),
        name: name.unwrap_or(known.name),
        platform: patched(body.platform, known.platform),
        client_version: patched(body.client_version, known.client_version),
    };
    state.ops.agree::<DeviceId>(&call, Command::Sync(command)).await?;
    show(&state, &call, device).await
}

fn patched(patch: Patch<String>, known: String) -> String {
    patch.into_option().map_or(known, Option::unwrap_or_default)
}

/// Forget a device
#[utoipa::path(
    delete, path = "/sync/devices/{id}", operation_id = "remove_device", tag = "sync",
    params(("id" = String, Path)),
    responses((status = 204, description = "It is gone.")),
)]
async fn remove(
    State(state): State<ApiState>,
    Asking(call): Asking,
    Path(text): Path<String>,
) -> Result<Done, ApiError> {
    let command = Command::Sync(SyncCommand::RemoveDevice { device: device_id(&text)? });
    state.ops.agree::<()>(&call, command).await?;
    Ok(Done)
}

/// Say what a device keeps of a share
#[utoipa::path(
    get, path = "/sync/devices/{id}/preferences", operation_id = "get_preferences", tag = "sync",
    params(("id" = String, Path), PreferencesQuery),
    responses((status = 200, description = "As it is now.", body = Preferences)),
)]
async fn preferences(
    State(state): State<ApiState>,
    Asking(call): Asking,
    Path(text): Path<String>,
    Asks(asked): Asks<PreferencesQuery>,
) -> Result<Tagged<Json<Preferences>>, ApiError> {
    let device = device_id(&text)?;
    let share: ShareId = id("query", "share_id", &asked.share_id)?;
    Ok(kept(&state, &call, device, share).await?)
}

async fn kept(
    state: &ApiState,
    call: &Call,
    device: DeviceId,
    share: ShareId,
) -> Result<Tagged<Json<Preferences>>, OpError> {
    let (kept, mark) = state
        .ops
        .ask(call, move |tables, viewer| {
            let view = sync::device(tables, viewer, &device)?;
            feed::require_visible(tables, viewer, share)?;
            let kept = view.preferences.into_iter().find(|(of, _)| *of == share);
            let kept = kept.map_or(Preference::All, |(_, kept)| kept);
            let mark = table::mark::<DevicePreferences>(&kept)?;
            Ok((kept, mark))
        })
        .await?;
    let (mode, folders) = match kept {
        Preference::All => (PreferenceMode::All, Vec::new()),
        Preference::Selected(folders) => {
            let folders = folders.iter().map(ToString::to_string).collect();
            (PreferenceMode::Selected, folders)
        }
    };
    Ok(Tagged(mark, Json(Preferences { share_id: share.to_string(), mode, folders })))
}

/// Choose what a device keeps of a share
#[utoipa::path(
    put, path = "/sync/devices/{id}/preferences", operation_id = "set_preferences", tag = "sync",
    params(("id" = String, Path)), request_body = Preferences,
    responses((status = 200, description = "As it is now.", body = Preferences)),
)]
async fn prefer(
    State(state): State<ApiState>,
    Path(text): Path<String>,
    Asked(call, body): Asked<Preferences>,
) -> Result<Tagged<Json<Preferences>>, ApiError> {
    let device = device_id(&text)?;
    let share = id("body", "share_id", &body.share_id)?;
    let folders: Result<Vec<_>, ApiError> =
        body.folders.iter().map(|folder| id("body", "folders", folder)).collect();
    let preference = match body.mode {
        PreferenceMode::Selected => Preference::Selected(folders?),
        PreferenceMode::All if body.folders.is_empty() => Preference::All,
        PreferenceMode::All => {
            let message = "folders are named only with the mode selected";
            return Err(ApiError::invalid("body", &["folders"], message));
        }
    };
    let command = SyncCommand::SetPreference { device: device.clone(), share, preference };
    state.ops.agree::<()>(&call, Command::Sync(command)).await?;
    Ok(kept(&state, &call, device, share).await?)
}
