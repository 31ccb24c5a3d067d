//! JSON documents in requests: read strictly, so that nothing in them is silently ignored.

mod json;
mod merge;
mod object;

pub(crate) use merge::merge;
pub(crate) use object::{Faults, Object};

use crate::body;
use crate::content_type;
use crate::problem::{Problem, ProblemKind};
use crate::state::AppState;
use axum::extract::{FromRequest, Request};
use bytes::Bytes;
use serde_json::Value;

/// A request's JSON body; one without bytes is an empty object.
#[derive(Debug)]
pub(crate) struct Document {
    /// The bytes as they came.
    pub(crate) bytes: Bytes,
    /// What they say.
    pub(crate) value: Value,
}

impl Document {
    async fn read(request: Request, state: &AppState, types: &[&str]) -> Result<Document, Problem> {
        let (parts, body) = request.into_parts();
        let bytes = body::read(state, &parts.headers, body).await?;
        if bytes.is_empty() {
            return Ok(Document { bytes, value: Value::Object(serde_json::Map::new()) });
        }
        content_type::require(&parts.headers, types)?;
        let value = json::parse(&bytes)?;
        Ok(Document { bytes, value })
    }

    /// The members of the document, for reading one by one.
    pub(crate) fn object(self) -> Result<Object, Problem> {
        Object::root(self.value)
    }

    /// Requires that the document says nothing.
    pub(crate) fn nothing(self) -> Result<(), Problem> {
        let mut faults = Faults::default();
        self.object()?.finish(&mut faults);
        faults.none()
    }
}

impl FromRequest<AppState> for Document {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, Problem> {
        Document::read(request, state, &["application/json"]).await
    }
}

/// The body of a PATCH: a JSON Merge Patch (RFC 7396).
#[derive(Debug)]
pub(crate) struct Patch(pub(crate) Value);

impl FromRequest<AppState> for Patch {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, Problem> {
        let types = ["application/merge-patch+json", "application/json"];
        let value = Document::read(request, state, &types).await?.value;
        // A patch that is no object would replace the resource as a whole.
        if value.is_object() { Ok(Patch(value)) } else { Err(not_an_object()) }
    }
}

fn not_an_object() -> Problem {
    Problem::new(ProblemKind::InvalidField, "the document must be a JSON object")
}
