//! Speaks HTTP: turns requests into operations, and what came of them into answers.
//!
//! [`router::router`] is the whole surface: the API under `/api/v1`, the built-in issuer under
//! `/oidc`, the page that shows the API to people. [`serve::serve`] puts it on a socket; the
//! simulator calls it without one. [`socket::router`] is what the node's own command line talks to,
//! and [`metrics::router`] what a Prometheus reads.
//!
//! A handler takes, asks and answers: the shapes are those of `api-types`, the asking is
//! `api-ops`'s, and [`present`] turns rows into shapes. A route is its specification: handler,
//! path, parameters and documentation are registered together, and `deploy/openapi.json` is what
//! comes of that.
//!
//! Never here: Raft, the chunk store, a transport of the cluster; rules about files, names, quotas
//! or permissions.

pub mod answer;
pub mod auth;
pub mod docs;
pub mod error;
pub mod extract;
#[cfg(test)]
mod fixture;
mod form;
pub mod issuer;
pub mod layer;
pub mod metrics;
pub mod openapi;
mod page;
pub mod present;
pub mod repeat;
pub mod router;
pub mod serve;
pub mod socket;
pub mod state;
#[cfg(test)]
mod tests;
pub mod v1;

pub use auth::{Authenticator, IdentitySettings, IssuerSettings, IssuerSettingsError};
pub use error::ApiError;
pub use issuer::OwnIssuer;
pub use metrics::Metrics;
pub use router::router;
pub use serve::{ServeSettings, serve};
pub use state::{ApiState, Parts};
