//! Whole nodes in pretend worlds, asked through their routers.

mod backups;
mod stories;

use std::path::PathBuf;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use node_base::{Duration, NodeId, sha256};
use node_world::World;
use simulator_world::{Options, Sim, Simulation};
use tower::ServiceExt;

use crate::{Addresses, JoinSettings, Node, Settings, StartError};

fn settings(join: Option<JoinSettings>) -> Settings {
    let raft = raft::Settings {
        probe_ms: 200,
        snapshot_entries: 60,
        kept_entries: 20,
        tables_cache_bytes: 1 << 20,
        out_after_ms: 20_000,
        ..raft::Settings::default()
    };
    Settings { data_dirs: vec![PathBuf::from("/data")], join, raft, ..Settings::default() }
}

/// Does something as one of a node's own tasks would.
async fn on<T: Send + 'static>(world: &World, task: impl Future<Output = T> + Send + 'static) -> T {
    world.spawn(task).await.expect("the node is up")
}

async fn start(
    sim: &Sim,
    node: u64,
    join: Option<JoinSettings>,
) -> Result<(World, Node), StartError> {
    let world = sim.world(NodeId(node));
    let addresses = Addresses {
        node: NodeId(node),
        public_url: "http://cluster.example".to_owned(),
        cluster: sim.peer(NodeId(node)).address,
    };
    let inner = world.clone();
    let start = async move { Node::start(inner, &settings(join), addresses, "test").await };
    let node = on(&world, start).await?;
    Ok((world, node))
}

/// A cluster whose nodes are numbered from one.
struct Cluster {
    sim: Sim,
    nodes: Vec<Option<(World, Node)>>,
    token: String,
    /// The first administrator's id.
    user: String,
}

/// The text behind `"name":"` in a JSON answer.
fn text<'a>(json: &'a str, name: &str) -> &'a str {
    let start = format!("\"{name}\":\"");
    let at = json.find(&start).map(|at| at + start.len());
    let rest = at.map(|at| &json[at..]).unwrap_or_else(|| panic!("no {name} in {json}"));
    rest.split('"').next().expect("split gives something")
}

async fn send(router: Router, request: Request<Body>) -> (StatusCode, String) {
    let response = router.oneshot(request).await.expect("routers answer");
    let status = response.status();
    let body = axum::body::to_bytes(response.into_body(), 64 << 20).await.expect("a body");
    (status, String::from_utf8_lossy(&body).into_owned())
}

impl Cluster {
    /// Founds a cluster, and has others join until it has so many nodes.
    async fn of(sim: Sim, count: u64) -> Self {
        let first = start(&sim, 1, None).await.expect("a new cluster");
        let router = first.1.socket_router();
        let order = Request::post("/token")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(format!(r#"{{"user":"{}"}}"#, crate::FIRST_EMAIL)))
            .expect("a request");
        let (status, body) = on(&first.0, send(router, order)).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        let (token, user) = (text(&body, "access_token").to_owned(), text(&body, "user_id"));
        let user = user.to_owned();
        let mut cluster = Self { sim, nodes: vec![Some(first)], token, user };
        for node in 2..=count {
            let join = cluster.invitation().await;
            let joined = start(&cluster.sim, node, Some(join)).await.expect("it may join");
            cluster.nodes.push(Some(joined));
        }
        cluster
    }

    fn node(&self, number: usize) -> &(World, Node) {
        self.nodes[number - 1].as_ref().expect("the node is up")
    }

    /// What lets a node join through the first, whose number is 1.
    async fn invitation(&self) -> JoinSettings {
        self.invitation_of(1).await
    }

    /// The same where the first has another number.
    async fn invitation_of(&self, number: u64) -> JoinSettings {
        let (world, node) = self.node(1);
        let ops = node.ops().clone();
        let token = on(world, async move { ops.invite(3600, 1).await }).await.expect("it leads");
        JoinSettings { via: vec![self.sim.peer(NodeId(number)).address], token }
    }

    /// One request of the administrator to a node, with JSON, a form or bytes.
    async fn call(
        &self,
        number: usize,
        method: &str,
        path: &str,
        body: &str,
    ) -> (StatusCode, String) {
        let (world, node) = self.node(number);
        let kind = match body.as_bytes().first() {
            Some(b'{') => "application/json",
            Some(b'-') => "multipart/form-data; boundary=line",
            _ => "application/octet-stream",
        };
        let request = Request::builder()
            .method(method)
            .uri(format!("/api/v1{path}"))
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token))
            .header(header::CONTENT_TYPE, kind)
            .body(Body::from(body.to_owned()))
            .expect("a request");
        on(world, send(node.router(), request)).await
    }

    /// Makes a project share through a node.
    async fn share(&self, number: usize) -> String {
        let share = r#"{"name":"Plans","share_type":"project","owner_id":"#;
        let share = format!("{share}\"{}\"}}", self.user);
        text(&self.ask(number, "POST", "/shares", &share).await, "id").to_owned()
    }

    /// Uploads a file through a node.
    async fn upload(&self, number: usize, share: &str, name: &str, content: &str) -> String {
        let head = "--line\r\nContent-Disposition: form-data; name=";
        let form = format!(
            "{head}\"share_id\"\r\n\r\n{share}\r\n\
             {head}\"file\"; filename=\"{name}\"\r\n\r\n{content}\r\n--line--\r\n"
        );
        text(&self.ask(number, "POST", "/files", &form).await, "id").to_owned()
    }

    async fn content(&self, number: usize, file: &str) -> String {
        self.ask(number, "GET", &format!("/files/{file}/content"), "").await
    }

    /// Asks a node until it does not say that it is unavailable.
    async fn ask(&self, number: usize, method: &str, path: &str, body: &str) -> String {
        loop {
            let (status, answer) = self.call(number, method, path, body).await;
            if status.is_success() {
                return answer;
            }
            assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{answer}");
            self.sim.sleep(Duration::from_millis(100)).await;
        }
    }

    fn crash(&mut self, number: usize) {
        self.nodes[number - 1] = None;
        self.sim.crash(NodeId(number as u64));
    }

    async fn restart(&mut self, number: usize) {
        let node = start(&self.sim, number as u64, None).await.expect("it was of the cluster");
        self.nodes[number - 1] = Some(node);
    }

    /// Waits until every node that is up sees these voters.
    async fn voters(&self, wanted: &[u64]) {
        let wanted: Vec<NodeId> = wanted.iter().copied().map(NodeId).collect();
        for (_, node) in self.nodes.iter().flatten() {
            while node.ops().raft.status().voters != wanted {
                self.sim.sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// A text of about so many bytes that does not compress away.
fn long(bytes: usize, salt: u32) -> String {
    let line = |count: u32| sha256(&[salt.to_le_bytes(), count.to_le_bytes()].concat()).to_string();
    (0..bytes as u32 / 64).map(line).collect()
}

fn run(seed: u64, story: impl AsyncFnOnce(Sim) + Send) {
    let limit = Duration::from_secs(600);
    Simulation::new(seed, Options { limit, ..Options::default() }).run(story);
}
