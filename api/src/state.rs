//! What every handler has at hand.

use std::ops::Deref;
use std::sync::Arc;

use api_ops::Ops;
use node_world::World;

use crate::auth::Authenticator;
use crate::metrics::Metrics;
use crate::serve::ServeSettings;

/// The parts of the HTTP surface of one node.
pub struct Parts {
    pub world: World,
    pub ops: Ops,
    pub identity: Authenticator,
    pub metrics: Metrics,
    pub settings: ServeSettings,
    /// Where people reach this node, such as `http://127.0.0.1:8000`.
    pub public_url: String,
    /// The product's version.
    pub version: &'static str,
}

/// The parts, shared by all requests.
#[derive(Clone)]
pub struct ApiState(Arc<Parts>);

impl ApiState {
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }
}

impl Deref for ApiState {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}
