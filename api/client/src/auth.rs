//! Section 3: signing in, renewing the token.

use api_types::v1::auth::{
    AuthConfig, DeviceAuthorization, DeviceAuthorizationRequest, TokenRefusal, TokenRequest, Tokens,
};
use api_types::v1::users::Me;
use reqwest::Url;
use tracing::debug;

use crate::call::Call;
use crate::error::CallError;
use crate::{Client, Credentials};

/// What an issuer says when asked for tokens.
pub enum TokenAnswer {
    Granted(Tokens),
    /// Not, or not yet: `authorization_pending`, `slow_down`, `access_denied`, …
    Refused(TokenRefusal),
}

impl Client {
    /// What a client needs to sign its user in.
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub async fn auth_config(&self) -> Result<AuthConfig, CallError> {
        self.ask(Call::get(&["auth", "config"]).open()).await
    }

    /// Asks the issuer for tokens, by way of the server.
    ///
    /// # Errors
    /// As [`Client::ask`]; a refusal of the issuer's is an answer.
    pub async fn token(&self, request: &TokenRequest) -> Result<TokenAnswer, CallError> {
        // A code is good for one exchange only.
        let call = Call::post(&["auth", "token"]).once().open().form(request);
        match self.ask(call).await {
            Ok(tokens) => Ok(TokenAnswer::Granted(tokens)),
            Err(CallError::Refused(refusal)) => match refusal.oauth.clone() {
                Some(oauth) => Ok(TokenAnswer::Refused(oauth)),
                None => Err(CallError::Refused(refusal)),
            },
            Err(error) => Err(error),
        }
    }

    /// Asks for a device code at the address that the server's configuration names.
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub async fn device_code(
        &self,
        url: &str,
        request: &DeviceAuthorizationRequest,
    ) -> Result<DeviceAuthorization, CallError> {
        let elsewhere = || CallError::Elsewhere { url: url.to_owned() };
        let address = Url::parse(url).map_err(|_| elsewhere())?;
        if !matches!(address.scheme(), "http" | "https") {
            return Err(elsewhere());
        }
        let mut call = Call::post(&[url]).open().form(request);
        call.elsewhere = true;
        let answer = self.attempt(&address, &call, None).await?;
        let body = self.body(answer).await?;
        serde_json::from_slice(&body)
            .map_err(|source| CallError::Unreadable { call: url.to_owned(), source })
    }

    /// The caller.
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub async fn me(&self) -> Result<Me, CallError> {
        self.ask(Call::get(&["users", "me"])).await
    }

    /// Renews the token that was refused, unless another call has done so meanwhile. Whether there
    /// is a new one.
    pub(crate) async fn renew(&self, refused: Option<&str>) -> bool {
        let _one_at_a_time = self.0.renewing.lock().await;
        let mut now = self.credentials();
        if now.access_token.as_deref() != refused {
            return true;
        }
        let _no_other_process = match &now.keeper {
            Some(keeper) => Some(keeper.hold().await),
            None => None,
        };
        if let Some(kept) = now.keeper.as_ref().and_then(|keeper| keeper.load()) {
            let is_new = Some(kept.access_token.as_str()) != refused;
            now.refresh_token = kept.refresh_token;
            if is_new {
                now.access_token = Some(kept.access_token);
                self.set_credentials(now);
                return true;
            }
        }
        let Some(refresh_token) = now.refresh_token.clone() else { return false };
        let request = TokenRequest {
            grant_type: "refresh_token".to_owned(),
            client_id: now.client_id.clone(),
            refresh_token: Some(refresh_token),
            ..TokenRequest::default()
        };
        let call = Call::post(&["auth", "token"]).open().form(&request);
        for address in &self.0.addresses {
            let answer = match self.attempt(address, &call, None).await {
                Ok(answer) => self.body(answer).await,
                Err(error) => Err(error),
            };
            let tokens = answer.map(|body| serde_json::from_slice::<Tokens>(&body));
            match tokens {
                Ok(Ok(tokens)) => {
                    self.take(now, tokens);
                    return true;
                }
                Ok(Err(error)) => {
                    debug!(%error, "the token was not renewed");
                    return false;
                }
                Err(error) => {
                    debug!(%error, "the token was not renewed");
                    if may_have_been_heard(&error) {
                        return false;
                    }
                }
            }
        }
        false
    }

    fn take(&self, old: Credentials, tokens: Tokens) {
        if let Some(keeper) = &old.keeper {
            keeper.keep(&tokens);
        }
        self.set_credentials(Credentials {
            access_token: Some(tokens.access_token),
            refresh_token: tokens.refresh_token.or(old.refresh_token),
            ..old
        });
    }
}

/// Whether the refresh token may have been used up, so that it must not be sent a second time.
fn may_have_been_heard(error: &CallError) -> bool {
    match error {
        CallError::Unreachable { source, .. } => !source.is_connect(),
        CallError::Refused(refusal) => matches!(refusal.status, 502 | 504),
        CallError::Interrupted(_)
        | CallError::Elsewhere { .. }
        | CallError::Unreadable { .. }
        | CallError::Truncated { .. }
        | CallError::Unwritable { .. } => true,
    }
}
