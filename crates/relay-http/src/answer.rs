//! Answers that are JSON.

use crate::conditional::Tag;
use crate::problem::{Problem, ProblemKind};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, LOCATION};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::Serialize;

/// A JSON answer.
#[derive(Debug)]
pub(crate) struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    /// An answer of this status that says this.
    pub(crate) fn new(status: StatusCode, body: &impl Serialize) -> Result<Answer, Problem> {
        let body = serde_json::to_vec(body).map_err(|error| {
            tracing::error!(%error, "an answer cannot be written");
            Problem::new(ProblemKind::Internal, "the answer cannot be written")
        })?;
        Ok(Answer::raw(status, body))
    }

    /// An answer whose body is JSON already.
    pub(crate) fn raw(status: StatusCode, body: impl Into<Bytes>) -> Answer {
        Answer { status, headers: HeaderMap::new(), body: body.into() }
    }

    /// 200.
    pub(crate) fn ok(body: &impl Serialize) -> Result<Answer, Problem> {
        Answer::new(StatusCode::OK, body)
    }

    /// With a header.
    #[must_use]
    pub(crate) fn with(mut self, name: HeaderName, value: &'static str) -> Answer {
        self.headers.insert(name, HeaderValue::from_static(value));
        self
    }

    /// With the entity tag of what it shows.
    #[must_use]
    pub(crate) fn tagged(mut self, tag: &Tag) -> Answer {
        if let Some(value) = tag.header() {
            self.headers.insert(ETAG, value);
        }
        self
    }

    /// With the path of what was created.
    #[must_use]
    pub(crate) fn located(mut self, path: &str) -> Answer {
        if let Ok(value) = HeaderValue::from_str(path) {
            self.headers.insert(LOCATION, value);
        }
        self
    }

    /// Not to be kept by anybody on the way: it holds a secret.
    #[must_use]
    pub(crate) fn secret(self) -> Answer {
        self.with(CACHE_CONTROL, "no-store")
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    pub(crate) fn body(&self) -> &[u8] {
        &self.body
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let json = [(CONTENT_TYPE, HeaderValue::from_static("application/json"))];
        (self.status, json, self.headers, self.body).into_response()
    }
}
