//! Sections 4, 15 and 20: what administrators and monitors ask.

use api_types::v1::quotas::{PutQuota, Quota};
use api_types::v1::service::{Health, Ready, ServiceConfig};
use api_types::v1::users::MyQuota;

use crate::Client;
use crate::call::Call;
use crate::error::CallError;

impl Client {
    /// # Errors
    /// As [`Client::ask`].
    pub async fn health(&self) -> Result<Health, CallError> {
        self.ask(Call::get(&["health"]).open()).await
    }

    /// # Errors
    /// As [`Client::ask`]; 503 when a part is not ready.
    pub async fn ready(&self) -> Result<Ready, CallError> {
        self.ask(Call::get(&["ready"]).open()).await
    }

    /// # Errors
    /// As [`Client::ask`].
    pub async fn service_config(&self) -> Result<ServiceConfig, CallError> {
        self.ask(Call::get(&["config"]).open()).await
    }

    /// # Errors
    /// As [`Client::ask`].
    pub async fn my_quota(&self) -> Result<MyQuota, CallError> {
        self.ask(Call::get(&["users", "me", "quota"])).await
    }

    /// # Errors
    /// As [`Client::ask`].
    pub async fn put_share_quota(&self, id: &str, quota: &PutQuota) -> Result<Quota, CallError> {
        self.ask(Call::put(&["quotas", "shares", id]).json(quota)?).await
    }
}
