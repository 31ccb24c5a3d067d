//! Problem documents (RFC 9457): the one form of everything that goes wrong.

mod from_domain;
mod kind;

pub use kind::ProblemKind;

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue};
use serde::Serialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::time::Duration;

/// Something went wrong. As a response it travels unwritten: the envelope, which knows the request, writes it.
#[derive(Clone, Debug)]
pub struct Problem {
    kind: ProblemKind,
    detail: Cow<'static, str>,
    faults: Vec<Fault>,
    retry_after: Option<Duration>,
    events: Option<Box<RawValue>>,
    earliest_replay_id: Option<String>,
}

/// One of several faults in a document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// Where: a JSON pointer (RFC 6901) into the request's body.
    pub pointer: String,
    /// What is wrong there.
    pub detail: String,
    /// What sort of fault; it decides the problem's kind.
    #[serde(skip)]
    pub kind: FaultKind,
}

/// Sorts of faults in a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FaultKind {
    /// A wrong type or value, or something missing.
    Invalid,
    /// A member that nobody knows.
    Unknown,
    /// A member of later work.
    NotSupported,
}

impl Problem {
    /// A problem of a kind, with what is particular about it.
    pub fn new(kind: ProblemKind, detail: impl Into<Cow<'static, str>>) -> Problem {
        Problem {
            kind,
            detail: detail.into(),
            faults: Vec::new(),
            retry_after: None,
            events: None,
            earliest_replay_id: None,
        }
    }

    /// The problem that a document with these faults is.
    pub fn of_faults(faults: Vec<Fault>) -> Problem {
        let kind = match faults.iter().map(|fault| fault.kind).max() {
            Some(FaultKind::NotSupported) => ProblemKind::NotSupported,
            Some(FaultKind::Unknown) => ProblemKind::UnknownField,
            Some(FaultKind::Invalid) | None => ProblemKind::InvalidField,
        };
        let detail = match faults.as_slice() {
            [one] if one.pointer.is_empty() => one.detail.clone(),
            [one] => format!("{}: {}", one.pointer, one.detail),
            several => format!("{} faults; see `errors`", several.len()),
        };
        Problem { kind, detail: detail.into(), faults, retry_after: None, events: None, earliest_replay_id: None }
    }

    /// With a list of faults.
    #[must_use]
    pub fn with_faults(self, faults: Vec<Fault>) -> Problem {
        Problem { faults, ..self }
    }

    /// With a time to wait before the next try.
    #[must_use]
    pub fn retry_after(self, wait: Duration) -> Problem {
        Problem { retry_after: Some(wait), ..self }
    }

    /// With what became of each event of a publish request, as JSON.
    #[must_use]
    pub(crate) fn with_events(self, events: Box<RawValue>) -> Problem {
        Problem { events: Some(events), ..self }
    }

    /// With the oldest event that is still there.
    #[must_use]
    pub(crate) fn with_earliest(self, id: Option<String>) -> Problem {
        Problem { earliest_replay_id: id, ..self }
    }

    /// Its kind.
    pub fn kind(&self) -> ProblemKind {
        self.kind
    }

    /// What is particular about it.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// The response, with `instance` saying which resource was asked for.
    pub(crate) fn write(&self, instance: &str, headers: &mut HeaderMap) -> Bytes {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(wait) = self.retry_after {
            let seconds = wait.as_millis().div_ceil(1000).max(1);
            headers.insert(RETRY_AFTER, HeaderValue::from(u64::try_from(seconds).unwrap_or(u64::MAX)));
        }
        if self.kind == ProblemKind::Unauthorized {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if self.kind.closes() {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        let document = Document {
            kind: format_args!("/problems/{}", self.kind.name()),
            title: self.kind.title(),
            status: self.kind.status().as_u16(),
            detail: &self.detail,
            instance,
            errors: &self.faults,
            events: self.events.as_deref(),
            earliest_replay_id: self.earliest_replay_id.as_deref(),
        };
        serde_json::to_vec(&document).map(Bytes::from).unwrap_or_default()
    }
}

#[derive(Serialize)]
struct Document<'a> {
    #[serde(rename = "type", serialize_with = "as_text")]
    kind: std::fmt::Arguments<'a>,
    title: &'a str,
    status: u16,
    detail: &'a str,
    instance: &'a str,
    #[serde(skip_serializing_if = "<[Fault]>::is_empty")]
    errors: &'a [Fault],
    #[serde(skip_serializing_if = "Option::is_none")]
    events: Option<&'a RawValue>,
    #[serde(rename = "earliestReplayId", skip_serializing_if = "Option::is_none")]
    earliest_replay_id: Option<&'a str>,
}

fn as_text<S: serde::Serializer>(text: &std::fmt::Arguments<'_>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(text)
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.kind.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}
