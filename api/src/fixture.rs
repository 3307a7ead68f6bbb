//! One node with people on it, for tests: the whole surface over real parts in a pretend world.

use std::path::PathBuf;
use std::sync::Arc;

use api_ops::meta::command::{NewUser, People, Upkeep};
use api_ops::meta::table::people::{AdminRole, ProvisioningSource};
use api_ops::meta::{Answer, Command, Scopes, UserCaller};
use api_ops::parts::{EngineKind, Raft, RaftSettings, Store, StoreSettings};
use api_ops::{Lease, Ops, OpsParts};
use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, header};
use node_base::{Duration, NodeId, TenantId, UserId};
use node_world::World;
use serde_json::Value;
use simulator_world::{Options, Sim, Simulation};
use tower::ServiceExt;

use crate::auth::{Authenticator, IdentitySettings};
use crate::issuer::{OwnIssuer, scopes_of};
use crate::metrics::Metrics;
use crate::serve::ServeSettings;
use crate::state::{ApiState, Parts};

/// Where the fixture says people reach it.
pub(crate) const URL: &str = "http://127.0.0.1:8000";
/// The password of everybody.
pub(crate) const PASSWORD: &str = "correct horse battery";
const NODE: NodeId = NodeId(1);

/// A founded node with an administrator and two users.
pub(crate) struct Fixture {
    pub(crate) world: World,
    pub(crate) state: ApiState,
    pub(crate) router: Router,
    pub(crate) tenant: TenantId,
    /// A `super_admin`.
    pub(crate) root: UserId,
    pub(crate) ann: UserId,
    pub(crate) bob: UserId,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Reply {
    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| {
            panic!("not JSON, with status {}: {}", self.status, self.text());
        })
    }

    /// The code of a refusal.
    pub(crate) fn code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap_or("none").to_owned()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The status, which must be this.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{}", self.text());
        self
    }
}

/// Runs a test on a fixture with the built-in issuer.
pub(crate) fn run<F>(scenario: impl FnOnce(Fixture) -> F + Send + 'static)
where
    F: Future<Output = ()> + Send + 'static,
{
    simulator_world::run(1, |world| {
        Box::pin(async move {
            let fixture = Box::pin(Fixture::new(world)).await;
            Box::pin(scenario(fixture)).await;
        })
    });
}

/// The same, for scenarios in which something outside of the node goes wrong.
pub(crate) fn run_in<F>(scenario: impl FnOnce(Fixture, Sim) -> F + Send + 'static)
where
    F: Future<Output = ()> + Send + 'static,
{
    Simulation::new(1, Options::default()).run(async move |sim| {
        let world = sim.world(NODE);
        let outside = sim.clone();
        let task = world.clone().spawn(async move {
            let fixture = Box::pin(Fixture::new(world)).await;
            Box::pin(scenario(fixture, outside)).await;
        });
        task.await.expect("a panic of the task ends the run before");
    });
}

impl Fixture {
    pub(crate) async fn new(world: World) -> Self {
        Box::pin(Self::with(world, IdentitySettings::default(), true)).await
    }

    /// With these issuers, and the built-in one or not. An issuer without a tenant gets the first.
    pub(crate) async fn with(world: World, mut identity: IdentitySettings, built_in: bool) -> Self {
        let ops = Box::pin(operations(&world)).await;
        let tenant = found(&ops).await;
        let own = OwnIssuer::new(URL);
        let phc = own.hash_chosen(&ops, PASSWORD).await.expect("long enough");
        for issuer in identity.issuers.iter_mut().filter(|issuer| issuer.tenant_claim.is_none()) {
            issuer.tenant.get_or_insert_with(|| tenant.to_string());
        }
        let state = ApiState::new(Parts {
            world: world.clone(),
            identity: Authenticator::new(ops.clone(), &identity, built_in.then_some(own)),
            ops: ops.clone(),
            metrics: Metrics::new(),
            settings: ServeSettings::default(),
            public_url: URL.to_owned(),
            version: "0.0.0-test",
        });
        let root = Some(AdminRole::SuperAdmin);
        Self {
            root: user(&ops, tenant, "root", root, &phc).await,
            ann: user(&ops, tenant, "ann", None, &phc).await,
            bob: user(&ops, tenant, "bob", None, &phc).await,
            router: crate::router(state.clone()),
            world,
            state,
            tenant,
        }
    }

    /// An access token of the built-in issuer with all that the user's role allows.
    pub(crate) async fn token(&self, user: UserId) -> String {
        let role = (user == self.root).then_some(AdminRole::SuperAdmin);
        self.token_with(user, scopes_of(role)).await
    }

    /// An access token with these scopes.
    pub(crate) async fn token_with(&self, user: UserId, scopes: Scopes) -> String {
        let caller = UserCaller {
            tenant: self.tenant,
            user,
            scopes,
            service_account: None,
            ip: None,
            user_agent: None,
        };
        let own = self.state.identity.own().expect("the built-in issuer is on");
        let hour = Duration::from_secs(3_600);
        own.mint(&self.state.ops, &caller, hour).await.expect("keys are there")
    }

    /// Sends a request to the public router.
    pub(crate) async fn send(&self, request: Request<Body>) -> Reply {
        answer(self.router.clone(), request).await
    }

    /// Asks with a token.
    pub(crate) async fn get(&self, token: &str, path: &str) -> Reply {
        self.call("GET", token, path, None).await
    }

    /// Calls with a token and perhaps a JSON body.
    pub(crate) async fn call(
        &self,
        method: &str,
        token: &str,
        path: &str,
        body: Option<Value>,
    ) -> Reply {
        let mut request = self.request(method, path);
        if !token.is_empty() {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = match body {
            Some(body) => request
                .header(header::CONTENT_TYPE, "application/json")
                .body(Body::from(body.to_string())),
            None => request.body(Body::empty()),
        };
        self.send(request.expect("a request")).await
    }

    /// Sends a form.
    pub(crate) async fn form(&self, path: &str, cookies: &str, fields: &[(&str, &str)]) -> Reply {
        let body = serde_urlencoded::to_string(fields).expect("text");
        let request = self
            .request("POST", path)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::COOKIE, cookies)
            .body(Body::from(body));
        self.send(request.expect("a request")).await
    }

    /// The head of a request to a path of the API, or to an address that begins with a slash twice.
    pub(crate) fn request(&self, method: &str, path: &str) -> http::request::Builder {
        let whole = path.starts_with("/api") || path.starts_with("/oidc") || path == "/health";
        let path = if whole { path.to_owned() } else { format!("/api/v1{path}") };
        let method: Method = method.parse().expect("a method");
        Request::builder().method(method).uri(path)
    }
}

/// Sends a request to a router and reads the answer.
pub(crate) async fn answer(router: Router, request: Request<Body>) -> Reply {
    let response = router.oneshot(request).await.expect("routers answer");
    let (parts, body) = response.into_parts();
    let body = axum::body::to_bytes(body, 64 << 20).await.expect("a body");
    Reply { status: parts.status, headers: parts.headers, body }
}

async fn operations(world: &World) -> Ops {
    let settings = RaftSettings { engine: EngineKind::Memory, ..RaftSettings::default() };
    let raft = Raft::open(world, NODE, PathBuf::from("data/raft"), &settings).await;
    let raft = raft.expect("an empty folder");
    raft.found("node1:1").await.expect("it is of no cluster");
    let folders = vec![PathBuf::from("data/chunks")];
    let store = Store::open(world, folders, StoreSettings::default()).await.expect("a drive");
    let lease = Lease::new(0);
    let raft = Arc::new(raft);
    Ops::new(OpsParts { node: NODE, world: world.clone(), raft, store, lease })
}

/// Makes the cluster's first rows; the lease of the operations is a real one then.
async fn found(ops: &Ops) -> TenantId {
    let found = Upkeep::Found {
        cluster: 7,
        tenant_name: "default".to_owned(),
        tenant_display_name: "Default".to_owned(),
        cursor_key: [7; 32],
    };
    let tenant = ops.agree_as_node(Command::Upkeep(found)).await.expect("a new cluster");
    let (address, zone) = ("node1:1".to_owned(), "default".to_owned());
    let start = Upkeep::StartNode { node: NODE, address, zone };
    let writer = ops.agree_as_node(Command::Upkeep(start)).await.expect("it is this node");
    ops.lease.replace(writer);
    tenant
}

async fn user(
    ops: &Ops,
    tenant: TenantId,
    name: &str,
    admin_role: Option<AdminRole>,
    phc: &str,
) -> UserId {
    let new = NewUser {
        tenant,
        email: format!("{name}@example.com"),
        name: name.to_owned(),
        display_name: name.to_owned(),
        admin_role,
        source: ProvisioningSource::BuiltIn,
        is_service_account: false,
        subject: None,
        password: Some(phc.to_owned()),
    };
    match ops.agree_as_node(Command::People(People::CreateUser(new))).await {
        Ok(Answer::User { user, .. }) => user,
        other => panic!("no user was made: {other:?}"),
    }
}
