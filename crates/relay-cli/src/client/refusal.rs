//! What goes wrong with a call, and what to do about it, in words for whoever typed the command.

use http::StatusCode;
use serde::Deserialize;
use std::fmt;
use std::time::Duration;

/// Why a call came to nothing.
#[derive(Debug)]
pub enum CallFault {
    /// Nobody answered, or not to the end.
    Away {
        /// The broker as it was named.
        url: String,
        /// What happened.
        why: String,
    },
    /// The broker answered that it does not do it.
    Refused(Box<Refusal>),
    /// An answer that is not understood.
    Strange(String),
}

/// An answer with a status that is none of success.
#[derive(Debug)]
pub struct Refusal {
    /// The status.
    pub status: StatusCode,
    /// When to try again, if the answer said so.
    pub retry_after: Option<Duration>,
    /// The problem document; none if the body is something else.
    problem: Option<Problem>,
    /// The beginning of a body that is no problem document.
    text: String,
}

/// A problem document (RFC 9457), as far as it is shown.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Problem {
    #[serde(rename = "type")]
    kind: String,
    title: String,
    #[serde(default)]
    detail: String,
    #[serde(default)]
    errors: Vec<Fault>,
    earliest_replay_id: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Fault {
    pointer: String,
    detail: String,
}

/// So much is shown of a body that the broker did not write.
const SHOWN: usize = 200;

impl CallFault {
    /// The same call may well be answered later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            CallFault::Away { .. } => true,
            CallFault::Refused(refusal) => {
                refusal.status.is_server_error()
                    || [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS].contains(&refusal.status)
            }
            CallFault::Strange(_) => false,
        }
    }

    /// How long the broker asks to be left alone.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            CallFault::Refused(refusal) => refusal.retry_after,
            _ => None,
        }
    }
}

impl Refusal {
    /// Reads the answer.
    #[must_use]
    pub fn new(status: StatusCode, retry_after: Option<Duration>, body: &[u8]) -> Refusal {
        let problem = serde_json::from_slice(body).ok();
        let text = String::from_utf8_lossy(body).trim().chars().take(SHOWN).collect();
        Refusal { status, retry_after, problem, text }
    }

    /// The kind of the problem, such as `topic-not-found`; empty if the broker did not name one.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.problem.as_ref().map_or("", |problem| problem.kind.trim_start_matches("/problems/"))
    }

    /// What to do about it.
    fn advice(&self) -> Option<String> {
        let earliest = self.problem.as_ref().and_then(|problem| problem.earliest_replay_id.as_deref());
        match (self.status, earliest) {
            (StatusCode::UNAUTHORIZED, _) => Some(
                "set RELAY_API_KEY to a key of this broker, or name a file that holds one with --key-file".to_owned(),
            ),
            (StatusCode::FORBIDDEN, _) => {
                Some("use a key that has the grant; an admin makes one by POST /v1/keys".to_owned())
            }
            (StatusCode::GONE, Some(id)) => {
                Some(format!("the oldest event that is kept is {id}; --from earliest begins with it"))
            }
            (StatusCode::GONE, None) => Some("nothing is kept; --from earliest begins with what comes".to_owned()),
            (StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE, _) => Some("try again later".to_owned()),
            _ => None,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(problem) = &self.problem else {
            write!(f, "the answer has status {} and is none of an Event Relay broker: is the URL right?", self.status)?;
            return if self.text.is_empty() { Ok(()) } else { write!(f, "\n  {}", self.text) };
        };
        let said = if problem.detail.is_empty() { &problem.title } else { &problem.detail };
        write!(f, "{said} ({} {})", self.status.as_u16(), self.kind())?;
        for fault in &problem.errors {
            write!(f, "\n  {}: {}", fault.pointer, fault.detail)?;
        }
        self.advice().map_or(Ok(()), |advice| write!(f, "\n  {advice}"))
    }
}

impl fmt::Display for CallFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CallFault::Away { url, why } => write!(f, "no answer from {url}: {why}"),
            CallFault::Refused(refusal) => refusal.fmt(f),
            CallFault::Strange(what) => write!(f, "the broker's answer is not understood: {what}"),
        }
    }
}

impl std::error::Error for CallFault {}

impl From<CallFault> for crate::failure::Failure {
    fn from(fault: CallFault) -> Self {
        crate::failure::Failure::Runtime(fault.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn shown(status: u16, body: &str) -> String {
        Refusal::new(StatusCode::from_u16(status).unwrap(), None, body.as_bytes()).to_string()
    }

    #[test]
    fn a_problem_is_told_in_its_own_words_with_what_to_do() {
        let problem =
            json!({ "type": "/problems/unauthorized", "title": "Valid credentials are needed", "status": 401 });
        let text = shown(401, &problem.to_string());
        assert!(text.starts_with("Valid credentials are needed (401 unauthorized)\n  set RELAY_API_KEY"), "{text}");
        let problem = json!({ "type": "/problems/expired", "title": "No longer kept", "detail": "it is gone",
                              "earliestReplayId": "AbC" });
        let text = shown(410, &problem.to_string());
        assert!(text.contains("it is gone (410 expired)") && text.contains("AbC; --from earliest"), "{text}");
        let problem = json!({ "type": "/problems/invalid-field", "title": "A field is not valid", "detail": "2 faults",
                              "errors": [{ "pointer": "/from", "detail": "is no place" }] });
        assert_eq!(shown(400, &problem.to_string()), "2 faults (400 invalid-field)\n  /from: is no place");
    }

    #[test]
    fn what_is_no_broker_is_told_as_that_and_not_at_length() {
        let text = shown(502, &format!("<html>{}", "x".repeat(10_000)));
        assert!(text.contains("502") && text.contains("is the URL right?") && text.len() < 400, "{text}");
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        let of = |status| {
            CallFault::Refused(Box::new(Refusal::new(StatusCode::from_u16(status).unwrap(), None, b""))).is_transient()
        };
        assert!([408, 429, 500, 502, 503, 504].into_iter().all(of));
        assert!(![400, 401, 403, 404, 409, 410].into_iter().any(of));
        assert!(CallFault::Away { url: "u".into(), why: "w".into() }.is_transient());
    }
}
