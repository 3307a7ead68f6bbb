//! A pretend HTTP client of one user: it asks whichever node it likes, tries again elsewhere under
//! the same idempotency key when an answer gets lost, and takes down what it asked and was told.

pub(crate) mod answer;
pub(crate) mod content;
pub(crate) mod request;
pub(crate) mod upload;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http::{HeaderMap, Method, header};
use node_base::{Duration, NodeId, ShareId, TenantId, UserId};
use serde_json::json;

use crate::cluster::{Broken, Cluster};
use crate::history::record::{Ending, Recorder};
use crate::history::{Answer, Ask};
use request::Request;

/// Somebody with a token.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Person {
    pub(crate) user: UserId,
    pub(crate) tenant: TenantId,
    pub(crate) email: String,
    pub(crate) token: String,
}

/// How long clients go on trying: for ever, until somebody says until when.
#[derive(Clone, Debug)]
pub(crate) struct Patience(Arc<AtomicU64>);

impl Default for Patience {
    fn default() -> Self {
        Self(Arc::new(AtomicU64::new(u64::MAX)))
    }
}

impl Patience {
    /// Lets clients try until this moment of the run.
    pub(crate) fn until(&self, at: Duration) {
        let nanos = u64::try_from(at.as_nanos()).unwrap_or(u64::MAX);
        self.0.store(nanos, Ordering::Relaxed);
    }

    fn is_over(&self, now: Duration) -> bool {
        now.as_nanos() >= u128::from(self.0.load(Ordering::Relaxed))
    }
}

/// An answer, whole.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// What a request came to, tried as often as it took.
pub(crate) struct Tried {
    /// Nothing when it was given up.
    pub(crate) reply: Option<Reply>,
    pub(crate) node: NodeId,
    pub(crate) tries: u32,
    pub(crate) lost: u32,
}

/// One user's client. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) cluster: Cluster,
    pub(crate) person: Person,
    recorder: Recorder,
    patience: Patience,
}

const PAUSE_MIN_MS: u64 = 20;
const PAUSE_MAX_MS: u64 = 1_000;
/// How often a node may fail at a read before that is the answer.
const FAILURES_MAX: u32 = 5;
/// How often a download may break off before it is given up: there may be nothing behind it.
const DOWNLOADS_MAX: u32 = 40;

impl Client {
    pub(crate) fn new(
        cluster: &Cluster,
        person: &Person,
        recorder: &Recorder,
        patience: &Patience,
    ) -> Self {
        Self {
            cluster: cluster.clone(),
            person: person.clone(),
            recorder: recorder.clone(),
            patience: patience.clone(),
        }
    }

    /// The same of somebody else.
    pub(crate) fn of(&self, person: &Person) -> Self {
        Self { person: person.clone(), ..self.clone() }
    }

    /// Asks for something, takes down what came of it, and answers that.
    pub(crate) async fn ask(&self, share: ShareId, ask: Ask) -> Answer {
        self.ask_for(share, ask).await.0
    }

    /// The same, with the reply as it came.
    pub(crate) async fn ask_for(&self, share: ShareId, ask: Ask) -> (Answer, Option<Reply>) {
        let user = self.person.user;
        let number = self.recorder.begin(user, share, ask.clone(), self.cluster.now());
        let request = request::of(share, &ask, Some(number));
        let tried = Box::pin(self.send(&request)).await;
        let answer = match &tried.reply {
            None => Answer::Unknown,
            Some(reply) => answer::read(&ask, reply).unwrap_or_else(|why| {
                self.recorder.garbled(format!("operation {number}, {ask:?}: {why}"));
                Answer::Unknown
            }),
        };
        let Tried { node, tries, lost, reply } = tried;
        self.recorder.end(number, Ending { node, tries, lost, answer: answer.clone() });
        (answer, reply)
    }

    /// Sends a request until somebody answers it, one way or the other.
    pub(crate) async fn send(&self, request: &Request) -> Tried {
        let mut tried = Tried { reply: None, node: self.node(None), tries: 0, lost: 0 };
        let (mut pause_ms, mut failures, mut broken_off) = (PAUSE_MIN_MS, 0, 0);
        loop {
            tried.tries += 1;
            match Box::pin(self.once(tried.node, request)).await {
                Ok(reply) => {
                    // Bytes that are gone do not come back by asking.
                    failures += u32::from(reply.status == 500 && request.method == Method::GET);
                    let is_nobody = request.may_be_nobody && reply.status == 401;
                    if !is_passing(reply.status) || is_nobody || failures > FAILURES_MAX {
                        tried.reply = Some(reply);
                        return tried;
                    }
                    tried.lost += u32::from(may_have_happened(reply.status));
                }
                Err(Broken::Lost) => {
                    tried.lost += 1;
                    broken_off += 1;
                }
                // A node that is down says nothing of what it has.
                Err(Broken::Unreachable) => {}
            }
            let is_download = request.path.contains("/content");
            if self.patience.is_over(self.cluster.now())
                || is_download && broken_off > DOWNLOADS_MAX
            {
                return tried;
            }
            let span = self.cluster.draw().range(pause_ms / 2..pause_ms + 1);
            self.cluster.sleep(Duration::from_millis(span)).await;
            pause_ms = (pause_ms * 2).min(PAUSE_MAX_MS);
            tried.node = self.node(Some(tried.node));
        }
    }

    /// Some node; another than `not`, where there is one.
    fn node(&self, not: Option<NodeId>) -> NodeId {
        let mut nodes = self.cluster.nodes();
        if nodes.len() > 1 {
            nodes.retain(|node| Some(*node) != not);
        }
        nodes[self.cluster.draw().range(0..nodes.len() as u64) as usize]
    }

    /// Asks one node once.
    pub(crate) async fn once(&self, node: NodeId, request: &Request) -> Result<Reply, Broken> {
        let bearer = format!("Bearer {}", self.person.token);
        let mut built = http::Request::builder()
            .method(request.method.clone())
            .uri(format!("{}{}", request.root, request.path))
            .header(header::AUTHORIZATION, bearer);
        if let Some(kind) = &request.kind {
            built = built.header(header::CONTENT_TYPE, kind);
        }
        if let Some(key) = &request.key {
            built = built.header("idempotency-key", key);
        }
        if let Some(cookie) = &request.cookie {
            built = built.header(header::COOKIE, cookie);
        }
        let built = built.body(request.body.clone()).expect("requests here are well-formed");
        let (head, body) = Box::pin(self.cluster.call(node, built)).await?.into_parts();
        Ok(Reply { status: head.status.as_u16(), headers: head.headers, body })
    }
}

/// Whether the same request may be answered better another time. A node whose clock is wrong takes
/// no token.
const fn is_passing(status: u16) -> bool {
    matches!(status, 401 | 429) || may_have_happened(status)
}

const fn may_have_happened(status: u16) -> bool {
    matches!(status, 500 | 502 | 503 | 504)
}

/// Has a user made, if there is none of this address, and a token for a year.
pub(crate) async fn sign_in(cluster: &Cluster, email: &str) -> Person {
    let order = json!({"user": email, "create": true, "ttl_seconds": 300 * 24 * 3600});
    loop {
        for node in cluster.nodes() {
            let request = http::Request::builder()
                .method("POST")
                .uri("/token")
                .header(header::CONTENT_TYPE, "application/json")
                .body(Bytes::from(order.to_string()))
                .expect("it is well-formed");
            let answered = Box::pin(cluster.order(node, request)).await;
            let person = answered.ok().filter(|answered| answered.status().is_success());
            if let Some(person) = person.and_then(|answered| person_of(email, answered.body())) {
                return person;
            }
        }
        cluster.sleep(Duration::from_millis(200)).await;
    }
}

fn person_of(email: &str, body: &[u8]) -> Option<Person> {
    let told: serde_json::Value = serde_json::from_slice(body).ok()?;
    let text = |field: &str| told.get(field)?.as_str();
    Some(Person {
        user: text("user_id")?.parse().ok()?,
        tenant: text("tenant_id")?.parse().ok()?,
        email: email.to_owned(),
        token: text("access_token")?.to_owned(),
    })
}
