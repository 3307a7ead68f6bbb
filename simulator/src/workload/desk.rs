//! A client whose wishes and sights are taken down as settings of registers.

use std::sync::Arc;

use http::Method;
use node_base::{NodeId, sha256};
use serde_json::Value;

use super::ground::{Actor, Ground};
use crate::client::request::Request;
use crate::client::{Client, Reply};
use crate::history::NEVER;
use crate::history::setting::Setting;

/// Somebody's desk.
#[derive(Clone)]
pub(crate) struct Desk(Actor);

/// What came of a wish or a look.
pub(crate) struct Outcome {
    began: u64,
    ended: u64,
    node: NodeId,
    /// Nothing where it was given up.
    pub(crate) status: Option<u16>,
    pub(crate) body: Value,
    cookies: Vec<String>,
    tries: u32,
    /// Something may have been done though it was refused, or is given up.
    is_doubtful: bool,
}

impl Outcome {
    pub(crate) fn is_done(&self) -> bool {
        self.status.is_some_and(|status| status < 300)
    }

    /// A text of the answer, where it was done.
    pub(crate) fn text(&self, field: &str) -> Option<String> {
        let text = self.body.get(field).and_then(Value::as_str).filter(|_| self.is_done());
        text.map(str::to_owned)
    }

    /// Whether it was asked more than once.
    pub(crate) const fn was_repeated(&self) -> bool {
        self.tries > 1
    }

    /// What a browser was given to keep.
    pub(crate) fn cookie(&self, name: &str) -> Option<&str> {
        let mut pairs = self.cookies.iter().filter_map(|cookie| cookie.split_once('='));
        let value = pairs.find(|(known, _)| *known == name)?.1;
        value.split(';').next().filter(|value| !value.is_empty())
    }

    /// A field of each entry of a list that was answered.
    pub(crate) fn each<'a>(&'a self, list: &str, field: &'a str) -> impl Iterator<Item = &'a str> {
        let entries = self.body.get(list).and_then(Value::as_array);
        entries.into_iter().flatten().filter_map(move |entry| entry.get(field)?.as_str())
    }
}

impl Desk {
    pub(crate) const fn new(actor: Actor) -> Self {
        Self(actor)
    }

    pub(crate) const fn actor(&self) -> &Actor {
        &self.0
    }

    fn ground(&self) -> &Arc<Ground> {
        &self.0.ground
    }

    /// Has something changed.
    pub(crate) async fn change(&self, method: Method, path: &str, body: &Value) -> Outcome {
        let request = match body {
            Value::Null => Request::new(method, path.to_owned()),
            body => Request::json(method, path.to_owned(), body),
        };
        let key = format!("desk-{}", self.ground().fresh());
        self.send(&request.with_key(key)).await
    }

    /// Looks at something.
    pub(crate) async fn look(&self, path: &str) -> Outcome {
        self.send(&Request::get(path.to_owned())).await
    }

    /// Sends any request.
    pub(crate) async fn send(&self, request: &Request) -> Outcome {
        self.send_as(&self.0.client, request).await
    }

    /// Sends it as somebody else.
    pub(crate) async fn send_as(&self, client: &Client, request: &Request) -> Outcome {
        let recorder = &self.ground().recorder;
        let began = recorder.moment();
        let tried = Box::pin(client.send(request)).await;
        let body = match &tried.reply {
            None => {
                recorder.garbled(format!("{} {} never ended", request.method, request.path));
                Value::Null
            }
            Some(reply) => self.answered(request, reply),
        };
        let status = tried.reply.as_ref().map(|reply| reply.status);
        let cookies = tried.reply.iter().flat_map(|reply| {
            reply.headers.get_all(http::header::SET_COOKIE).iter().filter_map(|it| it.to_str().ok())
        });
        let cookies = cookies.map(str::to_owned).collect();
        let is_doubtful = status.is_none_or(|status| status >= 300 && tried.lost > 0);
        let ended = recorder.moment();
        Outcome {
            began,
            ended,
            node: tried.node,
            status,
            body,
            cookies,
            tries: tried.tries,
            is_doubtful,
        }
    }

    /// Reads a file, and what its content hashes to; nothing where it does not come.
    pub(crate) async fn read(&self, file: &str) -> Option<(Outcome, String)> {
        let recorder = &self.ground().recorder;
        let began = recorder.moment();
        let request = Request::get(format!("/files/{file}/content"));
        let tried = Box::pin(self.0.client.send(&request)).await;
        let reply = tried.reply.filter(|reply| reply.status == 200)?;
        let (ended, status, body) = (recorder.moment(), Some(reply.status), Value::Null);
        let (cookies, tries) = (Vec::new(), tried.tries);
        let node = tried.node;
        let look = Outcome { began, ended, node, status, body, cookies, tries, is_doubtful: false };
        Some((look, sha256(&reply.body).to_string()))
    }

    fn answered(&self, request: &Request, reply: &Reply) -> Value {
        let kind = reply.headers.get(http::header::CONTENT_TYPE).and_then(|it| it.to_str().ok());
        let is_json = kind.is_some_and(|kind| kind.starts_with("application/json"));
        let garbled = |why: &str| {
            let what = format!("{} {} is answered {why}", request.method, request.path);
            self.ground().recorder.garbled(what);
            Value::Null
        };
        match serde_json::from_slice(&reply.body) {
            _ if reply.status >= 500 => garbled(&format!("with {}", reply.status)),
            Ok(body) if is_json => body,
            Err(_) if is_json => garbled("with what is no JSON"),
            _ => Value::Null,
        }
    }

    /// From what was done on, a register has this value.
    pub(crate) fn sets(&self, done: &Outcome, register: String, value: Value) {
        if done.is_done() || done.is_doubtful {
            let ended = if done.is_doubtful { NEVER } else { done.ended };
            self.note(Setting { register, value, ..note(done, false, ended) });
        }
    }

    /// The same of what follows from a refusal, too.
    pub(crate) fn sets_anyway(&self, done: &Outcome, register: String, value: Value) {
        self.note(Setting { register, value, ..note(done, false, done.ended) });
    }

    /// The fields of a body are those of what a path tells from now on.
    pub(crate) fn sets_fields(&self, done: &Outcome, path: &str, body: &Value) {
        for (field, value) in body.as_object().into_iter().flatten() {
            self.sets(done, format!("{path} {field}"), value.clone());
        }
    }

    /// What a register was told to be.
    pub(crate) fn told(&self, look: &Outcome, register: String, value: Value) {
        if look.status.is_some() {
            self.note(Setting { register, value, ..note(look, true, look.ended) });
        }
    }

    /// Looks, and takes down that it is there, or not, and these fields of it.
    pub(crate) async fn look_at(&self, path: &str, fields: &[&str]) -> Outcome {
        let look = self.look(path).await;
        self.told(&look, format!("{path} is there"), Value::Bool(look.is_done()));
        for field in fields.iter().filter(|_| look.is_done()) {
            let value = look.body.get(*field).cloned().unwrap_or_default();
            self.told(&look, format!("{path} {field}"), value);
        }
        look
    }

    /// It is there from now on, or not any more.
    pub(crate) fn is_there(&self, done: &Outcome, path: &str, is_there: bool) {
        self.sets(done, format!("{path} is there"), Value::Bool(is_there));
    }

    fn note(&self, setting: Setting) {
        self.ground().recorder.setting(setting);
    }

    /// A number below.
    pub(crate) fn below(&self, end: u64) -> u64 {
        self.0.range(0, end)
    }

    /// A text that nobody else says.
    pub(crate) fn word(&self, kind: &str) -> String {
        format!("{kind} {}", self.ground().fresh())
    }
}

fn note(outcome: &Outcome, is_told: bool, ended: u64) -> Setting {
    let Outcome { began, node, .. } = *outcome;
    Setting { register: String::new(), value: Value::Null, is_told, began, ended, node }
}
