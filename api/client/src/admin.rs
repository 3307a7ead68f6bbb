//! Section 20: what monitors ask.

use api_types::v1::service::{Health, Ready};

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
}
