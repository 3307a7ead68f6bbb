//! Who is asking: bearer tokens of the built-in issuer and of outside ones.
//!
//! A token proves who somebody is and caps what may be done; what the person is here (status, role,
//! groups) is always looked up.

mod keys;
mod settings;
mod token;

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use api_ops::meta::command::People;
use api_ops::meta::table::people::UsersBySubject;
use api_ops::meta::{Answer, Command, Reader, Refusal, Scopes, UserCaller, query, table};
use api_ops::{OpError, Ops};
use api_types::v1::error::ErrorCode;
use node_base::{Duration, Sha256, TenantId, Timestamp, UserId};
use node_world::World;

pub use keys::{Discovery, IssuerError, Outside};
pub use settings::{ClaimNames, IdentitySettings, IssuerSettings, IssuerSettingsError};
pub use token::{Claims, TokenError, Unverified};

use crate::error::ApiError;
use crate::issuer::{self, OwnIssuer};

/// A token that was believed is not taken apart again for this long.
const BELIEVED: Duration = Duration::from_secs(300);
/// How many believed tokens are remembered.
const BELIEVED_MAX: usize = 10_000;

/// What a believed token says.
#[derive(Debug, Clone)]
struct Believed {
    tenant: TenantId,
    user: UserId,
    scopes: Scopes,
    actor: Option<String>,
    until: Timestamp,
}

/// Tells who asks.
pub struct Authenticator {
    ops: Ops,
    world: World,
    outside: Vec<Outside>,
    own: Option<OwnIssuer>,
    believed: Mutex<BTreeMap<Sha256, Believed>>,
}

impl Authenticator {
    /// Trusts the issuers of `settings`, and the built-in one where there is one.
    pub fn new(ops: Ops, settings: &IdentitySettings, own: Option<OwnIssuer>) -> Self {
        let world = ops.world.clone();
        let outside = settings.issuers.iter();
        let outside = outside.map(|issuer| Outside::new(issuer.clone(), world.clone())).collect();
        Self { ops, world, outside, own, believed: Mutex::default() }
    }

    /// The built-in issuer, where it is on.
    pub fn own(&self) -> Option<&OwnIssuer> {
        self.own.as_ref()
    }

    /// The outside issuer that people sign in by: the first that has a client for it.
    pub fn outside(&self) -> Option<&Outside> {
        self.outside.iter().find(|issuer| issuer.settings.client_id.is_some())
    }

    /// Who the bearer of a token is.
    ///
    /// # Errors
    /// 401 with what is wrong with the token, 403 for a suspended user, 502 or 504 when its issuer
    /// cannot be asked.
    pub async fn authenticate(&self, token: &str) -> Result<UserCaller, ApiError> {
        let key = node_base::sha256(token.as_bytes());
        let now = self.world.wall();
        let remembered = self.remembered(key, now);
        let believed = match remembered {
            Some(believed) => believed,
            None => {
                let believed = self.examine(token).await?;
                self.remember(key, believed.clone(), now);
                believed
            }
        };
        let caller = UserCaller {
            tenant: believed.tenant,
            user: believed.user,
            scopes: believed.scopes,
            service_account: believed.actor,
            ip: None,
            user_agent: None,
        };
        self.check_status(&caller).await?;
        Ok(caller)
    }

    fn remembered(&self, key: Sha256, now: Timestamp) -> Option<Believed> {
        let believed = self.believed.lock().unwrap_or_else(PoisonError::into_inner);
        believed.get(&key).filter(|believed| now < believed.until).cloned()
    }

    fn remember(&self, key: Sha256, mut told: Believed, now: Timestamp) {
        told.until = told.until.min(now.after(BELIEVED));
        let mut believed = self.believed.lock().unwrap_or_else(PoisonError::into_inner);
        if believed.len() >= BELIEVED_MAX {
            believed.retain(|_, other| now < other.until);
        }
        if believed.len() < BELIEVED_MAX {
            believed.insert(key, told);
        }
    }

    async fn examine(&self, text: &str) -> Result<Believed, ApiError> {
        let token = Unverified::parse(text).map_err(refused)?;
        if let Some(own) = self.own.as_ref().filter(|own| own.issuer() == token.issuer) {
            let claims = own.verify(&self.ops, &token).await?;
            return self.own_claims(own, &claims);
        }
        let issuer = self.outside.iter().find(|issuer| issuer.settings.issuer == token.issuer);
        let Some(issuer) = issuer else { return self.of_another_node(&token).await };
        let claims = issuer.verify(&token).await.map_err(issuer_failed)?;
        self.outside_claims(&issuer.settings, &claims).await
    }

    /// A node that people reach by another address names its issuer by that. The keys are those of
    /// the cluster, whichever node signed.
    async fn of_another_node(&self, token: &Unverified<'_>) -> Result<Believed, ApiError> {
        let is_ours = token.header.kid.is_some() && issuer::is_built_in(&token.issuer);
        let own = self.own.as_ref().filter(|_| is_ours);
        let own = own.ok_or_else(|| refused(TokenError::Issuer))?;
        let claims = own.verify(&self.ops, token).await;
        self.own_claims(own, &claims.map_err(|_| refused(TokenError::Issuer))?)
    }

    fn own_claims(&self, own: &OwnIssuer, claims: &Claims) -> Result<Believed, ApiError> {
        claims.check(self.world.wall(), Some(own.audience())).map_err(refused)?;
        let user = claims.required("sub").map_err(refused)?.parse();
        let tenant = claims.required("tenant_id").map_err(refused)?.parse();
        let (Ok(user), Ok(tenant)) = (user, tenant) else {
            return Err(refused(TokenError::Malformed));
        };
        let scopes = Scopes::parse(&claims.scopes()).unwrap_or(Scopes::DEFAULT);
        let actor = claims.actor().map(str::to_owned);
        Ok(Believed { tenant, user, scopes, actor, until: claims.valid_until() })
    }

    async fn outside_claims(
        &self,
        settings: &IssuerSettings,
        claims: &Claims,
    ) -> Result<Believed, ApiError> {
        claims.check(self.world.wall(), settings.audience.as_deref()).map_err(refused)?;
        let subject = claims.required(&settings.claims.sub).map_err(refused)?.to_owned();
        let tenant = tenant_of(settings, claims)?;
        let default = settings.default_scopes.as_deref().and_then(Scopes::parse);
        let scopes = Scopes::parse(&claims.scopes()).or(default).unwrap_or(Scopes::DEFAULT);
        let user = self.user_of(settings, tenant, subject, claims).await?;
        let actor = claims.actor().map(str::to_owned);
        Ok(Believed { tenant, user, scopes, actor, until: claims.valid_until() })
    }

    /// The user of a subject; made at first sight.
    async fn user_of(
        &self,
        settings: &IssuerSettings,
        tenant: TenantId,
        subject: String,
        claims: &Claims,
    ) -> Result<UserId, ApiError> {
        let issuer = settings.issuer.clone();
        let key = (tenant, issuer.clone(), subject.clone());
        let known = self.ops.look(move |tables| table::get::<UsersBySubject>(tables, &key)).await?;
        if let Some(user) = known {
            return Ok(user);
        }
        let email = claims.text(&settings.claims.email).unwrap_or_default().to_owned();
        let name = claims.text(&settings.claims.name).unwrap_or(&email).to_owned();
        let provision = People::Provision { tenant, issuer, subject, email, name };
        match self.ops.agree_as_node(Command::People(provision)).await {
            Ok(Answer::User { user, .. }) => Ok(user),
            Err(OpError::Refused(refusal)) if refusal != Refusal::Suspended => {
                let sentence = format!("The token's user cannot be made here: {refusal}.");
                Err(ApiError::new(ErrorCode::PermissionDenied, sentence))
            }
            Err(error) => Err(error.into()),
            Ok(_) => Err(ApiError::new(ErrorCode::Unavailable, "The user could not be made.")),
        }
    }

    /// A suspension, of the user or of its tenant, ends everything at once, however long the token
    /// lives. Nobody is turned away by what this node has not heard yet: that somebody was made or
    /// let in again.
    async fn check_status(&self, caller: &UserCaller) -> Result<(), ApiError> {
        let admit = |who: UserCaller| move |tables: &dyn Reader| query::people::admit(tables, &who);
        if self.ops.look(admit(caller.clone())).await?.is_ok() {
            return Ok(());
        }
        match self.ops.look_now(admit(caller.clone())).await? {
            Ok(()) => Ok(()),
            Err(Refusal::NotFound(_)) => {
                Err(ApiError::new(ErrorCode::AuthTokenInvalid, "The token's user is gone."))
            }
            Err(refusal) => Err(refusal.into()),
        }
    }
}

fn tenant_of(settings: &IssuerSettings, claims: &Claims) -> Result<TenantId, ApiError> {
    let named = match &settings.tenant_claim {
        Some(claim) => claims.text(claim).or(settings.tenant.as_deref()),
        None => settings.tenant.as_deref(),
    };
    let missing = || settings.tenant_claim.clone().unwrap_or_else(|| "tenant_id".to_owned());
    let named = named.ok_or_else(|| refused(TokenError::Missing(missing())))?;
    named.parse().map_err(|_| refused(TokenError::Missing(missing())))
}

pub(crate) fn refused(error: TokenError) -> ApiError {
    let sentence = error.to_string();
    let mut letters = sentence.chars();
    let first = letters.next().map(|letter| letter.to_ascii_uppercase());
    let sentence = first.into_iter().chain(letters).chain(['.']).collect::<String>();
    ApiError::new(ErrorCode::AuthTokenInvalid, sentence)
}

pub(crate) fn issuer_failed(error: IssuerError) -> ApiError {
    match error {
        IssuerError::Token(error) => refused(error),
        IssuerError::TimedOut => ApiError::new(
            ErrorCode::UpstreamTimeout,
            "The identity provider did not answer in time.",
        ),
        IssuerError::Failed(why) => {
            tracing::warn!(why, "an identity provider cannot be asked");
            ApiError::new(ErrorCode::UpstreamFailed, "The identity provider cannot be asked.")
        }
    }
}
