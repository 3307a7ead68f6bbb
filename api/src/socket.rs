//! The private socket: what the node's own command line asks of a running node.
//!
//! It stands in the data directory, so that who may open it is for the operating system to say; no
//! token is asked for. Requests and answers are JSON, refusals those of the public API.
//!
//! | call | body | answer |
//! |---|---|---|
//! | `GET /status` | | [`Status`] |
//! | `POST /token` | [`TokenOrder`] | [`Token`] |
//! | `GET /users` | `?tenant=` | `{users: [`[`Person`]`]}` |
//! | `POST /users` | [`NewPerson`] | [`MadePerson`] |
//! | `POST /users/passwd` | [`NewPassword`] | [`SetPassword`] |
//! | `POST /users/role` | [`NewRole`] | [`Person`] |
//! | `GET /tenants` | | `{tenants: [`[`TenantLine`]`]}` |
//! | `POST /tenants` | [`NewTenant`] | [`Made`] |
//! | `GET /partners` | | `{partners: [`[`PartnerLine`]`]}` |
//! | `POST /partners` | [`NewPartner`] | [`Made`] |
//! | `POST /cluster/join-token` | [`TokenWish`] | [`JoinToken`] |
//! | `POST /cluster/seat` | [`SeatOrder`] | the same |
//! | `POST /backup/hold` | [`HoldOrder`] | [`Held`] |
//! | `GET /backup/tables` | | bytes, see `raft`'s copy of the tables |
//! | `POST /backup/chunks` | [`ChunksWanted`] | bytes: length, chunk, length, chunk… |
//! | `POST /keys/rotate` | | [`Made`]: signs by a new key from now on |
//!
//! A tenant or partner is named by its id or its name; the tenant made at the first start is taken
//! where none is named. A user is named by the e-mail address or the id.

mod backup;
pub(crate) mod cluster;
mod order;
mod people;
mod status;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};

pub use backup::{ChunksWanted, Held, HoldOrder};
pub use cluster::{ClusterLine, JoinToken, NodeLine, SeatOrder, TokenWish};
pub use order::{Token, TokenOrder};
pub use people::{
    Made, MadePerson, NewPartner, NewPassword, NewPerson, NewRole, NewTenant, PartnerLine,
    Partners, Person, SetPassword, TenantLine, Tenants, Users,
};
pub use status::{DriveLine, Member, Status};

use crate::layer;
use crate::state::ApiState;

/// The routes of the private socket; binding it is the binary's.
pub fn router(state: ApiState) -> Router {
    Router::new()
        .route("/status", get(status::status))
        .route("/token", post(order::token))
        .route("/users", get(people::list_users).post(people::add_user))
        .route("/users/passwd", post(people::set_password))
        .route("/users/role", post(people::set_role))
        .route("/tenants", get(people::list_tenants).post(people::add_tenant))
        .route("/partners", get(people::list_partners).post(people::add_partner))
        .route("/cluster/join-token", post(cluster::join_token))
        .route("/cluster/seat", post(cluster::set_seat))
        .route("/backup/hold", post(backup::hold))
        .route("/backup/tables", get(backup::tables))
        .route("/backup/chunks", post(backup::chunks))
        .route("/keys/rotate", post(order::rotate))
        .layer(from_fn_with_state(state.clone(), layer::around))
        .with_state(state)
}
