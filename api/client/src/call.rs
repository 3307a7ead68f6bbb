//! One call, as it is to be sent, as often as it must.

use bytes::Bytes;
use reqwest::Method;
use serde::Serialize;

use crate::error::CallError;

/// What a call carries.
#[derive(Debug, Clone, Default)]
pub enum Payload {
    #[default]
    Empty,
    /// Whole, with its type.
    Whole(Bytes, String),
    /// In parts that are sent one after the other, with their type.
    Parts(Vec<Bytes>, String),
}

/// A call. Paths are given in segments, which are escaped where that is needed.
#[derive(Debug, Clone)]
pub struct Call {
    pub(crate) method: Method,
    pub(crate) segments: Vec<String>,
    pub(crate) query: String,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) payload: Payload,
    /// Doing it twice is the same as doing it once.
    pub(crate) harmless: bool,
    /// It gets an idempotency key.
    pub(crate) keyed: bool,
    /// It goes without the token.
    pub(crate) open: bool,
    /// It goes to the address itself, not below our paths.
    pub(crate) elsewhere: bool,
}

impl Call {
    fn new(method: Method, segments: &[&str]) -> Self {
        Self {
            method,
            segments: segments.iter().map(|&segment| segment.to_owned()).collect(),
            query: String::new(),
            headers: Vec::new(),
            payload: Payload::Empty,
            harmless: true,
            keyed: false,
            open: false,
            elsewhere: false,
        }
    }

    pub fn get(segments: &[&str]) -> Self {
        Self::new(Method::GET, segments)
    }

    /// A POST; an idempotency key makes it harmless to repeat.
    pub fn post(segments: &[&str]) -> Self {
        Self { keyed: true, ..Self::new(Method::POST, segments) }
    }

    pub fn put(segments: &[&str]) -> Self {
        Self::new(Method::PUT, segments)
    }

    pub fn patch(segments: &[&str]) -> Self {
        Self::new(Method::PATCH, segments)
    }

    pub fn delete(segments: &[&str]) -> Self {
        Self::new(Method::DELETE, segments)
    }

    /// For an endpoint that takes no idempotency key and must not be asked twice.
    #[must_use]
    pub fn once(mut self) -> Self {
        (self.keyed, self.harmless) = (false, false);
        self
    }

    /// For a POST that is harmless to repeat by its nature, such as sending a chunk.
    #[must_use]
    pub fn unkeyed(mut self) -> Self {
        self.keyed = false;
        self
    }

    /// Without the token.
    #[must_use]
    pub fn open(mut self) -> Self {
        self.open = true;
        self
    }

    #[must_use]
    pub fn query(mut self, query: &impl Serialize) -> Self {
        // Query structs are flat lists of numbers, texts and closed lists: all can be written.
        self.query = serde_urlencoded::to_string(query).unwrap_or_default();
        self
    }

    #[must_use]
    pub fn header(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((name, value));
        self
    }

    /// # Errors
    /// A body that JSON cannot write.
    pub fn json(mut self, body: &impl Serialize) -> Result<Self, CallError> {
        let bytes = serde_json::to_vec(body)
            .map_err(|source| CallError::Unwritable { call: self.name(), source })?;
        self.payload = Payload::Whole(bytes.into(), "application/json".to_owned());
        Ok(self)
    }

    #[must_use]
    pub fn form(mut self, body: &impl Serialize) -> Self {
        // As with a query.
        let text = serde_urlencoded::to_string(body).unwrap_or_default();
        let kind = "application/x-www-form-urlencoded".to_owned();
        self.payload = Payload::Whole(text.into(), kind);
        self
    }

    #[must_use]
    pub fn payload(mut self, payload: Payload) -> Self {
        self.payload = payload;
        self
    }

    /// How messages name it.
    pub(crate) fn name(&self) -> String {
        format!("{} /{}", self.method, self.segments.join("/"))
    }
}
