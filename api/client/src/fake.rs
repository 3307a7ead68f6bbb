//! A server that answers as it was told, and remembers what it was asked.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, Response};
use node_base::Duration;

use crate::{Client, Credentials, Machine, Patience, Settings};

pub(crate) struct Asked {
    pub(crate) line: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("ASCII"))
    }
}

#[derive(Default)]
struct State {
    answers: VecDeque<Response<Body>>,
    asked: Vec<Asked>,
}

pub(crate) struct Fake {
    pub(crate) address: String,
    state: Arc<Mutex<State>>,
}

pub(crate) fn answer(status: u16, body: &str) -> Response<Body> {
    let builder = Response::builder().status(status).header("content-type", "application/json");
    builder.body(Body::from(body.to_owned())).expect("well-formed")
}

pub(crate) fn refusal(status: u16, code: &str) -> Response<Body> {
    let body = format!(r#"{{"detail":"No.","error":{{"code":"{code}","request_id":"r"}}}}"#);
    answer(status, &body)
}

impl Fake {
    #[expect(
        clippy::disallowed_types,
        clippy::disallowed_methods,
        reason = "the fake stands for the outside: it listens on a real socket"
    )]
    pub(crate) async fn answering(answers: Vec<Response<Body>>) -> Self {
        let state = Arc::new(Mutex::new(State { answers: answers.into(), asked: Vec::new() }));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = format!("http://{}", listener.local_addr().expect("bound"));
        let shared = Arc::clone(&state);
        let handler = move |request: Request| handle(Arc::clone(&shared), request);
        let router = Router::new().fallback(handler);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, state }
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.state.lock().expect("not poisoned").asked)
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.asked().into_iter().map(|asked| asked.line).collect()
    }
}

async fn handle(state: Arc<Mutex<State>>, request: Request) -> Response<Body> {
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.expect("the whole body comes");
    let line = format!("{} {}", head.method, head.uri);
    let mut state = state.lock().expect("not poisoned");
    state.asked.push(Asked { line, headers: head.headers, body });
    state.answers.pop_front().unwrap_or_else(|| answer(500, "the script is at its end"))
}

/// Pauses take no time, and are remembered.
#[derive(Clone, Default)]
pub(crate) struct FakeMachine {
    pauses: Arc<Mutex<Vec<Duration>>>,
}

impl FakeMachine {
    pub(crate) fn pauses(&self) -> Vec<Duration> {
        self.pauses.lock().expect("not poisoned").clone()
    }
}

impl Machine for FakeMachine {
    fn pause(&self, span: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        self.pauses.lock().expect("not poisoned").push(span);
        Box::pin(std::future::ready(()))
    }

    fn random(&self) -> u128 {
        7
    }
}

pub(crate) fn client(
    addresses: &[&str],
    credentials: Credentials,
    machine: &FakeMachine,
) -> Client {
    let settings = Settings {
        addresses: addresses.iter().map(|&address| address.to_owned()).collect(),
        credentials,
        patience: Patience { attempts: 4, ..Patience::default() },
        extra_roots_pem: Vec::new(),
        user_agent: "scaidrive-test".to_owned(),
    };
    Client::new(settings, machine.clone()).expect("well-formed settings")
}
