//! The HTTP API as a program uses it that wants to see every answer: nothing is tried again.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

/// What came of a request: its status and what it says; nothing when no answer came.
pub type Sent = Option<(u16, Value)>;

/// A user at a node.
#[derive(Clone)]
pub struct Api {
    http: reqwest::Client,
    url: String,
    token: String,
}

impl Api {
    /// A user at a node, who waits for so long.
    pub fn new(url: &str, token: &str, limit: Duration) -> Self {
        // A second choice of the provider is refused, and is the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().timeout(limit).build().expect("a client");
        Self { http, url: url.to_owned(), token: token.to_owned() }
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.http.request(method, format!("{}/api/v1{path}", self.url));
        request.bearer_auth(&self.token)
    }

    /// # Panics
    /// When nobody answers.
    pub async fn get(&self, path: &str) -> reqwest::Response {
        self.request(Method::GET, path).send().await.expect("the node answers")
    }

    /// # Panics
    /// When the answer is a refusal.
    pub async fn json(&self, path: &str) -> Value {
        let response = self.get(path).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        serde_json::from_slice(&response.bytes().await.expect("a body")).expect("an answer is JSON")
    }

    /// Sends once, under a key where there is one.
    pub async fn send(&self, method: &str, path: &str, key: &str, body: Option<Value>) -> Sent {
        let method = method.parse().expect("a method");
        let mut request = self.request(method, path);
        if !key.is_empty() {
            request = request.header("idempotency-key", key);
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        answered(request.send().await).await
    }

    /// Makes a share of the user's.
    ///
    /// # Panics
    /// When that is refused.
    pub async fn make_share(&self) -> String {
        let me = self.json("/users/me").await;
        let body = json!({ "name": "Load", "share_type": "project", "owner_id": me["id"] });
        let (status, share) = self.send("POST", "/shares", "", Some(body)).await.expect("answered");
        assert_eq!(status, 201, "{share}");
        share["id"].as_str().expect("an id").to_owned()
    }

    /// Uploads a file in one request.
    pub async fn upload(&self, share: &str, name: &str, key: &str, content: &[u8]) -> Sent {
        let boundary = "a-boundary-that-is-in-no-content";
        let head = format!(
            "--{boundary}\r\ncontent-disposition: form-data; name=\"share_id\"\r\n\r\n{share}\r\n\
             --{boundary}\r\ncontent-disposition: form-data; name=\"file\"; \
             filename=\"{name}\"\r\n\r\n"
        );
        let body =
            [head.as_bytes(), content, format!("\r\n--{boundary}--\r\n").as_bytes()].concat();
        let mut request = self
            .request(Method::POST, "/files")
            .header("content-type", format!("multipart/form-data; boundary={boundary}"))
            .body(body);
        if !key.is_empty() {
            request = request.header("idempotency-key", key);
        }
        answered(request.send().await).await
    }

    /// All that is in the root of a share, page by page.
    pub async fn children(&self, share: &str) -> Vec<Value> {
        let mut all = Vec::new();
        loop {
            let offset = all.len();
            let path = format!("{}&offset={offset}", root_children(share, 1_000));
            let page = self.json(&path).await;
            let items = page["items"].as_array().expect("a list");
            all.extend(items.iter().cloned());
            if items.is_empty() || all.len() as u64 >= page["total"].as_u64().expect("a number") {
                return all;
            }
        }
    }
}

/// Where a page of what is in the root of a share is told.
pub fn root_children(share: &str, limit: u32) -> String {
    const FOLDER: &str = "root";
    format!("/folders/{FOLDER}/children?share_id={share}&limit={limit}")
}

async fn answered(response: Result<reqwest::Response, reqwest::Error>) -> Sent {
    let response = response.ok()?;
    let status = response.status().as_u16();
    let body = response.bytes().await.ok()?;
    Some((status, serde_json::from_slice(&body).unwrap_or_default()))
}
